package e2e_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/slapdtest"
)

// staffed gives how many of the first n invented people have not left.
func staffed(n int) int { return n - n/25 }

// population is a roster with 10,000 people who have not left.
func population(t testing.TB) int {
	t.Helper()
	if testing.Short() {
		return 520
	}
	return 10416
}

func TestFirstSync(t *testing.T) {
	t.Parallel()
	for _, st := range stores() {
		t.Run(st.name+"/everybody gets an account, once", func(t *testing.T) {
			t.Parallel()
			n := population(t)
			slapd := slapdtest.Start(t, slapdtest.Options{Users: n, NoTLS: true})
			w := newWorld(t, st, settings{ldap: slapd.URL})
			w.sim.ResetCalls()

			began := time.Now()
			w.mmsync("plan", "--limit-lines", "5").exits(2)
			require.Empty(t, w.sim.Writes(), "a plan writes nothing")
			planned := time.Now()
			w.mmsync("sync", "--limit-lines", "5").exits(0)
			synced := time.Now()
			requireStaff(t, w, slapdtest.Roster(n))
			require.Len(t, w.links(), staffed(n))

			w.quiet()
			w.sim.ResetCalls()
			again := time.Now()
			w.mmsync("sync").exits(0)
			require.Empty(t, w.sim.Writes(), "a second sync has nothing to write")
			t.Logf("%d people: plan %s, sync %s, second sync %s", n,
				planned.Sub(began).Round(time.Millisecond), synced.Sub(planned).Round(time.Millisecond), time.Since(again).Round(time.Millisecond))
		})
	}
}

// requireStaff fails unless the server has exactly one account for everybody
// who has not left, as the directory describes him, and nobody else's.
func requireStaff(t *testing.T, w *world, people []slapdtest.Person) {
	t.Helper()
	have := w.managed()
	count := 0
	for i, p := range people {
		if p.Disabled {
			require.NotContains(t, have, p.UID, "somebody who has left gets no account")
			continue
		}
		count++
		u, ok := have[p.UID]
		require.True(t, ok, "%s has no account", p.UID)
		want := identity.Profile{Username: p.UID, Email: p.Mail, FirstName: p.First, LastName: p.Last, Position: p.Title}
		got := identity.Profile{Username: u.Username, Email: u.Email, FirstName: u.FirstName, LastName: u.LastName, Position: u.Position}
		require.Equal(t, want, got)
		roles := identity.NewRoles(identity.RoleUser)
		if i < 2 {
			roles = identity.NewRoles(identity.RoleUser, identity.RoleAdmin)
		}
		require.Equal(t, roles, identity.ParseRoles(u.Roles), "roles of %s", p.UID)
		require.True(t, u.Active())
		require.True(t, u.EmailVerified)
		require.Empty(t, u.AuthService)
	}
	require.Len(t, have, count, "accounts beside those of the directory")
}
