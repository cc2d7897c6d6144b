package reconcile_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// A push is a plan of one: it asks about the person's own places alone.
func TestMemberships_push(t *testing.T) {
	t.Parallel()
	c := newClub(t, mmsim.Options{}, "eng", "eng/a", "eng/b", "eng/c", "eng/d", "eng/e")
	var spaces []plan.SpaceRule
	for _, name := range []string{"eng", "eng/a", "eng/b", "eng/c", "eng/d", "eng/e"} {
		spaces = append(spaces, plan.SpaceRule{Name: name, Strict: name != "eng", Admins: true})
	}
	people := newClient()
	p := c.service(people, wiring{change: func(o *reconcile.Options) {
		o.Policy.Memberships = []plan.MembershipAuthority{{Source: "idp", Spaces: spaces}}
		o.Limits.MembershipAdditions, o.Limits.MembershipRemovals = guard.Limit{Count: 100}, guard.Limit{Count: 2}
	}})
	in := func(names ...string) func(*identity.Identity) {
		return func(id *identity.Identity) {
			for _, name := range names {
				name, admin := strings.CutSuffix(name, "*")
				id.Memberships = append(id.Memberships, identity.Membership{Space: name, Admin: admin})
			}
		}
	}
	// A new account, and its places.
	p.push(pushedID(1, in("eng", "eng/a", "eng/b*")))
	require.Equal(t, []string{"p0001"}, c.in("eng"))
	require.Equal(t, []string{"p0001*"}, c.in("eng/b"))
	// Another wish: out of one, into another, no administrator any more.
	c.sim.ResetCalls()
	p.push(pushedID(1, in("eng", "eng/b", "eng/c")))
	calls := c.sim.Calls()
	require.Empty(t, c.in("eng/a"))
	require.Equal(t, []string{"p0001"}, c.in("eng/b"))
	require.Equal(t, []string{"p0001"}, c.in("eng/c"))
	for _, call := range calls {
		require.False(t, call.Method == "GET" && strings.HasSuffix(call.Path, "/members"), "who else is there is nobody's business: %s", call.Path)
	}
	// Who left by himself stays out.
	c.walkOut("p0001", "eng/c")
	p.push(pushedID(1, func(id *identity.Identity) { in("eng", "eng/b", "eng/c")(id); id.Profile.Position = "Clerk" }))
	require.Empty(t, c.in("eng/c"))
	// A leaver keeps his places and, back again, is where he was.
	p.push(pushedID(1, leaver))
	require.Equal(t, []string{"p0001"}, c.in("eng/b"))
	p.push(pushedID(1, in("eng", "eng/b", "eng/d")))
	require.Equal(t, []string{"p0001"}, c.in("eng/d"))
	u, ok := c.sim.UserByName("p0001")
	require.True(t, ok)
	require.True(t, u.Active())
	// Too many who are taken out are held, also when they come one by one.
	for n := 2; n <= 4; n++ {
		p.push(pushedID(n, in("eng", "eng/e")))
	}
	require.Len(t, c.in("eng/e"), 3)
	for n := 2; n <= 4; n++ {
		p.push(pushedID(n, in("eng")))
	}
	require.NotEmpty(t, c.in("eng/e"))
}
