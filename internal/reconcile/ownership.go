package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// ownership is a change of who owns what, said by a person. It is planned,
// journaled and carried out like any run, but no account is written to: links
// move, and what is to be patched by that shows in the next plan.
type ownership struct {
	e *Engine
	o RunOptions
	// g is what was seen of sources and server; nil unless everything was looked at.
	g *gathered
	// facts and busy are what is known of the server, if it was looked at.
	facts plan.Facts
	busy  busy
	// offset is how far the server's clock is ahead of ours.
	offset time.Duration
	// now is the store's clock.
	now   time.Time
	steps []step
	// refuse and allow are matches that are refused from now on, and no more.
	refuse, allow []state.RefusedMatch
	// problems name who was left out, and why.
	problems []string
	message  string // for the run's record
	// calls says that the decisions have calls to make, which are then all there is.
	calls bool
	// atOnce puts all links in one transaction, before the steps are closed.
	atOnce bool
	// along is what goes to the new ids with the links.
	along *luggage
}

// sight is how much of the world a change of ownership looks at.
type sight int

const (
	storeOnly  sight = iota // works while the directory and the server are away
	serverOnly              // the server's facts, and what became of a run that was cut off
	everything              // what a plan knows
)

// step is what happens to one link: its Key loses it, or another link is put, or
// both in one.
type step struct {
	decision plan.Decision
	unlink   bool
	link     *identity.Link
	stays    *identity.Link    // what is left to the Key of an account that goes to another
	account  *identity.Account // as it is now, and stays; nil if it was not looked at
}

func (w *ownership) leave(format string, args ...any) {
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

// own is one run that changes ownership. dry plans and writes nothing but its own
// run row.
func (e *Engine) own(ctx context.Context, o RunOptions, look sight, dry bool, decide func(context.Context, *ownership) error) (Report, error) {
	start := time.Now()
	o.everybody = true // people are named who are settled
	kind, token := "link", int64(0)
	var l *lease
	if dry {
		kind = "plan"
	} else {
		var err error
		if l, err = e.takeLease(ctx); err != nil {
			return Report{}, err
		}
		defer l.release()
		ctx, token = l.ctx, l.current().Token
	}
	ago, err := e.quiet(ctx)
	if err != nil {
		return Report{}, err
	}
	e.o.Target.TookOver(ago)
	run, err := e.newRun(ctx, kind, o, token)
	if err != nil {
		return Report{}, err
	}
	w := &ownership{e: e, o: o}
	rep, err := e.changeOwners(ctx, w, l, &run, look, decide)
	rep.Took = time.Since(start)
	return rep, e.finish(ctx, &run, &rep, err)
}

func (e *Engine) changeOwners(ctx context.Context, w *ownership, l *lease, run *state.Run, look sight, decide func(context.Context, *ownership) error) (Report, error) {
	rep := Report{RunID: run.ID, AuditAge: -1}
	var err error
	if l != nil {
		if err := e.known(ctx); err != nil {
			return rep, err
		}
	}
	if w.now, err = e.o.Store.Now(ctx); err != nil {
		return rep, fmt.Errorf("read the store's clock: %w", err)
	}
	if look >= serverOnly {
		if err := w.meet(ctx, l); err != nil {
			return rep, err
		}
	}
	if look >= everything {
		if w.g, err = e.gather(ctx, w.o, l, w.facts, w.busy); err != nil {
			return rep, err
		}
		w.facts, rep.AuditAge = w.g.facts, w.g.auditAge
		rep.Plan.Sources, rep.Plan.Target = w.g.summaries, w.g.target
	}
	if err := decide(ctx, w); err != nil {
		return rep, err
	}
	slices.SortStableFunc(w.steps, func(a, b step) int { return a.decision.Key.Compare(b.decision.Key) })
	if w.along, err = w.pack(ctx, run.ID); err != nil {
		return rep, err
	}
	for i := range w.steps {
		rep.Plan.Decisions = append(rep.Plan.Decisions, w.steps[i].decision)
	}
	rep.Problems, rep.Decided, rep.Status = w.problems, len(w.steps), state.RunPlanned
	describe(run, rep)
	run.Message = w.message
	switch {
	case l == nil:
		run.PlannedAt = w.now
		return rep, nil
	case w.calls:
		rep, _, err = e.carryOut(l.ctx, l, run, w.g, rep, w.offset)
		return rep, err
	}
	return rep, w.carryOut(ctx, l, run, &rep)
}

// meet asks the server what it is, and looks what became of a run that was cut
// off.
func (w *ownership) meet(ctx context.Context, l *lease) error {
	var err error
	if w.facts, err = w.e.meet(ctx, l); err != nil {
		return err
	}
	if l == nil {
		w.busy, err = w.e.calls(ctx, w.facts)
		return err
	}
	if w.offset, err = w.e.clockOffset(ctx, w.facts); err != nil {
		return err
	}
	w.busy, err = w.e.recover(ctx, l, w.offset)
	return err
}

// carryOut journals the steps and takes them one by one, each in one transaction:
// what a run that was cut off has left is done by the next one.
func (w *ownership) carryOut(ctx context.Context, l *lease, run *state.Run, rep *Report) error {
	e := w.e
	// Before the links go, so that nobody is matched with what he was taken from.
	if err := e.o.Store.RefuseMatches(ctx, l.current(), w.refuse); err != nil {
		return fmt.Errorf("note whose account it is not: %w", err)
	}
	if err := e.o.Store.AllowMatches(ctx, l.current(), w.allow); err != nil {
		return fmt.Errorf("take back whose account it was not: %w", err)
	}
	var gone state.SightingChanges
	for i := range w.steps {
		if w.steps[i].unlink {
			gone.Seen = append(gone.Seen, w.steps[i].decision.Key) // nobody misses who owns nothing
		}
	}
	var err error
	if run.PlannedAt, err = e.o.Store.Now(ctx); err != nil {
		return fmt.Errorf("read the store's clock: %w", err)
	}
	journal, err := e.unnamed(ctx, rep.Plan)
	if err != nil {
		return err
	}
	run.Status = state.RunApplying
	if err := e.o.Store.BeginRun(ctx, l.current(), *run, journal, gone); err != nil {
		return fmt.Errorf("journal the plan: %w", err)
	}
	if err := w.along.bring(ctx, e.o.Store); err != nil {
		return err
	}
	due := w.owners()
	if w.atOnce {
		if err := w.putAll(ctx, l); err != nil {
			return err
		}
	}
	for i := range w.steps {
		s := &w.steps[i]
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		out := state.Outcome{
			Ref: state.OpRef{Run: run.ID, Decision: i}, Status: state.OpDone, AccountID: s.decision.AccountID, At: time.Now(),
			Before: s.account, After: s.account, Unlink: s.unlink, Link: s.link,
		}
		if err := e.o.Store.RecordOp(ctx, l.current(), out); err != nil {
			return fmt.Errorf("record op %s: %w", out.Ref, err)
		}
		if err := w.along.leave(ctx, e.o.Store, l.current(), run.ID, s); err != nil {
			return err
		}
		rep.Counts.Done++
		e.o.Progress(Progress{Stage: "linking", Done: i + 1, Total: len(w.steps)})
	}
	rep.Status = state.RunDone
	if len(w.problems) > 0 {
		rep.Status = state.RunPartial
	}
	return e.dueAgain(ctx, due)
}

// release takes the account from somebody; it stays as it is.
func (w *ownership) release(k *identity.Link, detail string) {
	d := plan.Decision{
		Key: k.Key, Ref: k.Ref, Action: plan.Forget, Reason: plan.Released, AccountID: k.AccountID, Username: lastName(k), Detail: detail,
		Ops: []plan.Op{{Kind: plan.UnlinkAccount}},
	}
	w.steps = append(w.steps, step{decision: d, unlink: true})
}

// lastName is the username that a linked account was last seen with.
func lastName(k *identity.Link) string {
	switch {
	case k.Observed != nil:
		return k.Observed.Username
	case k.Applied.Profile.Username != "":
		return k.Applied.Profile.Username
	}
	return k.AccountID
}

func (w *ownership) refused(k identity.Key, account string) state.RefusedMatch {
	return state.RefusedMatch{Key: k, AccountID: account, Reason: w.o.Reason, MadeBy: w.o.RequestedBy, MadeAt: w.now}
}

// person finds somebody whom a source lists by source/anchor, anchor, place
// (DN), username or e-mail, as the source has them.
func (w *ownership) person(query string) (*plan.Observation, error) {
	var found []*plan.Observation
	same := func(s string) bool { return s != "" && strings.EqualFold(s, query) }
	for i := range w.g.observations {
		o := &w.g.observations[i]
		if o.Key.String() == query {
			if o.Desired == nil {
				return nil, fmt.Errorf("%w: %s is not in the last read of %s", ErrRefused, o.Key, o.Key.Source)
			}
			return o, nil
		}
		if d := o.Desired; d != nil && (same(o.Key.Anchor) || same(d.Ref) || same(d.Profile.Username) || same(d.Profile.Email)) {
			found = append(found, o)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("%w: no source lists a person %q; give source/anchor, the DN, the username or the e-mail as the source has it", ErrRefused, query)
	case 1:
		return found[0], nil
	}
	keys := make([]identity.Key, len(found))
	for i, o := range found {
		keys[i] = o.Key
	}
	return nil, ambiguous(query, keys)
}

// account reads an account by its id or username, as the server has it now.
func (w *ownership) account(ctx context.Context, query string) (*identity.Account, error) {
	if len(query) == 26 && !strings.ContainsAny(query, "@.-_") {
		a, ok, err := w.e.o.Target.Account(ctx, query)
		if err != nil {
			return nil, fmt.Errorf("read account %s: %w", query, err)
		}
		if ok {
			return &a, nil
		}
	}
	found, err := w.e.o.Target.Lookup(ctx, []string{strings.ToLower(query)}, nil)
	if err != nil {
		return nil, fmt.Errorf("look for account %q: %w", query, err)
	}
	for i := range found {
		if strings.EqualFold(found[i].Username, query) {
			return &found[i], nil
		}
	}
	return nil, fmt.Errorf("%w: the server has no account %q; give its id or username", ErrRefused, query)
}

// free refuses accounts that must not become somebody's: those that mmsync never
// changes, those that are another's, and those with more rights than a user
// unless that was said.
func (w *ownership) free(ctx context.Context, k identity.Key, a *identity.Account, privileged bool) error {
	if cause := w.protected(a); cause != "" {
		return fmt.Errorf("%w: account %q (%s) is protected: %s", ErrRefused, a.Username, a.ID, cause)
	}
	links, err := w.e.o.Store.Links(ctx, state.LinkFilter{AccountIDs: []string{a.ID}})
	if err != nil {
		return fmt.Errorf("read whose account %s is: %w", a.ID, err)
	}
	for i := range links {
		if o := &links[i]; o.Part == identity.Owner && o.Key != k {
			return fmt.Errorf("%w: account %q (%s) is that of %s; if this is the same person, %s", ErrRefused, a.Username, a.ID, o.Key, plan.Command("link rekey", o.Key.String(), k.String()))
		}
	}
	if a.Roles.Privileged() && !privileged {
		return fmt.Errorf("%w: account %q (%s) holds %s; if it is to be this person's all the same, say --privileged", ErrRefused, a.Username, a.ID, a.Roles)
	}
	if w.busy.has(k, a.ID) {
		return fmt.Errorf("%w: a call of a run that was cut off may still reach account %q (%s); try again in two minutes", ErrRefused, a.Username, a.ID)
	}
	if w.facts.SetBack {
		return fmt.Errorf("%w: the server was set back to an earlier state, or is another one; run mmsync sync once, which looks at everything anew", ErrRefused)
	}
	return nil
}

// protected says why an account must not be changed; "" if it may. One that was
// named by hand need not be among those that a run has met.
func (w *ownership) protected(a *identity.Account) string {
	if cause := plan.Protection(*a, &w.facts); cause != "" {
		return cause
	}
	for _, pattern := range w.e.o.Protect {
		if plan.Match(pattern, a.Username) {
			return fmt.Sprintf("it matches the protected pattern %q", pattern)
		}
	}
	return ""
}

// settled refuses to change the links of people for whom calls have no known outcome:
// closing them later would give the link back.
func (w *ownership) settled(ctx context.Context, links []identity.Link) error {
	ops, err := w.e.o.Store.Ops(ctx, state.OpFilter{Statuses: []state.OpStatus{state.OpPending, state.OpSent}})
	if err != nil {
		return fmt.Errorf("read unfinished ops: %w", err)
	}
	for _, op := range ops {
		if slices.ContainsFunc(links, func(k identity.Link) bool { return k.Key == op.Key }) {
			return fmt.Errorf("%w: run %s was cut off before all was known of %s; run mmsync sync once, which looks what became of it", ErrRefused, op.Ref.Run, op.Key)
		}
	}
	return nil
}
