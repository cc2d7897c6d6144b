package reconcile

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// applier carries out one journaled plan.
type applier struct {
	e     *Engine
	lease *lease
	runID string
	kind  string
	plan  plan.Plan
	now   time.Time // when the plan looked at the server
	// planned is the store's clock at about that time.
	planned time.Time
	// offset is how far the server's clock is ahead of ours.
	offset time.Duration
	// hidden: this server shows no login data.
	hidden bool
	server release
	// forGood is that of a run that deletes accounts for good; else nil.
	forGood *plan.ForGood
	// since is the moment from which on a push takes somebody over.
	since    int64
	reserved *reservation
	// putOff says that a time came at which somebody who leaves stays in.
	putOff atomic.Bool

	mu       sync.Mutex
	people   map[identity.Key]*person
	counts   state.Counts
	failures []Failure
	inARow   int                        // failures since the last success that are nobody's own
	alike    map[string]int             // refusals since then of an unknown cause, by id
	personal int                        // refusals since then that are one person's own
	due      map[identity.Key]time.Time // who is to be looked at again, and from when on
	open     map[identity.Key]bool      // for whom a call has no known outcome
	lost     map[string]string          // teams and channels that cannot be changed, by id, and why
	stopped  map[string]int             // calls that were not sent, by the sentence that says why
	keptName map[identity.Key]bool      // who keeps a username or an e-mail, see keptFields
	made     int                        // teams and channels
	done     int
	total    int
}

// person is what is known about one Key while its ops are carried out. Only one
// worker has it at a time.
type person struct {
	link    *identity.Link
	account *identity.Account
	fresh   time.Time
	roles   identity.Roles     // that the plan saw
	match   string             // his match key, which no call shows
	manager string             // the account of whom he reports to, which no call shows either
	said    *identity.Identity // what a contributor's source wants
	picture []byte             // while it is being uploaded
}

// id is the account to work on: the decision's, or the one that an earlier op
// of it created.
func (p *person) id(d *plan.Decision) string {
	if d.AccountID == "" && p.account != nil {
		return p.account.ID
	}
	return d.AccountID
}

func newApplier(e *Engine, l *lease, run *state.Run, g *gathered, p plan.Plan, offset time.Duration) *applier {
	a := &applier{e: e, lease: l, runID: run.ID, kind: run.Kind, plan: p, now: time.Now(), planned: run.PlannedAt, offset: offset, people: map[identity.Key]*person{}, due: map[identity.Key]time.Time{}, open: map[identity.Key]bool{}, lost: map[string]string{}, stopped: map[string]int{}, keptName: map[identity.Key]bool{}, hidden: !g.facts.AuthDataVisible, since: g.since, reserved: g.reserved, forGood: g.forGood}
	a.counts = run.Counts
	a.server.facts = g.facts
	touched := make(map[identity.Key]*plan.Decision, len(p.Decisions))
	for i := range p.Decisions {
		if d := &p.Decisions[i]; len(d.Ops) > 0 {
			touched[d.Key] = d
			a.total += len(d.Ops)
		}
	}
	for k, d := range touched {
		if d.Action == plan.Make {
			a.people[k] = &person{} // nobody
		}
	}
	for i := range g.observations {
		o := &g.observations[i]
		d := touched[o.Key]
		if d == nil {
			continue
		}
		who := &person{link: o.Link, account: o.Linked, fresh: a.now, manager: g.managers[o.Key]}
		if o.Desired != nil {
			who.match, who.said = o.Desired.MatchKey, o.Desired
		}
		if d.Action == plan.Adopt && o.Link == nil { // not linked yet
			who.account = adoptee(o, d.AccountID)
		}
		if who.account != nil {
			who.roles = who.account.Roles
		}
		a.people[o.Key] = who
	}
	return a
}

func adoptee(o *plan.Observation, id string) *identity.Account {
	if o.ByIntent != nil && o.ByIntent.ID == id {
		return o.ByIntent
	}
	for _, h := range []*plan.Holder{o.Match, o.ByAuth, o.ByEmail, o.ByUsername} {
		if h != nil && h.Account.ID == id {
			return h.Account
		}
	}
	return nil
}

// run works through the plan phase by phase: leaving first, everything that
// frees a name or a seat before what needs it.
func (a *applier) run(ctx context.Context) error {
	units := a.plan.Units()
	for start := 0; start < len(units); {
		end := start
		for end < len(units) && units[end].Phase == units[start].Phase {
			end++
		}
		group, gctx := errgroup.WithContext(ctx)
		group.SetLimit(a.e.o.Workers)
		for _, u := range units[start:end] {
			if gctx.Err() != nil {
				break
			}
			group.Go(func() error { return a.unit(gctx, u) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		start = end
	}
	return nil
}

// unit carries out the steps of one person, or of one chain, in sequence. After
// a step that failed nothing more of the unit is sent, but what is only taken from
// somebody whose profile was not changed. After one that kept a name which others of the
// chain wait for, nothing more of theirs is.
func (a *applier) unit(ctx context.Context, u plan.Unit) error {
	broken, alone, same := "", identity.Key{}, identity.Key{}
	defer func() {
		for _, s := range u.Steps {
			a.reserved.done(a.plan.Decisions[s.Decision].Key)
		}
	}()
	if why := a.barredBy(u); why != "" {
		return a.leave(ctx, u, why)
	}
	if a.detours(u) {
		return a.around(ctx, u)
	}
	moved := map[identity.Key]bool{}
	for _, s := range u.Steps {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		d := &a.plan.Decisions[s.Decision]
		follows := moved[d.Key] && mustFollow(d.Ops[s.Op])
		ref := state.OpRef{Run: a.runID, Decision: s.Decision, Op: s.Op}
		if a.e.claims.since(d.Key, a.since) {
			broken = d.Username
			if err := a.yield(ctx, ref, d); err != nil {
				return err
			}
			continue
		}
		if broken != "" && a.undecided(d.Key) && owed(d.Ops[s.Op]) {
			continue // it stays pending: whether it is due shows with the move of the login
		}
		goesOn := d.Key == alone || d.Key == same && onlyTakes(d.Ops[s.Op]) && !a.undecided(d.Key)
		if broken != "" && !follows && !goesOn {
			if err := a.skip(ctx, ref, d, s.Op, "an earlier step of "+strconv.Quote(broken)+" was not carried out"); err != nil {
				return err
			}
			continue
		}
		ok, err := a.turn(ctx, ref, d, s.Op)
		if err != nil {
			return err
		}
		switch {
		case !ok && d.Ops[s.Op].Kind.Hangs():
			broken, alone = d.Username, identity.Key{}
			if d.Ops[s.Op].Kind == plan.PatchProfile {
				same = d.Key
			}
		case broken == "" && a.keepsName(d.Key):
			broken, alone = d.Username, d.Key
		}
		moved[d.Key] = moved[d.Key] || ok && d.Ops[s.Op].MovesLogin()
	}
	return nil
}

// undecided tells whether a call for somebody has an outcome that is not known yet.
func (a *applier) undecided(k identity.Key) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.open[k]
}
