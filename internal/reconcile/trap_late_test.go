package reconcile_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// These tests are about what the server does, or shows, later than it says.

// If its successor created the account as well, one of the two would be refused,
// and the account would be nobody's for ever.
func TestTrap_creationThatComesLate(t *testing.T) {
	t.Parallel()
	w, people := newWorld(t), few()
	w.settle(people, wiring{})
	people = append(people, human{ID: "9", UID: "nora"})
	w.dies(people, "/users")
	rep, err := w.sync(people, wiring{change: patient(w.patience(people)), wrap: func(s state.Store) state.Store {
		return journaled{s, func() { w.sim.AddUser(mmsim.User{Username: "nora", Email: "nora@example.test"}) }}
	}})
	require.NoError(t, err)
	require.Equal(t, state.RunDone, rep.Status)
	nora, _ := w.sim.UserByName("nora")
	require.Equal(t, nora.ID, w.links()["9"].AccountID, "it is what the dead run sent")
}

func TestTrap_cacheThatShowsAChangeTooLate(t *testing.T) {
	t.Parallel()
	people := crowd()
	w := old(t, people)
	_, err := w.sync(people, wiring{})
	require.NoError(t, err)
	name := w.bySince()[0]
	stop := w.sim.Fail(mmsim.Fault{Path: "/users/*", CacheLag: 10 * time.Minute})
	w.emperor(name, time.Now().Add(3*time.Hour-5*time.Minute)) // seen later than it says
	_, err = w.sync(people, wiring{})
	require.NoError(t, err)
	require.Equal(t, "Emperor", w.position(name), "the cache does not show it yet")
	stop()
	_, err = w.sync(people, wiring{})
	require.NoError(t, err)
	require.Equal(t, "Clerk", w.position(name))
}

// 5.38 goes on showing by id the login from before PUT auth.
func TestTrap_loginThatMemoryDoesNotShow(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, mmsim.Options{Profile: mmsim.Profile538})
	people := few()
	for i := range people {
		people[i].Service, people[i].Login = "saml", "login-"+people[i].UID
	}
	moving := wiring{change: func(o *reconcile.Options) { o.Policy.ChangeAuth = true }}
	w.settle(people, moving)
	people[0].Service, people[0].Login = "ldap", "moved"
	rep, err := w.sync(people, moving)
	require.NoError(t, err)
	require.Equal(t, 1, rep.Counts.Done)
	w.sim.ResetCalls()
	for range 2 {
		rep, err = w.sync(people, moving)
		require.NoError(t, err)
		require.False(t, rep.Plan.Effective(), "%+v", rep.Plan.Decisions)
	}
	require.Empty(t, w.sim.Writes(), "the login is not moved again and again")
}

// The next person who signs up on a server without an active human administrator
// becomes one.
func TestTrap_noHumanAdministrator(t *testing.T) {
	t.Parallel()
	w, people := newWorld(t), few()
	w.rest(people, wiring{})
	owner, _ := w.sim.UserByName("bert")
	w.sim.SetUser(w.sim.AdminID(), func(u *mmsim.User) { u.IsBot, u.OwnerID = true, owner.ID })
	people = append(people, human{ID: "9", UID: "nora"})
	w.sim.ResetCalls()
	rep, err := w.sync(people, wiring{})
	require.ErrorIs(t, err, reconcile.ErrRefused)
	require.ErrorContains(t, err, "no active human administrator")
	require.Equal(t, plan.Create, decisionOn(t, rep, "9").Action)
	require.Empty(t, w.sim.Writes())
}
