package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Engine runs plans.
type Engine struct {
	o   Options
	log *slog.Logger

	// alone lets one lease at a time be held in this process.
	alone chan struct{}
	// claims tell runs from the pushes beside them, and pending is what both are about
	// to do and the journal does not show yet.
	claims  *claims
	pending pending
	// poke wakes whoever works on pushes.
	poke chan struct{}
	// asked wakes whoever makes the runs that others ask for, and awaited says that he
	// waits for the lease.
	asked   chan struct{}
	awaited atomic.Bool
	// stuck says that they cannot be worked on for now, as while Mattermost is away.
	stuck atomic.Bool

	mu sync.Mutex
	// facts are what was known of the server at factsAt.
	facts   plan.Facts
	factsAt time.Time
	// teams are the teams and channels that rules name, as they were at teamsAt.
	teams   map[string]plan.Space
	teamsAt time.Time
	// waiting are those who wait until somebody was worked on.
	waiting map[identity.Key][]chan struct{}
	// lastNow and lastRead are the store's clock and this process's at the last
	// gathering.
	lastNow, lastRead time.Time
	// pushNow and pushRead are the same at the last push, and pushSet is when, by the
	// store's clock, a push last found that clock set.
	pushNow, pushRead, pushSet time.Time
	// met is when this process first came upon a sent op without an outcome.
	met map[state.OpRef]time.Time
	// noticed is what was passed on since the run began.
	noticed map[Notice]bool
	// forgotten is when that was emptied.
	forgotten time.Time
}

// New makes an Engine; zero options get their defaults.
func New(o Options) *Engine {
	if o.Workers <= 0 {
		o.Workers = 4
	}
	if o.StaleAfter <= 0 {
		o.StaleAfter = time.Minute
	}
	if o.SinceOverlap <= 0 {
		o.SinceOverlap = 45 * time.Minute
	}
	if o.LeaseTTL <= 0 {
		o.LeaseTTL = 10 * time.Second
	}
	if o.SettleAfter <= 0 {
		o.SettleAfter = settleAfter
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.PlaceKey == nil {
		o.PlaceKey = strings.ToLower
	}
	e := &Engine{o: o, log: o.Logger.With("component", "reconcile"), alone: make(chan struct{}, 1), claims: newClaims(), poke: make(chan struct{}, 1), asked: make(chan struct{}, 1)}
	if e.o.Notices == nil {
		e.o.Notices = LogNotices{e.log}
	}
	return e
}

// Report is what a run saw and did.
type Report struct {
	RunID   string
	Plan    plan.Plan
	Verdict guard.Verdict
	// Guards is the line that says how near to the limits the plan is.
	Guards string
	// Status and Counts are those of the run's record; for a plan nothing is
	// counted but what was decided.
	Status   state.RunStatus
	Counts   state.Counts
	Failures []Failure
	// Problems are sources that could not be read at all, and entries nobody
	// could be made of.
	Problems []string
	// Pinned is how many people a revert holds from now on.
	Pinned int
	// Decided is about how many people something had to be decided: all but those
	// who are as they were when nothing was to be done.
	Decided int
	// Again is what was found and done when accounts were looked at once more;
	// nil if that was not needed.
	Again *Report
	// AuditAge is how long ago the server was last walked; negative = never.
	AuditAge time.Duration
	// Census sums up all accounts of the server, if this run walked it; else nil.
	Census *Census
	Took   time.Duration

	notices []Notice // beyond those that the plan shows
	// unguarded is the plan as it was before guards held something back.
	unguarded plan.Plan
	// made is how many teams and channels the run made.
	made int
}

// Failure is one op that was not carried out as planned.
type Failure struct {
	Key      identity.Key
	Username string
	Op       plan.OpKind
	Error    string
}

// ErrRefused is wrapped by errors that stop a run before its first write
// because going on would be wrong, not because something broke.
var ErrRefused = errors.New("refused")

// Plan computes what Sync would do. It takes no lease and writes nothing but
// its own run row.
func (e *Engine) Plan(ctx context.Context, o RunOptions) (Report, error) {
	return e.readOnly(ctx, o, nil)
}

// readOnly is one run that only looks. narrow is as in underLease.
func (e *Engine) readOnly(ctx context.Context, o RunOptions, narrow func(Report) (Report, error)) (Report, error) {
	start := time.Now()
	ago, err := e.quiet(ctx)
	if err != nil {
		return Report{}, err
	}
	run, err := e.newRun(ctx, "plan", o, 0)
	if err != nil {
		return Report{}, err
	}
	e.o.Target.TookOver(ago)
	rep, err := e.plan(ctx, &run, o, narrow)
	rep.Took = time.Since(start)
	return rep, e.finish(ctx, &run, &rep, err)
}

func (e *Engine) plan(ctx context.Context, run *state.Run, o RunOptions, narrow func(Report) (Report, error)) (Report, error) {
	facts, err := e.meet(ctx, nil)
	if err != nil {
		return Report{RunID: run.ID}, err
	}
	calls, err := e.calls(ctx, facts)
	if err != nil {
		return Report{RunID: run.ID}, err
	}
	g, err := e.gather(ctx, o, nil, facts, calls)
	if err != nil {
		return Report{RunID: run.ID}, err
	}
	rep, err := e.decide(ctx, g, o)
	if err != nil {
		return Report{RunID: run.ID}, err
	}
	if narrow != nil {
		if rep, err = narrow(rep); err != nil {
			return Report{RunID: run.ID}, err
		}
	}
	if err := e.doubt(ctx, &rep); err != nil {
		return rep, err
	}
	rep.RunID, rep.Status, rep.Verdict = run.ID, state.RunPlanned, rep.Verdict.Of(run.ID)
	run.PlannedAt = g.now
	describe(run, rep)
	return rep, e.keep(ctx, *run, rep.Plan.Decisions, o.Keep)
}

// bots adds which bots stop with the people whom a plan switches off. That it cannot
// be known is said as well, and keeps nobody's access open.
func (e *Engine) bots(ctx context.Context, p plan.Plan) plan.Plan {
	of, err := e.o.Target.BotsThatStop(ctx, slices.Sorted(maps.Keys(p.Leavers())))
	if err != nil {
		p.Warnings = slices.Concat(p.Warnings, []string{fmt.Sprintf("which bots stop with their owner is not known: %v", err)})
	}
	return p.WithBots(of)
}

// quiet tells for how long nobody who shares this store has talked to the server.
func (e *Engine) quiet(ctx context.Context) (time.Duration, error) {
	now, err := e.o.Store.Now(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the store's clock: %w", err)
	}
	last, err := e.o.Store.Runs(ctx, state.RunFilter{Limit: 1})
	switch {
	case err != nil:
		return 0, fmt.Errorf("read when the last run ended: %w", err)
	case len(last) == 0:
		return time.Hour, nil
	case last[0].FinishedAt.IsZero():
		return 0, nil
	}
	return now.Sub(last[0].FinishedAt), nil
}

// partOnly are the Options of a run that worked on a part of its plan, or had to ask
// first: it proves nothing about the rest.
const partOnly = `{"part":true}`

// putOff are the Options of a run that planned for everybody at a time, or for a
// schedule, at which nobody is switched off: whoever has left by then is still in.
const putOff = `{"put_off":["deactivate"]}`

// Whole tells whether a run planned for everybody.
func Whole(r *state.Run) bool {
	return r.Options != partOnly && r.Options != changesOnly && !ofDeletions(r)
}

// OfChanges tells whether a run read only what had changed.
func OfChanges(r *state.Run) bool { return r.Options == changesOnly }

// Thorough tells whether a run planned for everybody and put off nobody's leaving.
func Thorough(r *state.Run) bool { return r.Options == "" || r.Options == madeSpaces }

func (e *Engine) newRun(ctx context.Context, kind string, o RunOptions, token int64) (state.Run, error) {
	now, err := e.o.Store.Now(ctx)
	if err != nil {
		return state.Run{}, fmt.Errorf("read the store's clock: %w", err)
	}
	run := e.runOf(kind, o, token, now)
	if o.pick != nil || o.Trigger == secondLook {
		run.Options = partOnly
	}
	if o.options != "" {
		run.Options = o.options
	}
	if o.request != nil {
		run.ID = o.request.Run
	}
	if err := e.o.Store.SaveRun(ctx, run); err != nil {
		return run, fmt.Errorf("record the run: %w", err)
	}
	return run, nil
}

// runOf is the record of a run that begins.
func (e *Engine) runOf(kind string, o RunOptions, token int64, now time.Time) state.Run {
	return state.Run{
		ID: runID(now), Kind: kind, Trigger: o.Trigger, RequestedBy: o.RequestedBy, Reason: o.Reason,
		Status: state.RunPlanning, Token: token, Policy: e.o.PolicyDigest, RequestedAt: now, StartedAt: now,
	}
}

// finish closes the run's record; err is what ended it early.
func (e *Engine) finish(ctx context.Context, run *state.Run, rep *Report, err error) error {
	// The record is worth more than the caller's patience: an interrupted run
	// still says so.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	run.Status, run.Counts.Done, run.Counts.Failed, run.Counts.Skipped = rep.Status, rep.Counts.Done, rep.Counts.Failed, rep.Counts.Skipped
	switch {
	case err != nil && (errors.Is(err, context.Canceled) || errors.Is(err, state.ErrFenced)):
		run.Status = state.RunInterrupted
	case err != nil:
		run.Status = state.RunFailed
	}
	rep.Status = run.Status
	if err != nil {
		run.Message = err.Error()
	} else if rep.Verdict.Tripped() {
		run.Message = rep.Verdict.Message()
	} else if len(rep.Problems) > 0 {
		run.Message = rep.Problems[0]
	}
	now, clockErr := e.o.Store.Now(ctx)
	if clockErr != nil {
		return errors.Join(err, fmt.Errorf("record the end of the run: %w", clockErr))
	}
	run.FinishedAt = now
	rep.Counts = run.Counts
	if errors.Is(err, state.ErrFenced) {
		return err // the successor writes this run's end
	}
	if saveErr := e.o.Store.SaveRun(ctx, *run); saveErr != nil {
		return errors.Join(err, fmt.Errorf("record the end of the run: %w", saveErr))
	}
	e.o.Watch.ran(run, rep)
	head, sealErr := e.sealed(ctx, run, err)
	if sealErr != nil {
		e.log.ErrorContext(ctx, "the history could not be sealed; the next run does it", "run", run.ID, "error", sealErr)
		rep.notices = append(rep.notices, unsealedNotice())
	}
	e.log.InfoContext(ctx, "run ended", "run", run.ID, "kind", run.Kind, "status", string(run.Status),
		"done", run.Counts.Done, "failed", run.Counts.Failed, "skipped", run.Counts.Skipped,
		"held", run.Counts.Held, "unchanged", run.Counts.Unchanged, "decided", rep.Decided, "took", rep.Took.Round(time.Millisecond),
		"audit_batch", head.Batch, "audit_seal", head.Seal.String())
	e.notices(ctx, run, rep, err)
	return err
}
