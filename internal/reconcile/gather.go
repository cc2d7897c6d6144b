package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// gathered is everything known before deciding.
type gathered struct {
	now          time.Time
	facts        plan.Facts
	observations []plan.Observation
	summaries    []plan.SourceSummary
	target       plan.TargetSummary
	usage        guard.Usage
	trips        []guard.Trip
	sightings    state.SightingChanges
	problems     []string
	// restored is set when the server shows less than mmsync itself wrote to it.
	restored bool
	auditAge time.Duration
	links    []identity.Link // as read, for the applier to build on
}

// view is what the server showed, by every way an account is looked for.
type view struct {
	byID       map[string]*identity.Account
	byUsername map[string]*identity.Account
	byEmail    map[string]*identity.Account
	byAuth     map[string]*identity.Account
	unseen     map[string]bool // linked ids whose absence proves nothing
}

// gather reads sources, links and the server. With a lease it also writes down
// what reading taught (observed accounts, the since mark, the index); without
// one it writes nothing.
func (e *Engine) gather(ctx context.Context, o RunOptions, l *lease, facts plan.Facts) (*gathered, error) {
	g := &gathered{auditAge: -1, facts: facts}
	var err error
	if g.now, err = e.o.Store.Now(ctx); err != nil {
		return nil, fmt.Errorf("read the store's clock: %w", err)
	}
	// Sources and server are read side by side: neither needs the other.
	var snaps []*identity.Snapshot
	v := &view{byID: map[string]*identity.Account{}, unseen: map[string]bool{}}
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		snaps, g.problems, err = e.readSources(gctx)
		return err
	})
	group.Go(func() (err error) {
		if g.links, err = e.o.Store.Links(gctx, state.LinkFilter{}); err != nil {
			return fmt.Errorf("read links: %w", err)
		}
		return e.observe(gctx, g, v, l)
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if g.restored {
		g.problems = append(g.problems, "the server shows older versions of accounts than mmsync wrote: it was set back to an earlier state, or is another one; everything is read again, and nobody's absence counts in this run")
	}
	for _, s := range snaps {
		if s == nil {
			continue
		}
		if err := e.bind(ctx, "source/"+s.Source, s.Directory, s.Directory, l); err != nil {
			return nil, err
		}
		for i := range s.Identities {
			s.Identities[i] = e.o.Target.Canonical(s.Identities[i])
		}
	}
	if err := e.lookup(ctx, g, v, snaps, o, l); err != nil {
		return nil, err
	}
	if err := e.protect(ctx, g, v, l); err != nil {
		return nil, err
	}
	return g, e.assemble(ctx, g, v, snaps, o, l)
}

// meet reads the server's facts and makes sure that it is the store's server,
// before anything else is believed of it.
func (e *Engine) meet(ctx context.Context, l *lease) (plan.Facts, error) {
	facts, err := e.o.Target.Facts(ctx)
	if err != nil {
		return facts, fmt.Errorf("read facts of the server: %w", err)
	}
	id := facts.ServerID
	if facts.SiteURL != "" {
		id += " at " + facts.SiteURL // a copy of the database has the same id
	}
	return facts, e.bind(ctx, "mattermost", id, e.o.TargetURL, l)
}

// clockOffset is how far the server's clock is ahead of ours, to the second.
func (e *Engine) clockOffset(ctx context.Context, facts plan.Facts) (time.Duration, error) {
	if len(facts.HumanAdmins) == 0 {
		return 0, nil
	}
	at, err := e.o.Target.Observe(ctx, facts.HumanAdmins[:1], 0, func(identity.Account) error { return nil })
	if err != nil || at.IsZero() {
		return 0, err
	}
	if offset := time.Until(at); offset.Abs() > dateSlack {
		return offset, nil
	}
	return 0, nil // the header counts whole seconds
}

// bind refuses to go on with another server or directory than the store was
// made with. Only a run that may write ties the store to what it meets first.
func (e *Engine) bind(ctx context.Context, name, id, note string, l *lease) error {
	if id == "" {
		return nil
	}
	known, err := e.o.Store.Bound(ctx, name)
	if err == nil && known.ID == "" && l != nil {
		var at time.Time
		if at, err = e.o.Store.Now(ctx); err == nil {
			known, err = e.o.Store.Bind(ctx, state.Binding{Name: name, ID: id, Note: note, At: at})
		}
	}
	if err != nil && !errors.Is(err, state.ErrConflict) {
		return fmt.Errorf("check what the store is bound to: %w", err)
	}
	if known.ID != "" && known.ID != id {
		return fmt.Errorf("%w: this store belongs to %s %q (%s), but the configuration leads to %q (%s); correct the configuration, use another state.url, or, if this is right, run mmsync state rebind %s --reason …",
			ErrBinding, name, known.ID, known.Note, id, note, name)
	}
	return nil
}

// ErrBinding is wrapped when the store was made with another server or
// directory.
var ErrBinding = errors.New("wrong store")

// readSources reads all sources side by side. A source that cannot be read at
// all is a problem, not the end: the others go on, and nobody of it is missed.
func (e *Engine) readSources(ctx context.Context) ([]*identity.Snapshot, []string, error) {
	snaps := make([]*identity.Snapshot, len(e.o.Sources))
	failed := make([]error, len(e.o.Sources))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, src := range e.o.Sources {
		group.Go(func() error {
			e.o.Progress(Progress{Stage: "reading " + src.Name()})
			s, err := src.Snapshot(gctx)
			if failed[i] = err; err == nil {
				snaps[i] = &s
			}
			return gctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	var problems []string
	read := 0
	for i, err := range failed {
		if err == nil {
			read++
			continue
		}
		problems = append(problems, fmt.Sprintf("source %s could not be read: %v", e.o.Sources[i].Name(), err))
	}
	if read == 0 && len(failed) > 0 {
		return nil, nil, fmt.Errorf("read sources: %w", errors.Join(failed...))
	}
	return snaps, problems, nil
}

// assemble makes one observation for each Key that is desired or linked.
func (e *Engine) assemble(ctx context.Context, g *gathered, v *view, snaps []*identity.Snapshot, o RunOptions, l *lease) error {
	owners := make(map[string]identity.Key, len(g.links))
	byKey := make(map[identity.Key]*identity.Link, len(g.links))
	for i := range g.links {
		k := &g.links[i]
		byKey[k.Key] = k
		if k.Part != identity.Contributor {
			owners[k.AccountID] = k.Key
		}
	}
	intents, err := e.intents(ctx, v, owners)
	if err != nil {
		return err
	}
	n := len(g.links)
	for _, s := range snaps {
		if s != nil {
			n += len(s.Identities)
		}
	}
	g.observations = make([]plan.Observation, 0, n)
	g.usage.Deactivations = map[string]int{}
	for i, src := range e.o.Sources {
		if err := e.assembleSource(ctx, g, v, src, snaps[i], byKey, o, l); err != nil {
			return err
		}
	}
	for i := range g.observations {
		ob := &g.observations[i]
		ob.Facts, ob.Now = &g.facts, g.now
		if ob.Link == nil {
			ob.ByIntent = intents[ob.Key]
		}
		v.holders(ob, owners)
	}
	if err := e.adoptable(ctx, g); err != nil {
		return err
	}
	for i := range g.summaries {
		g.target.Active += g.summaries[i].Linked
	}
	g.target.URL, g.target.Version, g.target.SeatsLeft = e.o.TargetURL, g.facts.Version, g.facts.SeatsLeft
	return nil
}

// adoptable finds out what speaks against adopting the unowned accounts that
// somebody's login data points to: that they were somebody else's once, or own
// bots or tokens that would come along.
func (e *Engine) adoptable(ctx context.Context, g *gathered) error {
	candidates := map[string][]*plan.Observation{}
	for i := range g.observations {
		ob := &g.observations[i]
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

func (e *Engine) assembleSource(ctx context.Context, g *gathered, v *view, src Source, s *identity.Snapshot, byKey map[identity.Key]*identity.Link, o RunOptions, l *lease) error {
	name := src.Name()
	used, err := e.o.Store.Usage(ctx, name, g.now.Add(-e.o.Limits.Window))
	if err != nil {
		return fmt.Errorf("read what was done of late for source %s: %w", name, err)
	}
	g.usage.Deactivations[name] = used
	sum := plan.SourceSummary{Name: name}
	for i := range g.links {
		k := &g.links[i]
		if a := v.byID[k.AccountID]; k.Key.Source == name && k.Part != identity.Contributor && a != nil && a.Active() {
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
	present := make(map[identity.Key]bool, len(s.Identities))
	first := len(g.observations)
	for i := range s.Identities {
		id := &s.Identities[i]
		present[id.Key] = true
		ob := plan.Observation{Key: id.Key, Desired: id, Link: byKey[id.Key]}
		v.attach(&ob)
		g.observations = append(g.observations, ob)
	}
	if l != nil {
		if err := e.keepPlaces(ctx, s, byKey, l); err != nil {
			return err
		}
	}
	absent, joined, doubt := missingLinks(g.links, name, present, s.Unreadable)
	if g.restored {
		doubt = "the server seems to have been set back to an earlier state, so nobody's absence counts in this run"
	}
	if doubt != "" && sum.Complete {
		sum.Complete, sum.Doubt = false, doubt
	}
	if !sum.Complete && !shrunk(g.trips, name) {
		g.problems = append(g.problems, fmt.Sprintf("source %s was not read whole, so nobody missing from it is deactivated: %s", name, sum.Doubt))
	}
	g.summaries = append(g.summaries, sum)
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
