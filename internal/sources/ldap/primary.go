package ldap

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/sources"
)

// wanted lists the attributes to ask people for: in Active Directory those as well
// that tell the primary group, which neither memberOf nor member shows, and whether a rule
// about who has left can be judged.
func (s *Source) wanted(sess *session) []string {
	list := s.attributes
	if restricted, err := s.restricted(sess); err == nil && restricted {
		list = with(list, accountControl)
	}
	if s.hasPrimary(sess) {
		list = with(with(list, "objectSid"), "primaryGroupID")
	}
	return list
}

func (s *Source) hasPrimary(sess *session) bool {
	if s.o.Groups.Mode == GroupsOff || !s.needsGroups() {
		return false
	}
	root, err := sess.root()
	return err == nil && root.kind == kindAD
}

// withPrimary adds a person's primary group.
func (g *groups) withPrimary(rec *sources.Record, list []string) ([]string, error) {
	id := rec.Value("primaryGroupID")
	if id == "" || !g.s.hasPrimary(g.sess) {
		return list, nil
	}
	sid, ok := primarySID(rec.Value("objectSid"), id)
	if !ok {
		return nil, &oddAnswerError{"it has a primary group, but no objectSid to tell which", "give " + g.s.o.BindDN + " the right to read objectSid"}
	}
	dn, err := g.bySID(sid)
	if err != nil {
		return nil, err
	}
	list = append(slices.Clip(list), dn)
	if g.s.o.Groups.Nested == NestedInChain {
		chained, err := g.chained(dn)
		if err != nil {
			return nil, err
		}
		list = append(list, chained...)
	}
	return list, nil
}

// primarySID puts the last part of a person's SID aside for the group's: both are of
// the same domain (MS-ADTS 3.1.1.1.3, MS-DTYP 2.4.2.2).
func primarySID(person, group string) (string, bool) {
	rid, err := strconv.ParseUint(group, 10, 32)
	if err != nil || len(person) < 12 || len(person) != 8+4*int(person[1]) {
		return "", false
	}
	b := []byte(person)
	binary.LittleEndian.PutUint32(b[len(b)-4:], uint32(rid))
	return string(b), true
}

// bySID finds a group by its SID, once.
func (g *groups) bySID(sid string) (string, error) {
	if dn, ok := g.primary[sid]; ok {
		return dn, nil
	}
	root, err := g.sess.root()
	if err != nil {
		return "", err
	}
	var f strings.Builder
	for i := range len(sid) {
		fmt.Fprintf(&f, `\%02x`, sid[i])
	}
	q := query{base: root.defaultContext, filter: "(objectSid=" + f.String() + ")", attributes: []string{"1.1"}}
	res, err := g.sess.search(q.request(ldap.ScopeWholeSubtree, g.sess.scope()...))
	if err != nil {
		return "", g.sess.cause(err)
	}
	if len(res.Entries) != 1 {
		return "", &oddAnswerError{"its primary group is not shown", "give " + g.s.o.BindDN + " the right to list it"}
	}
	g.primary[sid] = res.Entries[0].DN
	return res.Entries[0].DN, nil
}
