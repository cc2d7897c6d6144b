package addrtest_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/addrtest"
)

func TestFree(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		address, err := addrtest.Free()
		require.NoError(t, err)
		require.False(t, seen[address], address)
		seen[address] = true
		l, err := net.Listen("tcp", address)
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
}
