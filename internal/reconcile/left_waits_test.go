package reconcile_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

// Whoever has left and is renamed waits without a word for a value that somebody else
// has. Once it is free he gets it, and what he had is free for others.
func TestEngine_Settled_leaverWhoWaits(t *testing.T) {
	t.Parallel()
	w, with := newWorld(t), wiring{}
	people := []human{{ID: "1", UID: "anna", Mail: "a@example.test"}, {ID: "2", UID: "bert", Mail: "b@example.test"}}
	w.rest(people, with)
	mail := func() string {
		u, found := w.sim.UserByName("anna")
		require.True(t, found)
		return u.Email
	}
	u, _ := w.sim.UserByName("anna")
	w.sim.SetUser(u.ID, func(u *mmsim.User) { u.DeleteAt = u.UpdateAt + 5 })
	people[0].Left = "yes"
	w.rest(people, with)

	people[0].Mail = "b@example.test"
	for range 2 {
		require.Equal(t, 1, w.decided(people, with))
	}
	require.Equal(t, "a@example.test", mail())
	people[1].Mail = "c@example.test"
	w.decided(people, with)
	require.Equal(t, "b@example.test", mail())
	w.rest(people, with)
}
