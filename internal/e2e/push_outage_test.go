package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

// story is what is pushed of the n-th person, in order: he joins, rises twice, and
// leaves, stays or comes back.
func story(n int) []object {
	steps := []object{{}, {"title": "Head Clerk"}, {"title": "Director"}}
	switch n % 4 {
	case 0:
		return append(steps, object{"active": false}, object{"title": "Consultant"})
	case 1:
		return append(steps, object{"active": false}, object{"active": true, "title": "President"})
	}
	return append(steps, object{"title": "Chair"}, object{"name": object{"givenName": "Dame"}, "title": "Patron"})
}

// requireStories fails unless everybody is as his last push wanted him. Whoever left
// before Mattermost heard of him has no account.
func requireStories(t *testing.T, w *world, people int, knew func(n int) bool) {
	t.Helper()
	for n, u := range w.pushed(people) {
		steps := story(n)
		active := n%4 != 0
		if !active && !knew(n) {
			require.Nil(t, u, "p%04d left before he was known", n)
			continue
		}
		require.NotNil(t, u, "p%04d", n)
		require.Equal(t, active, u.Active(), "p%04d", n)
		if active {
			require.Equal(t, steps[4]["title"], u.Position, "p%04d", n)
		}
	}
}

// tell pushes a story, and repeats a step of which no answer came as a provider does.
func (p *provider) tell(n int, alive func() bool) {
	id := ""
	for i, step := range story(n) {
		for {
			var a answer
			var err error
			if i == 0 {
				a, err = p.try(http.MethodPost, "/Users", employee(n))
			} else {
				a, err = p.try(http.MethodPatch, "/Users/"+id, object{
					"schemas":    []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
					"Operations": []object{{"op": "replace", "value": step}},
				})
			}
			if err == nil && a.status == http.StatusConflict && i == 0 { // the one whose answer was lost
				if id = p.find(n); id != "" {
					break
				}
			}
			if err == nil {
				if !a.ok() {
					p.t.Errorf("step %d of p%04d: %d %v", i, n, a.status, a.body)
				}
				if i == 0 {
					id = a.id()
				}
				break
			}
			if alive() {
				p.t.Errorf("step %d of p%04d: %v", i, n, err)
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

func TestPush_Outage(t *testing.T) {
	t.Parallel()
	failing := func(f mmsim.Fault) func(w *world) func() {
		return func(w *world) func() { return w.sim.Fail(f) }
	}
	refused := func(w *world) (over func()) {
		address := strings.TrimPrefix(w.sim.URL(), "http://")
		require.NoError(w.t, w.sim.Close())
		return func() {
			_, err := w.sim.Listen(address)
			require.NoError(w.t, err)
		}
	}
	cases := []struct {
		name  string
		store store
		begin func(*world) func()
		kill  bool
	}{
		{"nobody listens", sqliteStore(), refused, false},
		{"nobody listens, and the service is killed meanwhile", sqliteStore(), refused, true},
		{"nobody listens, and the service is killed meanwhile", postgresStore(), refused, true},
		{"connections are cut", sqliteStore(), failing(mmsim.Fault{CutBefore: true}), false},
		{"its database is away", postgresStore(), failing(mmsim.Fault{DatabaseAway: true}), false},
		{"a proxy answers 502", sqliteStore(), failing(mmsim.Fault{Status: http.StatusBadGateway}), false},
	}
	for _, c := range cases {
		t.Run(c.store.name+"/"+c.name+": all is taken, and carried out when Mattermost is back", func(t *testing.T) {
			t.Parallel()
			const people, before = 100, 20
			w := newWorld(t, c.store, settings{scim: []string{"idp"}, outage: "5m"})
			idp := w.provider("idp")
			s := w.serve()
			idp.to(s)
			db := w.observed()
			var early [before]string
			side(before, 8, func(i int) { early[i] = idp.create(people + i) })
			w.calm(db, 20*time.Second)

			over := c.begin(w)
			w.sim.ResetCalls()
			var told atomic.Int64
			var dead atomic.Bool
			halfway := make(chan struct{})
			done := make(chan struct{})
			began := time.Now()
			go func() {
				defer close(done)
				side(people, 16, func(n int) {
					idp.tell(n, func() bool { return !dead.Load() })
					if told.Add(1) == people/2 {
						close(halfway)
					}
				})
			}()
			if c.kill {
				<-halfway
				dead.Store(true)
				s.die()
				s = w.serve()
				idp.to(s)
			}
			<-done
			took := time.Since(began)
			side(before, 8, func(i int) { idp.patch(early[i], object{"active": false}) })
			require.Empty(t, w.sim.Writes())
			state, _ := idp.user(early[0]).progress()
			require.Equal(t, "pending", state)

			back := time.Now()
			over()
			w.calm(db, 20*time.Second)
			t.Logf("%d pushes were taken in %s, and carried out %s after Mattermost was back", 5*people+before, took.Round(time.Millisecond), time.Since(back).Round(time.Millisecond))
			requireStories(t, w, people, func(int) bool { return false })
			for i := range before {
				require.False(t, w.user(fmt.Sprintf("p%04d", people+i)).Active())
			}
			state, _ = idp.user(early[0]).progress()
			require.Equal(t, "applied", state)
			s.end()
		})
	}
}

func TestPush_LostAnswers(t *testing.T) {
	t.Parallel()
	for _, st := range stores() {
		t.Run(st.name+"/every answer is lost from the middle on: nothing is done twice", func(t *testing.T) {
			t.Parallel()
			const people = 60
			w := newWorld(t, st, settings{scim: []string{"idp"}})
			idp := w.provider("idp").to(w.serve())
			db := w.observed()
			w.sim.ResetCalls()
			over := make(chan func(), 1)
			w.atCreation(20, func() { over <- w.sim.Fail(mmsim.Fault{CutAfter: true}) })
			side(people, 8, func(n int) { idp.tell(n, func() bool { return true }) })
			within(t, 20*time.Second, "Mattermost is lost", func() bool { return len(over) > 0 })
			(<-over)()
			w.calm(db, 30*time.Second)
			requireStories(t, w, people, func(n int) bool { u, ok := w.sim.UserByName(fmt.Sprintf("p%04d", n)); return ok && !u.Active() })
			requireJournal(t, w, time.Time{})
		})
	}
}
