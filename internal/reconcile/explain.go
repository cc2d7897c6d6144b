package reconcile

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Explanation is everything known about one person: what the source wants, what
// the server has, what will be done and why.
type Explanation struct {
	Key identity.Key
	// Desired, Link and Account are nil where there is none.
	Desired *identity.Identity
	Link    *identity.Link
	Account *identity.Account
	// Decision is what the next run would do, judged together with everybody
	// else; its Action is NoOp for an unmanaged account.
	Decision  plan.Decision
	Unmanaged bool
	// Missing is set while a source's reads lack the person.
	Missing *plan.Absence
	Report  Report
}

// UnknownPersonError is returned when nobody fits the query.
type UnknownPersonError struct{ Query string }

func (e UnknownPersonError) Error() string {
	return fmt.Sprintf("nobody is known as %q: not in a source, not linked, no account of the server; give a username, an e-mail, a DN, a source/anchor or an account id", e.Query)
}

// Explain looks at everything, as Plan does, and picks one person out: by
// username, e-mail, place in the source (DN), anchor, source/anchor or account
// id.
func (e *Engine) Explain(ctx context.Context, query string) (Explanation, error) {
	start := time.Now()
	facts, err := e.meet(ctx, nil)
	if err != nil {
		return Explanation{}, err
	}
	calls, err := e.calls(ctx, facts)
	if err != nil {
		return Explanation{}, err
	}
	g, err := e.gather(ctx, RunOptions{everybody: true}, nil, facts, calls)
	if err != nil {
		return Explanation{}, err
	}
	rep, err := e.decide(ctx, g, RunOptions{})
	if err != nil {
		return Explanation{}, err
	}
	rep.Took = time.Since(start)
	for i := range g.observations {
		o := &g.observations[i]
		if !fits(o, query) {
			continue
		}
		x := Explanation{Key: o.Key, Desired: o.Desired, Link: o.Link, Account: o.Linked, Report: rep}
		x.Decision = plan.Decide(*o, e.o.Policy)
		for _, d := range rep.Plan.Decisions {
			if d.Key == o.Key {
				x.Decision = d
			}
		}
		if o.Desired == nil {
			x.Missing = &o.Absence
		}
		return x, nil
	}
	return e.unmanaged(ctx, query, rep)
}

func (e *Engine) unmanaged(ctx context.Context, query string, rep Report) (Explanation, error) {
	a, ok, err := identity.Account{}, false, error(nil)
	if len(query) == 26 && !strings.ContainsAny(query, "@.-_") {
		a, ok, err = e.o.Target.Account(ctx, query)
	}
	if err == nil && !ok {
		var names, emails []string
		if strings.Contains(query, "@") {
			emails = []string{query}
		} else {
			names = []string{strings.ToLower(query)}
		}
		var found []identity.Account
		if found, err = e.o.Target.Lookup(ctx, names, emails); err == nil && len(found) > 0 {
			a, ok = found[0], true
		}
	}
	switch {
	case err != nil:
		return Explanation{}, fmt.Errorf("look for %q on the server: %w", query, err)
	case !ok:
		return Explanation{}, UnknownPersonError{Query: query}
	}
	return Explanation{
		Account: &a, Unmanaged: true, Report: rep,
		Decision: plan.Decision{Action: plan.NoOp, Reason: plan.Kept, AccountID: a.ID, Username: a.Username},
	}, nil
}

func fits(o *plan.Observation, q string) bool {
	same := func(s string) bool { return s != "" && strings.EqualFold(s, q) }
	if same(o.Key.Anchor) || same(o.Key.String()) {
		return true
	}
	if d := o.Desired; d != nil && (same(d.Ref) || same(d.Profile.Username) || same(d.Profile.Email)) {
		return true
	}
	if k := o.Link; k != nil && (same(k.AccountID) || same(k.Ref)) {
		return true
	}
	a := o.Linked
	return a != nil && (same(a.Username) || same(a.Email))
}
