package plan

import (
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
)

// Lost says what happens to somebody whom no rule gives any more what one gave.
type Lost string

// The values of Lost. The zero value is LostAsk.
const (
	LostAsk  Lost = "ask"  // it is taken back after an operator's word
	LostTake Lost = "take" // it is taken back
	LostKeep Lost = "keep" // it stays
)

// RoleAuthority names the roles that one source's rules give and take away.
// Roles outside Managed are kept as they are.
type RoleAuthority struct {
	Source  string
	Managed identity.Roles
	// Granted are the managed roles that may be given without asking first.
	Granted identity.Roles
	// Kept are the managed roles that nobody who is active loses, Asked those that
	// are taken from somebody active after an operator's word. All others of Managed
	// are taken; a leaver loses every one of them.
	Kept, Asked identity.Roles
	// Guests: the source decides who is a guest, by RoleGuest among an identity's
	// roles. Guest says what happens to a guest whom no rule makes one any more.
	Guests bool
	Guest  Lost
}

func (p Policy) rolesOf(source string) RoleAuthority {
	for _, r := range p.Roles {
		if r.Source == source {
			return r
		}
	}
	return RoleAuthority{Source: source}
}

// LicenceRoles are the roles that the server gives only under a licence that has
// permission schemes (read in its source; the first three seen refused on 5.38 and
// 11.6 without one).
func LicenceRoles() identity.Roles {
	return identity.NewRoles("system_manager", "system_user_manager", "system_read_only_admin", "shared_channel_manager", "secure_connection_manager")
}

// unlicensed are the roles that the server refuses for want of a licence, whoever
// is to have them. It refuses the whole set that holds one.
func (f *Facts) unlicensed() identity.Roles {
	if !f.Licence.Known || f.Licence.Delegated {
		return nil
	}
	return LicenceRoles()
}

// rolesDiff compares the roles of the linked account, and whether it is a guest,
// with what is wanted.
func rolesDiff(o Observation, p Policy) (ops []Op, notes []Note, asked []Op) {
	has, auth := o.Linked.Roles, p.rolesOf(o.Key.Source)
	if o.Desired.Active && o.Desired.RolesUnknown != "" {
		return nil, nil, nil
	}
	if o.Desired.Active && auth.Guests {
		switch wants, is := o.Desired.Roles.Has(identity.RoleGuest), has.Has(identity.RoleGuest); {
		case wants && !is:
			return demotion(o, p)
		case is && !wants:
			return promotion(o, p, auth)
		case is:
			return asGuest(has, o, p)
		}
	}
	return rolesChange(has, o, p)
}

// rolesChange gives the op that leads from has to what is wanted, if there is one, and
// the op that would after an operator's word.
func rolesChange(has identity.Roles, o Observation, p Policy) (ops []Op, notes []Note, asked []Op) {
	w := rolesWanted(has, o, p)
	if !w.to.Equal(has) {
		ops = []Op{rolesOp(has, w.to)}
	}
	if len(w.more)+len(w.less) > 0 {
		asked = []Op{rolesOp(has, w.to.Union(w.more).Minus(w.less))}
	}
	return ops, w.notes, asked
}

// wantedRoles is what becomes of a set of roles.
type wantedRoles struct {
	to identity.Roles
	// more and less are what an operator's word would give and take besides.
	more, less identity.Roles
	notes      []Note
}

// rolesWanted gives the roles an account should have: the unmanaged ones it
// has, plus the managed ones it is given. Grants beyond user and guest that the
// policy does not allow by themselves are noted, as are roles that are taken only
// after a word, and those that the server's licence lacks.
func rolesWanted(has identity.Roles, o Observation, p Policy) wantedRoles {
	if !o.Desired.Active {
		if !p.Deactivate.Disabled {
			return wantedRoles{to: has}
		}
		return wantedRoles{to: leaverRoles(o, p)}
	}
	given, auth := o.rolesOfAll(has, p)
	if len(auth.Managed) == 0 {
		return wantedRoles{to: withBase(has)}
	}
	w := wantedRoles{to: has.Minus(auth.Managed)}
	give := func(role string) { w.to = w.to.Union(identity.Roles{role}) }
	note := func(n Note) { n.Field = FieldRoles; w.notes = append(w.notes, n) }
	for _, role := range given {
		switch {
		case !auth.Managed.Has(role):
		case has.Has(role):
			give(role)
		case o.Facts.unlicensed().Has(role):
			note(Note{Reason: RoleUnlicensed, Detail: "the server's licence has no role " + clean(role), To: role})
		case auth.Granted.Has(role) || o.grants(true, role):
			give(role)
		default:
			why, detail := o.word(o.grants(false, role), "granting "+clean(role)+" needs approval")
			note(Note{Reason: why, Detail: detail, To: role})
			w.more = w.more.Union(identity.Roles{role})
		}
	}
	for _, role := range has.Minus(given) {
		switch {
		case !auth.Managed.Has(role):
		case auth.Kept.Has(role):
			give(role)
		case auth.Asked.Has(role) && !o.takes(true, role):
			why, detail := o.word(o.takes(false, role), "no rule gives "+clean(role)+" any more, and taking it needs approval")
			note(Note{Reason: why, Detail: detail, From: role})
			give(role)
			w.less = w.less.Union(identity.Roles{role})
		}
	}
	w.to = withBase(w.to)
	held := w.to.Minus(w.to.Minus(o.Facts.unlicensed()))
	if len(held) > 0 && !w.to.Equal(has) {
		// The server refuses the whole set for the sake of one that the account has
		// from the time of another licence.
		note(Note{
			Reason: RoleUnlicensed, From: has.String(), To: w.to.String(),
			Detail: "the account holds " + clean(strings.Join(held, ", ")) + ", which the server's licence does not have, so that the server takes no change of its roles",
		})
		w.to, w.more, w.less = has, nil, nil
	}
	return w
}

// withBase adds system_user if neither it nor system_guest is there: an account
// without both has no rights at all, and the server would accept that.
func withBase(r identity.Roles) identity.Roles {
	if r.Has(identity.RoleUser) || r.Has(identity.RoleGuest) {
		return r
	}
	return r.Union(identity.Roles{identity.RoleUser})
}

// rights names what makes an account privileged.
func rights(r identity.Roles) string {
	return clean(strings.Join(r.Minus(identity.Roles{identity.RoleGuest, identity.RoleUser}), ", "))
}

func rolesOp(from, to identity.Roles) Op {
	return Op{Kind: SetRoles, Changes: []Change{{Field: FieldRoles, From: from.String(), To: to.String()}}}
}

// withoutRoles gives the ops less those that change roles, and less the end of the
// sessions that goes with becoming a guest.
func withoutRoles(ops []Op) []Op {
	out := make([]Op, 0, len(ops))
	for i, op := range ops {
		if _, roles := op.To(FieldRoles); roles || op.Kind == RevokeSessions && i > 0 && ops[i-1].Kind == Demote {
			continue
		}
		out = append(out, op)
	}
	return slices.Clip(out)
}
