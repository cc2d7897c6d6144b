package reconcile_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

// What was given is in the history: whoever left by himself is not added again by a
// store that was made anew from it.
func TestMemberships_rebuild(t *testing.T) {
	t.Parallel()
	c := engineering(t)
	v := vault(t)
	c.change = func(o *reconcile.Options) { o.Vault = v }
	people := engineers()
	c.sync(people)
	c.quiet(people)
	c.walkOut("ann", "eng/dev")
	given := func(c *club) map[string]identity.Memberships {
		s := c.store()
		defer s.Close()
		links, err := s.Links(t.Context(), state.LinkFilter{})
		require.NoError(t, err)
		out := map[string]identity.Memberships{}
		for _, l := range links {
			out[l.Key.Anchor] = l.Applied.Memberships
		}
		return out
	}
	was := given(c)
	require.Equal(t, identity.Memberships{{Space: "eng", ID: c.ids["eng"]}, {Space: "eng/dev", ID: c.ids["eng/dev"], Admin: true}}, was["1"])

	history := c.export(v, false)
	again := *c
	again.world = c.lost(false)
	_, err := again.rebuild(v, history)
	require.NoError(t, err)
	require.Equal(t, was, given(&again))
	again.accept(v)
	again.sync(people)
	require.Equal(t, []string{"bob"}, c.in("eng/dev"))
}
