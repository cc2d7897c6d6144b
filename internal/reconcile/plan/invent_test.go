package plan_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

const (
	auditor = "chat_auditor"   // managed, granted freely
	custom  = "custom"         // managed by nobody
	manager = "system_manager" // managed in some worlds, granted freely; needs a licence
)

// invent makes up a world. Names come from a small stock, so that people get in
// each other's way: renames, swaps, rings, contests, foreign holders.
func invent(r *rand.Rand) *model {
	m := &model{world: newWorld(), seatLimit: -1}
	chance := func(percent int) bool { return r.IntN(100) < percent }
	m.policy.ReservedNames = []string{"svc-*"}
	m.policy.NeverBelow = 1 + r.IntN(2)
	m.policy.ChangeAuth, m.policy.RevokeOnAuth = chance(50), chance(50)
	m.policy.RecreateGone, m.policy.DeleteEndpoint = chance(50), chance(50)
	m.settle = []time.Duration{0, 3 * time.Hour, 5 * time.Hour}[r.IntN(3)]
	m.policy.UserOwned = identity.AttributesOf(identity.Nickname)
	for _, source := range []string{"ad", "hr"} {
		m.policy.Roles = append(m.policy.Roles, plan.RoleAuthority{
			Source: source, Managed: identity.NewRoles(auditor, identity.RoleAdmin), Granted: identity.NewRoles(auditor),
		})
	}
	if chance(50) {
		m.policy.Grace = plan.Grace{}
	} else {
		m.policy.Grace = plan.Grace{Missing: 6 * time.Hour, OutOfScope: 3 * time.Hour}
	}
	m.facts.AuthDataVisible, m.facts.EmailVerification, m.facts.LDAPLocked = !chance(10), chance(5), chance(80)
	if chance(10) {
		m.facts.LoginsOff = []string{"saml"}
	}

	people := 2 + r.IntN(9)
	stock := people + 2 + r.IntN(6)
	names, mails := r.Perm(stock), r.Perm(stock)
	n := 0
	account := func(id string) *identity.Account {
		a := &identity.Account{ID: id, Roles: identity.NewRoles(identity.RoleUser), CreateAt: 1}
		a.Username, a.Email = fmt.Sprintf("n%02d", names[n]), fmt.Sprintf("m%02d@x", mails[n])
		n++
		m.accounts[id] = a
		return a
	}
	m.accounts["root"] = &identity.Account{
		ID: "root", Profile: identity.Profile{Username: "root", Email: "root@x"}, Roles: identity.NewRoles(identity.RoleAdmin, identity.RoleUser), CreateAt: 1,
	}
	plain := chance(30) // a world without odd accounts, where moves are long
	for i := range people {
		k := identity.Key{Source: []string{"ad", "hr"}[r.IntN(2)], Anchor: fmt.Sprint(i)}
		a := account(fmt.Sprintf("a%0*d", 1+r.IntN(2), i))
		l := &identity.Link{Key: k, AccountID: a.ID, Part: identity.Owner}
		if !plain {
			oddities(r, m, a, l)
		}
		l.Applied.Profile, l.Applied.Auth = a.Profile, a.Auth
		m.links[k] = l
		if chance(8) && m.accounts[a.ID] != nil { // somebody changed it in Mattermost
			l.Applied.Profile.Position, a.Position = "", "king"
		}
		m.desired[k] = &identity.Identity{
			Key: k, Active: true, Profile: l.Applied.Profile, Auth: a.Auth,
			Owned: identity.AttributesOf(identity.Username, identity.Email, identity.Position, identity.Nickname),
		}
		if a.Roles.Has(auditor) && chance(80) {
			m.desired[k].Roles = identity.NewRoles(auditor)
		}
	}
	for i := range r.IntN(stock - n + 1) {
		a := account(fmt.Sprintf("x%d", i))
		if chance(40) {
			a.Auth = identity.Auth{Service: "saml", Data: fmt.Sprintf("d%d", i)}
		}
		if chance(20) {
			a.DeleteAt = 7
		}
		if chance(20) {
			a.Roles = a.Roles.Union(identity.NewRoles(custom))
		}
		m.formerly[a.ID], m.owns[a.ID], a.Bot = chance(10), chance(10), chance(10)
	}
	want(r, m, stock, plain)
	things(m, shape(mails))
	known(rand.New(rand.NewPCG(shape(names), shape(mails))), m) // apart, so that the rest is as without
	guests(rand.New(rand.NewPCG(shape(mails), shape(names))), m)
	picture(rand.New(rand.NewPCG(shape(names), shape(mails))), m)
	locks(rand.New(rand.NewPCG(shape(mails), shape(names))), m)
	if !plain && chance(15) {
		m.seatLimit = m.active() + r.IntN(3)
	}
	return m
}

// things gives people access tokens, and the policy what to do about them.
func things(m *model, shape uint64) {
	m.policy.DisableOnReturn, m.policy.DisableTokens = shape%4 > 0, shape%3 == 0
	for id := range m.accounts {
		var b plan.Belongings
		for i := range mix(identity.Key{Anchor: id}, 31) % 3 {
			b.Tokens = append(b.Tokens, plan.Leftover{Kind: plan.LeftToken, ID: fmt.Sprintf("t%d-%s", i, id), OwnerID: id})
		}
		m.things[id] = &b
	}
}

// locks has the server keep fields to its login services.
func locks(r *rand.Rand, m *model) {
	if r.IntN(100) < 60 {
		return
	}
	m.facts.Locks = plan.Locks{}
	for _, service := range []string{"ldap", "saml"} {
		for _, a := range []identity.Attribute{identity.Email, identity.Position, identity.Nickname} {
			if r.IntN(100) < 40 {
				m.facts.Locks[service] = m.facts.Locks[service].With(a)
			}
		}
	}
}

// picture gives people pictures: of the source, of their own, or both.
func picture(r *rand.Rand, m *model) {
	chance := func(percent int) bool { return r.IntN(100) < percent }
	m.own = map[string]bool{}
	if chance(50) {
		return
	}
	m.facts.NoPictures, m.facts.PictureOfLDAP = chance(5), chance(30)
	if chance(30) {
		m.policy.Pictures = []plan.PicturePolicy{{Source: "ad", Always: true}, {Source: "hr", Always: true}}
	}
	for _, id := range slices.Sorted(maps.Keys(m.accounts)) {
		if a := m.accounts[id]; chance(30) {
			a.PictureAt, m.own[id] = 3, true
		}
	}
	for _, k := range sortedKeys(m.links) {
		l := m.links[k]
		if a := m.accounts[l.AccountID]; a != nil && chance(30) {
			l.Applied.Picture, l.Applied.PictureAt, a.PictureAt = "p1", 5, 5
			m.own[a.ID] = false
		}
	}
	m.facts.CustomFields = map[string]string{"Department": "", "Office": "the server's own"}
	for _, k := range sortedKeys(m.desired) {
		if chance(30) {
			m.desired[k].Custom = map[string]string{"Department": []string{"IT", ""}[r.IntN(2)], "Office": "Rome", "Phone": "1"}
		}
		switch d := m.desired[k]; r.IntN(4) {
		case 0:
			d.Picture.Hash = "p1"
		case 1:
			d.Picture.Hash = "p2"
		case 2:
			d.Picture.Fault = "picture: it is not a JPEG, PNG or GIF"
		}
	}
}

// oddities makes an account of ours what makes decisions hard.
func oddities(r *rand.Rand, m *model, a *identity.Account, l *identity.Link) {
	chance := func(percent int) bool { return r.IntN(100) < percent }
	l.Applied.Active = true
	if chance(25) {
		a.Auth = identity.Auth{Service: []string{"saml", "ldap", "gitlab"}[r.IntN(3)], Data: "own-" + a.ID}
	}
	for role, percent := range map[string]int{auditor: 15, custom: 10, identity.RoleAdmin: 10} {
		if int(mix(l.Key, len(role)*7)%100) < percent {
			a.Roles = a.Roles.Union(identity.NewRoles(role))
		}
	}
	if chance(4) {
		a.Roles = nil
	}
	if chance(15) {
		a.DeleteAt, l.Applied.Active = 9, false
		if chance(60) {
			l.DeactivatedAt = 9
		}
	}
	a.Bot, a.Remote = chance(3), chance(3)
	if chance(4) {
		m.facts.Protected[a.ID] = "guards.protect"
	}
	if chance(6) {
		delete(m.accounts, a.ID)
	}
	if chance(3) {
		l.Part = identity.Contributor
	}
}

// want changes what the sources say: moves along permutations, single renames,
// leavers, faults, absences, and people without an account.
func want(r *rand.Rand, m *model, stock int, plain bool) {
	chance := func(percent int) bool { return r.IntN(100) < percent }
	keys := sortedKeys(m.desired)
	data := func(i int) string {
		if m.facts.AuthDataVisible {
			return fmt.Sprintf("d%d", r.IntN(6))
		}
		return fmt.Sprintf("unseen%d", i) // what cannot be seen cannot be kept from clashing
	}
	permute := func(get func(*identity.Profile) *string) {
		list := keys[:r.IntN(len(keys)+1)]
		perm := r.Perm(len(list))
		was := make([]string, len(list))
		for i, k := range list {
			was[i] = *get(&m.desired[k].Profile)
		}
		for i, k := range list {
			*get(&m.desired[k].Profile) = was[perm[i]]
		}
	}
	r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	username := func(p *identity.Profile) *string { return &p.Username }
	email := func(p *identity.Profile) *string { return &p.Email }
	if chance(60) {
		permute(username)
	}
	if chance(25) {
		permute(email)
	}
	for i, k := range keys {
		d := m.desired[k]
		if chance(25) {
			d.Profile.Username = fmt.Sprintf("n%02d", r.IntN(stock+6))
		}
		if chance(15) {
			d.Profile.Email = fmt.Sprintf("m%02d@x", r.IntN(stock+6))
		}
		if chance(30) {
			d.Profile.Position, d.Profile.Nickname = fmt.Sprint("p", r.IntN(3)), "nick"
		}
		if plain {
			continue
		}
		switch {
		case chance(10):
			d.Roles = identity.NewRoles(auditor)
		case chance(5):
			d.Roles = identity.NewRoles(auditor, identity.RoleAdmin)
		}
		service := []string{"saml", "saml", "ldap", "gitlab"}[r.IntN(4)]
		switch {
		case chance(10):
			d.Auth = identity.Auth{Service: service, Data: data(i)}
		case chance(15): // the same data, or new data, for another service
			d.Auth = identity.Auth{Service: service, Data: cmp.Or(d.Auth.Data, "own-"+k.Anchor)}
		}
		if chance(3) {
			d.Profile.Username = "svc-x"
		}
		d.Active = !chance(15)
		if chance(8) {
			d.Fault, d.Profile, d.Owned, d.Roles, d.Auth = "unusable", identity.Profile{}, 0, nil, identity.Auth{}
		}
		if chance(10) {
			delete(m.desired, k)
			m.absence[k] = plan.Absence{Explicit: chance(30)}
		}
	}
	for i := range r.IntN(5) {
		k := identity.Key{Source: "ad", Anchor: fmt.Sprint("new", i)}
		d := &identity.Identity{Key: k, Active: !chance(10), Owned: identity.AttributesOf(identity.Username, identity.Email)}
		d.Profile.Username, d.Profile.Email = fmt.Sprintf("n%02d", r.IntN(stock+6)), fmt.Sprintf("m%02d@x", r.IntN(stock+6))
		if chance(40) {
			d.Auth = identity.Auth{Service: []string{"saml", "ldap"}[r.IntN(2)], Data: data(100 + i)}
		}
		if chance(30) {
			d.Roles = identity.NewRoles(auditor)
		}
		m.desired[k] = d
	}
}

// shape makes a number of a permutation.
func shape(perm []int) uint64 {
	h := uint64(len(perm))
	for _, n := range perm {
		h = h*31 + uint64(n)
	}
	return h
}

// known lets sources know people by match keys, or forget all ids, and operators
// say whose accounts are not whose.
func known(r *rand.Rand, m *model) {
	if r.IntN(20) == 0 {
		left := 3 // more would hardly all be missed by the same read
		for _, k := range sortedKeys(m.desired) {
			if k.Source != "ad" || m.links[k] == nil || left == 0 {
				continue
			}
			left--
			d := m.desired[k]
			delete(m.desired, k)
			m.absence[k] = plan.Absence{}
			d.Key.Anchor = "re" + k.Anchor
			m.desired[d.Key] = d
		}
	}
	ids := slices.Sorted(maps.Keys(m.accounts))
	for _, k := range sortedKeys(m.links) {
		if r.IntN(3) == 0 {
			m.links[k].Applied.MatchKey = fmt.Sprint("k", r.IntN(5))
		}
	}
	for _, k := range sortedKeys(m.desired) {
		if m.links[k] != nil || m.desired[k].Fault != "" {
			continue
		}
		if r.IntN(3) == 0 {
			m.desired[k].MatchKey = fmt.Sprint("k", r.IntN(5))
		}
		for range r.IntN(3) {
			m.refused[k] = append(m.refused[k], ids[r.IntN(len(ids))])
		}
	}
}

// guests lets rules make guests in half of the worlds, on servers with and without
// the licence for it, and give a role that needs one.
func guests(r *rand.Rand, m *model) {
	chance := func(percent int) bool { return r.IntN(100) < percent }
	if chance(50) {
		return
	}
	m.facts.Licence = plan.Licence{Known: chance(80), Guests: chance(70), Delegated: chance(60)}
	m.facts.GuestsOff = chance(20)
	for i := range m.policy.Roles {
		p := &m.policy.Roles[i]
		p.Guests, p.Guest = chance(80), []plan.Lost{plan.LostAsk, plan.LostTake, plan.LostTake, plan.LostKeep}[r.IntN(4)]
		p.Managed, p.Granted = p.Managed.Union(identity.NewRoles(manager)), p.Granted.Union(identity.NewRoles(manager))
		switch r.IntN(4) {
		case 0:
			p.Kept = identity.NewRoles(auditor)
		case 1:
			p.Asked = identity.NewRoles(auditor, identity.RoleAdmin)
		}
	}
	for _, k := range sortedKeys(m.links) {
		l := m.links[k]
		a := m.accounts[l.AccountID]
		if a == nil {
			continue
		}
		switch {
		case chance(20) && !a.Roles.Privileged():
			a.Roles = identity.NewRoles(identity.RoleGuest)
		case chance(4):
			a.Roles = identity.NewRoles(identity.RoleGuest, auditor)
		case chance(8):
			a.Roles = a.Roles.Union(identity.NewRoles(manager, identity.RoleUser).Minus(identity.NewRoles(identity.RoleGuest)))
		}
		if l.Applied.Roles = a.Roles; chance(20) { // somebody else made him what he is
			l.Applied.Roles = identity.NewRoles(identity.RoleUser)
		}
	}
	for _, k := range sortedKeys(m.desired) {
		d := m.desired[k]
		if d.Fault != "" {
			continue
		}
		if chance(25) {
			d.Roles = d.Roles.Union(identity.NewRoles(identity.RoleGuest))
		}
		if chance(15) {
			d.Roles = d.Roles.Union(identity.NewRoles(manager))
		}
	}
}

// switchGuests switches the server's guest feature off, which takes all guests with
// it, or on, which brings none back.
func (m *model) switchGuests() {
	if m.facts.GuestsOff = !m.facts.GuestsOff; !m.facts.GuestsOff {
		return
	}
	for _, a := range m.accounts {
		if a.Active() && a.Roles.Has(identity.RoleGuest) {
			a.DeleteAt = m.now.UnixMilli() - 1
		}
	}
}

// knownAs gives the missing people whose match key somebody new has. One alone is
// who he was.
func (m *model) knownAs(k identity.Key) []identity.Key {
	want := m.desired[k]
	if want == nil || want.MatchKey == "" {
		return nil
	}
	var out []identity.Key
	for _, o := range sortedKeys(m.links) {
		l := m.links[o]
		missing := (m.unread[o] || m.desired[o] == nil && !m.absence[o].Explicit) && l.Part == identity.Owner && m.accounts[l.AccountID] != nil && !m.unseen[o]
		if missing && o.Source == k.Source && l.Applied.MatchKey == want.MatchKey {
			out = append(out, o)
		}
	}
	if len(out) == 1 && slices.Contains(m.refused[k], m.links[out[0]].AccountID) {
		return nil
	}
	return out
}

// weather is what happens around the first runs: the server is set back, an
// answer lacks an account, somebody removes one for good.
func weather(r *rand.Rand, m *model, round int) {
	m.facts.SetBack = false
	clear(m.unseen)
	clear(m.stops)
	clear(m.offs)
	if round > 3 {
		return
	}
	m.operate(round)
	if m.facts.Licence.Known && mix(identity.Key{}, len(m.accounts)*8+round)%7 == 0 && m.late == nil {
		m.switchGuests()
	}
	m.facts.SetBack = r.IntN(8) == 0
	for _, k := range sortedKeys(m.links) {
		l := m.links[k]
		switch a := m.accounts[l.AccountID]; {
		case r.IntN(40) == 0:
			m.unseen[k] = true
		case a != nil && !a.HumanAdmin() && r.IntN(60) == 0 && m.late == nil:
			delete(m.accounts, a.ID)
		}
	}
}

// operate lets an operator hold some and switch off others, for this run.
func (m *model) operate(round int) {
	said := &plan.Word{ID: "20261122-110000-abc", About: "held", By: "root@host", Since: m.now}
	keys := append(sortedKeys(m.desired), sortedKeys(m.links)...)
	for _, k := range keys {
		switch mix(k, len(keys)*16+round) % 20 {
		case 0, 1:
			m.stops[k] = said
		case 2:
			m.offs[k] = said
		}
	}
	switch (len(keys) + round) % 23 {
	case 0:
		m.stops[identity.Key{}] = said
	case 1:
		m.stops[identity.Key{Source: "hr"}] = said
	}
}

// calm tells that nothing is on its way any more that a run would wait for.
func (m *model) calm() bool {
	busy := slices.ContainsFunc(slices.Collect(maps.Values(m.busy)), func(t time.Time) bool { return t.After(m.now) })
	return !busy && !m.facts.SetBack && len(m.unseen) == 0 && m.late == nil && len(m.stops)+len(m.offs)+len(m.unread) == 0
}

// gone tells that the account of an active person was removed and may be made
// anew.
func (m *model) gone(k identity.Key) bool {
	l, d := m.links[k], m.desired[k]
	return m.policy.RecreateGone && l != nil && l.Part == identity.Owner && m.accounts[l.AccountID] == nil && !m.unseen[k] &&
		d != nil && d.Active && d.Fault == ""
}
