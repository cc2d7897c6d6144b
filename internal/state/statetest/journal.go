package statetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

func journal(t *testing.T, open Factory) {
	t.Helper()
	open.test(t, "BeginRun/writes the run, its decisions, ops and sightings", beginRun)
	open.test(t, "BeginRun/takes a run that was requested or planning", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		save(t, s, state.Run{ID: "01a", Status: state.RunRequested})
		planning := run("01a", l)
		planning.Status = state.RunPlanning
		save(t, s, planning)
		require.NoError(t, s.BeginRun(t.Context(), l, run("01a", l), thePlan(), state.SightingChanges{}))
		require.Equal(t, []state.Run{run("01a", l)}, listRuns(t, s, state.RunFilter{}))
	})
	open.test(t, "BeginRun/a run begins once", func(t *testing.T, s state.Store) {
		l := begin(t, s, "01a")
		require.NoError(t, s.MarkSent(t.Context(), l, ref("01a", 0, 0), at(20)))
		again := run("01a", l)
		again.Message = "again"
		err := s.BeginRun(t.Context(), l, again, thePlan(), state.SightingChanges{Missed: []state.Sighting{{Key: key(1)}}})
		require.ErrorIs(t, err, state.ErrConflict)
		require.Equal(t, []state.Run{run("01a", l)}, listRuns(t, s, state.RunFilter{}))
		require.Equal(t, state.OpSent, listOps(t, s, state.OpFilter{Run: "01a"})[0].Status)
		require.Empty(t, sightings(t, s, "corp"))
	})
	open.test(t, "BeginRun/all or nothing", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		bad := thePlan()
		bad.Decisions[2].Detail = "nul \x00 byte"
		err := s.BeginRun(t.Context(), l, run("01a", l), bad, state.SightingChanges{Missed: []state.Sighting{{Key: key(1)}}})
		require.ErrorIs(t, err, state.ErrInvalid)
		require.ErrorContains(t, err, "decision 2")
		require.Empty(t, listRuns(t, s, state.RunFilter{}))
		require.Empty(t, listOps(t, s, state.OpFilter{}))
		require.Empty(t, sightings(t, s, "corp"))
	})
	open.test(t, "BeginRun/the run's token is the lease's", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		r := run("01a", l)
		r.Token = 0
		require.ErrorIs(t, s.BeginRun(t.Context(), l, r, thePlan(), state.SightingChanges{}), state.ErrInvalid)
	})
	open.test(t, "BeginRun/ops without a plan time get the store's", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		before, err := s.Now(t.Context())
		require.NoError(t, err)
		r := run("01a", l)
		r.PlannedAt = time.Time{}
		require.NoError(t, s.BeginRun(t.Context(), l, r, thePlan(), state.SightingChanges{}))
		planned := listRuns(t, s, state.RunFilter{})[0].PlannedAt
		require.False(t, planned.Before(before))
		require.Equal(t, planned, listOps(t, s, state.OpFilter{})[0].PlannedAt)
	})
	open.test(t, "BeginRun/a plan without decisions is a run as well", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		require.NoError(t, s.BeginRun(t.Context(), l, run("01a", l), plan.Plan{}, state.SightingChanges{}))
		got, err := s.Decisions(t.Context(), "01a")
		require.NoError(t, err)
		require.Empty(t, got)
	})
	open.test(t, "Ops/are listed in order and filtered", filterOps)
	open.test(t, "Usage/counts accounts that were changed since then, per source", usage)
	open.test(t, "Usage/counts each class of changes", usageByClass)
	open.test(t, "Held/is kept until it is released", held)
	open.test(t, "Held/keeps the run it was first held in, while it is the same", heldSince)
	open.test(t, "Held/goes with the link, to another Key or away", heldMoves)
}

func beginRun(t *testing.T, s state.Store) {
	l := acquire(t, s)
	missed := []state.Sighting{{Key: key(7), Since: at(5), Reads: 2, LastRead: at(6)}}
	require.NoError(t, s.BeginRun(t.Context(), l, run("01a", l), thePlan(), state.SightingChanges{Missed: missed}))
	require.Equal(t, []state.Run{run("01a", l)}, listRuns(t, s, state.RunFilter{}))
	require.Equal(t, missed, sightings(t, s, "corp"))

	decisions, err := s.Decisions(t.Context(), "01a")
	require.NoError(t, err)
	var wantDecisions []state.DecisionRecord
	var wantOps []state.OpRecord
	for i, d := range thePlan().Decisions {
		for j, o := range d.Ops {
			wantOps = append(wantOps, state.OpRecord{
				Ref: ref("01a", i, j), Key: d.Key, SourceRef: d.Ref, AccountID: d.AccountID, Username: d.Username,
				Action: d.Action, Reason: d.Reason, Detail: d.Detail, Op: o, Status: state.OpPending, PlannedAt: at(12),
			})
		}
		d.Ops = nil
		wantDecisions = append(wantDecisions, state.DecisionRecord{Run: "01a", Index: i, Decision: d})
	}
	require.Equal(t, wantDecisions, decisions)
	require.Equal(t, wantOps, listOps(t, s, state.OpFilter{}))

	none, err := s.Decisions(t.Context(), "01")
	require.NoError(t, err)
	require.Empty(t, none, "a prefix is not enough")
}

func listOps(t testing.TB, s state.Store, f state.OpFilter) []state.OpRecord {
	t.Helper()
	got, err := s.Ops(t.Context(), f)
	require.NoError(t, err)
	return got
}

func filterOps(t *testing.T, s state.Store) {
	l := begin(t, s, "01a")
	later := run("01b", l)
	later.PlannedAt = at(60)
	require.NoError(t, s.BeginRun(t.Context(), l, later, plan.Plan{Decisions: []plan.Decision{deactivation(1)}}, state.SightingChanges{}))
	require.NoError(t, s.MarkSent(t.Context(), l, ref("01a", 1, 0), at(20)))
	created := outcome(ref("01a", 1, 1), state.OpDone)
	created.AccountID = accountID(2)
	require.NoError(t, s.RecordOp(t.Context(), l, created))
	for name, c := range map[string]struct {
		f    state.OpFilter
		want []string
	}{
		"all":                {state.OpFilter{}, []string{"01a/0/0", "01a/0/1", "01a/1/0", "01a/1/1", "01a/1/2", "01b/0/0", "01b/0/1"}},
		"run":                {state.OpFilter{Run: "01b"}, []string{"01b/0/0", "01b/0/1"}},
		"run is exact":       {state.OpFilter{Run: "01"}, nil},
		"key":                {state.OpFilter{Key: key(1)}, []string{"01a/0/0", "01a/0/1", "01b/0/0", "01b/0/1"}},
		"account":            {state.OpFilter{AccountID: accountID(1)}, []string{"01a/0/0", "01a/0/1", "01b/0/0", "01b/0/1"}},
		"account of outcome": {state.OpFilter{AccountID: accountID(2)}, []string{"01a/1/1"}},
		"statuses":           {state.OpFilter{Statuses: []state.OpStatus{state.OpSent, state.OpDone}}, []string{"01a/1/0", "01a/1/1"}},
		"since, inclusive":   {state.OpFilter{Since: at(60)}, []string{"01b/0/0", "01b/0/1"}},
		"limit keeps newest": {state.OpFilter{Limit: 3}, []string{"01a/1/2", "01b/0/0", "01b/0/1"}},
		"all must match":     {state.OpFilter{Key: key(1), Run: "01a", Limit: 1}, []string{"01a/0/1"}},
		"unclosed of a key":  {state.OpFilter{Key: key(2), Statuses: []state.OpStatus{state.OpSent, state.OpPending}}, []string{"01a/1/0", "01a/1/2"}},
	} {
		var got []string
		for _, o := range listOps(t, s, c.f) {
			got = append(got, o.Ref.String())
		}
		require.Equal(t, c.want, got, name)
	}
}

func usage(t *testing.T, s state.Store) {
	l := acquire(t, s)
	branch := deactivation(6)
	branch.Key.Source = "branch"
	comeback := deactivation(7)
	comeback.Action, comeback.Ops = plan.Reactivate, []plan.Op{{Kind: plan.SetActive, Changes: []plan.Change{{Field: plan.FieldActive, From: "false", To: "true"}}}}
	locked := deactivation(8)
	locked.Key.Source, locked.Action, locked.Held = "locked", plan.Hold, plan.Deactivate
	locked.Ops = []plan.Op{{Kind: plan.RevokeSessions}}
	word := deactivation(9)
	word.Approval = "v1"
	p := plan.Plan{Decisions: []plan.Decision{
		deactivation(0), deactivation(1), deactivation(2), deactivation(3), deactivation(4), deactivation(5), branch, comeback, locked, word,
	}}
	require.NoError(t, s.BeginRun(t.Context(), l, run("01a", l), p, state.SightingChanges{}))
	require.NoError(t, s.BeginRun(t.Context(), l, run("01b", l), p, state.SightingChanges{}))
	for i, status := range []state.OpStatus{
		state.OpDone, state.OpObserved, state.OpFailed, state.OpSkipped, state.OpDropped, "", state.OpDone, state.OpDone, state.OpDone, state.OpDone,
	} {
		if status == "" {
			require.NoError(t, s.MarkSent(t.Context(), l, ref("01a", i, 0), at(20)))
			continue
		}
		o := outcome(ref("01a", i, 0), status)
		o.At = at(100 + i)
		require.NoError(t, s.RecordOp(t.Context(), l, o))
	}
	again := outcome(ref("01b", 0, 0), state.OpDone)
	again.At = at(200)
	require.NoError(t, s.RecordOp(t.Context(), l, again))
	revoked := outcome(ref("01b", 2, 1), state.OpDone)
	require.NoError(t, s.RecordOp(t.Context(), l, revoked))
	for name, c := range map[string]struct {
		source string
		since  time.Time
		want   int
	}{
		"done and observed, an account once, none that was approved": {"corp", at(100), 2},
		"of ever":                             {"corp", time.Time{}, 2},
		"one that fell out of the window":     {"corp", at(102), 1},
		"the bound is inside":                 {"corp", at(200), 1},
		"a microsecond later":                 {"corp", at(200).Add(time.Microsecond), 0},
		"another source":                      {"branch", at(0), 1},
		"a leaver whose sessions were ended":  {"locked", at(0), 1},
		"a source that switched off nobody":   {"Corp", at(0), 0},
		"no source is not all sources":        {"", at(0), 0},
		"everything before is everything too": {"corp", time.UnixMicro(0), 2},
	} {
		got, err := s.Usage(t.Context(), c.source, c.since)
		require.NoError(t, err, name)
		require.Equal(t, c.want, got[plan.Deactivations], name)
		delete(got, plan.Deactivations)
		if back := got[plan.Reactivations]; back > 0 {
			require.Equal(t, "corp", c.source, name)
			require.Equal(t, 1, back, name)
		}
		delete(got, plan.Reactivations)
		require.Empty(t, got, name)
	}
}

func usageByClass(t *testing.T, s state.Store) {
	l := acquire(t, s)
	patch := func(n int, changes ...plan.Change) plan.Decision {
		return plan.Decision{
			Key: key(n), Action: plan.Update, Reason: plan.Differs, AccountID: accountID(n), Username: "x",
			Ops: []plan.Op{{Kind: plan.PatchProfile, Changes: changes}},
		}
	}
	p := thePlan()
	p.Decisions = append(p.Decisions,
		patch(4, plan.Change{Field: "username", From: "a", To: "b"}, plan.Change{Field: "position", From: "c"}),
		patch(5, plan.Change{Field: "email", From: "a", To: "b"}, plan.Change{Field: "nickname", To: "b"}),
	)
	require.NoError(t, s.BeginRun(t.Context(), l, run("01a", l), p, state.SightingChanges{}))
	none, err := s.Usage(t.Context(), "corp", at(0))
	require.NoError(t, err)
	require.Empty(t, none, "nothing was carried out")
	for i := range p.Decisions {
		for j := range p.Decisions[i].Ops {
			o := outcome(ref("01a", i, j), state.OpDone)
			o.AccountID = accountID(i)
			require.NoError(t, s.RecordOp(t.Context(), l, o))
		}
	}
	got, err := s.Usage(t.Context(), "corp", at(0))
	require.NoError(t, err)
	require.Equal(t, map[plan.Class]int{
		plan.Deactivations: 1, plan.Creates: 1, plan.AdminGrants: 1, plan.Renames: 1, plan.EmailChanges: 1, plan.Updates: 2,
		plan.AttributeLoss("position"): 1,
	}, got)
}
