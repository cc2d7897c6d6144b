package plan_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Several sources about one person, in made-up worlds: ad and hr own accounts, okta
// only adds to them, badge adds to them and may get accounts of its own. Any of them
// may be unreadable in a run, or readable in part.

const (
	okta  = "okta"
	badge = "badge"
)

// word is what a source was heard to say last about one of its people.
type word struct {
	known   bool // it was heard at all
	gone    bool
	profile identity.Profile
	owned   identity.Attributes
	roles   identity.Roles
}

func (w word) speaks() bool { return w.known && !w.gone }

func said(d *identity.Identity) word {
	w := word{known: true, gone: !d.Active, owned: d.Owned, roles: d.Roles}
	for _, a := range d.Owned.List() {
		w.profile = w.profile.With(a, d.Profile.Value(a))
	}
	return w
}

// several makes sources contribute to accounts of others in half of the worlds.
func several(r *rand.Rand, m *model) {
	chance := func(percent int) bool { return r.IntN(100) < percent }
	m.words, m.voiced, m.unread, m.partial = map[identity.Key]word{}, map[identity.Key]plan.Voice{}, map[identity.Key]bool{}, map[string]bool{}
	if chance(50) {
		return
	}
	m.several = true
	p := &m.policy
	for _, c := range []struct {
		of      identity.Attribute
		percent int
	}{{identity.Username, 15}, {identity.Email, 25}, {identity.Position, 75}, {identity.FirstName, 60}} {
		if all := []string{okta, badge, "hr", "ad"}; chance(c.percent) {
			r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			p.Authority = append(p.Authority, plan.Authority{Attribute: c.of, Sources: all[:1+r.IntN(3)]})
		}
	}
	if chance(40) {
		p.RoleSources = []string{okta}
		managed := identity.NewRoles(auditor)
		if chance(30) {
			managed = managed.Union(identity.NewRoles(identity.RoleAdmin))
		}
		p.Roles = append(p.Roles, plan.RoleAuthority{Source: okta, Managed: managed, Granted: managed})
	}
	p.Contributing = []plan.Contributing{{Source: okta, By: plan.FieldMatchKey, Only: true}, {Source: badge}}
	if chance(40) {
		p.Contributing = append(p.Contributing, plan.Contributing{Source: "ad", By: plan.FieldMatchKey})
	}
	if chance(50) {
		p.HandsOver = []plan.HandsOver{{Source: "ad", To: []string{okta, "hr", badge}}, {Source: "hr", To: []string{badge}}}
	}
	for _, k := range sortedKeys(m.links) {
		l := m.links[k]
		if l.Part != identity.Owner {
			continue
		}
		if l.Applied.MatchKey == "" && chance(50) {
			l.Applied.MatchKey = "o" + k.String()
		}
		for _, source := range []string{okta, badge} {
			if !chance(45) {
				continue
			}
			to := identity.Key{Source: source, Anchor: k.Source + k.Anchor}
			d := m.speech(r, to)
			d.MatchKey = l.Applied.MatchKey
			if source == okta && chance(30) {
				m.desired[to] = d // who it is has still to be found out
				continue
			}
			m.links[to] = &identity.Link{Key: to, AccountID: l.AccountID, Part: identity.Contributor, Applied: identity.Applied{Active: true, MatchKey: d.MatchKey}}
			if chance(80) {
				m.words[to] = said(m.speech(r, to))
			}
			if m.desired[to] = d; chance(15) {
				m.vanish(to)
			}
		}
		d, a := m.desired[k], m.accounts[l.AccountID]
		if d != nil && d.Fault == "" && a != nil && (a.Auth.Service == "ldap" || a.Auth.Service == "gitlab") && chance(20) {
			// What the old login locked can be changed once the new one is set.
			d.Auth = identity.Auth{Service: "saml", Data: a.Auth.Data}
			d.Profile.Email = fmt.Sprintf("moved%s@x", k.Anchor)
		}
		if d != nil && chance(15) {
			m.vanish(k)
		}
	}
	for i := range r.IntN(3) { // people whom a contributor alone has
		k := identity.Key{Source: []string{okta, badge}[r.IntN(2)], Anchor: fmt.Sprint("alone", i)}
		if m.desired[k] = m.speech(r, k); chance(50) {
			m.desired[k].Profile.Username, m.desired[k].Profile.Email = fmt.Sprintf("n%02d", r.IntN(12)), fmt.Sprintf("m%02d@x", r.IntN(12))
			m.desired[k].Owned = m.desired[k].Owned.With(identity.Username).With(identity.Email)
		}
	}
}

// speech is what a contributor may say of somebody.
func (m *model) speech(r *rand.Rand, k identity.Key) *identity.Identity {
	chance := func(percent int) bool { return r.IntN(100) < percent }
	d := &identity.Identity{Key: k, Active: !chance(8)}
	for _, v := range []struct {
		of    identity.Attribute
		value string
	}{
		{identity.Username, fmt.Sprintf("n%02d", r.IntN(16))},
		{identity.Email, fmt.Sprintf("m%02d@x", r.IntN(16))},
		{identity.Position, fmt.Sprint("by ", k.Source, r.IntN(2))},
		{identity.FirstName, fmt.Sprint("F", r.IntN(2))},
	} {
		if chance(20) {
			continue
		}
		d.Owned = d.Owned.With(v.of)
		if chance(75) {
			d.Profile = d.Profile.With(v.of, v.value)
		}
	}
	if d.Owned == 0 { // a source without a word about anybody is none
		d.Owned = d.Owned.With(identity.Position)
	}
	if chance(25) && k.Source == okta { // badge has no rules about roles
		d.Roles = identity.NewRoles(auditor)
	}
	if chance(4) && k.Source == okta {
		d.Roles = d.Roles.Union(identity.NewRoles(identity.RoleAdmin))
	}
	if chance(6) {
		*d = identity.Identity{Key: k, Active: d.Active, Fault: "unusable"}
	}
	return d
}

// vanish takes somebody out of his source, which does not say that he was deleted.
func (m *model) vanish(k identity.Key) {
	delete(m.desired, k)
	m.absence[k] = plan.Absence{}
}

// come lets people come and go in the sources, in the first rounds, and says which
// sources can be read.
func (m *model) come(r *rand.Rand, round int) {
	clear(m.unread)
	clear(m.partial)
	if !m.several {
		return
	}
	chance := func(percent int) bool { return r.IntN(100) < percent }
	for _, k := range sortedKeys(m.links) {
		l := m.links[k]
		contributes, d := l.Part == identity.Contributor, m.desired[k]
		switch {
		case round > 4 || m.absence[k].Explicit && d == nil:
		case d == nil && chance(15) && m.accounts[l.AccountID] != nil:
			m.desired[k] = &identity.Identity{Key: k, Active: true, Profile: m.accounts[l.AccountID].Profile, Owned: identity.AttributesOf(identity.Username, identity.Email, identity.Position)}
			if contributes {
				m.desired[k] = m.speech(r, k)
			}
			delete(m.absence, k)
		case d == nil:
		case contributes && chance(12), chance(3):
			m.vanish(k)
		case contributes && chance(20):
			m.desired[k] = m.speech(r, k)
			m.desired[k].MatchKey = d.MatchKey
		}
	}
	if round > 6 {
		return
	}
	for _, source := range []string{"ad", "hr", okta, badge} {
		share := []int{0, 0, 0, 0, 50, 100}[r.IntN(6)]
		if share == 0 {
			continue
		}
		m.partial[source] = true
		for _, k := range sortedKeys(m.desired) {
			if k.Source == source && chance(share) {
				m.unread[k] = true
			}
		}
	}
}

// hear keeps what contributors say as far as their sources could be read, and what
// they said last otherwise.
func (m *model) hear() {
	if !m.several {
		return
	}
	clear(m.voiced)
	for _, k := range sortedKeys(m.links) {
		l := m.links[k]
		if l.Part != identity.Contributor {
			continue
		}
		w, d, a, stale := m.words[k], m.desired[k], m.absence[k], ""
		switch {
		case m.stopped(k) != nil:
			stale = "an operator holds him"
		case m.unread[k]:
			stale = "the source was not read whole"
		case d != nil && d.Fault != "" && d.Active:
			stale = "the entry cannot be used"
		case d != nil && d.Fault != "":
			w.gone = true
		case d != nil:
			w = said(d)
		case a.Explicit, a.Complete && (a.Presence == identity.PresenceGone || a.Presence == identity.PresenceOutOfScope):
			w.gone = true
		default:
			stale = "nobody says that he is gone"
		}
		m.words[k] = w
		next := *l
		next.Applied.Active = !w.gone
		m.links[k] = &next
		v := plan.Voice{Key: k, Standing: plan.Speaks, Profile: w.profile, Owned: w.owned, Roles: w.roles, Stale: stale}
		switch {
		case w.gone:
			v.Standing = plan.Gone
		case !w.known:
			v.Standing = plan.Unknown
		}
		m.voiced[k] = v
	}
}

// recordLink keeps who an account is whose after a link was written.
func (m *model) recordLink(d plan.Decision, op plan.Op) {
	if heir, hands := op.To(plan.FieldKey); hands {
		to, _ := identity.ParseKey(heir)
		gets := *m.links[d.Key]
		gets.Key = to
		m.links[to] = &gets
		m.links[d.Key] = &identity.Link{Key: d.Key, AccountID: gets.AccountID, Part: identity.Contributor, Applied: identity.Applied{MatchKey: gets.Applied.MatchKey}}
		m.words[d.Key] = word{known: true, gone: true}
		delete(m.words, to)
		return
	}
	m.links[d.Key] = &identity.Link{Key: d.Key, AccountID: d.AccountID, Part: identity.Contributor, Applied: identity.Applied{Active: true, MatchKey: m.desired[d.Key].MatchKey}}
	m.words[d.Key] = said(m.desired[d.Key])
}
