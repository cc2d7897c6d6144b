package reconcile_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

// Sessions of an earlier run's login, on a server that was set back.
func TestEngine_SetBack_endsNoSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := few()
	for i := range people {
		people[i].Service, people[i].Login = "saml", "login-"+people[i].UID
	}
	ch := func(o *reconcile.Options) { o.Policy.ChangeAuth, o.Policy.RevokeOnAuth = true, true }
	w.settle(people, wiring{change: ch})
	people[0].Login = "moved"
	c := &crash{at: -1}
	cut := network(func(r *http.Request) (*http.Response, error) {
		if r.Method != http.MethodGet && strings.HasSuffix(r.URL.Path, "/sessions/revoke/all") {
			c.dead.Store(true)
		}
		return c.RoundTrip(r)
	})
	_, err := w.sync(people, wiring{network: cut, wrap: func(s state.Store) state.Store { return mortal{s, c} }, change: func(o *reconcile.Options) { ch(o); o.Workers = 1 }})
	require.ErrorIs(t, err, errCrash)
	// the person is gone from the links: an operator gave the account to nobody
	time.Sleep(30 * time.Millisecond)
	u, _ := w.sim.UserByName("cora")
	w.sim.SetUser(u.ID, func(u *mmsim.User) { u.UpdateAt -= 86400_000 }) // as a server that was set back
	w.sim.ResetCalls()
	_, err = w.sync(people, wiring{change: ch})
	require.NoError(t, err)
	for _, c := range w.sim.Writes() {
		require.False(t, strings.HasSuffix(c.Path, "/sessions/revoke/all"), "nothing is taken from anybody in this run")
	}
}
