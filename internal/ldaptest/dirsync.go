package ldaptest

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
)

// Flags of DirSync (MS-ADTS 3.1.1.3.4.1.3).
const (
	dirSyncObjectSecurity = 0x1
	dirSyncIncremental    = 0x80000000
	dirSyncMagic          = "MSDS"
)

// dirSync answers with what changed since a cookie: all of it that the filter
// matches, tombstones too, each with those of the wanted attributes that changed.
// The cookie tells where in the common history it stands, so that any domain
// controller goes on from it, as the vector in a real one does.
func (s *Server) dirSync(p *page, f *firing, base *node, self *replica) {
	r := p.q.dirSync
	switch {
	case !slices.Contains(s.d.contexts, base.key):
		p.fail(codeInsufficientRights, "the base is not the root of a naming context")
		return
	case s.o.NoReplication && r.flags&dirSyncObjectSecurity == 0:
		p.fail(codeInsufficientRights, "00002105: LdapErr: DSID-0C090A4D, comment: Error processing control, data 0, v4563")
		return
	}
	from, ok := dirSyncFrom(r.cookie)
	if !ok {
		p.fail(codeCriticalUnavailable, "0000202C: LdapErr: DSID-0C090A4D, comment: Error processing control, data 0, v4563")
		return
	}
	var list []*node
	for _, n := range s.d.list {
		hidden := n.deleted && s.o.HideDeleted
		if n.changed > from && n.context == base.key && !hidden && s.d.evaluate(p.q.filter, n, self) == yes {
			list = append(list, n)
		}
	}
	slices.SortStableFunc(list, func(a, b *node) int { return cmp.Compare(a.changed, b.changed) })
	to, more := s.d.seq, int64(0)
	if limit := s.o.DirSyncEntries; limit > 0 && len(list) > limit {
		list = list[:limit]
		to, more = list[limit-1].changed, 1
	}
	if f != nil && f.fault.list != nil {
		list = f.fault.list(f, list)
	}
	p.total = len(list)
	for i, n := range list {
		attributes := s.changes(n, p.q, from, self)
		if len(attributes) == 0 {
			continue
		}
		attributes = append(attributes, values{"objectGUID", []string{n.id}}, values{"instanceType", n.stored("instanceType")})
		if f != nil && f.fault.entry != nil {
			attributes = f.fault.entry(f, f.hit(i, p.total), n, attributes)
		}
		p.sent = append(p.sent, message{raw: encodeEntry(p.id, n.dn, attributes), entry: true})
	}
	p.done.controls = append(p.done.controls, control(oidDirSync, sequence(integer(more), integer(0), text(dirSyncCookie(self, to)))))
}

func dirSyncCookie(self *replica, seq int64) string {
	return dirSyncMagic + self.invocation + string(binary.LittleEndian.AppendUint64(nil, uint64(seq))) //nolint:gosec // a sequence is not negative
}

func dirSyncFrom(cookie string) (int64, bool) {
	if cookie == "" {
		return 0, true
	}
	rest, ok := strings.CutPrefix(cookie, dirSyncMagic)
	if !ok || len(rest) != 24 {
		return 0, false
	}
	return int64(binary.LittleEndian.Uint64([]byte(rest[16:]))), true //nolint:gosec // it was one before
}

// changes gives the wanted attributes of an entry that changed, none if only others
// did; one without values was removed. Linked ones come whole, or as what was added and removed.
func (s *Server) changes(n *node, q request, from int64, self *replica) []values {
	w := wishesOf(s.Kind, q.attributes)
	_, moved := w.named["name"] // brings the parent along
	var out []values
	for _, name := range s.d.dirSyncNames(n) {
		key := strings.ToLower(name)
		if _, named := w.named[key]; key == "instancetype" || !named && !w.star && !(key == "parentguid" && moved) {
			continue
		}
		a := n.attrs[key]
		changed := n.renamed
		if a != nil {
			changed = a.changed
		}
		if changed <= from {
			continue
		}
		if known := s.d.known[key]; known != "" {
			name = known
		}
		if linked(key) && q.dirSync.flags&dirSyncIncremental != 0 {
			out = append(out, s.d.increments(n, name, key, from)...)
			continue
		}
		list := s.d.values(n, name, self)
		if len(list) > 0 || n.created <= from {
			out = append(out, values{name, list})
		}
	}
	return out
}

// dirSyncNames lists stored attributes, removed ones too, and those that go with
// the name. Constructed ones and back links are not replicated.
func (d *directory) dirSyncNames(n *node) []string {
	out := []string{"name", "parentGUID"}
	if n.rid != 0 {
		out = append(out, "objectSid")
	}
	for _, a := range n.attrs {
		out = append(out, a.name)
	}
	slices.Sort(out)
	return out
}

// increments tells single values of a linked attribute: range 1-1 are those added
// and 0-0 those removed.
func (d *directory) increments(n *node, name, key string, from int64) []values {
	last := map[string]logged{}
	var order []string
	for _, l := range d.log {
		if l.n == n && l.link == key && l.seq > from {
			k := dnKey(l.value)
			if _, had := last[k]; !had {
				order = append(order, k)
			}
			last[k] = l
		}
	}
	added, removed := values{name: name + ";range=1-1"}, values{name: name + ";range=0-0"}
	for _, k := range order {
		if l := last[k]; l.added {
			added.list = append(added.list, l.value)
		} else {
			removed.list = append(removed.list, l.value)
		}
	}
	var out []values
	for _, v := range []values{added, removed} {
		if len(v.list) > 0 {
			out = append(out, v)
		}
	}
	return out
}
