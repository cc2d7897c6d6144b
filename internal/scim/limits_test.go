package scim

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBuckets(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	b := newBuckets(2, 3)
	for range 3 {
		require.Zero(t, b.take("a", now))
	}
	require.Equal(t, 500*time.Millisecond, b.take("a", now))
	require.Zero(t, b.take("b", now), "each session for itself")
	require.Zero(t, b.take("a", now.Add(500*time.Millisecond)))
	b.charge("a", 4)
	require.Equal(t, 2500*time.Millisecond, b.take("a", now.Add(500*time.Millisecond)), "what is overdrawn is paid for")
	b.charge("unknown", 1)

	for i := range 3000 {
		require.Zero(t, b.take(fmt.Sprint(i), now.Add(time.Duration(i)*time.Second)))
	}
	require.Less(t, len(b.of), 1500, "full ones are forgotten")

	off := newBuckets(-1, 0)
	for range 1000 {
		require.Zero(t, off.take("a", now))
	}
	off.charge("a", 1)
}
