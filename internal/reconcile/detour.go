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

// A detour gives an account another login for a moment, see plan/detour.go. While it
// lasts nobody else writes about the person, and the way back is owed: it is made
// whatever becomes of the change in between, and if this process does not come to it,
// whoever takes the lease next makes it before anything else.
//
//	out ──► change ──► back          all three journaled before the first
//	 │         │         │
//	 │         │         └─ no answer, refused, held: stays open, the next run makes it
//	 │         └─ refused: back all the same; no answer: back once it cannot arrive any more
//	 └─ refused: nothing to come back from; no answer: the next run looks where the account is

// owed tells an op that has to follow another one that was carried out, and that no
// later look at the account would miss: it is not closed before it was made.
func owed(op plan.Op) bool {
	return endsOldSessions(op) || mustFollow(op)
}

// mustFollow tells an op without which somebody would be left without his login.
func mustFollow(op plan.Op) bool { return op.Detour == plan.Back || op.Kind == plan.MailReset }

// detours tells a unit in which somebody's login is another one for a moment.
func (a *applier) detours(u plan.Unit) bool {
	for _, s := range u.Steps {
		if a.plan.Decisions[s.Decision].Ops[s.Op].Detour != "" {
			return true
		}
	}
	return false
}

// around carries out a unit with a detour. A push about its people waits until it is
// over.
func (a *applier) around(ctx context.Context, u plan.Unit) error {
	entered := 0
	defer func() {
		for _, s := range u.Steps[:entered] {
			a.e.claims.leave(a.plan.Decisions[s.Decision].Key)
		}
	}()
	broken := ""
	for _, s := range u.Steps { // once for each step: a claim counts how often it was entered
		d := &a.plan.Decisions[s.Decision]
		if broken == "" && !a.e.claims.enter(d.Key, a.since) {
			broken = d.Username
		}
		if broken == "" {
			entered++
		}
	}
	if broken != "" {
		for _, s := range u.Steps {
			ref := state.OpRef{Run: a.runID, Decision: s.Decision, Op: s.Op}
			if err := a.yield(ctx, ref, &a.plan.Decisions[s.Decision]); err != nil {
				return err
			}
		}
		return nil
	}
	if err := a.met(ctx); err != nil {
		return err
	}
	return a.outAndBack(ctx, u)
}

// outAndBack takes the steps in order. After one that failed only the way back of
// whoever has gone out is taken.
func (a *applier) outAndBack(ctx context.Context, u plan.Unit) error {
	broken, away, doubt := "", -1, false
	var ended error // why the rest waits for the next run
	for _, s := range u.Steps {
		d := &a.plan.Decisions[s.Decision]
		op, ref := d.Ops[s.Op], state.OpRef{Run: a.runID, Decision: s.Decision, Op: s.Op}
		back := op.Detour == plan.Back && away == s.Decision
		if err := ctx.Err(); err != nil && ended == nil {
			ended = context.Cause(ctx)
		}
		switch {
		case back && (doubt || a.undecided(d.Key)): // of two writes at once one is lost
			continue
		case back:
			away = -1
			if ok, err := a.comeBack(ctx, ref, d, s.Op); err != nil && ended == nil {
				ended = err
			} else if !ok {
				broken = d.Username
			}
			continue
		case ended != nil:
			continue
		case broken != "" && op.Detour == plan.Back && a.undecided(d.Key):
			continue // whether there is a way back to make shows with the way out
		case broken != "":
			if err := a.skip(ctx, ref, d, s.Op, "an earlier step of "+strconv.Quote(broken)+" was not carried out"); err != nil {
				ended = err
			}
			continue
		}
		ok, err := a.step(ctx, ref, d, s.Op)
		if err != nil {
			ended = err
			doubt = ctx.Err() == nil || !errors.Is(err, context.Cause(ctx)) // else it did not leave any more
		}
		switch {
		case !ok:
			broken = d.Username
		case op.Detour == plan.Out:
			away = s.Decision
		}
	}
	return ended
}

// comeBack takes the way back, for which there is time even when the run is over.
func (a *applier) comeBack(ctx context.Context, ref state.OpRef, d *plan.Decision, index int) (bool, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordBudget)
	defer cancel()
	return a.step(ctx, ref, d, index)
}

// backDue tells whether somebody has still to come back to his login from a detour of
// a run that did not come to it. While it is not known whether a call before it may
// still arrive, it waits.
func (e *Engine) backDue(ctx context.Context, op state.OpRecord) (due, waits bool, err error) {
	if op.Op.Detour != plan.Back {
		return false, false, nil
	}
	ops, err := e.o.Store.Ops(ctx, state.OpFilter{Run: op.Ref.Run, Key: op.Key})
	if err != nil {
		return false, false, fmt.Errorf("read what was done before: %w", err)
	}
	for _, o := range ops {
		if o.Ref.Decision != op.Ref.Decision || o.Ref.Op >= op.Ref.Op {
			continue
		}
		waits = waits || o.Status == state.OpSent
		due = due || o.Op.Detour == plan.Out && (o.Status == state.OpDone || o.Status == state.OpObserved)
	}
	return due && !waits, waits, nil
}

// giveBack gives somebody back the login that he had before a detour of a run that was
// cut off. until is until when a call that does so may still arrive, zero if none may;
// why says what else keeps the login from coming back, "" if nothing does.
func (e *Engine) giveBack(ctx context.Context, l *lease, op state.OpRecord, offset time.Duration) (until time.Time, why string, err error) {
	now, err := e.o.Store.Now(ctx)
	if err != nil {
		return until, "", fmt.Errorf("read the store's clock: %w", err)
	}
	a, there, err := e.o.Target.Account(ctx, op.AccountID)
	if err != nil {
		return until, "", fmt.Errorf("look which login account %s has: %w", op.AccountID, err)
	}
	out := state.Outcome{Ref: op.Ref, Status: state.OpDropped, AccountID: op.AccountID, At: now}
	record := func() error {
		if err := e.o.Store.RecordOp(ctx, l.current(), out); err != nil {
			return fmt.Errorf("record op %s: %w", op.Ref, err)
		}
		return nil
	}
	switch {
	case !there:
		out.Error = "the account is not there any more"
		return until, "", record()
	case satisfied(op.Op, a):
		return e.gaveBack(ctx, l, op, out, state.OpObserved, &a)
	case !satisfied(reversed(op.Op), a):
		out.Error = "somebody gave the account another login since"
		return until, "", record()
	}
	if until = e.arrived(op, offset, now); op.Status == state.OpSent && time.Until(until) > 0 {
		return until, "", nil
	}
	if held, err := e.stopped(ctx, op.Key, op.Ref.Run, now); err != nil || held != "" {
		return time.Time{}, held, err
	}
	right, err := l.right(ctx)
	if err != nil {
		return time.Time{}, "", err
	}
	if op.Status == state.OpPending {
		if err := e.o.Store.MarkSent(ctx, l.current(), op.Ref, time.Now().Add(offset)); err != nil {
			return time.Time{}, "", fmt.Errorf("mark op %s as sent: %w", op.Ref, err)
		}
	}
	sendCtx, stop := context.WithDeadline(ctx, earlier(right, time.Now().Add(sendBy)))
	after, callErr := e.o.Target.Apply(sendCtx, op.AccountID, op.Op)
	stop()
	if callErr != nil {
		return time.Time{}, callErr.Error(), nil //nolint:nilerr // it is said, and the next run tries again
	}
	return e.gaveBack(ctx, l, op, out, state.OpDone, &after)
}

// gaveBack records that a login is as it was.
func (e *Engine) gaveBack(ctx context.Context, l *lease, op state.OpRecord, out state.Outcome, how state.OpStatus, after *identity.Account) (time.Time, string, error) {
	link, err := e.linkOf(ctx, op.Key)
	if err != nil {
		return time.Time{}, "", err
	}
	out.Status, out.After = how, after
	if link != nil && link.AccountID == op.AccountID {
		out.Link = linkAfter(link, op.Key, op.SourceRef, op.Op, *after, out.At)
	}
	if err := e.o.Store.RecordOp(ctx, l.current(), out); err != nil {
		return time.Time{}, "", fmt.Errorf("record op %s: %w", op.Ref, err)
	}
	e.log.InfoContext(ctx, "a login that was another one for a moment is as before", "run", op.Ref.Run,
		"source", op.Key.Source, "anchor", op.Key.Anchor, "account", op.AccountID)
	return time.Time{}, "", nil
}

// reversed is an op that asks for what was there before.
func reversed(op plan.Op) plan.Op {
	changes := make([]plan.Change, len(op.Changes))
	for i, c := range op.Changes {
		changes[i] = plan.Change{Field: c.Field, From: c.To, To: c.From}
	}
	op.Changes = changes
	return op
}

// stopped says why what a run left may not be written about somebody, because an
// operator holds him; "" if it may. What that run itself holds does not stop it.
func (e *Engine) stopped(ctx context.Context, k identity.Key, run string, now time.Time) (string, error) {
	list, err := e.o.Store.Stops(ctx, state.StopFilter{Open: true, Kind: state.StopHold, About: k})
	if err != nil {
		return "", fmt.Errorf("read what operators hold: %w", err)
	}
	for _, s := range list {
		if !s.Expired(now) && s.Run != run {
			return word(s).Sentence() + "; to go on: mmsync hold release " + s.ID + " --reason …", nil
		}
	}
	return "", nil
}

// astray says whose login is not back yet.
func astray(op state.OpRecord, why string) string {
	login, _ := reversed(op.Op).To(plan.FieldAuthService)
	if login == "" {
		login = "a password that nobody knows"
	}
	return fmt.Sprintf("%q (%s) is left with a login by %s, and the next run gives the one of before back: %s", op.Username, op.Key, login, why)
}
