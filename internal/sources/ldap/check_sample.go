package ldap

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/sources"
)

const (
	sampleSize = 200 // people whose values doctor looks at
	soughtSize = 20  // of them it looks for by their anchor
)

// checkSample reads some people with everything that is mapped, and the marks of change.
func (s *Source) checkSample(sess *session, p portrait, c *checks) {
	mark := "modifyTimestamp"
	if p.kind == kindAD {
		mark = "uSNChanged"
	}
	q := query{base: s.o.BaseDN, filter: s.o.UserFilter, attributes: with(s.wanted(sess), mark)}.request(ldap.ScopeWholeSubtree)
	q.SizeLimit = sampleSize
	res, err := sess.search(q)
	if err != nil && !limited(err) {
		c.warn("sample", s.sentence("read some people", sess.cause(err)), "")
		return
	}
	var out []sources.Record
	for _, e := range res.Entries {
		rec, err := s.person(sess, e)
		if err != nil {
			c.warn("sample", s.sentence("read "+sources.Printable(e.DN), err), "")
			continue
		}
		out = append(out, rec)
	}
	if len(out) > 0 {
		s.checkRestrictions(sess, out, c)
		s.checkValues(out, c)
		s.checkChangeMark(out, mark, c)
		s.checkAnchors(sess, out, c)
	}
}

// marksLeaving tells attributes that only those have who are locked, or have an end.
func marksLeaving(name string) bool {
	switch strings.ToLower(name) {
	case "nsaccountlock", "pwdaccountlockedtime", "pwdendtime", "pwdstarttime", "krbprincipalexpiration", "shadowexpire", "accountexpires", "lockouttime":
		return true
	}
	return false
}

// checkValues names mapped attributes that nobody has: a right that is missing looks the
// same as a value that is.
func (s *Source) checkValues(sample []sources.Record, c *checks) {
	var none []string
	for _, name := range s.attributes {
		if !marksLeaving(name) && !slices.ContainsFunc(sample, func(r sources.Record) bool { return len(r.Values(name)) > 0 }) {
			none = append(none, name)
		}
	}
	if len(none) > 0 {
		c.warn("values", fmt.Sprintf("of %d people nobody has a value of %s", len(sample), strings.Join(none, ", ")), "if that cannot be, let "+s.o.BindDN+" read it; otherwise correct the mapping, or leave it as it is")
	}
}

// checkRestrictions tells whether rules about who has left can be judged.
func (s *Source) checkRestrictions(sess *session, sample []sources.Record, c *checks) {
	n := 0
	for _, r := range sample {
		if r.Value(accountControl) == "" {
			n++
		}
	}
	if restricted, err := s.restricted(sess); n > 0 && err == nil && restricted {
		c.fail("leavers", fmt.Sprintf("%d of %d people are shown without %s, so that nobody can tell who of them is disabled", n, len(sample), accountControl),
			s.showRestrictions()+"; until then these people are held as they are")
	}
}

// checkChangeMark tells whether the account sees what a reading of changes goes by.
func (s *Source) checkChangeMark(sample []sources.Record, mark string, c *checks) {
	n := 0
	for _, r := range sample {
		if len(r.Values(mark)) > 0 {
			n++
		}
	}
	if n < len(sample) {
		c.warn("changes", fmt.Sprintf("%d of %d people are shown without %s, so that a change of theirs would be seen by a complete reading only", len(sample)-n, len(sample), mark),
			"let "+s.o.BindDN+" read "+mark)
	}
}

// checkAnchors looks for people by their anchor, as a run does before it believes that
// somebody is gone: each must be found, and nobody else.
func (s *Source) checkAnchors(sess *session, sample []sources.Record, c *checks) {
	name, guid, ok := s.o.Mapper.AnchorAttribute()
	if !ok {
		c.warn("anchor", "it is computed, so that nobody can be searched for by it before being deactivated for absence", "set id_attribute to one attribute, or to its guid()")
		return
	}
	confirm := confirmer{s, sess, name, guid}
	sought := 0
	for _, r := range sample[:min(soughtSize, len(sample))] {
		anchor, err := s.o.Mapper.Anchor(r)
		if err != nil || anchor == "" {
			c.fail("anchor", sources.Printable(r.Ref)+" has no "+name, "choose an id_attribute that everybody has, or let "+s.o.BindDN+" read it")
			return
		}
		filter, ok := confirm.equals(anchor)
		if !ok {
			continue // the collector tells of it
		}
		q := query{base: s.o.BaseDN, filter: filter, attributes: []string{"1.1"}}.request(ldap.ScopeWholeSubtree)
		q.SizeLimit = 2
		res, err := sess.search(q)
		if err != nil && !limited(err) {
			c.fail("anchor", s.sentence("look for "+sources.Printable(r.Ref)+" by its "+name, sess.cause(err)), "until then nobody is deactivated for being absent")
			return
		}
		switch len(res.Entries) {
		case 0:
			c.fail("anchor", fmt.Sprintf("a search by %s does not find %s, who is there", name, sources.Printable(r.Ref)), "let "+s.o.BindDN+" search by it; until then nobody is deactivated for being absent")
			return
		case 1:
			sought++
		default:
			c.fail("anchor", fmt.Sprintf("%s and %s have the same %s", sources.Printable(res.Entries[0].DN), sources.Printable(res.Entries[1].DN), name), "choose an id_attribute that is never given twice")
			return
		}
	}
	c.ok("anchor", fmt.Sprintf("%d of %d people that were tried are found by their %s, and nobody else is", sought, min(soughtSize, len(sample)), name))
}

// checkDeleted tells whether deletions can be seen in Active Directory. Without the right
// a search there succeeds and finds nothing.
func (s *Source) checkDeleted(sess *session, p portrait, c *checks) {
	if p.kind != kindAD {
		return
	}
	q := query{base: p.deleted, filter: "(objectClass=*)", attributes: []string{"1.1"}}.request(ldap.ScopeBaseObject, ldap.NewControlString(oidShowDeleted, true, ""))
	res, err := sess.search(q)
	switch {
	case err == nil && len(res.Entries) > 0:
		c.ok("deletions", sources.Printable(p.deleted)+" can be read")
	case err == nil || refusal(err):
		c.warn("deletions", sources.Printable(p.deleted)+" is not shown to "+s.o.BindDN+", so that a deletion would be seen by a complete reading only",
			fmt.Sprintf("as a domain administrator: dsacls %q /takeownership, then dsacls %q /G DOMAIN\\ACCOUNT:LCRP", p.deleted, p.deleted))
	default:
		c.warn("deletions", s.sentence("look at "+p.deleted, sess.cause(err)), "")
	}
}
