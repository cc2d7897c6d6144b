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

func rolesOp(from, to string) plan.Op {
	return plan.Op{Kind: plan.SetRoles, Changes: []plan.Change{{Field: plan.FieldRoles, From: from, To: to}}}
}

// demoted makes decisions about n people of a source who lose a role.
func demoted(source string, n int, from string, more ...plan.Op) []plan.Decision {
	out := make([]plan.Decision, 0, n)
	for i := range n {
		out = append(out, plan.Decision{
			Key: identity.Key{Source: source, Anchor: fmt.Sprintf("r%03d", i)}, Ref: fmt.Sprintf("uid=u%d,ou=Ops,dc=example,dc=com", i),
			Action: plan.Update, Reason: plan.Differs, AccountID: fmt.Sprintf("r%03d", i), Username: fmt.Sprintf("ops.%03d", i),
			Ops: append(append([]plan.Op{}, more...), rolesOp(from, "system_user")),
		})
	}
	return out
}

func TestCheck_role_removals(t *testing.T) {
	t.Parallel()
	trips := func(list []plan.Decision) []guard.Trip {
		return guard.Check(plan.Plan{Decisions: list, Sources: []plan.SourceSummary{source("ad", 900)}}, used("ad", 40), limits()).Trips
	}
	admin := "system_admin system_user"
	t.Run("as many as allowed pass, one more trips", func(t *testing.T) {
		t.Parallel()
		require.Empty(t, trips(demoted("ad", 5, admin)))
		v := trips(demoted("ad", 6, admin))
		require.Len(t, v, 1)
		require.Equal(t, plan.RoleRemovals, v[0].Class)
		require.Equal(t, []int{6, 0, 940, 5}, []int{v[0].Planned, v[0].Before, v[0].Base, v[0].Limit})
	})
	t.Run("a role that is given instead does not make up for the one that goes", func(t *testing.T) {
		t.Parallel()
		list := demoted("ad", 6, admin)
		for i := range list {
			list[i].Ops[0].Changes[0].To = "system_auditor system_user"
		}
		require.Len(t, trips(list), 1)
	})
	t.Run("roles that are only given, and those of leavers, do not count", func(t *testing.T) {
		t.Parallel()
		given := demoted("ad", 60, "")
		given[0].Ops[0] = rolesOp("system_user", admin)
		require.Empty(t, trips(given))
		leaving := leavers("ad", 0, 10, plan.SourceDisabled, "")
		for i := range leaving {
			leaving[i].Ops = append(leaving[i].Ops, rolesOp(admin, "system_user"))
		}
		require.Empty(t, trips(leaving))
	})
	t.Run("a leaver who is off already loses his rights, however many there are", func(t *testing.T) {
		t.Parallel()
		var obs []plan.Observation
		for i := range 20 {
			k := identity.Key{Source: "ad", Anchor: fmt.Sprint(i)}
			a := &identity.Account{ID: fmt.Sprint("a", i), DeleteAt: 7, Roles: identity.NewRoles(identity.RoleAdmin, identity.RoleUser)}
			a.Username = fmt.Sprint("u", i)
			o := plan.Observation{Key: k, Link: &identity.Link{Key: k, AccountID: a.ID, Part: identity.Owner}, Linked: a}
			switch i % 3 {
			case 0:
				o.Desired = &identity.Identity{Key: k, Owned: identity.AttributesOf(identity.Username), Profile: a.Profile}
			case 1:
				o.Desired = &identity.Identity{Key: k, Fault: "unusable"}
			default:
				o.Absence = plan.Absence{Explicit: true}
			}
			obs = append(obs, o)
		}
		p := plan.Build(obs, plan.Policy{Update: true, Deactivate: plan.Triggers{Disabled: true, Missing: true}})
		require.Equal(t, 20, p.Count(plan.Update))
		require.Empty(t, trips(p.Decisions))
	})
	t.Run("both classes trip side by side", func(t *testing.T) {
		t.Parallel()
		v := trips(append(leavers("ad", 0, 20, plan.SourceDisabled, ""), demoted("ad", 6, admin)...))
		require.Equal(t, []plan.Class{plan.Deactivations, plan.RoleRemovals}, []plan.Class{v[0].Class, v[1].Class})
	})
}

func TestWithhold_role_removals(t *testing.T) {
	t.Parallel()
	patch := plan.Op{Kind: plan.PatchProfile, Changes: []plan.Change{{Field: "position", From: "a", To: "b"}}}
	build := func() plan.Plan {
		p := plan.Plan{Sources: []plan.SourceSummary{source("ad", 900), source("hr", 900)}}
		p.Decisions = append(p.Decisions, demoted("ad", 4, "system_admin system_user", patch)...)
		p.Decisions = append(p.Decisions, demoted("hr", 2, "system_admin system_user")...)
		more := demoted("ad", 8, "system_admin system_user")
		for i := range more {
			more[i].Key.Anchor += "x"
		}
		p.Decisions = append(p.Decisions, more[4:]...)
		return p
	}
	p := build()
	v := guard.Check(p, guard.Usage{}, limits())
	require.Len(t, v.Trips, 1)
	got := guard.Withhold(p, v)
	const why = "8 role removals from ad are too many at once, limit 5; it keeps system_admin"
	t.Run("the rest of an update goes on, and what stays is shown", func(t *testing.T) {
		t.Parallel()
		for _, d := range got.Decisions[:4] {
			require.Equal(t, plan.Update, d.Action)
			require.Equal(t, []plan.Op{patch}, d.Ops)
			require.Equal(t, []plan.Note{{Field: plan.FieldRoles, Reason: plan.GuardTripped, Detail: why, From: "system_admin system_user", To: "system_user"}}, d.Notes)
		}
	})
	t.Run("what is nothing else is held", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, 4, got.Count(plan.Hold))
		for _, d := range got.Decisions[6:] {
			require.Equal(t, plan.Hold, d.Action)
			require.Equal(t, plan.Update, d.Held)
			require.Equal(t, plan.GuardTripped, d.Reason)
			require.Equal(t, why, d.Detail)
			require.Empty(t, d.Ops)
			require.True(t, d.Open())
		}
	})
	t.Run("another source goes on", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, build().Decisions[4:6], got.Decisions[4:6])
	})
	t.Run("the plan it was given stays as it is, and twice is once", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, build(), p)
		require.Equal(t, got, guard.Withhold(got, guard.Check(got, guard.Usage{}, limits())))
	})
	t.Run("the line about the guards reads the same before and after", func(t *testing.T) {
		t.Parallel()
		require.Contains(t, guard.Summary(p, guard.Usage{}, limits()), "remove roles from ad 8 of 5 (0.9 %) tripped")
		require.Contains(t, guard.Summary(p, guard.Usage{}, limits()), "remove roles from hr 2 of 5 (0.2 %) ok")
		require.Equal(t, guard.Summary(p, guard.Usage{}, limits()), guard.Summary(got, guard.Usage{}, limits()))
	})
	t.Run("what is shown", func(t *testing.T) {
		t.Parallel()
		var b bytes.Buffer
		require.NoError(t, plan.Render(&b, got, plan.Style{}))
		require.Contains(t, b.String(), "  ! ops.004     held       would update: "+why+" [guard_tripped]\n")
		require.Contains(t, b.String(), "  !             held       "+why+" [guard_tripped]\n")
	})
}
