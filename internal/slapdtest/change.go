package slapdtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// admin runs one change as the directory's administrator.
func (s *Server) admin(what string, f func(*ldap.Conn) error) {
	s.t.Helper()
	c, err := ldap.DialURL(s.URL)
	s.must(err)
	defer c.Close()
	s.must(c.Bind(AdminDN, AdminPassword))
	if err := f(c); err != nil {
		s.t.Fatalf("slapd: %s: %v", what, err)
	}
}

// Add makes an entry.
func (s *Server) Add(dn string, attributes map[string][]string) {
	s.t.Helper()
	req := ldap.NewAddRequest(dn, nil)
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		req.Attribute(name, attributes[name])
	}
	s.admin("add "+dn, func(c *ldap.Conn) error { return c.Add(req) })
}

// AddPerson makes a person's entry, without the groups and with an entryUUID
// of the server's choice.
func (s *Server) AddPerson(p Person) {
	s.t.Helper()
	kind := "staff"
	if p.Disabled {
		kind = "disabled"
	}
	attributes := map[string][]string{
		"objectClass": {"inetOrgPerson"}, "uid": {p.UID}, "cn": {p.First + " " + p.Last}, "givenName": {p.First},
		"sn": {p.Last}, "mail": {p.Mail}, "title": {p.Title}, "departmentNumber": {p.Department}, "employeeType": {kind},
	}
	maps.DeleteFunc(attributes, func(_ string, v []string) bool { return strings.TrimSpace(v[0]) == "" })
	s.Add(p.DN, attributes)
}

// Modify sets an attribute to the given values; none removes it.
func (s *Server) Modify(dn, attribute string, values ...string) {
	s.t.Helper()
	req := ldap.NewModifyRequest(dn, nil)
	req.Replace(attribute, values)
	s.admin("modify "+dn, func(c *ldap.Conn) error { return c.Modify(req) })
}

// Delete removes an entry that has none below it.
func (s *Server) Delete(dn string) {
	s.t.Helper()
	s.admin("delete "+dn, func(c *ldap.Conn) error { return c.Del(ldap.NewDelRequest(dn, nil)) })
}

// ModifyDN renames an entry, and moves it if newSuperior is not empty.
func (s *Server) ModifyDN(dn, newRDN, newSuperior string) {
	s.t.Helper()
	s.admin("rename "+dn, func(c *ldap.Conn) error { return c.ModifyDN(ldap.NewModifyDNRequest(dn, newRDN, true, newSuperior)) })
}

// EntryUUID reads an entry's anchor.
func (s *Server) EntryUUID(dn string) string {
	s.t.Helper()
	var out string
	s.admin("read "+dn, func(c *ldap.Conn) error {
		res, err := c.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"entryUUID"}, nil))
		if err != nil {
			return err
		}
		if len(res.Entries) != 1 {
			return fmt.Errorf("%d entries", len(res.Entries))
		}
		out = res.Entries[0].GetAttributeValue("entryUUID")
		return nil
	})
	return out
}
