package plan

import (
	"slices"

	"github.com/mmsync/mmsync/internal/identity"
)

// diff compares the wanted person with the linked account. Values that differ
// but may not or cannot be changed come back as notes. drift is true if every
// change undoes an edit made in Mattermost. asked are the ops that an operator has
// to say yes or no to.
func diff(o Observation, p Policy, r released) (ops []Op, notes []Note, asked []Op, drift bool) {
	login, loginNote := authDiff(o, p, r)
	if loginNote != nil {
		asked, login = login, nil
	}
	was, next := o.Linked.Auth.Service, o.Linked.Auth.Service
	if len(login) > 0 {
		next, _ = login[0].To(FieldAuthService)
	}
	patch, word, notes, drift := profileDiff(o, p, r, next)
	drift = drift && len(login) == 0
	if len(word.Changes) > 0 {
		asked = append(asked, word)
	}
	if loginNote != nil {
		notes = append(notes, *loginNote)
	}
	roles, roleNotes, roleAsked := rolesDiff(o, p)
	notes, asked = append(notes, roleNotes...), append(asked, roleAsked...)
	var around []Op
	early, late := patch, Op{}
	switch {
	case len(login) > 0:
		early, late = o.parted(patch, was, next)
	case o.keeps(was, patch):
		early, around = detour(&o, patch)
	}
	if len(early.Changes) > 0 {
		ops = append(ops, early)
	}
	if len(roles) > 0 {
		ops, drift = append(ops, roles...), false
	}
	ops = append(append(ops, login...), around...)
	if len(late.Changes) > 0 {
		ops = append(ops, late)
	}
	if custom := customOp(o.Desired, o.People, o.Link.Applied.Custom, o.Facts); custom != nil {
		ops, drift = append(ops, *custom), false
	}
	picture, pictureNote, putBack := pictureDiff(o, p, next)
	if pictureNote != nil {
		notes = append(notes, *pictureNote)
	}
	if picture != nil {
		ops, drift = append(ops, *picture), drift && putBack
	}
	return ops, notes, asked, drift && len(ops) > 0
}

// profileDiff compares the profile fields: what is patched, what an operator has a
// word in, and what stays as it is. next is the login service that the account will
// have; drift is true if everything that is patched undoes an edit.
func profileDiff(o Observation, p Policy, r released, next string) (patch, word Op, notes []Note, drift bool) {
	patch, word, drift = Op{Kind: PatchProfile}, Op{Kind: PatchProfile}, true
	owned := o.Desired.Owned.Without(p.UserOwned)
	for _, a := range identity.AllAttributes() {
		if !owned.Has(a) {
			continue
		}
		from, to := o.Linked.Value(a), o.wants(a)
		if from == to {
			continue
		}
		c := Change{Field: Field(a), From: from, To: to}
		if why, detail := obstacle(o, p, r, a, to, next); why != "" {
			notes = append(notes, Note{Field: c.Field, Reason: why, Detail: clean(detail), From: from, To: to})
			if why == NeedsApproval || why == Rejected {
				word.Changes = append(word.Changes, c)
			}
			continue
		}
		if o.Link.Applied.Profile.Value(a) != to {
			drift = false
		} else if p.ReportDrift.Has(a) {
			notes = append(notes, Note{
				Field: c.Field, Reason: DriftReported, From: from, To: to,
				Detail: string(a) + " was changed in Mattermost to " + quote(from) + " and stays so; the source has " + quote(to),
			})
			continue
		}
		patch.Changes = append(patch.Changes, c)
	}
	return patch, word, notes, drift
}

// obstacle says why one profile field of a linked account must stay as it is.
// next is the login service that the account will have.
func obstacle(o Observation, p Policy, r released, a identity.Attribute, to, next string) (Reason, string) {
	if was := o.Linked.Auth.Service; o.Locked(was, a) {
		detail := string(a) + " is owned by " + was + " on the server"
		switch {
		case next == was && p.Detour:
			if why := o.noDetour(); why != "" {
				return LockedByLogin, detail + "; " + why
			}
		case next == was:
			return LockedByLogin, detail
		case o.Locked(next, a):
			return LockedByLogin, detail + ", and by " + next + " once the login has moved"
		case !o.Facts.AuthDataVisible:
			// Before 11.0 the server may judge a patch by the service of before, which
			// its cache keeps for a while (seen on 5.38); the next run makes it.
			return LockedByLogin, detail + " until the login has moved"
		}
	}
	if to == "" && (a == identity.Username || a == identity.Email) {
		return EntryFault, "the source gives no " + string(a) + ", and an account must have one"
	}
	switch a {
	case identity.Username:
		if pattern := reserved(to, p.ReservedNames); pattern != "" {
			return NameReserved, "username " + quote(to) + " matches the protected pattern " + quote(pattern)
		}
		if o.Linked.Roles.Privileged() && !o.names(true, Field(a), o.Linked.Username, to) {
			return o.word(o.names(false, Field(a), o.Linked.Username, to), "changing the username of an account that holds "+rights(o.Linked.Roles)+" needs approval")
		}
		if h := o.holder(Field(a)); h != nil && !r.username {
			return UsernameTaken, "username is held by " + describeHolder(h)
		}
	case identity.Email:
		if detail := outside(to, p.EmailDomains); detail != "" {
			return EmailOutside, detail
		}
		if detail := o.Facts.beyondDomains(to, o.Linked.Roles.Has(identity.RoleGuest), o.Linked.Auth.Service, next); detail != "" {
			return ServerDomain, detail
		}
		if o.Facts.EmailVerification {
			return LockedByVerify, "a new e-mail would stay pending until its owner verifies it"
		}
		if o.Linked.Roles.Privileged() && !o.names(true, Field(a), o.Linked.Email, to) {
			return o.word(o.names(false, Field(a), o.Linked.Email, to), "changing the e-mail of an account that holds "+rights(o.Linked.Roles)+" needs approval")
		}
		if h := o.holder(Field(a)); h != nil && !r.email {
			return EmailTaken, "e-mail is held by " + describeHolder(h)
		}
	}
	return "", ""
}

// describeHolder names the account that has a wanted value, so that it can be
// found.
func describeHolder(h *Holder) string {
	s := "account " + quote(h.Account.Username) + " (" + visible(h.Account.ID) + ")"
	if !h.Account.Active() {
		s = "deactivated " + s
	}
	if !h.Owner.IsZero() {
		s += " of " + keyName(h.Owner)
	}
	return s
}

// authDiff compares the login, and moves it or notes why not; with a note come the
// ops that an operator's word would let through. Before 11.0 the server hides auth
// data, so what was applied last decides there.
func authDiff(o Observation, p Policy, r released) ([]Op, *Note) {
	want, is := o.Desired.Auth, o.Linked.Auth
	if o.ToPassword {
		return toPassword(o, p)
	}
	if want.IsZero() {
		return nil, nil
	}
	if !o.Facts.AuthDataVisible && is.Service == want.Service && is.Data == "" {
		is.Data = o.Link.Applied.Auth.Data
		if is.Data == "" {
			return nil, nil // cannot be seen, and mmsync never set it: nothing is known to differ
		}
	}
	if want == is {
		return nil, nil
	}
	if want.Service == "" || want.Data == "" {
		return nil, &Note{Field: FieldAuthService, Reason: EntryFault, Detail: halfLogin, From: is.Service, To: want.Service}
	}
	note := Note{Field: FieldAuthService, Reason: AuthNotChanged, From: is.Service, To: want.Service}
	if is.Service == want.Service {
		note.Field, note.From, note.To = FieldAuthData, is.Data, want.Data
	}
	ops := []Op{{Kind: SetAuth, Changes: []Change{
		{Field: FieldAuthService, From: is.Service, To: want.Service},
		{Field: FieldAuthData, From: is.Data, To: want.Data},
	}}}
	if p.RevokeOnAuth && o.Linked.Active() { // sessions outlive a change of the login, not a deactivation
		ops = append(ops, Op{Kind: RevokeSessions, Changes: []Change{{Field: FieldActive, From: "true", To: "true"}}})
	}
	spoken := func(approves bool) bool {
		return o.names(approves, FieldAuthService, is.Service, want.Service) && o.names(approves, FieldAuthData, is.Data, want.Data)
	}
	switch {
	case !p.ChangeAuth:
		note.Detail = "login is by " + loginName(is.Service) + ", the source wants " + clean(want.Service)
		if is.Service == want.Service {
			note.Detail = "login data differs from the source's"
		}
		return nil, &note
	case slices.Contains(o.Facts.LoginsOff, want.Service):
		note.Reason, note.Detail = LoginOff, loginOff(want.Service)
		return nil, &note
	case o.Linked.Roles.Privileged() && !spoken(true):
		note.Reason, note.Detail = o.word(spoken(false), "changing the login of an account that holds "+rights(o.Linked.Roles)+" needs approval")
		return ops, &note
	case r.rival != "":
		note = Note{Field: FieldAuthData, Reason: Contested, Detail: r.rival, From: is.Data, To: want.Data}
		return nil, &note
	case o.holder(FieldAuthData) != nil:
		note.Reason, note.Detail = AuthDataTaken, "login data is held by "+describeHolder(o.ByAuth)
		return nil, &note
	}
	return ops, nil
}

func loginOff(service string) string {
	return "the server has " + clean(service) + " switched off, or no licence for it"
}

const halfLogin = "the source gives a login service without login data, or the other way round"
