package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// lookAgain waits for those of whom something can be known only later, and works
// on them once more: accounts that access was taken from, and accounts to which a
// call without an answer may still have been on its way. It waits without the
// lease; if somebody else had it meanwhile, that run has looked. looked is false if
// it did not come to that: the end of ctx is no error, for the next run looks too.
func (e *Engine) lookAgain(ctx context.Context, u unsettled, o RunOptions) (all *Report, looked bool, err error) {
	for len(u.due) > 0 {
		at := slices.MinFunc(slices.Collect(maps.Values(u.due)), time.Time.Compare)
		e.o.Progress(Progress{Stage: "waiting to look again at accounts that were just changed", Total: len(u.due)})
		select {
		case <-ctx.Done():
			return all, false, nil
		case <-time.After(time.Until(at)):
		}
		l, err := e.leaseInTurn(ctx)
		if err != nil || l == nil {
			return all, false, err
		}
		rep, more, err := e.round(l, u, o, dueNow(u.due))
		l.release()
		u.token = l.current().Token
		all = joined(all, rep)
		switch {
		case errors.Is(err, errLookedAfter):
			return all, false, nil
		case err != nil:
			return all, false, err
		}
		maps.Copy(u.due, more)
	}
	return all, true, nil
}

// leaseInTurn takes the lease as soon as nobody else has it; nil if ctx ended first.
func (e *Engine) leaseInTurn(ctx context.Context) (*lease, error) {
	for {
		l, err := e.takeLease(ctx)
		switch {
		case ctx.Err() != nil:
			if err == nil {
				l.release()
			}
			return nil, nil //nolint:nilnil // the next run looks
		case !errors.Is(err, state.ErrHeld):
			return l, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(TryLease):
		}
	}
}

// lookedAfter tells whether another run, after the one with the given token, came
// to its end and so has read everybody. Its id says nothing about that: it goes by
// the store's clock, and that can be set.
func (e *Engine) lookedAfter(ctx context.Context, token int64) (bool, error) {
	ended, err := e.o.Store.Runs(ctx, state.RunFilter{
		Kind: "sync", Statuses: []state.RunStatus{state.RunDone, state.RunPartial, state.RunWithheld}, Limit: 50,
	})
	if err != nil {
		return false, fmt.Errorf("read whether another run came between: %w", err)
	}
	return slices.ContainsFunc(ended, func(r state.Run) bool { return r.Token > token && !OfChanges(&r) }), nil
}

// dueNow takes the people out of due whose time has come.
func dueNow(due map[identity.Key]time.Time) []identity.Key {
	now := time.Now().Add(time.Second) // what is due a moment later goes along
	var keys []identity.Key
	for k, t := range due {
		if t.Before(now) {
			keys = append(keys, k)
			delete(due, k)
		}
	}
	slices.SortFunc(keys, identity.Key.Compare)
	return keys
}

// joined adds a further round to a report.
func joined(all, rep *Report) *Report {
	switch {
	case all == nil:
		return rep
	case rep == nil:
		return all
	case all.Status == state.RunDone || rep.Status == state.RunWithheld:
		all.Status = rep.Status
	}
	all.Plan.Decisions = append(all.Plan.Decisions, rep.Plan.Decisions...)
	all.Verdict.Trips = append(all.Verdict.Trips, rep.Verdict.Trips...)
	all.Failures = append(all.Failures, rep.Failures...)
	all.Problems = append(all.Problems, rep.Problems...)
	all.Counts.Done += rep.Counts.Done
	all.Counts.Failed += rep.Counts.Failed
	all.Counts.Skipped += rep.Counts.Skipped
	all.RunID, all.Took = rep.RunID, all.Took+rep.Took
	return all
}

// mostRounds is how often one run works on somebody again. What does not last by
// then is for a person to look into, and for the next run.
const mostRounds = 12

// errLookedAfter tells that another run came between, which has read everybody
// whom this one would look at.
var errLookedAfter = errors.New("another run came between")

// round decides and works on a few people once more, with what the sources said
// at the beginning and what the server shows now.
func (e *Engine) round(l *lease, u unsettled, o RunOptions, keys []identity.Key) (*Report, map[identity.Key]time.Time, error) {
	ctx, start := l.ctx, time.Now()
	if other, err := e.lookedAfter(ctx, u.token); err != nil {
		return nil, nil, err
	} else if other {
		return nil, nil, errLookedAfter
	}
	calls, err := e.closeOps(ctx, l, u.offset)
	if err != nil {
		return nil, nil, err
	}
	g, err := e.regather(l, u.g, keys, calls)
	if err != nil {
		return nil, nil, err
	}
	if err := e.endSessions(ctx, l, g); err != nil {
		return nil, nil, err
	}
	// Decided together with everybody else, for who wants whose name matters; but
	// only these few are worked on.
	p := plan.Build(g.observations, e.o.Policy)
	p.Decisions = only(p.Decisions, keys)
	if waiting := u.spare(&p); waiting > 0 {
		g.problems = append(g.problems, fmt.Sprintf("%d people for whom a call was on its way when the plan was guarded wait for the next run: by themselves they would pass the guard", waiting))
	}
	rep, err := e.judge(ctx, g, p, p, o)
	if err != nil {
		return nil, nil, err
	}
	rep.Problems = g.problems
	more := map[identity.Key]time.Time{}
	for k, t := range calls.people {
		if slices.Contains(keys, k) {
			more[k] = t
		}
	}
	if !rep.Plan.Effective() && len(rep.Plan.Decisions) == 0 && len(rep.Problems) == 0 {
		return nil, more, nil
	}
	run, err := e.newRun(ctx, "sync", RunOptions{Trigger: secondLook, RequestedBy: o.RequestedBy, Reason: o.Reason}, l.current().Token)
	if err != nil {
		return nil, nil, err
	}
	rep, due, err := e.carryOut(l.ctx, l, &run, g, rep, u.offset)
	for k, t := range due {
		if u.rounds[k]++; u.rounds[k] < mostRounds {
			more[k] = t
		}
	}
	rep.Took = time.Since(start)
	return &rep, more, e.finish(ctx, &run, &rep, err)
}

// spare leaves out those who were not counted when the guards judged, because a
// call for them was on its way, and tells how many: of a class of which nobody was
// let through, they must not be either.
func (u *unsettled) spare(p *plan.Plan) int {
	before := len(p.Decisions)
	p.Decisions = slices.DeleteFunc(p.Decisions, func(d plan.Decision) bool {
		return u.tripped && !u.calls[d.Key].IsZero() && len(d.Ops) > 0
	})
	return before - len(p.Decisions)
}

// only keeps the decisions about the given people, less those that wait in a row
// with others.
func only(list []plan.Decision, keys []identity.Key) []plan.Decision {
	in := func(d plan.Decision) bool {
		_, found := slices.BinarySearchFunc(keys, d.Key, identity.Key.Compare)
		return found
	}
	partly := map[int]bool{}
	for _, d := range list {
		if d.Chain != 0 && !in(d) {
			partly[d.Chain] = true
		}
	}
	return slices.DeleteFunc(list, func(d plan.Decision) bool { return !in(d) || partly[d.Chain] })
}
