package plan_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func sortedKeys[V any](m map[identity.Key]V) []identity.Key {
	return slices.SortedFunc(maps.Keys(m), identity.Key.Compare)
}

// oracle compares a world in which nothing is left to do with what the sources
// want. Whatever is not so must be held, and the reason must be true.
func (m *model) oracle(p plan.Plan) string {
	held := map[identity.Key]*plan.Decision{}
	for i := range p.Decisions {
		held[p.Decisions[i].Key] = &p.Decisions[i]
	}
	for _, k := range sortedKeys(m.desired) {
		if why := m.fulfilled(k, held); why != "" {
			return k.String() + ": " + why
		}
		if why := m.belongs(k, held[k]); why != "" {
			return why
		}
	}
	for _, k := range sortedKeys(m.links) {
		l := m.links[k]
		if m.desired[k] != nil || l.Part != identity.Owner {
			continue
		}
		a := m.accounts[l.AccountID]
		switch d := held[k]; {
		case a == nil:
			return k.String() + " left, the account is gone, the link is not"
		case d == nil && a.Active():
			return k.String() + " left and is on, without a word"
		case d != nil:
			if why := m.true(k, d.Reason, "", held); why != "" {
				return k.String() + ": " + why
			}
		case a.Roles.Has(identity.RoleAdmin) && !m.isProtected(a):
			return k.String() + " left and is still administrator"
		}
	}
	return ""
}

func (m *model) fulfilled(k identity.Key, held map[identity.Key]*plan.Decision) string {
	want, l, d := m.desired[k], m.links[k], held[k]
	if l != nil && l.Part == identity.Contributor {
		return ""
	}
	excused := map[plan.Field]bool{}
	whole := false
	if d != nil {
		for _, n := range d.Notes {
			if why := m.true(k, n.Reason, n.Field, held); why != "" {
				return fmt.Sprintf("note %s %s is not true: %s", n.Field, n.Reason, why)
			}
			excused[n.Field] = true
		}
		if len(d.Notes) == 0 {
			if why := m.true(k, d.Reason, "", held); why != "" {
				return fmt.Sprintf("held for %s, which is not true: %s", d.Reason, why)
			}
			whole = true
		}
	}
	if l == nil {
		if want.Active && !whole {
			return "wanted, and neither made nor held"
		}
		return ""
	}
	a := m.accounts[l.AccountID]
	switch {
	case whole || (a == nil && d != nil):
		return ""
	case a == nil:
		return "the account is gone without a word"
	case !want.Active:
		if a.Active() {
			return "left and on" // exceptions are held, and so excused
		}
		if a.Roles.Privileged() && !m.isProtected(a) && !a.Roles.Minus(identity.NewRoles(custom, identity.RoleGuest)).Equal(identity.NewRoles(identity.RoleUser)) {
			return "left and keeps " + a.Roles.String()
		}
		return ""
	case want.Fault != "":
		return "unusable and not held"
	case !a.Active():
		return "wanted, off, and not held"
	}
	return m.same(want, a, l, excused)
}

// same compares the account with what is wanted, less what is excused.
func (m *model) same(want *identity.Identity, a *identity.Account, l *identity.Link, excused map[plan.Field]bool) string {
	for _, f := range want.Owned.Without(m.policy.UserOwned).List() {
		if !excused[plan.Field(f)] && a.Value(f) != want.Profile.Value(f) {
			return fmt.Sprintf("%s is %q and should be %q", f, a.Value(f), want.Profile.Value(f))
		}
	}
	rules := m.rules(want.Key.Source)
	for _, role := range []string{auditor, identity.RoleAdmin, manager} {
		if m.managed(want.Key).Has(role) && a.Roles.Has(role) != want.Roles.Has(role) && !excused[plan.FieldRoles] && !(a.Roles.Has(role) && rules.Kept.Has(role)) {
			return fmt.Sprintf("role %s is %v", role, a.Roles.Has(role))
		}
	}
	if is, wants := a.Roles.Has(identity.RoleGuest), want.Roles.Has(identity.RoleGuest); rules.Guests && is != wants && !excused[plan.FieldRoles] && !(is && rules.Guest == plan.LostKeep) {
		return fmt.Sprintf("guest is %v", is)
	}
	auth := a.Auth
	if !m.facts.AuthDataVisible {
		if auth.Data = l.Applied.Auth.Data; auth.Data == "" {
			auth.Data = want.Auth.Data // cannot be known
		}
	}
	if !want.Auth.IsZero() && auth != want.Auth && !excused[plan.FieldAuthData] && !excused[plan.FieldAuthService] {
		return fmt.Sprintf("login is %v and should be %v", a.Auth, want.Auth)
	}
	return ""
}

// true checks the reason of a hold against the world; "" means that it holds.
func (m *model) true(k identity.Key, why plan.Reason, f plan.Field, held map[identity.Key]*plan.Decision) string {
	want, l := m.desired[k], m.links[k]
	var a *identity.Account
	if l != nil {
		a = m.accounts[l.AccountID]
	}
	no := ""
	is := func(ok bool, otherwise string) {
		if !ok {
			no = otherwise
		}
	}
	switch why {
	case plan.UsernameTaken:
		no = m.holds(k, plan.Field(identity.Username), held, false)
	case plan.EmailTaken:
		no = m.holds(k, plan.Field(identity.Email), held, false)
	case plan.WaitsForOther:
		if f == "" {
			if no = m.holds(k, plan.Field(identity.Username), held, true); no != "" {
				no = m.holds(k, plan.Field(identity.Email), held, true)
			}
		} else {
			no = m.holds(k, f, held, true)
		}
	case plan.Contested:
		is(slices.ContainsFunc(sortedKeys(m.desired), func(o identity.Key) bool { return o != k && m.rivals(want, m.desired[o]) }), "nobody else claims it")
	case plan.NameReserved:
		is(strings.HasPrefix(want.Profile.Username, "svc-"), "it is not reserved")
	case plan.MatchNeedsWord, plan.MatchPrivileged:
		is(slices.ContainsFunc(slices.Collect(maps.Values(m.accounts)), func(o *identity.Account) bool {
			return m.ownerOf(o.ID).IsZero() && (o.Username == want.Profile.Username || o.Email == want.Profile.Email || (o.Auth.Data != "" && o.Auth == want.Auth))
		}), "no account looks like him")
	case plan.LoginOff:
		is(slices.Contains(m.facts.LoginsOff, want.Auth.Service), "it is on")
	case plan.AuthDataTaken:
		is(slices.ContainsFunc(slices.Collect(maps.Values(m.accounts)), func(o *identity.Account) bool { return o.Auth.Data == want.Auth.Data }), "nobody has it")
	case plan.NeedsApproval:
		if len(m.lent(k)) > 0 {
			break
		}
		guest := a != nil && a.Roles.Has(identity.RoleGuest) && !want.Roles.Has(identity.RoleGuest) && m.rules(k.Source).Guests
		is(guest || (a != nil && a.Roles.Privileged()) || want.Roles.Has(identity.RoleAdmin) || want.Roles.Has(manager), "no administrator is involved")
	case plan.GuestsOff:
		is(m.facts.GuestsOff, "the guest feature is on")
	case plan.GuestsUnlicensed:
		is(m.facts.Licence.Known && !m.facts.Licence.Guests, "there is a licence")
		is(want.Roles.Has(identity.RoleGuest) && (a == nil || !a.Roles.Has(identity.RoleGuest)), "nobody is to be made a guest")
	case plan.GuestMixed:
		is(a != nil && a.Roles.Has(identity.RoleGuest) && len(a.Roles) > 1, "it holds nothing else")
	case plan.GuestHasNoRoles:
		is(want.Roles.Has(auditor) || want.Roles.Has(identity.RoleAdmin) || want.Roles.Has(manager), "no rule gives a role")
	case plan.RoleUnlicensed:
		is(m.facts.Licence.Known && !m.facts.Licence.Delegated && (want.Roles.Has(manager) || (a != nil && a.Roles.Has(manager))), "there is a licence, or no need of one")
	case plan.Protected:
		is(a != nil && m.isProtected(a), "it is not")
	case plan.LockedByLogin:
		is(a != nil && a.Auth.Service != "", "it has no login service")
	case plan.LockedByLDAP:
		is(a != nil && a.Auth.Service == "ldap" && m.facts.LDAPLocked, "it is not")
		is(!m.policy.DeleteEndpoint || !a.Active(), "DELETE would switch it off")
	case plan.LockedByVerify:
		is(m.facts.EmailVerification, "no verification")
	case plan.AuthNotChanged:
		is(!m.policy.ChangeAuth, "logins may be moved")
	case plan.LastAdmin:
		is(m.admins() <= max(1, m.policy.NeverBelow), "there are more")
	case plan.NoSeats:
		is(m.seatLimit >= 0 && m.active() >= m.seatLimit, "there are seats")
	case plan.DeactivatedOther:
		is(a != nil && !a.Active() && l.DeactivatedAt != a.DeleteAt, "it was us")
	case plan.PictureUnusable:
		is(want.Picture.Fault != "", "it can be used")
	case plan.EntryFault:
		empty := func(a identity.Attribute) bool {
			return want.Profile.Value(a) == "" && (l == nil || f == plan.Field(a))
		}
		is(want.Fault != "" || empty(identity.Username) || empty(identity.Email), "the entry can be used")
	case plan.AccountMissing:
		is(l != nil && a == nil, "the account is there")
		is(!m.gone(k) || m.hindered(k), "nothing keeps it from being created anew")
	case plan.HandOver:
		if want != nil {
			is(l == nil && len(m.knownAs(k)) == 1, "the match key knows nobody")
			break
		}
		is(!m.absence[k].Explicit && m.inherited(k), "nobody else wants the account")
	case plan.ReadIncomplete, plan.Unconfirmed, plan.InGrace:
		is(want == nil, "he is not absent")
	default:
		if name, about := f.Space(); about {
			return m.placeTrue(k, why, name)
		}
		no = "not expected at rest"
	}
	return no
}

func (m *model) ownerOf(id string) identity.Key {
	for k, l := range m.links {
		if l.AccountID == id && l.Part == identity.Owner {
			return k
		}
	}
	return identity.Key{}
}

// inherited tells whether an active person without an account wants what the
// account of k has, or knows the account by a link of another source.
func (m *model) inherited(k identity.Key) bool {
	a := m.accounts[m.links[k].AccountID]
	if a != nil && slices.ContainsFunc(m.contributors(a.ID), func(o identity.Key) bool { return !m.words[o].gone }) {
		return true
	}
	return a != nil && slices.ContainsFunc(sortedKeys(m.everybody()), func(o identity.Key) bool {
		want, l := m.everybody()[o], m.links[o]
		switch {
		case !want.Active || want.Fault != "" || m.unread[o]:
			return false
		case l == nil && slices.Contains(m.refused[o], a.ID):
			return false
		case l == nil && slices.Equal(m.knownAs(o), []identity.Key{k}):
			return true
		case l != nil && !m.gone(o):
			return l.Part == identity.Contributor && l.AccountID == a.ID
		}
		seen := m.facts.AuthDataVisible && want.Auth.Data != "" && want.Auth.Data == a.Auth.Data
		return seen || strings.EqualFold(want.Profile.Username, a.Username) || strings.EqualFold(want.Profile.Email, a.Email)
	})
}

// holds checks that another account has the wanted value, and that its owner, if
// he wants to give it up, is himself held for that field.
func (m *model) holds(k identity.Key, f plan.Field, held map[identity.Key]*plan.Decision, mustMove bool) string {
	attr := identity.Attribute(f)
	v := m.desired[k].Profile.Value(attr)
	for id, a := range m.accounts {
		if l := m.links[k]; a.Value(attr) != v || (l != nil && l.AccountID == id) {
			continue
		}
		owner := m.ownerOf(id)
		o := m.desired[owner]
		moves := o != nil && o.Fault == "" && o.Owned.Has(attr) && o.Profile.Value(attr) != v
		if !moves {
			if mustMove {
				return "its holder does not want to give it up"
			}
			return ""
		}
		if !o.Active {
			return "" // a leaver's name moves if it can, and is not listed if not
		}
		d := held[owner]
		if d == nil {
			return "its holder wants to give it up and nothing keeps him"
		}
		if len(d.Notes) > 0 && !slices.ContainsFunc(d.Notes, func(n plan.Note) bool { return n.Field == f }) {
			return "its holder could give it up"
		}
		return ""
	}
	return "nobody has it"
}

func (m *model) rivals(a, b *identity.Identity) bool {
	return b.Fault == "" && (a.Profile.Username == b.Profile.Username || a.Profile.Email == b.Profile.Email || (a.Auth.Data != "" && a.Auth.Data == b.Auth.Data))
}

// hindered tells whether anything keeps an account from being created for k: a
// missing, taken or reserved name, taken login data, somebody else who claims one, or a server
// that makes no guests.
func (m *model) hindered(k identity.Key) bool {
	want := m.desired[k]
	noGuests := m.facts.GuestsOff || m.facts.Licence.Known && !m.facts.Licence.Guests
	if want.Profile.Username == "" || want.Profile.Email == "" || strings.HasPrefix(want.Profile.Username, "svc-") || noGuests && m.rules(k.Source).Guests && want.Roles.Has(identity.RoleGuest) {
		return true
	}
	for _, a := range m.accounts {
		if a.Username == want.Profile.Username || a.Email == want.Profile.Email || (want.Auth.Data != "" && a.Auth.Data == want.Auth.Data) {
			return true
		}
	}
	return slices.ContainsFunc(sortedKeys(m.desired), func(o identity.Key) bool { return o != k && m.rivals(want, m.desired[o]) })
}
