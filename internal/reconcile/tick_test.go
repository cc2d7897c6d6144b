package reconcile_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

func TestSyncTick(t *testing.T) {
	t.Parallel()
	tick := func(ago time.Duration) reconcile.Tick {
		return reconcile.Tick{Schedule: "quick", At: time.Now().Add(-ago), Until: time.Now().Add(20 * time.Second)}
	}
	o := reconcile.RunOptions{Trigger: "schedule", RequestedBy: "schedule quick"}
	mark := func(t *testing.T, s state.Store) time.Time {
		t.Helper()
		m, err := s.Mark(t.Context(), "schedule/quick")
		require.NoError(t, err)
		return m.At
	}
	t.Run("is made once, and so is one before it", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		s := w.store()
		defer s.Close()
		e := w.engine(s, few(), wiring{})
		now := tick(time.Second)
		rep, ran, err := e.SyncTick(t.Context(), o, now)
		require.NoError(t, err)
		require.True(t, ran)
		require.Equal(t, 4, rep.Counts.Done)
		require.WithinDuration(t, now.At, mark(t, s), time.Microsecond)
		for _, again := range []reconcile.Tick{now, tick(time.Minute)} {
			_, ran, err = w.engine(s, few(), wiring{}).SyncTick(t.Context(), o, again)
			require.NoError(t, err)
			require.False(t, ran)
		}
		_, ran, err = e.SyncTick(t.Context(), o, tick(0))
		require.NoError(t, err)
		require.True(t, ran, "the next one is another")
	})
	t.Run("one that failed is made by whoever comes next", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		s := w.store()
		defer s.Close()
		now := tick(time.Second)
		away := w.sim.Fail(mmsim.Fault{DatabaseAway: true})
		_, ran, err := w.engine(s, few(), wiring{}).SyncTick(t.Context(), o, now)
		require.Error(t, err)
		require.False(t, ran)
		require.Zero(t, mark(t, s))
		away()
		_, ran, err = w.engine(s, few(), wiring{}).SyncTick(t.Context(), o, now)
		require.NoError(t, err)
		require.True(t, ran)
	})
	t.Run("waits for whoever is at work, and takes over when that one dies", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		s := w.store()
		defer s.Close()
		began := time.Now()
		_, err := s.AcquireLease(t.Context(), "reconcile", "another", 1500*time.Millisecond) // and dies
		require.NoError(t, err)
		_, ran, err := w.engine(s, few(), wiring{}).SyncTick(t.Context(), o, tick(0))
		require.NoError(t, err)
		require.True(t, ran)
		require.Greater(t, time.Since(began), time.Second)
	})
	t.Run("is left alone when whoever was at work has made it", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		s := w.store()
		defer s.Close()
		now := tick(time.Second)
		l, err := s.AcquireLease(t.Context(), "reconcile", "another", time.Minute)
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() {
			time.Sleep(300 * time.Millisecond)
			done <- s.SetMark(context.WithoutCancel(t.Context()), l, state.Mark{Name: "schedule/quick", At: now.At})
		}()
		_, ran, err := w.engine(s, few(), wiring{}).SyncTick(t.Context(), o, now)
		require.NoError(t, err)
		require.False(t, ran)
		require.NoError(t, <-done)
		require.Empty(t, w.sim.Writes())
	})
	t.Run("gives up at the next one, and at the end of its context", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		s := w.store()
		defer s.Close()
		_, err := s.AcquireLease(t.Context(), "reconcile", "another", time.Minute)
		require.NoError(t, err)
		short := tick(0)
		short.Until = time.Now().Add(200 * time.Millisecond)
		_, _, err = w.engine(s, few(), wiring{}).SyncTick(t.Context(), o, short)
		require.ErrorIs(t, err, state.ErrHeld)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, _, err = w.engine(s, few(), wiring{}).SyncTick(ctx, o, tick(0))
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	t.Run("a mark of a clock that was wrong stops nothing", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		s := w.store()
		defer s.Close()
		l, err := s.AcquireLease(t.Context(), "reconcile", "test", time.Minute)
		require.NoError(t, err)
		require.NoError(t, s.SetMark(t.Context(), l, state.Mark{Name: "schedule/quick", At: time.Now().Add(time.Hour)}))
		require.NoError(t, s.ReleaseLease(t.Context(), l))
		_, ran, err := w.engine(s, few(), wiring{}).SyncTick(t.Context(), o, tick(0))
		require.NoError(t, err)
		require.True(t, ran)
	})
	t.Run("one that never ran is noted when it is asked for", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		s := w.store()
		defer s.Close()
		e := w.engine(s, few(), wiring{})
		at, err := e.LastTick(t.Context(), "quick")
		require.NoError(t, err)
		require.Zero(t, at)
		require.WithinDuration(t, time.Now(), mark(t, s), 10*time.Second)
		at, err = e.LastTick(t.Context(), "quick")
		require.NoError(t, err)
		require.True(t, at.Equal(mark(t, s)))
	})
}
