package ldap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// endpoint is one server, or a name under which DNS lists servers.
type endpoint struct {
	url     string // as configured or found, for messages
	network string // tcp, or unix for ldapi://
	host    string // host:port, or the path of the socket
	name    string // for the certificate
	tls     bool
	// srv is what stands behind _ldap._tcp. of the record to look up (RFC 2782); the
	// fields above but url are empty then.
	srv string
}

// catalog tells the ports of Active Directory's global catalog.
func (e endpoint) catalog() bool {
	return e.network == "tcp" && (strings.HasSuffix(e.host, ":3268") || strings.HasSuffix(e.host, ":3269"))
}

// passedOver is how long a server that failed is tried after the others. It costs a
// whole timeout to find out again that a server is frozen.
const passedOver = 5 * time.Minute

// failures remember which servers were of no use, and until when.
type failures struct {
	mu    sync.Mutex
	until map[string]time.Time // by endpoint.host
}

func (f *failures) note(host string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.until == nil {
		f.until = map[string]time.Time{}
	}
	f.until[host] = now.Add(passedOver)
}

func (f *failures) forget(host string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.until, host)
}

func (f *failures) recent(host string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return now.Before(f.until[host])
}

// checkURLs parses the addresses and refuses to send a password in clear.
func (s *Source) checkURLs(fault faultFunc) {
	if !slices.Contains([]string{SecurityNone, SecurityTLS, SecurityStartTLS}, s.o.Security) {
		fault("connection_security %q is unknown; it is empty, tls or starttls", s.o.Security)
	}
	if len(s.o.URLs) == 0 {
		fault("no server is named; give at least one URL, such as ldaps://dc1.example.com")
	}
	for _, raw := range s.o.URLs {
		if path, ok := strings.CutPrefix(raw, "ldapi://"); ok {
			if path, err := url.PathUnescape(path); err == nil && strings.HasPrefix(path, "/") {
				s.urls = append(s.urls, endpoint{url: raw, network: "unix", host: path})
				continue
			}
			fault("the URL %q is not of the form ldapi:///run/slapd/ldapi", raw)
			continue
		}
		u, err := url.Parse(raw)
		if err != nil || u.Hostname() == "" || !slices.Contains([]string{"ldap", "ldaps", "srv"}, u.Scheme) || u.User != nil || strings.Trim(u.Path, "/") != "" {
			fault("the URL %q is not of the form ldap://host:port, ldaps://host:port or srv://domain", redacted(u, raw))
			continue
		}
		if s.o.Security == SecurityStartTLS && u.Scheme == "ldaps" {
			fault("%s is encrypted from the start, so starttls cannot be; use ldap:// with starttls, or ldaps:// alone", raw)
			continue
		}
		if u.Scheme == "srv" && u.Port() != "" {
			fault("%s has a port, but DNS tells the ports of srv:// addresses", raw)
			continue
		}
		e := s.endpoint(u.Scheme, u.Hostname(), u.Port())
		if !e.tls && s.o.Security != SecurityStartTLS && !loopback(u.Hostname()) && !s.o.AllowCleartext {
			fault("%s would send the password in clear; use ldaps:// or connection_security: starttls", raw)
		}
		s.urls = append(s.urls, e)
	}
}

func (s *Source) endpoint(scheme, host, port string) endpoint {
	e := endpoint{url: scheme + "://" + host, network: "tcp", name: s.o.ServerName, tls: scheme == "ldaps" || s.o.Security == SecurityTLS}
	if strings.Contains(host, ":") {
		e.url = scheme + "://[" + host + "]"
	}
	if port != "" {
		e.url += ":" + port
	}
	if scheme == "srv" {
		return endpoint{url: e.url, tls: e.tls, srv: strings.TrimSuffix(host, ".")}
	}
	if port == "" {
		if port = "389"; e.tls {
			port = "636"
		}
	}
	if e.name == "" {
		e.name = host
	}
	e.host = net.JoinHostPort(host, port)
	return e
}

// redacted gives a URL without a password that somebody put into it.
func redacted(u *url.URL, raw string) string {
	if u != nil {
		return u.Redacted()
	}
	if strings.Contains(raw, "@") {
		return "…"
	}
	return raw
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// servers lists whom to try, in order: as configured, those of a DNS record by its
// priorities and weights, and those that failed lately behind all others. A name that
// cannot be looked up is passed over unless it leaves nobody.
func (s *Source) servers(ctx context.Context) ([]endpoint, error) {
	list, failed := s.lookUp(ctx)
	if len(list) == 0 {
		return nil, failed
	}
	return list, nil
}

// lookUp is servers, with an error for the names that could not be looked up.
func (s *Source) lookUp(ctx context.Context) (list []endpoint, failed error) {
	var errs []error
	for _, e := range s.urls {
		if e.srv == "" {
			list = append(list, e)
			continue
		}
		found, err := s.listed(ctx, e)
		if err != nil {
			errs = append(errs, err)
			s.log.WarnContext(ctx, "servers could not be looked up", "source", s.o.Name, "url", e.url, "error", err)
			continue
		}
		list = append(list, found...)
	}
	now := time.Now()
	slices.SortStableFunc(list, func(a, b endpoint) int {
		x, y := s.unwell.recent(a.host, now), s.unwell.recent(b.host, now)
		switch {
		case x == y:
			return 0
		case y:
			return -1
		}
		return 1
	})
	return list, errors.Join(errs...)
}

// listed looks up the servers of a domain. A server outside of it is believed only under
// a name or a pin that the configuration gives: who answers for DNS would otherwise
// choose which certificate is asked for.
func (s *Source) listed(ctx context.Context, e endpoint) ([]endpoint, error) {
	const known = "check the name and this machine's DNS, or name the servers in connection_url"
	record := "_ldap._tcp." + e.srv
	bounded, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	_, records, err := s.resolver().LookupSRV(bounded, "ldap", "tcp", e.srv+".")
	if err != nil && len(records) == 0 {
		return nil, &connectError{url: e.url, err: &explained{"look up " + record + ": " + oneLine(err), err}, hint: known, again: true}
	}
	var out []endpoint
	var strange []string
	for _, r := range records {
		host := strings.TrimSuffix(r.Target, ".")
		if host == "" {
			continue // RFC 2782: the service is decidedly not available
		}
		if s.o.ServerName == "" && len(s.pins) == 0 && !within(host, domainOf(e.srv)) {
			strange = append(strange, host)
			continue
		}
		scheme := "ldap"
		if e.tls {
			scheme = "ldaps"
		}
		out = append(out, s.endpoint(scheme, host, fmt.Sprint(tlsPort(r.Port, e.tls))))
	}
	switch {
	case len(out) > 0:
		return out, nil
	case len(strange) > 0:
		return nil, &connectError{url: e.url, err: fmt.Errorf("%s names only servers outside of %s, such as %s", record, domainOf(e.srv), strange[0]), hint: "set server_name to the name in their certificates if that is meant", again: true}
	}
	return nil, &connectError{url: e.url, err: fmt.Errorf("%s names no server", record), hint: known, again: true}
}

func (s *Source) resolver() *net.Resolver {
	if s.o.Resolver != nil {
		return s.o.Resolver
	}
	return net.DefaultResolver
}

// tlsPort gives the port for TLS from the start beside one for LDAP: directories list
// only the latter (_ldap._tcp), Active Directory's global catalog among them.
func tlsPort(port uint16, encrypted bool) uint16 {
	switch {
	case encrypted && port == 389:
		return 636
	case encrypted && port == 3268:
		return 3269
	}
	return port
}

// domainOf gives the domain of a name to look up: what follows its last label with an
// underscore, as in site._sites.dc._msdcs.example.com.
func domainOf(name string) string {
	labels := strings.Split(name, ".")
	for i, l := range slices.Backward(labels) {
		if strings.HasPrefix(l, "_") {
			return strings.Join(labels[i+1:], ".")
		}
	}
	return name
}

func within(host, domain string) bool {
	host, domain = strings.ToLower(host), strings.ToLower(domain)
	return host == domain || strings.HasSuffix(host, "."+domain)
}
