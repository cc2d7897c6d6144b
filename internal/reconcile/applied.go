package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// succeeded counts an op that was carried out, and notes who is to be looked at again.
func (a *applier) succeeded(d *plan.Decision, op plan.Op) {
	a.count(func() {
		a.counts.Done++
		a.inARow, a.personal, a.alike = 0, 0, nil
		if takes(op) && a.e.o.LookAgain > 0 {
			a.due[d.Key] = time.Now().Add(a.e.o.LookAgain)
		}
	})
}

func (a *applier) fail(ctx context.Context, ref state.OpRef, d *plan.Decision, op plan.Op, who *person, cause error) error {
	row, enough := 0, false
	a.count(func() {
		a.counts.Failed++
		if op.Kind.Hangs() { // else it says nothing about the rest
			row, enough = a.anotherInARow(cause)
		}
		a.failures = append(a.failures, Failure{Key: d.Key, Username: d.Username, Op: op.Kind, Error: cause.Error()})
		switch {
		case isUnknown(cause):
			a.open[d.Key] = true
			a.due[d.Key] = time.Now().Add(a.e.o.SettleAfter)
		case mismatch(cause) && takes(op) && a.e.o.LookAgain > 0: // lost to another write, and seen to be
			a.due[d.Key] = time.Now()
		}
	})
	// What may still arrive stays sent and is looked after; so does what no later look
	// at the account would miss, which the next run repeats.
	if !isUnknown(cause) && !owed(op) {
		out := state.Outcome{Ref: ref, Status: state.OpFailed, AccountID: who.id(d), At: time.Now(), Before: who.account, Error: cause.Error()}
		if refusedPicture(op, cause) && who.link != nil {
			link := *who.link
			link.Applied.PictureRefused, _ = op.To(plan.FieldPicture)
			out.Link, who.link = &link, &link
		}
		if err := a.record(ctx, out); err != nil {
			return err
		}
	} else {
		a.e.o.Watch.changed(d.Action, state.OpSent)
	}
	// What the server said may name the person: it is in the history.
	a.e.log.InfoContext(ctx, "not changed", "run", a.runID, "source", d.Key.Source, "anchor", d.Key.Anchor,
		"account", who.id(d), "action", string(d.Action), "reason", string(d.Reason), "op", string(op.Kind))
	// The account may not be what it was taken for; a patch of one that is gone
	// is answered with "invalid body", seen on 11.6.
	if err := a.unsee(ctx, who); err != nil {
		return err
	}
	switch {
	case unauthorized(cause):
		return fmt.Errorf("the server no longer accepts mmsync's token, so the run was stopped; give it a new one: %w", cause)
	case enough:
		return fmt.Errorf("%d calls in a row failed, so the run was stopped; the last: %w", row, cause)
	}
	return nil
}

// abortAfter is how many failures in a row show that the fault is not with the
// people but with the server or the token; of refusals whose cause is known to be one
// person's own it takes abortAfterOwn, with no success between them, to blame the mapping.
const (
	abortAfter    = 25
	abortAfterOwn = 10 * abortAfter
)

// anotherInARow counts a failure, gives how many like it there were in a row, and tells
// whether they say enough about the rest to stop: whatever was not answered with a
// definite no, and, counted apart, each no that is the same for everybody of whom it was
// asked. One whose cause is known to be the person's own ends no row and hardly counts:
// those who are refused in each run would keep everybody behind them out.
func (a *applier) anotherInARow(cause error) (row int, enough bool) {
	id, known := refusal(cause)
	switch {
	case known:
		a.personal++
		return a.personal, a.personal >= abortAfterOwn
	case id == "":
		a.inARow++
		return a.inARow, a.inARow >= abortAfter
	}
	if a.alike == nil {
		a.alike = map[string]int{}
	}
	a.alike[id]++
	return a.alike[id], a.alike[id] >= abortAfter
}

func (a *applier) skip(ctx context.Context, ref state.OpRef, d *plan.Decision, index int, cause string) error {
	a.count(func() {
		a.counts.Skipped++
		a.failures = append(a.failures, Failure{Key: d.Key, Username: d.Username, Op: d.Ops[index].Kind, Error: cause})
	})
	return a.record(ctx, state.Outcome{Ref: ref, Status: state.OpSkipped, AccountID: d.AccountID, At: time.Now(), Error: cause})
}

// yield leaves an op to the push that took the person over since the plan was made.
// What has to follow stays open: the next run makes it, if there is something to follow.
func (a *applier) yield(ctx context.Context, ref state.OpRef, d *plan.Decision) error {
	if owed(d.Ops[ref.Op]) {
		return nil
	}
	return a.record(ctx, state.Outcome{Ref: ref, Status: state.OpDropped, AccountID: d.AccountID, At: time.Now(), Error: "a push about the person came since the plan was made, and was worked on instead"})
}

// own is a step that changes the link alone.
func (a *applier) own(ctx context.Context, ref state.OpRef, d *plan.Decision, index int, who *person) (ok bool, err error) {
	why, err := a.heldBack(ctx, d, d.Ops[index])
	switch {
	case err != nil:
		return false, err
	case why != "":
		return false, a.keep(ctx, ref, d, index, why, why)
	}
	return true, a.relink(ctx, ref, d, d.Ops[index], who)
}

// keep leaves an op undone, because this kind of call is stopped or an operator
// stopped it: why is counted, said is recorded with the op.
func (a *applier) keep(ctx context.Context, ref state.OpRef, d *plan.Decision, index int, why, said string) error {
	a.mu.Lock()
	a.stopped[why]++
	a.mu.Unlock()
	if owed(d.Ops[index]) {
		return nil // it stays open, and the next run makes it
	}
	return a.skip(ctx, ref, d, index, said)
}

func (a *applier) record(ctx context.Context, o state.Outcome) error {
	a.e.pending.mu.RLock()
	err := a.e.o.Store.RecordOp(ctx, a.lease.current(), o)
	if err == nil {
		d := &a.plan.Decisions[o.Ref.Decision]
		a.reserved.did(d, o.Ref.Op)
		a.e.pending.recorded(d, o)
	}
	a.e.pending.mu.RUnlock()
	if err == nil {
		a.e.o.Watch.changed(a.plan.Decisions[o.Ref.Decision].Action, o.Status)
		return nil
	}
	if errors.Is(err, state.ErrFenced) {
		a.lease.cancel(err)
	}
	return fmt.Errorf("record op %s: %w", o.Ref, err)
}

func (a *applier) count(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
	a.done++
	a.e.o.Progress(Progress{Stage: "applying", Done: a.done, Total: a.total})
}
