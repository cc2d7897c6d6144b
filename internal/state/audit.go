package state

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// AuditStore keeps the history in the form that shows whether somebody changed it.
// It makes no seals and judges none.
type AuditStore interface {
	// Unsealed gives what was done or said and is not sealed yet, the oldest first:
	// at most limit closed ops, and as many finished runs of another kind than plan
	// and sync.
	Unsealed(ctx context.Context, limit int) (Unsealed, error)
	// AppendAudit writes a batch with its rows, and notes on what they were made of
	// that it is sealed in it. ErrConflict if the batch is not the one after the
	// last, or something of it was sealed already; ErrInvalid if batch and rows do not
	// fit each other.
	AppendAudit(ctx context.Context, l Lease, b audit.Batch, rows []audit.Row, of Unsealed) error
	// AuditBatches lists batches by id.
	AuditBatches(ctx context.Context, f BatchFilter) ([]audit.Batch, error)
	// AuditRows lists rows by id.
	AuditRows(ctx context.Context, f RowFilter) ([]audit.Row, error)
	// ForgetPerson takes the values of rows away, of other people's too if they are given, and what the journal holds of
	// their Keys: usernames, places, values and images; ids, times, kinds and
	// outcomes stay. What the index holds of their accounts goes until the next walk.
	// The tombstone of what was pushed under one of the Keys keeps its id, with {} for
	// a Body, and in groups only the id is left of it.
	// Other sentences that hold one of the Words go too. ErrConflict, and nothing is
	// changed, while an op of one of the Keys is unclosed or unsealed.
	ForgetPerson(ctx context.Context, l Lease, f Forgetting) error
	// PruneAudit marks batches as pruned and removes their rows. ErrNotFound if one
	// is not there.
	PruneAudit(ctx context.Context, l Lease, batches []audit.Batch) error
	// PruneRuns removes runs with their decisions and ops, the oldest first, and gives
	// how many; verdicts that were closed as long ago go too. What is not finished, closed or
	// sealed yet stays, and so do the runs of what is held, stopped or said and still in
	// force.
	PruneRuns(ctx context.Context, l Lease, p Pruning) (int, error)
}

// Pruning is what is to be removed of the journal.
type Pruning struct {
	Before time.Time // what finished before
	Keep   []string  // runs that stay
	Limit  int       // at most so many runs at once; at least 1
}

// CheckPruning returns ErrInvalid for a pruning without a time or a limit.
func CheckPruning(p Pruning) error {
	if p.Before.IsZero() || p.Limit < 1 {
		return fmt.Errorf("runs before %s, %d at once: %w", p.Before, p.Limit, ErrInvalid)
	}
	return CheckText("runs to keep", p.Keep...)
}

// Unsealed is what a batch can be made of.
type Unsealed struct {
	Ops  []OpRecord
	Runs []Run
	// Of are the runs that Ops belong to, by id.
	Of map[string]Run
	// Approvals name the approval by which an op passed the guards.
	Approvals map[OpRef]string
}

// BatchFilter selects batches; the zero filter selects all.
type BatchFilter struct {
	IDs   []int64
	Since time.Time // sealed at or after
	Until time.Time // sealed before
	Limit int       // 0 = all; the newest are kept
}

// RowFilter selects rows. Set fields all have to match; an empty list is not set.
type RowFilter struct {
	FromBatch, ToBatch int64 // inclusive; 0 = not set
	Run                string
	Keys               []identity.Key
	// Person is an account's id, an anchor, "source/anchor", or a username as it was
	// at the time and is not forgotten.
	Person string
	// Forgotten selects rows whose values were taken away.
	Forgotten bool
	Since     time.Time // happened at or after
	Limit     int       // 0 = all; the newest are kept
}

// Forgetting is what is to be forgotten.
type Forgetting struct {
	Keys []identity.Key
	Rows []audit.Row // as audit.Key.Forget made them
	// Words name the person in sentences about others and about runs; sentences of
	// the journal that hold one are taken away whole.
	Words []string
}

// Events gives what u holds in the order in which it happened.
func (u Unsealed) Events() []audit.Event {
	out := make([]audit.Event, 0, len(u.Ops)+len(u.Runs))
	for i := range u.Ops {
		out = append(out, u.op(&u.Ops[i]))
	}
	for i := range u.Runs {
		out = append(out, runEvent(&u.Runs[i]))
	}
	slices.SortStableFunc(out, func(a, b audit.Event) int { return a.At.Compare(b.At) })
	return out
}

func (u Unsealed) op(o *OpRecord) audit.Event {
	of := u.Of[o.Ref.Run]
	return audit.Event{
		At: o.ClosedAt, Kind: string(o.Op.Kind), Run: o.Ref.Run, Key: o.Key, AccountID: o.AccountID,
		Body: audit.Body{
			Op: o.Ref.String(), RunKind: of.Kind, Trigger: of.Trigger, RequestedBy: of.RequestedBy, Why: of.Reason,
			Action: o.Action, Reason: o.Reason, Approval: u.Approvals[o.Ref], Status: string(o.Status), Fields: audit.FieldsOf(o.Op.Changes), SpaceID: o.Op.SpaceID,
			PlannedAt: audit.Instant(o.PlannedAt), SentAt: audit.Instant(o.SentAt),
		},
		Personal: audit.Personal{
			Username: o.Username, Ref: o.SourceRef, Values: o.Op.Changes,
			Before: audit.ImageOf(o.Before), After: audit.ImageOf(o.After), Message: o.Error,
		},
	}
}

func runEvent(r *Run) audit.Event {
	e := audit.Event{
		At: r.FinishedAt, Kind: audit.KindRun, Run: r.ID,
		Body: audit.Body{
			RunKind: r.Kind, Trigger: r.Trigger, RequestedBy: r.RequestedBy, Why: r.Reason, Status: string(r.Status),
			PlannedAt: audit.Instant(r.PlannedAt),
		},
		Personal: audit.Personal{Message: r.Message},
	}
	if keys := new(audit.Keys); r.Kind == audit.RunRotate && Decode([]byte(r.Options), keys) == nil {
		e.Body.Keys = keys
	}
	return e
}

// Needle is the text by which the stored values of a row show that they are of a
// username.
func Needle(username string) (string, error) {
	text, err := Encode(username)
	return `"username":` + text, err
}

// CheckAppend returns ErrInvalid unless the rows are those of the batch.
func CheckAppend(b audit.Batch, rows []audit.Row, of Unsealed) error {
	what := fmt.Sprintf("audit batch %d", b.ID)
	if b.ID < 1 || b.FirstRow < 1 || b.Rows != int64(len(rows)) || len(rows) != len(of.Ops)+len(of.Runs) || b.SealedAt.IsZero() {
		return fmt.Errorf("%s: %d rows from %d on for %d ops and %d runs: %w", what, len(rows), b.FirstRow, len(of.Ops), len(of.Runs), ErrInvalid)
	}
	for i := range rows {
		r := &rows[i]
		if r.ID != b.FirstRow+int64(i) || r.Batch != b.ID {
			return fmt.Errorf("%s: row %d stands where %d belongs: %w", what, r.ID, b.FirstRow+int64(i), ErrInvalid)
		}
		if err := CheckText(what, r.Kind, r.Run, r.Key.Source, r.Key.Anchor, r.AccountID, r.Body, r.Personal); err != nil {
			return err
		}
	}
	return CheckText(what, b.Run)
}

// CheckNext returns ErrConflict unless b follows the last batch; nil for none.
func CheckNext(b audit.Batch, lastID, lastRow int64) error {
	if b.ID != lastID+1 || b.FirstRow != lastRow+1 {
		return fmt.Errorf("the last batch is %d and ends with row %d, so %d from row %d on does not follow: %w", lastID, lastRow, b.ID, b.FirstRow, ErrConflict)
	}
	return nil
}

// CheckRowFilter returns ErrInvalid for values no store can hold.
func CheckRowFilter(f RowFilter) error {
	for _, k := range f.Keys {
		if err := CheckText("filter", k.Source, k.Anchor); err != nil {
			return err
		}
	}
	return CheckText("filter", f.Run, f.Person)
}

// CheckForgetting returns ErrInvalid for a row that still has values.
func CheckForgetting(f Forgetting) error {
	for i := range f.Rows {
		r := &f.Rows[i]
		if r.Personal != "" || len(r.Salt) > 0 || len(r.ForgetMAC) == 0 {
			return fmt.Errorf("audit row %d is not forgotten: %w", r.ID, ErrInvalid)
		}
	}
	for _, k := range f.Keys {
		if err := CheckKey(k); err != nil {
			return err
		}
	}
	if slices.Contains(f.Words, "") {
		return fmt.Errorf("forget a person: every sentence holds an empty word: %w", ErrInvalid)
	}
	return CheckText("forget a person", f.Words...)
}

// Inside gives a word as it stands within a text of JSON that Encode wrote.
func Inside(word string) (string, error) {
	text, err := Encode(word)
	return strings.TrimSuffix(strings.TrimPrefix(text, `"`), `"`), err
}

// CheckPrune returns ErrInvalid for a batch that is not marked as pruned.
func CheckPrune(batches []audit.Batch) error {
	for i := range batches {
		if batches[i].PrunedAt.IsZero() || len(batches[i].PruneMAC) == 0 {
			return fmt.Errorf("audit batch %d is not marked as pruned: %w", batches[i].ID, ErrInvalid)
		}
	}
	return nil
}

// Blank gives an op without its values: what it was, and which fields it changed.
func Blank(op plan.Op) plan.Op {
	if len(op.Changes) == 0 {
		return op
	}
	changes := make([]plan.Change, len(op.Changes))
	for i, c := range op.Changes {
		changes[i] = plan.Change{Field: c.Field}
	}
	op.Changes = changes
	return op
}

// IsKey tells whether a word names the Key, whole or by its anchor.
func IsKey(k identity.Key, word string) bool {
	return strings.EqualFold(k.Anchor, word) || strings.EqualFold(k.String(), word)
}

// RunsOf names the runs that ops belong to, each once, in order.
func RunsOf(ops []OpRecord) []string {
	ids := make([]string, len(ops))
	for i := range ops {
		ids[i] = ops[i].Ref.Run
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// ByID gives runs by their ids.
func ByID(runs []Run) map[string]Run {
	out := make(map[string]Run, len(runs))
	for i := range runs {
		out[runs[i].ID] = runs[i]
	}
	return out
}
