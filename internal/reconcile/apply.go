package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	// since is the moment from which on a push takes somebody over.
	since    int64
	reserved *reservation
	// putOff says that a time came at which somebody who leaves stays in.
	putOff atomic.Bool

	mu       sync.Mutex
	people   map[identity.Key]*person
	counts   state.Counts
	failures []Failure
	inARow   int                        // failures since the last success
	due      map[identity.Key]time.Time // who is to be looked at again, and from when on
	open     map[identity.Key]bool      // for whom a call has no known outcome
	stopped  map[string]int             // calls that were not sent, by the sentence that says why
	done     int
	total    int
}

// person is what is known about one Key while its ops are carried out. Only one
// worker has it at a time.
type person struct {
	link    *identity.Link
	account *identity.Account
	fresh   time.Time
	match   string // his match key, which no call shows
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
	a := &applier{e: e, lease: l, runID: run.ID, kind: run.Kind, plan: p, now: time.Now(), planned: run.PlannedAt, offset: offset, people: map[identity.Key]*person{}, due: map[identity.Key]time.Time{}, open: map[identity.Key]bool{}, stopped: map[string]int{}, hidden: !g.facts.AuthDataVisible, since: g.since, reserved: g.reserved}
	a.counts = run.Counts
	a.server.facts = g.facts
	touched := make(map[identity.Key]*plan.Decision, len(p.Decisions))
	for i := range p.Decisions {
		if d := &p.Decisions[i]; len(d.Ops) > 0 {
			touched[d.Key] = d
			a.total += len(d.Ops)
		}
	}
	for i := range g.observations {
		o := &g.observations[i]
		d := touched[o.Key]
		if d == nil {
			continue
		}
		who := &person{link: o.Link, account: o.Linked, fresh: a.now}
		if o.Desired != nil {
			who.match = o.Desired.MatchKey
		}
		if d.Action == plan.Adopt { // not linked yet
			who.account = adoptee(o, d.AccountID)
		}
		a.people[o.Key] = who
	}
	return a
}

func adoptee(o *plan.Observation, id string) *identity.Account {
	if o.ByIntent != nil && o.ByIntent.ID == id {
		return o.ByIntent
	}
	for _, h := range []*plan.Holder{o.ByAuth, o.ByEmail, o.ByUsername} {
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
// a step that failed nothing more of the unit is sent.
func (a *applier) unit(ctx context.Context, u plan.Unit) error {
	broken := ""
	defer func() {
		for _, s := range u.Steps {
			a.reserved.done(a.plan.Decisions[s.Decision].Key)
		}
	}()
	if why := a.barredBy(u); why != "" {
		return a.leave(ctx, u, why)
	}
	for _, s := range u.Steps {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		d := &a.plan.Decisions[s.Decision]
		ref := state.OpRef{Run: a.runID, Decision: s.Decision, Op: s.Op}
		if a.e.claims.since(d.Key, a.since) {
			broken = d.Username
			if err := a.yield(ctx, ref, d); err != nil {
				return err
			}
			continue
		}
		if broken != "" && a.undecided(d.Key) && endsOldSessions(d.Ops[s.Op]) {
			continue // it stays pending: whether it is due shows with the move of the login
		}
		if broken != "" {
			if err := a.skip(ctx, ref, d, s.Op, "an earlier step of "+strconv.Quote(broken)+" was not carried out"); err != nil {
				return err
			}
			continue
		}
		ok, err := a.turn(ctx, ref, d, s.Op)
		if err != nil {
			return err
		}
		if !ok {
			broken = d.Username
		}
	}
	return nil
}

// undecided tells whether a call for somebody has an outcome that is not known yet.
func (a *applier) undecided(k identity.Key) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.open[k]
}

// turn takes a step unless a push took the person over, and keeps one away meanwhile.
func (a *applier) turn(ctx context.Context, ref state.OpRef, d *plan.Decision, index int) (ok bool, err error) {
	if !a.e.claims.enter(d.Key, a.since) {
		return false, a.yield(ctx, ref, d)
	}
	defer a.e.claims.leave(d.Key)
	if err := a.met(ctx); err != nil {
		return false, err
	}
	return a.step(ctx, ref, d, index)
}

// step carries out one op. ok false means that it was skipped or failed; an
// error ends the run.
func (a *applier) step(ctx context.Context, ref state.OpRef, d *plan.Decision, index int) (ok bool, err error) {
	op := d.Ops[index]
	who := a.people[d.Key]
	if cause, err := a.look(ctx, who, d, op); err != nil {
		return false, err
	} else if cause != "" {
		return false, a.skip(ctx, ref, d, index, cause)
	}
	if op.Kind == plan.LinkAccount || op.Kind == plan.UnlinkAccount {
		return a.own(ctx, ref, d, index, who)
	}
	after, sent, callErr, err := a.insist(ctx, ref, d, who.id(d), op)
	if err != nil {
		return false, err
	}
	gone := a.there(ctx, callErr)
	callCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordBudget)
	defer cancel()
	if ctx.Err() != nil && keptBack(callErr) { // the run has ended, and this call did not leave any more
		out := state.Outcome{Ref: ref, Status: state.OpDropped, AccountID: who.id(d), At: time.Now(), Error: "the run ended before this call"}
		return false, errors.Join(context.Cause(ctx), a.record(callCtx, out))
	}
	if why, said := notSent(callErr); why != "" {
		return false, a.keep(callCtx, ref, d, index, why, said)
	}
	note := ""
	if courtesy(callErr) || (op.Kind == plan.CreateAccount && mismatch(callErr) && after.ID != "") {
		// The account is there and ours; what is not as asked is patched next time.
		note, callErr = callErr.Error(), nil
	}
	if callErr != nil {
		seen, err := a.reread(callCtx, gone, callErr, state.OpRecord{Key: d.Key, AccountID: who.id(d), Op: op, SentAt: sent})
		if err != nil {
			// The server is away: the op stays sent, and the next run looks at the
			// account before it does anything else.
			a.e.log.WarnContext(ctx, "call without a usable answer", "run", a.runID, "op", string(op.Kind), "account", who.id(d), "error", callErr)
			return false, fmt.Errorf("the server went away during %s of %s: %w; run sync again when it is back, it looks first what became of this call", op.Kind, d.Key, err)
		}
		if seen == nil {
			return false, a.fail(callCtx, ref, d, op, who, callErr)
		}
		after = *seen
	}
	out := state.Outcome{Ref: ref, Status: state.OpDone, AccountID: after.ID, At: time.Now(), Before: who.account, After: &after, Error: note}
	out.Link = linkAfter(who.link, d.Key, d.Ref, op, after, out.At)
	out.Link.Applied.MatchKey = cmp.Or(who.match, out.Link.Applied.MatchKey)
	if callErr != nil {
		out.Link.Written = sent.Add(-dateSlack)
	}
	if err := a.record(callCtx, out); err != nil {
		return false, err
	}
	who.link, who.account, who.fresh = out.Link, &after, time.Now()
	a.changed(ctx, d, op, after.ID)
	a.count(func() {
		a.counts.Done++
		a.inARow = 0
		if takes(op) && a.e.o.LookAgain > 0 {
			a.due[d.Key] = time.Now().Add(a.e.o.LookAgain)
		}
	})
	return true, nil
}

// send marks the op as sent and makes its call. Nothing leaves while the lease has
// lapsed or after it is lost, while an operator holds the person, nor later after its mark than sendBy: a call that is
// still waiting for the server's rate then is marked anew. A call that has left, and
// its record, end together, whatever happens to the run.
func (a *applier) send(ctx context.Context, ref state.OpRef, d *plan.Decision, id string, op plan.Op) (after identity.Account, sent time.Time, callErr, err error) {
	for {
		until, err := a.lease.right(ctx)
		if err != nil {
			return after, sent, nil, err
		}
		if why, err := a.heldBack(ctx, d, op); err != nil || why != "" {
			return after, sent, heldError{why}, err
		}
		sent = time.Now().Add(a.offset)
		if err := a.e.o.Store.MarkSent(ctx, a.lease.current(), ref, sent); err != nil {
			return after, sent, nil, fmt.Errorf("mark op %s as sent: %w", ref, err)
		}
		sendCtx, stop := context.WithDeadline(ctx, earlier(until, time.Now().Add(sendBy)))
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			a.watch(sendCtx, stop, d, op)
		}()
		after, callErr = a.e.o.Target.Apply(sendCtx, id, op)
		late := sendCtx.Err() != nil && keptBack(callErr)
		stop()
		<-watched
		if !late || ctx.Err() != nil {
			return after, sent, callErr, nil
		}
	}
}

// insist is send, and once more where a call was certainly not made because the server
// was away, and it is back.
func (a *applier) insist(ctx context.Context, ref state.OpRef, d *plan.Decision, id string, op plan.Op) (after identity.Account, sent time.Time, callErr, err error) {
	after, sent, callErr, err = a.send(ctx, ref, d, id, op)
	if err != nil || ctx.Err() != nil || !passing(callErr) || isUnknown(callErr) || a.e.o.Target.Await(ctx) != nil {
		return after, sent, callErr, err
	}
	return a.send(ctx, ref, d, id, op)
}

// there waits for the server after a call that failed, as long as the run goes on and the
// server may be waited for; what it gives is why it is not there.
func (a *applier) there(ctx context.Context, callErr error) error {
	if callErr == nil || courtesy(callErr) {
		return nil
	}
	if why, _ := notSent(callErr); why != "" {
		return nil
	}
	if ctx.Err() == nil {
		if err := a.e.o.Target.Await(ctx); err == nil || ctx.Err() == nil {
			return err
		}
	}
	look, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordBudget)
	defer cancel()
	return a.e.o.Target.Healthy(look)
}

// relink changes ownership alone; no call is made.
func (a *applier) relink(ctx context.Context, ref state.OpRef, d *plan.Decision, op plan.Op, who *person) error {
	out := state.Outcome{Ref: ref, Status: state.OpDone, AccountID: d.AccountID, At: time.Now(), Before: who.account, After: who.account}
	if op.Kind == plan.UnlinkAccount {
		if out.AccountID == "" && who.link != nil { // what follows creates another one
			out.AccountID = who.link.AccountID
		}
		out.Unlink, who.link, who.account = true, nil, nil
	} else {
		link := linkAfter(nil, d.Key, d.Ref, op, *who.account, out.At)
		link.Origin, link.Written, link.Applied.MatchKey = linkOrigin(d.Reason), time.Time{}, who.match
		out.Link, who.link = link, link
	}
	if err := a.record(ctx, out); err != nil {
		return err
	}
	a.changed(ctx, d, op, out.AccountID)
	a.count(func() { a.counts.Done++ })
	return nil
}

// changed is the one line of the log about a change: ids alone.
func (a *applier) changed(ctx context.Context, d *plan.Decision, op plan.Op, account string) {
	a.e.log.InfoContext(ctx, "changed", "run", a.runID, "source", d.Key.Source, "anchor", d.Key.Anchor,
		"account", account, "action", string(d.Action), "reason", string(d.Reason), "op", string(op.Kind))
}

// reread looks at the account after a call that failed, for an answer may be lost
// while the effect is there. nil means that it is not there. A refusal is
// believed: what the account shows then is somebody else's doing.
func (a *applier) reread(ctx context.Context, gone, cause error, op state.OpRecord) (*identity.Account, error) {
	if gone != nil {
		return nil, gone
	}
	if !isUnknown(cause) || op.Op.Kind == plan.RevokeSessions {
		return nil, nil
	}
	return a.e.effect(ctx, op)
}

// recordBudget bounds what follows a call: reading the account and recording the
// outcome.
const recordBudget = 2 * time.Minute
