package page

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// plainHost is a host name or address in the one form in which it is compared.
func plainHost(host string) string {
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().String()
	}
	return host
}

// known tells whether the request names us: by the address that is listened on, by
// admin.public_url, or as this machine does. A wildcard address stands for the one
// that the request came in at, which no name of a stranger can be.
func (p *Page) known(r *http.Request) bool {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = plainHost(host)
	if p.hosts[host] {
		return true
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	if a.IsLoopback() {
		return true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	at, err := netip.ParseAddrPort(local.String())
	return err == nil && at.Addr().Unmap().WithZone("") == a
}

// ours tells whether a form was sent by one of our own pages. Browsers say so in
// Sec-Fetch-Site; those that do not say whose page it was in Origin. Our pages send no
// referrer, for which browsers write null as Origin: that alone proves nothing.
func (p *Page) ours(r *http.Request) bool {
	origin, site := r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site")
	if site != "" && site != "same-origin" {
		return false
	}
	if origin == "" || origin == "null" {
		return site == "same-origin"
	}
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	return origin == p.o.PublicURL || strings.EqualFold(u.Host, r.Host)
}
