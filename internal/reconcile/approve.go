package reconcile

import (
	"context"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Approve links the accounts that were held because only an e-mail, a username
// or an approvable login matched, for those decisions that pick accepts. It is a
// run like any other, planned and journaled, but it changes ownership alone: no
// account is written to. What differs is patched by the next sync.
func (e *Engine) Approve(ctx context.Context, o RunOptions, pick func(plan.Decision) bool) (Report, error) {
	return e.underLease(ctx, "link", o, narrowed(pick))
}

// PlanApproval computes what Approve would link, and writes nothing but its own
// run row.
func (e *Engine) PlanApproval(ctx context.Context, o RunOptions, pick func(plan.Decision) bool) (Report, error) {
	return e.readOnly(ctx, o, narrowed(pick))
}

func narrowed(pick func(plan.Decision) bool) func(Report) Report {
	return func(rep Report) Report {
		rep.Plan = approved(rep.Plan, pick)
		rep.Verdict.Trips = nil // nobody is switched off by a link
		return rep
	}
}

func approved(p plan.Plan, pick func(plan.Decision) bool) plan.Plan {
	var out []plan.Decision
	for _, d := range p.Decisions {
		match := d.Reason == plan.MatchNeedsWord || d.Reason == plan.MatchPrivileged
		if !match || d.AccountID == "" || !pick(d) {
			continue
		}
		d.Action, d.Reason, d.Held = plan.Adopt, plan.Approved, ""
		d.Ops = []plan.Op{{Kind: plan.LinkAccount}}
		out = append(out, d)
	}
	p.Decisions = out
	return p
}
