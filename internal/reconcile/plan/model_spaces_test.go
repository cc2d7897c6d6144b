package plan_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Teams and channels of made-up worlds.

// belong gives a world teams and channels, rules about some of them, people who are
// wanted in them and people who are there.
func belong(r *rand.Rand, m *model) {
	chance := func(percent int) bool { return r.IntN(100) < percent }
	if chance(40) {
		return
	}
	names := []string{"t", "t/c", "t/d", "u", "u/c"}
	m.facts.Spaces, m.teamLimit = map[string]plan.Space{}, map[string]int{}
	m.policy.ReaddRemoved = chance(20)
	for _, name := range names {
		s := plan.Space{ID: "id-" + name, Room: -1}
		if team, channel := identity.TeamOf(name); channel {
			s.TeamID = "id-" + team
		}
		switch {
		case chance(5):
			s.ID, s.Trouble = "", plan.SpaceMissing
		case chance(5):
			s.Trouble = plan.SpaceByGroups
		case s.TeamID == "" && chance(10):
			s.Email = fmt.Sprintf("m%02d@x", r.IntN(8))
		}
		m.facts.Spaces[name] = s
	}
	for _, source := range []string{"ad", "hr"} {
		a := plan.MembershipAuthority{Source: source}
		for _, name := range names {
			_, channel := identity.TeamOf(name)
			if !channel || chance(70) { // a channel never without its team
				a.Spaces = append(a.Spaces, plan.SpaceRule{Name: name, Strict: chance(50), Admins: chance(40)})
			}
		}
		m.policy.Memberships = append(m.policy.Memberships, a)
	}
	some := func(percent int, ids bool) identity.Memberships {
		var list []identity.Membership
		add := func(name string) {
			x := identity.Membership{Space: name, Admin: chance(20)}
			if ids {
				x.ID = m.facts.Spaces[name].ID
			}
			if !ids || x.ID != "" {
				list = append(list, x)
			}
		}
		for _, name := range names {
			if !chance(percent) {
				continue
			}
			if team, channel := identity.TeamOf(name); channel {
				if ids && m.facts.Spaces[team].ID == "" {
					continue // a channel of no team
				}
				add(team)
			}
			add(name)
		}
		return identity.NewMemberships(list...)
	}
	for _, k := range sortedKeys(m.desired) {
		m.desired[k].Memberships = some(45, false)
	}
	for _, id := range slices.Sorted(maps.Keys(m.accounts)) {
		m.members[id] = some(30, true)
	}
	for _, k := range sortedKeys(m.links) {
		if chance(30) {
			m.links[k].Applied.Memberships = some(40, true)
		}
	}
	if chance(20) {
		m.teamLimit["t"] = m.inTeam("t") + r.IntN(4)
	}
}

func (m *model) inTeam(name string) int {
	n := 0
	for _, in := range m.members {
		if _, is := in.Of(name); is {
			n++
		}
	}
	return n
}

// stroll lets people join and leave by themselves, and counts how much room there is.
func (m *model) stroll(r *rand.Rand, round int) {
	if len(m.facts.Spaces) == 0 {
		return
	}
	ids := slices.Sorted(maps.Keys(m.accounts))
	for range r.IntN(3) {
		if round > 3 {
			break
		}
		id := ids[r.IntN(len(ids))]
		name := []string{"t", "t/c", "t/d", "u", "u/c"}[r.IntN(5)]
		team, channel := identity.TeamOf(name)
		_, in := m.members[id].Of(name)
		_, inTeam := m.members[id].Of(team)
		switch s := m.facts.Spaces[name]; {
		case s.ID == "", m.teamLimit[name] > 0 && m.inTeam(name) >= m.teamLimit[name] && !in:
		case in:
			m.members[id] = m.without(id, name)
		case inTeam || !channel:
			m.members[id] = m.members[id].With(identity.Membership{Space: name, ID: s.ID})
		}
	}
	spaces := maps.Clone(m.facts.Spaces)
	for name, most := range m.teamLimit {
		s := spaces[name]
		s.Room = max(0, most-m.inTeam(name))
		spaces[name] = s
	}
	m.facts.Spaces = spaces
}

// without takes somebody out of a space, and out of a team's channels with it.
func (m *model) without(id, name string) identity.Memberships {
	return slices.DeleteFunc(slices.Clone(m.members[id]), func(x identity.Membership) bool {
		team, _ := identity.TeamOf(x.Space)
		return x.Space == name || team == name
	})
}

// place is the server's answer to an op about a team or channel.
func (m *model) place(a *identity.Account, op plan.Op) error {
	name, from, to, _ := op.Space()
	s := m.facts.Spaces[name]
	_, in := m.members[a.ID].Of(name)
	switch {
	case s.ID == "" || s.ID != op.SpaceID:
		return fmt.Errorf("%s is not there", name)
	case s.Trouble != "":
		return fmt.Errorf("%s is not to be changed: %s", name, s.Trouble)
	case a.Roles.Has(identity.RoleGuest):
		return fmt.Errorf("a guest is moved")
	case to == "":
		m.members[a.ID] = m.without(a.ID, name)
		return nil
	}
	team, channel := identity.TeamOf(name)
	_, inTeam := m.members[a.ID].Of(team)
	switch {
	case channel && !inTeam:
		return fmt.Errorf("not in the team of %s", name)
	case channel && from == "" && !a.Active():
		return fmt.Errorf("%s takes nobody who is off", name)
	case from == "" && in:
		return nil // as it is
	case from != "" && !in:
		return fmt.Errorf("not in %s", name)
	case from == "" && !channel && s.Room == 0 && m.inTeam(name) >= m.teamLimit[name]:
		return fmt.Errorf("%s is full", name)
	case from == "" && s.Email != "" && s.Email == a.Email:
		return fmt.Errorf("%s would get an administrator by its e-mail", name)
	}
	m.members[a.ID] = m.members[a.ID].With(identity.Membership{Space: name, ID: s.ID, Admin: to == "admin"})
	return nil
}

// confirm keeps in the links what the engine keeps after it has looked.
func (m *model) confirm(obs []plan.Observation) {
	if len(m.policy.Memberships) == 0 {
		return
	}
	for i := range obs {
		ob := &obs[i]
		l := m.links[ob.Key]
		if l == nil || l.Part == identity.Contributor || ob.Linked == nil || ob.Desired == nil || ob.Desired.Fault != "" || !ob.Desired.Active || !ob.Busy.IsZero() {
			continue
		}
		next := *l
		next.Applied.Memberships = plan.Confirmed(ob, m.policy)
		m.links[ob.Key] = &next
	}
}

func (m *model) spaceRules(source string) []plan.SpaceRule {
	for _, a := range m.policy.Memberships {
		if a.Source == source {
			return a.Spaces
		}
	}
	return nil
}

// placed says what of a decision no rule about teams and channels allows, or "".
func (m *model) placed(d plan.Decision) string {
	want := identity.Memberships{}
	if x := m.desired[d.Key]; x != nil {
		want = x.Memberships
	}
	for _, op := range d.Ops {
		name, from, to, ok := op.Space()
		if !ok {
			continue
		}
		at := slices.IndexFunc(m.spaceRules(d.Key.Source), func(r plan.SpaceRule) bool { return r.Name == name })
		if at < 0 {
			return "moved in " + name + ", which no rule of the source names"
		}
		rule, l := m.spaceRules(d.Key.Source)[at], m.links[d.Key]
		wants, wanted := want.Of(name)
		was, gave := identity.Membership{}, false
		if l != nil && d.AccountID == l.AccountID {
			was, gave = l.Applied.Memberships.Of(name)
		}
		switch {
		case op.Takes() && m.facts.SetBack:
			return "taken out of " + name + " on a server that was set back"
		case to == "" && (wanted || !rule.Strict):
			return "taken out of " + name
		case to == "member" && from == "admin" && (!rule.Strict || !rule.Admins || wants.Admin):
			return "no administrator of " + name + " any more"
		case from == "" && !wanted:
			return "added to " + name
		case from == "" && gave && was.ID == op.SpaceID && !m.policy.ReaddRemoved:
			return "added again to " + name + ", which he left"
		case to == "admin" && !wants.Admin:
			return "made administrator of " + name
		}
	}
	return ""
}

// belongs tells whether somebody for whom nothing is left to do is where he is wanted,
// or why that is not so.
func (m *model) belongs(k identity.Key, d *plan.Decision) string {
	l, want := m.links[k], m.desired[k]
	if l == nil || l.Part == identity.Contributor || want == nil || !want.Active || want.Fault != "" || m.offs[k] != nil {
		return ""
	}
	a := m.accounts[l.AccountID]
	if a == nil || !a.Active() || (d != nil && len(d.Notes) == 0) { // held as a whole
		return ""
	}
	for _, rule := range m.spaceRules(k.Source) {
		wants, wanted := want.Memberships.Of(rule.Name)
		is, in := m.members[a.ID].Of(rule.Name)
		wrong := ""
		switch {
		case wanted && !in:
			wrong = "not in " + rule.Name
		case wanted && wants.Admin && !is.Admin:
			wrong = "not administrator of " + rule.Name
		case wanted && !wants.Admin && is.Admin && rule.Strict && rule.Admins:
			wrong = "still administrator of " + rule.Name
		case !wanted && in && rule.Strict:
			wrong = "still in " + rule.Name
		default:
			continue
		}
		if d == nil || !slices.ContainsFunc(d.Notes, func(n plan.Note) bool { return n.Field == plan.SpaceField(rule.Name) || n.Reason == plan.TeamFull }) {
			return k.String() + " is " + wrong + ", and nothing says why"
		}
	}
	return ""
}

// placeTrue checks the reason of a note about a team or channel against the world. A
// channel has the reason of its team.
func (m *model) placeTrue(k identity.Key, why plan.Reason, name string) string {
	team, _ := identity.TeamOf(name)
	l, want := m.links[k], m.desired[k]
	if l == nil {
		return "there is no account"
	}
	left, trouble := false, false
	for _, n := range []string{name, team} {
		s := m.facts.Spaces[n]
		was, gave := l.Applied.Memberships.Of(n)
		_, in := m.members[l.AccountID].Of(n)
		left = left || gave && was.ID == s.ID && !in
		trouble = trouble || s.Trouble == why
	}
	ok := false
	switch why {
	case plan.SpaceMissing, plan.SpaceByGroups:
		ok = trouble
	case plan.LeftByThemselves:
		ok = left && !m.policy.ReaddRemoved
	case plan.TeamFull:
		ok = m.inTeam(team) >= m.teamLimit[team]
	case plan.TeamEmail:
		ok = m.facts.Spaces[team].Email == m.accounts[l.AccountID].Email && want != nil
	case plan.GuestLeftAlone:
		ok = m.accounts[l.AccountID].Roles.Has(identity.RoleGuest) || want != nil && want.Roles.Has(identity.RoleGuest)
	default:
		return "not expected of a team or channel"
	}
	if !ok {
		return "it is not so"
	}
	return ""
}
