package guard_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// recreated makes what Build decides about n people whose accounts are gone.
func recreated(source string, n int) []plan.Decision {
	obs := make([]plan.Observation, 0, n)
	for i := range n {
		k := identity.Key{Source: source, Anchor: fmt.Sprintf("g%03d", i)}
		p := identity.Profile{Username: fmt.Sprintf("gone.%03d", i), Email: fmt.Sprintf("gone.%03d@example.com", i)}
		obs = append(obs, plan.Observation{
			Key: k, Link: &identity.Link{Key: k, AccountID: fmt.Sprintf("g%03d", i), Part: identity.Owner},
			Desired: &identity.Identity{Key: k, Ref: fmt.Sprintf("uid=gone.%03d,ou=Lab,dc=example,dc=com", i), Active: true, Profile: p, Owned: identity.AttributesOf(identity.Username, identity.Email)},
		})
	}
	return plan.Build(obs, plan.Policy{Create: true, RecreateGone: true}).Decisions
}

func TestCheck_recreations(t *testing.T) {
	t.Parallel()
	trips := func(list []plan.Decision) []guard.Trip {
		return guard.Check(plan.Plan{Decisions: list, Sources: []plan.SourceSummary{source("ad", 900)}}, used("ad", 40), limits()).Trips
	}
	t.Run("as many as allowed pass, one more trips, whatever was done before", func(t *testing.T) {
		t.Parallel()
		require.Empty(t, trips(recreated("ad", 4)))
		v := trips(recreated("ad", 5))
		require.Len(t, v, 1)
		require.Equal(t, plan.Recreations, v[0].Class)
		require.Equal(t, []int{5, 0, 940, 4}, []int{v[0].Planned, v[0].Before, v[0].Base, v[0].Limit})
	})
	t.Run("accounts for new people do not count", func(t *testing.T) {
		t.Parallel()
		list := recreated("ad", 50)
		for i := range list {
			list[i].Reason, list[i].Ops = plan.Wanted, list[i].Ops[1:]
		}
		require.Empty(t, trips(list))
	})
	t.Run("all classes trip side by side", func(t *testing.T) {
		t.Parallel()
		var got []plan.Class
		for _, x := range trips(append(append(leavers("ad", 0, 20, plan.SourceDisabled, ""), recreated("ad", 5)...), demoted("ad", 6, "system_admin system_user")...)) {
			got = append(got, x.Class)
		}
		require.Equal(t, []plan.Class{plan.Deactivations, plan.Recreations, plan.RoleRemovals}, got)
	})
}

func TestWithhold_recreations(t *testing.T) {
	t.Parallel()
	build := func() plan.Plan {
		return plan.Plan{
			Sources:   []plan.SourceSummary{source("ad", 900), source("hr", 900)},
			Decisions: append(recreated("ad", 5), recreated("hr", 2)...),
		}
	}
	p := build()
	v := guard.Check(p, guard.Usage{}, limits())
	require.Len(t, v.Trips, 1)
	got := guard.Withhold(p, v)
	require.Equal(t, 2, got.Count(plan.Create), "another source goes on")
	for _, d := range got.Decisions[2:] {
		require.Equal(t, plan.Hold, d.Action)
		require.Equal(t, plan.Create, d.Held)
		require.Equal(t, plan.GuardTripped, d.Reason)
		require.Equal(t, "from ad; the server has no account "+d.Key.Anchor+" any more; 5 recreations from ad are too many at once, limit 4", d.Detail)
		require.Empty(t, d.Ops, "the old link stays as well")
	}
	require.Equal(t, build(), p, "the plan it was given stays as it is")
	require.Equal(t, got, guard.Withhold(got, guard.Check(got, guard.Usage{}, limits())), "twice is once")
	require.Equal(t, "Guards: deactivate from ad 0 of 50 (0.0 %) ok   deactivate from hr 0 of 50 (0.0 %) ok   recreate from ad 5 of 4 (0.6 %) tripped   recreate from hr 2 of 4 (0.2 %) ok",
		guard.Summary(p, guard.Usage{}, limits()))
	require.Equal(t, guard.Summary(p, guard.Usage{}, limits()), guard.Summary(got, guard.Usage{}, limits()))
	var b bytes.Buffer
	require.NoError(t, plan.Render(&b, got, plan.Style{}))
	require.Contains(t, b.String(), "  ! gone.000    held       would create: from ad; the server has no account g000 any more; 5 recreations from ad are too many at once, limit 4 [guard_tripped]\n")
}
