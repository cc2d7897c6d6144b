package plan_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func TestClasses(t *testing.T) {
	t.Parallel()
	change := func(f plan.Field, from, to string) plan.Change { return plan.Change{Field: f, From: from, To: to} }
	patch := func(c ...plan.Change) plan.Op { return plan.Op{Kind: plan.PatchProfile, Changes: c} }
	guests := func(kind plan.OpKind, from, to string) plan.Op {
		return plan.Op{Kind: kind, Changes: []plan.Change{change(plan.FieldRoles, from, to)}}
	}
	roles := func(from, to string) plan.Op {
		return plan.Op{Kind: plan.SetRoles, Changes: []plan.Change{change(plan.FieldRoles, from, to)}}
	}
	active := func(kind plan.OpKind, from, to string) plan.Op {
		return plan.Op{Kind: kind, Changes: []plan.Change{change(plan.FieldActive, from, to)}}
	}
	off, on := active(plan.SetActive, "true", "false"), active(plan.SetActive, "false", "true")
	update := func(ops ...plan.Op) plan.Decision {
		return plan.Decision{Action: plan.Update, Reason: plan.Differs, Ops: ops}
	}
	type classes = []plan.Class
	for name, c := range map[string]struct {
		d    plan.Decision
		want []classes // by op
	}{
		"a leaver's roles are part of his leaving": {
			plan.Decision{Action: plan.Deactivate, Ops: []plan.Op{off, roles("system_admin system_user", "system_user")}},
			[]classes{{plan.Deactivations}, nil},
		},
		"a leaver whom the server does not let go": {
			plan.Decision{Action: plan.Hold, Held: plan.Deactivate, Ops: []plan.Op{active(plan.RevokeSessions, "true", "false"), roles("a b", "a")}},
			[]classes{{plan.Deactivations}, nil},
		},
		"one of whom only the rights are left to take": {
			plan.Decision{Action: plan.Hold, Held: plan.Deactivate, Ops: []plan.Op{roles("a b", "a")}},
			[]classes{{plan.Deactivations}},
		},
		"a leaver who is off already": {
			plan.Decision{Action: plan.Update, Reason: plan.AlreadyOff, Ops: []plan.Op{patch(change("username", "a", "b")), roles("a b", "a")}},
			[]classes{{plan.Renames}, nil},
		},
		"a new administrator": {
			plan.Decision{Action: plan.Create, Ops: []plan.Op{{Kind: plan.CreateAccount}, roles("system_user", "system_admin system_user")}},
			[]classes{{plan.Creates}, {plan.AdminGrants}},
		},
		"an account made anew": {
			plan.Decision{Action: plan.Create, Ops: []plan.Op{{Kind: plan.UnlinkAccount}, {Kind: plan.CreateAccount}}},
			[]classes{nil, {plan.Recreations}},
		},
		"everything at once": {
			update(
				patch(change("username", "a", "b"), change("email", "a", "b"), change("position", "a", "b"), change("nickname", "a", "")),
				roles("system_user x", "system_user y"),
				plan.Op{Kind: plan.SetAuth, Changes: []plan.Change{change(plan.FieldAuthService, "", "saml"), change(plan.FieldAuthData, "", "x")}},
				active(plan.RevokeSessions, "true", "true"),
			),
			[]classes{
				{plan.AttributeLoss("nickname"), plan.EmailChanges, plan.Renames, plan.Updates},
				{plan.AdminGrants, plan.RoleRemovals},
				{plan.AuthChanges},
				nil,
			},
		},
		"user and guest are no rights": {update(roles("system_guest", "system_user")), []classes{{plan.RoleRemovals}}},
		"becoming a guest and ceasing to be one": {
			update(roles("system_user x", "system_user"), guests(plan.Demote, "system_user", "system_guest"), active(plan.RevokeSessions, "true", "true"), guests(plan.Promote, "system_guest", "system_user")),
			[]classes{{plan.RoleRemovals}, {plan.RoleRemovals}, nil, {plan.AdminGrants}},
		},
		"who is made a guest from the start": {
			plan.Decision{Action: plan.Create, Ops: []plan.Op{{Kind: plan.CreateAccount}, guests(plan.Demote, "system_user", "system_guest")}},
			[]classes{{plan.Creates}, nil},
		},
		"what was empty cannot be lost":      {update(patch(change("position", "", "x"))), []classes{{plan.Updates}}},
		"a parked name":                      {update(plan.Op{Kind: plan.PatchProfile, Parks: true, Changes: []plan.Change{change("username", "a", "p")}}), []classes{{plan.Renames}}},
		"who comes back loses nothing":       {plan.Decision{Action: plan.Reactivate, Ops: []plan.Op{roles("system_user x", "system_user"), on}}, []classes{nil, {plan.Reactivations}}},
		"taking over alone counts nowhere":   {plan.Decision{Action: plan.Adopt, Ops: []plan.Op{{Kind: plan.LinkAccount}, roles("x y", "x")}}, []classes{nil, {plan.RoleRemovals}}},
		"forgetting somebody counts nowhere": {plan.Decision{Action: plan.Forget, Ops: []plan.Op{{Kind: plan.UnlinkAccount}}}, []classes{nil}},
	} {
		for op := range c.d.Ops {
			require.ElementsMatch(t, c.want[op], plan.Classes(&c.d, op), "%s, op %d", name, op)
			require.IsIncreasing(t, append(classes{""}, plan.Classes(&c.d, op)...), name)
		}
	}
	require.Equal(t, "creates updates", plan.JoinClasses(classes{plan.Creates, plan.Updates}))
	f, ok := plan.AttributeLoss("nickname").Lost()
	require.True(t, ok)
	require.Equal(t, plan.Field("nickname"), f)
	_, ok = plan.Updates.Lost()
	require.False(t, ok)
}
