package reconcile_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
)

// These tests are about servers that only seem to have been set back: what they
// show is older than what mmsync wrote, and nothing was lost.

func TestEngine_SetBack_notBySeeming(t *testing.T) {
	t.Parallel()
	// quiet runs so often, and nothing may be said of a server that was set back.
	quiet := func(t *testing.T, w *world, people []human, with wiring, times int) {
		t.Helper()
		for i := range times {
			rep, err := w.sync(people, with)
			require.NoError(t, err)
			require.Zero(t, setBackSentences(rep), "run %d", i+1)
			require.Empty(t, rep.Problems, "run %d", i+1)
		}
	}
	t.Run("a login that was moved before 11.0 is shown as it was for ever, and leavers leave all the same", func(t *testing.T) {
		t.Parallel()
		w, people := newWorldOf(t, mmsim.Options{Profile: mmsim.Profile538}), few()
		with := wiring{change: func(o *reconcile.Options) { o.Policy.ChangeAuth, o.Policy.RevokeOnAuth = true, true }}
		w.rest(people, with)
		time.Sleep(5 * time.Millisecond) // so that what is written next has another time
		people[0].Service, people[0].Login = "saml", "anna@idp"
		quiet(t, w, people, with, 1)
		anna, _ := w.sim.UserByName("anna")
		require.Equal(t, "saml", anna.AuthService)
		people[1].Left = "yes"
		quiet(t, w, people, with, 1)
		require.False(t, w.active("bert"))
		quiet(t, w, people, with, 5)
	})
	t.Run("a node that does not show yet what was just written", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), few()
		w.rest(people, wiring{})
		time.Sleep(5 * time.Millisecond)
		stop := w.sim.Fail(mmsim.Fault{Path: "/users/ids", CacheLag: 300 * time.Millisecond})
		defer stop()
		people[0].Title = "Director"
		quiet(t, w, people, wiring{}, 1)
		require.Equal(t, "Director", w.position("anna"))
		people[1].Left = "yes"
		rep, err := w.sync(people, wiring{change: func(o *reconcile.Options) { o.LookAgain = 5 * time.Millisecond }})
		require.NoError(t, err)
		require.Nil(t, rep.Again, "nothing is taken a second time")
		quiet(t, w, people, wiring{}, 3)
		require.False(t, w.active("bert"))
		require.Zero(t, w.links()["2"].Undone, "nor is he taken for somebody who was switched on again")
		require.Equal(t, "Director", w.position("anna"))
	})
	t.Run("a clock that was ahead while mmsync wrote, and was put right", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), few()
		w.sim.SetClockOffset(2 * time.Hour)
		w.rest(people, wiring{})
		w.sim.SetClockOffset(0)
		for _, p := range people { // who saves something now does so before mmsync wrote, by the dates
			w.touch(p.UID, 0, func(*mmsim.User) {})
		}
		people[1].Left = "yes"
		quiet(t, w, people, wiring{}, 3)
		require.False(t, w.active("bert"))
		w.sim.SetClockOffset(3 * time.Hour) // now those writes lie in the past
		quiet(t, w, people, wiring{}, 2)
	})
}
