package reconcile_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/state"
)

// letIn switches accounts on by hand in Mattermost.
func (w *world) letIn(people []human) {
	w.t.Helper()
	for _, p := range people {
		u, ok := w.sim.UserByName(p.UID)
		require.True(w.t, ok)
		require.False(w.t, u.Active())
		w.sim.SetUser(u.ID, func(u *mmsim.User) { u.DeleteAt, u.UpdateAt = 0, time.Now().Add(time.Second).UnixMilli() })
	}
}

// What mmsync switched off in the window and somebody undid is switched off again, and
// is no new change.
func TestEngine_repeated(t *testing.T) {
	t.Parallel()
	// gone is a company of which more than the guard lets go, or fewer, are off.
	gone := func(t *testing.T, left int) (*world, []human) {
		t.Helper()
		w, people := newWorld(t), many(140)
		w.rest(people, wiring{})
		for i := range left {
			people[i].Left = "yes"
		}
		rep, err := w.sync(people, wiring{})
		require.NoError(t, err)
		if rep.Status == state.RunWithheld {
			w.approve(rep.RunID)
			_, err = w.sync(people, wiring{})
			require.NoError(t, err)
		}
		require.Equal(t, left, w.gone())
		return w, people
	}
	t.Run("what was approved is not held, and does not count either", func(t *testing.T) {
		t.Parallel()
		w, people := gone(t, 60)
		w.letIn(people[:60])
		for i := 60; i < 110; i++ {
			people[i].Left = "yes"
		}
		rep, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.False(t, rep.Verdict.Tripped(), rep.Verdict.Message())
		require.Equal(t, 110, w.gone(), "the same 60, and as many more as the limit allows")
		w.letIn(people[:60])
		_, err = w.sync(people, wiring{})
		require.NoError(t, err)
		require.Equal(t, 110, w.gone(), "as often as it is undone")
	})
	t.Run("what was counted counts once", func(t *testing.T) {
		t.Parallel()
		w, people := gone(t, 30)
		w.letIn(people[:30])
		for i := 30; i < 50; i++ {
			people[i].Left = "yes"
		}
		rep, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.False(t, rep.Verdict.Tripped(), rep.Verdict.Message())
		require.Equal(t, 50, w.gone())
		people[50].Left = "yes"
		rep, err = w.sync(people, wiring{})
		require.NoError(t, err)
		require.True(t, rep.Verdict.Tripped(), "51")
	})
	t.Run("it goes on while a guard holds others", func(t *testing.T) {
		t.Parallel()
		w, people := gone(t, 30)
		w.letIn(people[:30])
		for i := 30; i < 60; i++ {
			people[i].Left = "yes"
		}
		rep, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.True(t, rep.Verdict.Tripped())
		require.Equal(t, 30, rep.Verdict.Trips[0].Planned)
		require.Equal(t, 30, w.gone())
		require.False(t, w.active(people[0].UID))
	})
	t.Run("who was in meanwhile, as the source wanted it, leaves anew", func(t *testing.T) {
		t.Parallel()
		for name, in := range map[string]func(w *world){
			"mmsync let them in": func(*world) {},
			"somebody else did":  func(w *world) { w.letIn(many(60)) },
		} {
			w, people := gone(t, 60)
			in(w)
			_, err := w.sync(many(140), wiring{})
			require.NoError(t, err)
			require.Zero(t, w.gone())
			rep, err := w.sync(people, wiring{})
			require.NoError(t, err)
			require.True(t, rep.Verdict.Tripped(), name)
			require.Zero(t, w.gone(), name)
		}
	})
	for name, between := range map[string][]bool{
		"seen by a run of changes":                      {true},
		"seen by a run of changes and then a full read": {true, false},
	} {
		t.Run("who was in meanwhile, "+name+", leaves anew", func(t *testing.T) {
			t.Parallel()
			c := newChanging(t, many(140)...)
			leave := func(left string) {
				for _, h := range many(60) {
					h.Left = left
					c.set(h)
				}
			}
			leave("yes")
			rep := c.sync(t, true)
			require.Equal(t, state.RunWithheld, rep.Status)
			c.approve(rep.RunID)
			c.sync(t, true)
			require.Equal(t, 60, c.gone())
			c.letIn(many(60))
			leave("")
			for _, changes := range between {
				c.sync(t, changes)
			}
			require.Zero(t, c.gone())
			require.Equal(t, "changes", c.reads[len(c.reads)-len(between)])
			leave("yes")
			rep = c.sync(t, true)
			require.True(t, rep.Verdict.Tripped(), "an approval is used once")
			require.Zero(t, c.gone())
		})
	}
	t.Run("who was in meanwhile, as a push wanted it, leaves anew", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		p := w.service(newClient(), wiring{change: func(o *reconcile.Options) { o.Limits.Deactivations.Count = 1 }})
		all := func(change func(*identity.Identity)) {
			for n := range 3 {
				p.keep(pushedID(n, change))
			}
			p.calm()
		}
		all(nil)
		all(leaver)
		require.Equal(t, 2, p.active())
		rep, err := p.engine.Plan(t.Context(), reconcile.RunOptions{Trigger: "test", RequestedBy: "test"})
		require.NoError(t, err)
		_, err = p.engine.Say(t.Context(), reconcile.Say{Run: rep.RunID, Approves: true, Reason: "test", By: "test"})
		require.NoError(t, err)
		require.Eventually(t, func() bool { return p.active() == 0 }, 30*time.Second, 10*time.Millisecond)
		p.calm()
		w.letIn([]human{{UID: "p0000"}, {UID: "p0001"}, {UID: "p0002"}})
		all(nil)
		all(leaver)
		require.Equal(t, 3, p.active(), "the limit was used up by the one who was not approved")
	})
	t.Run("after the window it is a change like any other", func(t *testing.T) {
		t.Parallel()
		w, people := gone(t, 60)
		w.letIn(people[:60])
		rep, err := w.sync(people, w.on(25*time.Hour, func(o *reconcile.Options) { o.Limits.Deactivations = guard.Limit{Count: 50} }))
		require.NoError(t, err)
		require.True(t, rep.Verdict.Tripped())
		require.Zero(t, w.gone())
	})
	t.Run("under a changed configuration, which nobody is asked about twice", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), many(40)
		w.rest(people, wiring{})
		other := wiring{change: func(o *reconcile.Options) { o.PolicyDigest = "another filter" }}
		rep, err := w.sync(people[7:], other)
		require.NoError(t, err)
		require.Equal(t, guard.ScopeChange, rep.Verdict.Trips[0].Class)
		w.approveUnder(rep.RunID, other.change)
		_, err = w.sync(people[7:], other)
		require.NoError(t, err)
		require.Equal(t, 7, w.gone())
		w.letIn(people[:7])
		rep, err = w.sync(people[7:], other)
		require.NoError(t, err)
		require.False(t, rep.Verdict.Tripped(), rep.Verdict.Message())
		require.Equal(t, 7, w.gone())
	})
}
