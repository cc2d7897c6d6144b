package plan_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// allowed says what of a decision must not be, or "".
func (m *model) allowed(d plan.Decision) string {
	until := m.busy[d.Key]
	if until.After(m.now) && len(d.Ops) > 0 {
		return "a call is in flight, and another is planned"
	}
	if d.Reason == plan.CallInFlight && (!until.After(m.now) || d.Until == nil || !d.Until.Equal(until) || d.Held == "") {
		return "held for a call in flight, and does not say until when, or what"
	}
	if why := m.operated(d); why != "" {
		return why
	}
	var a *identity.Account
	l := m.links[d.Key]
	if l != nil && l.Part == identity.Owner {
		a = m.accounts[l.AccountID]
	}
	if d.Action == plan.Adopt && slices.Contains(m.refused[d.Key], d.AccountID) {
		return "an account is adopted of which somebody said that it is not his"
	}
	if d.Action == plan.Create && l == nil && len(m.knownAs(d.Key)) == 1 {
		return "an account is made for somebody whom the match key knows"
	}
	for i, op := range d.Ops {
		to := ""
		if len(op.Changes) > 0 {
			to = op.Changes[0].To
		}
		takes := false
		switch op.Kind {
		case plan.UnlinkAccount:
			takes = true
			if again := m.gone(d.Key) && d.Action == plan.Create && i == 0; !again && d.Action != plan.Forget {
				return "the link is taken, and nobody left or is made anew"
			}
		case plan.CreateAccount:
			if l != nil && (i == 0 || d.AccountID != "" || d.Reason != plan.Recreated) {
				return "a second account is made"
			}
		case plan.SetActive:
			takes = to == "false"
			if !takes && a != nil && m.rules(d.Key.Source).Guests && m.desired[d.Key].Roles.Has(identity.RoleGuest) && !after(a.Roles, d.Ops[:i]).Has(identity.RoleGuest) {
				return "somebody who should be a guest is let in as a full member"
			}
			if op.ByDelete && !m.policy.DeleteEndpoint {
				return "DELETE is not allowed"
			}
		case plan.SetRoles:
			takes = a != nil && len(identity.ParseRoles(op.Changes[0].From).Minus(identity.ParseRoles(to))) > 0
		case plan.Promote, plan.Demote:
			takes = op.Kind == plan.Demote && d.Action != plan.Create
			if why := m.guestMove(d, i, a); why != "" {
				return why
			}
		case plan.RevokeSessions:
			takes = true
		case plan.SetAuth:
			takes = true
			ends := i+1 < len(d.Ops) && d.Ops[i+1].Kind == plan.RevokeSessions
			switch {
			case a == nil || !m.policy.ChangeAuth || a.Roles.Privileged():
				return "the login is moved"
			case ends != (m.policy.RevokeOnAuth && a.Active()):
				return fmt.Sprintf("the login is moved, and sessions are ended: %v", ends)
			}
		}
		if takes && m.facts.SetBack {
			return string(op.Kind) + " on a server that was set back"
		}
	}
	return ""
}

// after gives the roles that ops leave.
func after(roles identity.Roles, ops []plan.Op) identity.Roles {
	for _, op := range ops {
		if to, changes := op.To(plan.FieldRoles); changes {
			roles = identity.ParseRoles(to)
		}
	}
	return roles
}

// guestMove says why somebody must not become, or cease to be, a guest by an op.
func (m *model) guestMove(d plan.Decision, i int, a *identity.Account) string {
	want, rules, op := m.desired[d.Key], m.rules(d.Key.Source), d.Ops[i]
	ends := i+1 < len(d.Ops) && d.Ops[i+1].Kind == plan.RevokeSessions
	switch wants := want != nil && want.Roles.Has(identity.RoleGuest); {
	case want == nil || !want.Active || !rules.Guests || wants != (op.Kind == plan.Demote):
		return string(op.Kind) + ", and no rule says so"
	case op.Kind == plan.Promote && (rules.Guest != plan.LostTake || ends):
		return "a guest gets more rights, and nobody was asked"
	case op.Kind == plan.Demote && d.Action != plan.Create && d.Action != plan.Adopt && (a == nil || ends != a.Active()):
		return fmt.Sprintf("a guest is made, and sessions are ended: %v", ends)
	case op.Kind == plan.Demote && a != nil && a.Roles.Minus(rules.Managed).Privileged():
		return "a guest is made of somebody with rights that no rule takes"
	}
	return ""
}

func (m *model) rules(source string) plan.RoleAuthority {
	for _, r := range m.policy.Roles {
		if r.Source == source {
			return r
		}
	}
	return plan.RoleAuthority{}
}

// operated says what of a decision an operator's word forbids, or "".
func (m *model) operated(d plan.Decision) string {
	switch stopped := m.stopped(d.Key); {
	case stopped != nil && len(d.Ops) > 0:
		return "an operator holds him, and something is planned"
	case d.Reason == plan.OnHold && (stopped == nil || d.Held == "" || len(d.Withheld) == 0):
		return "on hold, and does not say what, or by whom"
	case d.Reason == plan.OperatorOff && m.offs[d.Key] == nil:
		return "switched off by nobody's word"
	case m.offs[d.Key] == nil:
		return ""
	}
	for _, op := range d.Ops {
		to, _ := op.To(plan.FieldActive)
		if op.Kind == plan.CreateAccount || (op.Kind == plan.SetActive && to == "true") {
			return "an operator said he is off, and he is let in"
		}
	}
	return ""
}

// counted checks what is counted over a whole plan: seats and warnings.
func (m *model) counted(p plan.Plan) string {
	if left := m.facts.SeatsLeft; left >= 0 && p.Count(plan.Create)+p.Count(plan.Reactivate) > left+p.Count(plan.Deactivate) {
		return "more accounts than seats"
	}
	warn := false
	for _, d := range p.Decisions {
		for _, op := range d.Ops {
			for _, c := range op.Changes {
				warn = warn || c.Field == plan.FieldAuthService && c.To == "ldap" && c.From != "ldap"
				if c.Field == plan.FieldAuthService && op.Kind != plan.CreateAccount && op.Detour == "" && slices.Contains(m.facts.LoginsOff, c.To) {
					return fmt.Sprintf("%s is moved to a login that the server has switched off", d.Key)
				}
			}
		}
	}
	if warn = warn && m.facts.LDAPLocked && !m.policy.DeleteEndpoint; warn != slices.ContainsFunc(p.Warnings, func(w string) bool { return strings.Contains(w, "the login service ldap") }) {
		return fmt.Sprintf("warnings: %q", p.Warnings)
	}
	return ""
}
