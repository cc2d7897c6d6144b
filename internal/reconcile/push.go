package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Pushed is a source that is told of every change: what it wants of people is
// kept in the store, and whoever changed is due there.
type Pushed interface {
	Source
	// Wanted gives how people are wanted now; anchors it does not know are left out.
	Wanted(ctx context.Context, anchors []string) ([]identity.Identity, error)
}

// pushed gives the sources of that kind, by name.
func (e *Engine) pushed() map[string]Pushed {
	out := map[string]Pushed{}
	for _, s := range e.o.Sources {
		if p, ok := s.(Pushed); ok {
			out[s.Name()] = p
		}
	}
	return out
}

// wantedNow asks the sources that are told of changes how people are wanted.
func (e *Engine) wantedNow(ctx context.Context, keys []identity.Key) (map[identity.Key]*identity.Identity, error) {
	out := map[identity.Key]*identity.Identity{}
	for name, src := range e.pushed() {
		var anchors []string
		for _, k := range keys {
			if k.Source == name {
				anchors = append(anchors, k.Anchor)
			}
		}
		if len(anchors) == 0 {
			continue
		}
		list, err := src.Wanted(ctx, anchors)
		if err != nil {
			return nil, fmt.Errorf("read what source %s wants: %w", name, err)
		}
		for i := range list {
			id := e.o.Target.Canonical(list[i])
			out[id.Key] = &id
		}
	}
	return out, nil
}

// KindPush is the kind of the runs that work on one person who was pushed.
const KindPush = "push"

// dueAgain has people worked on again about whom somebody spoke, those of them who
// are pushed.
func (e *Engine) dueAgain(ctx context.Context, marks []state.DueMark) error {
	pushed := e.pushed()
	marks = slices.DeleteFunc(marks, func(m state.DueMark) bool { return pushed[m.Key.Source] == nil })
	if len(marks) == 0 {
		return nil
	}
	if err := e.o.Store.MarkDue(ctx, marks); err != nil {
		return fmt.Errorf("have those worked on again about whom somebody spoke: %w", err)
	}
	e.Poke()
	return nil
}

const (
	// pollDue is how often the store is asked who is due, for another process may have
	// kept a push.
	pollDue = 250 * time.Millisecond
	// idleAfter is how long the lease is kept while nobody is due.
	idleAfter = 2 * time.Second
	// sessionMost is how long it is kept at most, and sessionPause how long others can
	// take it then: a run on the command line works on pushes as well. Commands wait
	// 15 s for it if nothing else is said, and try every TryLease.
	sessionMost  = 12 * time.Second
	sessionPause = 60 * time.Millisecond
	// factsFor is how long what was learnt of the server is believed by pushes.
	factsFor = 30 * time.Second
	// linkedFor is how long a count of linked accounts serves as the guards' base.
	linkedFor = 5 * time.Minute
	// askAgain is how long is waited after something failed that is nobody's in particular.
	askAgain = time.Second
	// leaverSlots are workers that only leavers are given to, beyond the usual ones.
	leaverSlots = 1
	// sealPushesEvery is how often what pushes did is sealed: one batch for each would
	// cost more than the push.
	sealPushesEvery = time.Second
	sealedByPushes  = "pushes"
)

// Poke has those who are due looked for at once. It never blocks.
func (e *Engine) Poke() {
	select {
	case e.poke <- struct{}{}:
	default:
	}
}

// ServePushes works on whoever is due until ctx ends. Each is a plan of one: read,
// decided, guarded, journaled and applied like everybody in a run. While another
// process, or a run of this one, has the lease, that one does it. Nothing that fails ends
// it: whoever is due stays so.
func (e *Engine) ServePushes(ctx context.Context) error {
	if len(e.pushed()) == 0 {
		<-ctx.Done()
		return nil
	}
	told := ""
	for ctx.Err() == nil {
		e.o.Watch.round()
		more, err := false, e.o.Target.Reachable(ctx)
		away := err != nil
		if !away {
			more, err = e.pushSession(ctx)
		}
		e.stuck.Store(err != nil && !errors.Is(err, state.ErrHeld))
		switch {
		case ctx.Err() != nil || err == nil || errors.Is(err, state.ErrHeld):
			told = ""
		default: // said once, not every second
			about := err.Error()
			if away || unauthorized(err) { // whichever call it was
				about = fmt.Sprintf("away %t", away)
			}
			if told != about {
				e.log.ErrorContext(ctx, "pushes wait", "error", err)
				told = about
			}
		}
		wait, poke := pollDue, e.poke
		if more {
			wait, poke = sessionPause, nil
		}
		if e.stuck.Load() {
			wait, poke = askAgain, nil // whoever pokes cannot mend it
		}
		select {
		case <-ctx.Done():
		case <-poke:
		case <-time.After(wait):
		}
	}
	return nil
}

// pushSession takes the lease if somebody is due, and keeps it while there is work.
// more says that there is still some.
func (e *Engine) pushSession(ctx context.Context) (more bool, err error) {
	due, err := e.o.Store.Due(ctx, 1)
	if err != nil || len(due) == 0 {
		return false, err
	}
	l, err := e.takeLease(ctx)
	if err != nil {
		return false, err
	}
	defer l.release()
	p, err := e.openPushes(l)
	if err != nil {
		return false, err
	}
	e.stuck.Store(false)
	return p.work(l.ctx, idleAfter, sessionMost)
}

// openPushes does what every run does before it looks at anybody.
func (e *Engine) openPushes(l *lease) (*pushes, error) {
	if err := e.known(l.ctx); err != nil {
		return nil, err
	}
	ago, err := e.quiet(l.ctx)
	if err != nil {
		return nil, err
	}
	e.o.Target.TookOver(ago)
	facts, _, offset, err := e.opening(l.ctx, l)
	if err != nil {
		return nil, err
	}
	if err := e.seal(l.ctx, l.current(), sealedByPushes); err != nil {
		return nil, err
	}
	if err := e.walkOnce(l.ctx, l, facts); err != nil {
		return nil, err
	}
	e.forgetNoticesHourly()
	return e.newPushes(l, facts, offset), nil
}

// pushesBeside works on pushes while a run has the lease; what it gives ends that,
// and waits until it has ended.
func (e *Engine) pushesBeside(l *lease, facts plan.Facts, offset time.Duration) (stop func()) {
	if len(e.pushed()) == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(l.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if _, err := e.newPushes(l, facts, offset).work(ctx, 0, 0); err != nil && ctx.Err() == nil {
				e.log.ErrorContext(ctx, "pushes beside this run wait a moment", "error", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(askAgain):
			}
		}
	}()
	return func() { cancel(); <-done }
}

// Push has somebody worked on now, and waits until nothing is left to do about him,
// it is put off, this process can work on nobody for now, or ctx ends. Whoever has
// the lease does it, this process or another.
func (e *Engine) Push(ctx context.Context, k identity.Key) error {
	settled := e.waitFor(k)
	defer e.waitNoMore(k, settled)
	e.Poke()
	for !e.stuck.Load() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-settled:
		case <-time.After(pollDue):
		}
		due, err := e.o.Store.DueOf(ctx, []identity.Key{k})
		if err != nil {
			return fmt.Errorf("see whether %s is still due: %w", k, err)
		}
		if len(due) == 0 || due[0].Held || !due[0].After.IsZero() {
			return nil
		}
	}
	return nil
}

func (e *Engine) waitFor(k identity.Key) chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := make(chan struct{}, 1)
	if e.waiting == nil {
		e.waiting = map[identity.Key][]chan struct{}{}
	}
	e.waiting[k] = append(e.waiting[k], c)
	return c
}

func (e *Engine) waitNoMore(k identity.Key, c chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waiting[k] = slices.DeleteFunc(e.waiting[k], func(o chan struct{}) bool { return o == c })
	if len(e.waiting[k]) == 0 {
		delete(e.waiting, k)
	}
}

// settledPush tells those who wait for somebody that he was worked on.
func (e *Engine) settledPush(k identity.Key) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.waiting[k] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
