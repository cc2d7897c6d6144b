package reconcile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/state"
)

// A run is a request row: whoever finds the lease held asks its holder for the run, and
// follows what becomes of it.
//
//	            filed                    under the lease            at its end
//	asker  ───────────────►  waiting  ───────────────►  taken  ───────────────►  closed ──► dropped
//	                            │                         │
//	                            └─ expired: not begun     └─ its holder died: told, not repeated

// request is a run that somebody asks for.
type request struct {
	state.Request

	// waits says that whoever makes the run waits for the lease.
	waits bool
}

// forgetRequests is how long a request stays after nobody asked after it any more.
const forgetRequests = time.Hour

// errRequestGone tells that a request expired, or that somebody else has taken it.
var errRequestGone = errors.New("the request is gone")

// asks is what a request can say. A reader that does not know a field of it does not
// make the run: it would be another one.
type asks struct {
	By        string        `json:"by"`
	Trigger   string        `json:"trigger"`
	Reason    string        `json:"reason,omitempty"`
	Audit     bool          `json:"audit,omitempty"`
	Changes   bool          `json:"changes,omitempty"`
	Limits    *guard.Limits `json:"limits,omitempty"`
	Selection *Selection    `json:"selection,omitempty"`
}

// ask writes down what is asked of a run; why says in words what cannot be asked of
// another process.
func (o *RunOptions) ask() (text, why string, err error) {
	switch {
	case len(o.selected.Groups) > 0:
		return "", "whose people are in a group is known to the command that was given --group alone", nil
	case o.Keep || len(o.Bars) > 0 || o.everybody || o.policy != nil || o.tick != nil:
		return "", "a run like this is made by whoever wants it alone", nil
	}
	a := asks{By: o.RequestedBy, Trigger: o.Trigger, Reason: o.Reason, Audit: o.Audit, Changes: o.Changes, Limits: o.Limits}
	if !o.selected.IsZero() {
		a.Selection = &o.selected
	}
	b, err := json.Marshal(a)
	return string(b), "", err
}

// options reads what is asked.
func (r *request) options() (RunOptions, error) {
	var a asks
	d := json.NewDecoder(bytes.NewReader([]byte(r.Asked)))
	d.DisallowUnknownFields()
	if err := d.Decode(&a); err != nil {
		return RunOptions{}, fmt.Errorf("read request %s, which is left to its asker: %w", r.ID, err)
	}
	o := RunOptions{Trigger: a.Trigger, RequestedBy: a.By, Reason: a.Reason, Audit: a.Audit, Changes: a.Changes, Limits: a.Limits, request: r}
	if a.Selection != nil {
		o = o.Select(*a.Selection)
	}
	return o, nil
}

// Wake has those who are due, and runs that are asked for, looked for at once. It never
// blocks.
func (e *Engine) Wake() {
	e.Poke()
	select {
	case e.asked <- struct{}{}:
	default:
	}
}

// ServeRequests makes the runs that others ask for, one after another and the oldest
// first, until ctx ends. One that fails ends nothing: its asker is told.
func (e *Engine) ServeRequests(ctx context.Context) error {
	told := ""
	for ctx.Err() == nil {
		found, ok, err := e.o.Store.NextRequest(ctx, e.o.PolicyDigest)
		if ok && err == nil {
			if err = e.serveRequest(ctx, &request{Request: found, waits: true}); err == nil {
				told = ""
				continue
			}
		}
		wait := pollDue
		if err != nil && ctx.Err() == nil {
			wait = askAgain
			if told != err.Error() { // said once, not every second
				told = err.Error()
				e.log.ErrorContext(ctx, "runs that are asked for wait", "error", err)
			}
		} else {
			told = ""
		}
		select {
		case <-ctx.Done():
		case <-e.asked:
		case <-time.After(wait):
		}
	}
	return nil
}

// serveRequest makes one run. It fails if the run was not begun.
func (e *Engine) serveRequest(ctx context.Context, r *request) error {
	o, err := r.options()
	if err != nil {
		return err
	}
	rep, err := e.Sync(ctx, o)
	switch {
	case errors.Is(err, errRequestGone):
		return nil
	case r.Token == 0:
		return err
	}
	if err := e.closeRequest(ctx, r, rep, err); err != nil {
		e.log.ErrorContext(ctx, "whoever asked for a run cannot be told its outcome", "run", r.Run, "error", err)
	}
	return nil
}

// leaseForRequest takes the lease and, under it, the request.
func (e *Engine) leaseForRequest(ctx context.Context, r *request) (*lease, error) {
	if r.waits {
		e.awaited.Store(true)
		defer e.awaited.Store(false)
		e.Poke()
	}
	for looked := time.Now(); ; {
		l, err := e.takeLease(ctx)
		if err == nil {
			if err = e.takeRequest(ctx, l, r); err != nil {
				l.release()
				return nil, err
			}
			return l, nil
		}
		if !errors.Is(err, state.ErrHeld) || !r.waits {
			return nil, err
		}
		if time.Since(looked) > pollDue {
			next, ok, err := e.o.Store.NextRequest(ctx, e.o.PolicyDigest)
			if err != nil {
				return nil, fmt.Errorf("see whether a run is still asked for: %w", err)
			}
			if !ok || next.ID != r.ID {
				return nil, errRequestGone
			}
			looked = time.Now()
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(TryLease):
		}
	}
}

// takeRequest makes a request this process's, and names the run that is made for it.
func (e *Engine) takeRequest(ctx context.Context, l *lease, r *request) error {
	now, err := e.o.Store.Now(ctx)
	if err != nil {
		return fmt.Errorf("read the store's clock: %w", err)
	}
	taken, ok, err := e.o.Store.TakeRequest(ctx, l.current(), r.ID, runID(now))
	if err != nil {
		return fmt.Errorf("take request %s: %w", r.ID, err)
	}
	if !ok {
		return errRequestGone
	}
	r.Request = taken
	return nil
}

// closeRequest tells the asker what became of his run, even if somebody ended this
// process since.
func (e *Engine) closeRequest(ctx context.Context, r *request, rep Report, ended error) error {
	text, err := encodeOutcome(rep, ended)
	if err != nil {
		return fmt.Errorf("write the outcome of run %s down: %w", r.Run, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := e.o.Store.CloseRequest(ctx, r.ID, r.Token, text); err != nil {
		return fmt.Errorf("close request %s: %w", r.ID, err)
	}
	return nil
}
