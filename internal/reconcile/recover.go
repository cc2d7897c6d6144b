package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
func (e *Engine) recover(ctx context.Context, l state.Lease, offset time.Duration) (busy, error) {
	ids, err := e.o.Store.InterruptRuns(ctx, l)
	if err != nil {
		return busy{}, fmt.Errorf("close interrupted runs: %w", err)
	}
	now, err := e.o.Store.Now(ctx)
	if err != nil {
		return busy{}, fmt.Errorf("read the store's clock: %w", err)
	}
	if err := e.o.Store.ForgetRequests(ctx, l, now.Add(-forgetRequests)); err != nil {
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
func (e *Engine) closeOps(ctx context.Context, l state.Lease, offset time.Duration) (busy, error) {
	var b busy
	open, err := e.o.Store.Ops(ctx, state.OpFilter{Statuses: []state.OpStatus{state.OpPending, state.OpSent}})
	if err != nil {
		return b, fmt.Errorf("read unfinished ops: %w", err)
	}
	for i := range open {
		switch due, waits, err := e.revokeDue(ctx, open[i]); {
		case err != nil:
			return b, err
		case due:
			b.sessions = append(b.sessions, open[i])
			continue
		case waits:
			continue
		}
		until, err := e.settle(ctx, l, open[i], offset)
		if err != nil {
			return b, fmt.Errorf("settle op %s of an interrupted run: %w", open[i].Ref, err)
		}
		if !until.IsZero() {
			b.add(open[i], until)
			continue
		}
		e.mu.Lock()
		delete(e.met, open[i].Ref)
		e.mu.Unlock()
	}
	return b, nil
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
		return until, e.o.Store.RecordOp(ctx, l, out)
	}
	if op.AccountID == "" && op.Op.Kind != plan.CreateAccount {
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
	out.Status, out.AccountID, out.After, out.Error = state.OpObserved, a.ID, a, ""
	link, err := e.linkOf(ctx, op.Key)
	if err != nil {
		return until, err
	}
	out.Link = linkAfter(link, op.Key, op.SourceRef, op.Op, *a, now)
	// The account may have changed since; what is sure is when this was sent.
	out.Link.Written = op.SentAt.Add(-dateSlack)
	defer e.pending.forget(op.Key)
	return until, e.o.Store.RecordOp(ctx, l, out)
}

// endsOldSessions tells the op that ends the sessions of a login that was moved.
// A leaver's sessions are another matter: that op is planned again.
func endsOldSessions(op plan.Op) bool {
	to, _ := op.To(plan.FieldActive)
	return op.Kind == plan.RevokeSessions && to != "false"
}

// revokeDue tells whether sessions are still to be ended because the login they
// were begun with was moved: no later look at the account shows that they are not.
// While it is not known whether it was moved, the op waits.
func (e *Engine) revokeDue(ctx context.Context, op state.OpRecord) (due, waits bool, err error) {
	if !endsOldSessions(op.Op) {
		return false, false, nil
	}
	ops, err := e.o.Store.Ops(ctx, state.OpFilter{Run: op.Ref.Run, Key: op.Key})
	if err != nil {
		return false, false, fmt.Errorf("read what was done before: %w", err)
	}
	for _, o := range ops {
		if o.Op.Kind == plan.SetAuth {
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
		if g.stops.hold(op.Key) != nil {
			continue // when the hold ends
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
			g.problems = append(g.problems, fmt.Sprintf("the sessions of account %s, whose login was moved, could not be ended yet; the next run tries again: %v", op.AccountID, err))
			continue
		}
		if err := e.o.Store.RecordOp(ctx, l.current(), out); err != nil {
			return fmt.Errorf("record op %s: %w", op.Ref, err)
		}
	}
	return nil
}

// effect gives the account if it shows what a sent op asked for, else nil.
func (e *Engine) effect(ctx context.Context, op state.OpRecord) (*identity.Account, error) {
	if op.Op.Kind != plan.CreateAccount {
		a, ok, err := e.o.Target.Account(ctx, op.AccountID)
		if err != nil || !ok || !satisfied(op.Op, a) || op.Op.Kind == plan.RevokeSessions {
			return nil, err
		}
		if op.Op.Kind == plan.SetActive && !a.Active() && !near(a.DeleteAt, op.SentAt) {
			return nil, nil // off, but not by this call
		}
		return &a, nil
	}
	name, _ := op.Op.To(plan.Field(identity.Username))
	found, err := e.o.Target.Lookup(ctx, []string{name}, nil)
	if err != nil {
		return nil, err
	}
	for i := range found {
		if ok, err := e.intended(ctx, op, &found[i]); ok || err != nil {
			return &found[i], err
		}
	}
	return nil, nil
}

// intended tells whether an account is what a creation that lost its answer
// made: all that was asked for and nothing else, by the server's clock not before
// the call was sent, and never owned by anybody. Somebody else may have made an
// account with the same name and e-mail while the plan was being carried out.
func (e *Engine) intended(ctx context.Context, op state.OpRecord, a *identity.Account) (bool, error) {
	login, _ := op.Op.To(plan.FieldAuthService)
	if !satisfied(op.Op, *a) || a.Auth.Service != login || !near(a.CreateAt, op.SentAt) ||
		!a.Active() || a.Bot || a.Remote || a.MagicLink || a.Roles.Privileged() {
		return false, nil
	}
	past, err := e.o.Store.PastLinks(ctx, []string{a.ID})
	if err != nil {
		return false, fmt.Errorf("read who owned account %s: %w", a.ID, err)
	}
	return len(past) == 0, nil
}

// near tells whether something happened, by the server's clock, when a call that
// was marked as sent at t can have done it.
func near(ms int64, t time.Time) bool {
	d := time.UnixMilli(ms).Sub(t)
	return d > -dateSlack && d < settleAfter+dateSlack
}

func (e *Engine) linkOf(ctx context.Context, k identity.Key) (*identity.Link, error) {
	links, err := e.o.Store.Links(ctx, state.LinkFilter{Keys: []identity.Key{k}})
	if err != nil || len(links) == 0 {
		return nil, err
	}
	return &links[0], nil
}

// intents finds, for runs that may not write, the accounts that interrupted
// creations made: plan shows them as adoptions, sync closes them in recover.
func (e *Engine) intents(ctx context.Context, v *view, owners map[string]identity.Key) (map[identity.Key]*identity.Account, error) {
	open, err := e.o.Store.Ops(ctx, state.OpFilter{Statuses: []state.OpStatus{state.OpSent}})
	if err != nil {
		return nil, fmt.Errorf("read unfinished ops: %w", err)
	}
	out := map[identity.Key]*identity.Account{}
	for _, op := range open {
		if op.Op.Kind != plan.CreateAccount {
			continue
		}
		name, _ := op.Op.To(plan.Field(identity.Username))
		a := v.byUsername[name]
		if a == nil || !owners[a.ID].IsZero() {
			continue
		}
		ok, err := e.intended(ctx, op, a)
		if err != nil {
			return nil, err
		}
		if ok {
			out[op.Key] = a
		}
	}
	return out, nil
}

// satisfied tells whether an account shows what an op asked for. Auth data that
// the server hides cannot speak against it.
func satisfied(op plan.Op, a identity.Account) bool {
	for _, c := range op.Changes {
		var ok bool
		switch c.Field {
		case plan.FieldRoles:
			ok = a.Roles.Equal(identity.ParseRoles(c.To))
		case plan.FieldActive:
			ok = op.Kind == plan.RevokeSessions || a.Active() == (c.To == "true")
		case plan.FieldAuthService:
			ok = a.Auth.Service == c.To
		case plan.FieldAuthData:
			// Where it is hidden, only a new service shows that anything was done.
			ok = a.Auth.Data == c.To || (a.Auth.Data == "" && movesService(op))
		case plan.Field(identity.Email):
			ok = strings.EqualFold(a.Email, c.To)
		default:
			ok = a.Value(identity.Attribute(c.Field)) == c.To
		}
		if !ok {
			return false
		}
	}
	return true
}

func movesService(op plan.Op) bool {
	return slices.ContainsFunc(op.Changes, func(c plan.Change) bool { return c.Field == plan.FieldAuthService && c.From != c.To })
}

// linkAfter gives the link as it stands once an op has had its effect. The link
// learns from the op and the account alone, so that a later run can close an
// op whose plan is gone.
func linkAfter(old *identity.Link, k identity.Key, ref string, op plan.Op, a identity.Account, now time.Time) *identity.Link {
	next := identity.Link{Key: k, Part: identity.Owner, Origin: identity.OriginCreated, CreatedAt: now}
	if old != nil {
		next = *old
	}
	next.AccountID, next.Observed, next.UpdatedAt, next.Written = a.ID, &a, now, time.UnixMilli(a.UpdateAt)
	if takes(op) {
		next.Recheck = now
	}
	if ref != "" {
		next.Ref = ref
	}
	switch op.Kind {
	case plan.LinkAccount:
		next.Applied.Active = a.Active()
	case plan.CreateAccount:
		next.Applied.Active = true
	case plan.SetActive:
		next.Applied.Active = a.Active()
		next.DeactivatedAt = a.DeleteAt
		if next.Undone = 0; old != nil && !a.Active() {
			next.Undone = old.Undone
		}
	case plan.RevokeSessions:
		to, _ := op.To(plan.FieldActive) // of a leaver; else sessions from before a new login
		next.Applied.Active = next.Applied.Active && to != "false"
	default:
	}
	for _, c := range op.Changes {
		switch c.Field {
		case plan.FieldRoles:
			next.Applied.Roles = identity.ParseRoles(c.To)
		case plan.FieldAuthService:
			next.Applied.Auth.Service = c.To
		case plan.FieldAuthData:
			next.Applied.Auth.Data = c.To
		case plan.FieldActive, plan.FieldToken, plan.FieldBot:
		default:
			if !op.Parks {
				next.Applied.Profile = next.Applied.Profile.With(identity.Attribute(c.Field), c.To)
			}
		}
	}
	return &next
}

// outcomeUnknown is what an error of Target.Apply implements when the call may
// have had its effect without an answer.
type outcomeUnknown interface{ OutcomeUnknown() bool }

func isUnknown(err error) bool {
	var u outcomeUnknown
	return errors.As(err, &u) && u.OutcomeUnknown()
}
