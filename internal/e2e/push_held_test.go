package e2e_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var planRun = regexp.MustCompile(`mmsync approve (\d{8}-\d{6}-[0-9a-f]+)`)

func TestPush_Held(t *testing.T) {
	t.Parallel()
	for _, st := range stores() {
		t.Run(st.name+"/what passes a limit is held, however it is pushed, and let through once by a word", func(t *testing.T) {
			t.Parallel()
			const people, limit = 200, 50
			w := newWorld(t, st, settings{scim: []string{"idp"}})
			s := w.serve()
			idp := w.provider("idp").to(s)
			db := w.observed()
			ids := make([]string, people)
			side(people, 8, func(n int) { ids[n] = idp.create(n) })
			w.calm(db, 30*time.Second)
			require.Equal(t, people, w.active())

			off := func() { side(people, 8, func(n int) { idp.patch(ids[n], object{"active": false}) }) }
			held := func() {
				t.Helper()
				w.calm(db, 30*time.Second)
				require.Equal(t, people-limit, w.active())
				states := map[string]int{}
				for _, id := range ids {
					state, reason := idp.user(id).progress()
					states[state+" "+reason]++
				}
				require.Equal(t, map[string]int{"applied ": limit, "held guard_tripped": people - limit}, states)
			}
			off()
			held()
			// Said again, asked again, started again, and worked on by a run: they stay.
			off()
			held()
			s.end()
			s = w.serve()
			idp.to(s)
			off()
			held()
			w.mmsync("sync", "-q").exits(3)
			held()

			p := w.mmsync("plan").exits(3)
			m := planRun.FindStringSubmatch(p.stdout + p.stderr)
			require.NotNil(t, m, p.stdout+p.stderr)
			require.Equal(t, people-limit, strings.Count(p.stdout, "[guard_tripped]"), tail(p.stdout))

			// Somebody new leaves between the plan and the word about it.
			late := idp.create(people)
			w.calm(db, 10*time.Second)
			idp.patch(late, object{"active": false})
			w.mmsync("approve", m[1], "--reason", "a department was closed").exits(0)
			within(t, 30*time.Second, "those who were approved are off", func() bool { return w.active() == 1 })
			w.calm(db, 10*time.Second)
			require.True(t, w.user(fmt.Sprintf("p%04d", people)).Active(), "he was not approved")
			state, _ := idp.user(late).progress()
			require.Equal(t, "held", state)
			switchedOff := map[string]int{}
			for _, c := range w.sim.Writes() {
				if c.Method == http.MethodPut && strings.HasSuffix(c.Path, "/active") {
					switchedOff[c.Path]++
				}
			}
			require.Len(t, switchedOff, people)
			for path, n := range switchedOff {
				require.Equal(t, 1, n, path)
			}

			// The word is used up: who comes back and leaves again is held again.
			idp.patch(ids[0], object{"active": true})
			idp.patch(ids[people-1], object{"active": true})
			w.calm(db, 10*time.Second)
			require.Equal(t, 3, w.active())
			idp.patch(ids[0], object{"active": false})
			idp.patch(ids[people-1], object{"active": false})
			w.calm(db, 10*time.Second)
			require.Equal(t, 3, w.active())
			s.end()
		})
	}
}

func TestPush_LeaverAlways(t *testing.T) {
	t.Parallel()
	// What comes with active: false; of names one for each try, for a client may give
	// nobody the name of another of its people.
	cases := []struct {
		name  string
		attr  string
		tries [2]any
	}{
		{"with an e-mail that is taken", "emails", [2]any{
			[]object{{"value": "second.admin@chat.test", "type": "work", "primary": true}},
			[]object{{"value": "guest@elsewhere.test", "type": "work", "primary": true}},
		}},
		{"with a name that is taken", "userName", [2]any{"second.admin@example.test", "guest.house@example.test"}},
		{"with a name that is protected", "userName", [2]any{"breakglass@example.test", "svc-one@example.test"}},
		{"with a name that Mattermost does not take", "userName", [2]any{"***@example.test", "???@example.test"}},
		{"without an e-mail, which the mapping needs", "emails", [2]any{[]object{}, []object{}}},
	}
	for _, st := range stores() {
		t.Run(st.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, st, settings{scim: []string{"idp"}, limits: "  protect: {usernames: [breakglass, svc-*]}\n"})
			idp := w.provider("idp").to(w.serve())
			db := w.observed()
			for n, c := range cases {
				for at, verb := range []string{http.MethodPatch, http.MethodPut} {
					//nolint:paralleltest // they share a world
					t.Run(fmt.Sprintf("who leaves %s is off, by %s", c.name, verb), func(t *testing.T) {
						n := 2*n + at
						id := idp.create(n)
						w.calm(db, 10*time.Second)
						require.True(t, w.user(fmt.Sprintf("p%04d", n)).Active())
						if verb == http.MethodPut {
							idp.do(verb, "/Users/"+id, employee(n, with("active", false), with(c.attr, c.tries[at])))
						} else {
							idp.patch(id, object{"active": false, c.attr: c.tries[at]})
						}
						within(t, 10*time.Second, "he is off", func() bool { return !w.user(fmt.Sprintf("p%04d", n)).Active() })
					})
				}
			}
		})
	}
	t.Run("who is protected himself stays, and is held", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, sqliteStore(), settings{scim: []string{"idp"}})
		s := w.serve()
		idp := w.provider("idp").to(s)
		db := w.observed()
		id := idp.create(1)
		w.calm(db, 10*time.Second)
		s.end()
		next := w.settings
		next.limits = "  protect: {usernames: [p0001]}\n"
		w.configure(next)
		idp.to(w.serve())
		idp.patch(id, object{"active": false})
		w.calm(db, 10*time.Second)
		require.True(t, w.user("p0001").Active())
		state, _ := idp.user(id).progress()
		require.Equal(t, "held", state)
	})
}
