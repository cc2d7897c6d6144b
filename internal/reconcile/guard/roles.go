package guard

import (
	"fmt"
	"slices"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// lost gives the roles that a decision takes from an account that stays active.
// Those of leavers are not among them: what a leaver loses is never kept back.
func lost(d plan.Decision) identity.Roles {
	if (d.Action != plan.Update && d.Action != plan.Adopt) || d.Reason == plan.AlreadyOff {
		return nil
	}
	for _, op := range d.Ops {
		if op.Kind != plan.SetRoles {
			continue
		}
		for _, c := range op.Changes {
			return identity.ParseRoles(c.From).Minus(identity.ParseRoles(c.To))
		}
	}
	return nil
}

// keepRoles takes the change of roles out of a decision and says so in a note.
// A decision that was nothing else is held.
func keepRoles(d *plan.Decision, why string) {
	note := plan.Note{Field: plan.FieldRoles, Reason: plan.GuardTripped, Detail: why + "; it keeps " + words(lost(*d))}
	ops := make([]plan.Op, 0, len(d.Ops))
	for _, op := range d.Ops {
		if op.Kind != plan.SetRoles {
			ops = append(ops, op)
			continue
		}
		d.Withheld = append(slices.Clone(d.Withheld), op)
		for _, c := range op.Changes {
			note.From, note.To = c.From, c.To
		}
	}
	d.Notes, d.Ops = append(slices.Clone(d.Notes), note), ops
	if len(ops) == 0 {
		d.Held, d.Action, d.Reason, d.Detail, d.Ops = d.Action, plan.Hold, plan.GuardTripped, note.Detail, nil
	}
}

// keeps tells whether keepRoles was at work on a decision.
func keeps(d plan.Decision) bool {
	return slices.ContainsFunc(d.Notes, func(n plan.Note) bool { return n.Field == plan.FieldRoles && n.Reason == plan.GuardTripped })
}

func tooMany(t Trip) string {
	return fmt.Sprintf("%d %s from %s are too many at once, limit %d", t.Planned+t.Before, t.Class.words(), t.Source, t.Limit)
}
