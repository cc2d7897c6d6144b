package mattermost

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// The bucket never holds more than this, so that a pause is not followed by a
// burst, and a third of what it holds is kept for deactivations.
const maxBurst = 50

const (
	// slowest is the least rate that a server's own limit leads to, in requests a second.
	slowest = 0.2
	// faster is what the rate grows by with an answer that tells of a bucket little used.
	faster = 1.02
)

// limiter is a token bucket that starts empty, lowers itself to what the server
// says about its own limit, and is paused for everybody by a 429.
type limiter struct {
	configured float64

	mu     sync.Mutex
	rate   float64 // requests a second
	burst  float64
	tokens float64
	last   time.Time
	paused time.Time // nobody goes before
}

func newLimiter(perSecond float64) *limiter {
	return &limiter{configured: perSecond, rate: perSecond, burst: fullBurst(perSecond), last: time.Now()}
}

func fullBurst(perSecond float64) float64 { return math.Min(math.Max(perSecond, 3), maxBurst) }

// wait blocks until a request may go. An urgent one may use the whole bucket,
// any other only what is above the reserved third.
func (l *limiter) wait(ctx context.Context, urgent bool) error {
	for {
		d := l.take(time.Now(), urgent)
		if d <= 0 {
			return ctx.Err()
		}
		timer := time.NewTimer(d)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// take takes a token, or tells how long until there may be one.
func (l *limiter) take(now time.Time, urgent bool) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d := l.paused.Sub(now); d > 0 {
		return d
	}
	l.fill(now)
	need := 1.0
	if !urgent {
		need += reserved(l.burst)
	}
	if l.tokens >= need {
		l.tokens--
		return 0
	}
	return time.Duration((need-l.tokens)/l.rate*float64(time.Second)) + time.Microsecond
}

// look takes a token for a question that only asks how the server is. It goes ahead of
// everybody, and one may be owed, which those who work then wait for; where that is owed
// already, or the server has asked for a pause, there is none: false.
func (l *limiter) look(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paused.After(now) {
		return false
	}
	l.fill(now)
	if l.tokens < 0 {
		return false
	}
	l.tokens--
	return true
}

// fill is called with the lock held.
func (l *limiter) fill(now time.Time) {
	if d := now.Sub(l.last); d > 0 {
		l.tokens = math.Min(l.burst, l.tokens+d.Seconds()*l.rate)
		l.last = now
	}
}

// pause stops everybody until d has passed; a longer pause stands.
func (l *limiter) pause(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := time.Now().Add(d); until.After(l.paused) {
		l.paused = until
		l.last = until
	}
	l.tokens = 0
}

// gather fills the bucket with as much as comes together in d.
func (l *limiter) gather(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tokens, l.last = math.Min(l.burst, math.Max(d.Seconds(), 0)*l.rate), time.Now()
}

// inForce gives the rate, in requests a second, and the size of the bucket.
func (l *limiter) inForce() (rate, burst float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rate, l.burst
}

// reserved is the part of a bucket that is kept for deactivations.
func reserved(burst float64) float64 { return burst / 3 }

// learn follows what the headers of an answer tell about the server's own
// limiter; without them it is off. X-Ratelimit-Limit is its burst, not its rate;
// but X-Ratelimit-Reset, the whole seconds until its bucket is full again, tells
// the rate once much of the bucket is used. Being rounded up, it tells too low a
// rate rather than too high a one. Others may use the same bucket, such as another
// replica: while it is nearly empty this process goes at up to half the rate, and faster
// again when most of it is unused.
func (l *limiter) learn(h http.Header) {
	limit, ok := headerNumber(h, "X-Ratelimit-Limit")
	l.mu.Lock()
	defer l.mu.Unlock()
	if !ok || limit < 1 {
		l.rate, l.burst = l.configured, fullBurst(l.configured)
		return
	}
	l.burst = math.Min(fullBurst(l.configured), math.Max(limit/2, 1.5))
	l.rate = math.Min(l.rate, limit)
	remaining, ok1 := headerNumber(h, "X-Ratelimit-Remaining")
	reset, ok2 := headerNumber(h, "X-Ratelimit-Reset")
	switch used := limit - remaining; {
	case !ok1 || !ok2 || reset < 1:
	case used >= limit/2:
		scarce := math.Max(0.5, math.Min(1, remaining/(limit/4)))
		l.rate = math.Max(math.Min(l.configured, used/reset*scarce), slowest)
	default:
		l.rate = math.Min(math.Min(l.configured, limit), l.rate*faster)
	}
	l.tokens = math.Min(l.tokens, l.burst)
}

// headerNumber reads the smallest of a header's values: servers that limit by
// user as well send the header twice.
func headerNumber(h http.Header, name string) (float64, bool) {
	least, found := 0.0, false
	for _, v := range h.Values(name) {
		n, err := strconv.ParseFloat(v, 64)
		if err != nil || math.IsNaN(n) || n < 0 {
			continue
		}
		if !found || n < least {
			least, found = n, true
		}
	}
	return least, found
}

// retryAfter reads the header's seconds; dates are not sent by Mattermost, but
// may be by a proxy. Without it a second is waited, and never above a minute.
func retryAfter(h http.Header, now time.Time) time.Duration {
	d := time.Second
	if v := h.Get("Retry-After"); v != "" {
		if n, err := strconv.Atoi(v); err == nil {
			d = time.Duration(min(max(n, 0), 3600)) * time.Second
		} else if t, err := http.ParseTime(v); err == nil {
			d = t.Sub(now)
		}
	}
	return min(max(d, 100*time.Millisecond), time.Minute)
}

// keyed is a set of locks by name, held one at a time each.
type keyed struct {
	mu   sync.Mutex
	held map[string]chan struct{}
}

// lock waits until nobody else holds key and returns what gives it back.
func (k *keyed) lock(ctx context.Context, key string) (unlock func(), err error) {
	for {
		k.mu.Lock()
		held := k.held[key]
		if held == nil {
			if k.held == nil {
				k.held = map[string]chan struct{}{}
			}
			mine := make(chan struct{})
			k.held[key] = mine
			k.mu.Unlock()
			return func() {
				k.mu.Lock()
				delete(k.held, key)
				k.mu.Unlock()
				close(mine)
			}, nil
		}
		k.mu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
