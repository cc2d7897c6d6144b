package plan_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func TestOnlyLink(t *testing.T) {
	t.Parallel()
	build := func() plan.Plan {
		return parseWorld(t, `
policy managed.ad=team_lead granted.ad=team_lead
facts version=11.6.0
account root root roles=system_admin,system_user
account x1 ann auth=saml:1
account x2 bob auth=saml:2
account x3 cid
account a4 dan
account a5 eve
link ad/4 a4
link ad/5 a5
desired ad/1 username=ann auth=saml:1 position=Clerk
desired ad/2 username=robert auth=saml:2 roles=team_lead
desired ad/3 username=cid
desired ad/4 position=Lead
desired ad/5 inactive
desired ad/6 username=new
`).build()
	}
	t.Run("of an adoption only the link is left, and nothing else of the plan", func(t *testing.T) {
		t.Parallel()
		p := build()
		require.Equal(t, 2, p.Count(plan.Adopt))
		require.Positive(t, p.Count(plan.Create)*p.Count(plan.Deactivate)*p.Count(plan.Update)*p.Count(plan.Hold))
		only := plan.OnlyLink(p)
		require.Len(t, only.Decisions, 2)
		for _, d := range only.Decisions {
			require.Equal(t, plan.Adopt, d.Action)
			require.Equal(t, plan.SameAuthData, d.Reason)
			require.Equal(t, []plan.Op{{Kind: plan.LinkAccount}}, d.Ops)
			require.Empty(t, d.Notes)
		}
		require.Equal(t, p.Unchanged, only.Unchanged)
		require.True(t, only.Effective())
	})
	t.Run("the plan itself stays as it is", func(t *testing.T) {
		t.Parallel()
		p := build()
		_ = plan.OnlyLink(p)
		require.Equal(t, build(), p)
	})
	t.Run("a plan without adoptions leaves nothing to do", func(t *testing.T) {
		t.Parallel()
		p := parseWorld(t, "desired ad/6 username=new").build()
		require.True(t, p.Effective())
		require.False(t, plan.OnlyLink(p).Effective())
	})
	t.Run("an adoption that is held stays held", func(t *testing.T) {
		t.Parallel()
		p := build()
		for i := range p.Decisions {
			if d := &p.Decisions[i]; d.Action == plan.Adopt {
				d.Action, d.Reason, d.Held, d.Withheld, d.Ops = plan.Hold, plan.GuardTripped, plan.Adopt, d.Ops, nil
			}
		}
		require.False(t, plan.OnlyLink(p).Effective())
	})
}
