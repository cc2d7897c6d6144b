package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

// These tests are about those who have left: what is still done about them, and
// what is not.

func TestEngine_Left(t *testing.T) {
	t.Parallel()
	t.Run("who is absent and off stays settled though his account is among those read whole", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), few()
		w.rest(people, wiring{})
		people = people[:3]
		w.decided(people, wiring{})
		w.decided(people, long)
		require.True(t, w.settled()["4"])
		require.False(t, w.active("dirk"))
		before := w.sightings()
		for _, by := range []time.Duration{0, time.Hour} {
			rep, err := w.sync(people, wiring{wrap: func(s state.Store) state.Store { return later{s, by} }})
			require.NoError(t, err)
			require.Zero(t, rep.Decided)
			require.Equal(t, 4, rep.Plan.Unchanged)
			require.True(t, w.settled()["4"])
			require.Equal(t, before, w.sightings(), "no further read is counted")
		}
	})
	t.Run("a missing administrator who is off already is none any more", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), few()
		people[3].Groups = []string{adminsGroup}
		w.rest(people, wiring{})
		w.touch("dirk", 0, func(u *mmsim.User) { u.DeleteAt = time.Now().UnixMilli() })
		dirk, _ := w.sim.UserByName("dirk")
		require.True(t, dirk.IsAdmin())
		w.decided(people[:3], wiring{})
		dirk, _ = w.sim.UserByName("dirk")
		require.False(t, dirk.IsAdmin())
		require.False(t, dirk.Active())
	})
	t.Run("whom only the server's own LDAP sync can switch off loses his sessions each time he leaves", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), few()
		people[0].Service, people[0].Login = "ldap", "anna"
		locked := wiring{change: func(o *reconcile.Options) { o.Policy.DeleteEndpoint = false }}
		w.rest(people, locked)
		w.sim.ResetCalls()
		for times := 1; times <= 2; times++ {
			people[0].Left = "yes"
			w.decided(people, locked)
			w.decided(people, locked)
			require.True(t, w.active("anna"))
			require.Equal(t, times, w.revocations("anna"), "once each time")
			people[0].Left = ""
			w.decided(people, locked)
		}
		require.Equal(t, 2, w.revocations("anna"))
	})
}

// revocations counts how often somebody's sessions were ended.
func (w *world) revocations(name string) (n int) {
	w.t.Helper()
	u, ok := w.sim.UserByName(name)
	require.True(w.t, ok)
	for _, c := range w.sim.Writes() {
		if c.Status/100 == 2 && strings.HasSuffix(c.Path, u.ID+"/sessions/revoke/all") {
			n++
		}
	}
	return n
}
