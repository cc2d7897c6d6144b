package statetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

func prunes(t *testing.T, open Factory) {
	t.Helper()
	open.test(t, "PruneRuns/takes runs with all that is theirs, and leaves what something hangs on", pruneRuns)
	open.test(t, "PruneRuns/a few at a time, the oldest first", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		for n := range 5 {
			ended(t, s, l, fmt.Sprintf("0%d", n), "plan", at(n))
		}
		p := state.Pruning{Before: at(4), Limit: 3}
		require.Equal(t, 3, pruneNow(t, s, l, p))
		require.Equal(t, []string{"04", "03"}, runIDs(t, s, state.RunFilter{}))
		require.Equal(t, 1, pruneNow(t, s, l, p))
		require.Equal(t, 0, pruneNow(t, s, l, p), "what ended in that moment stays")
		require.Equal(t, []string{"04"}, runIDs(t, s, state.RunFilter{}))
	})
	open.test(t, "PruneRuns/refuses what says not how old, or how many, and needs the lease", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		for _, p := range []state.Pruning{{Limit: 1}, {Before: at(1)}, {Before: at(1), Limit: 1, Keep: []string{"\x00"}}} {
			_, err := s.PruneRuns(t.Context(), l, p)
			require.ErrorIs(t, err, state.ErrInvalid)
		}
		_, err := s.PruneRuns(t.Context(), state.Lease{}, state.Pruning{Before: at(1), Limit: 1})
		require.ErrorIs(t, err, state.ErrFenced)
	})
}

// ended saves a run that has come to its end.
func ended(t *testing.T, s state.Store, l state.Lease, id, kind string, when time.Time) {
	t.Helper()
	r := run(id, l)
	r.Kind, r.Status, r.FinishedAt = kind, state.RunDone, when
	save(t, s, r)
}

func pruneNow(t *testing.T, s state.Store, l state.Lease, p state.Pruning) int {
	t.Helper()
	n, err := s.PruneRuns(t.Context(), l, p)
	require.NoError(t, err)
	return n
}

func pruneRuns(t *testing.T, s state.Store) {
	put(t, s, link(1))
	l := acquire(t, s)
	// done begins a run of one deactivation, and ends it with all that it did.
	done := func(id string, c state.SightingChanges) {
		require.NoError(t, s.BeginRun(t.Context(), l, run(id, l), plan.Plan{Decisions: []plan.Decision{deactivation(1)}}, c))
		for op := range 2 {
			require.NoError(t, s.RecordOp(t.Context(), l, outcome(ref(id, 0, op), state.OpDone)))
		}
		ended(t, s, l, id, "sync", at(40))
	}
	done("01-old", state.SightingChanges{})
	done("02-held", state.SightingChanges{Held: []state.HeldItem{heldItem(7, "02-held")}})
	done("03-rejected", state.SightingChanges{})
	done("04-stopped", state.SightingChanges{})
	done("05-kept", state.SightingChanges{})
	ended(t, s, l, "06-command", "link", at(40))
	ended(t, s, l, "07-plan", "plan", at(40))
	seal(t, s, l)
	done("08-unsealed", state.SightingChanges{})
	ended(t, s, l, "09-unsealed-command", "link", at(40))
	require.NoError(t, s.BeginRun(t.Context(), l, run("10-intent", l), plan.Plan{Decisions: []plan.Decision{deactivation(2)}}, state.SightingChanges{}))
	require.NoError(t, s.MarkSent(t.Context(), l, ref("10-intent", 0, 0), at(20)))
	ended(t, s, l, "10-intent", "sync", at(40))
	ended(t, s, l, "11-new", "sync", at(60))
	save(t, s, run("12-open", l))

	inForceStill, over := verdict("open", false, 3), verdict("over", true, 4)
	inForceStill.Run, over.Run, over.Expires = "03-rejected", "01-old", time.Time{}
	say(t, s, inForceStill, over)
	require.NoError(t, s.UseVerdicts(t.Context(), l, "02", nil, []string{"over"}, at(40)))
	pin := inForce("pin", key(5))
	pin.Run = "04-stopped"
	gone := stop("gone")
	gone.Run = "01-old"
	require.NoError(t, s.PutStops(t.Context(), []state.Stop{pin, gone}))
	rows := auditRows(t, s, state.RowFilter{})

	require.Equal(t, 3, pruneNow(t, s, l, state.Pruning{Before: at(50), Keep: []string{"05-kept", "no such"}, Limit: 100}))
	require.Equal(t, []string{
		"12-open", "11-new", "10-intent", "09-unsealed-command", "08-unsealed", "05-kept", "04-stopped", "03-rejected", "02-held",
	}, runIDs(t, s, state.RunFilter{}))
	require.Empty(t, listOps(t, s, state.OpFilter{Run: "01-old"}))
	decisions, err := s.Decisions(t.Context(), "01-old")
	require.NoError(t, err)
	require.Empty(t, decisions)
	require.Len(t, listOps(t, s, state.OpFilter{Run: "05-kept"}), 2)
	require.Len(t, said(t, s, state.VerdictFilter{}), 1, "what was closed as long ago is gone as well")
	require.Equal(t, rows, auditRows(t, s, state.RowFilter{}), "the history is another matter")
	require.Equal(t, []identity.Link{link(1)}, allLinks(t, s))
	require.Equal(t, []string{"gone", "pin"}, stopIDs(t, s, state.StopFilter{}))
}

func pruneAudit(t *testing.T, s state.Store) {
	l := closedRun(t, s, "01a")
	first, _ := seal(t, s, l)
	require.NoError(t, s.RecordOp(t.Context(), l, outcome(ref("01a", 1, 1), state.OpFailed)))
	second, rows := seal(t, s, l)
	pruned := auditKey(t).Prune(first, at(600))
	require.NoError(t, s.PruneAudit(t.Context(), l, []audit.Batch{pruned}))
	require.Equal(t, []audit.Batch{pruned, second}, auditBatches(t, s, state.BatchFilter{}))
	require.Equal(t, rows, auditRows(t, s, state.RowFilter{}))
	require.ErrorIs(t, s.PruneAudit(t.Context(), l, []audit.Batch{second}), state.ErrInvalid)
	none := auditKey(t).Prune(second, at(601))
	none.ID = 7
	require.ErrorIs(t, s.PruneAudit(t.Context(), l, []audit.Batch{auditKey(t).Prune(second, at(601)), none}), state.ErrNotFound)
	require.Equal(t, []audit.Batch{pruned, second}, auditBatches(t, s, state.BatchFilter{}), "all or nothing")
	require.NoError(t, s.RecordOp(t.Context(), l, outcome(ref("01a", 1, 2), state.OpFailed)))
	third, _ := seal(t, s, l)
	require.Equal(t, int64(5), third.FirstRow, "numbers go on")
}
