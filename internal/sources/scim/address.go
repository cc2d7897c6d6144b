package scim

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// address gives the client's address: the peer's, or if that is a trusted proxy, the
// right-most one of X-Forwarded-For that is not. What stands left of it the client
// may have written himself.
func (g *Gate) address(r *http.Request) netip.Addr {
	peer, _ := netip.ParseAddrPort(r.RemoteAddr) // the zero Addr is in no network
	at := plain(peer.Addr())
	if !g.trusts(at) {
		return at
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		next, ok := parseHop(strings.TrimSpace(hop))
		if !ok {
			return at
		}
		if at = next; !g.trusts(at) {
			return at
		}
	}
	return at
}

func (g *Gate) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(g.o.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(a) })
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

// network is what one client can have many addresses of: with IPv6 a whole /64.
func network(a netip.Addr) string {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// within tells whether an address is in one of the prefixes, or there are none. One
// that cannot be read has nobody in it.
func within(prefixes []string, a netip.Addr) bool {
	return len(prefixes) == 0 || slices.ContainsFunc(prefixes, func(text string) bool {
		p, err := netip.ParsePrefix(text)
		return err == nil && p.Contains(a)
	})
}
