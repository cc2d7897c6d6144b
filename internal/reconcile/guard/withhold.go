package guard

import (
	"slices"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Withhold gives the plan with everything of a tripped class turned into a
// visible Hold; the safe rest stays. It is the only thing that edits a plan.
func Withhold(p plan.Plan, v Verdict) plan.Plan {
	if !v.Tripped() {
		return p
	}
	p.Decisions = slices.Clone(p.Decisions)
	for _, t := range v.Trips {
		if t.Class != Deactivations {
			continue // a shrunken source yields no deactivations in the first place
		}
		for i := range p.Decisions {
			d := &p.Decisions[i]
			if d.Action == plan.Deactivate && d.Key.Source == t.Source {
				d.Held, d.Action, d.Reason, d.Ops = plan.Deactivate, plan.Hold, plan.GuardTripped, nil
			}
		}
	}
	// Holds come behind everything that is carried out.
	slices.SortStableFunc(p.Decisions, func(a, b plan.Decision) int { return rank(a) - rank(b) })
	return p
}

func rank(d plan.Decision) int { return slices.Index(plan.Actions(), d.Action) }
