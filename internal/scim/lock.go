package scim

import (
	"context"
	"sync"
)

// locks let one writer at a time at each resource. They are a courtesy, not what
// keeps a resource whole: that is the Backend's comparison of versions, which many
// writers of one group would otherwise lose to each other over and over.
type locks struct {
	mu sync.Mutex
	of map[string]*lock
}

type lock struct {
	held chan struct{} // has one element while it is held
	want int           // how many hold it or wait for it
}

func newLocks() *locks { return &locks{of: map[string]*lock{}} }

// take waits until the key is free; the function it gives sets it free again.
func (l *locks) take(ctx context.Context, key string) (func(), error) {
	l.mu.Lock()
	k := l.of[key]
	if k == nil {
		k = &lock{held: make(chan struct{}, 1)}
		l.of[key] = k
	}
	k.want++
	l.mu.Unlock()

	select {
	case k.held <- struct{}{}:
		return func() {
			<-k.held
			l.drop(key, k)
		}, nil
	case <-ctx.Done():
		l.drop(key, k)
		return nil, ctx.Err()
	}
}

func (l *locks) drop(key string, k *lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.want--; k.want == 0 {
		delete(l.of, key)
	}
}
