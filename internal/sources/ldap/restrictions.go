package ldap

import (
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

func (s *Source) showRestrictions() string {
	return "let " + s.o.BindDN + " read the property set Account Restrictions"
}

// restricted tells whether the mapping reads what may be hidden so.
func (s *Source) restricted(sess *session) (bool, error) {
	reads := slices.ContainsFunc(s.attributes, func(n string) bool {
		return strings.EqualFold(n, accountControl) || strings.EqualFold(n, accountExpires)
	})
	if !reads {
		return false, nil
	}
	root, err := sess.root()
	return root.kind == kindAD, err
}
