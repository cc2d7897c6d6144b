package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Options configure an Engine.
type Options struct {
	Sources []Source
	Target  Target
	Store   state.Store
	Policy  plan.Policy
	Limits  guard.Limits
	// PolicyDigest identifies the configuration in the run's record.
	PolicyDigest string
	// TargetURL is shown in plans.
	TargetURL string
	// Protect are username patterns whose accounts are never changed. What a
	// pattern once matched stays protected by its id.
	Protect []string
	// Workers is how many accounts are worked on side by side; default 4.
	Workers int
	// FullRead is how often a source is read whole at least; in between, runs that may do
	// with that ask it for what changed. A source that is not named is always read whole.
	FullRead map[string]time.Duration
	// StaleAfter is the age from which a plan's view of an account is read
	// again before it is changed; default one minute. Destructive ops always are.
	StaleAfter time.Duration
	// SinceOverlap is how far the since mark stays behind; default 45 minutes.
	SinceOverlap time.Duration
	// LookAgain is how long after an account was switched off, or a role taken, a
	// run waits to see whether that lasts; 0 leaves it to the next run alone.
	LookAgain time.Duration
	// Version is the program's: another one may decide otherwise.
	Version string
	// LeaseTTL is how long the right to write lasts without renewal; default 10 s.
	LeaseTTL time.Duration
	// SettleAfter is how long after its send a call of a run that was cut off may
	// still reach the server, so that nothing else is sent for its account; the
	// default is the last moment to leave and a little more than the client's
	// time-out, 80 s.
	SettleAfter time.Duration
	// Holder names this process in the lease.
	Holder string
	Logger *slog.Logger
	// Vault keeps the key that seals the history; nil leaves it unsealed.
	Vault Vault
	// Notices takes what somebody should hear of; by default the log does.
	Notices Notices
	// Bars gives what is not to be done at a time, whatever the run; nil bars nothing.
	Bars func(at time.Time) []plan.Bar
	// Progress is told about progress; it may be called from several goroutines.
	Progress func(Progress)
	// Watch is told what was done.
	Watch Watcher
}

// Progress is how far a run has come.
type Progress struct {
	Stage string // "reading corp", "observing", "applying"
	Done  int
	Total int // 0 = not known
}

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
	// stuck says that they cannot be worked on for now, as while Mattermost is away.
	stuck atomic.Bool

	mu sync.Mutex
	// facts are what was known of the server at factsAt.
	facts   plan.Facts
	factsAt time.Time
	// waiting are those who wait until somebody was worked on.
	waiting map[identity.Key][]chan struct{}
	// lastNow and lastRead are the store's clock and this process's at the last
	// gathering.
	lastNow, lastRead time.Time
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
	e := &Engine{o: o, log: o.Logger.With("component", "reconcile"), alone: make(chan struct{}, 1), claims: newClaims(), poke: make(chan struct{}, 1)}
	if e.o.Notices == nil {
		e.o.Notices = LogNotices{e.log}
	}
	return e
}

// RunOptions are one run's.
type RunOptions struct {
	Trigger     string // "cli", "schedule"
	RequestedBy string
	Reason      string
	// Audit walks all accounts of the server, whether needed or not.
	Audit bool
	// Changes lets the run read only what changed, where the sources can tell that and were
	// read whole not long ago.
	Changes bool
	// Keep makes Plan write all that it would do down beside its run, so that it can
	// be carried out as it is.
	Keep bool
	// Bars are what this run does not do, and shows as held.
	Bars []plan.Bar
	// Limits replace the engine's for this run, if not nil.
	Limits *guard.Limits

	// everybody makes a run decide about people who are settled as well.
	everybody bool
	// pick narrows a plan, made of the observations, before the guards judge it.
	pick func(p plan.Plan, of map[identity.Key]*plan.Observation, people map[identity.Key]bool) (plan.Plan, error)
	// tick is what the run is for; nil for one that no schedule asks for.
	tick *Tick
	// people are those whom a pilot names, among the people of some sources or of all.
	people, among []string
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

// partOnly are the Options of a run that worked on a part of its plan, or put off what
// removes people: it proves nothing about the rest.
const partOnly = `{"part":true}`

// Whole tells whether a run planned for everybody.
func Whole(r *state.Run) bool { return r.Options != partOnly && r.Options != changesOnly }

// OfChanges tells whether a run read only what had changed.
func OfChanges(r *state.Run) bool { return r.Options == changesOnly }

func (e *Engine) newRun(ctx context.Context, kind string, o RunOptions, token int64) (state.Run, error) {
	now, err := e.o.Store.Now(ctx)
	if err != nil {
		return state.Run{}, fmt.Errorf("read the store's clock: %w", err)
	}
	run := e.runOf(kind, o, token, now)
	if o.pick != nil || o.Trigger == secondLook {
		run.Options = partOnly
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
