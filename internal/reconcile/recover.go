package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// sendBy is how long after it was marked as sent a call may still leave: waiting
// for the rate limit and repeats end then.
const sendBy = 30 * time.Second

// settleAfter is the default of Options.SettleAfter: the last moment to leave, the
// client's time-out of 45 s, and some slack.
const settleAfter = sendBy + 50*time.Second

// dateSlack is how far the server's clock may be from where its Date header puts
// it: the header counts whole seconds.
const dateSlack = 2 * time.Second

// recover looks into what an interrupted run left: ops never sent are closed,
// ops sent without a recorded answer are closed by what the server shows. Those
// whose call may still arrive stay open, and their accounts busy.
func (e *Engine) recover(ctx context.Context, l *lease, offset time.Duration) (busy, error) {
	ids, err := e.o.Store.InterruptRuns(ctx, l.current())
	if err != nil {
		return busy{}, fmt.Errorf("close interrupted runs: %w", err)
	}
	now, err := e.o.Store.Now(ctx)
	if err != nil {
		return busy{}, fmt.Errorf("read the store's clock: %w", err)
	}
	if err := e.o.Store.ForgetRequests(ctx, l.current(), now.Add(-forgetRequests)); err != nil {
		return busy{}, fmt.Errorf("forget requests that nobody asks after: %w", err)
	}
	for _, id := range ids { // whoever made them did not live to count them
		run, err := e.run(ctx, id)
		if err != nil {
			return busy{}, err
		}
		e.o.Watch.ran(&run, &Report{})
	}
	if err := e.closeDeadPlans(ctx); err != nil {
		return busy{}, err
	}
	return e.closeOps(ctx, l, offset)
}

// closeOps closes what is known of ops that were planned earlier.
func (e *Engine) closeOps(ctx context.Context, l *lease, offset time.Duration) (busy, error) {
	var b busy
	open, err := e.o.Store.Ops(ctx, state.OpFilter{Statuses: []state.OpStatus{state.OpPending, state.OpSent}})
	if err != nil {
		return b, fmt.Errorf("read unfinished ops: %w", err)
	}
	for i := range open {
		if err := e.closeOp(ctx, l, open[i], offset, &b); err != nil {
			return b, err
		}
	}
	return b, nil
}

// closeOp closes what is known of one op, or adds to b what it has to wait for.
func (e *Engine) closeOp(ctx context.Context, l *lease, op state.OpRecord, offset time.Duration, b *busy) error {
	switch due, waits, err := e.followDue(ctx, op); {
	case err != nil:
		return err
	case due:
		b.sessions = append(b.sessions, op)
		return nil
	case waits:
		return nil
	}
	switch due, waits, err := e.backDue(ctx, op); {
	case err != nil:
		return err
	case due:
		until, why, err := e.giveBack(ctx, l, op, offset)
		if err != nil {
			return fmt.Errorf("give back the login of an interrupted run: %w", err)
		}
		switch {
		case !until.IsZero():
			b.add(op, until)
		case why != "":
			b.stray(op, why)
		}
		return nil
	case waits:
		return nil
	}
	settle := e.settle
	if op.Op.Kind == plan.DeleteAccount && op.Status == state.OpSent {
		settle = e.settleDeletion
	}
	until, err := settle(ctx, l.current(), op, offset)
	if err != nil {
		return fmt.Errorf("settle op %s of an interrupted run: %w", op.Ref, err)
	}
	if !until.IsZero() {
		b.add(op, until)
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.met, op.Ref)
	return nil
}

// closeDeadPlans closes the rows of plans whose process ended without a word.
// They hold no lease, so that only their age tells.
func (e *Engine) closeDeadPlans(ctx context.Context) error {
	now, err := e.o.Store.Now(ctx)
	if err != nil {
		return fmt.Errorf("read the store's clock: %w", err)
	}
	plans, err := e.o.Store.Runs(ctx, state.RunFilter{Kind: "plan", Statuses: []state.RunStatus{state.RunPlanning}})
	if err != nil {
		return fmt.Errorf("list unfinished plans: %w", err)
	}
	for _, p := range plans {
		if now.Sub(p.StartedAt) < time.Hour {
			continue
		}
		p.Status, p.FinishedAt, p.Message = state.RunInterrupted, now, "its process ended without a word"
		if err := e.o.Store.SaveRun(ctx, p); err != nil {
			return fmt.Errorf("close unfinished plan %s: %w", p.ID, err)
		}
	}
	return nil
}

// settle closes one op, or tells until when its call may still arrive. offset is
// how far the server's clock is ahead of ours; ops are marked as sent by the
// server's.
func (e *Engine) settle(ctx context.Context, l state.Lease, op state.OpRecord, offset time.Duration) (until time.Time, err error) {
	now, err := e.o.Store.Now(ctx)
	if err != nil {
		return until, err
	}
	out := state.Outcome{Ref: op.Ref, Status: state.OpDropped, At: now, AccountID: op.AccountID, Error: "the run was interrupted before this call"}
	if op.Status == state.OpPending {
		return until, e.closePending(ctx, l, op, out)
	}
	_, makes := op.Op.Makes()
	if op.AccountID == "" && op.Op.Kind != plan.CreateAccount && !makes {
		// A later call of a creation: the account came with the link.
		link, err := e.linkOf(ctx, op.Key)
		if err != nil {
			return until, err
		}
		if link == nil {
			return until, e.o.Store.RecordOp(ctx, l, out)
		}
		op.AccountID, out.AccountID = link.AccountID, link.AccountID
	}
	if why := unshown(op.Op); why != "" {
		if !op.Op.Kind.Hangs() { // the next one must not meet it on its way
			if until = e.arrived(op, offset, now); until.After(time.Now()) {
				return until, nil
			}
			until = time.Time{}
		}
		out.Error = "the run was interrupted during this call, and " + why
		return until, e.o.Store.RecordOp(ctx, l, out)
	}
	a, err := e.effect(ctx, op)
	if err != nil {
		return until, err
	}
	if a == nil {
		if until = e.arrived(op, offset, now); time.Until(until) > 0 {
			return until, nil
		}
		out.Error = "the run was interrupted; the call had no effect"
		return time.Time{}, e.o.Store.RecordOp(ctx, l, out)
	}
	out.Status, out.AccountID, out.Error = state.OpObserved, a.ID, ""
	defer e.pending.forget(op.Key)
	if makes { // which is nobody's
		return until, e.o.Store.RecordOp(ctx, l, out)
	}
	out.After = a
	link, err := e.linkOf(ctx, op.Key)
	if err != nil {
		return until, err
	}
	if out.Link = linkAfter(link, op.Key, op.SourceRef, op.Op, *a, now); op.Op.SpaceID == "" {
		// The account may have changed since; what is sure is when this was sent.
		out.Link.Written = op.SentAt.Add(-dateSlack)
	}
	return until, e.o.Store.RecordOp(ctx, l, out)
}

// closePending closes an op of which no call was made.
func (e *Engine) closePending(ctx context.Context, l state.Lease, op state.OpRecord, out state.Outcome) error {
	// The links of an account that goes to another source are put before its row is
	// closed.
	if heir, hands := op.Op.To(plan.FieldKey); hands {
		to, _ := identity.ParseKey(heir)
		link, err := e.linkOf(ctx, to)
		if err != nil {
			return err
		}
		if link != nil && link.Part == identity.Owner && link.AccountID == op.AccountID {
			out.Status, out.Error = state.OpObserved, ""
		}
	}
	return e.o.Store.RecordOp(ctx, l, out)
}
