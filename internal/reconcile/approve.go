package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Approve links the accounts that were held because only an e-mail, a username
// or an approvable login matched, for those decisions that pick accepts. It is a
// run like any other, planned and journaled, but it changes ownership alone: no
// account is written to. What differs is patched by the next sync.
func (e *Engine) Approve(ctx context.Context, o RunOptions, pick func(plan.Decision) bool) (Report, error) {
	rep, _, err := e.underLease(ctx, "link", o, narrowed(pick))
	return rep, err
}

// PlanApproval computes what Approve would link, and writes nothing but its own
// run row.
func (e *Engine) PlanApproval(ctx context.Context, o RunOptions, pick func(plan.Decision) bool) (Report, error) {
	return e.readOnly(ctx, o, narrowed(pick))
}

func narrowed(pick func(plan.Decision) bool) func(Report) Report {
	return func(rep Report) Report {
		p, problems := approved(rep.Plan, pick)
		rep.Plan, rep.Problems = p, append(rep.Problems, problems...)
		rep.Census = nil        // it is of the whole plan
		rep.Verdict.Trips = nil // nobody is switched off by a link
		return rep
	}
}

// approved keeps the picked matches. An account that two of them claim is left
// out and named: which of the two it belongs to has to be said by source/anchor.
func approved(p plan.Plan, pick func(plan.Decision) bool) (plan.Plan, []string) {
	var out []plan.Decision
	claims := map[string][]string{}
	for _, d := range p.Decisions {
		match := d.Reason == plan.MatchNeedsWord || d.Reason == plan.MatchPrivileged
		if !match || d.AccountID == "" || !pick(d) {
			continue
		}
		d.Action, d.Reason, d.Held = plan.Adopt, plan.Approved, ""
		d.Ops = []plan.Op{{Kind: plan.LinkAccount}}
		out = append(out, d)
		claims[d.AccountID] = append(claims[d.AccountID], d.Key.String())
	}
	var problems []string
	p.Decisions = slices.DeleteFunc(out, func(d plan.Decision) bool { return len(claims[d.AccountID]) > 1 })
	for _, id := range slices.Sorted(maps.Keys(claims)) {
		if keys := claims[id]; len(keys) > 1 {
			problems = append(problems, fmt.Sprintf("account %s matches %s: name the one it belongs to as source/anchor", id, strings.Join(keys, " and ")))
		}
	}
	return p, problems
}
