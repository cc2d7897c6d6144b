package ldap

import (
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// checkActiveDirectory tells what only Active Directory's servers do.
func (s *Source) checkActiveDirectory(sess *session, root rootInfo, c *checks) {
	for _, e := range s.urls {
		if strings.HasSuffix(e.host, ":3268") || strings.HasSuffix(e.host, ":3269") {
			c.warn("catalog", e.url+" is a global catalog: it has some attributes only, and memberOf tells of universal groups alone",
				"name a domain controller without a port, or with 636 or 389")
		}
	}
	if root.kind != kindAD || root.defaultContext == "" {
		return
	}
	// Without the right to it a search there succeeds and finds nothing.
	deleted := "CN=Deleted Objects," + root.defaultContext
	res, err := sess.conn.Search(query{base: deleted, filter: "(objectClass=*)", attributes: []string{"1.1"}}.
		request(ldap.ScopeBaseObject, ldap.NewControlString(ldap.ControlTypeMicrosoftShowDeleted, true, "")))
	if err == nil && len(res.Entries) == 1 {
		c.ok("deleted", deleted+" can be read")
		return
	}
	c.ok("deleted", s.o.BindDN+" may not read "+deleted+", which takes nothing from a full read: who was deleted is missed by the next one; "+
		"to see it sooner let "+s.o.BindDN+" list and read that container, with dsacls")
}
