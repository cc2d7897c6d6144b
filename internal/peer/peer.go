// Package peer tells where a request comes from, behind proxies as well. It lets nobody
// in and keeps nobody out.
package peer

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are networks of proxies that are believed in what they say of the client's
// address.
type Proxies []netip.Prefix

// Parse reads CIDR prefixes.
func Parse(texts []string) (Proxies, error) {
	out := make(Proxies, len(texts))
	for i, t := range texts {
		var err error
		if out[i], err = netip.ParsePrefix(t); err != nil {
			return nil, fmt.Errorf("read a network of proxies: %w", err)
		}
	}
	return out, nil
}

// Trust tells whether an address is a proxy's.
func (p Proxies) Trust(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(n netip.Prefix) bool { return n.Contains(a) })
}

// Direct gives the other end of the connection; the zero Addr, which is in no network, if
// that has no address.
func Direct(r *http.Request) netip.Addr {
	at, _ := netip.ParseAddrPort(r.RemoteAddr)
	return plain(at.Addr())
}

// Client gives the client's address: that of the other end, or if that is a trusted
// proxy, the right-most one of X-Forwarded-For that is not. What stands left of it the
// client may have written himself.
func (p Proxies) Client(r *http.Request) netip.Addr {
	at := Direct(r)
	if !p.Trust(at) {
		return at
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		next, ok := parseHop(strings.TrimSpace(hop))
		if !ok {
			return at
		}
		if at = next; !p.Trust(at) {
			return at
		}
	}
	return at
}

// parseHop reads an address, with or without a port.
func parseHop(text string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return plain(a), true
	}
	p, err := netip.ParseAddrPort(text)
	return plain(p.Addr()), err == nil
}

// plain makes the same address look the same.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// Network is what one client can have many addresses of: with IPv6 a whole /64.
func Network(a netip.Addr) string {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}
