package reconcile

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mmsync/mmsync/internal/state"
)

// leaseName is the one lease: whoever holds it plans and talks to Mattermost,
// because rate, order and budget are one for the whole server.
const leaseName = LeaseName

// LeaseName names the lease in the store.
const LeaseName = "reconcile"

// TryLease is how often whoever waits for the lease should try: whoever works on
// pushes all the time lets go of it for a moment only.
const TryLease = 25 * time.Millisecond

// giveUpAfter is how long a lease may stay lapsed before its run ends.
const giveUpAfter = time.Minute

// lease is the right to write, kept alive by a goroutine that release waits for.
// A right that could not be renewed in time has lapsed: nothing is sent until it is
// renewed, which the store refuses once somebody else has it. A long write of ours,
// which a store with one writer makes a renewal wait for, so costs time and not the
// run. ctx ends, with the cause, when the right is lost.
type lease struct {
	ctx    context.Context //nolint:containedctx // it lives as long as the lease: that is what it says
	cancel context.CancelCauseFunc
	store  state.Store
	ttl    time.Duration
	done   chan struct{}
	free   func() // lets others of this process try

	mu    sync.Mutex
	held  state.Lease
	until time.Time     // sends end then, by this process's clock
	moved chan struct{} // closed when until moves on
}

// current is the lease as the store last gave it.
func (l *lease) current() state.Lease {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}

func (e *Engine) takeLease(ctx context.Context) (*lease, error) {
	holder := e.o.Holder
	if holder == "" {
		holder = "mmsync-" + token()
	}
	select {
	case e.alone <- struct{}{}:
	default:
		return nil, fmt.Errorf("take the lease: another run of this process has it: %w", state.ErrHeld)
	}
	free := func() { <-e.alone }
	at := time.Now()
	held, err := e.o.Store.AcquireLease(ctx, leaseName, holder, e.o.LeaseTTL)
	if err != nil {
		free()
		return nil, fmt.Errorf("take the lease: %w", err)
	}
	l := &lease{store: e.o.Store, ttl: e.o.LeaseTTL, done: make(chan struct{}), moved: make(chan struct{}), free: free}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	l.renewed(held, at)
	go l.keep()
	return l, nil
}

// renewed notes a right that was asked for at the given time. Three tenths of it
// are left to what has been sent already.
func (l *lease) renewed(held state.Lease, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held, l.until = held, at.Add(l.ttl*7/10)
	close(l.moved)
	l.moved = make(chan struct{})
}

// right waits, while the lease has lapsed, until it is renewed, and tells until
// when something may be sent. It fails when ctx ends or the right is lost.
func (l *lease) right(ctx context.Context) (until time.Time, err error) {
	for {
		l.mu.Lock()
		until, moved := l.until, l.moved
		l.mu.Unlock()
		if time.Until(until) > 0 {
			return until, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return until, context.Cause(ctx)
		case <-l.ctx.Done():
			return until, context.Cause(l.ctx)
		}
	}
}

// keep renews the lease at a third of its time.
func (l *lease) keep() {
	defer close(l.done)
	tick := time.NewTicker(l.ttl / 3)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-tick.C:
		}
		at := time.Now()
		switch next, err := l.renew(); {
		case err == nil:
			l.renewed(next, at)
			last = at
		case errors.Is(err, state.ErrFenced):
			l.cancel(err)
			return
		case time.Since(last) > l.ttl+giveUpAfter:
			l.cancel(fmt.Errorf("the lease could not be renewed for %s: %w", time.Since(last).Round(time.Second), errors.Join(err, state.ErrFenced)))
			return
		}
	}
}

func (l *lease) renew() (state.Lease, error) {
	ctx, cancel := context.WithTimeout(l.ctx, giveUpAfter)
	defer cancel()
	return l.store.RenewLease(ctx, l.current(), l.ttl)
}

func (l *lease) release() {
	l.cancel(nil)
	<-l.done
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.ctx), 5*time.Second)
	defer cancel()
	// A lease that cannot be given back runs out by itself.
	_ = l.store.ReleaseLease(ctx, l.current())
	l.free()
}
