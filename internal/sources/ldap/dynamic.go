package ldap

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/mmsync/mmsync/internal/sources"
)

// memberURL holds the searches of a groupOfURLs: who is found is a member.
const memberURL = "memberURL"

// dynamicGroup is a group and its URLs.
type dynamicGroup struct {
	dn   string
	urls []string
}

// readDynamic runs the searches of dynamic groups, after all other reading: a second
// paged search would end the first one's cookie.
func (g *groups) readDynamic() {
	for _, d := range g.dynamic {
		for _, text := range d.urls {
			if err := g.run(d.dn, text); err != nil {
				g.unread("the members of the group "+sources.Printable(d.dn), err)
				return
			}
		}
	}
}

// run notes whom a URL finds as members.
func (g *groups) run(group, text string) error {
	u, err := g.s.parseMemberURL(text, g.sess.url)
	if err != nil {
		return &oddAnswerError{"its URL " + sources.Printable(text) + " " + err.Error(), "correct the group's " + memberURL}
	}
	for _, n := range u.names {
		if g.sess.names != nil && !g.sess.names.has(n) {
			return &oddAnswerError{"its URL " + sources.Printable(text) + " filters by " + sources.Printable(n) + ", which the server does not know", "correct the group's " + memberURL}
		}
	}
	q := query{base: u.base, filter: u.filter, attributes: []string{"1.1"}, pageSize: g.s.o.PageSize}
	if g.s.o.WithoutPaging {
		q.pageSize = 0
	}
	st, err := g.sess.walkIn(u.scope, q, func(entries []*ldap.Entry) error {
		for _, e := range entries {
			key := sources.DNKey(e.DN)
			if !slices.Contains(g.of[key], group) { // by another of its URLs
				g.of[key] = append(g.of[key], group)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if st.elsewhere != "" {
		return &oddAnswerError{"its URL leads to a part of the tree that the server refers elsewhere for", "name a server that holds all of it"}
	}
	if st.ignored || g.s.o.WithoutPaging && atKnownCap(st.entries) {
		return &oddAnswerError{fmt.Sprintf("the %d entries of its URL may be cut", st.entries), "check the server's size limit and paging"}
	}
	return nil
}

// memberSearch is what a URL asks for.
type memberSearch struct {
	base, filter string
	scope        int
	names        []string // of the filter
}

// parseMemberURL reads ldap://host/base?attributes?scope?filter?extensions (RFC 4516 2).
// It is never run elsewhere than on the server being read, whose URL is read, nor outside
// the configured bases: whoever may write a group could send the bind account anywhere
// otherwise.
func (s *Source) parseMemberURL(text, read string) (memberSearch, error) {
	u := memberSearch{filter: "(objectClass=*)", scope: ldap.ScopeBaseObject}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || !strings.EqualFold(scheme, "ldap") && !strings.EqualFold(scheme, "ldaps") {
		return u, fmt.Errorf("is not of the form ldap:///base??sub?filter")
	}
	host, rest, _ := strings.Cut(rest, "/")
	if !s.ownHost(host, read) {
		return u, fmt.Errorf("leads to another server, which is not asked")
	}
	parts := strings.Split(rest, "?")
	for i := range parts {
		var err error
		if parts[i], err = url.PathUnescape(parts[i]); err != nil {
			return u, fmt.Errorf("is not escaped as a URL is")
		}
	}
	parts = append(parts, "", "", "", "", "")
	u.base = parts[0]
	if !s.withinBases(u.base) {
		return u, fmt.Errorf("searches below %s, outside base_dn and groups.base_dn", sources.Printable(u.base))
	}
	if a := strings.ToLower(parts[1]); !slices.Contains([]string{"", "dn", "entrydn", "1.1"}, a) {
		return u, fmt.Errorf("asks for values of %s, where members are entries", sources.Printable(parts[1]))
	}
	switch strings.ToLower(parts[2]) {
	case "", "base":
	case "one":
		u.scope = ldap.ScopeSingleLevel
	case "sub":
		u.scope = ldap.ScopeWholeSubtree
	default:
		return u, fmt.Errorf("has the scope %s; it is base, one or sub", sources.Printable(parts[2]))
	}
	if parts[3] != "" {
		u.filter = parts[3]
	}
	var err error
	if u.names, err = filterAttributes(u.filter); err != nil {
		return u, err
	}
	if strings.Contains(parts[4], "!") {
		return u, fmt.Errorf("needs an extension that is not known")
	}
	return u, nil
}

// ownHost tells whether a URL's host is none at all, the server being read, a configured
// one, or of a domain whose servers DNS lists.
func (s *Source) ownHost(host, read string) bool {
	if host == "" {
		return true
	}
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	if u, err := url.Parse(read); err == nil && strings.EqualFold(u.Hostname(), name) {
		return true
	}
	return slices.ContainsFunc(s.urls, func(e endpoint) bool {
		if e.srv != "" {
			return within(name, domainOf(e.srv))
		}
		own, _, err := net.SplitHostPort(e.host)
		return err == nil && strings.EqualFold(own, name)
	})
}

func (s *Source) withinBases(dn string) bool {
	key := sources.DNKey(dn)
	return slices.ContainsFunc([]string{s.o.BaseDN, s.o.Groups.BaseDN}, func(base string) bool {
		b := sources.DNKey(base)
		above, ok := strings.CutSuffix(key, ","+b)
		return key == b || ok && !strings.HasSuffix(above, `\`) // that comma would be part of a value
	})
}
