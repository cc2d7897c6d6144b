package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Whether somebody goes because the configuration changed.

// changedRules tells which of those who go, go because the configuration changed:
// all of a source's in the first run after a change that read it whole and put
// nothing off, and whoever was first missed in that run once his grace is over.
func (e *Engine) changedRules(ctx context.Context, g *gathered, p plan.Plan) (*guard.Rules, error) {
	var sources []string
	for i := range p.Decisions {
		if s := p.Decisions[i].Key.Source; !slices.Contains(sources, s) {
			sources = append(sources, s)
		}
	}
	last, err := e.lastWhole(ctx, sources)
	if err != nil {
		return nil, err
	}
	out := &guard.Rules{Keys: map[identity.Key]bool{}}
	blame := func(key identity.Key, run string) {
		out.Keys[key] = true
		if out.Since == "" || run < out.Since {
			out.Since = run
		}
	}
	for i := range p.Decisions {
		d := &p.Decisions[i]
		if before := last[d.Key.Source]; before != nil && before.Policy != e.o.PolicyDigest {
			blame(d.Key, before.ID)
		}
	}
	missed, oldest := g.missedSince(p)
	if len(missed) > 0 {
		runs, err := e.o.Store.Runs(ctx, state.RunFilter{Kind: "sync", Since: oldest.Add(-changeSlack)})
		if err != nil {
			return nil, fmt.Errorf("read what was done by which configuration: %w", err)
		}
		for key, since := range missed {
			if before := changedAt(runs, since); before != "" {
				blame(key, before)
			}
		}
	}
	if len(out.Keys) == 0 {
		return nil, nil //nolint:nilnil // the configuration is to blame for nothing
	}
	return out, nil
}

// changeSlack reaches back to the run before the one that first missed somebody.
const changeSlack = 7 * 24 * time.Hour

// runsPage is how many runs are read at once where the last one of some kind is looked for.
const runsPage = 500

// eachRun gives f the runs that came to their end, newest first, until f says that it
// has seen enough. There may be any number of runs on parts between two on everybody.
func (e *Engine) eachRun(ctx context.Context, f func(r *state.Run) (enough bool)) error {
	for before := ""; ; {
		runs, err := e.o.Store.Runs(ctx, state.RunFilter{Kind: "sync", Statuses: completed(), Before: before, Limit: runsPage})
		if err != nil {
			return fmt.Errorf("list runs: %w", err)
		}
		for i := range runs {
			if f(&runs[i]) {
				return nil
			}
		}
		if len(runs) < runsPage {
			return nil
		}
		before = runs[len(runs)-1].ID
	}
}

// lastWhole gives for each of the sources the newest run that read it whole and worked
// on all of its plan, if any did.
func (e *Engine) lastWhole(ctx context.Context, sources []string) (map[string]*state.Run, error) {
	out := map[string]*state.Run{}
	if len(sources) == 0 {
		return out, nil
	}
	err := e.eachRun(ctx, func(r *state.Run) bool {
		for _, s := range r.Sources {
			if s.Complete && Whole(r) && out[s.Name] == nil && slices.Contains(sources, s.Name) {
				out[s.Name] = r
			}
		}
		return len(out) == len(sources)
	})
	if err != nil {
		return nil, fmt.Errorf("read what was done by which configuration: %w", err)
	}
	return out, nil
}

// missedSince gives the people who go now after they have been missed for a while,
// and since when.
func (g *gathered) missedSince(p plan.Plan) (map[identity.Key]time.Time, time.Time) {
	goes := map[identity.Key]bool{}
	for i := range p.Decisions {
		if d := &p.Decisions[i]; d.Leaves() && len(d.Ops) > 0 {
			goes[d.Key] = true
		}
	}
	missed, oldest := map[identity.Key]time.Time{}, g.now
	for i := range g.observations {
		ob := &g.observations[i]
		if since := ob.Absence.Since; goes[ob.Key] && since.Before(g.now) && !since.IsZero() {
			missed[ob.Key] = since
			if since.Before(oldest) {
				oldest = since
			}
		}
	}
	return missed, oldest
}

// changedAt gives the last completed run before the one that was under way at the
// time, if the two had different configurations. runs are newest first.
func changedAt(runs []state.Run, at time.Time) string {
	i := slices.IndexFunc(runs, func(r state.Run) bool { return !r.StartedAt.After(at) })
	if i < 0 || runs[i].PlannedAt.Before(at) {
		return ""
	}
	for _, r := range runs[i+1:] {
		if slices.Contains(completed(), r.Status) && Whole(&r) {
			if r.Policy != runs[i].Policy {
				return r.ID
			}
			return ""
		}
	}
	return ""
}
