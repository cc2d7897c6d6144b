package fetch

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDialable(t *testing.T) {
	t.Parallel()
	for _, a := range []string{"8.8.8.8:443", "[2a00:1450:4001:82a::200e]:443"} {
		require.NoError(t, dialable(a, false), a)
	}
	for _, a := range []string{
		"127.0.0.1:443", "[::1]:443", "10.1.2.3:443", "172.16.0.1:443", "192.168.1.1:443", "[fd00::1]:443", "100.64.0.1:443",
		"[::ffff:127.0.0.1]:443", "[::ffff:10.0.0.1]:443", "[64:ff9b::7f00:1]:443", "[2002:7f00:1::]:443", "[::127.0.0.1]:443", "0.1.2.3:443", "255.255.255.255:443",
	} {
		require.ErrorIs(t, dialable(a, false), errAddress, a)
	}
	for _, a := range []string{"127.0.0.1:443", "10.1.2.3:443", "[fd00::1]:443", "[::1]:443"} {
		require.NoError(t, dialable(a, true), a)
	}
	for _, a := range []string{"169.254.169.254:80", "[fe80::1%eth0]:443", "[::ffff:169.254.169.254]:80", "224.0.0.1:443", "0.0.0.0:443", "[::]:443", "x"} {
		require.ErrorIs(t, dialable(a, true), errAddress, a)
	}
}
