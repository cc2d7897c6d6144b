package state

import (
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Lease is the right to plan and to write to Mattermost. Token rises with each
// acquisition, over all names, so that it alone names a lease; a write under an
// older token is refused with ErrFenced.
type Lease struct {
	Name    string
	Holder  string // host, process id and a random part: unique to one process
	Token   int64
	Expires time.Time // by the store's clock
}

// Digest names a desired state and the rules it was judged by; the zero Digest
// names none.
type Digest [16]byte

// LinkHead is the little that a run needs to know of every link: of a hundred
// thousand, all but a few are as they were.
type LinkHead struct {
	Key       identity.Key
	AccountID string
	Part      identity.Part
	Ref       string // the last place in the source
	// Observed is false if the account was never seen or has to be seen anew.
	Observed bool
	Active   bool // as last observed
	Written  time.Time
	Recheck  time.Time
	// Settled is what Settle noted last; zero if the link was written since.
	Settled Digest
}

// SettledMark says that nothing was to be done for a Key under a Digest.
type SettledMark struct {
	Key    identity.Key
	Digest Digest
	Ref    string // where the source keeps the person now; "" leaves it as it is
}

// RunStatus is where a Run stands.
type RunStatus string

// The life of a run. Requested runs wait for the holder of the lease.
const (
	RunRequested   RunStatus = "requested"
	RunPlanning    RunStatus = "planning"
	RunPlanned     RunStatus = "planned" // `plan`: shown, nothing applied
	RunApplying    RunStatus = "applying"
	RunDone        RunStatus = "done"
	RunPartial     RunStatus = "partial"  // some items failed or are held
	RunWithheld    RunStatus = "withheld" // a guard tripped
	RunFailed      RunStatus = "failed"
	RunInterrupted RunStatus = "interrupted"
)

// Open tells whether the run may still write.
func (s RunStatus) Open() bool {
	return s == RunRequested || s == RunPlanning || s == RunApplying
}

// Run is one plan's life.
type Run struct {
	ID          string // time-ordered, lower case, unique
	Kind        string // "plan" or "sync"
	Trigger     string // "cli", "schedule", "push"
	RequestedBy string // user@host
	Reason      string
	Options     string // JSON of the run's options
	Status      RunStatus
	Token       int64  // lease token it planned and applied under
	Digest      string // of the plan
	Policy      string // digest of the configuration in force
	RequestedAt time.Time
	StartedAt   time.Time // zero until then; so are the next two
	PlannedAt   time.Time
	FinishedAt  time.Time
	Counts      Counts
	// Message is the one sentence about how it ended: a guard's, an error's.
	Message string
	// Sources and Target are what the plan saw.
	Sources []plan.SourceSummary
	Target  plan.TargetSummary
}

// Counts sums a run up. Planned counts decisions, the rest count ops.
type Counts struct {
	Planned   map[plan.Action]int `json:"planned,omitempty"`
	Done      int                 `json:"done"`
	Failed    int                 `json:"failed"`
	Skipped   int                 `json:"skipped"` // the account had changed since the plan
	Held      int                 `json:"held"`
	Unchanged int                 `json:"unchanged"`
}

// OpRef names one op of one run: the decision's place in the plan, and the op's
// within it.
type OpRef struct {
	Run      string
	Decision int
	Op       int
}

// String gives "run/decision/op".
func (r OpRef) String() string { return fmt.Sprintf("%s/%d/%d", r.Run, r.Decision, r.Op) }

// OpStatus is where an op stands.
type OpStatus string

// The life of an op. Sent is written before its call, so that a crash leaves
// either pending (never sent) or sent (perhaps done: read the account first).
const (
	OpPending  OpStatus = "pending"
	OpSent     OpStatus = "sent"
	OpDone     OpStatus = "done"
	OpFailed   OpStatus = "failed"
	OpSkipped  OpStatus = "skipped"
	OpObserved OpStatus = "observed" // found done by a later run
	OpDropped  OpStatus = "dropped"  // not known to be done, closed by a later run, which plans anew
)

// Closed tells whether the op needs no more attention.
func (s OpStatus) Closed() bool { return s != OpPending && s != OpSent }

// OpRecord is one journaled op with the decision it belongs to.
type OpRecord struct {
	Ref       OpRef
	Key       identity.Key
	SourceRef string // the DN or line at planning time
	AccountID string // filled in by the outcome of a create
	Username  string
	Action    plan.Action
	Reason    plan.Reason
	Detail    string
	Op        plan.Op
	Status    OpStatus
	Token     int64     // lease token of the send
	PlannedAt time.Time // its run's
	SentAt    time.Time // by the server's clock
	MarkedAt  time.Time // of the same send, by the store's
	ClosedAt  time.Time
	Before    *identity.Account
	After     *identity.Account
	Error     string // one sentence, no secrets
}

// Outcome closes one op. Link and Unlink change ownership in the same
// transaction, so that the account and the record of it never part.
type Outcome struct {
	Ref       OpRef
	Status    OpStatus
	AccountID string
	At        time.Time
	Before    *identity.Account
	After     *identity.Account
	Error     string
	Link      *identity.Link // put if not nil
	Unlink    bool           // remove the link of the op's Key
}

// DecisionRecord is one decision of a run as planned, without its ops.
type DecisionRecord struct {
	Run      string
	Index    int
	Decision plan.Decision
}

// PastLink says that a Key was once, or still is, linked to an account.
type PastLink struct {
	Key       identity.Key
	AccountID string
	Since     time.Time // UpdatedAt of the first such link
}

// Sighting is one Key that a source's complete reads miss.
type Sighting struct {
	Key identity.Key
	// Since is when a complete read first missed it.
	Since time.Time
	// Reads counts the complete reads that missed it, at least ten minutes apart.
	Reads int
	// LastRead is when the last counted read was.
	LastRead time.Time
}

// Read is one reading of a source.
type Read struct {
	Source   string
	At       time.Time
	Entries  int
	Faults   int
	Complete bool
	Doubt    string
	Took     time.Duration
}

// Binding ties the store to the server, and a source to its directory, that it
// was made with, so that it never drives another one by mistake.
type Binding struct {
	Name string // "mattermost", or "source/" and the source's name
	ID   string // what the other side says it is
	Note string // for people: URL, base DN
	At   time.Time
}

// Mark is how far reading has come: the since value of the target's
// observation passes.
type Mark struct {
	Name string
	// Value is in the server's milliseconds.
	Value int64
	// ServerDate is the server's clock at the first answer of that pass.
	ServerDate time.Time
	At         time.Time
}

// ReadMark is from where a source can be asked for what changed, and what the runs
// until then left to do.
type ReadMark struct {
	Source string
	// Mark is the source's own; at most 64 KiB.
	Mark string
	// FullAt is when everybody was read last, Rules are those it was decided under, and
	// Linked is how many active accounts were linked to the source then.
	FullAt time.Time
	Rules  [32]byte
	Linked int
	// Again are the anchors of people to be looked at again whether or not the source
	// says that they changed, sorted.
	Again []string
	At    time.Time
}

// IndexedAccount is what the last audit saw of one account, linked or not. It
// is a hint for look-ups the server cannot answer (by auth data), verified by
// id before it is believed.
type IndexedAccount struct {
	ID       string
	Username string
	Email    string
	Auth     identity.Auth
	Active   bool
	Bot      bool
	Remote   bool
	Admin    bool
	OwnerID  string // of a bot
	SeenAt   time.Time
}

// ProtectedAccount is an account that a configured pattern once matched. It
// stays protected by its id, whatever it is renamed to.
type ProtectedAccount struct {
	ID      string
	Pattern string
	Since   time.Time
}
