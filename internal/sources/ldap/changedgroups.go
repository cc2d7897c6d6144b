package ldap

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/sources"
)

// findByGroups suspects those who came into a group or left one since the mark.
func (c *changer) findByGroups() error {
	if c.anyGroup() {
		if c.groupSeen {
			c.full = "a group was changed, and the mapping reads all groups of a person; a role rule that names its groups would not need a full read"
		}
		return nil
	}
	if len(c.groupNames) == 0 && len(filterGroups(c.o.UserFilter)) == 0 {
		return nil
	}
	if there, err := c.namedAreThere(); err != nil || there && !c.groupSeen {
		return err
	}
	g, err := c.readGroupsOnce()
	if err != nil {
		return err
	}
	if c.next.Groups, err = c.watch(c.sess, g); err != nil {
		return err
	}
	for _, now := range c.next.Groups {
		i := slices.IndexFunc(c.old.Groups, func(w watched) bool { return w.Group == now.Group })
		members, ok := []string(nil), false
		if i >= 0 {
			members, ok = c.old.Groups[i].moved(now)
		}
		if !ok {
			c.full = fmt.Sprintf("%s was changed, and had more members than are kept to tell who left it", sources.Printable(now.Group))
			return nil
		}
		if err := c.suspectMembers(now, members); err != nil {
			return err
		}
	}
	return nil
}

// namedAreThere tells whether all named groups can be seen; one that cannot is asked for
// its members every time.
func (c *changer) namedAreThere() (bool, error) {
	for _, dn := range c.groupNames {
		e, err := c.sess.entry(dn, "(objectClass=*)", "1.1")
		if err != nil {
			if refused, ok := errors.AsType[*ldap.Error](err); ok && refused.ResultCode < 200 {
				return false, nil
			}
			return false, err
		}
		if e == nil {
			return false, nil
		}
	}
	return true, nil
}

// suspectMembers finds people by how a group names them.
func (c *changer) suspectMembers(group watched, members []string) error {
	if strings.HasPrefix(group.Group, "(") {
		for _, anchor := range members {
			c.suspect(anchor, "")
		}
		return nil
	}
	for _, m := range members {
		base, scope, filter := m, ldap.ScopeBaseObject, c.o.UserFilter
		if c.o.Groups.MembershipAttribute == "memberUid" {
			base, scope, filter = c.o.BaseDN, ldap.ScopeWholeSubtree, "(uid="+ldap.EscapeFilter(m)+")"
		}
		name, _, _ := c.o.Mapper.AnchorAttribute()
		res, err := c.sess.search(query{base: base, filter: filter, attributes: []string{name}}.request(scope))
		if ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax, ldap.LDAPResultReferral) {
			continue // renamed since, which is a change of his own, or not a person's DN
		}
		if err != nil {
			return c.sess.cause(err)
		}
		for _, e := range res.Entries {
			rec, err := c.sess.record(e)
			if err != nil {
				return err
			}
			anchor, err := c.o.Mapper.Anchor(rec)
			if err != nil {
				anchor = ""
			}
			c.suspect(anchor, e.DN)
		}
	}
	return nil
}
