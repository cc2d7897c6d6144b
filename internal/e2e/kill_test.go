package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"sync/atomic"
	"testing"
	"time"

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
				w.killAt(at, creation, "sync", "-q")

				r := w.mmsync("sync", "-q", "--wait-lock", "60s").exits(0)
				require.NotContains(t, r.stderr, "not carried out")
				requireStaff(t, w, slapdtest.Roster(n))
				links := w.links()
				require.Len(t, links, 1000)
				for _, l := range links {
					u, ok := w.sim.User(l.AccountID)
					require.True(t, ok)
					require.Equal(t, l.Applied.Profile.Username, u.Username)
				}
				requireJournal(t, w, time.Time{})
				w.quiet()
			})
		}
	}
}

func TestKillMidChange(t *testing.T) {
	t.Parallel()
	points := 4
	if testing.Short() {
		points = 1
	}
	for _, st := range stores() {
		for i := range points {
			at := 1 + rand.IntN(50) //nolint:gosec // where to kill; printed below
			t.Run(fmt.Sprintf("%s/killed in the middle of all kinds of changes it goes on where it was/%d", st.name, i), func(t *testing.T) {
				t.Parallel()
				t.Logf("killed at write %d", at)
				before := slapdtest.Roster(160)
				w := newWorld(t, st, settings{file: true})
				returning := changed(before, map[int]func(*slapdtest.Person){
					60: disable, 61: disable, 62: disable, 63: disable, 64: disable,
				})
				w.feed(before)
				w.mmsync("sync", "-q").exits(0)
				w.feed(returning)
				w.mmsync("sync", "-q").exits(0)
				require.Equal(t, 5, w.off())

				after, leavers := upheaval(before)
				w.feed(after)
				began := time.Now()
				w.sim.ResetCalls()
				w.killAt(at, func(c mmsim.Call) bool { return c.IsWrite() }, "sync", "-q")
				w.mmsync("sync", "-q", "--wait-lock", "60s").exits(0)
				w.mmsync("sync", "-q").exits(0) // whoever waited for somebody whose call was on its way
				links := map[string]int64{}
				for _, l := range w.links() {
					links[l.Key.Anchor] = l.DeactivatedAt
				}
				people := 0
				for i, p := range after {
					if p.Disabled && !leavers[i] {
						continue
					}
					people++
					u := w.user(p.UID)
					require.Equal(t, []string{p.Mail, p.Title}, []string{u.Email, u.Position}, p.UID)
					require.Equal(t, !p.Disabled, u.Active(), p.UID)
					require.Equal(t, links[p.EntryUUID], u.DeleteAt, p.UID)
				}
				require.Len(t, w.managed(), people)
				require.Len(t, links, people)
				requireJournal(t, w, began)
				w.quiet()
			})
		}
	}
}

func disable(p *slapdtest.Person) { p.Disabled = true }

// changed gives the people with some of them changed.
func changed(people []slapdtest.Person, f map[int]func(*slapdtest.Person)) []slapdtest.Person {
	people = slices.Clone(people)
	for i, change := range f {
		change(&people[i])
	}
	return people
}

// upheaval lets ten people change their title, five pairs swap names, four pass
// theirs on in a row, ten leave, and ten join. Who was off is back.
func upheaval(people []slapdtest.Person) (after []slapdtest.Person, leavers map[int]bool) {
	after, leavers = slices.Clone(people), map[int]bool{}
	for i := 2; i < 12; i++ {
		after[i].Title = "Director"
	}
	for i := 26; i < 36; i += 2 {
		after[i].UID, after[i+1].UID = after[i+1].UID, after[i].UID
	}
	for i := 40; i < 43; i++ {
		after[i].UID = people[i+1].UID
	}
	after[43].UID = "end.of.row"
	for i := 80; i < 90; i++ {
		disable(&after[i])
		leavers[i] = true
	}
	for i := range 10 {
		uid := fmt.Sprintf("new.person%d", i)
		after = append(after, slapdtest.Person{
			UID: uid, DN: "uid=" + uid + "," + slapdtest.PeopleDN, EntryUUID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i),
			First: "New", Last: "Person", Mail: uid + "@example.test", Title: "Trainee",
		})
	}
	return after, leavers
}

// killAt runs the program and kills it while the server is about to answer the
// n-th call of a kind.
func (w *world) killAt(n int, kind func(mmsim.Call) bool, args ...string) {
	w.t.Helper()
	var seen atomic.Int64
	started := make(chan *process, 1)
	w.sim.OnCall(func(c mmsim.Call) {
		if kind(c) && seen.Add(1) == int64(n) {
			p := <-started
			p.kill()
			started <- p
		}
	})
	p := w.start(args...)
	started <- p
	p.wait().exits(-1)
	w.sim.OnCall(nil)
}

func creation(c mmsim.Call) bool { return c.Method == http.MethodPost && c.Path == "/api/v4/users" }

// requireJournal fails unless the journal closed one op for each call that
// changed something at the server since the calls were last forgotten, and none
// besides. Ops planned before began are not looked at.
func requireJournal(t *testing.T, w *world, began time.Time) {
	t.Helper()
	var calls, journal []string
	for _, c := range w.sim.Writes() {
		if kind, id, ok := effect(w, c); ok {
			calls = append(calls, string(kind)+" "+id)
		}
	}
	for _, o := range w.ops(state.OpFilter{}) {
		require.True(t, o.Status.Closed(), "op %s is left %s", o.Ref, o.Status)
		if o.PlannedAt.Before(began) || o.Op.Kind == plan.RevokeSessions { // which is repeated rather than looked after
			continue
		}
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
