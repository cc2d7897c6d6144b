package reconcile_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/reconcile"
)

func TestMemberships_revert(t *testing.T) {
	t.Parallel()
	c := engineering(t)
	c.strict["eng/dev"] = true
	before := engineers()
	before[1].Groups = []string{"g-lead"}
	c.sync(before)
	c.quiet(before)
	require.Equal(t, []string{"ann*", "bob*"}, c.in("eng/dev"))

	people := engineers()
	people[0].Groups = []string{"g-eng", "g-ops"} // out of dev, into ops
	people[1].Groups = []string{"g-dev", "g-ops"} // no lead any more, into ops
	people[3].Groups = []string{"g-lead"}         // into eng and, as its lead, into dev
	rep, _ := c.sync(people)
	require.Equal(t, []string{"bob", "dan*"}, c.in("eng/dev"))
	require.Equal(t, []string{"ann", "bob"}, c.in("eng/ops"))
	c.walkOut("bob", "eng/ops") // since then, by himself

	s := c.store()
	e := c.engine(s, people, c.with(people, wiring{}))
	back, err := e.Revert(t.Context(), reconcile.RunOptions{Reason: "wrong groups", RequestedBy: "test"}, rep.RunID)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.Empty(t, back.Failures)
	require.Equal(t, []string{"ann*", "bob*"}, c.in("eng/dev"))
	require.Equal(t, []string{"ann", "bob", "cid"}, c.in("eng"), "dan is out of the team as well")
	require.Empty(t, c.in("eng/ops"))
	require.Equal(t, 3, back.Pinned)
	require.NotContains(t, strings.Join(back.Problems, "\n"), "bob", "what he left himself is as it was")
	c.quiet(people)
}
