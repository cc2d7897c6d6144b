package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Approve links the accounts that were held because only an e-mail, a username
// or an approvable login matched: those of people, by username, account id, place in
// the source, anchor or source/anchor; of everybody whose account has no more rights
// than a user if none is named. It is a run like any other, planned and journaled,
// but it changes ownership alone: no account is written to. What differs is patched
// by the next sync. If one of the names fits nobody, or more than one, nobody is
// linked.
func (e *Engine) Approve(ctx context.Context, o RunOptions, people []string) (Report, error) {
	rep, _, err := e.underLease(ctx, "link", o, e.narrowed(ctx, people))
	if err != nil {
		return rep, err
	}
	marks := make([]state.DueMark, len(rep.Plan.Decisions))
	for i := range rep.Plan.Decisions {
		marks[i].Key = rep.Plan.Decisions[i].Key
	}
	return rep, e.dueAgain(ctx, marks)
}

// PlanApproval computes what Approve would link, and writes nothing but its own
// run row.
func (e *Engine) PlanApproval(ctx context.Context, o RunOptions, people []string) (Report, error) {
	return e.readOnly(ctx, o, e.narrowed(ctx, people))
}

// narrowed keeps of a plan the matches that an operator approves. Whoever is held is
// refused if he is named, and left out if he is not.
func (e *Engine) narrowed(ctx context.Context, people []string) func(Report) (Report, error) {
	return func(rep Report) (Report, error) {
		p, problems, err := approved(rep.Plan, people)
		if err != nil {
			return rep, err
		}
		if len(people) == 0 {
			var held []string
			p.Decisions, held, err = e.withoutHeld(ctx, p.Decisions)
			problems = append(problems, held...)
		} else {
			err = e.unheld(ctx, keysOfPlan(p)...)
		}
		rep.Plan, rep.Problems = p, append(rep.Problems, problems...)
		rep.Census = nil        // it is of the whole plan
		rep.Verdict.Trips = nil // nobody is switched off by a link
		return rep, err
	}
}

func keysOfPlan(p plan.Plan) []identity.Key {
	keys := make([]identity.Key, len(p.Decisions))
	for i := range p.Decisions {
		keys[i] = p.Decisions[i].Key
	}
	return keys
}

// approved keeps the matches that were named, or all. An account that two people
// claim goes to the one who is named as source/anchor.
func approved(p plan.Plan, people []string) (plan.Plan, []string, error) {
	var matches []plan.Decision
	claims := map[string][]string{} // by account
	asked := map[string]bool{}      // accounts that all would take
	for _, d := range p.Decisions {
		needsWord := d.Reason == plan.MatchNeedsWord || (d.Reason == plan.Contested && d.Held == plan.Adopt)
		if d.AccountID == "" || (!needsWord && d.Reason != plan.MatchPrivileged) {
			continue
		}
		matches = append(matches, d)
		claims[d.AccountID] = append(claims[d.AccountID], d.Key.String())
		asked[d.AccountID] = asked[d.AccountID] || needsWord
	}
	picked := map[string]bool{} // by source/anchor
	var problems []string
	if len(people) == 0 {
		for _, d := range matches {
			picked[d.Key.String()] = d.Reason == plan.MatchNeedsWord && len(claims[d.AccountID]) == 1
		}
		for _, id := range slices.Sorted(maps.Keys(claims)) {
			if keys := claims[id]; len(keys) > 1 && asked[id] {
				problems = append(problems, contestedBy("account "+id, keys))
			}
		}
	}
	for _, q := range people {
		key, err := meant(matches, q)
		if err != nil {
			return p, nil, err
		}
		picked[key] = true
	}
	p.Decisions = nil
	owner := map[string]string{}
	for _, d := range matches {
		if !picked[d.Key.String()] {
			continue
		}
		if other := owner[d.AccountID]; other != "" {
			return p, nil, fmt.Errorf("%w: account %s cannot be that of both %s and %s", ErrRefused, d.AccountID, other, d.Key)
		}
		owner[d.AccountID] = d.Key.String()
		d.Action, d.Reason, d.Held = plan.Adopt, plan.Approved, ""
		d.Ops = []plan.Op{{Kind: plan.LinkAccount}}
		p.Decisions = append(p.Decisions, d)
	}
	return p, problems, nil
}

func contestedBy(what string, keys []string) string {
	return fmt.Sprintf("%s is contested by %s: name the one it belongs to as source/anchor", what, strings.Join(keys, " and "))
}

// meant gives the one match that a name fits, as source/anchor.
func meant(matches []plan.Decision, q string) (string, error) {
	var keys []string
	for i := range matches {
		d := &matches[i]
		if d.Key.String() == q {
			return q, nil
		}
		if Named(*d, q) {
			keys = append(keys, d.Key.String())
		}
	}
	switch len(keys) {
	case 0:
		return "", fmt.Errorf("%w: no held match fits %q; mmsync link conflicts lists those there are", ErrRefused, q)
	case 1:
		return keys[0], nil
	}
	return "", fmt.Errorf("%w: %s", ErrRefused, contestedBy(fmt.Sprintf("%q", q), keys))
}
