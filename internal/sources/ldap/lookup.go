package ldap

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/sources"
)

// Lookup finds one person's raw entry, with all attributes and the groups, by
// DN, anchor, login name or e-mail address. People outside the user filter are
// found too. More than one match is an error.
func (s *Source) Lookup(ctx context.Context, text string) (sources.Record, bool, error) {
	sess, err := s.connect(ctx)
	if err != nil {
		return sources.Record{}, false, err
	}
	defer sess.close()
	e, err := s.find(sess, text)
	if err != nil || e == nil {
		return sources.Record{}, false, err
	}
	rec, err := sess.record(e)
	if err != nil {
		return sources.Record{}, false, s.failed("read "+sources.Printable(e.DN), err)
	}
	s.groupsOf(sess, &rec)
	return rec, true, nil
}

func (s *Source) find(sess *session, text string) (*ldap.Entry, error) {
	// "*" and "+" (RFC 3673) do not bring what a server computes only when asked.
	wanted := slices.Concat([]string{"*", "+"}, s.attributes)
	if dn, err := ldap.ParseDN(text); err == nil && len(dn.RDNs) > 0 {
		e, err := sess.entry(text, "(objectClass=*)", wanted...)
		if err != nil && !ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) {
			return nil, s.failed("read "+sources.Printable(text), err)
		}
		return e, nil
	}
	if text == "" {
		return nil, nil //nolint:nilnil // found nobody
	}
	var either strings.Builder
	for _, name := range s.o.Mapper.LookupAttributes() {
		either.WriteString("(" + name + "=" + ldap.EscapeFilter(text) + ")")
	}
	if name, guid, ok := s.o.Mapper.AnchorAttribute(); ok && guid {
		if f, ok := (confirmer{Source: s, name: name, guid: guid}).equals(text); ok {
			either.WriteString(f)
		}
	}
	for _, filter := range []string{s.o.UserFilter, ""} {
		res, err := sess.conn.Search(query{base: s.o.BaseDN, filter: "(&" + filter + "(|" + either.String() + "))", attributes: wanted}.request(ldap.ScopeWholeSubtree))
		if err != nil {
			return nil, s.failed("look for "+sources.Printable(text), sess.cause(err))
		}
		switch {
		case len(res.Entries) == 1:
			return res.Entries[0], nil
		case len(res.Entries) > 1:
			return nil, fmt.Errorf("source %s: %d entries match %s, %s and %s among them; give the DN", s.o.Name, len(res.Entries),
				sources.Printable(text), sources.Printable(res.Entries[0].DN), sources.Printable(res.Entries[1].DN))
		}
	}
	return nil, nil //nolint:nilnil // found nobody
}

// groupsOf fills the groups of one person.
func (s *Source) groupsOf(sess *session, rec *sources.Record) {
	if s.o.Groups.Mode != GroupsSearch {
		groups{}.join(s, rec)
		return
	}
	members := []string{rec.Ref}
	if s.o.Groups.MembershipAttribute == "memberUid" {
		members = rec.Values("uid")
	}
	var has strings.Builder
	for _, m := range members {
		has.WriteString("(" + s.o.Groups.MembershipAttribute + "=" + ldap.EscapeFilter(m) + ")")
	}
	if has.Len() == 0 {
		return
	}
	q := query{base: s.o.Groups.BaseDN, filter: "(&" + s.o.Groups.Filter + "(|" + has.String() + "))", attributes: []string{"1.1"}}
	res, err := sess.conn.Search(q.request(ldap.ScopeWholeSubtree))
	if err != nil {
		rec.GroupsFault = s.sentence("read the groups of "+sources.Printable(rec.Ref), sess.cause(err))
		return
	}
	for _, e := range res.Entries {
		rec.Groups = append(rec.Groups, e.DN)
	}
}
