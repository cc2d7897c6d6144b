package reconcile_test

import (
	"context"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// gate is a time at which some things are not done, that a test opens and closes.
type gate struct {
	shut  atomic.Bool
	kinds []plan.Action
	lasts time.Duration
}

func (g *gate) wiring() wiring {
	return wiring{change: func(o *reconcile.Options) {
		o.Bars = func(now time.Time) []plan.Bar {
			if !g.shut.Load() {
				return nil
			}
			return []plan.Bar{{Actions: g.kinds, Why: "blackout test", Until: now.Add(g.lasts)}}
		}
	}}
}

// afterBegin does something as soon as a plan is journaled.
type afterBegin struct {
	state.Store

	do func()
}

func (a afterBegin) BeginRun(ctx context.Context, l state.Lease, r state.Run, p plan.Plan, s state.SightingChanges) error {
	err := a.Store.BeginRun(ctx, l, r, p, s)
	a.do()
	return err
}

func reasons(p plan.Plan) map[string]plan.Reason {
	out := map[string]plan.Reason{}
	for _, d := range p.Decisions {
		out[d.Username] = d.Reason
	}
	return out
}

func TestBars(t *testing.T) {
	t.Parallel()
	t.Run("what is not done now is held, is no fault, and is done when its time has come", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.rest(few(), wiring{})
		g := &gate{kinds: []plan.Action{plan.Create, plan.Update, plan.Reactivate, plan.Adopt}, lasts: time.Hour}
		g.shut.Store(true)
		rep, err := w.sync(changed(), g.wiring())
		require.NoError(t, err)
		require.Equal(t, state.RunDone, rep.Status)
		require.Equal(t, 1, rep.Counts.Done, "who leaves does not wait")
		for name, why := range reasons(rep.Plan) {
			require.Contains(t, []plan.Reason{plan.NotNow, plan.SourceDisabled}, why, name)
		}
		require.Len(t, rep.Plan.Decisions, 4)
		for _, d := range rep.Plan.Decisions {
			if d.Reason == plan.NotNow {
				require.NotNil(t, d.Until)
				require.Contains(t, d.Detail, "blackout test, until ")
				require.NotEmpty(t, d.Withheld)
			}
		}
		s := w.store()
		_, err = w.engine(s, changed(), g.wiring()).Say(t.Context(), reconcile.Say{Run: rep.RunID, Approves: true, By: "root@host", Reason: "test"})
		require.ErrorIs(t, err, reconcile.ErrRefused, "there is nothing to agree to")
		require.NoError(t, s.Close())

		g.shut.Store(false)
		rep, err = w.sync(changed(), g.wiring())
		require.NoError(t, err)
		require.Equal(t, 3, rep.Counts.Done)
		require.False(t, w.plan(changed(), g.wiring()).Plan.Effective())
	})
	t.Run("a time that comes during a run lets nothing more be begun", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		g := &gate{kinds: []plan.Action{plan.Create}, lasts: time.Hour}
		with := g.wiring()
		inner := with.change
		with.change = func(o *reconcile.Options) { inner(o); o.Workers = 1 }
		with.network = network(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPost && r.URL.Path == "/api/v4/users" {
				g.shut.Store(true)
			}
			return http.DefaultTransport.RoundTrip(r)
		})
		rep, err := w.sync(few(), with)
		require.NoError(t, err)
		require.Equal(t, state.RunPartial, rep.Status)
		require.Equal(t, len(few())-1, rep.Counts.Skipped)
		require.Len(t, rep.Problems, 1)
		require.Contains(t, rep.Problems[0], "blackout test")
		g.shut.Store(false)
		w.settle(few(), g.wiring())
	})
	t.Run("an account that leaves waits only where that is named, and an operator's word does not wait", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.rest(few(), wiring{})
		g := &gate{kinds: []plan.Action{plan.Deactivate}, lasts: time.Hour}
		g.shut.Store(true)
		people := few()
		people[0].Left = "yes"
		rep, err := w.sync(people, g.wiring())
		require.NoError(t, err)
		require.Zero(t, rep.Counts.Done)
		require.Equal(t, plan.NotNow, rep.Plan.Decisions[0].Reason)
		require.Equal(t, plan.Deactivate, rep.Plan.Decisions[0].Held)
		s := w.store()
		defer s.Close()
		rep, _, err = w.engine(s, people, g.wiring()).DeactivateNow(t.Context(), operator, people[0].UID)
		require.NoError(t, err)
		require.Equal(t, 1, rep.Counts.Done)
		u, ok := w.sim.UserByName(people[0].UID)
		require.True(t, ok)
		require.NotZero(t, u.DeleteAt)
	})
	t.Run("a run that puts off nobody's leaving is thorough, and no other", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		last := func(with wiring) (whole, thorough bool) {
			t.Helper()
			_, err := w.sync(few(), with)
			require.NoError(t, err)
			s := w.store()
			defer s.Close()
			runs, err := s.Runs(t.Context(), state.RunFilter{Limit: 1})
			require.NoError(t, err)
			return reconcile.Whole(&runs[0]), reconcile.Thorough(&runs[0])
		}
		for _, c := range []struct {
			kinds    []plan.Action
			thorough bool
		}{{nil, true}, {[]plan.Action{plan.Create, plan.Update}, true}, {[]plan.Action{plan.Deactivate}, false}, {plan.Actions(), false}} {
			g := &gate{kinds: c.kinds, lasts: time.Hour}
			g.shut.Store(true)
			whole, thorough := last(g.wiring())
			require.True(t, whole, "%v", c.kinds)
			require.Equal(t, c.thorough, thorough, "%v", c.kinds)
		}
	})
	t.Run("a time that comes during a run and keeps a leaver in shows in its record", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.rest(few(), wiring{})
		g := &gate{kinds: []plan.Action{plan.Deactivate}, lasts: time.Hour}
		with := g.wiring()
		with.wrap = func(s state.Store) state.Store { return afterBegin{s, func() { g.shut.Store(true) }} }
		people := few()
		people[0].Left = "yes"
		rep, err := w.sync(people, with)
		require.NoError(t, err)
		require.Equal(t, 1, rep.Counts.Skipped)
		s := w.store()
		defer s.Close()
		runs, err := s.Runs(t.Context(), state.RunFilter{Limit: 1})
		require.NoError(t, err)
		require.False(t, reconcile.Thorough(&runs[0]))
		require.True(t, reconcile.Whole(&runs[0]))
	})
	t.Run("who would go because the configuration changed still needs a word when the time is over", func(t *testing.T) {
		t.Parallel()
		w, people := crowdOf(t, 100)
		g := &gate{kinds: []plan.Action{plan.Deactivate}, lasts: time.Hour}
		rules := func(o *reconcile.Options) {
			g.wiring().change(o)
			o.PolicyDigest = "another filter"
		}
		people = slices.Clone(people)
		for i := range 7 {
			people[i].Left = "yes"
		}
		g.shut.Store(true)
		rep, err := w.sync(people, w.on(0, rules))
		require.NoError(t, err)
		require.Empty(t, w.offs())
		require.Equal(t, plan.NotNow, rep.Plan.Decisions[0].Reason)
		g.shut.Store(false)
		rep, err = w.sync(people, w.on(time.Hour, rules))
		require.NoError(t, err)
		require.Empty(t, w.offs())
		require.True(t, rep.Verdict.Tripped())
		require.Equal(t, 7, rep.Verdict.Trips[0].Planned)
	})
	t.Run("a push waits, the leaver's does not, and it is carried out by itself afterwards", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		g := &gate{kinds: []plan.Action{plan.Update}, lasts: 1500 * time.Millisecond}
		p := w.service(newClient(), g.wiring())
		p.push(pushedID(1, nil))
		p.push(pushedID(2, nil))
		p.calm()
		g.shut.Store(true)
		p.push(pushedID(1, titled("Mate")))
		p.push(pushedID(2, leaver))
		one, _ := p.account(1)
		two, _ := p.account(2)
		require.Empty(t, one.Position)
		require.NotZero(t, two.DeleteAt)
		due, err := p.store.DueOf(t.Context(), []identity.Key{pushedID(1, nil).Key})
		require.NoError(t, err)
		require.Len(t, due, 1)
		require.Equal(t, string(plan.NotNow), due[0].Reason)
		require.False(t, due[0].Held, "no word is waited for")
		g.shut.Store(false)
		require.Eventually(t, func() bool { u, _ := p.account(1); return u.Position == "Mate" }, 20*time.Second, 20*time.Millisecond)
	})
}
