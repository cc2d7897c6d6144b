package reconcile

import (
	"context"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// barred gives what is not done in a run: by the time it is, and by the run itself.
// What an operator takes back, or does by hand, is done whenever that is.
func (e *Engine) barred(g *gathered) []plan.Bar {
	if g.byHand {
		return nil
	}
	return slices.Concat(e.barsAt(g.now), g.bars)
}

func (e *Engine) barsAt(now time.Time) []plan.Bar {
	if e.o.Bars == nil {
		return nil
	}
	return e.o.Bars(now)
}

// barredBy says why nothing of a unit is begun any more, because of a time that came
// since the plan was made; "" if it may. What has begun is finished: nobody keeps half
// a change, or a name that he was to have for a moment, until the time is over.
func (a *applier) barredBy(u plan.Unit) string {
	for _, b := range a.e.barsAt(a.planned.Add(time.Since(a.now))) {
		for _, s := range u.Steps {
			if d := &a.plan.Decisions[s.Decision]; b.Keeps(d) && a.kind != kindRevert {
				return b.Why
			}
		}
	}
	return ""
}

// qualify notes in a run's record what it does not prove.
func (e *Engine) qualify(run *state.Run, g *gathered, v guard.Verdict) {
	switch {
	case asksFirst(v):
		run.Options = partOnly
	case g.changes:
		run.Options = changesOnly
	case run.Options == "" && slices.ContainsFunc(e.barred(g), barsLeaving):
		run.Options = putOff
	}
}

// barsLeaving tells a bar that keeps leavers in.
func barsLeaving(b plan.Bar) bool { return slices.Contains(b.Actions, plan.Deactivate) }

// leave keeps all steps of a unit back.
func (a *applier) leave(ctx context.Context, u plan.Unit, why string) error {
	for _, s := range u.Steps {
		d := &a.plan.Decisions[s.Decision]
		if d.Leaves() {
			a.putOff.Store(true)
		}
		if err := a.keep(ctx, state.OpRef{Run: a.runID, Decision: s.Decision, Op: s.Op}, d, s.Op, why, why); err != nil {
			return err
		}
	}
	return nil
}
