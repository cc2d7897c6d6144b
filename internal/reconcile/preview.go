package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Forbids tells in one sentence why Mattermost, or what protects accounts there,
// would not let somebody be as a source is about to want him; "" if nothing is known
// to be in the way. It only looks, and promises nothing. Whoever is to leave is
// never in anybody's way.
func (e *Engine) Forbids(ctx context.Context, id identity.Identity) (string, error) {
	if !id.Active || id.Fault != "" {
		return "", nil
	}
	id = e.o.Target.Canonical(id)
	facts, err := e.factsOfLate(ctx)
	if err != nil {
		return "", err
	}
	g := &gathered{
		facts: facts, rules: e.rules(facts), roster: &roster{}, links: map[identity.Key]*identity.Link{}, claims: e.claims, since: e.claims.now(),
	}
	if g.now, err = e.o.Store.Now(ctx); err != nil {
		return "", fmt.Errorf("read the store's clock: %w", err)
	}
	v := newView()
	if err := e.reread(ctx, g, v, []identity.Key{id.Key}); err != nil {
		return "", err
	}
	ob := plan.Observation{Key: id.Key, Desired: &id, Link: g.links[id.Key]}
	v.attach(&ob)
	g.observations = []plan.Observation{ob}
	if err := e.hearFew(ctx, g, v, nil, false, everyone); err != nil {
		return "", err
	}
	var w wanted
	if ob = g.observations[0]; e.asks(ob.Key, ob.Link) {
		w.add(ob.Desired, ob.Linked)
	}
	if err := e.find(ctx, v, w); err != nil {
		return "", err
	}
	for _, a := range v.byID {
		v.index(a)
	}
	if err := e.protect(ctx, g, v, nil); err != nil {
		return "", err
	}
	if err := e.complete(ctx, g, v, g.observations); err != nil {
		return "", err
	}
	return forbidden(plan.Decide(g.observations[0], e.o.Policy)), nil
}

// forbidden gives the sentence about a value that somebody else has or nobody may.
func forbidden(d plan.Decision) string {
	reasons := []plan.Reason{d.Reason}
	for _, n := range d.Notes {
		reasons = append(reasons, n.Reason)
	}
	for _, r := range reasons {
		switch r {
		case plan.UsernameTaken, plan.EmailTaken, plan.AuthDataTaken, plan.NameReserved, plan.EmailOutside, plan.ServerDomain, plan.Protected, plan.MatchNeedsWord, plan.MatchPrivileged:
			return r.Explain().Sentence
		default:
		}
	}
	return ""
}

// factsOfLate are what is known of the server, at most factsFor old.
func (e *Engine) factsOfLate(ctx context.Context) (plan.Facts, error) {
	e.mu.Lock()
	facts, at := e.facts, e.factsAt
	e.mu.Unlock()
	if !at.IsZero() && time.Since(at) < factsFor {
		return facts, nil
	}
	facts, err := e.meet(ctx, nil)
	if err != nil {
		return facts, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.facts, e.factsAt = facts, time.Now()
	return facts, nil
}
