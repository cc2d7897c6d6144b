package statetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

func runs(t *testing.T, open Factory) {
	t.Helper()
	open.test(t, "SaveRun/every field comes back", func(t *testing.T, s state.Store) {
		full := run("01a", acquire(t, s))
		full.FinishedAt = at(13)
		bare := state.Run{ID: "01b"}
		save(t, s, full, bare)
		require.Equal(t, []state.Run{bare, full}, listRuns(t, s, state.RunFilter{}))
	})
	open.test(t, "SaveRun/an update replaces the row", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		save(t, s, state.Run{ID: "01a", Kind: "sync", Status: state.RunRequested, RequestedAt: at(1)}, run("01a", l))
		require.Equal(t, []state.Run{run("01a", l)}, listRuns(t, s, state.RunFilter{}))
	})
	open.test(t, "SaveRun/takes no lease for a request", func(t *testing.T, s state.Store) {
		save(t, s, state.Run{ID: "01a", Status: state.RunRequested})
	})
	open.test(t, "SaveRun/a row of a higher token is kept from lower ones", func(t *testing.T, s state.Store) {
		lost, current := succeed(t, s)
		save(t, s, run("01a", current))
		for _, token := range []int64{0, lost.Token} {
			r := run("01a", current)
			r.Token, r.Status = token, state.RunDone
			require.ErrorIs(t, s.SaveRun(t.Context(), r), state.ErrFenced)
		}
		require.Equal(t, []state.Run{run("01a", current)}, listRuns(t, s, state.RunFilter{}))
	})
	open.test(t, "Runs/come newest first and filtered", filterRuns)
	open.test(t, "InterruptRuns/closes open runs of older tokens only", interrupt)
}

func save(t *testing.T, s state.Store, runs ...state.Run) {
	t.Helper()
	for _, r := range runs {
		require.NoError(t, s.SaveRun(t.Context(), r))
	}
}

func listRuns(t *testing.T, s state.Store, f state.RunFilter) []state.Run {
	t.Helper()
	got, err := s.Runs(t.Context(), f)
	require.NoError(t, err)
	return got
}

func runIDs(t *testing.T, s state.Store, f state.RunFilter) []string {
	t.Helper()
	var ids []string
	for _, r := range listRuns(t, s, f) {
		ids = append(ids, r.ID)
	}
	return ids
}

func filterRuns(t *testing.T, s state.Store) {
	save(t, s,
		state.Run{ID: "01ab", Kind: "plan", Status: state.RunPlanned, RequestedAt: at(2)},
		state.Run{ID: "01a", Kind: "sync", Status: state.RunDone, RequestedAt: at(1), Options: `{"part":true}`},
		state.Run{ID: "01b%", Kind: "sync", Status: state.RunFailed, RequestedAt: at(3)},
		state.Run{ID: "01c", Kind: "sync", Status: state.RunRequested})
	for name, c := range map[string]struct {
		f    state.RunFilter
		want []string
	}{
		"all":                   {state.RunFilter{}, []string{"01c", "01b%", "01ab", "01a"}},
		"exact comes alone":     {state.RunFilter{ID: "01a"}, []string{"01a"}},
		"unique prefix":         {state.RunFilter{ID: "01b"}, []string{"01b%"}},
		"prefix of several":     {state.RunFilter{ID: "01"}, []string{"01c", "01b%", "01ab", "01a"}},
		"prefix is no pattern":  {state.RunFilter{ID: "%"}, nil},
		"prefix is case exact":  {state.RunFilter{ID: "01B"}, nil},
		"not of a kind":         {state.RunFilter{NotKind: "sync"}, []string{"01ab"}},
		"before an id":          {state.RunFilter{Before: "01ab"}, []string{"01a"}},
		"before no id there is": {state.RunFilter{Before: "01az"}, []string{"01ab", "01a"}},
		"kind":                  {state.RunFilter{Kind: "plan"}, []string{"01ab"}},
		"statuses":              {state.RunFilter{Statuses: []state.RunStatus{state.RunDone, state.RunFailed}}, []string{"01b%", "01a"}},
		"since, inclusive":      {state.RunFilter{Since: at(2)}, []string{"01b%", "01ab"}},
		"plain":                 {state.RunFilter{Plain: true}, []string{"01c", "01b%", "01ab"}},
		"limit keeps newest":    {state.RunFilter{Limit: 2}, []string{"01c", "01b%"}},
		"all fields must match": {state.RunFilter{ID: "01", Kind: "sync", Since: at(1), Limit: 1}, []string{"01b%"}},
	} {
		require.Equal(t, c.want, runIDs(t, s, c.f), name)
	}
}

func interrupt(t *testing.T, s state.Store) {
	old := acquire(t, s)
	require.NoError(t, s.BeginRun(t.Context(), old, run("01a", old), thePlan(), state.SightingChanges{}))
	planning, done := run("01b", old), run("01c", old)
	planning.Status, planning.Message = state.RunPlanning, ""
	done.Status = state.RunDone
	save(t, s, planning, done, state.Run{ID: "01d", Status: state.RunRequested}, state.Run{ID: "01e", Status: state.RunPlanning})
	l := acquire(t, s)
	save(t, s, run("01f", l))

	before, err := s.Now(t.Context())
	require.NoError(t, err)
	ids, err := s.InterruptRuns(t.Context(), l)
	require.NoError(t, err)
	require.Equal(t, []string{"01a", "01b"}, ids)
	require.Equal(t, []string{"01b", "01a"}, runIDs(t, s, state.RunFilter{Statuses: []state.RunStatus{state.RunInterrupted}}))
	require.Equal(t, []string{"01f", "01e", "01d", "01c"}, runIDs(t, s, state.RunFilter{Statuses: []state.RunStatus{
		state.RunDone, state.RunPlanning, state.RunRequested, state.RunApplying,
	}}))
	a, b := listRuns(t, s, state.RunFilter{ID: "01a"})[0], listRuns(t, s, state.RunFilter{ID: "01b"})[0]
	require.Equal(t, run("01a", old).Message, a.Message, "a message that is there stays")
	require.Equal(t, state.MessageInterrupted, b.Message)
	require.False(t, b.FinishedAt.Before(before))
	require.Equal(t, run("01a", old).Counts, a.Counts)

	ops, err := s.Ops(t.Context(), state.OpFilter{Run: "01a"})
	require.NoError(t, err)
	require.Len(t, ops, 5)
	for _, o := range ops {
		require.Equal(t, state.OpPending, o.Status)
	}
	ids, err = s.InterruptRuns(t.Context(), l)
	require.NoError(t, err)
	require.Empty(t, ids, "once is enough")
	require.ErrorIs(t, s.SaveRun(t.Context(), a), state.ErrFenced, "the former holder cannot close it any more")
	a.Token, a.Status, a.Counts = l.Token, state.RunInterrupted, state.Counts{Planned: map[plan.Action]int{}}
	a.Counts.Planned = nil
	save(t, s, a)
}
