package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// one works on one person who is due, and settles what becomes of the mark: it is
// taken away when nothing is left to do that time or another try would bring.
func (p *pushes) one(ctx context.Context, d state.Due) error {
	now, err := p.e.o.Store.Now(ctx)
	if err != nil {
		return fmt.Errorf("read the store's clock: %w", err)
	}
	left, err := p.plan(ctx, d)
	if err == nil && left.switched && !left.any() {
		left, err = p.plan(ctx, d)
	}
	switch {
	case errors.Is(err, state.ErrFenced), ctx.Err() != nil && err != nil && !errors.Is(context.Cause(ctx), errWentAway):
		return err
	case unauthorized(err): // nothing of his
		return err
	case err != nil && p.lost(ctx):
		p.e.log.DebugContext(ctx, "a push waits for Mattermost", "source", d.Key.Source, "anchor", d.Key.Anchor, "error", err)
		return nil
	case err != nil:
		p.e.log.WarnContext(ctx, "a push waits", "source", d.Key.Source, "anchor", d.Key.Anchor, "error", err)
		left = leftover{again: min(backoff(d.Attempts), mostUnclear), note: notNow}
	}
	keep := context.WithoutCancel(ctx)
	if !left.any() {
		err = p.e.o.Store.Done(keep, p.l.current(), []state.Due{d})
	} else {
		d.Held, d.Reason, d.Note = left.held, left.reason, left.note
		d.After = time.Time{}
		if !left.held {
			d.After = now.Add(left.again)
		}
		err = p.e.o.Store.PutOff(keep, p.l.current(), []state.Due{d})
	}
	if err != nil {
		return fmt.Errorf("settle what is due of %s: %w", d.Key, err)
	}
	return nil
}

// leftover is what is still to be done about somebody who was worked on: nothing,
// another look after some time, or what waits for somebody's word or another push.
type leftover struct {
	again  time.Duration
	held   bool
	reason string // state.DueApplied: nothing but a look whether it lasts
	note   string
	// switched says that the account was switched on or off: what else differs, or is
	// in the way, is only decided after that.
	switched bool
}

// mostBackoff is how long at most somebody is put off.
const mostBackoff = 5 * time.Minute

// backoff is how long a try waits for the next: 1 s at first.
func backoff(attempts int) time.Duration {
	return min(time.Second<<min(attempts, 9), mostBackoff)
}

// mostUnclear is how long at most somebody is put off for what may be over at any
// moment, such as answers that break off.
const mostUnclear = time.Minute

// What a client is told: what the server said is for the log and the history.
const (
	notNow  = "It could not be worked on just now and is tried again."
	notDone = "Mattermost did not take a change, and it is tried again; mmsync explain says more."
)

func (l leftover) any() bool { return l.again > 0 || l.held }

// plan makes and carries out the plan of one.
func (p *pushes) plan(ctx context.Context, d state.Due) (leftover, error) {
	e, start := p.e, time.Now()
	owner, err := p.owner(ctx, d.Key)
	if err != nil {
		return leftover{}, err
	}
	if !owner.IsZero() {
		if !p.take(owner) { // one at a time writes to an account
			return leftover{again: time.Second, note: notNow}, nil
		}
		defer p.give(owner, nil)
		// What a run is about to do to the owner, such as his leaving, is not taken from
		// it for the sake of somebody who only adds to him: this push would not do it.
		if e.pending.about(owner) {
			return leftover{again: time.Second, note: notNow}, nil
		}
		e.claims.claim(owner)
	}
	since := e.claims.claim(d.Key)
	g, err := p.gather(ctx, d.Key, owner, since)
	if err != nil {
		return leftover{}, err
	}
	defer e.pending.release(g.reserved)
	o := RunOptions{Trigger: "push", RequestedBy: d.Key.Source}
	made := plan.Build(g.observations, e.o.Policy)
	rep, err := e.judge(ctx, g, made, made, o)
	if err != nil {
		return leftover{}, err
	}
	p.learn(g.strangers)
	if len(rep.Plan.Decisions) == 0 && len(g.usage.Held[d.Key].Ops) == 0 && len(g.sightings.Seen) == 0 {
		return leftover{}, nil
	}
	if w := p.left(&rep, d, nil, g); w.any() && d.Attempts > 0 && w.reason == d.Reason && !rep.Plan.Effective() {
		return w, nil // still so: one record of it is enough
	}
	run := e.runOf(KindPush, o, p.l.current().Token, g.now)
	run.Options = partOnly
	applying, applied := p.applying(ctx)
	rep, due, err := e.carryOut(applying, p.l, &run, g, rep, p.offset)
	applied()
	if err == nil {
		err = e.fulfil(ctx, p.l, run.ID, g, &rep, false)
	}
	rep.Took = time.Since(start)
	if err = e.finish(ctx, &run, &rep, err); err != nil {
		return leftover{}, err
	}
	if err := p.wake(ctx, &rep); err != nil {
		return leftover{}, err
	}
	w := p.left(&rep, d, due, g)
	w.switched = rep.Counts.Done > 0 && slices.ContainsFunc(rep.Plan.Decisions, func(d plan.Decision) bool {
		return d.Action == plan.Deactivate || d.Action == plan.Reactivate
	})
	return w, nil
}

// left tells what is left to do about somebody.
func (p *pushes) left(rep *Report, d state.Due, due map[identity.Key]time.Time, g *gathered) leftover {
	if len(rep.Failures) > 0 {
		again := backoff(d.Attempts)
		if at, found := due[d.Key]; found { // a call may still arrive
			again = time.Until(at)
		}
		return leftover{again: max(again, time.Second), reason: "failed", note: notDone}
	}
	for i := range rep.Plan.Decisions {
		dec := &rep.Plan.Decisions[i]
		reason, note := dec.Reason, dec.Reason.Explain().Sentence
		switch {
		case dec.Until != nil && dec.Until.After(g.now):
			return leftover{again: max(dec.Until.Sub(g.now), time.Second), reason: string(reason), note: note}
		case dec.Action == plan.Hold && reason.Explain().Ender == plan.EndWait, reason == plan.OnHold, waitsForOther(dec):
			return leftover{again: min(4*backoff(d.Attempts), mostBackoff), reason: string(reason), note: note}
		case reason == plan.TokensHidden: // it may have been a bad moment
			return leftover{again: backoff(d.Attempts), reason: string(reason), note: note}
		case dec.Open() && g.takenByOurs(dec):
			return leftover{again: min(backoff(d.Attempts), mostTaken), reason: string(reason), note: note}
		case dec.Open():
			return leftover{held: true, reason: string(reason), note: note}
		}
	}
	if at, found := due[d.Key]; found {
		return leftover{again: max(time.Until(at), time.Second), reason: state.DueApplied}
	}
	return leftover{}
}

// waitsForOther tells a decision of which something waits for somebody else's change.
func waitsForOther(d *plan.Decision) bool {
	return slices.ContainsFunc(d.Notes, func(n plan.Note) bool { return n.Reason.Explain().Ender == plan.EndWait })
}

// mostTaken is how long at most somebody is put off whose wanted name or address
// another person of ours has: a push about that one may come at any moment.
const mostTaken = time.Minute

// wake has those looked at again who wait for what somebody else has, after a plan that
// may have given it up.
func (p *pushes) wake(ctx context.Context, rep *Report) error {
	gives := func(d plan.Decision) bool {
		return slices.ContainsFunc(d.Ops, func(op plan.Op) bool {
			return op.Kind == plan.PatchProfile && slices.ContainsFunc(op.Changes, func(c plan.Change) bool {
				return c.Field == plan.Field(identity.Username) || c.Field == plan.Field(identity.Email)
			})
		})
	}
	if rep.Counts.Done == 0 || !slices.ContainsFunc(rep.Plan.Decisions, gives) {
		return nil
	}
	for _, r := range []plan.Reason{plan.UsernameTaken, plan.EmailTaken} {
		if err := p.e.o.Store.WakeDue(ctx, string(r)); err != nil {
			return fmt.Errorf("have those looked at who wait for what was given up: %w", err)
		}
	}
	return nil
}

// takenByOurs tells a decision of which something waits for a value that is another
// person's of a source. A plan of one does not see whether he is about to give it up.
func (g *gathered) takenByOurs(d *plan.Decision) bool {
	at := slices.IndexFunc(g.observations, func(o plan.Observation) bool { return o.Key == d.Key })
	if at < 0 {
		return false
	}
	o := &g.observations[at]
	ours := func(r plan.Reason) bool {
		var h *plan.Holder
		switch r {
		case plan.UsernameTaken:
			h = o.ByUsername
		case plan.EmailTaken:
			h = o.ByEmail
		default:
		}
		return h != nil && !h.Owner.IsZero() && h.Owner != o.Key
	}
	return ours(d.Reason) || slices.ContainsFunc(d.Notes, func(n plan.Note) bool { return ours(n.Reason) })
}
