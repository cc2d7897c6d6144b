package ldap

import (
	"maps"
	"slices"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/sources"
)

// The values of GroupOptions.Nested.
const (
	NestedOff = ""
	// NestedWalk follows what is in what by itself, and reads each group once that it has
	// to know for it.
	NestedWalk = "walk"
	// NestedInChain asks Active Directory who is in a group by any way.
	NestedInChain = "in_chain"
)

// inChain is LDAP_MATCHING_RULE_TRANSITIVE_EVAL (MS-ADTS 3.1.1.3.4.4.3). A server that
// does not know the rule finds nobody, and says that all is well.
const inChain = "1.2.840.113556.1.4.1941"

// takeChild notes the groups that a group itself is in, as its memberOf tells them.
func (g *groups) takeChild(e *ldap.Entry) error {
	rec, err := g.sess.plain(e)
	if err != nil {
		return err
	}
	key := sources.DNKey(e.DN)
	g.read[key], g.of[key] = e.DN, rec.Values("memberOf")
	return nil
}

// maxDescent is how many groups are read one by one before reading all of them in pages
// costs less.
const maxDescent = 200

// readBelow reads the members of the groups that rules name, and of those groups that are
// in them by any number of steps. Which members are groups the list of all groups tells,
// without their members.
func (g *groups) readBelow() {
	dns, near := map[string]string{}, map[string][]string{} // of all groups, by DNKey and LooseDNKey
	g.readTree("1.1", g.s.o.PageSize, func(e *ldap.Entry) error {
		loose := sources.LooseDNKey(e.DN)
		dns[sources.DNKey(e.DN)], near[loose] = e.DN, append(near[loose], e.DN)
		return nil
	})
	list := slices.Clone(g.s.groupNames)
	for i := 0; g.fault == "" && i < len(list); i++ {
		if _, ok := g.read[sources.DNKey(list[i])]; ok {
			continue
		}
		if len(g.read) >= maxDescent {
			*g = *g.s.newGroups(g.sess)
			g.readAll()
			return
		}
		e, err := g.named(list[i], g.s.o.Groups.MembershipAttribute)
		if i >= len(g.s.groupNames) && ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) {
			// Deleted since, or renamed and still with its members: the next read tells.
			err = &oddAnswerError{"it was listed, and is not there any more, so that it was changed while it was read", "the next read tells what became of it"}
		}
		var within []string
		if err == nil {
			within, err = g.groupsIn(e, dns, near)
		}
		if err != nil {
			g.unread("the group "+sources.Printable(list[i]), err)
			return
		}
		list = append(list, within...)
	}
}

// groupsIn notes the members of a group, and gives those that are groups themselves.
func (g *groups) groupsIn(e *ldap.Entry, dns map[string]string, near map[string][]string) ([]string, error) {
	members, err := g.members(e)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, m := range members {
		m = withoutUID(m)
		dn, ok := dns[sources.DNKey(m)]
		if !ok && !sources.CertainDN(m) && near[sources.LooseDNKey(m)] != nil {
			key, err := g.standsUnder(m)
			if err != nil {
				return nil, err
			}
			dn, ok = dns[key]
		}
		if ok {
			out = append(out, dn)
		}
	}
	return out, nil
}

// narrow keeps, where rules name groups, only what leads to one of those: each group then
// knows the few named ones above it instead of all.
func (g *groups) narrow() error {
	below := map[string][]string{} // groups directly in one, by DNKey
	for _, key := range slices.Sorted(maps.Keys(g.read)) {
		parents, err := g.direct(g.read[key])
		if err != nil {
			return err
		}
		for _, p := range parents {
			k := sources.DNKey(p)
			below[k] = append(below[k], key)
		}
	}
	for key := range g.read {
		g.up[key] = nil
	}
	named := map[string]bool{}
	for _, name := range g.s.groupNames {
		top := sources.DNKey(name)
		seen := map[string]bool{top: true}
		for next := []string{top}; len(next) > 0; next = next[1:] {
			for _, key := range below[next[0]] {
				if !seen[key] {
					seen[key] = true
					g.up[key], next = append(g.up[key], name), append(next, key)
				}
			}
		}
		named[top] = true
	}
	if g.s.o.Groups.Mode == GroupsMemberOf {
		return nil
	}
	for member, list := range g.of {
		kept := slices.DeleteFunc(list, func(dn string) bool {
			key := sources.DNKey(dn)
			return !named[key] && len(g.up[key]) == 0
		})
		if len(kept) == 0 {
			delete(g.of, member)
			continue
		}
		g.of[member] = slices.Clip(kept)
	}
	return nil
}

// withAbove adds the groups that groups are in, over any number of steps. A group that
// is in itself by some way is passed once.
func (g *groups) withAbove(list []string) ([]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	seen := make(map[string]bool, len(list))
	var out []string
	add := func(dns []string) {
		for _, dn := range dns {
			if key := sources.DNKey(dn); !seen[key] {
				seen[key], out = true, append(out, dn)
			}
		}
	}
	add(list)
	for _, dn := range list {
		above, err := g.above(dn)
		if err != nil {
			return nil, err
		}
		add(above)
	}
	return out, nil
}

// above gives all groups that a group is in, nearest first, each once.
func (g *groups) above(dn string) ([]string, error) {
	start := sources.DNKey(dn)
	if list, ok := g.up[start]; ok {
		return list, nil
	}
	seen := map[string]bool{start: true}
	var out []string
	for next := []string{dn}; len(next) > 0; next = next[1:] {
		parents, err := g.parents(next[0])
		if err != nil {
			return nil, err
		}
		for _, p := range parents {
			if key := sources.DNKey(p); !seen[key] {
				seen[key] = true
				out, next = append(out, p), append(next, p)
			}
		}
	}
	g.up[start] = out
	return out, nil
}

// parents gives the groups that a group is in itself. With memberOf, a group that was
// not among those below the base is read by itself.
func (g *groups) parents(dn string) ([]string, error) {
	if g.s.o.Groups.Mode != GroupsMemberOf {
		return g.direct(dn)
	}
	key := sources.DNKey(dn)
	if _, ok := g.read[key]; !ok {
		e, err := g.named(dn, "memberOf")
		if err != nil {
			return nil, err
		}
		if err := g.takeChild(e); err != nil {
			return nil, err
		}
		g.read[key], g.of[key] = e.DN, g.of[sources.DNKey(e.DN)]
	}
	return g.of[key], nil
}

// readChains asks for the people in each named group by any way.
func (g *groups) readChains() {
	if root, err := g.sess.root(); err != nil || root.kind != kindAD {
		g.fault = "groups.nested: in_chain is a rule of Active Directory, which this server does not say it is, so that it would find nobody and roles stay as they are; use walk"
		return
	}
	o := g.s.o
	for _, name := range g.s.groupNames {
		e, err := g.named(name)
		if err != nil {
			g.unread("the group "+sources.Printable(name), err)
			return
		}
		q := query{base: o.BaseDN, filter: "(&" + o.UserFilter + chainFilter(e.DN) + ")", attributes: []string{"1.1"}, pageSize: o.PageSize}
		if o.WithoutPaging {
			q.pageSize = 0
		}
		st, err := g.sess.walk(q, func(people []*ldap.Entry) error {
			for _, p := range people {
				key := sources.DNKey(p.DN)
				g.of[key] = append(g.of[key], e.DN)
			}
			return nil
		})
		if g.judge(st, err, "the people in "+sources.Printable(name)+" by any way", "check the server's size limit"); g.fault != "" {
			return
		}
	}
}

// chainFilter finds what is in a group by any way. Its DN is one value there: escaped
// as a DN by the server, and as part of a filter here (RFC 4515 3).
func chainFilter(group string) string {
	return "(memberOf:" + inChain + ":=" + ldap.EscapeFilter(group) + ")"
}

// chained gives the named groups that a group is in by any way.
func (g *groups) chained(dn string) ([]string, error) {
	key := sources.DNKey(dn)
	if list, ok := g.up[key]; ok {
		return list, nil
	}
	var out []string
	for _, name := range g.s.groupNames {
		e, err := g.sess.entry(dn, chainFilter(name), "1.1")
		if err != nil {
			return nil, err
		}
		if e != nil {
			out = append(out, name)
		}
	}
	g.up[key] = out
	return out, nil
}
