package reconcile_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
)

// A guard that trips at 11 of 5 holds the one whose call is on its way as well.
func TestEngine_SecondLook_leavesLeaversToAGuardThatTripped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := many(12)
	w.settle(people, wiring{})
	one := append([]human{}, people...)
	one[0].Left = "yes"
	w.dies(one, "/active")
	all := append([]human{}, people...)
	for i := range all {
		all[i].Left = "yes"
	}
	_, err := w.sync(all, wiring{change: func(o *reconcile.Options) {
		o.SettleAfter = 300 * time.Millisecond
		o.Limits.Deactivations = guard.Limit{Count: 5}
	}})
	require.NoError(t, err)
	require.True(t, w.active("person00"), "none of them was written, the message says")
}
