package ldap

import (
	"errors"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/sources"
)

// groups are the memberships of one read, and the session to ask about the few that
// only the server can tell.
type groups struct {
	s    *Source
	sess *session
	// of holds group DNs by member: DNKey of a person or a group, or uid for memberUid.
	of map[string][]string
	// read are the DNs of groups, by DNKey, whose own memberships are in of.
	read map[string]string
	// up are all groups above one, by its DNKey: what was found out already.
	up map[string][]string
	// near are members, as spelled, by LooseDNKey: those whose DN only the server can
	// compare with another.
	near map[string][]string
	// entries are the DNKeys of what stands under a spelling of near; "" is nothing.
	entries map[string]string
	// primary are DNs by the SID of a primary group.
	primary map[string]string
	dynamic []dynamicGroup
	// fault says why they cannot be trusted; nobody loses a role then.
	fault string
}

func (s *Source) newGroups(sess *session) *groups {
	return &groups{
		s: s, sess: sess, of: map[string][]string{}, read: map[string]string{}, up: map[string][]string{},
		near: map[string][]string{}, entries: map[string]string{}, primary: map[string]string{},
	}
}

// readGroups reads what the mapping needs to know of groups, each group once. In
// GroupsMemberOf the memberships themselves come with the people.
func (s *Source) readGroups(sess *session) *groups {
	g := s.newGroups(sess)
	if s.o.Groups.Mode == GroupsOff || !s.needsGroups() {
		return g
	}
	switch {
	case sess.catalog:
		g.fault = sess.url + " is the global catalog, whose groups are not all there, so that roles stay as they are; " + noCatalog
		return g
	case s.o.Groups.Nested == NestedInChain:
		g.readChains()
	case s.o.Groups.Mode == GroupsMemberOf && s.o.Groups.Nested == NestedWalk:
		g.readTree("memberOf", s.o.PageSize, g.takeChild)
	case s.o.Groups.Mode == GroupsMemberOf:
	case s.allGroups || s.o.Groups.Nested == NestedWalk && s.o.Groups.MembershipAttribute == memberURL:
		g.readAll()
	case s.o.Groups.Nested == NestedWalk:
		g.readBelow()
	default:
		g.readNamed()
	}
	if g.fault == "" {
		g.readDynamic()
	}
	if g.fault == "" && s.o.Groups.Nested == NestedWalk && !s.allGroups {
		if err := g.narrow(); err != nil {
			g.unread("what groups are in", err)
		}
	}
	return g
}

// unread words why the groups of everybody are in doubt.
func (g *groups) unread(what string, err error) {
	g.fault = g.s.sentence("read "+what+", so that roles stay as they are", err)
}

// readNamed reads the groups that rules name, unless they were read already.
func (g *groups) readNamed() {
	for _, dn := range g.s.groupNames {
		if _, ok := g.read[sources.DNKey(dn)]; ok {
			continue
		}
		e, err := g.named(dn, g.s.o.Groups.MembershipAttribute)
		if err == nil {
			err = g.take(e)
		}
		if err != nil {
			g.unread("the group "+sources.Printable(dn), err)
			return
		}
	}
}

// named reads one group, which must be there.
func (g *groups) named(dn string, attributes ...string) (*ldap.Entry, error) {
	e, err := g.sess.entry(dn, "(objectClass=*)", append(attributes, "objectClass")...)
	if err == nil && e == nil {
		err = ldap.NewError(ldap.LDAPResultNoSuchObject, errors.New("the entry is not shown"))
	}
	return e, err
}

// memberPage is how many groups come at once with their members: the time a server has
// for a page is meant for people, who are smaller.
const memberPage = 50

// readAll reads all groups below their base with their members.
func (g *groups) readAll() {
	g.readTree(g.s.o.Groups.MembershipAttribute, memberPage, g.take)
	if g.fault == "" {
		g.readNamed() // what stands elsewhere, or does not match the filter
	}
}

// readTree lists all groups below their base with one attribute. Groups are noted while
// they come, so that no two long lists are in memory; those that come in parts wait for
// the end of their page, since the rest has to be asked for.
func (g *groups) readTree(attribute string, pageSize int, take func(*ldap.Entry) error) {
	o := g.s.o
	var parts []*ldap.Entry
	var fault error
	q := query{base: o.Groups.BaseDN, filter: o.Groups.Filter, attributes: []string{attribute, "objectClass"}, pageSize: min(pageSize, o.PageSize)}
	if o.WithoutPaging {
		q.pageSize = 0
	}
	q.stream = func(e *ldap.Entry) {
		switch {
		case fault != nil:
		case inParts(e):
			parts = append(parts, e)
		default:
			fault = take(e)
		}
	}
	st, err := g.sess.walk(q, func([]*ldap.Entry) error {
		for _, e := range parts {
			if fault == nil {
				fault = take(e)
			}
		}
		parts = nil
		return fault
	})
	g.judge(st, err, "the list of groups below "+o.Groups.BaseDN, "check group_filter and the server's size limit")
	if g.fault == "" && st.entries == 0 {
		g.fault = "the list of groups below " + o.Groups.BaseDN + " may be cut or is empty, so that roles stay as they are; check group_filter and the server's size limit"
	}
}

// judge doubts the groups by how a search ended.
func (g *groups) judge(st stats, err error, what, hint string) {
	switch {
	case err != nil:
		g.unread(what, err)
	case st.elsewhere != "":
		g.fault = what + " is not all there, so that roles stay as they are: " + referred(st.elsewhere)
	case st.ignored:
		g.fault = "the server ignores paging, so that " + what + " may be cut and roles stay as they are; set server_without_paging if it never limits results"
	case g.s.o.WithoutPaging && atKnownCap(st.entries):
		g.fault = what + " may be cut or is empty, so that roles stay as they are; " + hint
	}
}

// take notes the members of a group.
func (g *groups) take(e *ldap.Entry) error {
	_, err := g.members(e)
	return err
}

// members notes the members of a group and gives them; it gives none of a dynamic one.
func (g *groups) members(e *ldap.Entry) ([]string, error) {
	rec, err := g.sess.plain(e)
	if err != nil {
		return nil, err
	}
	attribute := g.s.o.Groups.MembershipAttribute
	g.read[sources.DNKey(e.DN)] = e.DN
	members := rec.Values(attribute)
	if attribute == memberURL {
		g.dynamic = append(g.dynamic, dynamicGroup{e.DN, members})
		return nil, nil
	}
	if len(members) == 0 && needsMember(rec) {
		return nil, &oddAnswerError{"it shows no member, which its class does not allow", "give " + g.s.o.BindDN + " the right to read " + attribute}
	}
	for _, m := range members {
		g.add(m, e.DN)
	}
	return members, nil
}

// add notes that a member, as the membership attribute spells it, is in a group.
func (g *groups) add(member, group string) {
	if g.s.o.Groups.MembershipAttribute == "memberUid" {
		g.of[member] = append(g.of[member], group) // compared by case, as the schema of posixGroup does
		return
	}
	member = withoutUID(member)
	key := sources.DNKey(member)
	g.of[key] = append(g.of[key], group)
	if sources.CertainDN(member) {
		return
	}
	loose := sources.LooseDNKey(member)
	if !slices.ContainsFunc(g.near[loose], func(m string) bool { return sources.DNKey(m) == key }) {
		g.near[loose] = append(g.near[loose], member)
	}
}

// withoutUID cuts the bit string off a Name and Optional UID (RFC 4517 3.3.21), the
// syntax of uniqueMember.
func withoutUID(member string) string {
	if i := strings.LastIndex(member, "#'"); i > 0 && strings.HasSuffix(member, "'B") && strings.Trim(member[i+2:len(member)-2], "01") == "" {
		return member[:i]
	}
	return member
}

// needsMember tells a group of a class that must have a member (RFC 4519 3.5
// and 3.6): without one its members are hidden, not absent.
func needsMember(rec sources.Record) bool {
	return slices.ContainsFunc(rec.Values("objectClass"), func(c string) bool {
		return strings.EqualFold(c, "groupOfNames") || strings.EqualFold(c, "groupOfUniqueNames")
	})
}

// direct gives the groups that list an entry as a member.
func (g *groups) direct(dn string) ([]string, error) {
	key := sources.DNKey(dn)
	list := g.of[key]
	if len(g.near) == 0 {
		return list, nil
	}
	for _, spelled := range g.near[sources.LooseDNKey(dn)] {
		other := sources.DNKey(spelled)
		if other == key {
			continue
		}
		there, err := g.standsUnder(spelled)
		if err != nil {
			return nil, err
		}
		if there == key {
			list = append(slices.Clip(list), g.of[other]...)
		}
	}
	return list, nil
}

// standsUnder asks the server which entry a DN leads to: its own matching rules may
// know more spellings of one name than DNKey. It gives a DNKey, "" for none.
func (g *groups) standsUnder(spelled string) (string, error) {
	if key, ok := g.entries[spelled]; ok {
		return key, nil
	}
	e, err := g.sess.entry(spelled, "(objectClass=*)", "1.1")
	if err != nil && !ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax) {
		return "", err
	}
	key := ""
	if e != nil {
		key = sources.DNKey(e.DN)
	}
	g.entries[spelled] = key
	return key, nil
}

// join gives a record its groups.
func (g *groups) join(rec *sources.Record) {
	if g.s.o.Groups.Mode == GroupsOff {
		return
	}
	if rec.GroupsFault = g.fault; g.fault != "" {
		return
	}
	list, err := g.listed(rec)
	if err == nil {
		list, err = g.withPrimary(rec, list)
	}
	if err == nil && g.s.o.Groups.Nested == NestedWalk {
		list, err = g.withAbove(list)
	}
	if err != nil {
		rec.GroupsFault = g.s.sentence("read the groups of "+sources.Printable(rec.Ref)+", so that roles stay as they are", err)
		return
	}
	rec.Groups = list
}

// listed gives the groups a person is in by the membership attribute.
func (g *groups) listed(rec *sources.Record) ([]string, error) {
	attribute := g.s.o.Groups.MembershipAttribute
	switch {
	case g.s.o.Groups.Mode == GroupsMemberOf:
		list := rec.Values(attribute)
		if chained := g.of[sources.DNKey(rec.Ref)]; g.s.o.Groups.Nested == NestedInChain && len(chained) > 0 {
			list = append(slices.Clip(list), chained...)
		}
		return list, nil
	case attribute != "memberUid":
		return g.direct(rec.Ref)
	}
	var list []string
	for _, uid := range rec.Values("uid") {
		list = append(list, g.of[uid]...)
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}
