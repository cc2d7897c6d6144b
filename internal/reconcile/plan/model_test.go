package plan_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// model is a world with a server that refuses what Mattermost refuses, and an
// executor that keeps links as the engine does and can be cut off at any call.
type model struct {
	*world
	seatLimit int // active accounts; negative: none
	teamLimit map[string]int
	made      int
	// lost are the deactivations whose answer was lost: the account is off, and
	// the link does not know yet that it was us.
	lost []identity.Key
	// settle is how long after it was cut off a call may still arrive.
	settle time.Duration
	// own are the accounts whose people set a picture themselves.
	own map[string]bool
	// late is a call that left and has not arrived yet.
	late *call
	// several: more than one source knows the same people. words are what contributors
	// were heard to say last, partial the sources that this run did not read whole.
	several bool
	words   map[identity.Key]word
	partial map[string]bool
	// apart is what each source wants by itself, while desired is what all want.
	apart map[identity.Key]*identity.Identity
}

// call is one call about somebody.
type call struct {
	d  plan.Decision
	op plan.Op
}

// cut says where an execution ends: at which op, and whether its call was made.
type cut struct {
	at     int // -1: nowhere
	called bool
	late   bool // the call is made, and arrives when another run is at work
}

// seats counts what the server would say before a plan is made.
func (m *model) seats() {
	m.facts.SeatsLeft = -1
	if m.seatLimit >= 0 {
		m.facts.SeatsLeft = max(0, m.seatLimit-m.active())
	}
}

func (m *model) active() int {
	n := 0
	for _, a := range m.accounts {
		if a.Active() && !a.Bot {
			n++
		}
	}
	return n
}

func (m *model) admins() int {
	n := 0
	for _, a := range m.accounts {
		if a.HumanAdmin() {
			n++
		}
	}
	return n
}

// execute carries a plan out, unit by unit, until it ends or is cut off. An op
// that the server refuses is an error: a plan must not hold any.
func (m *model) execute(t *testing.T, p plan.Plan, c cut) (whole bool, err error) {
	t.Helper()
	n := 0
	created := map[int]string{}
	for _, u := range p.Units() {
		for _, s := range u.Steps {
			d, op := p.Decisions[s.Decision], p.Decisions[s.Decision].Ops[s.Op]
			if d.AccountID == "" {
				d.AccountID = created[s.Decision]
			}
			sends := op.Kind.Calls()
			if n == c.at && sends {
				m.busy[d.Key] = m.now.Add(m.settle)
			}
			switch {
			case n == c.at && c.late && sends:
				m.late = &call{d, op}
				return false, nil
			case n == c.at && !c.called:
				return false, nil
			}
			id, err := m.call(d, op)
			if err != nil {
				return false, fmt.Errorf("%s of %s: %w", op.Kind, d.Key, err)
			}
			created[s.Decision] = id
			if n == c.at {
				m.forget(d, op, id)
				return false, nil
			}
			m.record(d, op, id)
			n++
		}
	}
	return true, nil
}

// arrive lets a late call reach the server, which may refuse it by now.
func (m *model) arrive() {
	if m.late == nil {
		return
	}
	if id, err := m.call(m.late.d, m.late.op); err == nil {
		m.forget(m.late.d, m.late.op, id)
	}
	m.late = nil
}

// call is the server: it gives the account's id, or a refusal.
func (m *model) call(d plan.Decision, op plan.Op) (string, error) {
	if op.Kind == plan.CreateAccount {
		return m.create(op)
	}
	a := m.accounts[d.AccountID]
	if op.Kind == plan.UnlinkAccount {
		if l := m.links[d.Key]; m.accounts[l.AccountID] != nil {
			return "", fmt.Errorf("the link to a living account would be lost")
		}
		return d.AccountID, nil
	}
	if a == nil {
		return "", fmt.Errorf("no account %s", d.AccountID)
	}
	switch op.Kind {
	case plan.PatchProfile:
		return a.ID, m.patch(a, op)
	case plan.SetActive:
		on, locked := op.Changes[0].To == "true", a.Auth.Service == "ldap" && m.facts.LDAPLocked
		switch {
		case op.ByDelete && on:
			return "", fmt.Errorf("DELETE switches nobody on")
		case op.ByDelete && !locked:
			return "", fmt.Errorf("DELETE where the usual way is open")
		case !op.ByDelete && locked:
			return "", fmt.Errorf("the server refuses to switch ldap accounts")
		case on == a.Active():
			return "", fmt.Errorf("active is %v already", on)
		case on && m.seatLimit >= 0 && m.active() >= m.seatLimit:
			return "", fmt.Errorf("no seat")
		case on && a.Roles.Has(identity.RoleGuest) && m.facts.GuestsOff:
			return "", fmt.Errorf("the guest feature is off")
		case on && m.policy.DisableOnReturn && len(m.things[a.ID].Tokens) > 0:
			return "", fmt.Errorf("a token of before would work again")
		case on:
			a.DeleteAt = 0
		default:
			a.DeleteAt = m.now.UnixMilli()
		}
	case plan.SetRoles:
		to := identity.ParseRoles(op.Changes[0].To)
		switch {
		case len(to) == 0:
			return "", fmt.Errorf("an empty body would wipe all roles")
		case op.Changes[0].From != a.Roles.String():
			return "", fmt.Errorf("roles are %q, not %q", a.Roles, op.Changes[0].From)
		case m.facts.Licence.Known && !m.facts.Licence.Delegated && to.Has(manager):
			return "", fmt.Errorf("no licence for %s", manager)
		case to.Has(identity.RoleGuest) != a.Roles.Has(identity.RoleGuest):
			return "", fmt.Errorf("a role alone leaves the memberships as they are")
		}
		a.Roles = to
	case plan.Promote:
		if !a.Roles.Has(identity.RoleGuest) {
			return "", fmt.Errorf("no guest")
		}
		a.Roles = identity.NewRoles(identity.RoleUser) // whatever else it held, as recorded
	case plan.Demote:
		switch {
		case m.facts.Licence.Known && !m.facts.Licence.Guests:
			return "", fmt.Errorf("no licence for guests")
		case m.facts.GuestsOff:
			return "", fmt.Errorf("the guest feature is off")
		case !a.Roles.Equal(identity.NewRoles(identity.RoleUser)):
			return "", fmt.Errorf("%s would be lost unseen", a.Roles)
		}
		a.Roles = identity.NewRoles(identity.RoleGuest)
	case plan.SetAuth:
		service, _ := op.To(plan.FieldAuthService)
		data, _ := op.To(plan.FieldAuthData)
		if service == "" || data == "" {
			return "", fmt.Errorf("half a login")
		}
		for _, o := range m.accounts {
			if o.ID != a.ID && o.Auth.Data == data {
				return "", fmt.Errorf("auth data is taken by %s", o.ID)
			}
		}
		a.Auth = identity.Auth{Service: service, Data: data}
	case plan.DisableToken:
		if is := strconv.FormatBool(a.Active()); op.Changes[0].From != is {
			return "", fmt.Errorf("the owner of the token is not as the op says, but active is %s", is)
		}
		m.things[a.ID] = &plan.Belongings{Tokens: slices.DeleteFunc(slices.Clone(m.things[a.ID].Tokens), func(x plan.Leftover) bool {
			return x.ID == op.Thing()
		})}
	case plan.SetPicture:
		switch l := m.links[d.Key]; {
		case m.facts.NoPictures || m.facts.PictureOfLDAP && a.Auth.Service == "ldap":
			return "", fmt.Errorf("the server takes no picture of %s", a.ID)
		case m.own[a.ID] && l != nil && l.Applied.Picture == "" && len(m.policy.Pictures) == 0:
			return "", fmt.Errorf("the person's own picture would be replaced")
		}
		a.PictureAt = m.now.UnixMilli()
	case plan.LinkAccount, plan.RevokeSessions, plan.NotePicture, plan.SetCustom:
	case plan.JoinTeam, plan.LeaveTeam, plan.SetTeamRoles, plan.JoinChannel, plan.LeaveChannel, plan.SetChannelRoles:
		return a.ID, m.place(a, op)
	default:
		return "", fmt.Errorf("unknown op %s", op.Kind)
	}
	if m.admins() == 0 {
		return "", fmt.Errorf("nobody is administrator any more")
	}
	return a.ID, nil
}

func (m *model) create(op plan.Op) (string, error) {
	p, _ := op.Profile()
	service, _ := op.To(plan.FieldAuthService)
	data, _ := op.To(plan.FieldAuthData)
	if p.Username == "" || p.Email == "" {
		return "", fmt.Errorf("a username or an e-mail is missing")
	}
	for _, o := range m.accounts {
		if strings.EqualFold(o.Username, p.Username) || strings.EqualFold(o.Email, p.Email) || (data != "" && o.Auth.Data == data) {
			return "", fmt.Errorf("%q, %q or %q is taken by %s", p.Username, p.Email, data, o.ID)
		}
	}
	if m.seatLimit >= 0 && m.active() >= m.seatLimit {
		return "", fmt.Errorf("no seat")
	}
	m.made++
	a := &identity.Account{
		ID: fmt.Sprintf("new%d", m.made), Profile: p, Roles: identity.NewRoles(identity.RoleUser),
		Auth: identity.Auth{Service: service, Data: data}, CreateAt: m.now.UnixMilli(),
	}
	m.accounts[a.ID], m.things[a.ID] = a, &plan.Belongings{}
	return a.ID, nil
}

func (m *model) patch(a *identity.Account, op plan.Op) error {
	if len(op.Changes) == 0 {
		return fmt.Errorf("an empty patch")
	}
	for _, c := range op.Changes {
		f := identity.Attribute(c.Field)
		if a.Value(f) != c.From {
			return fmt.Errorf("%s is %q, not %q", f, a.Value(f), c.From)
		}
		if c.From == c.To {
			return fmt.Errorf("%s is %q already", f, c.To)
		}
		// The locks as recorded from a server, written down a second time.
		s := a.Auth.Service
		switch {
		case s != "" && f == identity.Username, m.facts.Locks[s].Has(f),
			(s == "ldap" || s == "gitlab") && f == identity.Email,
			s == "gitlab" && (f == identity.FirstName || f == identity.LastName),
			f == identity.Email && m.facts.EmailVerification:
			return fmt.Errorf("%s cannot be changed", f)
		}
		for _, o := range m.accounts {
			if o.ID == a.ID {
				continue
			}
			if (f == identity.Username && strings.EqualFold(o.Username, c.To)) || (f == identity.Email && strings.EqualFold(o.Email, c.To)) {
				return fmt.Errorf("%s %q is taken by %s", f, c.To, o.ID)
			}
		}
	}
	for _, c := range op.Changes {
		a.Profile = a.With(identity.Attribute(c.Field), c.To)
	}
	return nil
}

// record keeps what the engine keeps after a call.
func (m *model) record(d plan.Decision, op plan.Op, id string) {
	l := m.links[d.Key]
	switch op.Kind {
	case plan.UnlinkAccount:
		delete(m.links, d.Key)
		return
	case plan.LinkAccount, plan.CreateAccount:
		if len(op.Changes) > 0 && op.Kind == plan.LinkAccount {
			m.recordLink(d, op)
			return
		}
		a := m.accounts[id]
		delete(m.intents, d.Key)
		m.links[d.Key] = &identity.Link{
			Key: d.Key, AccountID: id, Part: identity.Owner,
			Applied: identity.Applied{Profile: a.Profile, Auth: a.Auth, Active: true},
		}
		if want := m.desired[d.Key]; m.several && want != nil {
			m.links[d.Key].Applied.MatchKey = want.MatchKey
		}
		return
	}
	next := *l // links are values that others may still hold
	switch op.Kind {
	case plan.PatchProfile:
		for _, c := range op.Changes {
			next.Applied.Profile = next.Applied.Profile.With(identity.Attribute(c.Field), c.To)
		}
	case plan.SetActive:
		next.DeactivatedAt, next.Applied.Active = m.accounts[id].DeleteAt, m.accounts[id].Active()
	case plan.SetRoles, plan.Promote, plan.Demote:
		next.Applied.Roles = m.accounts[id].Roles
	case plan.RevokeSessions:
		next.Applied.Active = op.Changes[0].To == "true"
	case plan.SetAuth:
		next.Applied.Auth = m.accounts[id].Auth
	case plan.SetCustom:
		next.Applied.Custom = maps.Clone(next.Applied.Custom)
		if next.Applied.Custom == nil {
			next.Applied.Custom = map[string]string{}
		}
		for _, c := range op.Changes {
			name, _ := c.Field.Custom()
			next.Applied.Custom[name] = c.To
		}
	case plan.SetPicture, plan.NotePicture:
		next.Applied.Picture, next.Applied.PictureAt = op.Changes[0].To, m.accounts[id].PictureAt
	default:
		next.Applied.Memberships = op.After(next.Applied.Memberships)
	}
	m.links[d.Key] = &next
}

// forget is what is left when the process dies between a call and its record.
func (m *model) forget(d plan.Decision, op plan.Op, id string) {
	switch op.Kind {
	case plan.CreateAccount:
		m.intents[d.Key] = id
	case plan.SetActive:
		m.lost = append(m.lost, d.Key)
	case plan.LinkAccount, plan.UnlinkAccount, plan.NotePicture:
		m.record(d, op, id) // not a call: it is written, or it is not
	}
}

// recover closes the ops that were sent and not recorded, as the next run does:
// an account that is off since then was switched off by us.
func (m *model) recover() {
	for _, k := range m.lost {
		if l := m.links[k]; l != nil && m.accounts[l.AccountID] != nil {
			next := *l
			next.DeactivatedAt, next.Applied.Active = m.accounts[l.AccountID].DeleteAt, m.accounts[l.AccountID].Active()
			m.links[k] = &next
		}
	}
	m.lost = nil
}

// copyAccounts is the server at one moment.
func (m *model) copyAccounts() map[string]identity.Account {
	out := map[string]identity.Account{}
	for id, a := range m.accounts {
		out[id] = *a
		c := out[id]
		c.Roles = slices.Clone(a.Roles)
		out[id] = c
	}
	return out
}
