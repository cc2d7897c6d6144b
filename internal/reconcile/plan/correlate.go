package plan

import (
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
)

// ParkedPrefix starts the temporary usernames that break cycles of renames. No
// identity may want such a name.
const ParkedPrefix = "mmsync-parked-"

// decideUnlinked is about an active person without an account of ours: how the
// Key meets an account, or gets one.
func decideUnlinked(d Decision, o Observation, p Policy, r released) Decision {
	want := o.Desired
	if a := o.ByIntent; a != nil && a.Active() && !slices.Contains(o.Refused, a.ID) && !a.Roles.Privileged() && Protection(*a, o.Facts) == "" {
		return adopt(d, o, p, a, SameIntent)
	}
	if fault := unusable(want); fault != "" {
		return d.hold(EntryFault, Create, fault)
	}
	if pattern := reserved(want.Profile.Username, p.ReservedNames); pattern != "" {
		return d.hold(NameReserved, Create, "username "+quote(want.Profile.Username)+" matches the protected pattern "+quote(pattern))
	}
	if detail := outside(want.Profile.Email, p.EmailDomains); detail != "" {
		return d.hold(EmailOutside, Create, detail)
	}
	if h := o.holder(FieldAuthData); h != nil {
		return meet(d, o, p, h, "login data ("+want.Auth.Service+")", AuthDataTaken)
	}
	if h := o.holder(Field(identity.Email)); h != nil && (!r.email || h.Owner.IsZero()) {
		return meet(d, o, p, h, "e-mail", EmailTaken)
	}
	if h := o.holder(Field(identity.Username)); h != nil && (!r.username || h.Owner.IsZero()) {
		return meet(d, o, p, h, "username", UsernameTaken)
	}
	if !p.Create {
		return d.none(Kept)
	}
	if why, detail := o.Facts.guestBar(); why != "" && o.wantsGuest(p) {
		return d.hold(why, Create, detail)
	}
	if detail := o.maybeGuest(p); detail != "" {
		return d.hold(GuestUnknown, Create, detail)
	}
	if detail := o.Facts.beyondDomains(want.Profile.Email, false, want.Auth.Service); detail != "" {
		return d.hold(ServerDomain, Create, detail) // the server makes a guest of nobody at once
	}
	d.Action, d.Reason, d.AccountID, d.Username = Create, Wanted, "", want.Profile.Username
	d.Detail = "from " + clean(o.Key.Source)
	op := Op{Kind: CreateAccount}
	for _, a := range identity.AllAttributes() {
		if v := want.Profile.Value(a); want.Owned.Has(a) && v != "" {
			op.Changes = append(op.Changes, Change{Field: Field(a), To: v})
		}
	}
	if !want.Auth.IsZero() {
		op.Changes = append(op.Changes, Change{Field: FieldAuthService, To: want.Auth.Service}, Change{Field: FieldAuthData, To: want.Auth.Data})
	}
	d.Ops = []Op{op}
	if o.wantsGuest(p) {
		// The server makes no guest at once, so that it is a full member for a moment.
		d.Ops, d.Notes = append(d.Ops, demoteOp()), o.notForGuests(p)
	} else {
		ops, notes, _ := rolesChange(userRoles(), o, p)
		d.Ops, d.Notes = append(d.Ops, ops...), notes
	}
	o.Memberships = nil
	_, in, left := memberships(&o, p, d.Ops)
	d.Ops, d.Notes = append(d.Ops, in...), append(d.Notes, left...)
	return withExtras(d, want, o.People, o.Facts)
}

// meet is about an unlinked Key that finds an account with one of its values.
func meet(d Decision, o Observation, p Policy, h *Holder, what string, taken Reason) Decision {
	a, who := h.Account, describeHolder(h)
	if !h.Owner.IsZero() {
		return d.hold(taken, Create, what+" is held by "+who)
	}
	if cause := Protection(*a, o.Facts); cause != "" {
		return d.hold(taken, Create, what+" is held by "+who+", which is protected: "+cause)
	}
	if slices.Contains(o.Refused, a.ID) {
		return d.hold(taken, Create, what+" is held by "+who+", which an operator said is not this person's")
	}
	why, doubt := MatchNeedsWord, ""
	switch {
	case taken == AuthDataTaken && a.Auth.Service != o.Desired.Auth.Service:
		return d.hold(taken, Create, what+" is held by "+who+", which logs in by "+loginName(a.Auth.Service))
	case a.Roles.Privileged():
		why, doubt = MatchPrivileged, "it holds "+rights(a.Roles)
	case taken != AuthDataTaken:
		doubt = "the same " + what + " alone proves nothing"
	case !p.AdoptByAuth:
		doubt = "adoption is switched off"
	case !a.Active():
		doubt = "who switched it off is not known"
	case h.Formerly:
		doubt = "it was linked to somebody else before"
	case h.OwnsBotOrToken:
		doubt = "it owns a bot or a personal access token"
	}
	if doubt != "" {
		d.AccountID, d.Username = a.ID, a.Username
		return d.hold(why, Adopt, who+" has the same "+what+"; "+doubt)
	}
	return adopt(d, o, p, a, SameAuthData)
}

func adopt(d Decision, o Observation, p Policy, a *identity.Account, why Reason) Decision {
	d.AccountID, d.Username = a.ID, a.Username
	o.Linked = a
	o.Link = &identity.Link{Key: o.Key, AccountID: a.ID, Part: identity.Owner}
	p.ChangeAuth = false // whoever is taken over logs in as before, in the plan that does it
	p.ReportDrift = 0    // nothing was applied yet that somebody could have edited
	ops, notes, asked, _ := diff(o, p, released{})
	d.Action, d.Reason, d.Notes, d.Withheld = Adopt, why, notes, asked
	switch why {
	case SameIntent:
		d.Detail = "made by an interrupted run for " + keyName(o.Key)
	default:
		d.Detail = "same login data (" + clean(a.Auth.Service) + ") as " + keyName(o.Key)
	}
	// The link is written before the first call, so that a crash in between
	// cannot strand the account half changed and unowned.
	d.Ops = append([]Op{{Kind: LinkAccount}}, ops...)
	return d
}

// unusable says what an entry lacks for an account to be made; the server would
// refuse it, or make an account that nobody can find or log in to.
func unusable(want *identity.Identity) string {
	switch {
	case !want.Owned.Has(identity.Username) || want.Profile.Username == "":
		return "the source gives no username, and an account must have one"
	case !want.Owned.Has(identity.Email) || want.Profile.Email == "":
		return "the source gives no e-mail, and an account must have one"
	case (want.Auth.Service == "") != (want.Auth.Data == ""):
		return halfLogin
	}
	return ""
}

func loginName(service string) string {
	if service == "" {
		return "password"
	}
	return clean(service)
}

// reserved gives the pattern that keeps a username from being taken, or "".
func reserved(name string, patterns []string) string {
	if strings.HasPrefix(strings.ToLower(name), ParkedPrefix) {
		return ParkedPrefix + "*"
	}
	for _, p := range patterns {
		if Match(p, name) {
			return p
		}
	}
	return ""
}

// outside says why an address is in none of the domains; "" if it is in one, or if
// none are named.
func outside(email string, domains []string) string {
	if len(domains) == 0 {
		return ""
	}
	_, domain, _ := strings.Cut(strings.ToLower(email), "@") // one with a second @ is in no domain
	for _, d := range domains {
		below, wild := strings.CutPrefix(d, "*")
		if domain == d || wild && len(domain) > len(below) && strings.HasSuffix(domain, below) && !strings.Contains(domain, "@") {
			return ""
		}
	}
	return "e-mail " + quote(email) + " is in none of the domains of guards.email_domains"
}

// beyondDomains says why the server refuses an e-mail to an account because of its
// domain; "" if it does not. It does only if the account has, for a moment, a login that
// is not exempt.
func (f *Facts) beyondDomains(email string, guest bool, logins ...string) string {
	domains, setting := f.Domains, "TeamSettings"
	if guest {
		domains, setting = f.GuestDomains, "GuestAccountsSettings"
	}
	exempt := func(service string) bool { return service == ldapService || service == "saml" }
	if len(domains) == 0 || inDomains(email, domains) || !slices.ContainsFunc(logins, func(s string) bool { return !exempt(s) }) {
		return ""
	}
	return "e-mail " + quote(email) + " is in none of the domains of the server's " + setting + ".RestrictCreationToDomains (" + strings.Join(domains, ", ") + ")"
}

// Match tells whether name fits pattern, where * stands for any text. Case
// does not count.
func Match(pattern, name string) bool {
	pattern, name = strings.ToLower(pattern), strings.ToLower(name)
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == name
	}
	if !strings.HasPrefix(name, parts[0]) {
		return false
	}
	name = name[len(parts[0]):]
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name = name[i+len(part):]
	}
	return strings.HasSuffix(name, last)
}
