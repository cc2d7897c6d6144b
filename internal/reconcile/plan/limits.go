package plan

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/mmsync/mmsync/internal/identity"
)

// keepAdmins holds what would leave fewer than least active human
// administrators, and never lets the last one go. The server itself does not
// protect the last one everywhere (5.38 lets it be demoted).
func keepAdmins(list []Decision, f *Facts, least int) {
	left, least := len(f.HumanAdmins), max(least, 1)
	for i := range list {
		d := &list[i]
		if !endsAdmin(d) || !slices.Contains(f.HumanAdmins, d.AccountID) {
			continue
		}
		if left > least {
			left--
			continue
		}
		detail := strconv.Itoa(left) + " active human administrators, at least " + strconv.Itoa(least) + " must remain"
		if left == 1 {
			detail = "this is the last active human administrator"
		}
		if d.Action != Update {
			back := d.Action
			if back == Hold {
				back = d.Held
			}
			*d = d.hold(LastAdmin, back, detail)
			continue
		}
		// The rest of an update goes on.
		n := Note{Field: FieldRoles, Reason: LastAdmin, Detail: detail}
		for _, op := range d.Ops {
			if c := op.Changes; len(c) > 0 && c[0].Field == FieldRoles {
				n.From, n.To = cmp.Or(n.From, c[0].From), c[0].To
			}
		}
		d.Notes = append(slices.Clone(d.Notes), n)
		if d.Ops = withoutRoles(d.Ops); len(d.Ops) == 0 {
			*d = d.byNotes()
		}
	}
}

func endsAdmin(d *Decision) bool {
	for _, op := range d.Ops {
		if op.Kind == SetActive && op.Changes[0].To == "false" {
			return true
		}
		if op.Kind == SetRoles && !identity.ParseRoles(op.Changes[0].To).Has(identity.RoleAdmin) {
			return true
		}
	}
	return false
}

// HoldBeyondSeats holds the creations and returns for which the server has no
// seat left, after the leavers of the same plan have freed theirs. The decisions
// must be in the order of execution; left < 0 means that there is no limit.
func HoldBeyondSeats(list []Decision, left int) {
	if left < 0 {
		return
	}
	for i := range list {
		d := &list[i]
		switch d.Action {
		case Deactivate:
			left++
		case Reactivate, Create:
			if left <= 0 {
				d.Notes = nil
				*d = d.hold(NoSeats, d.Action, "the server's user limit is reached")
				continue
			}
			left--
		default:
		}
	}
}
