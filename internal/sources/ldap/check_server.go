package ldap

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/sources"
)

const (
	// endsSoon is how long before a certificate ends doctor warns of it.
	endsSoon = 30 * 24 * time.Hour
	// maxSkew is a difference of clocks that no rule of time notices. Seconds are
	// Kerberos's bound and Active Directory's own, 5 minutes.
	maxSkew = 5 * time.Minute
	// probeLimit bounds the search by which a size limit is found.
	probeLimit = 5001
)

// checkCertificate tells until when the chain of a server is good, and its pin.
func (s *Source) checkCertificate(e endpoint, t tls.ConnectionState, c *checks) {
	leaf := t.PeerCertificates[0]
	day := func(x *x509.Certificate) string { return x.NotAfter.UTC().Format(time.DateOnly) }
	text := fmt.Sprintf("the certificate of %s is valid until %s, signed by %s; its pin is %s", e.url, day(leaf), sources.Printable(leaf.Issuer.String()), pinOf(leaf))
	first := leaf
	for _, chain := range t.VerifiedChains {
		for _, x := range chain {
			if x.NotAfter.Before(first.NotAfter) {
				first = x
			}
		}
	}
	switch {
	case time.Until(leaf.NotAfter) < endsSoon:
		c.warn("tls", text, "renew it before "+day(leaf)+": no run reads anybody from then on")
	case time.Until(first.NotAfter) < endsSoon:
		c.warn("tls", text, "the authority "+sources.Printable(first.Subject.String())+" ends before it, on "+day(first)+": renew that")
	default:
		c.ok("tls", text)
	}
	if s.own == nil {
		return
	}
	if pair, _, err := s.own.load(time.Now()); err == nil {
		if text := "the client certificate " + sources.Printable(pair.Leaf.Subject.String()) + " is valid until " + day(pair.Leaf); time.Until(pair.Leaf.NotAfter) < endsSoon {
			c.warn("client tls", text, "put a new one into certificate_file and private_key_file")
		} else {
			c.ok("client tls", text)
		}
	}
}

// checkKind tells what the server is and what follows from it.
func (s *Source) checkKind(sess *session, c *checks) portrait {
	p, err := sess.portray()
	if err != nil {
		c.warn("server", s.sentence("read the root entry", err), "")
		return p
	}
	told := map[string]bool{}
	for _, e := range append(slices.Clone(s.urls), endpoint{url: sess.url, network: "tcp", host: sess.host}) { // that may be from DNS
		if !e.catalog() || told[e.url] {
			continue
		}
		told[e.url] = true
		c.warn("server", fmt.Sprintf("%s is the global catalog: it holds a part of the attributes, and of memberOf only universal groups; a value it lacks looks like one that was removed", e.url),
			"use port 636 of a domain controller (389 with starttls)")
	}
	c.ok("server", sources.Printable(p.words))
	if at, before, after, ok := sess.clock(p); ok {
		// The time is told in whole seconds, so that the middle of the second is the guess.
		skew := at.Add(500 * time.Millisecond).Sub(before.Add(after.Sub(before) / 2)).Round(time.Second)
		switch {
		case skew.Abs() <= maxSkew:
			c.ok("clock", "the server's clock and this machine's differ by less than 5 minutes")
		case skew < 0:
			c.warn("clock", fmt.Sprintf("the server's clock is %s behind this machine's", -skew), "set both by NTP: rules of time, and what changed since, are judged by them")
		default:
			c.warn("clock", fmt.Sprintf("the server's clock is %s ahead of this machine's", skew), "set both by NTP: rules of time, and what changed since, are judged by them")
		}
	}
	return p
}

// checkLimits finds out where the server cuts an answer, and what it says of it.
func (s *Source) checkLimits(sess *session, p portrait, announced, known bool, c *checks) {
	n, cut, err := s.unpaged(sess)
	switch {
	case err != nil:
		c.warn("limits", s.sentence("search without paging", err), "")
	case cut && s.o.WithoutPaging:
		c.fail("limits", fmt.Sprintf("a search without paging is cut after %d entries, and server_without_paging is set", n), "remove server_without_paging; or have the size limit of "+s.o.BindDN+" lifted")
	case cut:
		c.ok("limits", fmt.Sprintf("a search without paging is cut after %d entries; mmsync pages, so that it does not count", n))
	case n >= probeLimit:
		c.ok("limits", fmt.Sprintf("a search without paging gives more than %d entries", probeLimit-1))
	default:
		c.ok("limits", fmt.Sprintf("a search without paging is not cut: %d entries", n))
	}
	s.checkPaging(sess, announced, known, c)
	switch p.kind {
	case kindAD:
		s.checkQueryPolicy(sess, p, c)
	case kind389:
		s.checkLookThrough(sess, c)
	case kindUnknown, kindOpenLDAP:
	}
}

// unpaged counts what a search without paging gives, and tells whether the server's own
// limit ended it.
func (s *Source) unpaged(sess *session) (n int, cut bool, err error) {
	q := query{base: s.o.BaseDN, filter: s.o.UserFilter, attributes: []string{"1.1"}}.request(ldap.ScopeWholeSubtree)
	q.SizeLimit = probeLimit
	res, err := sess.search(q)
	if err != nil && !limited(err) {
		return 0, false, sess.cause(err)
	}
	return len(res.Entries), err != nil && len(res.Entries) < probeLimit, nil
}

// firstPage asks for one page and tells how many entries came, and whether the server
// pages at all.
func (s *Source) firstPage(sess *session, size int) (n int, more, pages bool, err error) {
	q := query{base: s.o.BaseDN, filter: s.o.UserFilter, attributes: []string{"1.1"}}
	res, err := sess.search(q.request(ldap.ScopeWholeSubtree, ldap.NewControlPaging(uint32(size)))) //nolint:gosec // New bounds it
	if err != nil {
		return 0, false, false, sess.cause(err)
	}
	answer, ok := ldap.FindControl(res.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
	return len(res.Entries), ok && len(answer.Cookie) > 0, ok, nil
}

func (s *Source) checkPaging(sess *session, announced, known bool, c *checks) {
	if s.o.WithoutPaging {
		c.warn("paging", "paging is switched off, so that a cut list cannot be told from a whole one", "remove server_without_paging if the server can page")
		return
	}
	n, more, pages, err := s.firstPage(sess, s.o.PageSize)
	switch {
	case err == nil && !pages:
		c.warn("paging", "the server ignores paging, so that no read of it proves that somebody is absent", "declare server_without_paging if it never limits results")
	case err == nil && more && n < s.o.PageSize:
		c.ok("paging", fmt.Sprintf("pages of %d entries, which is the server's limit; %d are asked for", n, s.o.PageSize))
	case err == nil:
		c.ok("paging", fmt.Sprintf("pages of %d entries", s.o.PageSize))
	case known && !announced:
		c.warn("paging", "the server does not announce paging", "declare server_without_paging if it never limits results")
	default:
		text := s.sentence(fmt.Sprintf("read a page of %d entries", s.o.PageSize), err)
		for size := s.o.PageSize / 2; size >= 10 && refusal(err); size /= 2 {
			if _, _, ok, err := s.firstPage(sess, size); err == nil && ok {
				c.fail("paging", text, fmt.Sprintf("set max_page_size: %d, which the server takes", size))
				return
			}
		}
		c.fail("paging", text, "allow "+s.o.BindDN+" to page; until then nobody is deactivated for being absent")
	}
}

// checkQueryPolicy shows Active Directory's limits, which every account may read.
func (s *Source) checkQueryPolicy(sess *session, p portrait, c *checks) {
	e, err := sess.entry(adPolicy+p.value("configurationNamingContext"), "(objectClass=*)", "lDAPAdminLimits")
	if err != nil || e == nil {
		c.ok("limits", "the domain's query policy is not shown to "+s.o.BindDN+"; as delivered it is MaxPageSize 1000, MaxValRange 1500, MaxQueryDuration 120 s")
		return
	}
	var shown []string
	for _, line := range slices.Sorted(slices.Values(e.GetEqualFoldAttributeValues("lDAPAdminLimits"))) {
		name, value, _ := strings.Cut(line, "=")
		if slices.Contains([]string{"MaxPageSize", "MaxValRange", "MaxQueryDuration", "MaxResultSetSize", "MaxTempTableSize"}, name) {
			shown = append(shown, name+" "+value)
		}
	}
	c.ok("limits", "the domain's query policy is "+sources.Printable(strings.Join(shown, ", ")))
}

// checkLookThrough shows 389's limit of entries looked at for one search, which ends a
// paged read as well.
func (s *Source) checkLookThrough(sess *session, c *checks) {
	const names = "nsslapd-lookthroughlimit nsslapd-pagedlookthroughlimit"
	e, err := sess.entry(dbConfig, "(objectClass=*)", strings.Fields(names)...)
	limit := ""
	if err == nil && e != nil {
		if limit = e.GetEqualFoldAttributeValue("nsslapd-pagedlookthroughlimit"); limit == "" || limit == "0" {
			limit = e.GetEqualFoldAttributeValue("nsslapd-lookthroughlimit")
		}
	}
	switch limit {
	case "":
		c.ok("limits", "the look-through limit is not shown to "+s.o.BindDN+"; as delivered it is 5000 entries, pages included, unless nsPagedLookThroughLimit of that account is -1")
	case "-1":
		c.ok("limits", "there is no look-through limit")
	default:
		c.ok("limits", fmt.Sprintf("the look-through limit is %s entries, pages included, unless nsPagedLookThroughLimit of %s says otherwise", sources.Printable(limit), s.o.BindDN))
	}
}
