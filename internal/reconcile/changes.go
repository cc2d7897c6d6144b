package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Runs that read only what changed. Such a run decides about the people whom a source
// says to have changed, those whom earlier runs left something to do for, and those
// about whom an operator spoke. About everybody else it knows nothing: it misses
// nobody, sees no change that was made in Mattermost, and counts for nothing that takes
// having seen everybody.

// changesOnly are the Options of such a run.
const changesOnly = `{"changes":true}`

// fewChanges is how many people may have changed at once in any case; beyond that a
// fourth of those who are linked. A plan for more should see everybody.
const fewChanges = 1000

// mostInARow is how many runs at most read only what changed before one reads everybody,
// whatever the period: what looks for the last run about everybody looks through few.
const mostInARow = 100

// partial is one source in a run that reads only what changed.
type partial struct {
	src  Incremental
	mark state.ReadMark
	// again are anchors to be read whether the source names them or not.
	again []string
	delta identity.Delta
	// unshown are those of again whom the source neither shows nor says to be gone.
	unshown []string
	err     error
}

// absent gives the anchors of those whom the source may have no more.
func (c *partial) absent() []string { return slices.Concat(c.delta.Gone, c.unshown) }

// observations gathers for a run: of what changed, if the run may do with that and
// every source can tell it, else of everybody.
func (e *Engine) observations(ctx context.Context, o RunOptions, l *lease, facts plan.Facts, calls busy) (*gathered, error) {
	if !o.Changes {
		return e.gather(ctx, o, l, facts, calls)
	}
	g, why, err := e.gatherChanges(ctx, o, l, facts, calls)
	if g != nil || err != nil {
		return g, err
	}
	e.log.InfoContext(ctx, "everybody is read", "reason", why)
	return e.gather(ctx, o, l, facts, calls)
}

// gatherChanges gathers what changed. Without a result and an error, why says why
// everybody has to be read.
func (e *Engine) gatherChanges(ctx context.Context, o RunOptions, l *lease, facts plan.Facts, calls busy) (g *gathered, why string, err error) {
	if facts.Spaces, err = e.spaces(ctx, spacesFor); err != nil {
		if ctx.Err() != nil {
			return nil, "", err
		}
		return nil, "the teams and channels of memberships.rules could not be looked up", nil
	}
	switch unsure, err := e.unmade(ctx, &facts); {
	case err != nil:
		return nil, "", err
	case len(unsure) > 0:
		return nil, "it could not be found out which teams and channels are missing", nil
	}
	g = &gathered{
		auditAge: -1, facts: facts, rules: e.rules(facts), roster: &roster{}, busy: calls, bars: o.Bars, changes: true,
		links: map[identity.Key]*identity.Link{}, since: e.claims.now(), claims: e.claims,
	}
	if g.now, err = e.o.Store.Now(ctx); err != nil {
		return nil, "", fmt.Errorf("read the store's clock: %w", err)
	}
	list, why, err := e.askable(ctx, g, o, l)
	if err != nil || why != "" {
		return nil, why, err
	}
	if err := e.readStops(ctx, g, l, true); err != nil {
		return nil, "", err
	}
	g.problems = g.stops.problems()
	if why, err = e.readChanges(ctx, g, list, calls); err != nil || why != "" {
		return nil, why, err
	}
	return g, "", e.assembleChanges(ctx, g, list, l)
}

// askable gives the sources to be asked for what changed, or says why everybody has to
// be read.
func (e *Engine) askable(ctx context.Context, g *gathered, o RunOptions, l *lease) ([]*partial, string, error) {
	if o.pick != nil || o.everybody || o.Audit {
		return nil, "the run is asked to see everybody", nil
	}
	if e.jumped(g.now, false) { // the full read that follows has to see it too
		return nil, "a clock was set", nil
	}
	back, err := e.setBackPending(ctx, l, false)
	if err != nil || back {
		return nil, "the server was set back", err
	}
	audit, err := e.o.Store.Mark(ctx, auditMark)
	if err != nil {
		return nil, "", fmt.Errorf("read the age of the last audit: %w", err)
	}
	if g.auditAge = g.now.Sub(audit.At); audit.At.IsZero() || g.auditAge > auditEvery {
		return nil, "the audit is due", nil
	}
	var list []*partial
	for _, src := range e.o.Sources {
		if _, pushed := src.(Pushed); pushed {
			continue // told of each change, and worked on at once
		}
		inc, can := src.(Incremental)
		every := e.o.FullRead[src.Name()]
		if !can || every <= 0 {
			return nil, "source " + src.Name() + " is always read whole", nil
		}
		m, err := e.o.Store.ReadMark(ctx, src.Name())
		if err != nil {
			return nil, "", fmt.Errorf("read how far source %s was read: %w", src.Name(), err)
		}
		switch age := g.now.Sub(m.FullAt); {
		case m.Mark == "":
			return nil, "source " + src.Name() + " has no mark to go on from", nil
		case age >= every || age < 0:
			return nil, "the last full read of source " + src.Name() + " is too old", nil
		case m.Rules != g.rules:
			return nil, "the rules have changed since the last full read of source " + src.Name(), nil
		}
		list = append(list, &partial{src: inc, mark: m})
	}
	if len(list) == 0 {
		return nil, "no source can be asked for what changed", nil
	}
	why, err := e.inARow(ctx)
	return list, why, err
}

// inARow says that it is time to read everybody again, "" if not.
func (e *Engine) inARow(ctx context.Context) (string, error) {
	runs, err := e.o.Store.Runs(ctx, state.RunFilter{Kind: "sync", Statuses: completed(), Limit: mostInARow})
	if err != nil {
		return "", fmt.Errorf("read when everybody was read last: %w", err)
	}
	if len(runs) < mostInARow || slices.ContainsFunc(runs, func(r state.Run) bool { return Whole(&r) }) {
		return "", nil
	}
	return fmt.Sprintf("%d runs have read only what changed", mostInARow), nil
}

// readChanges asks the sources side by side. One that cannot be asked is a problem, and
// its mark stays.
func (e *Engine) readChanges(ctx context.Context, g *gathered, list []*partial, calls busy) (why string, err error) {
	verdicts, err := e.o.Store.Verdicts(ctx, state.VerdictFilter{Open: true})
	if err != nil {
		return "", fmt.Errorf("read what operators said: %w", err)
	}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, c := range list {
		c.again = lookAt(c.mark, verdicts, calls)
		group.Go(func() error {
			e.o.Progress(Progress{Stage: "reading what changed in " + c.src.Name()})
			c.err = c.ask(gctx)
			if gctx.Err() == nil {
				e.o.Watch.read(c.src.Name(), c.err)
			}
			return gctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return "", err
	}
	var failed []error
	for _, c := range list {
		switch {
		case c.err != nil:
			failed = append(failed, c.err)
			g.problems = append(g.problems, fmt.Sprintf("source %s could not be asked for what changed: %v", c.src.Name(), c.err))
		case c.delta.Full != "":
			return fmt.Sprintf("source %s: %s", c.src.Name(), c.delta.Full), nil
		case len(c.delta.Identities)+len(c.delta.Gone) > max(fewChanges, c.mark.Linked/4):
			return fmt.Sprintf("of source %s much has changed", c.src.Name()), nil
		}
	}
	if len(failed) == len(list) {
		return "", fmt.Errorf("read sources: %w", errors.Join(failed...))
	}
	return "", nil
}

// lookAt gives the anchors of a source's people to be looked at whether or not they
// changed: who was left with something to do or to wait for, had a call under way, or was
// spoken about by an operator.
func lookAt(m state.ReadMark, verdicts []state.Verdict, calls busy) []string {
	again := slices.Clone(m.Again)
	add := func(k identity.Key) {
		if k.Source == m.Source {
			again = append(again, k.Anchor)
		}
	}
	for i := range verdicts {
		for _, it := range verdicts[i].Items {
			if it.UsedBy == "" {
				add(it.Key)
			}
		}
	}
	for k := range calls.people {
		add(k)
	}
	slices.Sort(again)
	return slices.Compact(again)
}

// doubt says what is in doubt of a source that could not be asked.
func (c *partial) doubt() string {
	if c.err == nil {
		return ""
	}
	return "it could not be asked for what changed"
}

// ask asks one source for what changed, and for those to be looked at whom that lacks.
func (c *partial) ask(ctx context.Context) error {
	var err error
	if c.delta, err = c.src.Changes(ctx, c.mark.Mark); err != nil || c.delta.Full != "" {
		return err
	}
	told := make(map[string]bool, len(c.delta.Identities))
	for i := range c.delta.Identities {
		told[c.delta.Identities[i].Key.Anchor] = true
	}
	rest := slices.DeleteFunc(slices.Clone(c.again), func(a string) bool { return told[a] })
	if len(rest) == 0 {
		return nil
	}
	more, err := c.src.Read(ctx, rest)
	if err != nil {
		return err
	}
	for i := range more {
		told[more[i].Key.Anchor] = true
	}
	for _, a := range c.delta.Gone {
		told[a] = true
	}
	c.unshown = slices.DeleteFunc(rest, func(a string) bool { return told[a] })
	c.delta.Identities = append(c.delta.Identities, more...)
	slices.SortFunc(c.delta.Identities, identity.CompareIdentity)
	return nil
}

// assembleChanges makes one observation for each person who changed.
func (e *Engine) assembleChanges(ctx context.Context, g *gathered, list []*partial, l *lease) error {
	var keys []identity.Key
	for _, c := range list {
		if c.err != nil {
			continue
		}
		name := c.src.Name()
		if err := e.bind(ctx, "source/"+name, c.delta.Directory, c.delta.Directory, l); err != nil {
			return err
		}
		for i := range c.delta.Identities {
			c.delta.Identities[i] = e.o.Target.Canonical(c.delta.Identities[i])
			keys = append(keys, c.delta.Identities[i].Key)
		}
		for _, a := range c.absent() {
			keys = append(keys, identity.Key{Source: name, Anchor: a})
		}
	}
	slices.SortFunc(keys, identity.Key.Compare)
	keys = slices.Compact(keys)
	v := newView()
	if err := e.reread(ctx, g, v, keys); err != nil {
		return err
	}
	for _, c := range list {
		if err := e.observeChanged(ctx, g, v, c, l); err != nil {
			return err
		}
	}
	if err := e.hearFew(ctx, g, v, l, true, everyone); err != nil {
		return err
	}
	if err := e.find(ctx, v, e.wantedBy(g.observations)); err != nil {
		return err
	}
	for _, a := range v.byID {
		v.index(a)
	}
	if err := e.keepObserved(ctx, g, v, l); err != nil {
		return err
	}
	if err := e.protect(ctx, g, v, l); err != nil {
		return err
	}
	if err := e.complete(ctx, g, v, g.observations); err != nil {
		return err
	}
	if err := e.keepManagers(ctx, g, l); err != nil {
		return err
	}
	if err := e.heed(ctx, g, l); err != nil {
		return err
	}
	for i := range g.summaries {
		g.target.Active += g.summaries[i].Linked
	}
	g.target.URL, g.target.Version, g.target.SeatsLeft = e.o.TargetURL, g.facts.Version, g.facts.SeatsLeft
	return nil
}

// observeChanged adds the people of one source who changed, and those of whom it says
// that they are gone, as far as it says so again when asked about each.
func (e *Engine) observeChanged(ctx context.Context, g *gathered, v *view, c *partial, l *lease) error {
	name, d := c.src.Name(), &c.delta
	sum := plan.SourceSummary{Name: name, Changes: true, Entries: d.Entries, Linked: c.mark.Linked, Took: d.Took, Faults: len(d.Unreadable)}
	if sum.Doubt = c.doubt(); sum.Doubt != "" {
		g.summaries = append(g.summaries, sum)
		return nil
	}
	for _, p := range d.Unreadable {
		g.problems = append(g.problems, p.Ref+": "+p.Message)
	}
	first := len(g.observations)
	there := make(map[string]bool, len(d.Identities))
	unknown, why := 0, ""
	for i := range d.Identities {
		id := &d.Identities[i]
		if id.Fault != "" && id.Active {
			sum.Faults++
		}
		if id.RolesUnknown != "" && id.Active {
			unknown, why = unknown+1, cmp.Or(why, id.RolesUnknown)
		}
		there[id.Key.Anchor] = true
		ob := plan.Observation{Key: id.Key, Desired: id, Link: g.links[id.Key]}
		v.attach(&ob)
		g.observations = append(g.observations, ob)
	}
	if unknown > 0 {
		g.problems = append(g.problems, "source "+name+": "+identity.RolesUnknown(unknown, why))
	}
	g.summaries = append(g.summaries, sum)
	if err := e.keepPlaces(ctx, g, &identity.Snapshot{Source: name, Identities: d.Identities}, l); err != nil {
		return err
	}
	var absent []*identity.Link
	for _, a := range c.absent() {
		if k := g.links[identity.Key{Source: name, Anchor: a}]; k != nil && k.Part != identity.Contributor && !there[a] {
			absent = append(absent, k)
		}
	}
	sum.Complete = true // as far as those are concerned whom the source names
	if err := e.missed(ctx, g, v, c.src, sum, first, absent, nil); err != nil {
		return err
	}
	e.dropUnconfirmed(g, first)
	next := c.mark
	next.Mark, next.At = d.Mark, g.now
	g.readings = append(g.readings, reading{from: c.mark.Mark, next: next})
	return nil
}

// dropUnconfirmed forgets those who were said to be gone, from the first observation
// on, and of whom that was not confirmed: a hint alone starts no grace. Whoever has
// something to lose is asked about again by the next run, for the source's mark moves
// past the hint.
func (e *Engine) dropUnconfirmed(g *gathered, first int) {
	confirmed := func(p identity.Presence) bool { return p == identity.PresenceGone || p == identity.PresenceOutOfScope }
	dropped := map[identity.Key]bool{}
	kept := g.observations[:first]
	for _, ob := range g.observations[first:] {
		if ob.Desired == nil && !confirmed(ob.Absence.Presence) && !ob.Absence.Explicit {
			dropped[ob.Key] = true
			if ob.Absence.Presence != identity.PresencePresent && (ob.Unseen || e.canLose(g, &ob)) {
				g.undecided = append(g.undecided, ob.Key)
			}
			continue
		}
		kept = append(kept, ob)
	}
	g.observations = kept
	g.sightings.Missed = slices.DeleteFunc(g.sightings.Missed, func(s state.Sighting) bool { return dropped[s.Key] })
}
