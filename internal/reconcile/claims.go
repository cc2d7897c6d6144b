package reconcile

import (
	"sync"

	"github.com/mmsync/mmsync/internal/identity"
)

// claims tell a run from the pushes that are worked on beside it, in one process
// and under one lease: at most one of them writes about a person at a time, and
// what a run knew of somebody before a push came is not believed any more.
type claims struct {
	mu    sync.Mutex
	free  *sync.Cond
	seq   int64
	at    map[identity.Key]int64 // when somebody was claimed last
	steps map[identity.Key]int   // calls that are being made

	// writing is held for reading by a run while it writes links it read before, and
	// for writing while somebody is claimed.
	writing sync.RWMutex
}

func newClaims() *claims {
	c := &claims{at: map[identity.Key]int64{}, steps: map[identity.Key]int{}}
	c.free = sync.NewCond(&c.mu)
	return c
}

// now is the moment to remember by whoever begins to read.
func (c *claims) now() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seq
}

// claim takes somebody over from every run that has begun, and waits for the call
// that is being made for him.
func (c *claims) claim(k identity.Key) (at int64) {
	c.writing.Lock()
	c.mu.Lock()
	c.seq++
	c.at[k], at = c.seq, c.seq
	c.mu.Unlock()
	c.writing.Unlock()

	c.mu.Lock()
	defer c.mu.Unlock()
	for c.steps[k] > 0 {
		c.free.Wait()
	}
	return at
}

// since tells whether somebody was claimed after the given moment.
func (c *claims) since(k identity.Key, moment int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at[k] > moment
}

// enter begins a step about somebody, unless he was claimed after the given moment.
func (c *claims) enter(k identity.Key, moment int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at[k] > moment {
		return false
	}
	c.steps[k]++
	return true
}

func (c *claims) leave(k identity.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.steps[k]--; c.steps[k] == 0 {
		delete(c.steps, k)
		c.free.Broadcast()
	}
}
