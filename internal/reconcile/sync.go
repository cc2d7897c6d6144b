package reconcile

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Sync plans, guards, journals and applies. state.ErrHeld means that another
// process is at it.
func (e *Engine) Sync(ctx context.Context, o RunOptions) (Report, error) {
	rep, next, err := e.underLease(ctx, "sync", o, nil)
	if err == nil && rep.made > 0 && o.pick == nil {
		next, err = e.intoMade(ctx, o, &rep, next)
	}
	if err != nil || len(next.due) == 0 && rep.Again == nil {
		return rep, err
	}
	looked := false
	if len(next.due) > 0 {
		var again *Report
		again, looked, err = e.lookAgain(ctx, next, o)
		rep.Again = joined(rep.Again, again)
	}
	if err != nil {
		rep.Problems = append(rep.Problems, fmt.Sprintf("accounts that were just changed could not be looked at again, the next run does it: %v", err))
	}
	rep.Status = outcome(rep, looked)
	return rep, nil
}

// unsettled is what a run leaves to be looked at again: who, from when on, and
// what it knew of them.
type unsettled struct {
	due    map[identity.Key]time.Time
	rounds map[identity.Key]int // how often that was done
	g      *gathered
	offset time.Duration
	token  int64 // of our last lease
	// tripped tells whether a guard said no; calls are the people who were not part
	// of the plan because a call for them was on its way.
	tripped bool
	calls   map[identity.Key]time.Time
}

// underLease is one run that writes. narrow, if not nil, picks what is carried
// out of what was planned.
func (e *Engine) underLease(ctx context.Context, kind string, o RunOptions, narrow func(Report) (Report, error)) (Report, unsettled, error) {
	l, err := e.leaseFor(ctx, &o)
	if err != nil {
		return Report{}, unsettled{}, err
	}
	defer l.release()
	start := time.Now()
	ago, err := e.quiet(l.ctx)
	if err != nil {
		return Report{}, unsettled{}, err
	}
	e.o.Target.TookOver(ago)
	run, err := e.newRun(l.ctx, kind, o, l.current().Token)
	if err != nil {
		return Report{}, unsettled{}, err
	}
	rep, next, err := e.sync(l, &run, o, narrow)
	if cause := context.Cause(l.ctx); err != nil && errors.Is(cause, state.ErrFenced) {
		err = cause
	}
	rep.Took = time.Since(start)
	next.token = l.current().Token
	if err = e.finish(ctx, &run, &rep, err); err == nil && o.tick != nil {
		err = e.noteTick(ctx, l, *o.tick)
	}
	return rep, next, err
}

func (e *Engine) sync(l *lease, run *state.Run, o RunOptions, narrow func(Report) (Report, error)) (Report, unsettled, error) {
	rep, next := Report{RunID: run.ID}, unsettled{}
	ctx := l.ctx
	e.forgetNotices()
	if err := e.known(ctx); err != nil {
		return rep, next, err
	}
	facts, err := e.meet(ctx, l)
	if err != nil {
		return rep, next, err
	}
	if next.offset, err = e.clockOffset(ctx, facts); err != nil {
		return rep, next, err
	}
	calls, err := e.recover(ctx, l, next.offset)
	if err != nil {
		return rep, next, err
	}
	if err := e.seal(ctx, l.current(), run.ID); err != nil { // what a run left that died
		return rep, next, err
	}
	stop := e.pushesBeside(l, facts, next.offset)
	defer stop()
	g, err := e.observations(ctx, o, l, facts, calls)
	if err != nil {
		return rep, next, err
	}
	if err := e.endSessions(ctx, l, g); err != nil {
		return rep, next, err
	}
	g.whole = narrow == nil && o.pick == nil && !g.changes
	g.reserved = &reservation{}
	defer e.pending.release(g.reserved)
	if rep, err = e.decide(ctx, g, o); err != nil {
		return Report{RunID: run.ID}, next, err
	}
	e.qualify(run, g, rep.Verdict)
	if narrow != nil {
		if rep, err = narrow(rep); err != nil {
			return Report{RunID: run.ID}, next, err
		}
	}
	if g.whole || g.changes { // else somebody may have something to be done whom the plan leaves out
		if err := e.settled(ctx, l, g, rep.Plan); err != nil {
			return rep, next, err
		}
	}
	rep, due, err := e.carryOut(ctx, l, run, g, rep, next.offset)
	if err != nil || narrow != nil {
		return rep, next, err
	}
	if g.whole || g.changes {
		maps.Copy(due, calls.people)
		maps.Copy(due, waitingFor(calls, rep.Plan))
	}
	if err := e.conclude(l, run.ID, g, &rep, due); err != nil {
		return rep, next, err
	}
	next.g, next.due, next.rounds = g, due, map[identity.Key]int{}
	next.calls, next.tripped = calls.people, rep.Verdict.Tripped()
	return rep, next, nil
}

// conclude notes what a run that came to its end has settled beyond single people. due
// are those whom it will look at again.
func (e *Engine) conclude(l *lease, run string, g *gathered, rep *Report, due map[identity.Key]time.Time) error {
	if err := e.fulfil(l.ctx, l, run, g, rep, g.whole); err != nil {
		return err
	}
	rep.Status = outcome(*rep, false)
	if g.whole || g.changes {
		if err := e.keepReadings(l.ctx, l, g, rep, due); err != nil {
			return err
		}
	}
	if !g.whole {
		return nil
	}
	if g.facts.SetBack {
		if err := e.markSetBack(l.ctx, l, false); err != nil {
			return err
		}
	}
	return e.markFirst(l.ctx, l, g, *rep)
}

// waitingFor gives the people who wait for a name or an e-mail of somebody else,
// while a call for anybody is on its way: it may be him, and then they go on together.
func waitingFor(calls busy, p plan.Plan) map[identity.Key]time.Time {
	if len(calls.people) == 0 {
		return nil
	}
	var last time.Time
	for _, at := range calls.people {
		last = later(last, at)
	}
	out := map[identity.Key]time.Time{}
	for i := range p.Decisions {
		d := &p.Decisions[i]
		waits := d.Reason == plan.WaitsForOther
		for _, n := range d.Notes {
			waits = waits || n.Reason == plan.WaitsForOther
		}
		if waits {
			out[d.Key] = last
		}
	}
	return out
}

// carryOut journals a plan and applies it. due are the people to look at again,
// and from when on. ctx is the lease's or one within it.
func (e *Engine) carryOut(ctx context.Context, l *lease, run *state.Run, g *gathered, rep Report, offset time.Duration) (Report, map[identity.Key]time.Time, error) {
	rep.RunID, rep.Verdict = run.ID, rep.Verdict.Of(run.ID)
	describe(run, rep)
	if err := refuse(g.facts, rep.Plan); err != nil {
		return rep, nil, err
	}
	var err error
	if run.PlannedAt, err = e.o.Store.Now(ctx); err != nil {
		return rep, nil, fmt.Errorf("read the store's clock: %w", err)
	}
	g.holds(run.ID, rep.Plan)
	for _, k := range handedOver(rep.Plan) {
		g.sightings.Missed = slices.DeleteFunc(g.sightings.Missed, func(s state.Sighting) bool { return s.Key == k })
		g.sightings.Seen = append(g.sightings.Seen, k)
	}
	journal, err := e.unnamed(ctx, rep.Plan)
	if err != nil {
		return rep, nil, err
	}
	run.Status = state.RunApplying
	if err := e.o.Store.BeginRun(ctx, l.current(), *run, journal, g.sightings); err != nil {
		return rep, nil, fmt.Errorf("journal the plan: %w", err)
	}
	a := newApplier(e, l, run, g, rep.Plan, offset)
	err = a.run(ctx)
	rep.Counts, rep.Failures, rep.made = a.counts, a.failures, a.made
	if a.putOff.Load() && run.Options == "" {
		run.Options = putOff
	}
	if a.made > 0 && run.Options == "" {
		run.Options = madeSpaces
	}
	for _, why := range slices.Sorted(maps.Keys(a.stopped)) {
		calls := "1 call was"
		if n := a.stopped[why]; n != 1 {
			calls = fmt.Sprintf("%d calls were", n)
		}
		rep.Problems = append(rep.Problems, fmt.Sprintf("%s not sent: %s", calls, why))
	}
	rep.Status = outcome(rep, false)
	return rep, a.due, err
}

// settled notes for whom nothing was to be done, so that the next run need not
// decide about them, and where the source keeps those who were settled before.
func (e *Engine) settled(ctx context.Context, l *lease, g *gathered, p plan.Plan) error {
	open := make(map[identity.Key]bool, len(p.Decisions))
	for i := range p.Decisions {
		open[p.Decisions[i].Key] = !p.Decisions[i].Reported()
	}
	if err := e.confirm(ctx, l, g); err != nil {
		return err
	}
	marks := g.moved
	for i := range g.observations {
		ob := &g.observations[i]
		k := ob.Link
		if open[ob.Key] || g.takenOver(ob.Key) || k == nil || k.Part == identity.Contributor || ob.Linked == nil || !k.Recheck.IsZero() || !ob.Busy.IsZero() {
			continue
		}
		hash := nobody
		if ob.Desired != nil {
			if hash = naming(within(ob.Desired.Hash, ob.Memberships), ob.People, g.managers[ob.Key]); ob.Desired.Fault != "" || awaits(ob) {
				continue
			}
		} else if ob.Linked.Active() || e.hasRights(ob.Key.Source, ob.Linked.Roles) {
			continue // still to be missed and asked about, or to lose rights when his grace is over
		}
		if d := digest(g.rules, hash); d != (state.Digest{}) && g.roster.settledAs(ob.Key) != d {
			marks = append(marks, state.SettledMark{Key: ob.Key, Digest: d})
		}
	}
	if g.facts.SetBack {
		return nil
	}
	for part := range slices.Chunk(marks, atOnce) {
		if err := e.o.Store.Settle(ctx, l.current(), part); err != nil {
			return fmt.Errorf("note for whom there is nothing to do: %w", err)
		}
	}
	return nil
}

// awaits tells of somebody who has left, of whom no plan says so, that another account has
// a value that his is to have.
func awaits(ob *plan.Observation) bool {
	return !ob.Desired.Active && (ob.ByUsername != nil || ob.ByEmail != nil)
}

// refuse stops a run before its first write where going on could not be
// undone: on a server without an active human administrator the next human who
// signs up becomes one.
func refuse(f plan.Facts, p plan.Plan) error {
	if len(f.HumanAdmins) == 0 && p.Effective() {
		return fmt.Errorf("%w: the server has no active human administrator, and the next person to sign up would become one; give a person system_admin, then run again", ErrRefused)
	}
	return nil
}

// outcome sums a run up. looked says that what was on its way at the time has been
// looked at again.
func outcome(rep Report, looked bool) state.RunStatus {
	open := false
	for i := range rep.Plan.Decisions {
		d := &rep.Plan.Decisions[i]
		open = open || (d.Open() && d.Reason != plan.GuardTripped && (!looked || d.Reason != plan.CallInFlight))
	}
	degraded := false
	for _, s := range rep.Plan.Sources {
		degraded = degraded || s.Doubtful()
	}
	tripped := rep.Verdict.Tripped()
	if rep.Again != nil {
		tripped = tripped || rep.Again.Verdict.Tripped()
		degraded = degraded || rep.Again.Status == state.RunPartial
	}
	switch {
	case tripped:
		return state.RunWithheld
	case rep.Counts.Failed > 0 || rep.Counts.Skipped > 0 || open || degraded || len(rep.Problems) > 0:
		return state.RunPartial
	}
	return state.RunDone
}

// runID is ordered by time, to a 4096th of a second, and short enough to type.
func runID(now time.Time) string {
	part := now.Nanosecond() / (int(time.Second) / 4096)
	return fmt.Sprintf("%s-%03x%s", now.UTC().Format("20060102-150405"), min(part, 0xfff), token()[:3])
}

func token() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, by its contract
	return hex.EncodeToString(b[:])
}
