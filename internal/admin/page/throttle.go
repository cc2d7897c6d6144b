package page

import (
	"sync"
	"time"
)

// A token has too many characters to be guessed. What is held back is the noise, and
// whoever tries a list of words.
const (
	triesByOne = 5                // that may fail at once, from one address
	triesByAll = 50               // and from all
	tryAgain   = 30 * time.Second // gives back one of each
	mostKnown  = 10_000           // addresses that are remembered
)

// throttle counts what failed, by address and in all.
type throttle struct {
	mu  sync.Mutex
	by  map[string]*tries
	all tries
}

type tries struct {
	n    float64
	last time.Time
}

func newThrottle() *throttle { return &throttle{by: map[string]*tries{}} }

// left is what counts at the given time.
func (t *tries) left(now time.Time) float64 {
	return max(0, t.n-float64(now.Sub(t.last))/float64(tryAgain))
}

func (t *tries) add(now time.Time) { t.n, t.last = t.left(now)+1, now }

// allowed tells whether an address may try.
func (t *throttle) allowed(address string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all.left(now) > triesByAll-1 {
		return false
	}
	one := t.by[address]
	return one == nil || one.left(now) <= triesByOne-1
}

// fail counts a try.
func (t *throttle) fail(address string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all.add(now)
	if t.by[address] == nil {
		if len(t.by) >= mostKnown {
			for a, one := range t.by {
				if one.left(now) == 0 {
					delete(t.by, a)
				}
			}
		}
		if len(t.by) >= mostKnown {
			return // all counts them still
		}
		t.by[address] = &tries{}
	}
	t.by[address].add(now)
}
