package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/state"
)

// Tick is one time at which a schedule is due.
type Tick struct {
	// Schedule names it; what was done is kept under the name.
	Schedule string
	At       time.Time
	// Until is when waiting for the lease ends, by this process's clock: the next tick.
	Until time.Time
}

// tickMark is what the mark of a schedule is called: the last tick that was done, by
// whoever had the lease then.
func tickMark(schedule string) string { return "schedule/" + schedule }

// errTickDone tells that somebody else did a tick.
var errTickDone = errors.New("the tick was done already")

const (
	// aheadAtMost is how far a mark may lie in the future; one that lies farther was
	// made by a clock that was wrong.
	aheadAtMost = 5 * time.Minute
	// askTick is how often it is asked whether somebody else has done the tick.
	askTick = time.Second
)

// SyncTick is Sync for one tick of a schedule. Of all processes that share the store
// one does it: ran is false if another one has. It waits for the lease until the next
// tick, and fails with state.ErrHeld then. A tick counts as done when its run came to
// its end; when it failed or was cut off, whoever comes next does it.
func (e *Engine) SyncTick(ctx context.Context, o RunOptions, t Tick) (rep Report, ran bool, err error) {
	o.tick = &t
	rep, err = e.Sync(ctx, o)
	if errors.Is(err, errTickDone) {
		return Report{}, false, nil
	}
	return rep, err == nil, err
}

// LastTick gives the last tick of a schedule that was done; the zero time if none was.
// From then on it counts as one that was done now, so that a process which never lives
// until the next tick does not put it off for ever.
func (e *Engine) LastTick(ctx context.Context, schedule string) (time.Time, error) {
	mark, err := e.o.Store.Mark(ctx, tickMark(schedule))
	if err != nil {
		return time.Time{}, fmt.Errorf("read when schedule %s ran last: %w", schedule, err)
	}
	if !mark.At.IsZero() {
		return mark.At, nil
	}
	l, err := e.takeLease(ctx)
	if errors.Is(err, state.ErrHeld) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	defer l.release()
	return time.Time{}, e.noteTick(ctx, l, Tick{Schedule: schedule, At: time.Now()})
}

// noteTick writes down that a tick was done, even if somebody ended this process since.
func (e *Engine) noteTick(ctx context.Context, l *lease, t Tick) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := e.o.Store.SetMark(ctx, l.current(), state.Mark{Name: tickMark(t.Schedule), At: t.At}); err != nil {
		return fmt.Errorf("note that schedule %s has run: %w", t.Schedule, err)
	}
	return nil
}

// leaseFor takes the lease for a run: at once or not at all, or, for a tick or a request,
// as soon as it is free, unless that is done by then.
func (e *Engine) leaseFor(ctx context.Context, o *RunOptions) (*lease, error) {
	switch {
	case o.request != nil:
		return e.leaseForRequest(ctx, o.request)
	case o.tick != nil:
		return e.leaseForTick(ctx, o.tick)
	}
	return e.takeLease(ctx)
}

func (e *Engine) leaseForTick(ctx context.Context, t *Tick) (*lease, error) {
	for asked := (time.Time{}); ; {
		if time.Since(asked) > askTick {
			if err := e.stillDue(ctx, t); err != nil {
				return nil, err
			}
			asked = time.Now()
		}
		l, err := e.takeLease(ctx)
		switch {
		case err == nil:
			if err := e.stillDue(ctx, t); err != nil { // while nobody else can do it
				l.release()
				return nil, err
			}
			return l, nil
		case !errors.Is(err, state.ErrHeld) || !time.Now().Before(t.Until):
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(TryLease):
		}
	}
}

// stillDue fails with errTickDone if a tick was done, by whoever.
func (e *Engine) stillDue(ctx context.Context, t *Tick) error {
	mark, err := e.o.Store.Mark(ctx, tickMark(t.Schedule))
	if err != nil {
		return fmt.Errorf("read when schedule %s ran last: %w", t.Schedule, err)
	}
	if mark.At.IsZero() || mark.At.Before(t.At.Truncate(time.Microsecond)) { // as exact as the store is
		return nil
	}
	now, err := e.o.Store.Now(ctx)
	if err != nil {
		return fmt.Errorf("read the store's clock: %w", err)
	}
	if mark.At.After(now.Add(aheadAtMost)) {
		return nil
	}
	return errTickDone
}
