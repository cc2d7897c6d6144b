package ldap

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/sources"
)

// Changes asks for who changed since a mark of an earlier Snapshot or Delta. Whatever way
// the server is asked in, it only finds whom to look at: each of them is then read by his
// anchor with the user filter, as a full read reads him, and whoever is not shown is Gone,
// which is a hint and no proof. So nobody who is there is ever called gone, and an entry
// that came back, moved or was deleted needs no rule of its own.
//
// An error means that nothing is known. Delta.Full is not empty where a delta would miss
// something that it can tell it would.
func (s *Source) Changes(ctx context.Context, text string) (identity.Delta, error) {
	began := time.Now()
	d := identity.Delta{Source: s.o.Name}
	old, err := parseMark(text)
	if err != nil {
		d.Full, d.ReadAt = "the mark cannot be read: "+oneLine(err), began
		return d, nil
	}
	sess, err := s.preferring(old.Server).connect(ctx)
	if err != nil {
		return identity.Delta{}, err
	}
	defer sess.close()
	c, why, err := s.newChanger(sess, old, began)
	if err == nil && why == "" {
		d, why, err = c.delta()
	}
	if err != nil {
		return identity.Delta{}, s.failed("read what changed", err)
	}
	if why != "" {
		d = identity.Delta{Source: s.o.Name, Full: why}
	}
	d.ReadAt = time.Now()
	d.Took = d.ReadAt.Sub(began)
	return d, nil
}

// Read reads people by their anchors, with the user filter. Whom it leaves out is not
// shown, which proves nothing.
func (s *Source) Read(ctx context.Context, anchors []string) ([]identity.Identity, error) {
	if len(anchors) == 0 {
		return nil, nil
	}
	if _, _, ok := s.o.Mapper.AnchorAttribute(); !ok {
		return nil, fmt.Errorf("source %s: the anchor is computed, so that nobody can be searched for by it; set id_attribute to one attribute, or to its guid()", s.o.Name)
	}
	sess, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer sess.close()
	c := changer{Source: s, sess: sess, people: sources.NewCollector(s.o.Mapper, nil)}
	if err := c.read(slices.Compact(slices.Sorted(slices.Values(anchors)))); err != nil {
		return nil, s.failed("read people by their anchors", err)
	}
	return c.people.Snapshot("").Identities, nil
}

// preferring gives the source with one of its servers tried first.
func (s *Source) preferring(url string) *Source {
	out := *s
	out.urls = slices.Clone(s.urls)
	slices.SortStableFunc(out.urls, func(a, b endpoint) int {
		switch {
		case a.url == b.url:
			return 0
		case a.url == url:
			return -1
		case b.url == url:
			return 1
		}
		return 0
	})
	return &out
}

// changer is one reading of what changed.
type changer struct {
	*Source
	sess   *session
	root   rootInfo
	old    mark
	next   opening
	people *sources.Collector

	suspects   map[string]bool // anchors of whom to look at, and whether it may be a person
	nameless   []string        // DNs of changed entries without an anchor
	containers []string        // DNs of changed entries that others are below
	groupSeen  bool            // an entry of a group was changed
	groups     *groups
	full       string // why only a full read can tell
	entries    int
	found      map[string]bool
}

// newChanger finds out whether the mark is good here; why says in a sentence that it is
// not.
func (s *Source) newChanger(sess *session, old mark, began time.Time) (c *changer, why string, err error) {
	root, err := sess.root()
	if err != nil {
		return nil, "", err
	}
	way, why := s.way(root)
	if why != "" {
		return nil, why, nil
	}
	if way == DeltaUSN {
		if root.invocation, err = sess.invocation(root); err != nil {
			return nil, "", err
		}
	}
	if why := old.stale(s, root, way, sess.url); why != "" {
		return nil, why, nil
	}
	c = &changer{Source: s, sess: sess, root: root, old: old, people: sources.NewCollector(s.o.Mapper, nil), suspects: map[string]bool{}}
	c.next = opening{mark: old, s: s, root: root, ok: true}
	c.next.Server, c.next.At, c.next.Host, c.next.USN = sess.url, began.UTC(), root.host, root.usn
	if way == DeltaTimestamp {
		err = c.next.tellTime(sess, old.Offset)
	}
	return c, "", err
}

func (c *changer) delta() (identity.Delta, string, error) {
	steps := []func() error{c.find, c.findBelow, c.findExpired, c.findByGroups}
	for _, step := range steps {
		if err := step(); err != nil || c.full != "" {
			return identity.Delta{}, c.full, err
		}
	}
	if c.entries == 0 {
		if why, err := c.witness(); why != "" || err != nil {
			return identity.Delta{}, why, err
		}
	}
	anchors := slices.Sorted(maps.Keys(c.suspects))
	if err := c.read(anchors); err != nil {
		return identity.Delta{}, "", err
	}
	if err := c.readNameless(); err != nil {
		return identity.Delta{}, "", err
	}
	snap := c.people.Snapshot(c.root.directory(c.o.BaseDN))
	d := identity.Delta{
		Source: c.o.Name, Identities: snap.Identities, Unreadable: snap.Unreadable, Entries: snap.Entries, Directory: snap.Directory, Mark: c.next.seal(),
	}
	d.Gone = slices.DeleteFunc(anchors, func(a string) bool { return c.found[a] || !c.suspects[a] })
	return d, "", nil
}

// find asks in the server's way.
func (c *changer) find() error {
	switch c.old.Way {
	case DeltaUSN:
		return c.findByUSN()
	case DeltaTimestamp:
		return c.findByTimestamp()
	case DeltaDirSync:
		return c.findByDirSync()
	case DeltaSyncrepl:
		return c.findBySyncrepl()
	}
	return &oddAnswerError{"the mark names the way " + sources.Printable(c.old.Way), "this is a fault of mmsync"}
}

// changedAttributes are what is asked of changed entries.
func (c *changer) changedAttributes() []string {
	name, _, _ := c.o.Mapper.AnchorAttribute()
	out := with([]string{"objectClass"}, name)
	if c.root.kind == kindAD {
		return with(out, "isDeleted")
	}
	return append(out, "hasSubordinates", "numSubordinates", "modifyTimestamp")
}

// roots are the naming contexts to look in: changes are asked for beyond the base, so
// that who was moved out of it is seen.
func (c *changer) roots() []string {
	list := []string{c.o.BaseDN}
	if c.o.Groups.Mode == GroupsSearch {
		list = append(list, c.o.Groups.BaseDN)
	}
	var out []string
	for _, dn := range append(list, c.groupNames...) {
		dn = c.root.context(dn)
		if !slices.ContainsFunc(out, func(o string) bool { return sources.DNKey(o) == sources.DNKey(dn) }) {
			out = append(out, dn)
		}
	}
	return out
}

// walkChanged looks at everything in the naming context that a filter finds, whatever
// the user filter says. A context that may not be read is replaced by the base.
func (c *changer) walkChanged(filter string) error {
	var controls []ldap.Control
	if c.root.controls[oidShowDeleted] {
		controls = append(controls, ldap.NewControlString(oidShowDeleted, true, ""))
	}
	for i, dn := range c.roots() {
		err := c.walk(query{base: dn, filter: filter, attributes: c.changedAttributes(), controls: controls})
		if ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) || ldap.IsErrorWithCode(err, ldap.LDAPResultReferral) {
			if err = nil; i == 0 {
				err = c.walk(query{base: c.o.BaseDN, filter: filter, attributes: c.changedAttributes(), controls: controls})
			}
		}
		if err != nil || c.full != "" {
			return err
		}
	}
	return nil
}

// walk hands the entries of a search to note.
func (c *changer) walk(q query) error {
	if q.pageSize = c.o.PageSize; c.o.WithoutPaging {
		q.pageSize = 0
	}
	st, err := c.sess.walk(q, func(entries []*ldap.Entry) error {
		for _, e := range entries {
			if err := c.note(e); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case st.ignored:
		return errNotPaged
	case c.o.WithoutPaging && atKnownCap(st.entries):
		c.full = fmt.Sprintf("exactly %d changes came without paging, which is a usual size limit", st.entries)
	}
	return nil
}

// note looks at one changed entry and sees what it may have changed.
func (c *changer) note(e *ldap.Entry) error {
	c.entries++
	rec, err := c.sess.record(e)
	if err != nil {
		return err
	}
	c.next.saw(rec)
	deleted := strings.EqualFold(rec.Value("isDeleted"), "TRUE")
	c.groupSeen = c.groupSeen || isGroup(rec) || c.isNamed(e.DN)
	anchor, err := c.o.Mapper.Anchor(rec)
	switch {
	case deleted && !c.anchorIsGUID():
		return nil // what else a deleted entry has may be a living person's now
	case err == nil: // a group or a container that is no person either is not a person gone
		c.suspects[anchor] = c.suspects[anchor] || !isGroup(rec) && !isPlace(rec)
	case !deleted:
		c.nameless = append(c.nameless, e.DN)
	}
	if !deleted && isContainer(rec) && c.outside(e.DN) {
		c.containers = append(c.containers, e.DN)
	}
	return nil
}

func (c *changer) anchorIsGUID() bool {
	name, guid, _ := c.o.Mapper.AnchorAttribute()
	return guid && strings.EqualFold(name, "objectGUID")
}

func (c *changer) isNamed(dn string) bool {
	return slices.ContainsFunc(c.groupNames, func(g string) bool { return sources.DNKey(g) == sources.DNKey(dn) })
}

// isGroup tells an entry that may give somebody a membership. Directories have many
// classes of them.
func isGroup(rec sources.Record) bool {
	return slices.ContainsFunc(rec.Values("objectClass"), func(class string) bool {
		class = strings.ToLower(class)
		return strings.Contains(class, "group") && class != "grouppolicycontainer" || strings.HasSuffix(class, "roledefinition")
	})
}

// isContainer tells an entry that people may be below, who move with it although nothing
// in their own entries changes.
func isContainer(rec sources.Record) bool {
	if n := rec.Value("numSubordinates"); strings.EqualFold(rec.Value("hasSubordinates"), "TRUE") || n != "" && n != "0" {
		return true
	}
	return isPlace(rec)
}

// isPlace tells the classes of entries that are there to hold others.
func isPlace(rec sources.Record) bool {
	return slices.ContainsFunc(rec.Values("objectClass"), func(class string) bool {
		switch strings.ToLower(class) {
		case "organizationalunit", "container", "organization", "locality", "country", "domain":
			return true
		}
		return false
	})
}

// outside tells an entry that is neither the base nor above it: moving those moves the
// base itself.
func (c *changer) outside(dn string) bool {
	base, key := sources.DNKey(c.o.BaseDN), sources.DNKey(dn)
	return base != key && !strings.HasSuffix(base, ","+key)
}

// findBelow suspects everybody below a container that changed: it may have been moved
// into the base or out of it, or renamed.
func (c *changer) findBelow() error {
	for _, dn := range c.containers {
		err := c.anchorsOf(c.sess, dn, c.o.UserFilter, c.suspect)
		if err != nil && !ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) {
			return err
		}
	}
	return nil
}

func (c *changer) suspect(anchor, dn string) {
	if anchor == "" {
		c.nameless = append(c.nameless, dn)
		return
	}
	c.suspects[anchor] = true
}

// findExpired suspects those whose account has expired since the mark: no entry changes
// when that happens.
func (c *changer) findExpired() error {
	const name = "accountExpires"
	if c.root.kind != kindAD || !slices.ContainsFunc(c.attributes, func(n string) bool { return strings.EqualFold(n, name) }) {
		return nil
	}
	filter := fmt.Sprintf("(&%s(%s>=%d)(%s<=%d))", c.o.UserFilter, name, fileTime(c.old.At), name, fileTime(c.next.At)+1)
	return c.anchorsOf(c.sess, c.o.BaseDN, filter, c.suspect)
}

// fileTime counts 100 ns since 1601 (MS-DTYP 2.3.3).
func fileTime(t time.Time) int64 { return t.UnixNano()/100 + 116_444_736_000_000_000 }

// witness is asked when nothing came: it looks for anybody at all in the same way, since
// a server does not say that it hides the attribute that is searched by.
func (c *changer) witness() (string, error) {
	filter, name := "", ""
	switch c.old.Way {
	case DeltaUSN:
		filter, name = "(uSNChanged>=1)", "uSNChanged"
	case DeltaTimestamp:
		filter, name = "(modifyTimestamp>=19700101000000Z)", "modifyTimestamp"
	default:
		return "", nil // those end with an answer of their own
	}
	q := query{base: c.o.BaseDN, filter: "(&" + c.o.UserFilter + filter + ")", attributes: []string{"1.1"}}.request(ldap.ScopeWholeSubtree)
	q.SizeLimit = 1
	res, err := c.sess.conn.Search(q)
	if err != nil && !ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) {
		return "", c.sess.cause(err)
	}
	if len(res.Entries) == 0 {
		return "nobody can be found by " + name + ", so that no change would be; let " + c.o.BindDN + " read and search it", nil
	}
	return "", nil
}

// read reads people by their anchors.
func (c *changer) read(anchors []string) error {
	if len(anchors) == 0 {
		return nil
	}
	g, err := c.readGroupsOnce()
	if err != nil {
		return err
	}
	name, guid, _ := c.o.Mapper.AnchorAttribute()
	find := confirmer{Source: c.Source, sess: c.sess, name: name, guid: guid}
	c.found = make(map[string]bool, len(anchors))
	for list := range slices.Chunk(anchors, confirmBatch) {
		var either strings.Builder
		for _, a := range list {
			if f, ok := find.equals(a); ok {
				either.WriteString(f)
			}
		}
		if either.Len() == 0 {
			continue
		}
		if err := c.readMatching(g, c.o.BaseDN, ldap.ScopeWholeSubtree, "(&"+c.o.UserFilter+"(|"+either.String()+"))"); err != nil {
			return err
		}
	}
	return nil
}

// readNameless reads changed entries that have no anchor: people among them are a
// problem to be told of.
func (c *changer) readNameless() error {
	if len(c.nameless) == 0 {
		return nil
	}
	slices.Sort(c.nameless)
	g, err := c.readGroupsOnce()
	if err != nil {
		return err
	}
	base := sources.DNKey(c.o.BaseDN)
	for _, dn := range slices.Compact(c.nameless) {
		if key := sources.DNKey(dn); key != base && !strings.HasSuffix(key, ","+base) {
			continue
		}
		err := c.readMatching(g, dn, ldap.ScopeBaseObject, c.o.UserFilter)
		if err != nil && !ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) {
			return err
		}
	}
	return nil
}

func (c *changer) readMatching(g *groups, base string, scope int, filter string) error {
	q := query{base: base, filter: filter, attributes: c.wanted(c.sess)}
	if len(q.attributes) == 0 {
		q.attributes = []string{"1.1"}
	}
	res, err := c.sess.conn.Search(q.request(scope))
	if err != nil {
		return c.sess.cause(err)
	}
	for _, e := range res.Entries {
		rec, err := c.sess.record(e)
		if err != nil {
			return err
		}
		g.join(&rec)
		c.people.Add(rec)
		if anchor, err := c.o.Mapper.Anchor(rec); err == nil && c.found != nil {
			c.found[anchor] = true
		}
	}
	return nil
}

// readGroupsOnce reads the memberships that people are mapped with. Where a full read
// would leave roles as they are because of a fault, a delta is none at all.
func (c *changer) readGroupsOnce() (*groups, error) {
	if c.groups == nil {
		g := c.readGroups(c.sess)
		if g.fault != "" {
			return g, &oddAnswerError{g.fault, "the next full read tells more"}
		}
		c.groups = g
	}
	return c.groups, nil
}

// findByGroups suspects those who came into a group or left one since the mark.
func (c *changer) findByGroups() error {
	if c.anyGroup() {
		if c.groupSeen {
			c.full = "a group was changed, and the mapping reads all groups of a person; a role rule that names its groups would not need a full read"
		}
		return nil
	}
	if len(c.groupNames) == 0 && len(filterGroups(c.o.UserFilter)) == 0 {
		return nil
	}
	if there, err := c.namedAreThere(); err != nil || there && !c.groupSeen {
		return err
	}
	g, err := c.readGroupsOnce()
	if err != nil {
		return err
	}
	if c.next.Groups, err = c.watch(c.sess, g); err != nil {
		return err
	}
	for _, now := range c.next.Groups {
		i := slices.IndexFunc(c.old.Groups, func(w watched) bool { return w.Group == now.Group })
		members, ok := []string(nil), false
		if i >= 0 {
			members, ok = c.old.Groups[i].moved(now)
		}
		if !ok {
			c.full = fmt.Sprintf("%s was changed, and had more members than are kept to tell who left it", sources.Printable(now.Group))
			return nil
		}
		if err := c.suspectMembers(now, members); err != nil {
			return err
		}
	}
	return nil
}

// namedAreThere tells whether all named groups can be seen; one that cannot is asked for
// its members every time.
func (c *changer) namedAreThere() (bool, error) {
	for _, dn := range c.groupNames {
		e, err := c.sess.entry(dn, "(objectClass=*)", "1.1")
		if err != nil {
			if refused, ok := errors.AsType[*ldap.Error](err); ok && refused.ResultCode < 200 {
				return false, nil
			}
			return false, err
		}
		if e == nil {
			return false, nil
		}
	}
	return true, nil
}

// suspectMembers finds people by how a group names them.
func (c *changer) suspectMembers(group watched, members []string) error {
	if strings.HasPrefix(group.Group, "(") {
		for _, anchor := range members {
			c.suspect(anchor, "")
		}
		return nil
	}
	for _, m := range members {
		base, scope, filter := m, ldap.ScopeBaseObject, c.o.UserFilter
		if c.o.Groups.MembershipAttribute == "memberUid" {
			base, scope, filter = c.o.BaseDN, ldap.ScopeWholeSubtree, "(uid="+ldap.EscapeFilter(m)+")"
		}
		name, _, _ := c.o.Mapper.AnchorAttribute()
		res, err := c.sess.conn.Search(query{base: base, filter: filter, attributes: []string{name}}.request(scope))
		if ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax, ldap.LDAPResultReferral) {
			continue // renamed since, which is a change of his own, or not a person's DN
		}
		if err != nil {
			return c.sess.cause(err)
		}
		for _, e := range res.Entries {
			rec, err := c.sess.record(e)
			if err != nil {
				return err
			}
			anchor, err := c.o.Mapper.Anchor(rec)
			if err != nil {
				anchor = ""
			}
			c.suspect(anchor, e.DN)
		}
	}
	return nil
}
