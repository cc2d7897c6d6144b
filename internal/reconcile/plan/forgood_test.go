package plan_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// TestBuild_forGood asks in random worlds, round by round, whose accounts would be
// deleted for good, and holds each against what is known of the person.
func TestBuild_forGood(t *testing.T) {
	t.Parallel()
	deleted, kept := 0, 0
	for seed := range uint64(250) {
		r, apart := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
		m := invent(r)
		belong(apart, m)
		for round := range 10 {
			m.now = m.now.Add(2 * time.Hour)
			m.recover()
			weather(r, m, round)
			m.seats()
			m.read(r, round)
			obs := m.observe()
			policy := m.policy
			policy.ForGood = &plan.ForGood{After: time.Duration(r.IntN(8)) * time.Hour}
			p := plan.Build(obs, policy)
			for i := range p.Decisions {
				d := &p.Decisions[i]
				if len(d.Ops) == 0 {
					kept++
					continue
				}
				deleted++
				why := mayGo(obs, d, policy.ForGood.After)
				require.Empty(t, why, "seed %d, round %d: %s goes\n%s", seed, round, d.Key, m.describe())
			}
			if _, err := m.execute(t, plan.Build(obs, m.policy), cut{at: -1}); err != nil {
				break
			}
		}
	}
	require.Greater(t, deleted, 100)
	require.Greater(t, kept, 1000)
}

// mayGo says what speaks for somebody whose account a plan deletes, or "".
func mayGo(obs []plan.Observation, d *plan.Decision, after time.Duration) string {
	at := slices.IndexFunc(obs, func(o plan.Observation) bool { return o.Key == d.Key })
	o := &obs[at]
	a := o.Linked
	switch {
	case d.Action != plan.Delete || len(d.Ops) != 1 || d.Ops[0].Kind != plan.DeleteAccount:
		return fmt.Sprintf("something else is done: %s %v", d.Action, d.Ops)
	case a == nil || a.Active() || o.Unseen:
		return "the account is on, or was not seen"
	case a.Roles.Privileged() || a.Bot || a.Remote || a.MagicLink || o.Facts.Protected[a.ID] != "":
		return "it is privileged or protected"
	case o.Link == nil || o.Link.Part == identity.Contributor || o.Link.DeactivatedAt != a.DeleteAt:
		return "mmsync did not switch it off"
	case d.Ops[0].Changes[0].From != strconv.FormatInt(a.DeleteAt, 10):
		return "the op is about another switching off"
	case o.Now.Sub(time.UnixMilli(a.DeleteAt)) < after:
		return "it is not off for long enough"
	case o.Desired != nil && (o.Desired.Active || o.Desired.Deleted.IsZero()):
		return "the source has the person"
	case o.Desired == nil && !o.Absence.Explicit && (!o.Absence.Complete || o.Absence.Presence != identity.PresenceGone || o.Absence.Reads < 2):
		return "it is not proven that the source lacks the person"
	case o.Stopped != nil || !o.Busy.IsZero() || o.Facts.SetBack || len(o.Voices) > 0:
		return "nothing may be done about him now"
	}
	for i := range obs {
		x := &obs[i]
		if x.Desired == nil || !x.Desired.Active || x.Desired.Fault != "" || slices.Contains(x.Refused, a.ID) {
			continue
		}
		if x.Link != nil && x.Link.AccountID == a.ID {
			return x.Key.String() + " is active and linked to it"
		}
		if x.Link == nil && (x.Desired.Profile.Username == a.Username || x.Desired.Profile.Email == a.Email) {
			return x.Key.String() + " is active and wants its name"
		}
	}
	return ""
}
