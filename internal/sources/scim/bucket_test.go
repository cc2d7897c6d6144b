package scim

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBuckets_what_is_remembered_is_bounded(t *testing.T) {
	t.Parallel()
	b, now := newBuckets(1, 2), time.Unix(1_000_000, 0)
	for i := range 10 * maxBuckets {
		b.take(strconv.Itoa(i), 1, now)
	}
	require.LessOrEqual(t, len(b.all), maxBuckets+1)
	require.Positive(t, b.take("one more", 1, now), "those that are too many share one")
	require.Zero(t, b.take("1", 1, now), "and nobody who is known pays for it")
	now = now.Add(2 * time.Second)
	require.Zero(t, b.take("another", 1, now))
	require.Less(t, len(b.all), 10, "who is quiet is forgotten")
}

func TestBuckets_a_clock_that_goes_back_gives_nothing(t *testing.T) {
	t.Parallel()
	b, now := newBuckets(1, 1), time.Unix(1_000_000, 0)
	require.Zero(t, b.take("a", 1, now))
	require.Equal(t, time.Second, b.take("a", 1, now.Add(-time.Hour)))
}
