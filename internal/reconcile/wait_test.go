package reconcile_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

// These tests are about the time in which a run waits for its second look: it
// keeps nobody else from working.

func TestEngine_Wait(t *testing.T) {
	t.Parallel()
	// waiting runs with anna as a leaver, and does something while the run waits.
	waiting := func(t *testing.T, meanwhile func(w *world, people []human)) (*world, reconcile.Report) {
		t.Helper()
		w, people := newWorld(t), few()
		w.rest(people, wiring{})
		people[0].Left = "yes"
		done := false
		rep, err := w.sync(people, wiring{change: func(o *reconcile.Options) {
			o.LookAgain, o.Holder = 20*time.Millisecond, "first"
			o.Progress = func(p reconcile.Progress) {
				if strings.HasPrefix(p.Stage, "waiting") && !done {
					done = true
					meanwhile(w, people)
				}
			}
		}})
		require.NoError(t, err)
		require.True(t, done)
		return w, rep
	}
	on := func(w *world) { w.touch("anna", time.Second, func(u *mmsim.User) { u.DeleteAt = 0 }) }
	other := wiring{change: func(o *reconcile.Options) { o.Holder = "other" }}

	t.Run("another run is let in, and has looked for the one that waited", func(t *testing.T) {
		t.Parallel()
		var second reconcile.Report
		w, rep := waiting(t, func(w *world, people []human) {
			on(w)
			var err error
			second, err = w.sync(people, other)
			require.NoError(t, err)
			require.False(t, w.active("anna"), "the other run took it again")
			on(w)
		})
		require.Equal(t, 1, second.Counts.Done)
		require.Nil(t, rep.Again)
		require.Equal(t, state.RunDone, rep.Status)
		require.Empty(t, rep.Problems)
		require.True(t, w.active("anna"), "the one that waited looks at nothing any more")
	})
	t.Run("a plan in between takes nothing from it", func(t *testing.T) {
		t.Parallel()
		w, rep := waiting(t, func(w *world, people []human) {
			on(w)
			w.plan(people, other)
		})
		require.NotNil(t, rep.Again)
		require.False(t, w.active("anna"))
	})
	t.Run("a process that has the lease is waited for, and if it did nothing, it is looked again", func(t *testing.T) {
		t.Parallel()
		w, rep := waiting(t, func(w *world, _ []human) {
			on(w)
			s := w.store()
			defer s.Close()
			_, err := s.AcquireLease(context.WithoutCancel(t.Context()), "reconcile", "other", time.Second)
			require.NoError(t, err, "the lease is free")
		})
		require.NotNil(t, rep.Again)
		require.Equal(t, state.RunDone, rep.Status)
		require.Empty(t, rep.Problems)
		require.False(t, w.active("anna"))
	})
}

// An older run has the later id, once the store's clock was set back.
func TestEngine_Wait_storeClockSetBack(t *testing.T) {
	t.Parallel()
	w, people := newWorld(t), few()
	w.rest(people, wiring{})
	people[0].Left = "yes"
	done := false
	rep, err := w.sync(people, wiring{
		wrap: func(s state.Store) state.Store { return later{s, -2 * time.Hour} },
		change: func(o *reconcile.Options) {
			o.LookAgain = 5 * time.Millisecond
			o.Progress = func(p reconcile.Progress) {
				if strings.HasPrefix(p.Stage, "waiting") && !done {
					done = true
					w.touch("anna", time.Second, func(u *mmsim.User) { u.DeleteAt = 0 })
				}
			}
		},
	})
	require.NoError(t, err)
	require.True(t, done)
	require.NotNil(t, rep.Again, "nobody came between")
	require.False(t, w.active("anna"))
}
