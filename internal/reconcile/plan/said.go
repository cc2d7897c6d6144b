package plan

import (
	"slices"

	"github.com/mmsync/mmsync/internal/identity"
)

// Said is what an operator said about the changes of one Key that a run held back.
type Said struct {
	ID       string // of the verdict
	Approves bool
	// AccountID is the account it is about; "" for one that did not exist.
	AccountID string
	// Ops are the changes it is about, as they were held: only the very same are
	// let through, or kept back.
	Ops []Op
	// Words say who said it, when and why.
	Words string
}

// Equal tells whether two ops ask for the same change of the same values.
func (o Op) Equal(p Op) bool {
	return o.Kind == p.Kind && o.Parks == p.Parks && o.ByDelete == p.ByDelete && o.Detour == p.Detour && o.SpaceID == p.SpaceID && slices.Equal(o.Changes, p.Changes)
}

// Covers tells whether each op is one of those that were spoken about. What was held
// for two reasons may come as one patch by now, or the other way round: of patches
// each value counts by itself. What somebody who goes or comes back owns goes with his
// account, and is not spoken about by itself: a token that was made meanwhile keeps
// nobody's leaving back.
func (s *Said) Covers(account string, ops []Op) bool {
	if slices.ContainsFunc(ops, func(op Op) bool { return op.Kind == SetActive }) {
		ops = slices.DeleteFunc(slices.Clone(ops), func(op Op) bool { return op.Thing() != "" })
	}
	return s != nil && s.AccountID == account && len(ops) > 0 && Within(ops, s.Ops)
}

// Within tells whether every change of the ops is one of the others, made in the same
// way.
func Within(ops, others []Op) bool {
	for _, op := range ops {
		if slices.ContainsFunc(others, op.Equal) {
			continue
		}
		if op.Kind != PatchProfile || op.Parks || slices.ContainsFunc(op.Changes, func(c Change) bool { return !patched(others, c) }) {
			return false
		}
	}
	return true
}

func patched(ops []Op, c Change) bool {
	return slices.ContainsFunc(ops, func(o Op) bool { return o.Kind == PatchProfile && !o.Parks && slices.Contains(o.Changes, c) })
}

// names tells whether the change of one value of the linked account was spoken
// about, approvingly or not.
func (o *Observation) names(approves bool, f Field, from, to string) bool {
	s := o.Said
	if s == nil || s.Approves != approves || o.Linked == nil || s.AccountID != o.Linked.ID {
		return false
	}
	return slices.ContainsFunc(s.Ops, func(op Op) bool { return slices.Contains(op.Changes, Change{Field: f, From: from, To: to}) })
}

// grants tells whether giving a role was spoken about, and takes whether taking it was.
func (o *Observation) grants(approves bool, role string) bool {
	return o.speaksOf(approves, func(from, to identity.Roles) bool { return to.Minus(from).Has(role) })
}

func (o *Observation) takes(approves bool, role string) bool {
	return o.speaksOf(approves, func(from, to identity.Roles) bool { return from.Minus(to).Has(role) })
}

func (o *Observation) speaksOf(approves bool, roles func(from, to identity.Roles) bool) bool {
	s := o.Said
	if s == nil || s.Approves != approves || o.Linked == nil || s.AccountID != o.Linked.ID {
		return false
	}
	return slices.ContainsFunc(s.Ops, func(op Op) bool {
		return op.Kind == SetRoles && roles(identity.ParseRoles(op.Changes[0].From), identity.ParseRoles(op.Changes[0].To))
	})
}

// word gives what an operator has to say about, or has said no to, one change of
// a privileged account.
func (o *Observation) word(refused bool, detail string) (Reason, string) {
	if refused {
		return Rejected, o.Said.Words
	}
	return NeedsApproval, detail
}

// approves tells whether an operator approved every change of a decision, after he
// saw it.
func (o *Observation) approves(d Decision) bool {
	return o.Said != nil && o.Said.Approves && o.Said.Covers(d.AccountID, d.Ops)
}

// Pass marks a decision about an Observation that was narrowed since it was built.
func Pass(d Decision, o *Observation) Decision {
	d.Approval = ""
	if o == nil {
		return d
	}
	return d.pass(o)
}

// pass marks a decision whose every change an operator approved.
func (d Decision) pass(o *Observation) Decision {
	if d.Approval == "" && o.approves(d) {
		d.Approval = o.Said.ID
	}
	return d
}
