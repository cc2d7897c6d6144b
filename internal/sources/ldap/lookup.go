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
	rec, err := s.person(sess, e)
	if err != nil {
		return sources.Record{}, false, s.failed("read "+sources.Printable(e.DN), err)
	}
	s.groupsOf(sess, &rec)
	return rec, true, nil
}

func (s *Source) find(sess *session, text string) (*ldap.Entry, error) {
	// "*" and "+" (RFC 3673) do not bring what a server computes only when asked.
	wanted := slices.Concat([]string{"*", "+"}, s.wanted(sess))
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
		res, err := sess.search(query{base: s.o.BaseDN, filter: "(&" + filter + "(|" + either.String() + "))", attributes: wanted}.request(ldap.ScopeWholeSubtree, sess.scope()...))
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
	g := s.newGroups(sess)
	o := s.o.Groups
	switch {
	case o.Mode == GroupsOff:
	case o.MembershipAttribute == memberURL:
		g = s.readGroups(sess) // only the searches of all groups tell
	case o.Nested == NestedInChain:
		chained, err := g.chained(rec.Ref)
		if err != nil {
			g.unread("the groups of "+sources.Printable(rec.Ref), err)
		}
		g.of[sources.DNKey(rec.Ref)] = chained
	case o.Mode == GroupsSearch:
		if err := g.searchUp(rec); err != nil {
			g.unread("the groups of "+sources.Printable(rec.Ref), err)
		}
	}
	g.join(rec)
}

// searchUp finds the groups that list one person, with NestedWalk those that list them
// in turn, and his primary group's.
func (g *groups) searchUp(rec *sources.Record) error {
	members := []string{rec.Ref}
	if g.s.o.Groups.MembershipAttribute == "memberUid" {
		members = slices.Clone(rec.Values("uid"))
	}
	if primary, err := g.withPrimary(rec, nil); err != nil {
		return err
	} else if g.s.o.Groups.Nested == NestedWalk {
		members = append(members, primary...)
	}
	asked := map[string]bool{}
	for ; len(members) > 0; members = members[1:] {
		key := sources.DNKey(members[0])
		if asked[key] {
			continue
		}
		asked[key] = true
		found, err := g.listing(members[0])
		if err != nil {
			return err
		}
		for _, dn := range found {
			g.add(members[0], dn)
			if g.s.o.Groups.Nested == NestedWalk {
				members = append(members, dn)
			}
		}
	}
	return nil
}

// listing asks for the groups that list a member.
func (g *groups) listing(member string) ([]string, error) {
	o := g.s.o.Groups
	q := query{base: o.BaseDN, filter: "(&" + o.Filter + "(" + o.MembershipAttribute + "=" + ldap.EscapeFilter(member) + "))", attributes: []string{"1.1"}}
	res, err := g.sess.search(q.request(ldap.ScopeWholeSubtree, g.sess.scope()...))
	if err != nil {
		return nil, g.sess.cause(err)
	}
	dns := make([]string, len(res.Entries))
	for i, e := range res.Entries {
		dns[i] = e.DN
	}
	return dns, nil
}
