package reconcile_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// A grace is counted for those who are pushed as for those who are read.
func TestEngine_Push_grace(t *testing.T) {
	t.Parallel()
	// passes pushes that somebody leaves, and looks at him a little and a long time after.
	passes := func(t *testing.T, g plan.Grace, leaves func(*identity.Identity), off bool) {
		t.Helper()
		w := newWorld(t)
		graced := func(o *reconcile.Options) { o.Policy.Grace = g }
		p := w.service(newClient(), w.on(0, graced))
		p.push(pushedID(1, nil))
		p.keep(pushedID(1, leaves))
		for _, by := range []time.Duration{0, 30 * time.Minute, 2 * time.Hour} {
			p.stop()
			p = w.service(p.client, w.on(by, graced))
			p.keep(pushedID(1, leaves)) // the client says it again
			is := func() bool {
				u, there := p.account(1)
				return there && u.DeleteAt != 0
			}
			if by == 2*time.Hour && off {
				require.Eventually(t, is, 30*time.Second, 10*time.Millisecond, by)
				continue
			}
			require.Never(t, is, 500*time.Millisecond, 50*time.Millisecond, by)
		}
	}
	t.Run("disabled", func(t *testing.T) {
		t.Parallel()
		passes(t, plan.Grace{Disabled: time.Hour}, leaver, true)
	})
	t.Run("disabled, and back in between", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		graced := func(o *reconcile.Options) { o.Policy.Grace = plan.Grace{Disabled: time.Hour} }
		p := w.service(newClient(), w.on(0, graced))
		p.push(pushedID(1, nil))
		for _, by := range []time.Duration{0, 2 * time.Hour, 4 * time.Hour} {
			p.stop()
			p = w.service(p.client, w.on(by, graced))
			p.keep(pushedID(1, leaver))
			require.Never(t, func() bool { return p.active() == 0 }, 300*time.Millisecond, 50*time.Millisecond, by)
			p.push(pushedID(1, nil))
			p.calm()
		}
	})
	t.Run("deleted", func(t *testing.T) {
		t.Parallel()
		at := time.Now()
		passes(t, plan.Grace{Disabled: 100 * time.Hour, Deleted: time.Hour}, func(id *identity.Identity) { id.Active, id.Deleted = false, at }, true)
	})
	t.Run("deleted, but longer than disabled", func(t *testing.T) {
		t.Parallel()
		at := time.Now()
		passes(t, plan.Grace{Deleted: 3 * time.Hour}, func(id *identity.Identity) { id.Active, id.Deleted = false, at }, false)
	})
}

// A clock that was set ends nobody's grace: one more look has to find him gone.
func TestEngine_Push_graceByClock(t *testing.T) {
	t.Parallel()
	began := time.Now()
	for name, c := range map[string]struct {
		grace  plan.Grace
		leaves func(*identity.Identity)
	}{
		"disabled": {plan.Grace{Disabled: time.Hour}, leaver},
		"deleted":  {plan.Grace{Deleted: time.Hour}, func(id *identity.Identity) { id.Active, id.Deleted = false, began }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var ahead atomic.Int64
			p := w.service(newClient(), wiring{
				wrap:   func(s state.Store) state.Store { return adjustable{s, &ahead} },
				change: func(o *reconcile.Options) { o.Policy.Grace = c.grace },
			})
			off := func() bool { return p.active() == 0 }
			p.push(pushedID(1, nil))
			p.keep(pushedID(1, c.leaves))
			require.Never(t, off, 300*time.Millisecond, 50*time.Millisecond)
			for range 2 {
				ahead.Store(int64(2 * time.Hour))
				p.keep(pushedID(1, c.leaves))
				require.Never(t, off, 500*time.Millisecond, 50*time.Millisecond)
			}
			for range 3 { // the clock goes on, and has not been set again
				ahead.Add(int64(4 * time.Minute))
				p.push(pushedID(1, c.leaves))
			}
			require.Eventually(t, off, 30*time.Second, 10*time.Millisecond)
		})
	}
}

// adjustable is a store whose clock is set while others read it.
type adjustable struct {
	state.Store
	ahead *atomic.Int64
}

func (a adjustable) Now(ctx context.Context) (time.Time, error) {
	now, err := a.Store.Now(ctx)
	return now.Add(time.Duration(a.ahead.Load())), err
}
