package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// oneRun is a run that writes and is not a sync: it takes the lease, has a row of
// its own, and does what f does.
func (e *Engine) oneRun(ctx context.Context, kind string, o RunOptions, f func(l *lease, run *state.Run) (Report, error)) (Report, error) {
	start := time.Now()
	l, err := e.takeLease(ctx)
	if err != nil {
		return Report{}, err
	}
	defer l.release()
	ago, err := e.quiet(l.ctx)
	if err != nil {
		return Report{}, err
	}
	e.o.Target.TookOver(ago)
	run, err := e.newRun(l.ctx, kind, o, l.current().Token)
	if err != nil {
		return Report{}, err
	}
	var rep Report
	if err = e.known(l.ctx); err == nil {
		rep, err = f(l, &run)
	}
	if lost := context.Cause(l.ctx); err != nil && isFenced(lost) {
		err = lost
	}
	rep.RunID, rep.Took = run.ID, time.Since(start)
	return rep, e.finish(ctx, &run, &rep, err)
}

// oneLook is what oneRun is, for one that only looks.
func (e *Engine) oneLook(ctx context.Context, o RunOptions, f func(run *state.Run) (Report, error)) (Report, error) {
	start := time.Now()
	ago, err := e.quiet(ctx)
	if err != nil {
		return Report{}, err
	}
	run, err := e.newRun(ctx, "plan", o, 0)
	if err != nil {
		return Report{}, err
	}
	e.o.Target.TookOver(ago)
	rep, err := f(&run)
	rep.RunID, rep.Took = run.ID, time.Since(start)
	if err == nil {
		rep.Status, rep.Verdict = state.RunPlanned, rep.Verdict.Of(run.ID)
		describe(&run, rep)
		err = e.keep(ctx, run, rep.Plan.Decisions, false)
	}
	return rep, e.finish(ctx, &run, &rep, err)
}

// opening is what every run does before it looks at anybody: it meets the server
// and finds out what calls of earlier runs may still be on their way. With a lease
// it closes what they left.
func (e *Engine) opening(ctx context.Context, l *lease) (facts plan.Facts, calls busy, offset time.Duration, err error) {
	if facts, err = e.meet(ctx, l); err != nil {
		return facts, calls, 0, err
	}
	if l == nil {
		calls, err = e.calls(ctx, facts)
		return facts, calls, 0, err
	}
	if offset, err = e.clockOffset(ctx, facts); err != nil {
		return facts, calls, 0, err
	}
	calls, err = e.recover(ctx, l, offset)
	return facts, calls, offset, err
}

// few reads what the store and the server know of a few people. The sources are
// not asked, so that this needs none of them to be up. pins is as in readStops.
func (e *Engine) few(ctx context.Context, l *lease, facts plan.Facts, calls busy, keys []identity.Key, pins bool) (*gathered, *view, error) {
	g := &gathered{
		facts: facts, rules: e.rules(facts), busy: calls, auditAge: -1, byHand: true, links: map[identity.Key]*identity.Link{},
		since: e.claims.now(), claims: e.claims,
	}
	var err error
	if g.now, err = e.o.Store.Now(ctx); err != nil {
		return nil, nil, fmt.Errorf("read the store's clock: %w", err)
	}
	if g.facts.SetBack, err = e.setBackPending(ctx, nil, false); err != nil {
		return nil, nil, err
	}
	if g.roster, err = e.readRoster(ctx); err != nil {
		return nil, nil, err
	}
	if err := e.readStops(ctx, g, l, pins); err != nil {
		return nil, nil, err
	}
	g.problems = g.stops.problems()
	v := newView()
	if err := e.reread(ctx, g, v, keys); err != nil {
		return nil, nil, err
	}
	for _, a := range v.byID {
		v.add(a)
	}
	for _, src := range e.o.Sources {
		sum := plan.SourceSummary{Name: src.Name(), Complete: true}
		from, to := g.roster.segment(src.Name())
		for i := from; i < to; i++ {
			if h := &g.roster.heads[i]; h.owner && h.active {
				sum.Linked++
			}
		}
		g.summaries = append(g.summaries, sum)
		g.target.Active += sum.Linked
	}
	g.target.URL, g.target.Version, g.target.SeatsLeft = e.o.TargetURL, facts.Version, facts.SeatsLeft
	return g, v, nil
}
