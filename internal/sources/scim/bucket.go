package scim

import (
	"math"
	"sync"
	"time"
)

// maxBuckets bounds how many are remembered. Beyond it those that are new share one.
const maxBuckets = 4096

// buckets are token buckets by name.
type buckets struct {
	perSecond, burst float64

	mu    sync.Mutex
	all   map[string]bucket
	swept time.Time // when those that are full were forgotten
}

type bucket struct {
	left float64
	at   time.Time
}

func newBuckets(perSecond, burst float64) *buckets {
	return &buckets{perSecond: perSecond, burst: burst, all: map[string]bucket{}}
}

// take takes n of a bucket that holds at least one, so that it may owe some
// afterwards; else it takes nothing and gives the time until it holds one.
func (b *buckets) take(name string, n int, now time.Time) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.all[name]; !known && len(b.all) >= maxBuckets {
		b.sweep(now)
		if len(b.all) >= maxBuckets {
			name = ""
		}
	}
	left := b.burst
	if v, known := b.all[name]; known {
		left = b.filled(v, now)
	}
	if left < 1 {
		return time.Duration((1 - left) / b.perSecond * float64(time.Second))
	}
	b.all[name] = bucket{left - float64(n), now}
	return 0
}

// sweep forgets the buckets that are full, once a second at most.
func (b *buckets) sweep(now time.Time) {
	if now.Sub(b.swept) < time.Second {
		return
	}
	b.swept = now
	for k, v := range b.all {
		if b.filled(v, now) == b.burst {
			delete(b.all, k)
		}
	}
}

// filled is what a bucket holds by now.
func (b *buckets) filled(v bucket, now time.Time) float64 {
	return math.Min(b.burst, v.left+max(0, now.Sub(v.at).Seconds())*b.perSecond)
}
