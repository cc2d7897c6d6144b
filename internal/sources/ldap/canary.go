package ldap

import (
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/sources"
)

// findOwn makes the bind account's own entry the canary where none is configured. It can
// only help: it counts if it is below the base and matches the user filter when asked for
// by itself, so that a read without it is not whole. Everything else, a server that does
// not say who is bound among it, asks nothing of the read.
func (s *Source) findOwn(sess *session, w *canaryWatch) error {
	dn, err := s.ownDN(sess)
	if err != nil || dn == "" {
		return err
	}
	if key, base := sources.DNKey(dn), sources.DNKey(s.o.BaseDN); key != base && !strings.HasSuffix(key, ","+base) {
		return nil
	}
	e, err := sess.entry(dn, s.o.UserFilter, "1.1")
	if refusal(err) || err == nil && e == nil {
		return nil
	}
	if err != nil {
		return err
	}
	w.asked, w.found, w.own, w.people = true, true, e.DN, map[string]bool{sources.DNKey(e.DN): false}
	return nil
}

// ownDN asks the server who is bound (RFC 4532) and finds the entry; "" if it cannot be
// told. Active Directory answers with u:DOMAIN\name.
func (s *Source) ownDN(sess *session) (string, error) {
	who, err := sess.conn.WhoAmI(nil)
	switch {
	case refusal(err):
		if dn, err := ldap.ParseDN(s.o.BindDN); err == nil && len(dn.RDNs) > 0 {
			return s.o.BindDN, nil
		}
		return "", nil
	case err != nil:
		return "", sess.cause(err)
	}
	if dn, ok := strings.CutPrefix(who.AuthzID, "dn:"); ok {
		return dn, nil
	}
	_, name, ok := strings.Cut(who.AuthzID, `\`)
	if !ok {
		return "", nil
	}
	q := query{base: s.o.BaseDN, filter: "(sAMAccountName=" + ldap.EscapeFilter(name) + ")", attributes: []string{"1.1"}}.request(ldap.ScopeWholeSubtree)
	q.SizeLimit = 2
	res, err := sess.search(q)
	switch {
	case refusal(err):
		return "", nil
	case err != nil:
		return "", sess.cause(err)
	case len(res.Entries) != 1:
		return "", nil
	}
	return res.Entries[0].DN, nil
}

// refusal tells an answer of the server that is no success, as opposed to none.
func refusal(err error) bool {
	e, ok := asLDAP(err)
	return ok && e.ResultCode < ldap.ErrorNetwork
}
