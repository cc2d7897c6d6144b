package guard

import (
	"fmt"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// scope gives the trips of sources from which a change of the configuration would
// remove people.
func scope(p plan.Plan, u Usage, counted map[group]*tally) []Trip {
	if u.Rules == nil {
		return nil
	}
	byKey := map[string]map[identity.Key]bool{}
	causes := map[string]map[cause]int{}
	for i := range p.Decisions {
		d := &p.Decisions[i]
		if d.Approval != "" || !u.Rules.blamed(d) || d.Reason == plan.SourceDeleted {
			continue
		}
		for _, class := range classes(d) {
			// What was held before is told of as that; a repetition is nothing new.
			if n := counted[group{d.Key.Source, class}]; n == nil || n.held[d.Key] || u.repeats(d.Key, class) || (class != plan.Deactivations && class != plan.RoleRemovals && class != plan.MembershipRemovals) {
				continue
			}
			if byKey[d.Key.Source] == nil {
				byKey[d.Key.Source], causes[d.Key.Source] = map[identity.Key]bool{}, map[cause]int{}
			}
			byKey[d.Key.Source][d.Key] = true
			causes[d.Key.Source][causeOf(d, class)]++
		}
	}
	var out []Trip
	for source, keys := range byKey {
		s := summary(p, source)
		t := measure(ScopeChange, s, len(keys), u, Limits{})
		t.Before, t.only = 0, keys
		t.Cause, t.Place = largest(causes[source], plan.Deactivations, t.Planned, s), left(causes[source], plan.Deactivations)
		t.Message = fmt.Sprintf("the configuration has changed since run %s, and %d of %d linked active accounts of %s (%.2f %%) would be switched off or lose a role, a team or a channel by it; limit 0 until somebody has agreed. Largest cause: %s. None of them was written. %s",
			u.Rules.Since, t.Planned, t.Base, source, t.share(), t.Cause, next)
		out = append(out, t)
	}
	return out
}
