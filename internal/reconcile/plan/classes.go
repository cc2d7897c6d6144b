package plan

import (
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
)

// Class names a kind of change that the guards count. An op may be of several:
// a patch can rename somebody and change the position as well.
type Class string

// The classes of ops.
const (
	Deactivations Class = "deactivations"
	Reactivations Class = "reactivations" // accounts that are switched on again
	Creates       Class = "creates"
	Recreations   Class = "recreations"   // accounts that are gone from the server, made anew
	Renames       Class = "renames"       // a change of the username
	EmailChanges  Class = "email_changes" // a change of the e-mail
	Updates       Class = "updates"       // a change of any other field of the profile
	AuthChanges   Class = "auth_changes"  // another login
	AdminGrants   Class = "admin_grants"  // a role beyond user and guest is given, or a guest becomes a full member
	RoleRemovals  Class = "role_removals" // a role is taken from an account that stays active, or it becomes a guest
	// MembershipAdditions are people who are added to a team or channel or made its
	// administrator, MembershipRemovals those who lose one or the other.
	MembershipAdditions Class = "membership_additions"
	MembershipRemovals  Class = "membership_removals"
)

const lossPrefix = "attribute_loss/"

// AttributeLoss is the class of emptying one field of the profile; such a change
// is one of Updates as well.
func AttributeLoss(f Field) Class { return lossPrefix + Class(f) }

// Lost gives the field that a class of attribute losses is about.
func (c Class) Lost() (Field, bool) {
	f, ok := strings.CutPrefix(string(c), lossPrefix)
	return Field(f), ok
}

// Leaves tells whether a decision is about somebody's leaving: it switches the
// account off or, where the server forbids that, does what is left to do to a
// leaver.
func (d *Decision) Leaves() bool {
	return d.Action == Deactivate || (d.Action == Hold && d.Held == Deactivate)
}

// Recreates tells whether a decision creates an account anew that is gone from
// the server: the old link goes first.
func (d *Decision) Recreates() bool {
	return d.Action == Create && len(d.Ops) > 0 && d.Ops[0].Kind == UnlinkAccount
}

// Classes gives the classes that an op of a decision counts in, sorted. What
// else happens to a leaver, such as the loss of his roles, is part of his
// deactivation, and does not count by itself.
func Classes(d *Decision, op int) []Class {
	o := &d.Ops[op]
	if d.Leaves() {
		if op == leaving(d) {
			return []Class{Deactivations}
		}
		return nil
	}
	var out []Class
	switch o.Kind {
	case JoinTeam, JoinChannel, LeaveTeam, LeaveChannel, SetTeamRoles, SetChannelRoles:
		switch {
		case d.Action == Create: // part of it
		case o.Takes():
			out = append(out, MembershipRemovals)
		default:
			out = append(out, MembershipAdditions)
		}
	case MakeTeam, MakeChannel:
		return []Class{SpaceCreations}
	case CreateAccount:
		if d.Recreates() {
			return []Class{Recreations}
		}
		return []Class{Creates}
	case SetActive:
		if to, _ := o.To(FieldActive); to == "true" {
			out = append(out, Reactivations)
		}
	case PatchProfile:
		for i := range o.Changes {
			out = append(out, o.Changes[i].classes()...)
		}
	case SetPicture, SetCustom:
		if d.Action != Create { // part of the creation
			out = append(out, Updates)
		}
	case SetAuth, SetPassword:
		if o.MovesLogin() { // not for a moment
			out = append(out, AuthChanges)
		}
	case Promote:
		out = append(out, AdminGrants)
	case SetRoles, Demote:
		if len(d.Granted(op)) > 0 {
			out = append(out, AdminGrants)
		}
		if len(d.Removed(op)) > 0 {
			out = append(out, RoleRemovals)
		}
	default:
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// leaving gives the op of a leaver's decision that stands for the whole.
func leaving(d *Decision) int {
	at := slices.IndexFunc(d.Ops, func(o Op) bool {
		to, _ := o.To(FieldActive)
		return (o.Kind == SetActive || o.Kind == RevokeSessions) && to == "false"
	})
	return max(at, 0)
}

func (c *Change) classes() []Class {
	switch c.Field {
	case Field(identity.Username):
		return []Class{Renames}
	case Field(identity.Email):
		return []Class{EmailChanges}
	}
	if c.From != "" && c.To == "" {
		return []Class{AttributeLoss(c.Field), Updates}
	}
	return []Class{Updates}
}

// Granted gives the roles beyond user and guest that an op gives.
func (d *Decision) Granted(op int) identity.Roles {
	from, to := d.roles(op)
	return to.Minus(from).Minus(identity.NewRoles(identity.RoleUser, identity.RoleGuest))
}

// Removed gives the roles that an op takes from an account that stays active.
// Those of people who have left or come back are not among them: what they are
// to lose is never kept back.
func (d *Decision) Removed(op int) identity.Roles {
	if (d.Action != Update && d.Action != Adopt) || d.Reason == AlreadyOff {
		return nil
	}
	from, to := d.roles(op)
	return from.Minus(to)
}

func (d *Decision) roles(op int) (from, to identity.Roles) {
	for _, c := range d.Ops[op].Changes {
		if c.Field == FieldRoles {
			return identity.ParseRoles(c.From), identity.ParseRoles(c.To)
		}
	}
	return nil, nil
}

// JoinClasses writes classes as the journal keeps them.
func JoinClasses(list []Class) string {
	words := make([]string, len(list))
	for i, c := range list {
		words[i] = string(c)
	}
	return strings.Join(words, " ")
}
