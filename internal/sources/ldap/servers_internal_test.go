package ldap

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSource_servers_afterAFailure(t *testing.T) {
	t.Parallel()
	s := &Source{urls: []endpoint{{host: "a"}, {host: "b"}, {host: "c"}}}
	order := func() (out string) {
		list, err := s.servers(t.Context())
		require.NoError(t, err)
		for _, e := range list {
			out += e.host
		}
		return out
	}
	require.Equal(t, "abc", order())
	s.unwell.note("a", time.Now())
	require.Equal(t, "bca", order())
	s.unwell.note("b", time.Now())
	require.Equal(t, "cab", order(), "in the configured order among themselves")
	s.unwell.forget("a")
	require.Equal(t, "acb", order())
	s.unwell.note("b", time.Now().Add(-passedOver-time.Second))
	require.Equal(t, "abc", order(), "a while later it has its place again")
}

func TestEndpoint(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"example.com": "example.com", "dc._msdcs.example.com": "example.com", "berlin._sites.dc._msdcs.ad.example.com": "ad.example.com"} {
		require.Equal(t, want, domainOf(name))
	}
	require.True(t, within("DC1.Example.com", "example.com"))
	require.False(t, within("notexample.com", "example.com"))
	require.Equal(t, []uint16{636, 3269, 1636, 389}, []uint16{tlsPort(389, true), tlsPort(3268, true), tlsPort(1636, true), tlsPort(389, false)})
	require.True(t, (&Source{}).endpoint("ldaps", "dc1", "3269").catalog())
	require.False(t, (&Source{}).endpoint("ldaps", "dc1", "").catalog())
}
