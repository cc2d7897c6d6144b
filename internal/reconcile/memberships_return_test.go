package reconcile_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// What mmsync itself took is given back by the rules alone: it remembers nothing of what
// it took, so that a new wish counts anew.
func TestMemberships_givenBackByRules(t *testing.T) {
	t.Parallel()
	t.Run("who loses a strict team for one run gets it again, and the channels that went with it", func(t *testing.T) {
		t.Parallel()
		c := engineering(t)
		c.strict["eng"] = true
		people := engineers()[:2]
		c.sync(people)
		people[0].Groups, people[1].Groups = []string{"elsewhere"}, []string{"elsewhere"}
		c.sync(people)
		require.Empty(t, c.in("eng"))
		require.Empty(t, c.in("eng/dev"))
		c.sync(engineers()[:2])
		require.Equal(t, []string{"ann", "bob"}, c.in("eng"))
		require.Equal(t, []string{"ann*", "bob"}, c.in("eng/dev"))
		c.quiet(engineers()[:2])
	})
	t.Run("so it is for somebody who loses it, leaves and comes back", func(t *testing.T) {
		t.Parallel()
		c := engineering(t)
		c.strict["eng"], c.strict["eng/dev"] = true, true
		c.sync(engineers()[:2])
		people := engineers()[:2]
		people[1].Groups = nil
		c.sync(people)
		people[1].Left = "yes"
		c.sync(people)
		require.False(t, c.active("bob"))
		c.sync(engineers()[:2])
		require.True(t, c.active("bob"))
		require.Equal(t, []string{"ann", "bob"}, c.in("eng"))
		require.Equal(t, []string{"ann*", "bob"}, c.in("eng/dev"))
		c.quiet(engineers()[:2])
	})
	t.Run("an account that takes the place of one that is gone gets all that rules give", func(t *testing.T) {
		t.Parallel()
		c := engineering(t)
		c.change = func(o *reconcile.Options) { o.Policy.RecreateGone = true; o.Limits.Recreations.Count = 5 }
		people := engineers()[:2]
		c.sync(people)
		c.sim.RemoveUser(c.id("bob"))
		c.sync(people)
		c.sync(people)
		require.Equal(t, []string{"ann*", "bob"}, c.in("eng/dev"))
		c.quiet(people)
	})
}

// leftAndBack has bob leave, be taken out of everything while he is off, and come back.
func leftAndBack(t testing.TB, restore bool) (*club, []human) {
	t.Helper()
	c := engineering(t)
	c.change = func(o *reconcile.Options) { o.Policy.RestoreOnReturn = restore }
	people := engineers()[:2]
	c.sync(people)
	c.quiet(people)
	gone := engineers()[:2]
	gone[1].Left = "yes"
	c.sync(gone)
	require.False(t, c.active("bob"))
	c.call(http.MethodDelete, "/teams/"+c.ids["eng"]+"/members/"+c.id("bob"), "")
	require.Equal(t, []string{"ann"}, c.in("eng"))
	return c, people
}

func TestMemberships_onReturn(t *testing.T) {
	t.Parallel()
	t.Run("who was taken out while he was off stays out", func(t *testing.T) {
		t.Parallel()
		c, people := leftAndBack(t, false)
		c.sync(people)
		require.True(t, c.active("bob"))
		require.Equal(t, []string{"ann"}, c.in("eng"))
	})
	t.Run("or is put back where rules want him, if the policy says so", func(t *testing.T) {
		t.Parallel()
		c, people := leftAndBack(t, true)
		rep, _ := c.sync(people)
		require.Equal(t, 1, rep.Plan.Count(plan.Reactivate))
		require.Equal(t, []string{"ann", "bob"}, c.in("eng"))
		require.Equal(t, []string{"ann*", "bob"}, c.in("eng/dev"))
		c.quiet(people)
		c.walkOut("bob", "eng/dev")
		c.quiet(people)
		require.Equal(t, []string{"ann*"}, c.in("eng/dev"), "afterwards leaving counts as ever")
	})
	t.Run("also if there is room for him only later", func(t *testing.T) {
		t.Parallel()
		c, people := leftAndBack(t, true)
		c.sim.Restart(map[string]string{"MM_TEAMSETTINGS_MAXUSERSPERTEAM": "2"}) // ann and whoever made it
		c.sync(people)
		require.True(t, c.active("bob"))
		require.Equal(t, []string{"ann"}, c.in("eng"))
		c.sim.Restart(map[string]string{})
		c.sync(people)
		require.Equal(t, []string{"ann", "bob"}, c.in("eng"))
		require.Equal(t, []string{"ann*", "bob"}, c.in("eng/dev"))
		c.quiet(people)
	})
	t.Run("rules win: he gets nothing that they do not give any more", func(t *testing.T) {
		t.Parallel()
		c, people := leftAndBack(t, true)
		people[1].Groups = []string{"g-eng"}
		c.sync(people)
		require.Equal(t, []string{"ann", "bob"}, c.in("eng"))
		require.Equal(t, []string{"ann*"}, c.in("eng/dev"))
	})
	t.Run("a team that is archived by then is left, with a reason", func(t *testing.T) {
		t.Parallel()
		c, people := leftAndBack(t, true)
		c.call(http.MethodDelete, "/teams/"+c.ids["eng"], "")
		rep, _ := c.sync(people)
		require.True(t, c.active("bob"))
		require.Contains(t, rep.Problems[0], "is archived")
	})
	t.Run("wherever the run is cut, he is back everywhere in the end", func(t *testing.T) {
		t.Parallel()
		for _, kind := range cutKinds()[:4] {
			apart := step(9)
			for n := 1 + rand.IntN(apart); ; n += apart { //nolint:gosec // where to begin; failures name the place
				c, people := leftAndBack(t, true)
				cr := &crash{at: int64(n), kind: kind}
				_, err := c.world.sync(people, c.with(people, wiring{wrap: func(s state.Store) state.Store { return mortal{s, cr} }, network: cr}))
				hit, name := cr.dead.Load(), fmt.Sprintf("%s %d", kind, n)
				require.Equal(t, hit, err != nil, name)
				for range 3 {
					time.Sleep(30 * time.Millisecond) // a call that may still arrive
					c.sync(people)
				}
				require.Equal(t, []string{"ann", "bob"}, c.in("eng"), name)
				require.Equal(t, []string{"ann*", "bob"}, c.in("eng/dev"), name)
				if !hit {
					break
				}
			}
		}
	})
}
