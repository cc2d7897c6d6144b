package plan

import "github.com/mmsync/mmsync/internal/identity"

// Licence is what the server's licence lets be done.
type Licence struct {
	Known     bool // it was asked for, and told
	Guests    bool // accounts can be made guests
	Delegated bool // the roles of LicenceRoles can be given
}

// guestBar says why the server makes no guest of anybody; "" if it does, or if that
// is not known.
func (f *Facts) guestBar() (Reason, string) {
	switch {
	case f.Licence.Known && !f.Licence.Guests:
		return GuestsUnlicensed, "a rule makes a guest of the person, and the server's licence has none"
	case f.GuestsOff:
		return GuestsOff, "a rule makes a guest of the person, and the server's guest feature is off"
	}
	return "", ""
}

func userRoles() identity.Roles  { return identity.NewRoles(identity.RoleUser) }
func guestRoles() identity.Roles { return identity.NewRoles(identity.RoleGuest) }

func demoteOp() Op {
	return Op{Kind: Demote, Changes: rolesOp(userRoles(), guestRoles()).Changes}
}

func promoteOp() Op {
	return Op{Kind: Promote, Changes: rolesOp(guestRoles(), userRoles()).Changes}
}

// demotion makes a guest of an account. The server takes every other role with it,
// so that those go first, one call each, and are not lost unseen; sessions, which
// keep the rights of before in the clients, end last.
func demotion(o Observation, p Policy) (ops []Op, notes []Note, asked []Op) {
	bare := o.withRoles(guestRoles())
	has := o.Linked.Roles
	w := rolesWanted(has, bare, p)
	why, detail := o.Facts.guestBar()
	left := w.to
	if !left.Privileged() {
		left = userRoles()
	}
	all := []Op{demoteOp()}
	if o.Linked.Active() {
		all = append(all, Op{Kind: RevokeSessions, Changes: []Change{{Field: FieldActive, From: "true", To: "true"}}})
	}
	if !has.Equal(userRoles()) {
		all = append([]Op{rolesOp(has, userRoles())}, all...)
	}
	if why == "" && left.Privileged() {
		if spoken := func(approves bool) bool {
			return o.names(approves, FieldRoles, has.String(), identity.RoleUser) && o.names(approves, FieldRoles, identity.RoleUser, identity.RoleGuest)
		}; !spoken(true) {
			why, detail = o.word(spoken(false), "making a guest of an account takes "+rights(left)+" from it, and needs approval")
			asked = all
		}
	}
	if why == "" {
		return all, o.notForGuests(p), nil
	}
	notes = append(notes, Note{Field: FieldRoles, Reason: why, Detail: detail, From: has.String(), To: identity.RoleGuest})
	if !w.to.Equal(has) {
		ops = []Op{rolesOp(has, w.to)} // what a guest must not have is taken all the same
	}
	return ops, append(notes, w.notes...), asked
}

// promotion is about a guest whom no rule makes one. Nobody gets more rights than he
// had by the loss of a rule unless the policy says so, and then only whom a rule had
// made a guest.
func promotion(o Observation, p Policy, auth RoleAuthority) (ops []Op, notes []Note, asked []Op) {
	has := o.Linked.Roles
	if auth.Guest == LostKeep || !has.Equal(guestRoles()) {
		ops, notes, asked = asGuest(has, o, p)
		if auth.Guest != LostKeep && len(ops) == 0 {
			notes = append(notes, Note{
				Field: FieldRoles, Reason: GuestMixed, From: has.String(), To: identity.RoleUser,
				Detail: "no rule makes a guest of the person any more, and the account holds " + clean(has.Minus(guestRoles()).String()) + " besides system_guest",
			})
		}
		return ops, notes, asked
	}
	op := promoteOp()
	if auth.Guest != LostTake || o.Link == nil || !o.Link.Applied.Roles.Has(identity.RoleGuest) {
		if spoken := func(approves bool) bool { return o.names(approves, FieldRoles, identity.RoleGuest, identity.RoleUser) }; !spoken(true) {
			why, detail := o.word(spoken(false), "no rule makes a guest of the person any more, and making a full member of the account needs approval")
			return nil, []Note{{Field: FieldRoles, Reason: why, Detail: detail, From: identity.RoleGuest, To: identity.RoleUser}}, []Op{op}
		}
	}
	ops, notes, asked = rolesChange(userRoles(), o, p)
	return append([]Op{op}, ops...), notes, asked
}

// asGuest takes from a guest what rules do not give him, and gives him nothing.
func asGuest(has identity.Roles, o Observation, p Policy) (ops []Op, notes []Note, asked []Op) {
	ops, notes, asked = rolesChange(has, o.withRoles(guestRoles()), p)
	return ops, append(notes, o.notForGuests(p)...), asked
}

// notForGuests notes the roles that rules, of whatever source, would give somebody who
// is a guest.
func (o *Observation) notForGuests(p Policy) []Note {
	var notes []Note
	_, rules := o.rolesOfAll(nil, p)
	ruled := o.Desired.Roles
	for _, v := range p.roleVoices(o.Voices) {
		if v.Standing == Speaks {
			ruled = ruled.Union(v.Roles.Minus(v.Roles.Minus(p.rolesOf(v.Key.Source).Managed)))
		}
	}
	for _, role := range ruled {
		if rules.Managed.Has(role) {
			notes = append(notes, Note{Field: FieldRoles, Reason: GuestHasNoRoles, Detail: "a rule gives " + clean(role) + " to a guest", To: role})
		}
	}
	return notes
}

// withRoles is the Observation of somebody to whom the rules give just these roles.
func (o *Observation) withRoles(r identity.Roles) Observation {
	out, want := *o, *o.Desired
	want.Roles = r
	out.Desired = &want
	return out
}

// wantsGuest tells whether the source's rules make a guest of the person.
func (o *Observation) wantsGuest(p Policy) bool {
	return p.rolesOf(o.Key.Source).Guests && o.Desired != nil && o.Desired.Active && o.Desired.Roles.Has(identity.RoleGuest)
}

// maybeGuest says why somebody is not let in as a full member while it is not known
// whether a rule makes a guest of him; "" if it is, or no rule does.
func (o *Observation) maybeGuest(p Policy) string {
	if !p.rolesOf(o.Key.Source).Guests || o.Desired.RolesUnknown == "" {
		return ""
	}
	return "it is not known whether a rule makes a guest of the person: " + o.Desired.RolesUnknown
}

// returnsAs says why the account of somebody who is back must not be switched on,
// given what is done to it before: the server refuses to switch a guest on while its
// guest feature is off, and nobody who should be a guest is let in as a full member.
func (o *Observation) returnsAs(d *Decision, p Policy) (Reason, string) {
	roles := o.Linked.Roles
	for _, op := range d.Ops {
		if to, changes := op.To(FieldRoles); changes {
			roles = identity.ParseRoles(to)
		}
	}
	switch guest := roles.Has(identity.RoleGuest); {
	case guest && o.Facts.GuestsOff:
		return GuestsOff, "the person is back; the server's guest feature is off, and it switches no guest on"
	case !guest && p.Update && o.maybeGuest(p) != "":
		return GuestUnknown, "the person is back; " + o.maybeGuest(p)
	case !guest && p.Update && o.wantsGuest(p):
		for _, n := range d.Notes {
			if n.Field == FieldRoles && n.To == identity.RoleGuest {
				return n.Reason, "the person is back; " + n.Detail
			}
		}
	}
	return "", ""
}
