package ldap

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/sources"
)

// Of the property set Account Restrictions (MS-ADA3, User-Account-Restrictions) both tell
// who has left. An account always has the first of them, so that it tells whether the set
// is shown.
const (
	accountControl = "userAccountControl"
	accountExpires = "accountExpires"
)

// person copies an entry of somebody as record does, and says what Active Directory hides
// of it: read as a value that is not there, everybody who is disabled would be active.
func (s *Source) person(sess *session, e *ldap.Entry) (sources.Record, error) {
	rec, err := sess.record(e)
	if err == nil && sess.catalog && s.reads("memberOf") {
		rec.Hide("memberOf", sess.url+" is the global catalog, which shows universal groups alone; "+noCatalog)
	}
	if err != nil || rec.Value(accountControl) != "" {
		return rec, err
	}
	if restricted, err := s.restricted(sess); err != nil || !restricted {
		return rec, err
	}
	why := accountControl + ", which every account of Active Directory has, is not shown, so that nobody can tell who is disabled; " + s.showRestrictions()
	rec.Hide(accountControl, why)
	if rec.Value(accountExpires) == "" {
		rec.Hide(accountExpires, why)
	}
	return rec, nil
}

const noCatalog = "name a domain controller's port 636 (389 with starttls)"

// refuseCatalog fails where a global catalog would show whoever has expired as active.
func (s *Source) refuseCatalog(sess *session, root rootInfo) error {
	if root.catalog && s.reads(accountExpires) {
		return fmt.Errorf("source %s: %s is the global catalog, which lacks accountExpires as delivered, so that whoever has expired would be on; %s", s.o.Name, sess.url, noCatalog)
	}
	return nil
}

func (s *Source) showRestrictions() string {
	return "let " + s.o.BindDN + " read the property set Account Restrictions"
}

// restricted tells whether the mapping reads what may be hidden so.
func (s *Source) restricted(sess *session) (bool, error) {
	if !s.reads(accountControl) && !s.reads(accountExpires) {
		return false, nil
	}
	root, err := sess.root()
	return root.kind == kindAD, err
}

// reads tells whether the mapping reads an attribute.
func (s *Source) reads(attribute string) bool {
	return slices.ContainsFunc(s.attributes, func(n string) bool { return strings.EqualFold(n, attribute) })
}
