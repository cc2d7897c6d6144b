package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// turn takes a step unless a push took the person over, and keeps one away meanwhile.
func (a *applier) turn(ctx context.Context, ref state.OpRef, d *plan.Decision, index int) (ok bool, err error) {
	if !a.e.claims.enter(d.Key, a.since) {
		return false, a.yield(ctx, ref, d)
	}
	defer a.e.claims.leave(d.Key)
	if err := a.met(ctx); err != nil {
		return false, err
	}
	defer func() { a.people[d.Key].picture = nil }()
	return a.step(ctx, ref, d, index)
}

// needless ends a step for which no call is to be made: the op is none, or must not be
// sent any more. over tells that it did.
func (a *applier) needless(ctx context.Context, ref state.OpRef, d *plan.Decision, index int, who *person) (over, ok bool, err error) {
	op := d.Ops[index]
	if cause := a.barredSpace(op); cause != "" {
		return true, true, a.skip(ctx, ref, d, index, cause)
	}
	if cause, err := a.look(ctx, who, d, op); err != nil {
		return true, false, err
	} else if cause != "" {
		return true, false, a.skip(ctx, ref, d, index, cause)
	}
	if !op.Kind.Calls() {
		ok, err = a.own(ctx, ref, d, index, who)
		return true, ok, err
	}
	return false, false, a.forgetPlaces(ctx, who, op)
}

// step carries out one op. ok false means that it was skipped or failed; an
// error ends the run.
func (a *applier) step(ctx context.Context, ref state.OpRef, d *plan.Decision, index int) (ok bool, err error) {
	op := d.Ops[index]
	who := a.people[d.Key]
	if over, ok, err := a.needless(ctx, ref, d, index, who); over || err != nil {
		return ok, err
	}
	if cause := a.takePicture(ctx, who, d, op); cause != "" {
		return false, a.skip(ctx, ref, d, index, cause)
	}
	after, sent, callErr, err := a.insist(ctx, ref, d, who.id(d), op)
	if err != nil {
		return false, err
	}
	gone := a.there(ctx, callErr)
	callCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordBudget)
	defer cancel()
	if ctx.Err() != nil && keptBack(callErr) { // the run has ended, and this call did not leave any more
		out := state.Outcome{Ref: ref, Status: state.OpDropped, AccountID: who.id(d), At: time.Now(), Error: "the run ended before this call"}
		return false, errors.Join(context.Cause(ctx), a.record(callCtx, out))
	}
	if why, said := notSent(callErr); why != "" {
		return false, a.keep(callCtx, ref, d, index, why, said)
	}
	if op.Kind == plan.DeleteAccount {
		return a.deleted(callCtx, ref, d, op, who, sent, gone, callErr)
	}
	_, makes := op.Makes()
	if t, is := errors.AsType[spaceTrouble](callErr); is { // of this place alone: the person's other ops go on
		return !makes, a.notPlaced(callCtx, ref, d, index, t)
	}
	op, note, callErr := a.partly(d, op, after, callErr)
	if op.Kind == plan.PatchProfile && len(op.Changes) == 0 {
		return true, a.allKept(callCtx, ref, d, who, after, note)
	}
	if callErr != nil {
		seen, err := a.reread(callCtx, gone, callErr, state.OpRecord{Key: d.Key, AccountID: who.id(d), Op: op, SentAt: sent})
		if err != nil {
			// The server is away: the op stays sent, and the next run looks at the
			// account before it does anything else.
			a.e.log.WarnContext(ctx, "call without a usable answer", "run", a.runID, "op", string(op.Kind), "account", who.id(d), "error", callErr)
			return false, fmt.Errorf("the server went away during %s of %s: %w; run sync again when it is back, it looks first what became of this call", op.Kind, d.Key, err)
		}
		if seen == nil {
			return false, a.fail(callCtx, ref, d, op, who, callErr)
		}
		after = *seen
	}
	if makes {
		return true, a.spaceMade(callCtx, ref, d, after.ID)
	}
	if op.SpaceID != "" {
		after = *who.account // which such a call leaves as it was
	}
	out := state.Outcome{Ref: ref, Status: state.OpDone, AccountID: after.ID, At: time.Now(), Before: who.account, After: &after, Error: note}
	out.Link = linkAfter(who.link, d.Key, d.Ref, op, after, out.At)
	out.Link.Applied.MatchKey = cmp.Or(who.match, out.Link.Applied.MatchKey)
	out.Link.Applied.Manager = cmp.Or(who.manager, out.Link.Applied.Manager)
	if callErr != nil && op.SpaceID == "" {
		out.Link.Written = sent.Add(-dateSlack)
	}
	err = a.carriedOut(ctx, callCtx, d, op, who, out)
	return err == nil, err
}

// partly gives what was done of an op by a call that fell short of it, and says what is
// missing. All else it gives back as it is.
func (a *applier) partly(d *plan.Decision, op plan.Op, after identity.Account, callErr error) (done plan.Op, note string, err error) {
	if courtesy(callErr) || (op.Kind == plan.CreateAccount && mismatch(callErr) && after.ID != "") {
		// The account is there and ours; what is not as asked is patched next time.
		return op, callErr.Error(), nil
	}
	if kept := keptFields(callErr); len(kept) > 0 {
		return without(op, kept), a.keepsFields(d.Key, kept), nil
	}
	return op, "", callErr
}

// carriedOut records an op that had its effect, and what is known of the account since.
func (a *applier) carriedOut(ctx, callCtx context.Context, d *plan.Decision, op plan.Op, who *person, out state.Outcome) error {
	if err := a.record(callCtx, out); err != nil {
		return err
	}
	who.link, who.account, who.fresh = out.Link, out.After, time.Now()
	a.changed(ctx, d, op, out.AccountID)
	a.succeeded(d, op)
	return nil
}

// send marks the op as sent and makes its call. Nothing leaves while the lease has
// lapsed or after it is lost, while an operator holds the person, nor later after its mark than sendBy: a call that is
// still waiting for the server's rate then is marked anew. A call that has left, and
// its record, end together, whatever happens to the run.
func (a *applier) send(ctx context.Context, ref state.OpRef, d *plan.Decision, id string, op plan.Op) (after identity.Account, sent time.Time, callErr, err error) {
	for {
		until, err := a.lease.right(ctx)
		if err != nil {
			return after, sent, nil, err
		}
		if why, err := a.heldBack(ctx, d, op); err != nil || why != "" {
			return after, sent, heldError{why}, err
		}
		sent = time.Now().Add(a.offset)
		if err := a.e.o.Store.MarkSent(ctx, a.lease.current(), ref, sent); err != nil {
			return after, sent, nil, fmt.Errorf("mark op %s as sent: %w", ref, err)
		}
		sendCtx, stop := context.WithDeadline(ctx, earlier(until, time.Now().Add(sendBy)))
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			a.watch(sendCtx, stop, d, op)
		}()
		if op.Kind == plan.SetPicture {
			after, callErr = a.e.o.Target.SetPicture(sendCtx, id, a.people[d.Key].picture)
		} else {
			after, callErr = a.e.o.Target.Apply(sendCtx, id, op)
		}
		late := sendCtx.Err() != nil && keptBack(callErr)
		stop()
		<-watched
		if !late || ctx.Err() != nil {
			return after, sent, callErr, nil
		}
	}
}

// insist is send, and once more where a call was certainly not made because the server
// was away, and it is back.
func (a *applier) insist(ctx context.Context, ref state.OpRef, d *plan.Decision, id string, op plan.Op) (after identity.Account, sent time.Time, callErr, err error) {
	after, sent, callErr, err = a.send(ctx, ref, d, id, op)
	if err != nil || ctx.Err() != nil || !passing(callErr) || isUnknown(callErr) || a.e.o.Target.Await(ctx) != nil {
		return after, sent, callErr, err
	}
	return a.send(ctx, ref, d, id, op)
}

// there waits for the server after a call that failed, as long as the run goes on and the
// server may be waited for; what it gives is why it is not there.
func (a *applier) there(ctx context.Context, callErr error) error {
	if callErr == nil || courtesy(callErr) {
		return nil
	}
	if why, _ := notSent(callErr); why != "" {
		return nil
	}
	if ctx.Err() == nil {
		if err := a.e.o.Target.Await(ctx); err == nil || ctx.Err() == nil {
			return err
		}
	}
	look, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordBudget)
	defer cancel()
	return a.e.o.Target.Healthy(look)
}

// relink changes the link alone; no call is made.
func (a *applier) relink(ctx context.Context, ref state.OpRef, d *plan.Decision, op plan.Op, who *person) error {
	out := state.Outcome{Ref: ref, Status: state.OpDone, AccountID: d.AccountID, At: time.Now(), Before: who.account, After: who.account}
	heir, handedOn := op.To(plan.FieldKey)
	switch to, known := identity.ParseKey(heir); {
	case handedOn && !known:
		return fmt.Errorf("hand account %s on: %q names nobody", d.AccountID, heir)
	case handedOn:
		gets, keeps := given(who.link, to, d.Ref, out.At)
		heir, err := a.e.linkOf(ctx, to)
		if err != nil {
			return fmt.Errorf("read what is known of %s: %w", to, err)
		}
		if heir != nil { // his own source knows him again by his own
			gets.Applied.MatchKey = cmp.Or(heir.Applied.MatchKey, gets.Applied.MatchKey)
		}
		if err := a.e.o.Store.PutLinks(ctx, a.lease.current(), []identity.Link{gets, keeps}); err != nil {
			return fmt.Errorf("hand account %s on: %w", d.AccountID, err)
		}
		who.link = &keeps
	case op.Kind == plan.UnlinkAccount:
		if out.AccountID == "" && who.link != nil { // what follows creates another one
			out.AccountID = who.link.AccountID
		}
		out.Unlink, who.link, who.account = true, nil, nil
	case op.Kind == plan.NotePicture:
		link := linkAfter(who.link, d.Key, d.Ref, op, *who.account, out.At)
		link.Written = who.link.Written // nothing was
		out.Link, who.link = link, link
	default:
		link := linkAfter(nil, d.Key, d.Ref, op, *who.account, out.At)
		link.Origin, link.Written, link.Applied.MatchKey = linkOrigin(d.Reason), time.Time{}, who.match
		link.Applied.Manager = who.manager
		if link.Part == identity.Contributor {
			link.Applied = saidBy(who.said, link)
		}
		out.Link, who.link = link, link
	}
	if err := a.record(ctx, out); err != nil {
		return err
	}
	a.changed(ctx, d, op, out.AccountID)
	a.count(func() { a.counts.Done++ })
	return nil
}

// changed is the one line of the log about a change: ids alone.
func (a *applier) changed(ctx context.Context, d *plan.Decision, op plan.Op, account string) {
	a.e.log.InfoContext(ctx, "changed", "run", a.runID, "source", d.Key.Source, "anchor", d.Key.Anchor,
		"account", account, "action", string(d.Action), "reason", string(d.Reason), "op", string(op.Kind))
}

// reread looks at the account after a call that failed, for an answer may be lost
// while the effect is there. nil means that it is not there. A refusal is
// believed: what the account shows then is somebody else's doing.
func (a *applier) reread(ctx context.Context, gone, cause error, op state.OpRecord) (*identity.Account, error) {
	if gone != nil {
		return nil, gone
	}
	if !isUnknown(cause) || op.Op.Kind == plan.RevokeSessions || op.Op.Kind == plan.MailReset {
		return nil, nil
	}
	return a.e.effect(ctx, op)
}

// recordBudget bounds what follows a call: reading the account and recording the
// outcome.
const recordBudget = 2 * time.Minute
