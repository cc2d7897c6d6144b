package scim

import (
	"sync"
	"time"
)

// Limits bound what a request may cost; zero values mean the defaults.
type Limits struct {
	Body    int64 // bytes of a request, also of a bulk; default 4 MiB
	Depth   int   // of JSON; default 32
	Patch   int   // operations of a PATCH; default 1000
	BulkOps int   // operations of a bulk; default 1000
	Page    int   // resources of a page if no count is asked; default 100
	PageMax int   // at most; default 1000
	Sort    int   // resources that are sorted for one request; default 100,000
	Tries   int   // to write what others write meanwhile; default 20

	Read       time.Duration // for a body to arrive; default 30 s
	Request    time.Duration // for an answer after that; default 30 s
	Bulk       time.Duration // the same for a bulk; default 2 min
	Scan       time.Duration // for a filter that no index answers, and for sorting; default 10 s
	Cursor     time.Duration // how long a cursor is good; default 1 h
	RetryAfter time.Duration // said with 503; default 5 s

	Rate  float64 // requests a second of one session; default 100, negative: any
	Burst int     // at once; default 500

	FilterBytes, FilterDepth, FilterTerms int // defaults 8192, 32 and 200
}

func (l Limits) withDefaults() Limits {
	orDefault(&l.Body, 4<<20)
	orDefault(&l.Depth, 32)
	orDefault(&l.Patch, 1000)
	orDefault(&l.Bulk, 2*time.Minute)
	orDefault(&l.BulkOps, 1000)
	orDefault(&l.Page, 100)
	orDefault(&l.PageMax, 1000)
	orDefault(&l.Sort, 100_000)
	orDefault(&l.Request, 30*time.Second)
	orDefault(&l.Read, 30*time.Second)
	orDefault(&l.Scan, 10*time.Second)
	orDefault(&l.Cursor, time.Hour)
	orDefault(&l.Rate, 100)
	orDefault(&l.Burst, 500)
	orDefault(&l.Tries, 20)
	orDefault(&l.RetryAfter, 5*time.Second)
	l.Page = min(l.Page, l.PageMax)
	return l
}

func orDefault[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}

// buckets limit the rate of requests, each session for itself. A bucket may be
// overdrawn, so that a bulk larger than the burst is served, and paid for after.
type buckets struct {
	rate, burst float64
	mu          sync.Mutex
	of          map[string]*bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

func newBuckets(rate float64, burst int) *buckets {
	return &buckets{rate: rate, burst: float64(max(burst, 1)), of: map[string]*bucket{}}
}

// take takes a token of a session, or says how long until there is one.
func (b *buckets) take(session string, now time.Time) time.Duration {
	if b.rate < 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.of[session]
	if k == nil {
		b.forget(now)
		k = &bucket{tokens: b.burst, at: now}
		b.of[session] = k
	}
	k.tokens = min(b.burst, k.tokens+now.Sub(k.at).Seconds()*b.rate)
	k.at = now
	if k.tokens < 1 {
		return time.Duration((1 - k.tokens) / b.rate * float64(time.Second))
	}
	k.tokens--
	return 0
}

// charge takes n tokens, whether they are there or not.
func (b *buckets) charge(session string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.of[session]; k != nil && b.rate >= 0 {
		k.tokens -= float64(n)
	}
}

// forget drops full buckets once there are many: a new one is full.
func (b *buckets) forget(now time.Time) {
	if len(b.of) < 1024 {
		return
	}
	for name, k := range b.of {
		if k.tokens+now.Sub(k.at).Seconds()*b.rate >= b.burst {
			delete(b.of, name)
		}
	}
}
