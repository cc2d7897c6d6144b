package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// crowd is more people than are read whole in every pass.
func crowd() []human {
	var out []human
	for i := range 260 {
		id := strings.Repeat("p", 1+i/26) + string(rune('a'+i%26))
		out = append(out, human{ID: id, UID: "u." + id, Title: "Clerk"})
	}
	return out
}

// old gives a server that is some hours older than the writes mmsync made to
// it, with a mark that is past them.
func old(t *testing.T, people []human) *world {
	t.Helper()
	return newWorld(t).grown(people)
}

// grown gives a world as old does.
func (w *world) grown(people []human) *world {
	w.t.Helper()
	w.settle(people, wiring{})
	w.sim.SetClockOffset(3 * time.Hour)
	w.touch(people[0].UID, 3*time.Hour, func(*mmsim.User) {})
	for range 2 {
		_, err := w.sync(people, wiring{})
		require.NoError(w.t, err)
	}
	w.sim.ResetCalls()
	return w
}

// touch changes an account as somebody at the server would, that much later.
func (w *world) touch(name string, later time.Duration, f func(*mmsim.User)) {
	w.t.Helper()
	u, ok := w.sim.UserByName(name)
	require.True(w.t, ok, name)
	w.sim.SetUser(u.ID, func(u *mmsim.User) {
		f(u)
		u.UpdateAt = time.Now().Add(later).UnixMilli()
	})
}

func (w *world) asksSince() bool {
	for _, c := range w.sim.Calls() {
		if strings.HasSuffix(c.Path, "/users/ids") && strings.Contains(c.RawQuery, "since=") {
			return true
		}
	}
	return false
}

func TestEngine_Observe(t *testing.T) {
	t.Parallel()
	t.Run("what changed on the server since the mark is seen and undone", func(t *testing.T) {
		t.Parallel()
		people := crowd()
		w := old(t, people)
		for _, p := range people[:50] {
			w.touch(p.UID, 3*time.Hour, func(u *mmsim.User) { u.Position = "Emperor" })
		}
		rep, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.True(t, w.asksSince())
		require.Equal(t, 50, rep.Counts.Done)
		for _, p := range people {
			u, _ := w.sim.UserByName(p.UID)
			require.Equal(t, "Clerk", u.Position)
		}
	})
	t.Run("an edit that left no trace is seen by an audit", func(t *testing.T) {
		t.Parallel()
		people := crowd()
		w := old(t, people)
		for _, p := range people {
			u, _ := w.sim.UserByName(p.UID)
			w.sim.SetUser(u.ID, func(u *mmsim.User) { u.Position = "Emperor" })
		}
		s := w.store()
		defer s.Close()
		rep, err := w.engine(s, people, wiring{}).Sync(t.Context(), reconcile.RunOptions{Trigger: "test", Audit: true})
		require.NoError(t, err)
		require.Equal(t, len(people), rep.Counts.Done)
	})
	t.Run("after the server's clock went back everything is read", func(t *testing.T) {
		t.Parallel()
		people := crowd()
		w := old(t, people)
		w.sim.SetClockOffset(-24 * time.Hour)
		for _, p := range people[:250] {
			u, _ := w.sim.UserByName(p.UID)
			w.sim.SetUser(u.ID, func(u *mmsim.User) { u.Position = "Emperor" })
		}
		_, err := w.sync(people, wiring{})
		require.NoError(t, err)
		for _, p := range people[:250] {
			u, _ := w.sim.UserByName(p.UID)
			require.Equal(t, "Clerk", u.Position)
		}
	})
	t.Run("a server that was set back is noticed, and nobody's absence counts", func(t *testing.T) {
		t.Parallel()
		people := crowd()
		w := newWorld(t)
		early := people[:200]
		w.settle(early, wiring{})
		backup := w.sim.SnapshotState()
		time.Sleep(2 * time.Millisecond) // so that what is written next has another time
		later := crowd()
		for i := range later {
			later[i].Title = "Director"
		}
		w.settle(later, wiring{})
		w.sim.RestoreState(backup)
		w.sim.ResetCalls()
		rep, err := w.sync(later[3:], wiring{}) // three are missing
		require.NoError(t, err)
		require.Contains(t, strings.Join(rep.Problems, "\n"), "set back")
		require.Zero(t, rep.Plan.Count(plan.Deactivate))
		for _, p := range later[3:200] {
			u, _ := w.sim.UserByName(p.UID)
			require.Equal(t, "Director", u.Position, "what was lost is written again")
		}
		for _, p := range later[200:] { // made after the backup
			_, ok := w.sim.UserByName(p.UID)
			require.False(t, ok, "an account that is gone is the operator's business")
		}
		rep, err = w.sync(later, wiring{})
		require.NoError(t, err)
		require.Empty(t, rep.Problems)
	})
	t.Run("an account that is gone is held, and never made again by itself", func(t *testing.T) {
		t.Parallel()
		people := crowd()
		w := old(t, people)
		u, _ := w.sim.UserByName(people[7].UID)
		w.sim.RemoveUser(u.ID)
		people[7].Title = "Director"
		w.sim.ResetCalls()
		for range 3 {
			_, err := w.sync(people, wiring{})
			require.NoError(t, err)
		}
		rep := w.plan(people, wiring{})
		require.Len(t, rep.Plan.Decisions, 1)
		require.Equal(t, plan.AccountMissing, rep.Plan.Decisions[0].Reason)
		for _, c := range w.sim.Writes() {
			require.NotEqual(t, "/api/v4/users", c.Path)
		}
	})
}
