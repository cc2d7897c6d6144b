package sambatest

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/ldaptest"
)

func sortedNames(m map[string][]string) []string { return slices.Sorted(maps.Keys(m)) }

// TLS is a configuration that trusts the server's certificate.
func (s *Server) TLS() *tls.Config {
	s.t.Helper()
	pem, err := os.ReadFile(s.CAFile)
	s.must("read its certificate", err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool, ServerName: s.address, MinVersion: tls.VersionTLS12}
}

// Dial gives a bound connection over LDAPS; it ends with the test.
func (s *Server) Dial(user, password string) *ldap.Conn {
	s.t.Helper()
	c, err := ldap.DialURL(s.TLSURL, ldap.DialWithTLSConfig(s.TLS()))
	s.must("dial", err)
	s.t.Cleanup(func() { _ = c.Close() })
	s.must("bind as "+user, c.Bind(user, password))
	return c
}

// admin runs one change as the domain's administrator.
func (s *Server) admin(what string, f func(*ldap.Conn) error) {
	s.t.Helper()
	c := s.Dial(Admin, AdminPassword)
	defer c.Close()
	s.must(what, f(c))
}

// Add makes entries; what is above one has to be there.
func (s *Server) Add(entries ...ldaptest.Entry) {
	s.t.Helper()
	s.admin("add entries", func(c *ldap.Conn) error {
		for _, e := range entries {
			req := ldap.NewAddRequest(e.DN, nil)
			for _, name := range sortedNames(e.Attributes) {
				if len(e.Attributes[name]) > 0 {
					req.Attribute(name, e.Attributes[name])
				}
			}
			if err := c.Add(req); err != nil {
				return fmt.Errorf("%s: %w", e.DN, err)
			}
		}
		return nil
	})
}

func (s *Server) modify(dn string, change func(*ldap.ModifyRequest)) {
	s.t.Helper()
	req := ldap.NewModifyRequest(dn, nil)
	change(req)
	s.admin("modify "+dn, func(c *ldap.Conn) error { return c.Modify(req) })
}

// Modify sets an attribute to the given values; none removes it.
func (s *Server) Modify(dn, attribute string, values ...string) {
	s.t.Helper()
	s.modify(dn, func(r *ldap.ModifyRequest) { r.Replace(attribute, values) })
}

// AddValues adds values to an attribute.
func (s *Server) AddValues(dn, attribute string, values ...string) {
	s.t.Helper()
	s.modify(dn, func(r *ldap.ModifyRequest) { r.Add(attribute, values) })
}

// RemoveValues takes values from an attribute.
func (s *Server) RemoveValues(dn, attribute string, values ...string) {
	s.t.Helper()
	s.modify(dn, func(r *ldap.ModifyRequest) { r.Delete(attribute, values) })
}

// Rename gives an entry another name or place.
func (s *Server) Rename(dn, newDN string) {
	s.t.Helper()
	rdn, superior, _ := strings.Cut(newDN, ",")
	s.admin("rename "+dn, func(c *ldap.Conn) error { return c.ModifyDN(ldap.NewModifyDNRequest(dn, rdn, true, superior)) })
}

// Delete removes an entry that has none below it; a tombstone stays.
func (s *Server) Delete(dn string) {
	s.t.Helper()
	s.admin("delete "+dn, func(c *ldap.Conn) error { return c.Del(ldap.NewDelRequest(dn, nil)) })
}

// Restore brings a deleted entry back to where it was, by the change of a tombstone
// that Active Directory knows (MS-ADTS 3.1.1.5.3.7). Its old name finds it. Groups,
// and without the recycle bin most attributes, do not come back.
func (s *Server) Restore(dn string) {
	s.t.Helper()
	rdn, parent, _ := strings.Cut(dn, ",")
	_, value, _ := strings.Cut(rdn, "=")
	s.admin("restore "+dn, func(c *ldap.Conn) error {
		q := ldap.NewSearchRequest(ldaptest.ActiveDirectory.BaseDN(), ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
			fmt.Sprintf("(&(isDeleted=TRUE)(name=%s\\0aDEL:*)(lastKnownParent=%s))", ldap.EscapeFilter(value), ldap.EscapeFilter(parent)),
			[]string{"1.1"}, []ldap.Control{ldap.NewControlMicrosoftShowDeleted()})
		res, err := c.Search(q)
		if err != nil {
			return err
		}
		if len(res.Entries) == 0 {
			return errors.New("there is no tombstone of it")
		}
		req := ldap.NewModifyRequest(res.Entries[len(res.Entries)-1].DN, []ldap.Control{ldap.NewControlMicrosoftShowDeleted()})
		req.Delete("isDeleted", nil)
		req.Replace("distinguishedName", []string{dn})
		return c.Modify(req)
	})
}

// SetPassword gives an account a password.
func (s *Server) SetPassword(dn, password string) {
	s.t.Helper()
	var raw []byte
	for _, u := range utf16.Encode([]rune(`"` + password + `"`)) {
		raw = binary.LittleEndian.AppendUint16(raw, u)
	}
	s.Modify(dn, "unicodePwd", string(raw))
}

// Lock locks an account by wrong passwords. It has to have a right one.
func (s *Server) Lock(dn string) {
	s.t.Helper()
	for range LockoutThreshold {
		c, err := ldap.DialURL(s.TLSURL, ldap.DialWithTLSConfig(s.TLS()))
		s.must("dial", err)
		err = c.Bind(dn, "not the password")
		_ = c.Close()
		if err == nil {
			s.t.Fatalf("samba: a wrong password let %s in", dn)
		}
	}
}

// Values gives what an entry shows its administrator of an attribute.
func (s *Server) Values(dn, attribute string) []string {
	s.t.Helper()
	var out []string
	s.admin("read "+dn, func(c *ldap.Conn) error {
		res, err := c.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{attribute}, nil))
		if err != nil {
			return err
		}
		for _, e := range res.Entries {
			out = append(out, e.GetEqualFoldAttributeValues(attribute)...)
		}
		return nil
	})
	return out
}

// AnchorOf gives an entry's objectGUID as Microsoft writes it.
func (s *Server) AnchorOf(dn string) string {
	s.t.Helper()
	return ldaptest.GUIDText(strings.Join(s.Values(dn, "objectGUID"), ""))
}
