package mmsim

import (
	"math"
	"net/http"
	"strconv"
	"time"
)

// bucket is the limiter of the real server, a generic cell rate: it holds the
// time at which it will be full again. All callers share one; the real one
// keeps one for each address, and a test calls from one.
type bucket struct {
	emission time.Duration // what one request costs
	limit    int
	fullAt   time.Time
}

func newBucket(rl *RateLimit, conf *config) *bucket {
	if conf.flag("RateLimitSettings", "Enable") {
		rl = &RateLimit{
			PerSec:   conf.number("RateLimitSettings", "PerSec"),
			MaxBurst: conf.number("RateLimitSettings", "MaxBurst"),
		}
	}
	if rl == nil || rl.PerSec <= 0 {
		return nil
	}
	return &bucket{emission: time.Second / time.Duration(rl.PerSec), limit: rl.MaxBurst + 1}
}

// charge takes one request from the bucket, before anybody is asked who they
// are: the anonymous ping counts too.
func (s *Server) charge() (limited bool, headers http.Header) {
	s.mu.RLock()
	off := s.bucket == nil
	s.mu.RUnlock()
	if off {
		return false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.bucket
	if b == nil {
		return false, nil
	}
	now := s.now()
	if b.fullAt.Before(now) {
		b.fullAt = now
	}
	next := b.fullAt.Add(b.emission)
	whole := b.emission * time.Duration(b.limit)
	headers = http.Header{"X-Ratelimit-Limit": {strconv.Itoa(b.limit)}}
	if next.Sub(now) > whole {
		wait := next.Sub(now) - whole
		headers["Retry-After"] = []string{seconds(wait)}
		headers["X-Ratelimit-Remaining"] = []string{"0"}
		headers["X-Ratelimit-Reset"] = []string{seconds(b.fullAt.Sub(now))}
		return true, headers
	}
	b.fullAt = next
	left := int((whole - next.Sub(now)) / b.emission)
	headers["X-Ratelimit-Remaining"] = []string{strconv.Itoa(left)}
	headers["X-Ratelimit-Reset"] = []string{seconds(next.Sub(now))}
	return false, headers
}

func seconds(d time.Duration) string {
	return strconv.Itoa(int(math.Ceil(d.Seconds())))
}
