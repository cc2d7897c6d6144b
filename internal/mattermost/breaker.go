package mattermost

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

const (
	// doubtAfter calls that failed in a row have the server asked how it is; more than
	// one call's own repeats make.
	doubtAfter = maxRetries + 2
	// certainAfter calls that failed in a row stand for a server that is away, even if it
	// calls itself well.
	certainAfter = 3 * doubtAfter
	// firstAsk and lastAsk are how long is waited before the server is asked again:
	// each answer makes it write to its database.
	firstAsk, lastAsk = time.Second, 30 * time.Second
	// askTakes is how long such an answer may take: the server also looks for its files,
	// for which mmsync has no use, and waits for an S3 that does not answer for up to 30 s.
	askTakes = 40 * time.Second
)

// breaker keeps calls back while the server is away, for runs and pushes alike.
//
//	closed ── calls fail in a row, and the server is not well ──► open
//	open   ── the server calls itself well ──► trying: one call goes
//	trying ── it is answered ──► closed;  it fails ──► open
//
// It has no goroutine: the server is asked by whoever wants to go when it is time.
type breaker struct {
	ask     func(context.Context) error
	rideOut time.Duration
	told    func(open bool, why error)

	mu     sync.Mutex
	state  breakerState
	row    int // failures since the last answer
	since  time.Time
	why    error
	wait   time.Duration // before the server is asked next
	next   time.Time
	asking bool
	moved  chan struct{} // closed when any of these changes
}

type breakerState int

const (
	closed breakerState = iota
	open
	trying
)

// AwayError tells that a call was kept back because the server is away.
type AwayError struct {
	Since time.Time
	Err   error // what it answered last, or why it did not
}

func (e *AwayError) Error() string {
	return fmt.Sprintf("Mattermost has been away since %s UTC: %v", e.Since.UTC().Format(time.DateTime), e.Err)
}

// Unwrap gives what it answered last.
func (e *AwayError) Unwrap() error { return e.Err }

// Transient is always true, whatever the server's last answer was.
func (e *AwayError) Transient() bool { return true }

func newBreaker(rideOut time.Duration, ask func(context.Context) error, told func(bool, error)) *breaker {
	return &breaker{ask: ask, rideOut: rideOut, told: told, moved: make(chan struct{})}
}

// status tells whether calls are kept back, since when and why.
func (b *breaker) status() (isOpen bool, since time.Time, why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state != closed, b.since, b.why
}

// change notes that something moved; it is called with the lock held.
func (b *breaker) change() {
	close(b.moved)
	b.moved = make(chan struct{})
}

// enter waits until a call may go. trial says that it is the one that shows whether the
// server is back: what becomes of it must be told to done. patience is how long after
// the server went away it is waited for.
func (b *breaker) enter(ctx context.Context, patience time.Duration) (trial bool, err error) {
	for {
		b.mu.Lock()
		if b.state == closed {
			b.mu.Unlock()
			return false, nil
		}
		now := time.Now()
		due := b.state == open && !b.asking
		if due && !now.Before(b.next) {
			b.asking = true
			b.mu.Unlock()
			if b.askNow(ctx) {
				return true, nil
			}
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			continue
		}
		end := b.since.Add(patience)
		if b.state == open && !now.Before(end) {
			err := &AwayError{Since: b.since, Err: b.why}
			b.mu.Unlock()
			return false, err
		}
		moved, until := b.moved, end
		if due {
			until = earliest(end, b.next)
		} else if b.state == trying {
			until = now.Add(time.Hour) // it moves when the trial has ended
		}
		b.mu.Unlock()
		timer := time.NewTimer(until.Sub(now))
		select {
		case <-ctx.Done():
			timer.Stop()
			return false, ctx.Err()
		case <-moved:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// askNow asks the server while the breaker is open; true means that it is well, and that
// the caller's call is the trial.
func (b *breaker) askNow(ctx context.Context) bool {
	err := b.asked(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asking = false
	defer b.change()
	switch {
	case err == nil:
		b.state = trying
		return true
	case ctx.Err() == nil:
		b.why = err
		b.later()
	}
	return false
}

func (b *breaker) asked(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTakes)
	defer cancel()
	return b.ask(ctx)
}

// later puts the next question off, with jitter, so that several processes do not ask
// at once.
func (b *breaker) later() {
	b.wait = min(max(2*b.wait, firstAsk), lastAsk)
	b.next = time.Now().Add(b.wait*3/4 + rand.N(b.wait/2))
}

// opened keeps calls back from now on; it is called with the lock held.
func (b *breaker) opened(why error) {
	if b.state == closed {
		b.since, b.wait = time.Now(), 0
		b.told(true, why)
	}
	b.state, b.why = open, why
	b.later()
	b.change()
}

// done notes what became of a call. failed: it was not answered, or in a way that says
// nothing but that the server is not itself; nil and answered false: neither, as if it
// had not been made.
func (b *breaker) done(ctx context.Context, trial, answered bool, failed error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case trial && answered:
		b.state, b.row, b.why, b.wait = closed, 0, nil, 0
		b.told(false, nil)
		b.change()
	case trial && failed != nil:
		b.opened(failed)
	case trial:
		b.state, b.next = open, time.Now()
		b.change()
	case answered:
		b.row = 0
	case failed != nil && b.state == closed:
		b.row++
		if b.row%doubtAfter == 0 && !b.asking {
			b.doubt(ctx, failed)
		}
	}
}

// doubt asks the server how it is after calls have failed in a row. It is called with
// the lock held, and gives it away meanwhile.
func (b *breaker) doubt(ctx context.Context, failed error) {
	b.asking = true
	b.mu.Unlock()
	err := b.asked(context.WithoutCancel(ctx))
	b.mu.Lock()
	b.asking = false
	switch {
	case b.state != closed:
		b.change() // somebody else opened it, and asking is free again
	case err != nil:
		b.opened(err)
	case b.row >= certainAfter:
		b.opened(failed)
	}
}

// heard notes what the server said when somebody asked it how it is.
func (b *breaker) heard(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err != nil && b.state == closed:
		b.opened(err)
	case err != nil && b.state == open:
		b.why = err
	case err == nil && b.state == open:
		b.next = time.Now()
		b.change()
	}
}

// askSoon has the server asked by the next call, however long that was put off.
func (b *breaker) askSoon() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == open {
		b.next = time.Now()
		b.change()
	}
}

// verdict tells what a call's end says about the server: 429 and refusals are answers;
// what was kept back here says nothing.
func verdict(err error) (answered bool, failed error) {
	if err == nil {
		return true, nil
	}
	if e, ok := asAPI(err); ok {
		if e.away || e.Status >= 500 && e.Status != http.StatusNotImplemented && !e.saveFailed() {
			return false, err
		}
		return true, nil
	}
	var ce *CallError
	given := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) // up, by the caller
	if !errors.As(err, &ce) || ce.stayed || ce.local || given || errors.Is(err, ErrNotAllowed) {
		return false, nil
	}
	return false, err
}

// Breaker tells whether calls are kept back because the server is away, since when and
// why; runs and pushes share it.
func (c *Client) Breaker() (isOpen bool, since time.Time, why string) {
	isOpen, since, err := c.breaker.status()
	if err != nil {
		why = err.Error()
	}
	return isOpen, since, why
}

func (c *Client) sayAway(isOpen bool, why error) {
	switch {
	case c.log == nil:
	case isOpen:
		c.log.Warn("Mattermost is away; calls wait, and it is asked until it is back", "error", why)
	default:
		c.log.Info("Mattermost is back; calls go on")
	}
}

// health asks once; any error is a reason to keep calls back. A server that limits how
// often it is asked is there.
func (c *Client) health(ctx context.Context) error {
	h, err := c.ping(ctx)
	if e, ok := asAPI(err); ok && e.Status == http.StatusTooManyRequests {
		return nil
	}
	if err != nil {
		return err
	}
	if !h.Database {
		return &CallError{
			Method: http.MethodGet, Path: apiPrefix + "/system/ping", Sent: true,
			Err: errors.New("the server does not reach its database; wait until it does"),
		}
	}
	return nil
}

// Breaker is that of the client, see [Client.Breaker].
func (t *Target) Breaker() (isOpen bool, since time.Time, why string) { return t.c.Breaker() }

// Healthy asks the server whether it and its database are up. nil means yes;
// any error is a reason to believe no denial and no "not found", and keeps calls
// back until the server is well again.
func (t *Target) Healthy(ctx context.Context) error {
	err := t.c.health(ctx)
	if ctx.Err() == nil {
		t.c.breaker.heard(err)
	}
	return err
}

// Reachable fails while calls are kept back. It asks the server when it is time for
// that, and makes the one call that shows whether it is back.
func (t *Target) Reachable(ctx context.Context) error { return t.c.reachable(ctx, 0) }

// Await is Healthy, and waits for a server that is away until it is back, until
// Options.RideOut has passed since it went, or ctx ends.
func (t *Target) Await(ctx context.Context) error {
	if err := t.Healthy(ctx); err == nil {
		return nil
	} else if t.c.breaker.rideOut <= 0 || ctx.Err() != nil {
		return err
	}
	return t.c.reachable(ctx, t.c.breaker.rideOut)
}

func (c *Client) reachable(ctx context.Context, patience time.Duration) error {
	for {
		trial, err := c.breaker.enter(ctx, patience)
		if err != nil || !trial {
			return err
		}
		q := call{method: http.MethodGet, path: "/users/me", urgent: true}
		err = c.attempt(ctx, &q)
		answered, failed := verdict(err)
		c.breaker.done(ctx, true, answered, failed)
		if answered {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}
