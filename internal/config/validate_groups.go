package config

import (
	"net/url"
	"slices"
)

// groups checks how an LDAP source tells who is in which group.
func (v *validator) groups(at string, g *Groups) {
	ok := v.oneOf(at+".membership_attribute", g.MembershipAttribute, MemberOf, "member", "uniqueMember", "memberUid", "memberURL", NSRole)
	if ok && g.MembershipAttribute != MemberOf && g.MembershipAttribute != NSRole && g.BaseDN == "" {
		v.fault(at+".base_dn", "is required with membership_attribute "+g.MembershipAttribute, "name the entry that groups are searched under")
	}
	v.dn(at+".base_dn", g.BaseDN)
	v.filter(at+".group_filter", g.GroupFilter)
	if g.Nested == "" {
		g.Nested = NestedOff
	}
	nested := at + ".nested"
	if !v.oneOf(nested, g.Nested, NestedOff, NestedWalk, NestedInChain) || g.Nested == NestedOff {
		return
	}
	switch {
	case g.MembershipAttribute == "memberUid":
		v.fault(nested, "memberUid names people, so that no group can be in another", "remove nested")
	case g.MembershipAttribute == NSRole:
		v.fault(nested, "nsRole holds the roles within roles already", "remove nested")
	case g.Nested == NestedInChain && !slices.Contains([]string{MemberOf, "member"}, g.MembershipAttribute):
		v.fault(nested, "in_chain is a rule of Active Directory for memberOf and member, not "+g.MembershipAttribute, "write walk")
	}
}

// globalCatalog tells an address of Active Directory's global catalog.
func globalCatalog(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Port() == "3268" || u.Port() == "3269")
}
