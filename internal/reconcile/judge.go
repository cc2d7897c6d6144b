package reconcile

import (
	"context"
	"slices"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// decide is the part that plan and sync share to the letter.
func (e *Engine) decide(ctx context.Context, g *gathered, o RunOptions) (Report, error) {
	policy := e.o.Policy
	if o.policy != nil {
		policy = o.policy(policy)
	}
	if policy.ForGood != nil && g.jumped {
		return Report{}, errClockSet
	}
	p := plan.Build(g.observations, policy)
	p.Unchanged += g.settled
	p.Sources = g.summaries
	whole := p
	var unknown []string
	if o.pick != nil {
		of := make(map[identity.Key]*plan.Observation, len(g.observations))
		for i := range g.observations {
			of[g.observations[i].Key] = &g.observations[i]
		}
		m, err := e.pilots(ctx, g, p, o)
		if err != nil {
			return Report{}, err
		}
		p.Warnings, unknown = append(p.Warnings, m.idle...), m.unknown
		if p, err = o.pick(p, of, m.keys); err != nil {
			return Report{}, err
		}
	}
	rep, err := e.judge(ctx, g, p, whole, o)
	rep.Problems = append(rep.Problems, unknown...)
	rep.Census, rep.unguarded = g.census(p), p
	return rep, err
}

// judge lets the guards look at a plan, or at a part of a whole one.
func (e *Engine) judge(ctx context.Context, g *gathered, p, whole plan.Plan, o RunOptions) (Report, error) {
	rep, err := e.judgeAlone(ctx, g, p, whole, o)
	if err == nil {
		rep.Verdict.Trips = e.missPlaces(ctx, rep.Verdict.Trips)
	}
	return rep, err
}

// judgeAlone judges while nobody else does. What a run beside this one is about to do
// counts as done; what this one is about to do counts for others from here on.
func (e *Engine) judgeAlone(ctx context.Context, g *gathered, p, whole plan.Plan, o RunOptions) (Report, error) {
	e.pending.mu.Lock()
	defer e.pending.mu.Unlock()
	if err := e.used(ctx, g); err != nil {
		return Report{}, err
	}
	limits := e.o.Limits
	if o.Limits != nil {
		limits = *o.Limits
	}
	p.Sources, p.Target = g.summaries, g.target
	if said := e.o.Target.Announce(); said != "" {
		p.Warnings = append(p.Warnings, said)
	}
	if !g.byHand {
		if err := e.weigh(ctx, g, whole); err != nil {
			return Report{}, err
		}
		if err := e.repeats(ctx, g, p); err != nil {
			return Report{}, err
		}
	}
	v := guard.CheckPart(p, whole, g.usage, limits)
	if g.byHand {
		v.Trips = slices.DeleteFunc(v.Trips, func(t guard.Trip) bool { _, loss := t.Class.Lost(); return loss })
	}
	v.Trips = append(g.trips, v.Trips...)
	held := guard.Withhold(p, v)
	g.kept = retained(p, v, g.usage.Rules)
	held = e.bots(ctx, held)
	held.Target.Estimate = e.o.Target.Estimate(held)
	g.reserved.plan(&e.pending, held)
	return Report{
		Plan: held, Verdict: v, Guards: guard.Summary(p, g.usage, limits),
		Problems: slices.Concat(g.problems, g.busy.astray, heldLeavers(held)), AuditAge: g.auditAge, Decided: len(g.observations), notices: g.notices,
	}, nil
}

func describe(run *state.Run, rep Report) {
	run.Digest, run.Sources, run.Target = rep.Plan.Digest(), rep.Plan.Sources, rep.Plan.Target
	run.Counts.Planned = map[plan.Action]int{}
	for i := range rep.Plan.Decisions {
		d := &rep.Plan.Decisions[i]
		run.Counts.Planned[d.Action]++
		if d.Open() {
			run.Counts.Held++
		}
	}
	run.Counts.Unchanged = rep.Plan.Unchanged
}
