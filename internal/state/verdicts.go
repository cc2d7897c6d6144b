package state

import (
	"context"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Verdict is what an operator said about what a run held back: an approval lets
// exactly its items through, once; a rejection keeps them back for as long as they
// are the same.
type Verdict struct {
	ID       string
	Run      string // whose held items it is about
	Approves bool
	Reason   string
	MadeBy   string // user@host
	// Server and Policy are what it was said under; it does not hold for others.
	Server, Policy string
	MadeAt         time.Time
	Expires        time.Time // by the store's clock; zero = never
	ClosedAt       time.Time // zero = in force
	ClosedBy       string    // the run or the verdict that closed it
	Items          []VerdictItem
	// Positions are those of Items where a filter left others out; else nil.
	Positions []int
}

// Ref names one of Items.
func (v *Verdict) Ref(item int) ItemRef {
	if v.Positions != nil {
		item = v.Positions[item]
	}
	return ItemRef{Verdict: v.ID, Position: item}
}

// VerdictItem is one person's changes that a Verdict is about.
type VerdictItem struct {
	Key       identity.Key
	AccountID string // "" for an account that does not exist yet
	Username  string
	Action    plan.Action
	Ops       []plan.Op
	// UsedBy is the run that carried it out, or the verdict that took its place; ""
	// = neither.
	UsedBy string
}

// ItemRef names one item of one Verdict.
type ItemRef struct {
	Verdict  string
	Position int
}

// VerdictFilter selects verdicts; the zero filter selects all.
type VerdictFilter struct {
	ID   string
	Run  string
	Open bool // in force, expired ones included
	// Keys, if not empty, leave out all items but theirs.
	Keys []identity.Key
}

// VerdictStore keeps what operators said, and the plans they said it about.
type VerdictStore interface {
	// Verdicts gives those that match, oldest first.
	Verdicts(ctx context.Context, f VerdictFilter) ([]Verdict, error)
	// AddVerdict keeps a new one. A Key is in one verdict in force at most: one of
	// the other kind gives it up, one of the same kind makes this an ErrConflict that
	// names it. One that had expired at v.MadeAt does not count.
	AddVerdict(ctx context.Context, v Verdict) error
	// UseVerdicts notes what a run made of them: the items it carried out or found
	// to be about something else by now, and the verdicts that are used up.
	UseVerdicts(ctx context.Context, l Lease, run string, used []ItemRef, closed []string, at time.Time) error
	// SavePlan keeps the decisions of a run that only looked, with their ops, beside
	// its row; ErrConflict if it has decisions already.
	SavePlan(ctx context.Context, r Run, decisions []plan.Decision) error
}

// CheckVerdict returns ErrInvalid for a verdict that cannot be kept.
func CheckVerdict(v *Verdict) error {
	if v.ID == "" || v.MadeAt.IsZero() || len(v.Items) == 0 {
		return fmt.Errorf("verdict %q without an id, a time or items: %w", v.ID, ErrInvalid)
	}
	if err := CheckText("verdict", v.ID, v.Run, v.Reason, v.MadeBy, v.Server, v.Policy, v.ClosedBy); err != nil {
		return err
	}
	seen := make(map[identity.Key]bool, len(v.Items))
	for i := range v.Items {
		it := &v.Items[i]
		d := plan.Decision{Key: it.Key, AccountID: it.AccountID, Username: it.Username, Action: it.Action, Ops: it.Ops}
		if err := CheckDecision(&d); err != nil {
			return err
		}
		if seen[it.Key] || len(it.Ops) == 0 {
			return fmt.Errorf("%s is in a verdict twice, or without ops: %w", fmtKey(it.Key), ErrInvalid)
		}
		seen[it.Key] = true
	}
	return nil
}

// Replaced tells which items of the verdicts in force a new one takes over, and
// which verdicts it leaves without any; ErrConflict if one of the same kind has one
// of its Keys.
func Replaced(v *Verdict, inForce []Verdict) (items []ItemRef, closed []string, err error) {
	keys := make(map[identity.Key]bool, len(v.Items))
	for i := range v.Items {
		keys[v.Items[i].Key] = true
	}
	for i := range inForce {
		o := &inForce[i]
		if !o.ClosedAt.IsZero() || (!o.Expires.IsZero() && !v.MadeAt.Before(o.Expires)) {
			continue
		}
		left := 0
		for n := range o.Items {
			switch it := &o.Items[n]; {
			case it.UsedBy != "":
			case !keys[it.Key]:
				left++
			case o.Approves == v.Approves:
				return nil, nil, fmt.Errorf("%s (%s) is in %s already, by %s at %s: %w", it.Username, it.Key, o.name(), o.MadeBy, o.MadeAt.Format(time.RFC3339), ErrConflict)
			default:
				items = append(items, ItemRef{o.ID, n})
			}
		}
		if left == 0 {
			closed = append(closed, o.ID)
		}
	}
	return items, closed, nil
}

func (v *Verdict) name() string {
	if v.Approves {
		return "approval " + v.ID
	}
	return "rejection " + v.ID
}
