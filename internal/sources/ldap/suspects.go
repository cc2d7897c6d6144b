package ldap

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/sources"
)

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
	res, err := c.sess.search(q)
	if err != nil && !ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) {
		return "", c.sess.cause(err)
	}
	if len(res.Entries) == 0 {
		return "nobody can be found by " + name + ", so that no change would be; let " + c.o.BindDN + " read and search it", nil
	}
	return "", nil
}
