package reconcile

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// A push of somebody who only adds to an account decides about its owner as well, whose
// observation stands behind his own.
func TestPushes_left_looksAtThePersonOfTheDecision(t *testing.T) {
	t.Parallel()
	adds, owner, other := identity.Key{Source: "hr", Anchor: "h1"}, identity.Key{Source: "idp", Anchor: "1"}, identity.Key{Source: "idp", Anchor: "2"}
	g := &gathered{now: time.Now(), observations: []plan.Observation{
		{Key: adds}, {Key: owner, ByUsername: &plan.Holder{Account: &identity.Account{ID: "a2"}, Owner: other}},
	}}
	rep := &Report{Plan: plan.Plan{Decisions: []plan.Decision{{Key: owner, Action: plan.Hold, Held: plan.Update, Reason: plan.UsernameTaken}}}}
	w := (&pushes{}).left(rep, state.Due{DueMark: state.DueMark{Key: adds}}, nil, g)
	require.False(t, w.held, "the other may give the name up at any moment")
	require.Positive(t, w.again)

	g.observations[1].ByUsername.Owner = identity.Key{}
	require.True(t, (&pushes{}).left(rep, state.Due{DueMark: state.DueMark{Key: adds}}, nil, g).held, "nobody's account gives nothing up")
}
