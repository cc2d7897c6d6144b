package plan_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Of somebody whose source was not asked nothing is taken, and nothing is forgotten.
func TestMemberships_unplaced(t *testing.T) {
	t.Parallel()
	w := parseWorld(t, `
space   eng
space   ops
rule    ad eng strict
rule    ad ops
account a1 ann
in      a1 eng
link    ad/1 a1 gave=eng,ops
desired ad/1
`)
	require.Equal(t, plan.LeaveTeam, w.build().Decisions[0].Ops[0].Kind)
	k := identity.Key{Source: "ad", Anchor: "1"}
	obs := w.observe()
	w.desired[k] = plan.AsItIs(&obs[0], w.policy)
	require.Empty(t, w.build().Decisions)
	obs = w.observe()
	require.Equal(t, w.links[k].Applied.Memberships, plan.Confirmed(&obs[0], w.policy))
}
