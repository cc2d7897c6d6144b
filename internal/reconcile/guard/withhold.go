package guard

import (
	"slices"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Withhold gives the plan with everything of a tripped class turned into a
// visible Hold, or of an update that goes on without it into a Note; the safe
// rest stays. It is the only thing that edits a plan.
// Accounts that should have taken the seats of withheld leavers are held as
// well, for the server would refuse them.
func Withhold(p plan.Plan, v Verdict) plan.Plan {
	if !v.Tripped() {
		return p
	}
	p.Decisions = slices.Clone(p.Decisions)
	for _, t := range v.Trips {
		for i := range p.Decisions {
			d := &p.Decisions[i]
			switch {
			case d.Key.Source != t.Source || d.Approval != "":
			case t.Class == Deactivations && Counts(*d):
				why := tooMany(t)
				if d.Detail != "" {
					why = d.Detail + "; " + why
				}
				d.Held, d.Action, d.Reason, d.Detail, d.Withheld, d.Ops = plan.Deactivate, plan.Hold, plan.GuardTripped, why, d.Ops, nil
			case t.Class == Recreations && recreates(*d):
				d.Held, d.Action, d.Reason, d.Detail = plan.Create, plan.Hold, plan.GuardTripped, d.Detail+"; "+tooMany(t)
				d.Notes, d.Withheld, d.Ops = nil, d.Ops, nil
			case t.Class == RoleRemovals && len(lost(*d)) > 0:
				keepRoles(d, tooMany(t))
			}
			// A shrunken source yields no deactivations in the first place.
		}
	}
	if p.Target.Version != "" { // the server was asked for its seats
		plan.HoldBeyondSeats(p.Decisions, p.Target.SeatsLeft)
	}
	// Holds come behind everything that is carried out.
	slices.SortStableFunc(p.Decisions, func(a, b plan.Decision) int { return rank(a) - rank(b) })
	return p
}

func rank(d plan.Decision) int { return slices.Index(plan.Actions(), d.Action) }
