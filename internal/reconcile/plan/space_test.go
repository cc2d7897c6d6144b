package plan_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// The channels go with the team on the server, and so they do in what is remembered of
// what mmsync gave: whoever is wanted in one again later has not left it by himself.
func TestOp_After_team(t *testing.T) {
	t.Parallel()
	in := identity.NewMemberships(
		identity.Membership{Space: "eng", ID: "t1"}, identity.Membership{Space: "eng/dev", ID: "c1"},
		identity.Membership{Space: "engine", ID: "t2"}, identity.Membership{Space: "engine/dev", ID: "c2"},
	)
	leave := func(kind plan.OpKind, name string) plan.Op {
		return plan.Op{Kind: kind, Changes: []plan.Change{{Field: plan.SpaceField(name), From: "member"}}}
	}
	require.Equal(t, identity.NewMemberships(in[2], in[3]), leave(plan.LeaveTeam, "eng").After(in))
	require.Equal(t, identity.NewMemberships(in[0], in[2], in[3]), leave(plan.LeaveChannel, "eng/dev").After(in))
}
