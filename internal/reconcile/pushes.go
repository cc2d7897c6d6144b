package reconcile

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// pushes is the work on whoever is due under one lease.
type pushes struct {
	e      *Engine
	l      *lease
	offset time.Duration
	slots  chan struct{}
	wg     sync.WaitGroup

	mu       sync.Mutex
	facts    plan.Facts
	factsAt  time.Time
	linked   map[string]int
	linkedAt time.Time
	working  map[identity.Key]bool
	failed   error
	// atWork is what those who are worked on run under; it ends when Mattermost goes away.
	atWork context.Context //nolint:containedctx // it lives between two outages: that is what it says
	stop   context.CancelCauseFunc
	// seals tells that sealing goes on, sealed when it did last.
	seals  bool
	sealed time.Time
	// strangers are as in gathered; nil until somebody asks.
	strangers map[string]bool
}

func (e *Engine) newPushes(l *lease, facts plan.Facts, offset time.Duration) *pushes {
	return &pushes{
		e: e, l: l, offset: offset, facts: facts, factsAt: time.Now(), working: map[identity.Key]bool{},
		slots: make(chan struct{}, e.o.Workers+leaverSlots),
	}
}

// work goes on until ctx ends, something fails that is nobody's in particular, or,
// with idle above 0, nobody was due for so long or most is over; more then says that
// somebody still is.
func (p *pushes) work(ctx context.Context, idle, most time.Duration) (more bool, err error) {
	defer func() {
		p.wg.Wait()
		p.mu.Lock()
		if p.stop != nil {
			p.stop(nil)
		}
		p.mu.Unlock()
		err = errors.Join(err, p.seal(context.WithoutCancel(ctx)))
	}()
	start, last := time.Now(), time.Now()
	for {
		p.e.o.Watch.round()
		if err := p.failure(); err != nil || ctx.Err() != nil {
			return false, err
		}
		away := p.reachable(ctx)
		if away != nil && ctx.Err() != nil {
			return false, nil
		}
		if away != nil && idle > 0 {
			return false, away // the next session begins with asking
		}
		began := 0
		if away == nil {
			if began, err = p.begin(ctx); err != nil {
				return false, err
			}
		}
		if began > 0 || p.busy() {
			last = time.Now()
		}
		p.sealing(ctx)
		switch {
		case idle > 0 && time.Since(last) > idle:
			return false, nil
		case idle > 0 && (time.Since(start) > most || p.e.awaited.Load()): // a run works on pushes as well
			return true, nil
		}
		select {
		case <-ctx.Done():
		case <-p.e.poke:
		case <-time.After(pollDue):
		}
	}
}

// sealing seals what pushes have done, if it is time for that, while others are begun.
func (p *pushes) sealing(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seals || time.Since(p.sealed) < sealPushesEvery {
		return
	}
	p.seals = true
	p.wg.Go(func() {
		err := p.seal(ctx)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.seals, p.sealed = false, time.Now()
		if p.failed == nil {
			p.failed = err
		}
	})
}

// seal seals what pushes have done since the last time.
func (p *pushes) seal(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sealWithin)
	defer cancel()
	return p.e.seal(ctx, p.l.current(), sealedByPushes)
}

// begin starts on those who are due and not being worked on, as far as there are
// free workers, and tells how many.
func (p *pushes) begin(ctx context.Context) (int, error) {
	due, err := p.e.o.Store.Due(ctx, 10*cap(p.slots))
	if err != nil {
		return 0, fmt.Errorf("read who is due: %w", err)
	}
	began := 0
	for _, d := range due {
		if free := cap(p.slots) - len(p.slots); free == 0 || (free <= leaverSlots && !d.Leaver) {
			break
		}
		if !p.take(d.Key) {
			continue
		}
		began++
		p.slots <- struct{}{}
		work := p.under(ctx)
		p.wg.Go(func() {
			err := p.one(work, d)
			p.give(d.Key, err)
			p.e.settledPush(d.Key)
			<-p.slots
			p.e.Poke()
		})
	}
	return began, nil
}

// lost tells, after somebody's plan broke, whether Mattermost is away: then that is
// nothing of his, and he stays due as he is.
func (p *pushes) lost(ctx context.Context) bool {
	return errors.Is(context.Cause(ctx), errWentAway) || p.e.o.Target.Reachable(ctx) != nil || p.e.o.Target.Healthy(ctx) != nil
}

var errWentAway = errors.New("the server went away")

// reachable fails while Mattermost is away, and has nobody wait for it who is being
// worked on: he stays due.
func (p *pushes) reachable(ctx context.Context) error {
	err := p.e.o.Target.Reachable(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil && p.stop != nil {
		p.stop(errWentAway)
		p.stop, p.atWork = nil, nil
	}
	return err
}

// under gives what somebody is worked on under.
func (p *pushes) under(ctx context.Context) context.Context {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.atWork == nil {
		p.atWork, p.stop = context.WithCancelCause(ctx)
	}
	return p.atWork
}

// applying gives what a plan is carried out under: it goes on to its end when the work
// on pushes ends, and does not wait for a Mattermost that went away.
func (p *pushes) applying(ctx context.Context) (context.Context, func()) {
	out, cancel := context.WithCancelCause(p.l.ctx)
	unhook := context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), errWentAway) {
			cancel(errWentAway)
		}
	})
	return out, func() { unhook(); cancel(nil) }
}

func (p *pushes) take(k identity.Key) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.working[k] {
		return false
	}
	p.working[k] = true
	return true
}

func (p *pushes) give(k identity.Key, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.working, k)
	if err != nil && p.failed == nil {
		p.failed = err
	}
}

func (p *pushes) busy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.working) > 0
}

func (p *pushes) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// known gives what is known of the server, asked anew when it has become old or
// when it matters at once.
func (p *pushes) known(ctx context.Context, anew bool) (plan.Facts, error) {
	p.mu.Lock()
	facts, at := p.facts, p.factsAt
	p.mu.Unlock()
	if !anew && time.Since(at) < factsFor && p.e.o.Target.Version() == facts.Version {
		return facts, nil
	}
	facts, err := p.e.meet(ctx, p.l)
	if err != nil {
		return facts, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.facts, p.factsAt = facts, time.Now()
	return facts, nil
}

// population counts the linked active accounts of each source, as of late.
func (p *pushes) population(ctx context.Context) (map[string]int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.linked != nil && time.Since(p.linkedAt) < linkedFor {
		return p.linked, nil
	}
	count := map[string]int{}
	err := p.e.o.Store.Heads(ctx, func(h state.LinkHead) error {
		if h.Part != identity.Contributor && h.Active {
			count[h.Key.Source]++
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count linked accounts: %w", err)
	}
	p.linked, p.linkedAt = count, time.Now()
	return count, nil
}
