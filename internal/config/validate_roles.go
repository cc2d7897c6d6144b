package config

import (
	"fmt"
	"regexp"
	"slices"
)

var roleName = regexp.MustCompile(`^[a-z0-9_]+$`)

func (v *validator) roles(list []RoleRule) {
	names, known := v.sourceNames()
	for i := range list {
		r, at := &list[i], indexPath("roles", i)
		switch role := at + ".role"; {
		case r.Role == "":
		case r.Role == "system_user" || r.Role == "system_guest":
			v.fault(role, r.Role+" is what makes an account a user or a guest and is not given by a role rule", "name another role, such as system_admin; who is a guest says the section guests")
		case !roleName.MatchString(r.Role):
			v.fault(role, "want lower-case letters, digits and _, found "+v.quote(role), "write the role's name, such as system_admin, not its display name")
		}
		if r.Grant == "" {
			r.Grant = GrantAsk
		}
		v.oneOf(at+".grant", r.Grant, GrantAsk, GrantAllow)
		v.demoteWhenLost(list, i)
		v.members(at, r.Source, r.Groups, names, known)
		if len(r.Groups) == 0 && r.When.Text == "" && !v.doc.isBad(at+".groups") && !v.doc.isBad(at+".when") {
			v.fault(at, "gives "+r.Role+" to nobody: neither groups nor when is set", "name groups, or write an expression as when")
		}
	}
}

// demoteWhenLost checks that the rules for one role of a source agree on what becomes
// of it.
func (v *validator) demoteWhenLost(list []RoleRule, i int) {
	r, at := &list[i], indexPath("roles", i)+".demote_when_lost"
	if r.DemoteWhenLost == "" {
		r.DemoteWhenLost = DemoteTrue
	}
	if !v.oneOf(at, string(r.DemoteWhenLost), string(DemoteTrue), string(DemoteFalse), string(DemoteAsk)) {
		return
	}
	for j := range list[:i] {
		if o := &list[j]; o.Role == r.Role && o.Source == r.Source && o.DemoteWhenLost != r.DemoteWhenLost {
			v.fault(at, fmt.Sprintf("is %s, and roles[%d] says %s for the same role and source", r.DemoteWhenLost, j, o.DemoteWhenLost), "write the same in both")
			return
		}
	}
}

func (v *validator) guests(list []GuestRule) {
	names, known := v.sourceNames()
	for i := range list {
		r, at := &list[i], indexPath("guests", i)
		if r.WhenLost == "" {
			r.WhenLost = WhenLostAsk
		}
		v.oneOf(at+".when_lost", r.WhenLost, WhenLostAsk, WhenLostPromote, WhenLostKeep)
		if j := slices.IndexFunc(list[:i], func(o GuestRule) bool { return o.Source == r.Source && o.WhenLost != r.WhenLost }); j >= 0 {
			v.fault(at+".when_lost", fmt.Sprintf("is %s, and guests[%d] says %s for the same source", r.WhenLost, j, list[j].WhenLost), "write the same in both")
		}
		v.members(at, r.Source, r.Groups, names, known)
		if len(r.Groups) == 0 && r.When.Text == "" && !v.doc.isBad(at+".groups") && !v.doc.isBad(at+".when") {
			v.fault(at, "makes a guest of nobody: neither groups nor when is set", "name groups, or write an expression as when")
		}
	}
}

// members checks for whom a rule about roles, guests, teams or channels is.
func (v *validator) members(at, source string, groups, names []string, known bool) {
	for j, g := range groups {
		if g == "" {
			v.fault(indexPath(at+".groups", j), "is empty", "")
		}
	}
	if source == "" || !known {
		return
	}
	i := slices.Index(names, source)
	if i < 0 {
		v.fault(at+".source", "no source is named "+v.quote(at+".source"), v.sourceHint(source, names))
		return
	}
	if len(groups) == 0 {
		return
	}
	// A file lists its people's groups itself.
	if s := v.config.Sources[i]; s.LDAP != nil && s.LDAP.Groups == nil {
		v.fault(at+".groups", "source "+s.Name+" reads no groups", "add a groups section to the source")
	}
}
