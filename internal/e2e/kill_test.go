package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/state"
)

func TestKill(t *testing.T) {
	t.Parallel()
	points := 3
	if testing.Short() {
		points = 1
	}
	for _, st := range stores() {
		for i := range points {
			seed := rand.Uint64() //nolint:gosec // where to kill; printed below
			at := 1 + int(rand.New(rand.NewPCG(seed, 0)).Int64N(998))
			t.Run(fmt.Sprintf("%s/killed in the middle of a thousand creations it goes on where it was/%d", st.name, i), func(t *testing.T) {
				t.Parallel()
				t.Logf("killed at creation %d", at)
				const n = 1041 // 1000 who have not left
				slapd := slapdtest.Start(t, slapdtest.Options{Users: n, NoTLS: true})
				w := newWorld(t, st, settings{ldap: slapd.URL})
				w.sim.ResetCalls()
				w.killAtCreation(at)

				r := w.mmsync("sync", "-q").exits(0)
				require.NotContains(t, r.stderr, "not carried out")
				requireStaff(t, w, slapdtest.Roster(n))
				links := w.links()
				require.Len(t, links, 1000)
				for _, l := range links {
					u, ok := w.sim.User(l.AccountID)
					require.True(t, ok)
					require.Equal(t, l.Applied.Profile.Username, u.Username)
				}
				requireJournal(t, w)
				w.quiet()
			})
		}
	}
}

// killAtCreation runs sync and kills it while the server is about to answer
// the n-th creation.
func (w *world) killAtCreation(n int) {
	w.t.Helper()
	var seen atomic.Int64
	started := make(chan *process, 1)
	w.sim.OnCall(func(c mmsim.Call) {
		if c.Method == http.MethodPost && c.Path == "/api/v4/users" && seen.Add(1) == int64(n) {
			p := <-started
			p.kill()
			started <- p
		}
	})
	p := w.start("sync", "-q")
	started <- p
	p.wait().exits(-1)
	w.sim.OnCall(nil)
}

// requireJournal fails unless the journal closed one op for each call that
// changed something at the server, and none besides.
func requireJournal(t *testing.T, w *world) {
	t.Helper()
	var calls, journal []string
	for _, c := range w.sim.Writes() {
		if kind, id, ok := effect(w, c); ok {
			calls = append(calls, string(kind)+" "+id)
		}
	}
	for _, o := range w.ops(state.OpFilter{}) {
		require.True(t, o.Status.Closed(), "op %s is left %s", o.Ref, o.Status)
		if o.Status == state.OpDone || o.Status == state.OpObserved {
			journal = append(journal, string(o.Op.Kind)+" "+o.AccountID)
		}
	}
	slices.Sort(calls)
	slices.Sort(journal)
	require.Equal(t, calls, journal, "effective calls and closed ops")
}

// effect tells what a call changed, and on which account.
func effect(w *world, c mmsim.Call) (plan.OpKind, string, bool) {
	if c.Status < 200 || c.Status > 299 {
		return "", "", false
	}
	if c.Status == http.StatusCreated && c.Path == "/api/v4/users" {
		m := regexp.MustCompile(`"username":\s*"([^"]+)"`).FindSubmatch(c.Body)
		if m == nil {
			return "", "", false
		}
		u, _ := w.sim.UserByName(string(m[1]))
		return plan.CreateAccount, u.ID, true
	}
	m := regexp.MustCompile(`^/api/v4/users/([a-z0-9]{26})/(patch|active|roles|auth)$`).FindStringSubmatch(c.Path)
	if m == nil {
		return "", "", false
	}
	kinds := map[string]plan.OpKind{"patch": plan.PatchProfile, "active": plan.SetActive, "roles": plan.SetRoles, "auth": plan.SetAuth}
	return kinds[m[2]], m[1], true
}
