package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/state"
)

const (
	// askFor is how long a request waits after its asker was last there.
	askFor = 5 * time.Second
	// deadAfter is how long nobody may have the lease under which a run is made until
	// it counts as dead.
	deadAfter = 30 * time.Second
	// toldLate is how long after its second look a run may not have told its outcome.
	toldLate = time.Minute
	// freeTwice is how often in a row the lease must be seen free before an asker makes
	// his run himself: whoever had it comes first.
	freeTwice = 2
)

// GoesOnError says that whoever asked for a run was interrupted while another process
// makes it.
type GoesOnError struct {
	Run string
	Err error
}

func (e *GoesOnError) Error() string {
	return fmt.Sprintf("run %s goes on, another process makes it: %v", e.Run, e.Err)
}

func (e *GoesOnError) Unwrap() error { return e.Err }

// Ask is Sync for somebody who waits. While another process has the lease, that one is
// asked for the run, and what it reports is what is given. state.ErrHeld means that the
// run had not begun when the time was over; then it does not begin any more. tell is told
// in a sentence why the holder cannot be asked; it may be nil.
func (e *Engine) Ask(ctx context.Context, o RunOptions, wait time.Duration, tell func(string)) (Report, error) {
	until := time.Now().Add(wait)
	rep, err := e.Sync(ctx, o)
	if !errors.Is(err, state.ErrHeld) || wait <= 0 {
		return rep, err
	}
	text, why, err := o.ask()
	if err != nil {
		return rep, fmt.Errorf("write down what is asked: %w", err)
	}
	if why != "" {
		if tell != nil {
			tell("another run is at work, and this one waits until it has ended: " + why)
		}
		return e.retry(ctx, o, until)
	}
	now, err := e.o.Store.Now(ctx)
	if err != nil {
		return rep, fmt.Errorf("read the store's clock: %w", err)
	}
	q := asker{e: e, o: o, until: until, r: request{Request: state.Request{ID: runID(now) + token(), Policy: e.o.PolicyDigest, Asked: text}}}
	if err := e.o.Store.FileRequest(ctx, q.r.Request, q.ttl()); err != nil {
		return rep, fmt.Errorf("ask whoever is at work for this run: %w", err)
	}
	return q.follow(ctx)
}

// retry tries to make a run until the time is over.
func (e *Engine) retry(ctx context.Context, o RunOptions, until time.Time) (Report, error) {
	for {
		select {
		case <-ctx.Done():
			return Report{}, ctx.Err()
		case <-time.After(TryLease):
		}
		rep, err := e.Sync(ctx, o)
		if !errors.Is(err, state.ErrHeld) || time.Now().After(until) {
			return rep, err
		}
	}
}

// asker follows what becomes of his request.
type asker struct {
	e     *Engine
	o     RunOptions
	r     request
	until time.Time // when the run has to have begun
	free  int       // how often in a row nobody had the lease
	// gone, ended and away are since when the holder's lease is not held, the run has
	// ended without having been told, and the store does not answer.
	gone, ended, away time.Time
	shown             string
}

// ttl is for how long he says that he is there.
func (q *asker) ttl() time.Duration {
	if q.r.Token != 0 {
		return askFor
	}
	return max(min(askFor, time.Until(q.until)), time.Millisecond)
}

func (q *asker) follow(ctx context.Context) (Report, error) {
	for {
		select {
		case <-ctx.Done():
			return Report{}, q.leave(ctx)
		case <-time.After(pollDue):
		}
		rep, done, err := q.look(ctx)
		switch {
		case ctx.Err() != nil && q.r.Closed.IsZero() && !done:
			return rep, q.leave(ctx)
		case err != nil && !done: // of the store: whoever makes the run waits for it as well
			if q.away.IsZero() {
				q.away = time.Now()
			}
			if time.Since(q.away) > giveUpAfter {
				return rep, err
			}
		case done:
			return rep, err
		default:
			q.away = time.Time{}
		}
	}
}

// look sees how the request is. done says that there is nothing more to follow; err is
// the run's then, and the store's else.
func (q *asker) look(ctx context.Context) (rep Report, done bool, err error) {
	if q.r.Token == 0 && time.Now().After(q.until) {
		return q.giveUp(ctx)
	}
	now, err := q.e.o.Store.RenewRequest(ctx, q.r.ID, q.ttl())
	if errors.Is(err, state.ErrNotFound) {
		return rep, true, fmt.Errorf("the request for this run is gone from the store; see mmsync history: %w", err)
	}
	if err != nil {
		return rep, false, fmt.Errorf("see what became of the request for this run: %w", err)
	}
	q.r.Request = now
	held, ok, err := q.e.o.Store.HeldLease(ctx, leaseName)
	switch {
	case !q.r.Closed.IsZero():
		rep, err := decodeOutcome(&q.r.Request)
		q.drop(ctx)
		return rep, true, err
	case err != nil:
		return rep, false, fmt.Errorf("see who is at work: %w", err)
	case q.r.Token != 0:
		q.show("run " + q.r.Run + " in another process")
		return q.alive(ctx, held, ok)
	case ok:
		q.show("waiting for " + held.Holder)
		q.free = 0
		return rep, false, nil
	}
	if q.free++; q.free < freeTwice {
		return rep, false, nil
	}
	return q.self(ctx)
}

// self makes the run itself, for nobody has the lease any more.
func (q *asker) self(ctx context.Context) (Report, bool, error) {
	o := q.o
	o.request = &q.r
	rep, err := q.e.Sync(ctx, o)
	if q.r.Token == 0 && (errors.Is(err, errRequestGone) || errors.Is(err, state.ErrHeld)) {
		q.free = 0
		return rep, false, nil
	}
	if q.r.Token == 0 {
		return rep, true, errors.Join(err, q.withdraw(ctx))
	}
	// Whoever would read the outcome has it.
	if e := q.e.closeRequest(ctx, &q.r, Report{}, nil); e == nil {
		q.drop(ctx)
	}
	return rep, true, err
}

// giveUp takes the request back when its time is over, unless it was just taken.
func (q *asker) giveUp(ctx context.Context) (Report, bool, error) {
	taken, err := q.e.o.Store.DropRequest(ctx, q.r.ID)
	switch {
	case err != nil:
		return Report{}, false, fmt.Errorf("take the request for this run back: %w", err)
	case taken:
		q.until = time.Now().Add(askFor) // the next look shows who has it
		return Report{}, false, nil
	}
	return Report{}, true, fmt.Errorf("no run was begun in time: %w", state.ErrHeld)
}

// alive tells whether whoever took the request still makes the run.
func (q *asker) alive(ctx context.Context, held state.Lease, ok bool) (Report, bool, error) {
	runs, err := q.e.o.Store.Runs(ctx, state.RunFilter{ID: q.r.Run})
	if err != nil {
		return Report{}, false, fmt.Errorf("see how run %s is: %w", q.r.Run, err)
	}
	if len(runs) == 1 && !runs[0].Status.Open() {
		if q.ended.IsZero() {
			q.ended = time.Now()
		}
		if runs[0].Status != state.RunInterrupted && time.Since(q.ended) < q.e.o.LookAgain+toldLate {
			return Report{}, false, nil // he looks again, or is about to tell
		}
		return q.dead(ctx)
	}
	switch {
	case ok && held.Token == q.r.Token:
		q.gone = time.Time{}
		return Report{}, false, nil
	case ok:
		return q.dead(ctx)
	case q.gone.IsZero():
		q.gone = time.Now()
	case time.Since(q.gone) > deadAfter:
		return q.dead(ctx)
	}
	return Report{}, false, nil
}

// dead says that a run was cut off, unless its outcome was told in the same moment.
func (q *asker) dead(ctx context.Context) (Report, bool, error) {
	now, err := q.e.o.Store.RenewRequest(ctx, q.r.ID, askFor)
	if err != nil {
		return Report{}, false, fmt.Errorf("see what became of run %s: %w", q.r.Run, err)
	}
	if !now.Closed.IsZero() {
		rep, err := decodeOutcome(&now)
		q.drop(ctx)
		return rep, true, err
	}
	return Report{RunID: q.r.Run}, true, cutOff(q.r.Run)
}

// leave ends the following of somebody who was interrupted.
func (q *asker) leave(ctx context.Context) error {
	cause := context.Cause(ctx)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	taken, err := q.e.o.Store.DropRequest(ctx, q.r.ID)
	if err != nil || !taken {
		return cause // what is not renewed expires
	}
	if now, err := q.e.o.Store.RenewRequest(ctx, q.r.ID, askFor); err == nil {
		q.r.Request = now
	}
	return &GoesOnError{Run: q.r.Run, Err: cause}
}

func (q *asker) withdraw(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, err := q.e.o.Store.DropRequest(ctx, q.r.ID)
	return err
}

// drop takes away what was read. What stays is forgotten by a later run.
func (q *asker) drop(ctx context.Context) { _ = q.withdraw(ctx) }

// show says what is waited for, once.
func (q *asker) show(stage string) {
	if q.shown != stage {
		q.shown = stage
		q.e.o.Progress(Progress{Stage: stage})
	}
}
