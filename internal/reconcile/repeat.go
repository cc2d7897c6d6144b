package reconcile

import (
	"context"
	"fmt"
	"slices"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// repeats finds the accounts that a plan would switch off once more, because somebody
// switched them on again by hand after mmsync had switched them off within the guards'
// window. That is no new change: who was counted is not counted twice, and who was
// approved need not be approved again. Somebody whom the source wanted in meanwhile is
// not among them.
func (e *Engine) repeats(ctx context.Context, g *gathered, p plan.Plan) error {
	undone := map[identity.Key]string{} // the account
	for i := range g.observations {
		ob := &g.observations[i]
		if k, a := ob.Link, ob.Linked; k != nil && a != nil && k.DeactivatedAt != 0 && !k.Applied.Active && a.Active() {
			undone[ob.Key] = a.ID
		}
	}
	g.usage.Again = map[identity.Key]bool{}
	runs := map[string][]state.DecisionRecord{}
	for i := range p.Decisions {
		d := &p.Decisions[i]
		off := slices.IndexFunc(d.Ops, leaves)
		if d.AccountID == "" || undone[d.Key] != d.AccountID || d.Approval != "" || off < 0 {
			continue
		}
		last, err := e.lastSwitch(ctx, d)
		if err != nil {
			return err
		}
		if last == nil || !last.Op.Equal(d.Ops[off]) || last.ClosedAt.Before(g.now.Add(-e.o.Limits.Window)) {
			continue
		}
		if runs[last.Ref.Run] == nil {
			if runs[last.Ref.Run], err = e.o.Store.Decisions(ctx, last.Ref.Run); err != nil {
				return fmt.Errorf("read by which word %s was switched off: %w", d.Key, err)
			}
		}
		if d.Approval = runs[last.Ref.Run][last.Ref.Decision].Decision.Approval; d.Approval == "" {
			g.usage.Again[d.Key] = true
		}
	}
	return nil
}

// lastSwitch gives the last op that switched the account of a decision on or off; nil
// if there was none.
func (e *Engine) lastSwitch(ctx context.Context, d *plan.Decision) (*state.OpRecord, error) {
	ops, err := e.o.Store.Ops(ctx, state.OpFilter{Key: d.Key, AccountID: d.AccountID, Statuses: []state.OpStatus{state.OpDone, state.OpObserved}})
	if err != nil {
		return nil, fmt.Errorf("read when %s was switched off: %w", d.Key, err)
	}
	var last *state.OpRecord
	for i := range ops {
		if ops[i].Op.Kind == plan.SetActive && (last == nil || ops[i].ClosedAt.After(last.ClosedAt)) {
			last = &ops[i]
		}
	}
	return last, nil
}
