package plan

import (
	"slices"

	"github.com/mmsync/mmsync/internal/identity"
)

// A detour changes what the server keeps locked under the login that an account
// has: the login is another one for a moment. Which way there is was seen on 11.6.
//
//	login by ldap         ─► saml      e-mail, switching on     ─► ldap
//	login by OAuth        ─► saml      e-mail, first, last name ─► OAuth
//	any login service     ─► password  username and the rest    ─► the same again
//
// What this server keeps to saml accounts as well goes by the password.
//
// Whoever has gone out comes back, whatever becomes of the change: the way back is
// journaled with the way out, and the next run makes it if this one does not.

// samlService locks nothing but the username where no Enterprise build maps more, and
// does not keep an account from being switched on.
const samlService = "saml"

// noDetour says why there is no detour for an account, in words that follow what
// is locked; "" if there is one.
func (o *Observation) noDetour() string {
	switch {
	case !o.Facts.AuthDataVisible:
		return "there is no detour on this release, which shows no login data to come back to"
	case o.Linked.Auth.Data == "":
		return "there is no detour, because the account has no login data to come back to"
	}
	return ""
}

// detour parts a patch into what may be changed as it is and what takes a detour,
// and gives the ops of that.
func detour(o *Observation, patch Op) (free Op, ops []Op) {
	free, locked := patch, patch
	free.Changes, locked.Changes = nil, nil
	via := samlService
	for _, c := range patch.Changes {
		a := identity.Attribute(c.Field)
		if !o.Locked(o.Linked.Auth.Service, a) {
			free.Changes = append(free.Changes, c)
			continue
		}
		locked.Changes = append(locked.Changes, c)
		if o.Locked(samlService, a) { // as the username always is
			via = ""
		}
	}
	out, back := legs(o.Linked.Auth, via)
	return free, []Op{out, locked, back}
}

// legs gives the ways out to a login service, or to a password for "", and back.
func legs(is identity.Auth, via string) (out, back Op) {
	there := is.Data
	kind := SetAuth
	if via == "" {
		kind, there = SetPassword, ""
	}
	out = Op{Kind: kind, Detour: Out, Changes: []Change{
		{Field: FieldAuthService, From: is.Service, To: via}, {Field: FieldAuthData, From: is.Data, To: there},
	}}
	back = Op{Kind: SetAuth, Detour: Back, Changes: []Change{
		{Field: FieldAuthService, From: via, To: is.Service}, {Field: FieldAuthData, From: there, To: is.Data},
	}}
	return out, back
}

// switchOn puts the op that switches an account on among its other ops. Last, so
// that nobody is let in with the rights or the name of before; but a login of the
// server's own LDAP sync comes behind it, for with that the server would not let
// the account be switched on any more.
func (o *Observation) switchOn(ops []Op, on Op) []Op {
	last := beforePictures(ops)
	if i := slices.IndexFunc(ops, Op.joins); i >= 0 { // a channel takes nobody who is off
		last = min(last, i)
	}
	if !o.Facts.LDAPLocked {
		return slices.Insert(ops, last, on)
	}
	if i := slices.IndexFunc(ops, func(op Op) bool { return op.Detour == Back || op.entersLDAP() }); i >= 0 {
		return slices.Insert(ops, i, on)
	}
	if o.Linked.Auth.Service != ldapService || slices.ContainsFunc(ops, Op.MovesLogin) {
		return slices.Insert(ops, last, on)
	}
	out, back := legs(o.Linked.Auth, samlService)
	return slices.Insert(ops, last, out, on, back)
}

// toPassword takes an account back from its login service, and has the person
// mailed the way to a new password: nobody is left without a login.
func toPassword(o Observation, p Policy) ([]Op, *Note) {
	is := o.Linked.Auth
	if is.Service == "" {
		return nil, nil
	}
	ops := []Op{{Kind: SetPassword, Changes: []Change{
		{Field: FieldAuthService, From: is.Service, To: ""}, {Field: FieldAuthData, From: is.Data, To: ""},
	}}}
	if p.RevokeOnAuth {
		ops = append(ops, Op{Kind: RevokeSessions, Changes: []Change{{Field: FieldActive, From: "true", To: "true"}}})
	}
	ops = append(ops, Op{Kind: MailReset})
	if o.Linked.Roles.Privileged() && !o.names(true, FieldAuthService, is.Service, "") {
		why, detail := o.word(o.names(false, FieldAuthService, is.Service, ""), "changing the login of an account that holds "+rights(o.Linked.Roles)+" needs approval")
		return ops, &Note{Field: FieldAuthService, Reason: why, Detail: detail, From: is.Service, To: ""}
	}
	return ops, nil
}
