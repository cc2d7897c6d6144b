package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// endsOldSessions tells the op that ends the sessions of a login that was moved, or of
// somebody who was made a guest.
// A leaver's sessions are another matter: that op is planned again.
func endsOldSessions(op plan.Op) bool {
	to, _ := op.To(plan.FieldActive)
	return op.Kind == plan.RevokeSessions && to != "false"
}

// followDue tells whether what has to follow the move of a login, or the making of a
// guest, is still to be done, the end of the sessions begun before or the mail with the
// way to a new password: no later look at the account shows that it is not. While it is
// not known whether the login was moved, the op waits.
func (e *Engine) followDue(ctx context.Context, op state.OpRecord) (due, waits bool, err error) {
	if !endsOldSessions(op.Op) && op.Op.Kind != plan.MailReset {
		return false, false, nil
	}
	ops, err := e.o.Store.Ops(ctx, state.OpFilter{Run: op.Ref.Run, Key: op.Key})
	if err != nil {
		return false, false, fmt.Errorf("read what was done before: %w", err)
	}
	for _, o := range ops {
		if o.Op.MovesLogin() || o.Op.Kind == plan.Demote {
			due = due || o.Status == state.OpDone || o.Status == state.OpObserved
			waits = waits || o.Status == state.OpSent
		}
	}
	return due, waits && !due, nil
}

// endSessions carries out what earlier runs had planned, journaled and not come
// to. It can be repeated without harm; what does not succeed is left to the next run.
func (e *Engine) endSessions(ctx context.Context, l *lease, g *gathered) error {
	if g.facts.SetBack {
		return nil // nothing is taken from anybody; the next run does it
	}
	for _, op := range g.busy.sessions {
		if held, err := e.stopped(ctx, op.Key, op.Ref.Run, g.now); err != nil {
			return err
		} else if held != "" { // when the hold ends
			if op.Op.Kind == plan.MailReset {
				g.problems = append(g.problems, fmt.Sprintf(unmailed, op.AccountID, held))
			}
			continue
		}
		out := state.Outcome{Ref: op.Ref, Status: state.OpDropped, AccountID: op.AccountID, At: time.Now()}
		link, err := e.linkOf(ctx, op.Key)
		if err != nil {
			return err
		}
		if why := g.facts.Protected[op.AccountID]; why != "" {
			out.Error = "the account is protected by now: " + why
		} else if link == nil || link.AccountID != op.AccountID {
			out.Error = "the account is not this person's any more"
		} else if out.Error, err = e.needless(ctx, op); err != nil {
			return err
		}
		if out.Error != "" {
			if err := e.o.Store.RecordOp(ctx, l.current(), out); err != nil {
				return fmt.Errorf("record op %s: %w", op.Ref, err)
			}
			continue
		}
		until, err := l.right(ctx)
		if err != nil {
			return err
		}
		if op.Status == state.OpPending {
			if err := e.o.Store.MarkSent(ctx, l.current(), op.Ref, time.Now()); err != nil {
				return fmt.Errorf("mark op %s as sent: %w", op.Ref, err)
			}
		}
		sendCtx, stop := context.WithDeadline(ctx, until)
		after, err := e.o.Target.Apply(sendCtx, op.AccountID, op.Op)
		stop()
		if err == nil {
			out.Status, out.After = state.OpDone, &after
		} else if _, there, rerr := e.o.Target.Account(ctx, op.AccountID); rerr == nil && !there {
			out.Status, out.Error = state.OpFailed, err.Error()
		} else {
			missing := "the sessions of account %s, whose login was moved or who was made a guest, could not be ended yet; the next run tries again: %v"
			if op.Op.Kind == plan.MailReset {
				missing = unmailed
			}
			g.problems = append(g.problems, fmt.Sprintf(missing, op.AccountID, err))
			continue
		}
		if err := e.o.Store.RecordOp(ctx, l.current(), out); err != nil {
			return fmt.Errorf("record op %s: %w", op.Ref, err)
		}
	}
	return nil
}

const unmailed = "the link to a new password could not be mailed to account %s yet, which nobody can log in to until it is; the next run tries again: %v"

// needless says why nobody needs what has to follow a move of a login any more; "" if
// somebody does.
func (e *Engine) needless(ctx context.Context, op state.OpRecord) (string, error) {
	if op.Op.Kind != plan.MailReset {
		return "", nil
	}
	a, there, err := e.o.Target.Account(ctx, op.AccountID)
	switch {
	case err != nil:
		return "", fmt.Errorf("look at account %s, whose password was taken: %w", op.AccountID, err)
	case !there:
		return "the account is not there any more", nil
	case !a.Active():
		return "the account is off by now", nil
	case a.Auth.Service != "":
		return "the account logs in by " + a.Auth.Service + " by now", nil
	}
	return "", nil
}
