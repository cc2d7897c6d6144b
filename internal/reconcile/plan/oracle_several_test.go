package plan_test

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// What several sources want of one person together, said a second time, and what must
// hold of plans that follow from it.

// contributors gives who contributes to an account, by Key.
func (m *model) contributors(account string) []identity.Key {
	return slices.DeleteFunc(sortedKeys(m.links), func(k identity.Key) bool {
		return m.links[k].Part != identity.Contributor || m.links[k].AccountID != account
	})
}

// has gives what a source says of an account by those of its people who contribute.
// Who is there counts before who may be, and he before who is gone.
func (m *model) has(source, account string) (w word, contributes bool) {
	for _, k := range m.contributors(account) {
		if k.Source != source {
			continue
		}
		o := m.words[k]
		if !contributes || o.speaks() && !w.speaks() || !o.gone && w.gone {
			w, contributes = o, true
		}
	}
	return w, contributes
}

// due is what an account's attribute should be: the value of the first source with
// authority over it that has one, and the owner's if none has. known is false while
// nobody can tell, and shared where none but the owner has a say.
func (m *model) due(own *identity.Identity, account string, a identity.Attribute) (value string, speaks, known, shared bool) {
	var order []string
	for _, x := range m.policy.Authority {
		if x.Attribute == a {
			order = slices.Clone(x.Sources)
		}
	}
	if !slices.Contains(order, own.Key.Source) {
		order = append(order, own.Key.Source)
	}
	first, ownWord := "", said(own)
	ownWord.gone = false // a leaver's own source speaks about his profile
	empties := false
	for _, source := range order {
		w, contributes := m.has(source, account)
		switch {
		case source == own.Key.Source:
			w = ownWord
		case !contributes:
			continue
		default:
			shared = true
		}
		switch {
		case !w.known && !w.gone:
			return "", false, false, true
		case w.gone, !w.owned.Has(a):
		case w.profile.Value(a) != "":
			return w.profile.Value(a), true, true, shared
		case first == "":
			first, empties = source, true
		}
	}
	if a == identity.Username || a == identity.Email || !empties {
		return own.Profile.Value(a), own.Owned.Has(a), true, shared
	}
	return "", true, true, shared
}

// together is what all sources want of those who own accounts, or may get one.
func (m *model) together() map[identity.Key]*identity.Identity {
	out := map[identity.Key]*identity.Identity{}
	for k, d := range m.desired {
		l := m.links[k]
		switch {
		case l == nil && m.only(k.Source), l != nil && l.Part == identity.Contributor:
		case l == nil || d.Fault != "":
			out[k] = d
		default:
			both := *d
			for _, a := range identity.AllAttributes() {
				switch v, speaks, known, shared := m.due(d, l.AccountID, a); {
				case !shared:
				case !known || !speaks:
					both.Owned = both.Owned.Without(identity.AttributesOf(a))
				default:
					both.Profile, both.Owned = both.Profile.With(a, v), both.Owned.With(a)
				}
			}
			both.Roles = both.Roles.Union(m.lent(k))
			out[k] = &both
		}
	}
	return out
}

func (m *model) only(source string) bool {
	return slices.ContainsFunc(m.policy.Contributing, func(c plan.Contributing) bool { return c.Source == source && c.Only })
}

// lent gives the roles that a person's owner does not give him and others do, or may
// do of whom that is not known.
func (m *model) lent(k identity.Key) (out identity.Roles) {
	l := m.links[k]
	for _, source := range m.policy.RoleSources {
		if l == nil || source == k.Source {
			continue
		}
		w, contributes := m.has(source, l.AccountID)
		managed := m.rules(source).Managed
		switch a := m.accounts[l.AccountID]; {
		case !contributes || w.gone || a == nil:
		case w.known:
			out = out.Union(w.roles.Minus(w.roles.Minus(managed)))
		default:
			out = out.Union(a.Roles.Minus(a.Roles.Minus(managed)))
		}
	}
	if d := m.everybody()[k]; d != nil {
		out = out.Minus(d.Roles)
	}
	return out
}

// managed gives the roles that rules decide about for somebody.
func (m *model) managed(k identity.Key) identity.Roles {
	out := m.rules(k.Source).Managed
	for _, source := range m.policy.RoleSources {
		if l := m.links[k]; l != nil {
			if _, contributes := m.has(source, l.AccountID); contributes {
				out = out.Union(m.rules(source).Managed)
			}
		}
	}
	return out
}

// everybody is what each source wants by itself.
func (m *model) everybody() map[identity.Key]*identity.Identity {
	if m.apart != nil {
		return m.apart
	}
	return m.desired
}

// asOne judges with what all sources want together.
func (m *model) asOne(judge func() string) string {
	m.apart = m.desired
	m.desired = m.together()
	defer func() { m.desired, m.apart = m.apart, nil }()
	return judge()
}

// spoken says why a plan does not follow from who has a word, or "".
func (m *model) spoken(p plan.Plan, seen census) string {
	if !m.several {
		return ""
	}
	for _, d := range p.Decisions {
		l, want := m.links[d.Key], m.desired[d.Key]
		if l != nil && l.Part == identity.Contributor && len(d.Ops) > 0 {
			return d.Key.String() + " only contributes, and something is done"
		}
		switch {
		case d.Action == plan.Create && m.only(d.Key.Source) && l == nil:
			return d.Key.String() + " gets an account, and its source only adds"
		case d.Reason == plan.Contributes && d.Action == plan.Adopt:
			if why := m.found(d); why != "" {
				return d.Key.String() + " is taken for somebody: " + why
			}
		case d.Reason == plan.HandedOver && len(d.Ops) > 0:
			to, _ := d.Ops[0].To(plan.FieldKey)
			heir, _ := identity.ParseKey(to)
			x := m.desired[heir]
			switch {
			case want != nil && !m.unread[d.Key]:
				return d.Key.String() + " is in its source, and its account is given away"
			case m.mayLeave(d.Key) != "":
				return d.Key.String() + " is given away: " + m.mayLeave(d.Key)
			case x == nil || !x.Active || x.Fault != "" || m.unread[heir] || m.stopped(heir) != nil || m.links[heir] == nil || m.links[heir].AccountID != d.AccountID:
				return d.Key.String() + " goes to " + to + ", which was not read with him"
			case len(d.Ops) != 1 || m.accounts[d.AccountID].Roles.Privileged():
				return d.Key.String() + " changes hands, and the account is written to, or has rights"
			}
		case d.Action == plan.Deactivate && want == nil && !m.absence[d.Key].Explicit && m.offs[d.Key] == nil:
			for _, k := range m.contributors(d.AccountID) {
				if !m.words[k].gone {
					return d.Key.String() + " is switched off for being missing, and " + k.String() + " is not known to lack him"
				}
			}
			seen["left by all"] += min(1, len(m.contributors(d.AccountID)))
		}
		m.noted(&d, seen)
		if why := cmp.Or(m.valued(&d, seen), m.given(&d)); why != "" {
			return d.Key.String() + ": " + why
		}
	}
	return ""
}

// noted counts what several sources bring about besides changes of profiles.
func (m *model) noted(d *plan.Decision, seen census) {
	l, own := m.links[d.Key], m.desired[d.Key]
	if l == nil || own == nil || l.Part != identity.Owner {
		return
	}
	for _, n := range d.Notes {
		a := identity.Attribute(n.Field)
		if v, _, known, shared := m.due(own, l.AccountID, a); n.Reason == plan.Contested && shared && known && v != own.Profile.Value(a) {
			seen["contested by another"]++
		}
	}
	if len(m.lent(d.Key)) > 0 {
		seen["lent"]++
	}
}

// given says which role somebody gets by the word of others than his owner, for which
// nobody was asked, or "".
func (m *model) given(d *plan.Decision) string {
	for _, op := range d.Ops {
		if op.Kind != plan.SetRoles {
			continue
		}
		more := identity.ParseRoles(op.Changes[0].To).Minus(identity.ParseRoles(op.Changes[0].From))
		if lent := m.lent(d.Key); len(more.Minus(lent)) < len(more) {
			return fmt.Sprintf("gets %v, which only others give", more)
		}
	}
	return ""
}

// valued says which change of a profile is not what the source says that has authority.
func (m *model) valued(d *plan.Decision, seen census) string {
	l, own := m.links[d.Key], m.desired[d.Key]
	if l == nil || own == nil {
		return ""
	}
	for _, op := range d.Ops {
		for _, c := range op.Changes {
			a := identity.Attribute(c.Field)
			if op.Kind != plan.PatchProfile || op.Parks {
				continue
			}
			v, speaks, known, shared := m.due(own, l.AccountID, a)
			switch {
			case m.unread[d.Key]:
				return string(a) + " is changed, and its owner's source was not read"
			case !known:
				return string(a) + " is changed, and what comes first was not heard yet"
			case !speaks:
				return string(a) + " is changed, and nobody speaks about it"
			case c.To != v:
				return fmt.Sprintf("%s is to be %q, and who has authority says %q", a, c.To, v)
			case !shared:
				continue
			}
			seen["shared value"]++
			if own.Profile.Value(a) == v {
				continue
			}
			seen["another's value"]++
			for _, k := range m.contributors(l.AccountID) {
				if m.voiced[k].Stale != "" && m.words[k].profile.Value(a) == v {
					seen["another's value of before"]++
				}
			}
		}
	}
	return ""
}

// found says why a contributor must not be taken for the person whose account he
// would contribute to, or "".
func (m *model) found(d plan.Decision) string {
	var owners, alike []identity.Key
	want := m.desired[d.Key]
	for _, k := range sortedKeys(m.links) {
		if l := m.links[k]; l.Part == identity.Owner && k.Source != d.Key.Source && l.Applied.MatchKey == want.MatchKey {
			owners = append(owners, k)
		}
	}
	for _, k := range sortedKeys(m.desired) {
		if x := m.desired[k]; m.links[k] == nil && k.Source == d.Key.Source && x.MatchKey == want.MatchKey && x.Active && x.Fault == "" && !m.unread[k] {
			alike = append(alike, k)
		}
	}
	switch {
	case m.unread[d.Key]:
		return "nobody read him"
	case want.MatchKey == "" || len(owners) != 1 || m.links[owners[0]].AccountID != d.AccountID:
		return fmt.Sprintf("his match key is that of %v", owners)
	case len(alike) != 1:
		return fmt.Sprintf("%v have the same match key", alike)
	case slices.Contains(m.refused[d.Key], d.AccountID):
		return "an operator said that it is somebody else"
	}
	return ""
}

// owned says which account has two owners, or "".
func (m *model) owned() string {
	owners := map[string]identity.Key{}
	for _, k := range sortedKeys(m.links) {
		l := m.links[k]
		if l.Part != identity.Owner {
			continue
		}
		if other, taken := owners[l.AccountID]; taken {
			return fmt.Sprintf("account %s belongs to %s and %s", l.AccountID, other, k)
		}
		owners[l.AccountID] = k
	}
	return ""
}
