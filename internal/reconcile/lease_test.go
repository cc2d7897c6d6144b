package reconcile_test

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// oneWriter is a store with one writer, whose journaling of a plan takes longer than
// a lease lasts: a renewal has to wait for it.
type oneWriter struct {
	state.Store
	w *writer
}

type writer struct {
	sync.Mutex
	ttl      time.Duration
	begun    func(state.Store)
	journal  atomic.Bool // the plan is in the journal
	renewals atomic.Int32
}

func (o oneWriter) BeginRun(ctx context.Context, l state.Lease, r state.Run, p plan.Plan, c state.SightingChanges) error {
	o.w.Lock()
	defer o.w.Unlock()
	if err := o.Store.BeginRun(ctx, l, r, p, c); err != nil {
		return err
	}
	time.Sleep(2 * o.w.ttl) // what a long transaction takes
	o.w.begun(o.Store)
	o.w.journal.Store(true)
	return nil
}

func (o oneWriter) RenewLease(ctx context.Context, l state.Lease, ttl time.Duration) (state.Lease, error) {
	o.w.Lock()
	defer o.w.Unlock()
	held, err := o.Store.RenewLease(ctx, l, ttl)
	if err == nil && o.w.journal.Load() {
		o.w.renewals.Add(1)
	}
	return held, err
}

func TestEngine_Lease(t *testing.T) {
	t.Parallel()
	// lapsed syncs with a lease that lapses while the plan is journaled, and counts
	// the writes to the server, and those among them before the lease was renewed.
	lapsed := func(t *testing.T, begun func(state.Store)) (w *world, writes, early int32, err error) {
		t.Helper()
		w = newWorld(t)
		one := &writer{ttl: 400 * time.Millisecond, begun: begun}
		var sent, before atomic.Int32
		_, err = w.sync(few(), wiring{
			wrap:   func(s state.Store) state.Store { return oneWriter{s, one} },
			change: func(o *reconcile.Options) { o.LeaseTTL = one.ttl },
			network: network(func(r *http.Request) (*http.Response, error) {
				if one.journal.Load() && r.Method != http.MethodGet {
					sent.Add(1)
					if one.renewals.Load() == 0 {
						before.Add(1)
					}
				}
				return http.DefaultTransport.RoundTrip(r)
			}),
		})
		return w, sent.Load(), before.Load(), err
	}
	t.Run("that lapsed during a long write of ours holds calls up until it is renewed", func(t *testing.T) {
		t.Parallel()
		w, writes, early, err := lapsed(t, func(state.Store) {})
		require.NoError(t, err)
		require.Positive(t, writes)
		require.Zero(t, early, "nothing is sent while the right to is in doubt")
		require.True(t, w.active("anna"))
	})
	t.Run("that lapsed and was taken by somebody else ends the run, with nothing sent", func(t *testing.T) {
		t.Parallel()
		_, writes, _, err := lapsed(t, func(s state.Store) {
			_, err := s.AcquireLease(context.WithoutCancel(t.Context()), "reconcile", "other", time.Minute)
			require.NoError(t, err)
		})
		require.ErrorIs(t, err, state.ErrFenced)
		require.Zero(t, writes)
	})
}
