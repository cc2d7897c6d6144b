package ldap

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/sources"
)

// Snapshot reads all people below the base that match the user filter. The
// error is set only if nothing can be used: no server, a refused bind, a base
// that does not exist, names the directory does not know. Whatever came of a
// read that was cut short or limited is in an incomplete Snapshot. Those for whom
// known, if not nil, says yes are counted and left out.
func (s *Source) Snapshot(ctx context.Context, known func(identity.Identity) bool) (identity.Snapshot, error) {
	c := sources.NewCollector(s.o.Mapper, known)
	sess, err := s.connect(ctx)
	if err != nil {
		return identity.Snapshot{}, err
	}
	defer sess.close()
	root, err := s.prepare(sess, c.Doubt)
	if err != nil {
		return identity.Snapshot{}, err
	}
	m := s.beginMark(sess, root)
	g := s.readGroups(sess)
	if g.fault != "" && s.o.Mapper.GroupsDecide() {
		c.Doubt(g.fault)
	}
	m.watch(sess, g)
	watch := canaryWatch{}
	if err := s.findCanary(sess, &watch); err != nil {
		c.Doubt(s.sentence("look for the canary "+sources.Printable(s.o.Canary), err))
	}
	if err := s.readPeople(sess, c, g, &watch, m); err != nil {
		return identity.Snapshot{}, err
	}
	if msg := watch.verdict(s.o.Canary); msg != "" {
		c.Doubt(msg)
	}
	snap := c.Snapshot(root.directory(s.o.BaseDN))
	if snap.Complete {
		snap.Mark = m.seal()
	}
	return snap, nil
}

// prepare reads what the server says of itself and compares names.
func (s *Source) prepare(sess *session, doubt func(string)) (rootInfo, error) {
	root, err := sess.root()
	if err != nil {
		return root, s.failed("read the root entry", err)
	}
	if err := s.refuseCatalog(sess, root); err != nil {
		return root, err
	}
	known, names, err := sess.schema(root)
	switch {
	case err != nil:
		return root, s.failed("read the schema", err)
	case known == nil:
		doubt("the schema cannot be read, so that a misspelt attribute in the filter would look like an empty directory; let " + s.o.BindDN + " read the subschema entry")
		return root, nil
	}
	sess.names = known
	return root, s.checkSchema(known, names)
}

// failed words an error that ends a read.
func (s *Source) failed(what string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("source %s: %s: %w", s.o.Name, what, err)
	}
	cause, hint, _ := s.explain(err)
	return fmt.Errorf("source %s: %s: %w; %s", s.o.Name, what, &explained{cause, err}, hint)
}

// sentence words an error that costs a read its proof.
func (s *Source) sentence(what string, err error) string {
	cause, hint, _ := s.explain(err)
	return fmt.Sprintf("could not %s: %s; %s", what, cause, hint)
}

// readPeople walks the people into the collector. The error is set if the
// first page failed or the context ended.
func (s *Source) readPeople(sess *session, c *sources.Collector, g *groups, watch *canaryWatch, m *opening) error {
	q := query{base: s.o.BaseDN, filter: s.o.UserFilter, attributes: s.wanted(sess), pageSize: s.o.PageSize}
	if s.o.Mapper.HasPictures() {
		q.pageSize = min(q.pageSize, picturePage)
	}
	if s.o.WithoutPaging {
		q.pageSize = 0
	}
	if m.stamp() != "" {
		q.attributes = with(q.attributes, m.stamp())
	}
	if len(q.attributes) == 0 {
		q.attributes = []string{"1.1"} // none; an empty list would mean all
	}
	st, err := sess.walk(q, func(entries []*ldap.Entry) error {
		for i, e := range entries {
			entries[i] = nil // mapped entries need not wait for the page's end
			rec, err := s.person(sess, e)
			if err != nil {
				if sess.ctx.Err() != nil {
					return sess.ctx.Err()
				}
				c.Unreadable(e.DN, oneLine(err))
				c.Doubt("could not read " + sources.Printable(e.DN) + ": " + oneLine(err))
				continue
			}
			g.join(&rec)
			if sess.ctx.Err() != nil {
				return sess.ctx.Err()
			}
			watch.saw(e.DN)
			m.saw(rec)
			c.Add(rec)
		}
		return nil
	})
	if st.referrals > 0 {
		s.log.InfoContext(sess.ctx, "referrals were not followed", "source", s.o.Name, "count", st.referrals)
	}
	if sess.ctx.Err() != nil {
		return fmt.Errorf("source %s: read people: %w", s.o.Name, sess.ctx.Err())
	}
	if err != nil && c.Entries() == 0 && !limited(err) {
		return s.failed(fmt.Sprintf("read people below %s", s.o.BaseDN), err)
	}
	s.judge(c, st, err)
	return nil
}

// judge doubts a read by how it ended.
func (s *Source) judge(c *sources.Collector, st stats, err error) {
	cause, hint := "", ""
	if err != nil {
		cause, hint, _ = s.explain(err)
	}
	switch {
	case errors.Is(err, errEndless):
		c.Doubt(fmt.Sprintf("%s after %d entries; %s", cause, st.entries, hint))
	case limited(err):
		c.Doubt(fmt.Sprintf("the server stopped after %d entries: %s; %s", st.entries, cause, hint))
	case err != nil:
		c.Doubt(fmt.Sprintf("reading ended after %d entries on page %d: %s; %s", st.entries, st.pages+1, cause, hint))
	case st.ignored:
		c.Doubt(fmt.Sprintf("the server ignores paging, so that %d entries cannot be told from a cut list; set server_without_paging if it never limits results", st.entries))
	case s.o.WithoutPaging && atKnownCap(st.entries):
		c.Doubt(fmt.Sprintf("exactly %d entries came without paging, which looks like a size limit; ask for the limit at the server, or use paging", st.entries))
	case st.elsewhere != "":
		c.Doubt(referred(st.elsewhere))
	case st.entries == 0:
		c.Doubt(fmt.Sprintf("nobody below %s matches the user filter; check filter and rights of %s", s.o.BaseDN, s.o.BindDN))
	}
}

// atKnownCap tells numbers that size limits are made of: 500, 1000, 1500, 2000, 5000,
// 10000 and 15000 are those that servers come with, and administrators choose round ones.
func atKnownCap(n int) bool { return n > 0 && n%500 == 0 }

// canaryWatch follows the canary through a read.
type canaryWatch struct {
	asked, found bool
	people       map[string]bool // DNKey of canaries that match the user filter: seen in the read?
	own          string          // DN of the bind account, if it stands in for a canary that is not configured
}

// findCanary looks for the canary by itself, before the read.
func (s *Source) findCanary(sess *session, w *canaryWatch) error {
	if s.o.Canary == "" {
		return s.findOwn(sess, w)
	}
	var dns []string
	if strings.HasPrefix(s.o.Canary, "(") {
		q := query{base: s.o.BaseDN, filter: s.o.Canary, attributes: []string{"1.1"}}.request(ldap.ScopeWholeSubtree, sess.scope()...)
		q.SizeLimit = 1
		res, err := sess.search(q)
		if err != nil && !ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) {
			return sess.cause(err)
		}
		for _, e := range res.Entries {
			dns = append(dns, e.DN)
		}
	} else {
		e, err := sess.entry(s.o.Canary, "(objectClass=*)", "1.1")
		if err != nil && !ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) {
			return err
		}
		if e != nil {
			dns = append(dns, e.DN)
		}
	}
	w.asked, w.found, w.people = true, len(dns) > 0, map[string]bool{}
	base := sources.DNKey(s.o.BaseDN)
	for _, dn := range dns {
		if key := sources.DNKey(dn); key != base && !strings.HasSuffix(key, ","+base) {
			continue // outside the base, so no business of the read
		}
		e, err := sess.entry(dn, s.o.UserFilter, "1.1")
		if err != nil {
			return err
		}
		if e != nil {
			w.people[sources.DNKey(dn)] = false
		}
	}
	return nil
}

func (w *canaryWatch) saw(dn string) {
	if len(w.people) == 0 {
		return
	}
	if key := sources.DNKey(dn); !w.people[key] {
		if _, ok := w.people[key]; ok {
			w.people[key] = true
		}
	}
}

// verdict is "" or the reason why the read cannot be believed.
func (w *canaryWatch) verdict(canary string) string {
	if !w.asked {
		return ""
	}
	if !w.found {
		return fmt.Sprintf("the canary %s is not in the directory; check the rights of the bind account, or change canary", sources.Printable(canary))
	}
	for _, seen := range w.people {
		if !seen && w.own != "" {
			return fmt.Sprintf("the bind account %s matches the user filter, but the read did not find it; the server's answer is not whole", sources.Printable(w.own))
		}
		if !seen {
			return fmt.Sprintf("the canary %s exists, but the read did not find it; the server's answer is not whole", sources.Printable(canary))
		}
	}
	return ""
}
