package reconcile_test

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// scale is how large a company is.
type scale struct{ people, groups, teams, channels int }

// A company whose groups give teams and channels: the second run writes nothing, strict
// removes exactly the strays, and who left by himself stays out. All of it with
// MMSYNC_TEST_EVERY, else few.
func TestMemberships_company(t *testing.T) {
	t.Parallel()
	size := scale{120, 10, 2, 12}
	if os.Getenv("MMSYNC_TEST_EVERY") != "" {
		size = scale{5000, 200, 20, 300}
	}
	var names []string
	for i := range size.teams {
		names = append(names, fmt.Sprintf("team-%02d", i))
	}
	for i := range size.channels {
		names = append(names, fmt.Sprintf("team-%02d/channel-%03d", i%size.teams, i))
	}
	c := newClub(t, mmsim.Options{}, names...)
	c.change = func(o *reconcile.Options) {
		o.Limits.Creates, o.Limits.MembershipRemovals = guard.Limit{Count: 1e6}, guard.Limit{Count: 1e6}
		o.StaleAfter = time.Hour
	}
	// Each group gives its share of the teams and channels, each person is in three groups.
	want := map[string]map[string]bool{}
	given := map[string][]string{}
	for i, space := range names {
		group := fmt.Sprintf("g%03d", i%size.groups)
		c.give(group, space, i%7 == 0)
		c.strict[space] = i%2 == 0
		given[group] = append(given[group], space)
		want[space] = map[string]bool{}
	}
	var people []human
	for i := range size.people {
		h := human{ID: fmt.Sprint(i), UID: fmt.Sprintf("u%04d", i)}
		for _, at := range []int{i, 7*i + 1, 13*i + 5} {
			h.Groups = append(h.Groups, fmt.Sprintf("g%03d", at%size.groups))
		}
		for _, g := range h.Groups {
			for _, space := range given[g] {
				want[space][h.UID] = true
				if team := space[:7]; team != space {
					want[team][h.UID] = true
				}
			}
		}
		people = append(people, h)
	}
	total := 0
	matches := func(when string) {
		t.Helper()
		total = 0
		for i, space := range names {
			var list []string
			for name := range want[space] {
				admin := i%7 == 0 && slices.ContainsFunc(people, func(h human) bool {
					return h.UID == name && slices.Contains(h.Groups, fmt.Sprintf("g%03d", i%size.groups))
				})
				if admin {
					name += "*"
				}
				list = append(list, name)
			}
			slices.Sort(list)
			total += len(list)
			require.Equal(t, list, c.in(space), "%s: %s", when, space)
		}
	}
	start := time.Now()
	_, writes := c.sync(people)
	first := time.Since(start)
	matches("first run")
	c.quiet(people)
	start = time.Now()
	rep := c.quiet(people)
	t.Logf("%d people, %d memberships: first run %s with %d writes, a run in which nothing has changed %s", size.people, total, first, len(writes), time.Since(start))
	require.Zero(t, rep.Decided)

	// Strays: people of ours and strangers, in spaces that no rule gives them.
	c.sim.AddUser(mmsim.User{Username: "stranger"})
	strays := 0
	for i, space := range names[size.teams:] {
		if c.walkIn("stranger", space[:7]); i%10 == 0 {
			c.walkIn("stranger", space)
		}
		if who := people[(i*31)%len(people)].UID; !want[space][who] && want[space[:7]][who] {
			c.walkIn(who, space)
			if strays++; !c.strict[space] {
				strays--
				want[space][who] = true
			}
		}
		if i%10 == 0 {
			want[space]["stranger"] = true
		}
		want[space[:7]]["stranger"] = true
	}
	// And some who leave by themselves.
	left := 0
	for i := range 10 {
		space, who := names[size.teams+i%size.channels], ""
		for name := range want[space] {
			if name != "stranger" && (who == "" || name < who) {
				who = name
			}
		}
		c.walkOut(who, space)
		delete(want[space], who)
		left++
	}
	rep, writes = c.sync(people)
	matches("strays")
	require.Len(t, writes, strays, "exactly the strays")
	out := 0
	for i := range rep.Plan.Decisions {
		for _, n := range rep.Plan.Decisions[i].Notes {
			if n.Reason == plan.LeftByThemselves {
				out++
			}
		}
	}
	require.Equal(t, left, out)
	c.quiet(people)
	matches("at the end")
}
