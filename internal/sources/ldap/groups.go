package ldap

import (
	"errors"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/sources"
)

// groups are the memberships of one read.
type groups struct {
	// of holds group DNs by member: DNKey of a person, or uid for memberUid.
	of map[string][]string
	// fault says why they cannot be trusted; nobody loses a role then.
	fault string
}

// readGroups reads the member lists the mapping needs. In GroupsMemberOf they
// come with the people.
func (s *Source) readGroups(sess *session) groups {
	g := groups{of: map[string][]string{}}
	if s.o.Groups.Mode != GroupsSearch || !s.needsGroups() {
		return g
	}
	take := func(e *ldap.Entry) error {
		rec, err := sess.record(e)
		if err != nil {
			return err
		}
		members := rec.Values(s.o.Groups.MembershipAttribute)
		if len(members) == 0 && needsMember(rec) {
			return &oddAnswerError{"it shows no member, which its class does not allow", "give " + s.o.BindDN + " the right to read " + s.o.Groups.MembershipAttribute}
		}
		for _, m := range members {
			key := s.memberKey(m)
			g.of[key] = append(g.of[key], e.DN)
		}
		return nil
	}
	if !s.allGroups {
		for _, dn := range s.groupNames {
			e, err := sess.entry(dn, "(objectClass=*)", s.o.Groups.MembershipAttribute, "objectClass")
			if err == nil && e == nil {
				err = ldap.NewError(ldap.LDAPResultNoSuchObject, errors.New("the entry is not shown"))
			}
			if err == nil {
				err = take(e)
			}
			if err != nil {
				g.fault = s.sentence("read the group "+sources.Printable(dn)+", so that roles stay as they are", err)
				return g
			}
		}
		return g
	}
	q := query{base: s.o.Groups.BaseDN, filter: s.o.Groups.Filter, attributes: []string{s.o.Groups.MembershipAttribute, "objectClass"}, pageSize: s.o.PageSize}
	if s.o.WithoutPaging {
		q.pageSize = 0
	}
	st, err := sess.walk(q, func(entries []*ldap.Entry) error {
		for _, e := range entries {
			if err := take(e); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case err != nil:
		g.fault = s.sentence("read the groups below "+s.o.Groups.BaseDN+", so that roles stay as they are", err)
	case st.ignored:
		g.fault = "the server ignores paging, so that its list of groups may be cut and roles stay as they are; set server_without_paging if it never limits results"
	case s.o.WithoutPaging && atKnownCap(st.entries), st.entries == 0:
		g.fault = "the list of groups below " + s.o.Groups.BaseDN + " may be cut or is empty, so that roles stay as they are; check group_filter and the server's size limit"
	}
	return g
}

// needsMember tells a group of a class that must have a member (RFC 4519 3.5
// and 3.6): without one its members are hidden, not absent.
func needsMember(rec sources.Record) bool {
	return slices.ContainsFunc(rec.Values("objectClass"), func(c string) bool {
		return strings.EqualFold(c, "groupOfNames") || strings.EqualFold(c, "groupOfUniqueNames")
	})
}

// memberKey folds a value of the membership attribute. uniqueMember may end in
// a bit string behind a # (RFC 4517 3.3.21).
func (s *Source) memberKey(value string) string {
	switch s.o.Groups.MembershipAttribute {
	case "memberUid":
		return value // compared by case, as the schema of posixGroup does
	case "uniqueMember":
		if i := strings.LastIndex(value, "#'"); i > 0 && strings.HasSuffix(value, "'B") {
			value = value[:i]
		}
	}
	return sources.DNKey(value)
}

// join gives a record its groups.
func (g groups) join(s *Source, rec *sources.Record) {
	switch s.o.Groups.Mode {
	case GroupsMemberOf:
		rec.Groups = rec.Values("memberOf")
	case GroupsSearch:
		rec.GroupsFault = g.fault
		if s.o.Groups.MembershipAttribute != "memberUid" {
			rec.Groups = g.of[sources.DNKey(rec.Ref)]
			return
		}
		for _, uid := range rec.Values("uid") {
			rec.Groups = append(rec.Groups, g.of[uid]...)
		}
		slices.Sort(rec.Groups)
		rec.Groups = slices.Compact(rec.Groups)
	}
}
