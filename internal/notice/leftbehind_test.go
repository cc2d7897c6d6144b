package notice

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

func TestWatcher_what_leavers_left_behind(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s kept) {
		asked, known := 0, true
		list := []LeftBehind{{Leaver{"corp", "k.lee"}, "a", plan.LeftIncoming}}
		o := WatchOptions{Store: s.Store, Limits: limits(), Left: func(context.Context) ([]LeftBehind, bool) {
			asked++
			return list, known
		}}
		w := NewWatcher(o)
		look := func() Snapshot {
			got, err := w.Look(t.Context())
			require.NoError(t, err)
			return got
		}
		require.Equal(t, list, look().Left)
		told := "left_behind/corp"
		require.False(t, look().unknown(told))
		require.Equal(t, 1, asked, "the server is not asked twice a minute")
		s.ran(t, "run1", time.Minute, state.RunDone)
		list, known = nil, false
		require.True(t, look().unknown(told), "what cannot be listed is not known to be over")
		require.Equal(t, 2, asked, "but after a run")
		known, w.leftAt = true, time.Now().Add(-leftEvery)
		require.False(t, look().unknown(told))
		require.Empty(t, look().Left)
		require.Equal(t, 3, asked)

		o.Limits.LeftBehind = false
		w = NewWatcher(o)
		look()
		require.Equal(t, 3, asked, "nobody wants to know")
	})
}
