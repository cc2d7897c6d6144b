package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// gather reads what is known of one person who was pushed, and of owner, if that is
// whose account he has a word about.
func (p *pushes) gather(ctx context.Context, k, owner identity.Key, since int64) (*gathered, error) {
	e := p.e
	facts, err := p.known(ctx, false)
	if err != nil {
		return nil, err
	}
	g := &gathered{
		facts: facts, auditAge: -1, roster: &roster{}, links: map[identity.Key]*identity.Link{},
		pushed: true, token: p.l.current().Token, since: since, claims: e.claims, reserved: &reservation{},
	}
	if g.now, err = e.o.Store.Now(ctx); err != nil {
		return nil, fmt.Errorf("read the store's clock: %w", err)
	}
	set := e.setAt(g.now)
	if g.facts.SetBack, err = e.setBackPending(ctx, nil, false); err != nil {
		return nil, err
	}
	if err := e.readStops(ctx, g, p.l, true); err != nil {
		return nil, err
	}
	wants, err := e.wantedNow(ctx, []identity.Key{k})
	if err != nil {
		return nil, err
	}
	v := newView()
	for _, one := range []identity.Key{k, owner} {
		if one.IsZero() {
			continue
		}
		if err := p.unfinished(ctx, g, one); err != nil {
			return nil, err
		}
	}
	if err := e.reread(ctx, g, v, []identity.Key{k}); err != nil {
		return nil, err
	}
	ob := plan.Observation{Key: k, Desired: wants[k], Link: g.links[k], Absence: plan.Absence{Doubt: "the client never pushed this person, or the store lost it"}}
	ob.Absence.Jumped = !set.IsZero() && g.now.Sub(set) < anotherLook
	v.attach(&ob)
	if a := ob.Linked; a != nil && a.Roles.Privileged() { // who the administrators are counts now
		if g.facts, err = p.known(ctx, true); err != nil {
			return nil, err
		}
	}
	g.rules, g.strangers = e.rules(g.facts), p.knownStrangers()
	if ob.Desired == nil && ob.Link == nil {
		return g, nil
	}
	if err := e.since(ctx, g, &ob, set); err != nil {
		return nil, err
	}
	g.observations = []plan.Observation{ob}
	if err := e.hearFew(ctx, g, v, p.l, true, everyone); err != nil {
		return nil, err
	}
	return g, p.complete(ctx, g, v)
}

// since finds out for how long somebody who was pushed has been disabled, where that
// has to last before it counts, and forgets it of whom is back. What a client said once
// holds until it says otherwise, so that each look at it is one more reading. set is when
// the store's clock was set last: whoever was not looked at since needs one more.
func (e *Engine) since(ctx context.Context, g *gathered, ob *plan.Observation, set time.Time) error {
	if e.o.Policy.Grace.Disabled == 0 || ob.Desired == nil || !mine(ob) {
		return nil
	}
	known, err := e.o.Store.Sightings(ctx, ob.Key.Source)
	if err != nil {
		return fmt.Errorf("read since when %s is disabled: %w", ob.Key, err)
	}
	var last *state.Sighting
	if i := slices.IndexFunc(known, func(s state.Sighting) bool { return s.Key == ob.Key }); i >= 0 {
		last = &known[i]
		g.jumped = last.LastRead.Before(set)
	}
	switch {
	case !ob.Desired.Active && ob.Linked.Active():
		s := e.sight(g, last, ob.Key)
		ob.Absence.Since, ob.Absence.Reads = s.Since, s.Reads
	case last != nil:
		g.sightings.Seen = append(g.sightings.Seen, ob.Key)
	}
	return nil
}

// owner gives whose account a contributor has a word about; the zero Key if somebody
// is none.
func (p *pushes) owner(ctx context.Context, k identity.Key) (identity.Key, error) {
	if !p.e.o.Policy.ManyVoices() {
		return identity.Key{}, nil
	}
	links, err := p.e.o.Store.Links(ctx, state.LinkFilter{Keys: []identity.Key{k}})
	if err == nil && len(links) == 1 && links[0].Part == identity.Contributor {
		links, err = p.e.o.Store.Links(ctx, state.LinkFilter{AccountIDs: []string{links[0].AccountID}})
		for i := range links {
			if links[i].Part == identity.Owner && err == nil {
				return links[i].Key, nil
			}
		}
	}
	if err != nil {
		return identity.Key{}, fmt.Errorf("read whose account %s has a word about: %w", k, err)
	}
	return identity.Key{}, nil
}

// complete reads who has what the person wants, and what operators said.
func (p *pushes) complete(ctx context.Context, g *gathered, v *view) error {
	e := p.e
	if err := e.find(ctx, v, e.wantedBy(g.observations)); err != nil {
		return err
	}
	for _, a := range v.byID {
		v.index(a)
	}
	if err := e.keepObserved(ctx, g, v, p.l); err != nil {
		return err
	}
	if err := e.protect(ctx, g, v, p.l); err != nil {
		return err
	}
	if err := e.complete(ctx, g, v, g.observations); err != nil {
		return err
	}
	if err := e.keepManagers(ctx, g, p.l); err != nil {
		return err
	}
	if err := e.heed(ctx, g, p.l); err != nil {
		return err
	}
	linked, err := p.population(ctx)
	if err != nil {
		return err
	}
	for i := range g.observations {
		name := g.observations[i].Key.Source
		if !slices.ContainsFunc(g.summaries, func(s plan.SourceSummary) bool { return s.Name == name }) {
			g.summaries = append(g.summaries, plan.SourceSummary{Name: name, Complete: true, Linked: linked[name]})
		}
	}
	for _, n := range linked {
		g.target.Active += n
	}
	g.target.URL, g.target.Version, g.target.SeatsLeft = e.o.TargetURL, g.facts.Version, g.facts.SeatsLeft
	return nil
}

func (p *pushes) knownStrangers() map[string]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.strangers)
}

func (p *pushes) learn(strangers map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.strangers == nil {
		p.strangers = maps.Clone(strangers)
	}
}

// walkOnce walks the server before the first push of all, so that it is known who
// was there.
func (e *Engine) walkOnce(ctx context.Context, l *lease, facts plan.Facts) error {
	mark, err := e.o.Store.Mark(ctx, auditMark)
	if err != nil {
		return fmt.Errorf("read the age of the last audit: %w", err)
	}
	if !mark.At.IsZero() {
		return nil
	}
	g := &gathered{facts: facts, links: map[identity.Key]*identity.Link{}, claims: e.claims, since: e.claims.now()}
	if g.now, err = e.o.Store.Now(ctx); err != nil {
		return fmt.Errorf("read the store's clock: %w", err)
	}
	if g.roster, err = e.readRoster(ctx); err != nil {
		return err
	}
	return e.walk(ctx, g, newView(), true, l)
}

// unfinished closes what is known by now of earlier calls for somebody whose
// outcome was not, and gives him back a login that is another one for a moment. A call
// that may still arrive keeps him busy. What only has to follow is the next run's.
func (p *pushes) unfinished(ctx context.Context, g *gathered, k identity.Key) error {
	e := p.e
	open, err := e.o.Store.Ops(ctx, state.OpFilter{Key: k, Statuses: []state.OpStatus{state.OpSent, state.OpPending}})
	if err != nil {
		return fmt.Errorf("read unfinished ops: %w", err)
	}
	for i := range open {
		if open[i].Status == state.OpPending { // of a run that may still be at work
			if due, _, err := e.backDue(ctx, open[i]); err != nil {
				return err
			} else if !due {
				continue
			}
		}
		if err := e.closeOp(ctx, p.l, open[i], p.offset, &g.busy); err != nil {
			return err
		}
	}
	return nil
}
