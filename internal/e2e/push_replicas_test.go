package e2e_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/pgtest"
	"github.com/mmsync/mmsync/internal/state"
)

// leaseTTL is how long the right to write lasts without renewal.
const leaseTTL = 10 * time.Second

// changes counts what a service has done so far.
func (s *service) changes() int { return strings.Count(s.stderr.String(), `"msg":"changed"`) }

func TestPush_Replicas(t *testing.T) {
	t.Parallel()
	pooled := store{"pgbouncer", func(t testing.TB, _ string) string { return pgtest.PooledURL(t) }}
	for _, st := range []store{postgresStore(), pooled} {
		t.Run(st.name+"/of two services both take pushes and one applies, and the other takes over when it dies", func(t *testing.T) {
			t.Parallel()
			takesOver(t, st)
		})
	}
}

func takesOver(t *testing.T, st store) {
	t.Helper()
	const people = 60
	w := newWorld(t, st, settings{scim: []string{"idp"}})
	services := []*service{w.serve(), w.serve()}
	one := w.provider("idp").to(services[0])
	two := (&provider{t: t, source: "idp", token: one.token, http: one.http}).to(services[1])
	clients := []*provider{one, two}
	db := w.observed()
	ids := make([]string, people)
	side(people, 8, func(n int) { ids[n] = clients[n%2].create(n) })
	w.calm(db, 20*time.Second)
	require.Equal(t, people, w.active())
	// What one took the other knows.
	side(people, 8, func(n int) { clients[(n+1)%2].patch(ids[n], object{"title": "Director"}) })
	w.calm(db, 20*time.Second)
	for n, u := range w.pushed(people) {
		require.Equal(t, "Director", u.Position, n)
	}

	// Whoever applies dies in the middle of it.
	before := []int{services[0].changes(), services[1].changes()}
	slow := w.sim.Fail(mmsim.Fault{Method: http.MethodPut, Path: "/users/*/patch", Latency: 2 * time.Second})
	side(people, 8, func(n int) { clients[n%2].patch(ids[n], object{"title": "President"}) })
	at := -1
	within(t, 20*time.Second, "somebody applies", func() bool {
		at = slices.IndexFunc(services, func(s *service) bool { return s.changes() > before[slices.Index(services, s)]+people/10 })
		return at >= 0
	})
	holder, other := services[at], services[1-at]
	holder.die()
	died := time.Now()
	slow()
	require.Less(t, holder.changes()-before[at], people)
	clients[at].to(other)
	require.Equal(t, "Director", clients[at].patch(ids[0], object{"title": "Director"}).body["title"])
	within(t, leaseTTL+5*time.Second, "the other goes on", func() bool { return other.changes() > before[1-at] })
	t.Logf("the other went on %s after the holder was killed", time.Since(died).Round(time.Millisecond))
	// But for those to whom a call of the dead may still be on its way, for longer
	// than this waits: one for each of its workers.
	within(t, 20*time.Second, "all are as they were pushed last", func() bool {
		right := 0
		for n, u := range w.pushed(people) {
			if u.Position == map[bool]string{true: "Director", false: "President"}[n == 0] {
				right++
			}
		}
		return right >= people-5
	})
	require.Len(t, w.managed(), people)

	// The lease's token rises with each holding of it: once somebody has it, nobody
	// sends by an older one.
	ops := w.ops(state.OpFilter{})
	slices.SortFunc(ops, func(a, b state.OpRecord) int { return a.MarkedAt.Compare(b.MarkedAt) })
	last := int64(0)
	for _, o := range ops {
		if o.MarkedAt.IsZero() {
			continue
		}
		require.GreaterOrEqual(t, o.Token, last, "two applied at a time")
		last = o.Token
	}
}
