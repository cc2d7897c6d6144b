package reconcile

import (
	"context"
	"fmt"
	"slices"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// afresh is an observation with what is known by now of the account and, from a
// source that is told of changes, of what is wanted.
func afresh(ob plan.Observation, k *identity.Link, wanted *identity.Identity, v *view) plan.Observation {
	ob.Link, ob.Linked, ob.Unseen, ob.ByIntent, ob.ByAuth, ob.ByEmail, ob.ByUsername = k, nil, false, nil, nil, nil, nil
	if wanted != nil {
		ob.Desired = wanted
	}
	v.attach(&ob)
	return ob
}

// regather observes a few people anew, on top of what an earlier gathering of the
// same run knows of their sources.
func (e *Engine) regather(l *lease, first *gathered, keys []identity.Key, calls busy) (*gathered, error) {
	ctx := l.ctx
	g := &gathered{
		rules: first.rules, roster: first.roster, summaries: first.summaries, target: first.target,
		busy: calls, auditAge: first.auditAge, links: map[identity.Key]*identity.Link{}, since: e.claims.now(), claims: e.claims,
		bars: first.bars,
	}
	var err error
	if g.now, err = e.o.Store.Now(ctx); err != nil {
		return nil, fmt.Errorf("read the store's clock: %w", err)
	}
	if g.facts, err = e.meet(ctx, nil); err != nil {
		return nil, err
	}
	g.facts.SetBack, g.facts.Spaces = first.facts.SetBack, first.facts.Spaces
	// What the first plan created is planned here once more for all that is known,
	// and must not use up the seats twice; the server refuses what it has none for.
	g.facts.SeatsLeft = -1
	g.target.SeatsLeft = -1
	v := newView()
	if err := e.reread(ctx, g, v, keys); err != nil {
		return nil, err
	}
	now, err := e.wantedNow(ctx, keys)
	if err != nil {
		return nil, err
	}
	var others []plan.Observation
	for i := range first.observations {
		ob := first.observations[i]
		if _, found := slices.BinarySearchFunc(keys, ob.Key, identity.Key.Compare); !found {
			ob.Facts = &g.facts
			others = append(others, ob)
			continue
		}
		g.observations = append(g.observations, afresh(ob, g.links[ob.Key], now[ob.Key], v))
	}
	// What was read before is merged already.
	if err := e.hearFew(ctx, g, v, l, false, func(k identity.Key) bool { return now[k] != nil }); err != nil {
		return nil, err
	}
	if err := e.find(ctx, v, e.wantedBy(g.observations)); err != nil {
		return nil, err
	}
	if err := e.keepObserved(ctx, g, v, l); err != nil {
		return nil, err
	}
	if err := e.protect(ctx, g, v, l); err != nil {
		return nil, err
	}
	if err := e.complete(ctx, g, v, g.observations); err != nil {
		return nil, err
	}
	if err := e.heedAnew(ctx, g, l); err != nil {
		return nil, err
	}
	g.observations = append(g.observations, others...)
	return g, nil
}

// reread loads the links of a few people and reads their accounts whole.
func (e *Engine) reread(ctx context.Context, g *gathered, v *view, keys []identity.Key) error {
	links, err := e.o.Store.Links(ctx, state.LinkFilter{Keys: keys})
	if err != nil {
		return fmt.Errorf("read links: %w", err)
	}
	var ids []string
	for i := range links {
		k := &links[i]
		g.links[k.Key] = k
		if k.Part != identity.Contributor {
			ids = append(ids, k.AccountID)
		}
	}
	_, err = e.o.Target.Observe(ctx, ids, 0, func(a identity.Account) error {
		v.byID[a.ID] = &a
		return nil
	})
	if err != nil {
		return fmt.Errorf("read accounts that were just changed: %w", err)
	}
	var owned []*identity.Link
	for i := range links {
		k := &links[i]
		if k.Part == identity.Contributor {
			continue
		}
		if owned = append(owned, k); v.byID[k.AccountID] == nil {
			if err := e.proveGone(ctx, v, k); err != nil {
				return err
			}
		}
	}
	return e.believe(ctx, g, v, owned)
}
