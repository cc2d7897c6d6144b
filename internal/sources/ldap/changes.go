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
// An error means that nothing is known, as of a server that is away or busy. Delta.Full is
// not empty where a delta would miss something that it can tell it would, and where the
// server refuses or limits what a delta asks: a full read may do without that.
func (s *Source) Changes(ctx context.Context, text string) (identity.Delta, error) {
	began := time.Now()
	d := identity.Delta{Source: s.o.Name}
	old, err := parseMark(text)
	if err != nil {
		d.Full, d.ReadAt = "the mark cannot be read: "+oneLine(err), began
		return d, nil
	}
	sess, err := s.connectTo(ctx, old.Server)
	if err != nil {
		return identity.Delta{}, err
	}
	defer sess.close()
	c, why, err := s.newChanger(sess, old, began)
	if err == nil && why == "" {
		d, why, err = c.delta()
	}
	switch {
	case err != nil && refused(err):
		why = s.sentence("read what changed", err)
	case err != nil:
		return identity.Delta{}, s.failed("read what changed", err)
	}
	if why != "" {
		d = identity.Delta{Source: s.o.Name, Full: why}
	}
	d.ReadAt = time.Now()
	d.Took = d.ReadAt.Sub(began)
	return d, nil
}

// refused tells an answer that would be the same if it were asked for again.
func refused(err error) bool {
	if _, odd := errors.AsType[*oddAnswerError](err); odd {
		return true
	}
	if _, quiet := errors.AsType[*silentError](err); quiet {
		return false
	}
	e, ok := asLDAP(err)
	return ok && e.ResultCode < ldap.ErrorNetwork && e.ResultCode != ldap.LDAPResultBusy && e.ResultCode != ldap.LDAPResultUnavailable
}

// Read reads people by their anchors, with the user filter. Whom it leaves out is not
// shown, which proves nothing. Their groups are read as a full read does, so that those
// may not be known.
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
	root, err := sess.root()
	if err != nil {
		return nil, s.failed("read the root entry", err)
	}
	if err := s.refuseCatalog(sess, root); err != nil {
		return nil, err
	}
	c := changer{Source: s, sess: sess, people: sources.NewCollector(s.o.Mapper, nil), groups: s.readGroups(sess)}
	if err := c.read(slices.Compact(slices.Sorted(slices.Values(anchors)))); err != nil {
		return nil, s.failed("read people by their anchors", err)
	}
	return c.people.Snapshot("").Identities, nil
}

// preferring gives servers in their order, but one of them first.
func preferring(servers []endpoint, url string) []endpoint {
	out := slices.Clone(servers)
	slices.SortStableFunc(out, func(a, b endpoint) int {
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
	return out
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
	res, err := c.sess.search(q.request(scope))
	if err != nil {
		return c.sess.cause(err)
	}
	for _, e := range res.Entries {
		rec, err := c.person(c.sess, e)
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
// would leave roles as they are because of a fault, a delta is none at all: its mark would
// be behind changes of groups that it did not see.
func (c *changer) readGroupsOnce() (*groups, error) {
	if c.groups == nil {
		g := c.readGroups(c.sess)
		if g.fault != "" {
			return g, &oddAnswerError{g.fault, "until then everybody is read each time"}
		}
		c.groups = g
	}
	return c.groups, nil
}
