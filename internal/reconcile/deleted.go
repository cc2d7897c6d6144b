package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// What becomes of calls that delete accounts for good. The server switches the account off
// anew before all else, takes what belongs to it, and takes the account itself last (read
// in its source): one that is there with a new delete_at was begun and not finished. That
// is a deletion of mmsync's own, which a later one goes on with.

// deletions counts the accounts whose deletion was begun since a time, and gives those
// of any time that were not finished.
func (e *Engine) deletions(ctx context.Context, t time.Time) (int, map[string]plan.Begun, error) {
	runs, err := e.o.Store.Runs(ctx, state.RunFilter{Kind: kindForGood})
	if err != nil {
		return 0, nil, fmt.Errorf("list the runs that deleted accounts: %w", err)
	}
	lately, begun := map[string]bool{}, map[string]plan.Begun{}
	for i := range runs {
		ops, err := e.o.Store.Ops(ctx, state.OpFilter{
			Run: runs[i].ID, Statuses: []state.OpStatus{state.OpSent, state.OpDone, state.OpObserved, state.OpFailed, state.OpDropped},
		})
		if err != nil {
			return 0, nil, fmt.Errorf("read what run %s deleted: %w", runs[i].ID, err)
		}
		for _, op := range ops {
			closed := op.Status == state.OpFailed || op.Status == state.OpDropped
			if closed && op.After == nil {
				continue // it had no effect
			}
			if !runs[i].StartedAt.Before(t) {
				lately[op.AccountID] = true
			}
			if was, err := strconv.ParseInt(op.Op.Changes[0].From, 10, 64); closed && err == nil && op.After.DeleteAt > begun[op.AccountID].At {
				begun[op.AccountID] = plan.Begun{At: op.After.DeleteAt, Before: was}
			}
		}
	}
	return len(lately), begun, nil
}

// deleted records what became of a call that deletes an account for good. gone is why
// the server is not there, nil if it is.
func (a *applier) deleted(ctx context.Context, ref state.OpRef, d *plan.Decision, op plan.Op, who *person, sent time.Time, gone, callErr error) (ok bool, err error) {
	switch {
	case deletionOff(callErr):
		return false, errors.Join(fmt.Errorf("%w: %w", ErrRefused, errDeletionOff), a.fail(ctx, ref, d, op, who, callErr))
	case callErr != nil && !isUnknown(callErr) && !mismatch(callErr):
		return false, a.fail(ctx, ref, d, op, who, callErr)
	case callErr != nil:
		now, there, err := identity.Account{}, false, gone
		if gone == nil {
			now, there, err = a.e.o.Target.Account(ctx, d.AccountID)
		}
		switch {
		case err != nil:
			return false, fmt.Errorf("the server went away while the account of %s was being deleted: %w; the next run looks first what became of this call", d.Key, err)
		case there && begins(op, now, sent) && !isUnknown(callErr): // else it may still be at work
			return false, a.halfDeleted(ctx, ref, d, op, who, now)
		case there:
			return false, a.fail(ctx, ref, d, op, who, callErr)
		}
	}
	out := state.Outcome{Ref: ref, Status: state.OpDone, AccountID: d.AccountID, At: time.Now(), Before: who.account, Unlink: true}
	if err := a.record(ctx, out); err != nil {
		return false, err
	}
	who.link, who.account = nil, nil
	a.changed(ctx, d, op, d.AccountID)
	a.succeeded(d, op)
	return true, nil
}

// halfDeleted records a deletion that was begun and not finished, as a failure.
func (a *applier) halfDeleted(ctx context.Context, ref state.OpRef, d *plan.Decision, op plan.Op, who *person, now identity.Account) error {
	out := half(ref, who.link, who.account, now)
	if err := a.record(ctx, out); err != nil {
		return err
	}
	who.link, who.account = out.Link, &now
	a.count(func() {
		a.counts.Failed++
		a.inARow++
		a.failures = append(a.failures, Failure{Key: d.Key, Username: d.Username, Op: op.Kind, Error: begunOnly})
	})
	a.e.log.WarnContext(ctx, "deletion not finished", "run", a.runID, "source", d.Key.Source, "anchor", d.Key.Anchor, "account", now.ID)
	return nil
}

// begins tells whether an account shows that a call that deletes it for good, sent at the
// given time, was begun.
func begins(op plan.Op, now identity.Account, sent time.Time) bool {
	return !now.Active() && value(now, plan.FieldOffSince) != op.Changes[0].From && near(now.DeleteAt, sent, dateSlack)
}

const begunOnly = "the server began to delete the account and did not finish, and what the person wrote may be gone in part; mmsync delete-accounts apply with the same plan goes on with it"

// half closes an op that was begun and not finished. That it switched the account off
// anew was mmsync's call, so the account stays mmsync's to switch on.
func half(ref state.OpRef, link *identity.Link, before *identity.Account, now identity.Account) state.Outcome {
	out := state.Outcome{Ref: ref, Status: state.OpFailed, AccountID: now.ID, At: time.Now(), Before: before, After: &now, Error: begunOnly}
	if link != nil {
		next := *link
		next.DeactivatedAt, next.Observed, next.Written = now.DeleteAt, &now, time.UnixMilli(now.UpdateAt)
		out.Link = &next
	}
	return out
}

// settleDeletion closes an op that deletes an account for good and whose answer was
// lost, or tells until when it may still arrive.
func (e *Engine) settleDeletion(ctx context.Context, l state.Lease, op state.OpRecord, offset time.Duration) (until time.Time, err error) {
	now, err := e.o.Store.Now(ctx)
	if err != nil {
		return until, fmt.Errorf("read the store's clock: %w", err)
	}
	account, there, err := e.o.Target.Account(ctx, op.AccountID)
	if err != nil {
		return until, fmt.Errorf("look whether account %s is still there: %w", op.AccountID, err)
	}
	if !there {
		defer e.pending.forget(op.Key)
		return until, e.o.Store.RecordOp(ctx, l, state.Outcome{Ref: op.Ref, Status: state.OpObserved, AccountID: op.AccountID, At: now, Unlink: true})
	}
	if until = e.arrived(op, offset, now); time.Until(until) > 0 {
		return until, nil
	}
	out := state.Outcome{Ref: op.Ref, Status: state.OpDropped, AccountID: op.AccountID, At: now, Error: "the run was interrupted; the call had no effect"}
	if begins(op.Op, account, op.SentAt) {
		link, err := e.linkOf(ctx, op.Key)
		if err != nil {
			return until, fmt.Errorf("read the link of %s: %w", op.Key, err)
		}
		out = half(op.Ref, link, op.Before, account)
		out.At = now
	}
	return time.Time{}, e.o.Store.RecordOp(ctx, l, out)
}
