package mattermost

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// These are about the limiter itself: seen from outside, it is only slowness.

// passed counts the requests that go through in d of (virtual) time.
func passed(ctx context.Context, l *limiter, urgent bool, d time.Duration) int {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	n := 0
	for l.wait(ctx, urgent) == nil {
		n++
	}
	return n
}

func TestLimiter_wait(t *testing.T) {
	t.Parallel()
	t.Run("it starts empty and keeps to its rate", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			l := newLimiter(50)
			start := time.Now()
			require.NoError(t, l.wait(t.Context(), true))
			require.GreaterOrEqual(t, time.Since(start), 20*time.Millisecond, "nothing is there at the start")
			require.InDelta(t, 500, passed(t.Context(), l, true, 10*time.Second), 2)
		})
	})
	t.Run("others get the whole rate while nobody is deactivated", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			l := newLimiter(50)
			time.Sleep(time.Second)
			require.InDelta(t, 533, passed(t.Context(), l, false, 10*time.Second), 3)
		})
	})
	t.Run("a third is kept for deactivations", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			l := newLimiter(30)
			time.Sleep(time.Second)
			require.Equal(t, 20, passed(t.Context(), l, false, time.Millisecond))
			require.Equal(t, 10, passed(t.Context(), l, true, time.Millisecond))
		})
	})
	t.Run("deactivations go first", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			l := newLimiter(30)
			var urgent, other int
			var wg sync.WaitGroup
			wg.Go(func() { urgent = passed(t.Context(), l, true, 10*time.Second) })
			wg.Go(func() { other = passed(t.Context(), l, false, 10*time.Second) })
			wg.Wait()
			require.Greater(t, urgent, 10*other)
		})
	})
	t.Run("it is empty after a takeover", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			l := newLimiter(50)
			time.Sleep(10 * time.Second)
			l.gather(0)
			require.Zero(t, passed(t.Context(), l, true, 19*time.Millisecond))
		})
	})
	t.Run("what has gathered since the takeover may be used", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			l := newLimiter(50)
			l.gather(500 * time.Millisecond)
			require.Equal(t, 25, passed(t.Context(), l, true, time.Millisecond))
			l.gather(time.Hour)
			require.Equal(t, 50, passed(t.Context(), l, true, time.Millisecond), "the bucket is no larger for it")
		})
	})
	t.Run("a look goes on credit, once, and others pay for it", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			l := newLimiter(10)
			require.True(t, l.look(time.Now()))
			require.False(t, l.look(time.Now()), "one is owed already")
			start := time.Now()
			require.NoError(t, l.wait(t.Context(), true))
			require.InDelta(t, 200, time.Since(start).Milliseconds(), 1)
			l.pause(time.Second)
			require.False(t, l.look(time.Now()), "the server has asked for a pause")
			time.Sleep(2 * time.Second)
			require.True(t, l.look(time.Now()))
		})
	})
	t.Run("waiting ends with the context", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			l := newLimiter(50)
			l.pause(time.Minute)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			require.ErrorIs(t, l.wait(ctx, true), context.DeadlineExceeded)
		})
	})
	t.Run("a pause is for everybody, and no burst follows it", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			l := newLimiter(50)
			time.Sleep(10 * time.Second)
			l.pause(5 * time.Second)
			l.pause(time.Second)
			require.Zero(t, passed(t.Context(), l, true, 4900*time.Millisecond))
			require.LessOrEqual(t, passed(t.Context(), l, true, 200*time.Millisecond), 6)
		})
	})
}

func rate(l *limiter) float64 { r, _ := l.inForce(); return r }

func headers(limit, remaining, reset string) http.Header {
	h := http.Header{}
	h.Set("X-Ratelimit-Limit", limit)
	h.Set("X-Ratelimit-Remaining", remaining)
	h.Set("X-Ratelimit-Reset", reset)
	return h
}

func TestLimiter_learn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		h    http.Header
		want float64
	}{
		"no headers: the server has no limit":      {http.Header{}, 50},
		"the recorded refusal tells two a second":  {headers("6", "0", "3"), 1}, // of which others have half
		"a bucket nearly empty is shared":          {headers("101", "20", "9"), 9 * 20 / 25.25},
		"a bucket hardly used tells only its size": {headers("11", "10", "1"), 11},
		"a large bucket half used tells the rate":  {headers("101", "50", "6"), 8.5},
		"a faster server changes nothing":          {headers("1001", "0", "2"), 50},
		"nonsense is left alone":                   {headers("-1", "x", ""), 50},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLimiter(50)
			l.learn(c.h)
			require.InDelta(t, c.want, rate(l), 0.01)
		})
	}
	t.Run("of two values the smaller counts", func(t *testing.T) {
		t.Parallel()
		l := newLimiter(50)
		h := headers("101", "90", "1")
		h.Add("X-Ratelimit-Limit", "21")
		l.learn(h)
		require.InDelta(t, 21, rate(l), 0.01)
	})
	t.Run("it goes faster again when others have left", func(t *testing.T) {
		t.Parallel()
		l := newLimiter(50)
		l.learn(headers("101", "0", "10"))
		require.InDelta(t, 5.05, rate(l), 0.01)
		for range 100 {
			l.learn(headers("101", "100", "1"))
		}
		require.Greater(t, rate(l), 30.0)
		l.learn(headers("101", "40", "6"))
		require.InDelta(t, 61.0/6, rate(l), 0.01)
	})
	t.Run("a limit that is switched off is forgotten", func(t *testing.T) {
		t.Parallel()
		l := newLimiter(50)
		l.learn(headers("6", "0", "3"))
		l.learn(http.Header{})
		require.InDelta(t, 50, rate(l), 0.01)
	})
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": time.Second, "2": 2 * time.Second, "0": 100 * time.Millisecond, "-3": 100 * time.Millisecond,
		"9999999": time.Minute, "soon": time.Second, "Sun, 01 Nov 2026 12:00:10 GMT": 10 * time.Second,
	} {
		h := http.Header{}
		if value != "" {
			h.Set("Retry-After", value)
		}
		require.Equal(t, want, retryAfter(h, now), "%q", value)
	}
}

func TestKeyed_lock(t *testing.T) {
	t.Parallel()
	var k keyed
	unlock, err := k.lock(t.Context(), "a")
	require.NoError(t, err)
	other, err := k.lock(t.Context(), "b")
	require.NoError(t, err)
	other()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = k.lock(ctx, "a")
	require.ErrorIs(t, err, context.Canceled)
	unlock()
	unlock, err = k.lock(t.Context(), "a")
	require.NoError(t, err)
	unlock()
	require.Empty(t, k.held, "nothing is kept")
}

func TestParseVersionID(t *testing.T) {
	t.Parallel()
	require.Equal(t, Version{Major: 11, Minor: 6}, parseVersionID("11.6.0.11.6.0.d9529ecd2da5.false"))
	require.Equal(t, Version{Major: 5, Minor: 37, Licensed: true}, parseVersionID("5.37.0..92250c0557e1.true"))
	require.Equal(t, Version{Major: 10, Minor: 5, Patch: 12, Licensed: true}, parseVersionID("10.5.12.x.true"))
	for _, none := range []string{"", "11.6", "a.b.c.d", "11.-6.0.x.true"} {
		require.True(t, parseVersionID(none).IsZero(), none)
	}
	require.True(t, Version{Major: 11}.AtLeast(10, 2))
	require.True(t, Version{Major: 10, Minor: 2}.AtLeast(10, 2))
	require.False(t, Version{Major: 10, Minor: 1}.AtLeast(10, 2))
	require.False(t, Version{Major: 5, Minor: 38}.AtLeast(10, 2))
}

func TestNew_defaults(t *testing.T) {
	t.Parallel()
	c, err := New(Options{BaseURL: "https://chat.example.com", Token: func() (string, error) { return "x", nil }})
	require.NoError(t, err)
	require.Greater(t, c.timeout, 30*time.Second, "the server gives its database 30 s, and then says 403")
	require.Equal(t, 4, cap(c.slots), "more only adds waiting")
	r, burst := c.limit.inForce()
	require.InDelta(t, 50, r, 0)
	require.InDelta(t, 50, burst, 0)
	tr, ok := c.http.Transport.(*fence).next.(*http.Transport)
	require.True(t, ok)
	require.Less(t, tr.IdleConnTimeout, time.Minute, "the server closes idle connections after 60 s; a write must not meet that")
	require.False(t, tr.DisableCompression)
}
