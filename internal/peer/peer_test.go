package peer_test

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/peer"
)

func TestProxies_Client(t *testing.T) {
	t.Parallel()
	p, err := peer.Parse([]string{"10.0.0.0/8", "fd00::/8"})
	require.NoError(t, err)
	for _, c := range []struct {
		direct string
		hops   []string
		want   string
	}{
		{"192.0.2.1:1", []string{"198.51.100.9"}, "192.0.2.1"},
		{"[::ffff:192.0.2.1]:1", nil, "192.0.2.1"},
		{"10.0.0.1:1", []string{"198.51.100.9"}, "198.51.100.9"},
		{"10.0.0.1:1", []string{"198.51.100.9, 192.0.2.1", "10.0.0.3"}, "192.0.2.1"},
		{"[fd00::1]:1", []string{"[2001:db8::1]:4711"}, "2001:db8::1"},
		{"10.0.0.1:1", []string{"198.51.100.9, unknown"}, "10.0.0.1"},
		{"10.0.0.1:1", nil, "10.0.0.1"},
	} {
		r := &http.Request{RemoteAddr: c.direct, Header: http.Header{"X-Forwarded-For": c.hops}}
		require.Equal(t, netip.MustParseAddr(c.want), p.Client(r), "%s %v", c.direct, c.hops)
	}
	require.False(t, p.Client(&http.Request{RemoteAddr: "@"}).IsValid(), "a socket without an address")
	_, err = peer.Parse([]string{"10.0.0.1"})
	require.Error(t, err)
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	require.Equal(t, "192.0.2.1", peer.Network(netip.MustParseAddr("192.0.2.1")))
	require.Equal(t, "2001:db8::/64", peer.Network(netip.MustParseAddr("2001:db8::1")))
}
