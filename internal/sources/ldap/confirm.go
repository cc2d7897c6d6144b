package ldap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/sources"
)

// confirmBatch is how many anchors one filter names; far below every size limit.
const confirmBatch = 100

// Confirm asks the directory for each anchor by itself, with the user filter
// and without. Only where a search for somebody who is there succeeds in the
// same session does an empty answer mean gone, and only where another server, if one is
// named, says the same (see [Source.second]); any error or doubt is unknown.
// The error says why all of them are, or some.
func (s *Source) Confirm(ctx context.Context, anchors []string) (map[string]identity.Presence, error) {
	out := make(map[string]identity.Presence, len(anchors))
	for _, a := range anchors {
		out[a] = identity.PresenceUnknown
	}
	if len(anchors) == 0 {
		return out, nil
	}
	name, guid, ok := s.o.Mapper.AnchorAttribute()
	if !ok {
		return out, fmt.Errorf("source %s: the anchor is computed, so that nobody can be searched for by it; set id_attribute to one attribute, or to its guid()", s.o.Name)
	}
	sess, err := s.connect(ctx)
	if err != nil {
		return out, err
	}
	defer sess.close()
	if _, err := s.prepare(sess, func(string) {}); err != nil {
		return out, err
	}
	c := confirmer{s, sess, name, guid}
	if err := c.witness(); err != nil {
		return out, fmt.Errorf("source %s: %w", s.o.Name, err)
	}
	err = c.all(ctx, anchors, out)
	if alone := s.second(ctx, c, out); err != nil && alone != nil {
		err = fmt.Errorf("%w; and %w", err, alone)
	} else if alone != nil {
		err = alone
	}
	return out, err
}

// all settles anchors, or some of them.
func (c confirmer) all(ctx context.Context, anchors []string, out map[string]identity.Presence) error {
	var errs []error
	told := false
	for list := range slices.Chunk(anchors, confirmBatch) {
		err := c.batch(list, out)
		_, away := errors.AsType[*referredError](err)
		switch {
		case err == nil || away && told:
			continue // the others may be found
		case away:
			told = true
			errs = append(errs, fmt.Errorf("source %s: confirm who is missing: %w", c.o.Name, err))
			continue
		}
		errs = append(errs, c.failed("confirm who is missing", err))
		if ctx.Err() != nil || !limited(err) {
			break
		}
	}
	return errors.Join(errs...)
}

// Place tells whether there is an entry at a DN, or none that may be seen. Only where
// the same session shows the base is noSuchObject (RFC 4511, 4.1.9) believed.
func (s *Source) Place(ctx context.Context, dn string) (bool, error) {
	sess, err := s.connect(ctx)
	if err != nil {
		return false, err
	}
	defer sess.close()
	e, err := sess.entry(dn, "(objectClass=*)", "1.1")
	switch {
	case err == nil && e != nil:
		return true, nil
	case err == nil:
		return false, fmt.Errorf("source %s: %s is not shown", s.o.Name, sources.Printable(dn))
	case !ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject):
		return false, s.failed("look for "+sources.Printable(dn), err)
	}
	base, err := sess.entry(s.o.BaseDN, "(objectClass=*)", "1.1")
	if err != nil {
		return false, s.failed("look for the base", err)
	}
	if base == nil {
		return false, fmt.Errorf("source %s: the base is not shown any more", s.o.Name)
	}
	return false, nil
}

type confirmer struct {
	*Source
	sess *session
	name string
	guid bool
}

// equals makes the filter for one anchor.
func (c confirmer) equals(anchor string) (string, bool) {
	if !c.guid {
		return "(" + c.name + "=" + ldap.EscapeFilter(anchor) + ")", anchor != ""
	}
	wire, ok := sources.GUIDBytes(anchor)
	if !ok {
		return "", false
	}
	var b strings.Builder
	for _, x := range wire {
		fmt.Fprintf(&b, `\%02x`, x)
	}
	return "(" + c.name + "=" + b.String() + ")", true
}

// witness proves that a search by anchor finds somebody who is there, and that
// the canary is.
func (c confirmer) witness() error {
	var watch canaryWatch
	if err := c.findCanary(c.sess, &watch); err != nil {
		return errors.New(c.sentence("look for the canary", err))
	}
	if watch.asked && !watch.found {
		return errors.New(watch.verdict(c.o.Canary))
	}
	q := query{base: c.o.BaseDN, filter: c.o.UserFilter, attributes: []string{c.name}}.request(ldap.ScopeWholeSubtree, c.sess.scope()...)
	q.SizeLimit = 1
	res, err := c.sess.search(q)
	if err != nil && !ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) {
		return c.failed("look for anybody", c.sess.cause(err))
	}
	if len(res.Entries) == 0 {
		return errors.New("nobody matches the user filter, so that the answers about the missing prove nothing; check filter and rights")
	}
	who := sources.Printable(res.Entries[0].DN)
	anchor := ""
	rec, err := c.sess.record(res.Entries[0])
	if err == nil {
		anchor, err = c.o.Mapper.Anchor(rec)
	}
	if err != nil {
		return fmt.Errorf("the anchor of %s cannot be read, so that the answers about the missing prove nothing", who)
	}
	found, _, err := c.search(c.o.UserFilter, []string{anchor})
	if err != nil {
		return c.failed("look for "+who+" by its anchor", err)
	}
	if !found[anchor] {
		return fmt.Errorf("a search by %s does not find %s, who is there; the attribute is not searchable for %s", c.name, who, c.o.BindDN)
	}
	return nil
}

// batch settles up to confirmBatch anchors, or none of them but those that are found.
func (c confirmer) batch(anchors []string, out map[string]identity.Presence) error {
	inScope, away, err := c.search(c.o.UserFilter, anchors)
	if err != nil {
		return err
	}
	var missing []string
	for _, a := range anchors {
		if inScope[a] {
			out[a] = identity.PresencePresent
		} else if _, ok := c.equals(a); ok {
			missing = append(missing, a)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	anywhere, also, err := c.search("", missing)
	if err != nil {
		return err
	}
	base, err := c.sess.entry(c.o.BaseDN, "(objectClass=*)", "1.1")
	if err != nil || base == nil {
		return errors.Join(err, errors.New("the base is not shown any more"))
	}
	if away = cmp.Or(away, also); away != "" {
		return &referredError{away}
	}
	for _, a := range missing {
		if out[a] = identity.PresenceGone; anywhere[a] {
			out[a] = identity.PresenceOutOfScope
		}
	}
	return nil
}

// search finds which anchors occur below the base. away is a reference to another server
// that may have more of them.
func (c confirmer) search(filter string, anchors []string) (found map[string]bool, away string, err error) {
	entries, away, err := c.ask(filter, anchors)
	if err != nil {
		return nil, "", err
	}
	found, strange, err := c.whose(entries, anchors)
	if err != nil || !strange {
		return found, away, err
	}
	for i, a := range anchors {
		if found[a] {
			continue
		}
		one, also, err := c.ask(filter, anchors[i:i+1])
		if err != nil {
			return nil, "", err
		}
		found[a], away = len(one) > 0, cmp.Or(away, also)
	}
	return found, away, nil
}

// ask reads the entries that have any of the anchors.
func (c confirmer) ask(filter string, anchors []string) (entries []*ldap.Entry, away string, err error) {
	var b strings.Builder
	for _, a := range anchors {
		if f, ok := c.equals(a); ok {
			b.WriteString(f)
		}
	}
	if b.Len() == 0 {
		return nil, "", nil
	}
	q := query{base: c.o.BaseDN, filter: "(&" + filter + "(|" + b.String() + "))", attributes: []string{c.name}}
	res, err := c.sess.search(q.request(ldap.ScopeWholeSubtree, c.sess.scope()...))
	if err != nil {
		return nil, "", c.sess.cause(err)
	}
	return res.Entries, c.sess.elsewhere(q.base, res.Referrals), nil
}

// whose tells which of the anchors that were asked for the entries bear. The server
// compares by the attribute's rule (RFC 4517 4.2), and any of its values will do, while an
// anchor is the first as it is spelled. strange is an entry that bears none of them as far
// as can be told here: each has to be asked for alone then.
func (c confirmer) whose(entries []*ldap.Entry, asked []string) (found map[string]bool, strange bool, err error) {
	spelled := make(map[string][]string, len(asked))
	for _, a := range asked {
		spelled[folded(a)] = append(spelled[folded(a)], a)
	}
	found = make(map[string]bool, len(entries))
	for _, e := range entries {
		rec, err := c.sess.record(e)
		if err != nil {
			return nil, false, err
		}
		var bears []string
		if !c.guid {
			bears = rec.Values(c.name)
		}
		if anchor, err := c.o.Mapper.Anchor(rec); err == nil {
			bears = append(slices.Clone(bears), anchor)
		}
		known := false
		for _, v := range bears {
			for _, a := range spelled[folded(v)] {
				found[a], known = true, true
			}
		}
		strange = strange || !known
	}
	return found, strange, nil
}

// folded is a value without what caseIgnoreMatch leaves out of account (RFC 4518 2), but
// for Unicode's forms.
func folded(v string) string { return strings.ToLower(strings.Join(strings.Fields(v), " ")) }
