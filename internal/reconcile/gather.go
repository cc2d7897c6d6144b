package reconcile

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
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
	rules        [32]byte
	roster       *roster
	observations []plan.Observation
	summaries    []plan.SourceSummary
	target       plan.TargetSummary
	usage        guard.Usage
	// kept are the ops that the guards keep back until somebody decides about them,
	// and whole says that the plan is about everybody.
	kept  map[identity.Key][]plan.Op
	whole bool
	// pushed says that these are people who were pushed, and not a reading of a source.
	pushed bool
	// token is the lease's under which somebody who was pushed is worked on.
	token int64
	// since is the moment from which on a push takes somebody over.
	since    int64
	claims   *claims
	reserved *reservation
	// changes says that only what changed was read, so that nothing is known of others.
	changes bool
	// readings are the marks of sources to be kept once the run has done its part.
	readings []reading
	// undecided are people who may be gone and of whom their source could not say so: they
	// are looked at again.
	undecided []identity.Key
	// forGood is goodbye of the run's options.
	forGood *plan.ForGood
	// byHand says that no source was read: what sources lose is nothing to be judged.
	byHand bool
	// unmarked are the sources without a mark of their first run, and when that was;
	// the zero time if there was none.
	unmarked map[string]time.Time
	// members are the memberships of people of ours by account id; nil if they are asked
	// for one by one.
	members map[string]identity.Memberships
	// severalPages are the teams and channels whose lists took more than one answer.
	severalPages map[string]bool
	// strangers are the ids of active people whom a walk over the server met and who
	// are nobody's.
	strangers map[string]bool
	trips     []guard.Trip
	sightings state.SightingChanges
	problems  []string
	notices   []Notice
	busy      busy
	heard     *heard
	stops     stops
	// bars are what this run does not do.
	bars []plan.Bar
	// nameless counts by custom profile attribute the settled people for whom the source
	// names somebody whose account is not known.
	nameless map[string]int
	// managers are the accounts of whom people report to, where they are known.
	managers map[identity.Key]string
	// settled counts those who are as they were when nothing was to be done.
	settled int
	// logins are the heads of settled people by the hash of their login data, one map
	// for each source.
	logins []map[uint64]int
	// voices are what the contributors of accounts say, by account, and awards what of
	// people's desired state came from them.
	voices map[string][]plan.Voice
	awards map[identity.Key][]plan.Award
	// moved are settled people whom the source keeps somewhere else now.
	moved []state.SettledMark
	// switchedOn are people whose accounts were off when last seen, though nobody
	// had just switched them off, and are on now.
	switchedOn map[identity.Key]time.Time
	// jumped says that a clock did not go on as clocks do.
	jumped bool
	// began is the server's clock at the first answer of the pass over the accounts.
	began    time.Time
	auditAge time.Duration
	// walked are all accounts of the server, if this run walked it.
	walked []*identity.Account
	links  map[identity.Key]*identity.Link // of people about whom something is decided
}

// few says that the observations are of some people alone: there is no roster.
func (g *gathered) few() bool { return g.pushed || g.changes }

// takenOver tells whether a push came for somebody since this gathering began.
func (g *gathered) takenOver(k identity.Key) bool {
	return g.claims != nil && g.claims.since(k, g.since)
}

// view is what the server showed, by every way an account is looked for.
type view struct {
	byID       map[string]*identity.Account
	byUsername map[string]*identity.Account
	byEmail    map[string]*identity.Account
	byAuth     map[string]*identity.Account
	unseen     map[string]bool // linked ids whose absence proves nothing
}

func newView() *view {
	return &view{
		byID: map[string]*identity.Account{}, byUsername: map[string]*identity.Account{}, byEmail: map[string]*identity.Account{},
		byAuth: map[string]*identity.Account{}, unseen: map[string]bool{},
	}
}

// gather reads links, the server and the sources. With a lease it also writes
// down what reading taught (observed accounts, the since mark, the index);
// without one it writes nothing. Whoever is as he was when nothing was to be done
// is counted and otherwise left alone.
func (e *Engine) gather(ctx context.Context, o RunOptions, l *lease, facts plan.Facts, calls busy) (*gathered, error) {
	unknown, err := e.spacesOrNone(ctx, &facts)
	if err != nil {
		return nil, err
	}
	g := &gathered{auditAge: -1, facts: facts, rules: e.rules(facts), busy: calls, links: map[identity.Key]*identity.Link{}, since: e.claims.now(), claims: e.claims, bars: o.Bars, forGood: o.goodbye}
	if g.now, err = e.o.Store.Now(ctx); err != nil {
		return nil, fmt.Errorf("read the store's clock: %w", err)
	}
	if o.goodbye != nil { // what an earlier run left open is settled by now
		if _, o.goodbye.Begun, err = e.deletions(ctx, g.now); err != nil {
			return nil, err
		}
	}
	g.jumped = e.jumped(g.now, l != nil)
	if g.roster, err = e.readRoster(ctx); err != nil {
		return nil, err
	}
	if err := e.readStops(ctx, g, l, true); err != nil {
		return nil, err
	}
	g.problems = slices.Concat(g.stops.problems(), unknown, troubles(facts.Spaces))
	// The server first: it tells who needs deciding, so that nothing has to be
	// kept of all the others while the sources are read.
	v := newView()
	if err := e.observe(ctx, g, v, l); err != nil {
		return nil, err
	}
	if err := e.readMembers(ctx, g); err != nil {
		return nil, err
	}
	audit, err := e.auditDue(ctx, g, o, l)
	if err != nil {
		return nil, err
	}
	if audit || o.everybody {
		g.roster.unsettle()
	}
	g.stops.unsettle(g.roster)
	snaps, problems, err := e.readSources(ctx, g, o, l != nil)
	if err != nil {
		return nil, err
	}
	if g.facts.SetBack {
		problems = append(problems, "the server shows older versions of accounts than mmsync wrote, or lacks some: it was set back to an earlier state, or is another one; everything is read again, and nothing is taken from anybody in this run")
	}
	g.problems = append(problems, g.problems...)
	if err := e.fit(ctx, g, v, snaps, l); err != nil {
		return nil, err
	}
	if err := e.hearContributors(ctx, g, v, snaps, o, l); err != nil {
		return nil, err
	}
	if err := e.lookup(ctx, g, v, snaps, audit, l); err != nil {
		return nil, err
	}
	if err := e.protect(ctx, g, v, l); err != nil {
		return nil, err
	}
	return g, e.assemble(ctx, g, v, snaps, o, l)
}

// fit makes sure that the sources are the store's, applies the server's rules to
// what they want, and loads the links of everybody who has to be decided.
func (e *Engine) fit(ctx context.Context, g *gathered, v *view, snaps []*identity.Snapshot, l *lease) error {
	var load []int
	for _, s := range snaps {
		if s == nil {
			continue
		}
		if err := e.bind(ctx, "source/"+s.Source, s.Directory, s.Directory, l); err != nil {
			return err
		}
		for i := range s.Identities {
			if at := g.roster.find(s.Identities[i].Key); at >= 0 {
				if h := &g.roster.heads[at]; h.present {
					g.settled-- // known at first, then found twice
				} else {
					h.present = true
				}
				load = append(load, at)
			}
			s.Identities[i] = e.o.Target.Canonical(s.Identities[i])
		}
		load = append(load, g.absent(s.Source)...)
	}
	return e.load(ctx, g, v, load)
}

// absent gives the heads of a source's own people whom its read lacked, but for
// those about whom that was settled.
func (g *gathered) absent(source string) []int {
	var out []int
	gone := digest(g.rules, nobody)
	from, to := g.roster.segment(source)
	for i := from; i < to; i++ {
		if h := &g.roster.heads[i]; h.owner && !h.present && h.settled != gone {
			out = append(out, i)
		}
	}
	return out
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

// readSources reads all sources side by side, and keeps of each read only those
// who have to be decided. A source that cannot be read at all is a problem, not
// the end: the others go on, and nobody of it is missed. With record it is written down
// as a read that was not complete.
func (e *Engine) readSources(ctx context.Context, g *gathered, o RunOptions, record bool) ([]*identity.Snapshot, []string, error) {
	snaps := make([]*identity.Snapshot, len(e.o.Sources))
	failed := make([]error, len(e.o.Sources))
	known := make([]settledPeople, len(e.o.Sources))
	var shared map[string]bool
	if e.o.Policy.ManyVoices() {
		shared, _ = g.roster.shared()
	}
	e.list(g.roster)
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, src := range e.o.Sources {
		known[i] = settledPeople{g: g, all: o.everybody, shared: shared, find: e.whois(g.roster)}
		group.Go(func() error {
			e.o.Progress(Progress{Stage: "reading " + src.Name()})
			s, err := src.Snapshot(gctx, known[i].has)
			if gctx.Err() == nil {
				e.o.Watch.read(src.Name(), err)
			}
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
			g.settled += known[i].count
			g.moved = append(g.moved, known[i].moved...)
			g.logins = append(g.logins, known[i].logins)
			g.addNameless(known[i].nameless)
			continue
		}
		if record {
			if err := e.o.Store.RecordRead(ctx, state.Read{Source: e.o.Sources[i].Name(), At: g.now, Doubt: notRead}); err != nil {
				return nil, nil, fmt.Errorf("record the read of source %s: %w", e.o.Sources[i].Name(), err)
			}
		}
		problems = append(problems, fmt.Sprintf("source %s could not be read: %v", e.o.Sources[i].Name(), err))
	}
	if read == 0 && len(failed) > 0 {
		return nil, nil, fmt.Errorf("read sources: %w", errors.Join(failed...))
	}
	return snaps, problems, nil
}

// notRead is what is doubted of a read that nothing came back from. Why is for the log:
// it may name somebody.
const notRead = "it could not be read at all"

// settledPeople recognises those of one source about whom nothing has to be
// decided.
type settledPeople struct {
	g     *gathered
	all   bool // nobody is to be forgotten
	count int
	// shared are accounts that others have a word about: what is wanted of them is not
	// known before all sources were read.
	shared map[string]bool
	// logins are the login data of those who were forgotten, by hash: the server
	// has no look-up by them, and somebody else may want the same.
	logins map[uint64]int
	moved  []state.SettledMark
	// find gives the accounts of those whom people name; nameless has the name of a custom
	// profile attribute once for each person for whom that is not known.
	find     whois
	nameless []string
}

// has tells whether somebody can be forgotten again: he is wanted as he was when
// nothing was to be done and neither his account nor the rules have changed since,
// or he has left and never had an account.
func (p *settledPeople) has(id identity.Identity) bool {
	at := p.g.roster.find(id.Key)
	if at < 0 {
		if id.Active || p.all || p.g.busy.has(id.Key, "") {
			return false
		}
		p.count++
		return true
	}
	h := &p.g.roster.heads[at]
	people, unknown := p.find.people(&id)
	d := digest(p.g.rules, naming(within(id.Hash, p.g.members[h.account]), people, p.find.manager(&id)))
	if h.settled != d || d == (state.Digest{}) || p.shared[h.account] || p.g.busy.has(id.Key, h.account) {
		return false
	}
	h.present = true
	p.count++
	if id.Active {
		p.nameless = append(p.nameless, unknown...)
	}
	if id.Auth.Data != "" {
		if p.logins == nil {
			p.logins = map[uint64]int{}
		}
		p.logins[maphash.String(p.g.roster.places, id.Auth.Data)] = at
	}
	if place := p.g.roster.place(id.Ref); place != h.place {
		p.moved = append(p.moved, state.SettledMark{Key: id.Key, Digest: d, Ref: id.Ref})
	}
	return true
}
