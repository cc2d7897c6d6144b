package reconcile_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// A directory that hides the attribute which tells who is disabled shows everybody as
// enabled, and those whom mmsync had switched off as people who come back.
func TestEngine_Reactivations(t *testing.T) {
	t.Parallel()
	few := wiring{change: func(o *reconcile.Options) { o.Limits.Reactivations = guard.Limit{Count: 2} }}
	left := []human{{ID: "1", UID: "anna", Left: "yes"}, {ID: "2", UID: "bert", Left: "yes"}, {ID: "3", UID: "cora", Left: "yes"}, {ID: "4", UID: "dora"}}
	hidden := append([]human{}, left...)
	for i := range hidden {
		hidden[i].Left = ""
	}
	start := func(t *testing.T) *world {
		t.Helper()
		w := newWorld(t)
		w.settle(hidden, few)
		w.settle(left, few)
		w.sim.ResetCalls()
		return w
	}
	on := func(w *world) (names []string) {
		for _, h := range left {
			if w.active(h.UID) {
				names = append(names, h.UID)
			}
		}
		return names
	}

	t.Run("more than come back in a day are held, and are off still when the source is right again", func(t *testing.T) {
		t.Parallel()
		w := start(t)
		for range 2 {
			rep, err := w.sync(hidden, few)
			require.NoError(t, err)
			require.Equal(t, []string{"dora"}, on(w))
			require.Len(t, rep.Verdict.Trips, 1)
			require.Equal(t, plan.Reactivations, rep.Verdict.Trips[0].Class)
			d := decisionOn(t, rep, "1")
			require.Equal(t, plan.GuardTripped, d.Reason)
			require.Equal(t, plan.Reactivate, d.Held)
		}
		w.settle(left, few)
		require.Equal(t, []string{"dora"}, on(w))
		require.Empty(t, w.sim.Writes())
	})
	t.Run("as many as come back in a day come back, by one run or by several", func(t *testing.T) {
		t.Parallel()
		w := start(t)
		one := append([]human{hidden[0]}, left[1:]...)
		_, err := w.sync(one, few)
		require.NoError(t, err)
		require.Equal(t, []string{"anna", "dora"}, on(w))
		rep, err := w.sync(hidden, few)
		require.NoError(t, err)
		require.Equal(t, []string{"anna", "dora"}, on(w), "one came back already, and two more are too many")
		require.Equal(t, 1, rep.Verdict.Trips[0].Before)
		_, err = w.sync([]human{hidden[0], left[1], hidden[2], left[3]}, few)
		require.NoError(t, err)
		require.Equal(t, []string{"anna", "dora"}, on(w), "what was held waits for somebody's word")
		plenty := wiring{change: func(o *reconcile.Options) { o.Limits.Reactivations = guard.Limit{Count: 3, ByHand: true} }}
		_, err = w.sync(hidden, plenty)
		require.NoError(t, err)
		require.Equal(t, []string{"anna", "bert", "cora", "dora"}, on(w))
	})
}
