package state

import (
	"context"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Store keeps links, the journal, sightings and the lease. Each method is one
// transaction, and safe for concurrent use. All times are UTC with microseconds;
// a zero time stays zero. Methods that take a Lease check that its token is the
// current one of its name in the same transaction and return ErrFenced otherwise;
// a zero Lease is always refused. An expired lease that nobody took is still
// current.
//
// What is read is what was written, byte for byte, case and all. Text that is not
// UTF-8 or holds a NUL byte is refused with ErrInvalid before anything is
// written; so are records that CheckLinks, CheckBegin and their like refuse.
//
// Lists come ordered: links and sightings by Key, runs newest first, ops by
// run, decision and op, all byte by byte. An empty list in a filter is a field
// that is not set.
type Store interface {
	Refusals
	Stops

	// AcquireLease takes the named lease for ttl, by the store's clock. It fails
	// with ErrHeld while another holder's is unexpired; the same holder gets it
	// again with a new token.
	AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (Lease, error)
	// RenewLease extends it by ttl from now; ErrFenced if it was lost.
	RenewLease(ctx context.Context, l Lease, ttl time.Duration) (Lease, error)
	// ReleaseLease gives it up; releasing a lost one is no error.
	ReleaseLease(ctx context.Context, l Lease) error
	// HeldLease gives the named lease as it is held now, by the store's clock; ok is
	// false if nobody has it.
	HeldLease(ctx context.Context, name string) (l Lease, ok bool, err error)
	// Now is the store's clock, by which graces and leases are measured.
	Now(ctx context.Context) (time.Time, error)

	// Bind records b if nothing is bound under its name, and returns what is
	// bound; ErrConflict (with the stored Binding) if it has another ID.
	Bind(ctx context.Context, b Binding) (Binding, error)

	// Bound gives what is bound under a name; the zero Binding if nothing is.
	Bound(ctx context.Context, name string) (Binding, error)

	// Unbind forgets what is bound under a name; what is met next is bound.
	Unbind(ctx context.Context, l Lease, name string) error

	// Links gives the links that match.
	Links(ctx context.Context, f LinkFilter) ([]identity.Link, error)
	// PutLinks writes links; ErrConflict if an account would get a second owner.
	// It never changes CreatedAt of an existing link. All or nothing. Only the
	// result counts: two Keys may swap their accounts in one call.
	PutLinks(ctx context.Context, l Lease, links []identity.Link) error
	// Heads passes on the head of every link as they were when it was asked, one at
	// a time and in no order: a million in order of Key cost a database several
	// times as much as sorting them afterwards does. Nothing else may be asked of the store from within
	// each; its error ends the reading and is returned as it is.
	Heads(ctx context.Context, each func(LinkHead) error) error
	// Settle notes for each Key that nothing was to be done under the Digest, and
	// the mark's Ref in the link if it has one; Keys without a link are passed
	// over. Every other write of a link (PutLinks, RecordOp) takes its note away.
	// All or nothing; ErrInvalid if a Key comes twice or without a Digest.
	Settle(ctx context.Context, l Lease, marks []SettledMark) error
	// Unsettle takes the notes of all links away.
	Unsettle(ctx context.Context, l Lease) error
	// PastLinks gives every Key that the accounts were ever linked to, as owner
	// or contributor, present links included, by account and Key.
	PastLinks(ctx context.Context, accountIDs []string) ([]PastLink, error)

	// SaveRun inserts or updates a run row by ID. If the run's Token is not 0 it
	// must be a current lease's, ErrFenced otherwise; ErrFenced as well if the
	// stored row has a higher one.
	SaveRun(ctx context.Context, r Run) error
	// BeginRun writes the run row (new, or one that SaveRun wrote), every decision
	// of p and every op of it as pending, and the sightings' changes, in one
	// transaction. The run's Token must be the lease's. Its PlannedAt is the ops'
	// too; the store's clock if zero. ErrConflict if the run has begun already.
	BeginRun(ctx context.Context, l Lease, r Run, p plan.Plan, s SightingChanges) error
	// MarkSent notes that the op's call is about to be made; again, with a later
	// time, if it did not leave the first time. ErrConflict if the op is closed or
	// was sent under another lease, ErrNotFound if there is none.
	MarkSent(ctx context.Context, l Lease, ref OpRef, at time.Time) error
	// RecordOp closes an op, sent or still pending, and changes ownership with
	// it: Unlink first, then Link. What the guards hold of a Key that is unlinked goes
	// along to the Link's, instead of what is held of that one, or is held no more if
	// there is no Link. ErrConflict if the op is closed already, or an
	// account would get a second owner; ErrNotFound if there is no such op. An
	// empty AccountID keeps the planned one.
	RecordOp(ctx context.Context, l Lease, o Outcome) error
	// InterruptRuns turns open runs of older tokens into interrupted ones, finished
	// now and with a Message if they have none, and gives their ids, oldest first.
	// Runs without a token (requests, plans) stay. Unclosed ops stay unclosed, to
	// be looked into.
	InterruptRuns(ctx context.Context, l Lease) ([]string, error)
	// Runs lists runs, newest first.
	Runs(ctx context.Context, f RunFilter) ([]Run, error)
	// Decisions lists a run's decisions in plan order; those that SavePlan wrote come
	// with their ops.
	Decisions(ctx context.Context, run string) ([]DecisionRecord, error)
	// Ops lists ops.
	Ops(ctx context.Context, f OpFilter) ([]OpRecord, error)
	// Usage counts, for one source and each class of changes, the accounts of
	// which an op of that class was closed as done or observed at the given time
	// or later. What an operator had approved does not count.
	Usage(ctx context.Context, source string, since time.Time) (map[plan.Class]int, error)
	// Held lists what the guards hold of the given people, or of all if none is
	// given, by Key.
	Held(ctx context.Context, keys ...identity.Key) ([]HeldItem, error)

	// RecordRead notes one reading of a source.
	RecordRead(ctx context.Context, r Read) error
	// Reads lists a source's readings since the given time, newest first.
	Reads(ctx context.Context, source string, since time.Time) ([]Read, error)
	// Sightings lists the Keys of a source that are being missed.
	Sightings(ctx context.Context, source string) ([]Sighting, error)

	// Mark gives a watermark; the zero Mark if there is none.
	Mark(ctx context.Context, name string) (Mark, error)
	// SetMark writes one.
	SetMark(ctx context.Context, l Lease, m Mark) error
	// ReadMark gives a source's; the zero ReadMark if it has none.
	ReadMark(ctx context.Context, source string) (ReadMark, error)
	// SetReadMark replaces the one that says from, "" if there is none yet; ErrConflict if
	// the store's says something else by now. One without Mark takes it away.
	SetReadMark(ctx context.Context, l Lease, from string, m ReadMark) error
	// Index gives the indexed accounts that match.
	Index(ctx context.Context, f IndexFilter) ([]IndexedAccount, error)
	// ReplaceIndex replaces the whole index; ErrInvalid if an id comes twice.
	ReplaceIndex(ctx context.Context, l Lease, accounts []IndexedAccount) error
	// Protected lists protected accounts by id.
	Protected(ctx context.Context) ([]ProtectedAccount, error)
	// Protect adds protected accounts; known ones keep their Since.
	Protect(ctx context.Context, l Lease, accounts []ProtectedAccount) error

	ResourceStore
	VerdictStore
	AuditStore
	ToldStore
	RequestStore
	Backups

	// Close releases the connections.
	Close() error
}

// LinkFilter selects links; the zero filter selects all. Set fields all have to
// match.
type LinkFilter struct {
	Source     string
	Keys       []identity.Key
	AccountIDs []string
	// Undone selects links whose Undone is so much or more; 0 is not set.
	Undone int
	// OffSince selects links whose accounts mmsync switched off at this moment or later, by
	// DeactivatedAt; 0 is not set. It looks through all links.
	OffSince int64
}

// RunFilter selects runs.
type RunFilter struct {
	// ID is exact or a prefix; an exact match comes alone, a prefix may match
	// several.
	ID       string
	Kind     string
	NotKind  string // leaves out those of one kind
	Before   string // an id: only those before it, as a list goes on
	Statuses []RunStatus
	// Plain leaves out runs that have Options.
	Plain bool
	Since time.Time // requested at or after
	Limit int       // 0 = all; the newest are kept
}

// OpFilter selects ops.
type OpFilter struct {
	Run       string
	Key       identity.Key
	AccountID string
	Statuses  []OpStatus
	Since     time.Time // planned at or after
	Limit     int       // 0 = all; the newest are kept
}

// IndexFilter selects indexed accounts; the zero filter selects all. Within a
// field any value may match, set fields all have to.
type IndexFilter struct {
	IDs  []string
	Auth []identity.Auth
}

// SightingChanges are what one reading changes about who is being missed, and
// what its plan changes about what the guards hold.
type SightingChanges struct {
	Missed []Sighting     // put
	Seen   []identity.Key // removed
	// Held is put; one that is as it was keeps the run it was first held in.
	Held     []HeldItem
	Released []identity.Key // removed from what is held
}
