package plan_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func TestModel_call(t *testing.T) {
	t.Parallel()
	m := &model{world: newWorld(), seatLimit: -1}
	m.accounts["a"] = &identity.Account{ID: "a", Profile: identity.Profile{Username: "ann", Email: "ann@x"}, Roles: identity.NewRoles(identity.RoleAdmin), DeleteAt: 1}
	m.accounts["b"] = &identity.Account{ID: "b", Profile: identity.Profile{Username: "bob", Email: "bob@x"}, Roles: identity.NewRoles(identity.RoleAdmin)}
	patch := plan.Op{Kind: plan.PatchProfile, Changes: []plan.Change{{Field: "username", From: "bob", To: "Ann"}}}
	_, err := m.call(plan.Decision{AccountID: "b"}, patch)
	require.ErrorContains(t, err, "taken", "deactivated accounts hold their names, whatever the case")
	_, err = m.call(plan.Decision{AccountID: "b"}, plan.Op{Kind: plan.SetRoles, Changes: []plan.Change{{Field: plan.FieldRoles, From: identity.RoleAdmin, To: identity.RoleUser}}})
	require.ErrorContains(t, err, "administrator")
	m.now = time.Unix(5, 0)
	m.accounts["b"].Roles = identity.NewRoles(identity.RoleAdmin)
	m.accounts["c"] = &identity.Account{ID: "c", Roles: identity.NewRoles(identity.RoleUser)}
	_, err = m.call(plan.Decision{AccountID: "c"}, plan.Op{Kind: plan.SetActive, Changes: []plan.Change{{To: "false"}}})
	require.NoError(t, err)
	require.EqualValues(t, 5000, m.accounts["c"].DeleteAt)
}
