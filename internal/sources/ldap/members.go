package ldap

import (
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/sources"
)

// filterBatch is how many groups one filter names.
const filterBatch = 50

// membersOf lists who is in a group by every way that counts, sorted, each once: DNKeys,
// with memberUid uids. It is asked of groups that rules name, and from their side alone:
// a group that is changed changes no entry of a person.
func (g *groups) membersOf(group string) ([]string, error) {
	if g.fault != "" {
		return nil, &oddAnswerError{g.fault, "until then everybody is read each time"}
	}
	key := sources.DNKey(group)
	below, err := g.below(group)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	ofPeople := g.s.o.Groups.Mode == GroupsMemberOf && g.s.o.Groups.Nested != NestedInChain
	if !ofPeople {
		within := map[string]bool{key: true}
		for _, dn := range below {
			within[sources.DNKey(dn)] = true
		}
		for member, list := range g.of {
			if slices.ContainsFunc(list, func(dn string) bool { return within[sources.DNKey(dn)] }) {
				found[member] = true
			}
		}
	}
	for batch := range slices.Chunk(append([]string{group}, below...), filterBatch) {
		if err := g.findPeople(batch, ofPeople, found); err != nil {
			return nil, err
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// below lists the groups that are in a group by any number of steps.
func (g *groups) below(group string) ([]string, error) {
	if g.s.o.Groups.Nested != NestedWalk {
		return nil, nil
	}
	key := sources.DNKey(group)
	var out []string
	for _, k := range slices.Sorted(maps.Keys(g.read)) {
		above, err := g.above(g.read[k])
		if err != nil {
			return nil, err
		}
		if k != key && slices.ContainsFunc(above, func(dn string) bool { return sources.DNKey(dn) == key }) {
			out = append(out, g.read[k])
		}
	}
	return out, nil
}

// findPeople adds the people whose own entries say that they are in one of the groups:
// by memberOf or its like, and in Active Directory by their primary group.
func (g *groups) findPeople(dns []string, ofPeople bool, found map[string]bool) error {
	var either strings.Builder
	for _, dn := range dns {
		if ofPeople {
			either.WriteString("(" + g.s.o.Groups.MembershipAttribute + "=" + ldap.EscapeFilter(dn) + ")")
		}
		if !g.s.hasPrimary(g.sess) {
			continue
		}
		e, err := g.sess.entry(dn, "(objectClass=*)", "objectSid")
		if err != nil {
			return err
		}
		if e == nil {
			continue
		}
		if sid := e.GetEqualFoldAttributeValue("objectSid"); len(sid) >= 12 {
			either.WriteString("(primaryGroupID=" + strconv.FormatUint(uint64(binary.LittleEndian.Uint32([]byte(sid[len(sid)-4:]))), 10) + ")")
		}
	}
	if either.Len() == 0 {
		return nil
	}
	o := g.s.o
	q := query{base: o.BaseDN, filter: "(&" + o.UserFilter + "(|" + either.String() + "))", attributes: []string{"1.1"}, pageSize: o.PageSize}
	if o.WithoutPaging {
		q.pageSize = 0
	}
	st, err := g.sess.walk(q, func(people []*ldap.Entry) error {
		for _, p := range people {
			found[sources.DNKey(p.DN)] = true
		}
		return nil
	})
	if err == nil && (st.ignored || o.WithoutPaging && atKnownCap(st.entries)) {
		err = &oddAnswerError{"the list of people in a group may be cut", "check paging and the server's size limit"}
	}
	return err
}
