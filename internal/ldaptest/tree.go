package ldaptest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Entry is an entry of the tree: user attributes and the values they have, which
// may be bytes of any kind. Some names mean more: userPassword is the password to
// bind with and never shown; entryUUID (as text) and objectGUID (16 bytes) choose
// the anchor, which is invented otherwise.
type Entry struct {
	DN         string
	Attributes map[string][]string
}

// node is an entry as the server keeps it.
type node struct {
	id               string // 16 bytes
	dn, key          string
	context          string // folded naming context it lies in
	attrs            map[string]*attribute
	password         string
	rid              uint32
	created, changed int64 // sequence numbers
	renamed          int64
	createdAt        time.Time
	changedAt        time.Time
	deleted          bool
	lastName         string // of a tombstone
}

type attribute struct {
	name    string
	values  []string
	changed int64
}

// logged is one change, for those who ask what happened since.
type logged struct {
	seq   int64
	n     *node
	gone  bool
	link  string // folded name of an attribute that got or lost a value
	value string
	added bool
}

// directory is a tree with its history. All servers that were made as replicas of
// one another share it.
type directory struct {
	mu       sync.Mutex
	kind     Kind
	base     string
	recycle  bool
	now      func() time.Time
	contexts []string // folded, the longest first
	known    map[string]string
	byKey    map[string]*node
	list     []*node // in order of creation, tombstones too
	seq      int64
	rid      uint32
	log      []logged
	logFrom  int64 // changes up to this one are no longer told one by one
	back     map[string][]*node
	backAt   int64
}

func newDirectory(o Options) *directory {
	d := &directory{
		kind: o.Kind, base: o.Kind.BaseDN(), recycle: o.RecycleBin, now: o.Now,
		known: map[string]string{}, byKey: map[string]*node{}, rid: 1103, backAt: -1,
	}
	if d.now == nil {
		d.now = time.Now
	}
	d.learn(commonAttributes()...)
	d.learn(o.Kind.attributes()...)
	d.contexts = []string{dnKey(d.base)}
	for _, e := range d.foundation() {
		if err := d.add(e); err != nil {
			panic("ldaptest: " + err.Error()) // our own entries
		}
	}
	return d
}

// foundation gives the entries every tree of the kind has.
func (d *directory) foundation() []Entry {
	reader := Entry{d.kind.ReaderDN(), map[string][]string{"objectClass": {"organizationalRole"}, "cn": {"reader"}, "userPassword": {Password}}}
	if d.kind == ActiveDirectory {
		reader.Attributes["objectClass"] = []string{"user"}
		reader.Attributes["sAMAccountName"] = []string{"reader"}
		reader.Attributes["userPrincipalName"] = []string{"reader@ad.test"}
		return append(d.foundationAD(), reader)
	}
	return []Entry{
		{d.base, map[string][]string{"objectClass": {"dcObject", "organization"}, "o": {"Example"}, "dc": {"example"}}},
		reader,
	}
}

// tick begins a change.
func (d *directory) tick() int64 { d.seq++; return d.seq }

func (d *directory) find(dn string) *node { return d.byKey[d.keyOf(dn)] }

// keyOf folds a name as it stands in a request: Active Directory knows <GUID=...>
// as well (MS-ADTS 3.1.1.3.1.2.4).
func (d *directory) keyOf(dn string) string {
	if d.kind != ActiveDirectory || !strings.HasPrefix(strings.ToUpper(dn), "<GUID=") {
		return dnKey(dn)
	}
	text := strings.ToLower(strings.TrimSuffix(dn[len("<GUID="):], ">"))
	for _, n := range d.list {
		if GUIDText(n.id) == text || hex.EncodeToString([]byte(n.id)) == text {
			return n.key
		}
	}
	return "\x00" // nothing has this name
}

func (d *directory) add(e Entry) error {
	key := dnKey(e.DN)
	if d.byKey[key] != nil {
		return fmt.Errorf("%s is there already", e.DN)
	}
	rdn, parent := splitDN(e.DN)
	if d.byKey[dnKey(parent)] == nil && !slices.Contains(d.contexts, key) {
		return fmt.Errorf("%s has no entry above it", e.DN)
	}
	seq := d.tick()
	n := &node{dn: e.DN, key: key, attrs: map[string]*attribute{}, created: seq, changed: seq, renamed: seq, createdAt: d.now(), changedAt: d.now()}
	for _, c := range d.contexts {
		if below(key, c) {
			n.context = c
			break
		}
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", seq, key))
	n.id = string(sum[:16])
	for _, name := range slices.Sorted(maps.Keys(e.Attributes)) {
		d.take(n, name, e.Attributes[name], seq)
	}
	if name, value := splitRDN(rdn); n.attrs[strings.ToLower(name)] == nil {
		n.set(name, seq, value)
	}
	if d.kind == ActiveDirectory {
		d.complete(n, seq)
	}
	for _, a := range n.attrs {
		d.learn(a.name)
		if linked(a.name) {
			for _, v := range a.values {
				d.log = append(d.log, logged{seq: seq, n: n, link: strings.ToLower(a.name), value: v, added: true})
			}
		}
	}
	d.byKey[key] = n
	d.list = append(d.list, n)
	d.log = append(d.log, logged{seq: seq, n: n})
	return nil
}

// take keeps one attribute of a new entry.
func (d *directory) take(n *node, name string, values []string, seq int64) {
	switch key := strings.ToLower(name); {
	case len(values) == 0:
	case key == "userpassword":
		n.password = values[0]
	case key == "objectguid" && len(values[0]) == 16:
		n.id = values[0]
	case key == "entryuuid":
		if raw, err := hex.DecodeString(strings.ReplaceAll(values[0], "-", "")); err == nil && len(raw) == 16 {
			n.id = string(raw)
		}
	default:
		n.set(name, seq, values...)
	}
}

func (n *node) set(name string, seq int64, values ...string) {
	n.attrs[strings.ToLower(name)] = &attribute{name, slices.Clone(values), seq}
}

func (n *node) stored(name string) []string {
	if a := n.attrs[strings.ToLower(name)]; a != nil {
		return a.values
	}
	return nil
}

func (n *node) is(class string) bool {
	return slices.ContainsFunc(n.stored("objectClass"), func(c string) bool {
		return strings.EqualFold(c, class) || slices.ContainsFunc(superclasses(c), func(s string) bool { return strings.EqualFold(s, class) })
	})
}

// modify sets an attribute to the given values. Values of a linked attribute are
// logged one by one.
func (d *directory) modify(n *node, name string, values ...string) {
	seq := d.tick()
	key := strings.ToLower(name)
	if key == "userpassword" {
		n.password = strings.Join(values, "")
		values = nil
	}
	before := n.stored(name)
	if linked(name) {
		d.logLinks(n, key, before, values, seq)
	}
	d.learn(name)
	n.set(name, seq, values...) // an empty one stays as the mark of its removal
	n.changed, n.changedAt = seq, d.now()
	d.log = append(d.log, logged{seq: seq, n: n})
}

func (d *directory) logLinks(n *node, key string, before, after []string, seq int64) {
	index := func(values []string) map[string]bool {
		m := make(map[string]bool, len(values))
		for _, v := range values {
			m[dnKey(v)] = true
		}
		return m
	}
	had, has := index(before), index(after)
	for _, v := range before {
		if !has[dnKey(v)] {
			d.log = append(d.log, logged{seq: seq, n: n, link: key, value: v})
		}
	}
	for _, v := range after {
		if !had[dnKey(v)] {
			d.log = append(d.log, logged{seq: seq, n: n, link: key, value: v, added: true})
		}
	}
}

// rename gives an entry another name, and with it those below.
func (d *directory) rename(n *node, newDN string) error {
	key := dnKey(newDN)
	rdn, parent := splitDN(newDN)
	switch {
	case d.byKey[key] != nil && d.byKey[key] != n:
		return fmt.Errorf("%s is there already", newDN)
	case d.byKey[dnKey(parent)] == nil:
		return fmt.Errorf("%s has no entry above it", newDN)
	}
	oldKey, oldDN := n.key, n.dn
	seq := d.tick()
	for _, m := range d.list {
		if m != n && !m.deleted && below(m.key, oldKey) {
			d.move(m, m.dn[:len(m.dn)-len(oldDN)]+newDN)
		}
	}
	d.move(n, newDN)
	name, value := splitRDN(rdn)
	n.set(name, seq, value)
	n.changed, n.renamed, n.changedAt = seq, seq, d.now()
	d.log = append(d.log, logged{seq: seq, n: n})
	return nil
}

// move changes a name and, in Active Directory, the links that follow it.
func (d *directory) move(n *node, dn string) {
	if d.kind == ActiveDirectory {
		d.relink(n.key, dn)
	}
	delete(d.byKey, n.key)
	n.dn, n.key = dn, dnKey(dn)
	d.byKey[n.key] = n
	d.backAt = -1
}

// relink replaces an entry's name in links to it, or drops them.
func (d *directory) relink(key, dn string) {
	for _, g := range d.list {
		for name, a := range g.attrs {
			if !linked(name) {
				continue
			}
			for i := 0; i < len(a.values); i++ {
				switch {
				case dnKey(a.values[i]) != key:
				case dn != "":
					a.values[i] = dn
				default:
					a.values = slices.Delete(a.values, i, i+1)
					i--
				}
			}
		}
	}
	d.backAt = -1
}

// remove deletes an entry that has none below it.
func (d *directory) remove(n *node) error {
	for _, m := range d.list {
		if m != n && !m.deleted && below(m.key, n.key) {
			return fmt.Errorf("%s has entries below it", n.dn)
		}
	}
	if d.kind == ActiveDirectory {
		d.bury(n)
		return nil
	}
	seq := d.tick()
	delete(d.byKey, n.key)
	d.list = slices.DeleteFunc(d.list, func(m *node) bool { return m == n })
	n.deleted, n.changed = true, seq
	d.log = append(d.log, logged{seq: seq, n: n, gone: true})
	return nil
}

// groupsOf gives the groups whose member attribute names an entry.
func (d *directory) groupsOf(key string) []*node {
	if d.backAt != d.seq {
		d.back, d.backAt = map[string][]*node{}, d.seq
		for _, g := range d.list {
			if g.deleted {
				continue
			}
			for _, m := range g.stored("member") {
				k := dnKey(m)
				d.back[k] = append(d.back[k], g)
			}
		}
	}
	return d.back[key]
}
