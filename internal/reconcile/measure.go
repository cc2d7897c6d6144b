package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// What the guards measure a plan by.

// completed are the states of a run that came to its end.
func completed() []state.RunStatus {
	return []state.RunStatus{state.RunDone, state.RunPartial, state.RunWithheld}
}

// firstMark names the end of the first run that was completed; with a slash and a
// source's name behind it, the end of the first that read this source whole.
const firstMark = "first run"

// used reads what was done in the window, and what the guards hold.
func (e *Engine) used(ctx context.Context, g *gathered) error {
	g.usage = guard.Usage{Done: map[string]map[plan.Class]int{}, New: map[string]bool{}, Held: map[identity.Key]guard.Held{}}
	g.unmarked = map[string]time.Time{}
	for _, src := range e.o.Sources {
		name := src.Name()
		r, err := e.recent(ctx, g, name)
		if err != nil {
			return err
		}
		if !r.marked {
			g.unmarked[name] = r.first
		}
		if r.first.IsZero() {
			g.usage.New[name] = true
		}
		done := r.counts()
		e.pending.add(done, name, g.reserved)
		g.usage.Done[name] = done
	}
	var of []identity.Key // everybody
	if g.few() {
		if len(g.observations) == 0 {
			return nil
		}
		for i := range g.observations {
			of = append(of, g.observations[i].Key)
		}
	}
	held, err := e.o.Store.Held(ctx, of...)
	if err != nil {
		return fmt.Errorf("read what the guards hold: %w", err)
	}
	for _, h := range held {
		g.usage.Held[h.Key] = guard.Held{Run: h.Run, Ops: h.Ops}
	}
	return nil
}

// meetStrangers counts, before the first run is completed, the people of the
// server who are nobody's. The walk that a first run makes knows them, or the
// index that it left behind. Who was created by a run that was cut off is none.
func (e *Engine) meetStrangers(ctx context.Context, g *gathered) error {
	if len(g.usage.New) < len(e.o.Sources) {
		return nil
	}
	mark, err := e.o.Store.Mark(ctx, firstMark)
	if err != nil {
		return fmt.Errorf("read when the first run was: %w", err)
	}
	if !mark.At.IsZero() {
		return nil
	}
	if g.strangers == nil {
		all, err := e.o.Store.Index(ctx, state.IndexFilter{})
		if err != nil {
			return fmt.Errorf("read which accounts the server has: %w", err)
		}
		g.unknown(all)
	}
	for i := range g.observations {
		if a := g.observations[i].ByIntent; a != nil {
			delete(g.strangers, a.ID)
		}
	}
	g.usage.Strangers = len(g.strangers)
	return nil
}

// first tells when the first run was completed for a source, the zero time if none
// was, and whether that is marked. A store that is older than the mark has it in its
// journal.
func (e *Engine) first(ctx context.Context, source string) (at time.Time, marked bool, err error) {
	mark, err := e.o.Store.Mark(ctx, firstMark+"/"+source)
	if err != nil {
		return at, false, fmt.Errorf("read when the first run was: %w", err)
	}
	if !mark.At.IsZero() {
		return mark.At, true, nil
	}
	runs, err := e.o.Store.Runs(ctx, state.RunFilter{Kind: "sync", Statuses: completed()})
	if err != nil {
		return at, false, fmt.Errorf("read when the first run was: %w", err)
	}
	for _, r := range slices.Backward(runs) {
		if !Whole(&r) || r.Options == madeSpaces {
			continue
		}
		whole := slices.ContainsFunc(r.Sources, func(s plan.SourceSummary) bool { return s.Name == source && s.Complete && s.Entries > 0 })
		if whole && wentOver(r.Status, r.Counts) {
			return r.FinishedAt, false, nil
		}
	}
	return at, false, nil
}

// wentOver tells whether a run did what there was to do, by and large.
func wentOver(status state.RunStatus, c state.Counts) bool {
	return (status != state.RunWithheld || c.Done > 0) && (c.Failed+c.Skipped == 0 || c.Failed+c.Skipped < c.Done)
}

// asksFirst tells whether somebody has to agree first to what mmsync would do to this
// server.
func asksFirst(v guard.Verdict) bool {
	return slices.ContainsFunc(v.Trips, func(t guard.Trip) bool { return t.Class == guard.FirstRun })
}

// markFirst notes the end of the first run for the sources that it read whole.
func (e *Engine) markFirst(ctx context.Context, l *lease, g *gathered, rep Report) error {
	// After a run that made teams people go into them, as part of the same beginning.
	if len(g.unmarked) == 0 || rep.made > 0 || !g.whole || asksFirst(rep.Verdict) || !wentOver(rep.Status, rep.Counts) {
		return nil
	}
	now, err := e.o.Store.Now(ctx)
	if err != nil {
		return fmt.Errorf("read the store's clock: %w", err)
	}
	if ours := time.Now(); ours.After(now) { // by which the ops were closed
		now = ours
	}
	for _, s := range rep.Plan.Sources {
		at, missing := g.unmarked[s.Name]
		if !missing || !s.Complete || s.Entries == 0 {
			continue
		}
		if at.IsZero() {
			at = now
		}
		for _, name := range []string{firstMark + "/" + s.Name, firstMark} {
			if err := e.o.Store.SetMark(ctx, l.current(), state.Mark{Name: name, At: at}); err != nil {
				return fmt.Errorf("note the first run: %w", err)
			}
		}
	}
	return nil
}

// weigh reads what else the guards have to know about a plan: how much there is to
// lose of what many lose, and whether the configuration is to blame for it.
func (e *Engine) weigh(ctx context.Context, g *gathered, p plan.Plan) error {
	if err := e.meetStrangers(ctx, g); err != nil {
		return err
	}
	goes := map[string]bool{} // sources of which many lose something
	lost := map[string]map[string]int{}
	removes := false
	for i := range p.Decisions {
		d := &p.Decisions[i]
		removes = removes || slices.ContainsFunc(d.Withheld, leaves) || leavesLater(d)
		for op := range d.Ops {
			for _, c := range plan.Classes(d, op) {
				_, attribute := c.Lost()
				ofGroup := c == plan.RoleRemovals || c == plan.MembershipRemovals
				removes = removes || c == plan.Deactivations || ofGroup
				if !attribute && !ofGroup {
					continue
				}
				if lost[d.Key.Source] == nil {
					lost[d.Key.Source] = map[string]int{}
				}
				lost[d.Key.Source][string(c)]++
			}
		}
	}
	for source, classes := range lost {
		for c, n := range classes {
			many := guard.LossCount
			if plan.Class(c) == plan.RoleRemovals || plan.Class(c) == plan.MembershipRemovals {
				many = 0
			}
			goes[source] = goes[source] || n+g.usage.Done[source][plan.Class(c)] > many
		}
	}
	g.usage.Had, g.usage.Holders = map[string]map[plan.Field]int{}, map[string]map[string]int{}
	for source, many := range goes {
		if !many {
			continue
		}
		links, err := e.o.Store.Links(ctx, state.LinkFilter{Source: source})
		if err != nil {
			return fmt.Errorf("read what the people of source %s have: %w", source, err)
		}
		g.usage.Had[source], g.usage.Holders[source] = possessions(links)
	}
	if !removes || g.pushed { // whom a client names has not left by a change of the configuration
		return nil
	}
	var err error
	g.usage.Rules, err = e.changedRules(ctx, g, p)
	return err
}

// possessions counts who of the people with an active account has what.
func possessions(links []identity.Link) (had map[plan.Field]int, holders map[string]int) {
	had, holders = map[plan.Field]int{}, map[string]int{}
	for i := range links {
		a := links[i].Observed
		if a == nil || !a.Active() || links[i].Part == identity.Contributor {
			continue
		}
		for _, f := range identity.AllAttributes() {
			if a.Value(f) != "" {
				had[plan.Field(f)]++
			}
		}
		for _, r := range a.Roles {
			holders[r]++
		}
		for _, m := range links[i].Applied.Memberships {
			holders[string(plan.SpaceField(m.Space))]++
		}
	}
	return had, holders
}

// retained gives what the guards keep back by themselves, and not only because
// everything stops when one of them trips; and what they would, were it not put off.
func retained(p plan.Plan, v guard.Verdict, r *guard.Rules) map[identity.Key][]plan.Op {
	v.Stop = false
	out := map[identity.Key][]plan.Op{}
	for i := range p.Decisions {
		// What an operator puts off now would go by itself once he lets it.
		d := &p.Decisions[i]
		if off := d.Reason == plan.OnHold || d.Reason == plan.NotNow || d.Reason == plan.ServerSetBack; off && r != nil && r.Keys[d.Key] && slices.ContainsFunc(d.Withheld, leaves) {
			out[d.Key] = d.Withheld
		}
		if leavesLater(d) && r != nil && r.Keys[d.Key] {
			out[d.Key] = []plan.Op{leaving(plan.SetActive), leaving(plan.RevokeSessions)}
		}
	}
	if !v.Tripped() {
		return out
	}
	asked := map[identity.Key][]plan.Op{} // what waits for a word whatever the guards say
	for i := range p.Decisions {
		if d := &p.Decisions[i]; len(d.Withheld) > 0 {
			asked[d.Key] = d.Withheld
		}
	}
	held := guard.Withhold(p, v)
	for i := range held.Decisions {
		d := &held.Decisions[i]
		ops := slices.DeleteFunc(slices.Clone(d.Withheld), func(op plan.Op) bool { return slices.ContainsFunc(asked[d.Key], op.Equal) })
		if d.Approval == "" && len(ops) > 0 {
			out[d.Key] = ops
		}
	}
	return out
}

// holds notes what a plan changes about what the guards hold. Somebody is released
// when nothing is wanted of him any more, or something else is done. A read that
// was not whole, or a source that is away, releases nobody.
func (g *gathered) holds(run string, p plan.Plan) {
	if len(g.usage.Held)+len(g.kept) == 0 {
		return
	}
	decided := make(map[identity.Key]bool, len(p.Decisions))
	ends := map[identity.Key]bool{}
	for i := range p.Decisions {
		d := &p.Decisions[i]
		decided[d.Key] = true
		if g.takenOver(d.Key) {
			continue
		}
		if ops := g.kept[d.Key]; len(ops) > 0 && (len(d.Withheld) > 0 || leavesLater(d)) {
			g.sightings.Held = append(g.sightings.Held, state.HeldItem{Key: d.Key, Run: run, Ops: ops})
			continue
		}
		if g.byHand && d.Approval == "" {
			continue // no source was asked what it wants by now
		}
		// What a note keeps back for now may be the very thing that was held.
		ends[d.Key] = d.Approval != "" || (len(d.Ops) > 0 && len(d.Notes) == 0)
	}
	observed := make(map[identity.Key]*plan.Observation, len(g.usage.Held))
	for i := range g.observations {
		if k := g.observations[i].Key; len(g.usage.Held[k].Ops) > 0 {
			observed[k] = &g.observations[i]
		}
	}
	for k, h := range g.usage.Held {
		ob := observed[k]
		switch {
		case g.takenOver(k):
		case decided[k]:
			back := ob != nil && ob.Desired != nil && ob.Desired.Active && slices.ContainsFunc(h.Ops, leaves)
			if over, free := ends[k]; free && (over || back) {
				g.sightings.Released = append(g.sightings.Released, k)
			}
		case ob != nil && (g.whole || g.few() && ob.Desired != nil), g.whole && g.readEverybody(k.Source):
			g.sightings.Released = append(g.sightings.Released, k)
		}
	}
	slices.SortFunc(g.sightings.Released, identity.Key.Compare)
}

// leavesLater tells the decision about somebody who goes once a call that may still be
// on its way is settled. It has no ops: they are planned anew then.
func leavesLater(d *plan.Decision) bool {
	return d.Reason == plan.CallInFlight && d.Held == plan.Deactivate
}

// leaving is the op of a kind that ends somebody's access.
func leaving(kind plan.OpKind) plan.Op {
	return plan.Op{Kind: kind, Changes: []plan.Change{{Field: plan.FieldActive, From: "true", To: "false"}}}
}

// leaves tells an op that ends somebody's access.
func leaves(op plan.Op) bool {
	to, ok := op.To(plan.FieldActive)
	return ok && to == "false"
}

// readEverybody tells whether a source was read without any doubt about anybody.
func (g *gathered) readEverybody(source string) bool {
	return slices.ContainsFunc(g.summaries, func(s plan.SourceSummary) bool { return s.Name == source && s.Complete && s.Faults == 0 })
}

// unknown notes the active people among the accounts of the server who are
// nobody's: no administrators, and not mmsync's own account.
func (g *gathered) unknown(all []state.IndexedAccount) {
	owned := make(map[string]bool, len(g.roster.heads))
	for i := range g.roster.heads {
		if h := &g.roster.heads[i]; h.owner {
			owned[h.account] = true
		}
	}
	g.strangers = map[string]bool{}
	for i := range all {
		a := &all[i]
		if a.Active && !a.Bot && !a.Remote && !a.Admin && !owned[a.ID] && g.facts.Protected[a.ID] == "" {
			g.strangers[a.ID] = true
		}
	}
}
