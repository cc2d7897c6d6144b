package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPush_Existing(t *testing.T) {
	t.Parallel()
	for _, st := range stores() {
		t.Run(st.name+"/a provider that is connected to a server full of people finds all of them", func(t *testing.T) {
			t.Parallel()
			people, changes := many(500, 5000), 50
			enough := 20*time.Second + time.Duration(people)*50*time.Millisecond
			w := newWorld(t, st, settings{scim: []string{"idp"}, inline: "1s", sections: "matching:\n  - {by: email, adopt: ask}\n"})
			long := time.Now().Add(-90 * 24 * time.Hour).UnixMilli()
			there := make([]mmsimUser, people)
			for n := range there {
				name := fmt.Sprintf("p%04d", n)
				there[n] = mmsimUser{Username: name, Email: name + "@example.test", Position: "Clerk", CreateAt: long, UpdateAt: long}
			}
			w.sim.AddUsers(there)
			s := w.serve()
			idp := w.provider("idp").to(s)
			db := w.observed()
			w.sim.ResetCalls()
			ids := make([]string, people)
			began := time.Now()
			side(people, 16, func(n int) { ids[n] = idp.create(n) })
			taken := time.Since(began)
			w.calm(db, enough)
			t.Logf("%d people were pushed in %s, and looked at %s after the first, with %d calls of Mattermost", people, taken.Round(time.Millisecond), time.Since(began).Round(time.Millisecond), len(w.sim.Calls()))
			require.Empty(t, w.sim.Writes())
			state, reason := idp.user(ids[people-1]).progress()
			require.Equal(t, []string{"held", "match_needs_approval"}, []string{state, reason})

			began = time.Now()
			p := w.mmsync("plan", "--limit-lines", "0")
			t.Logf("planned in %s", time.Since(began).Round(time.Millisecond))
			require.Equal(t, people, strings.Count(p.stdout, "[match_needs_approval]"), tail(p.stdout))
			s.end() // it would patch what differs as soon as there are links
			began = time.Now()
			w.mmsync("link", "approve", "--all", "--reason", "they are the same").exits(0)
			t.Logf("linked in %s", time.Since(began).Round(time.Millisecond))
			require.Len(t, w.links(), people)
			require.Empty(t, w.sim.Writes(), "only ownership changes")

			s = w.serve()
			idp.to(s)
			w.calm(db, enough)
			began = time.Now()
			side(changes, 8, func(n int) { idp.patch(ids[n], object{"title": "Director"}) })
			idp.patch(ids[changes], object{"active": false})
			w.calm(db, 30*time.Second)
			t.Logf("%d changes in %s", changes+1, time.Since(began).Round(time.Millisecond))
			for n, u := range w.pushed(changes + 1) {
				require.Equal(t, n < changes, u.Active(), u.Username)
				if n < changes {
					require.Equal(t, "Director", u.Position)
				}
			}
			state, _ = idp.user(ids[people-1]).progress()
			require.Equal(t, "applied", state)
			s.end()
		})
	}
}
