package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// assemble makes one observation for each Key about which something has to be
// decided.
func (e *Engine) assemble(ctx context.Context, g *gathered, v *view, snaps []*identity.Snapshot, o RunOptions, l *lease) error {
	for i, src := range e.o.Sources {
		if err := e.assembleSource(ctx, g, v, src, snaps[i], o, l); err != nil {
			return err
		}
	}
	if err := e.complete(ctx, g, v, g.observations); err != nil {
		return err
	}
	if err := e.keepManagers(ctx, g, l); err != nil {
		return err
	}
	g.tellReturns()
	if err := e.heed(ctx, g, l); err != nil {
		return err
	}
	for i := range g.summaries {
		g.target.Active += g.summaries[i].Linked
	}
	g.target.URL, g.target.Version, g.target.SeatsLeft = e.o.TargetURL, g.facts.Version, g.facts.SeatsLeft
	return nil
}

// complete adds to observations what other accounts have to do with them: who
// holds the values they want, what an interrupted run made for them, and calls
// that may still arrive.
func (e *Engine) complete(ctx context.Context, g *gathered, v *view, obs []plan.Observation) error {
	owners, err := e.owners(ctx, g, v)
	if err != nil {
		return err
	}
	intents, err := e.intents(ctx, v, owners)
	if err != nil {
		return err
	}
	if g.heard, err = e.hear(ctx, g); err != nil {
		return fmt.Errorf("read what operators said: %w", err)
	}
	g.problems = append(g.problems, g.heard.problems...)
	if err := e.attachMemberships(ctx, g, obs); err != nil {
		return err
	}
	if err := e.attachPeople(ctx, g, obs); err != nil {
		return err
	}
	e.tellMaking(g)
	for i := range obs {
		ob := &obs[i]
		ob.Facts, ob.Now, ob.Said = &g.facts, g.now, g.heard.said[ob.Key]
		ob.Absence.Jumped = ob.Absence.Jumped || g.jumped
		if ob.Link == nil {
			ob.ByIntent = intents[ob.Key]
		}
		v.holders(ob, owners)
		ob.Busy = g.busy.until(ob, g.now)
	}
	if err := e.refusals(ctx, obs); err != nil {
		return err
	}
	if err := e.matched(ctx, g, obs); err != nil {
		return err
	}
	if err := e.adoptable(ctx, obs); err != nil {
		return err
	}
	return e.belongings(ctx, g, obs)
}

// owners tells whose the accounts in view are. Those of people about whom nothing
// is decided are asked for: their links were not loaded.
func (e *Engine) owners(ctx context.Context, g *gathered, v *view) (map[string]identity.Key, error) {
	out := make(map[string]identity.Key, len(g.links))
	for _, k := range g.links {
		if k.Part != identity.Contributor {
			out[k.AccountID] = k.Key
		}
	}
	var unknown []string
	if g.few() || len(v.byID) <= len(g.roster.heads)/2 { // without a roster
		for id := range v.byID {
			if out[id].IsZero() {
				unknown = append(unknown, id)
			}
		}
	} else { // a walk over the server: its own list of owners is the shorter way
		for i := range g.roster.heads {
			if h := &g.roster.heads[i]; h.owner {
				out[h.account] = g.roster.key(i)
			}
		}
	}
	if len(unknown) == 0 {
		return out, nil
	}
	slices.Sort(unknown)
	links, err := e.o.Store.Links(ctx, state.LinkFilter{AccountIDs: unknown})
	if err != nil {
		return nil, fmt.Errorf("read whose the accounts are that hold wanted values: %w", err)
	}
	for i := range links {
		if k := &links[i]; k.Part != identity.Contributor {
			out[k.AccountID] = k.Key
		}
	}
	return out, nil
}

// adoptable finds out what speaks against adopting the unowned accounts that
// somebody's login data points to: that they were somebody else's once, or own
// bots or tokens that would come along.
func (e *Engine) adoptable(ctx context.Context, obs []plan.Observation) error {
	candidates := map[string][]*plan.Observation{}
	for i := range obs {
		ob := &obs[i]
		if h := ob.ByAuth; ob.Link == nil && h != nil && h.Owner.IsZero() && h.Account.Auth == ob.Desired.Auth && e.o.Policy.AdoptByAuth {
			candidates[h.Account.ID] = append(candidates[h.Account.ID], ob)
		}
	}
	if len(candidates) == 0 {
		return nil
	}
	ids := slices.Sorted(maps.Keys(candidates))
	past, err := e.o.Store.PastLinks(ctx, ids)
	if err != nil {
		return fmt.Errorf("read earlier owners: %w", err)
	}
	for _, p := range past {
		for _, ob := range candidates[p.AccountID] {
			ob.ByAuth.Formerly = ob.ByAuth.Formerly || p.Key != ob.Key
		}
	}
	owners, err := e.o.Target.OwnBotOrToken(ctx, ids)
	if err != nil {
		return fmt.Errorf("look at accounts that could be adopted: %w", err)
	}
	for _, id := range ids {
		for _, ob := range candidates[id] {
			ob.ByAuth.OwnsBotOrToken = owners[id]
		}
	}
	return nil
}

func (e *Engine) assembleSource(ctx context.Context, g *gathered, v *view, src Source, s *identity.Snapshot, o RunOptions, l *lease) error {
	name := src.Name()
	sum := plan.SourceSummary{Name: name}
	from, to := g.roster.segment(name)
	for i := from; i < to; i++ {
		if h := &g.roster.heads[i]; h.owner && h.active {
			sum.Linked++
		}
	}
	if s == nil {
		sum.Doubt = "it could not be read"
		g.summaries = append(g.summaries, sum)
		return nil // nobody of it is observed, so nothing about them is decided
	}
	if err := e.judgeRead(ctx, g, s, &sum, o, l); err != nil {
		return err
	}
	first := len(g.observations)
	for i := range s.Identities {
		id := &s.Identities[i]
		k := g.links[id.Key]
		ob := plan.Observation{Key: id.Key, Desired: id, Link: k, Voices: g.voicesOf(k), Awards: g.awards[id.Key]}
		v.attach(&ob)
		g.observations = append(g.observations, ob)
	}
	if l != nil {
		if err := e.keepPlaces(ctx, g, s, l); err != nil {
			return err
		}
	}
	absent, joined, doubt := g.missingLinks(name, s.Unreadable)
	g.tellPlaces(name, absent)
	if g.facts.SetBack {
		doubt = "the server seems to have been set back to an earlier state, so nobody's absence counts in this run"
	}
	if doubt != "" && sum.Complete {
		sum.Complete, sum.Doubt = false, doubt
	}
	if !sum.Complete && !shrunk(g.trips, name) && !g.facts.SetBack {
		g.problems = append(g.problems, fmt.Sprintf("source %s was not read whole, so nobody missing from it is deactivated: %s", name, sum.Doubt))
	}
	g.summaries = append(g.summaries, sum)
	if err := e.noteRead(ctx, g, s, sum, l); err != nil {
		return err
	}
	return e.missed(ctx, g, v, src, sum, first, absent, joined)
}

// shrunk tells whether a guard has said already why a read proves nothing.
func shrunk(trips []guard.Trip, source string) bool {
	return slices.ContainsFunc(trips, func(t guard.Trip) bool { return t.Class == guard.SourceShrink && t.Source == source })
}

func (v *view) attach(ob *plan.Observation) {
	if ob.Link == nil {
		return
	}
	ob.Linked, ob.Unseen = v.byID[ob.Link.AccountID], v.unseen[ob.Link.AccountID]
}

// holders finds who has the values that a Key wants.
func (v *view) holders(ob *plan.Observation, owners map[string]identity.Key) {
	d := ob.Desired
	if d == nil || d.Fault != "" {
		return
	}
	find := func(m map[string]*identity.Account, value string) *plan.Holder {
		a := m[value]
		if value == "" || a == nil || (ob.Link != nil && a.ID == ob.Link.AccountID) {
			return nil
		}
		return &plan.Holder{Account: a, Owner: owners[a.ID]}
	}
	ob.ByUsername = find(v.byUsername, d.Profile.Username)
	ob.ByEmail = find(v.byEmail, strings.ToLower(d.Profile.Email))
	ob.ByAuth = find(v.byAuth, d.Auth.Data)
}
