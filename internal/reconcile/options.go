package reconcile

import (
	"log/slog"
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
	// PlaceKey gives a text by which two spellings of one place in a source are equal, such
	// as of a DN; the default is to lower case.
	PlaceKey func(place string) string
	// Managers notes whom people report to, where their source names him.
	Managers bool
	// NewSpaces says what becomes of teams and channels that rules name and the server
	// lacks.
	NewSpaces NewSpaces
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
	// ForGood says whether accounts may be deleted for good, by the command for that.
	ForGood ForGood
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
	// goodbye, if not nil, has sources asked about people whose accounts may be deleted for
	// good by now.
	goodbye *plan.ForGood
	// pick narrows a plan, made of the observations, before the guards judge it.
	pick func(p plan.Plan, of map[identity.Key]*plan.Observation, people map[identity.Key]bool) (plan.Plan, error)
	// rollback is the rollback of logins that a revert is; nil for one that is none.
	rollback *Rollback
	// policy gives what the run decides by, from the engine's; nil changes nothing.
	policy func(plan.Policy) plan.Policy
	// options are what the run's record says of it, "" for what it says anyway.
	options string
	// tick is what the run is for; nil for one that no schedule asks for.
	tick *Tick
	// request is the same of one that somebody asked for.
	request *request
	// selected is what pick was made of.
	selected Selection
	// people are those whom a pilot names, among the people of some sources or of all.
	people, among []string
}
