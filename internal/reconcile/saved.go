package reconcile

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// savedFor is how long a saved plan can be carried out.
const savedFor = 24 * time.Hour

// savedMarks are the bindings under which a store keeps what saved plans are proven
// by: which store it is, and the key of their seals.
const (
	storeMark = "store"
	sealMark  = "plan-file-key"
)

// SavedPlan is the file that stands for a plan that somebody has read. What it does
// is in the store; the file says which plan it is, and proves that it says so.
type SavedPlan struct {
	FormatVersion string              `json:"format_version"`
	Run           string              `json:"run"`
	Store         string              `json:"store"`
	Server        string              `json:"server"`
	Policy        string              `json:"policy"`
	Digest        string              `json:"digest"`
	Counts        map[plan.Action]int `json:"counts"`
	MadeBy        string              `json:"made_by"`
	MadeAt        time.Time           `json:"made_at"`
	MAC           string              `json:"mac"`
}

// StaleError is what keeps a saved plan from being carried out: it is another
// store's or configuration's, too old, was edited, or the world has moved on.
type StaleError struct {
	Why string
	// Changed are the people about whom something else would be done by now, in a
	// sentence each.
	Changed []string
}

func (e *StaleError) Error() string {
	if len(e.Changed) == 0 {
		return e.Why
	}
	return e.Why + ":\n  " + strings.Join(e.Changed, "\n  ")
}

// Saved gives the file that stands for a plan that Plan made and kept.
func (e *Engine) Saved(ctx context.Context, rep Report, o RunOptions) (SavedPlan, error) {
	f := SavedPlan{FormatVersion: plan.FormatVersion, Run: rep.RunID, Policy: e.o.PolicyDigest, Digest: rep.Plan.Digest(), MadeBy: o.RequestedBy, Counts: map[plan.Action]int{}}
	run, err := e.run(ctx, rep.RunID)
	if err != nil {
		return f, err
	}
	for i := range rep.Plan.Decisions {
		f.Counts[rep.Plan.Decisions[i].Action]++
	}
	f.MadeAt = run.RequestedAt
	if f.Store, err = e.mark(ctx, storeMark); err != nil {
		return f, err
	}
	bound, err := e.o.Store.Bound(ctx, "mattermost")
	if err != nil {
		return f, fmt.Errorf("read which server the store belongs to: %w", err)
	}
	f.Server = bound.ID
	f.MAC, err = e.sign(ctx, f)
	return f, err
}

// keep writes a plan down beside its run: all of it to be carried out as it is, or
// else what it holds back, so that somebody can speak about that.
func (e *Engine) keep(ctx context.Context, run state.Run, decisions []plan.Decision, all bool) error {
	if !all {
		decisions = slices.DeleteFunc(slices.Clone(decisions), func(d plan.Decision) bool { return len(d.Withheld) == 0 })
	}
	if len(decisions) == 0 {
		return nil
	}
	if err := e.o.Store.SavePlan(ctx, run, decisions); err != nil {
		return fmt.Errorf("keep the plan: %w", err)
	}
	return nil
}

// mark gives a random value that the store keeps for good.
func (e *Engine) mark(ctx context.Context, name string) (string, error) {
	known, err := e.o.Store.Bound(ctx, name)
	if err == nil && known.ID == "" {
		var at time.Time
		if at, err = e.o.Store.Now(ctx); err == nil {
			known, err = e.o.Store.Bind(ctx, state.Binding{Name: name, ID: token() + token(), At: at})
			if known.ID != "" { // somebody else was first
				err = nil
			}
		}
	}
	if err != nil {
		return "", fmt.Errorf("read the store's own mark: %w", err)
	}
	return known.ID, nil
}

func (e *Engine) sign(ctx context.Context, f SavedPlan) (string, error) {
	key, err := e.mark(ctx, sealMark)
	if err != nil {
		return "", err
	}
	f.MAC = ""
	text, err := json.Marshal(f) // maps come sorted
	if err != nil {
		return "", fmt.Errorf("seal the plan: %w", err)
	}
	m := hmac.New(sha256.New, []byte(key))
	m.Write(text)
	return hex.EncodeToString(m.Sum(nil)), nil
}

// Apply carries out a saved plan: of what would be done now, what was in it, word
// for word. Whatever of it would be done otherwise by now ends with a StaleError
// before anything is written, or is left out if skip says so; what is done already
// is passed over. The guards judge it like any plan.
func (e *Engine) Apply(ctx context.Context, f SavedPlan, o RunOptions, skip bool) (Report, error) {
	saved, err := e.reopen(ctx, f)
	if err != nil {
		return Report{}, err
	}
	o.pick = func(now plan.Plan, of map[identity.Key]*plan.Observation, _ map[identity.Key]bool) (plan.Plan, error) {
		return stillSo(saved, now, of, skip)
	}
	o.everybody = true // who was to be changed may be settled by now, and is told apart from who changed
	return e.Sync(ctx, o)
}

// reopen makes sure that a file stands for a plan of this store, for this server and
// this configuration, and gives its decisions as the store has them.
func (e *Engine) reopen(ctx context.Context, f SavedPlan) ([]plan.Decision, error) {
	stale := func(format string, a ...any) error { return &StaleError{Why: fmt.Sprintf(format, a...)} }
	if major, _, _ := strings.Cut(f.FormatVersion, "."); major != "1" {
		return nil, stale("the plan file has format version %q, this mmsync reads 1.x", f.FormatVersion)
	}
	store, err := e.mark(ctx, storeMark)
	if err != nil {
		return nil, err
	}
	if f.Store != store {
		return nil, stale("the plan was made with another store than the configuration names; use the one it was made with, or make a new plan")
	}
	mac, err := e.sign(ctx, f)
	if err != nil {
		return nil, err
	}
	if !hmac.Equal([]byte(mac), []byte(f.MAC)) {
		return nil, stale("the plan file was changed after it was written, so nothing of it is believed; make a new one with mmsync plan --out")
	}
	bound, err := e.o.Store.Bound(ctx, "mattermost")
	if err != nil {
		return nil, fmt.Errorf("read which server the store belongs to: %w", err)
	}
	now, err := e.o.Store.Now(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the store's clock: %w", err)
	}
	switch age := now.Sub(f.MadeAt); {
	case f.Server != "" && f.Server != bound.ID: // "": before the first sync bound the store
		return nil, stale("the plan was made for the server %q, and this store belongs to %q by now; make a new plan", f.Server, bound.ID)
	case f.Policy != e.o.PolicyDigest:
		return nil, stale("the plan was made with another configuration than this one; use that one, or make a new plan")
	case age < 0:
		return nil, stale("the plan is dated %s, and the store's clock was set back behind that; make a new plan", f.MadeAt.UTC().Format(time.RFC3339))
	case age > savedFor:
		return nil, stale("the plan is of %s, and plans can be carried out for %s; make a new one", f.MadeAt.UTC().Format("2006-01-02 15:04 UTC"), savedFor)
	}
	records, err := e.o.Store.Decisions(ctx, f.Run)
	if err != nil {
		return nil, fmt.Errorf("read the plan: %w", err)
	}
	saved := make([]plan.Decision, len(records))
	for i := range records {
		saved[i] = records[i].Decision
	}
	if got := (plan.Plan{Decisions: saved}).Digest(); got != f.Digest {
		return nil, stale("the store does not have this plan as it was written (it was restored, cleaned up or changed); make a new one")
	}
	return saved, nil
}

// stillSo keeps of a plan what was in a saved one. Decisions of a row of names go
// together or not at all.
func stillSo(saved []plan.Decision, now plan.Plan, of map[identity.Key]*plan.Observation, skip bool) (plan.Plan, error) {
	wanted := make(map[identity.Key]*plan.Decision, len(saved))
	for i := range saved {
		if len(saved[i].Ops) > 0 {
			wanted[saved[i].Key] = &saved[i]
		}
	}
	var changed []string
	left := map[int]bool{} // chains of which somebody does not go
	keep := now.Decisions[:0:0]
	for _, d := range now.Decisions {
		was := wanted[d.Key]
		if was != nil && d.Action == plan.Adopt && len(was.Ops) == 1 && was.Ops[0].Kind == plan.LinkAccount {
			d = linkOnly(d, of[d.Key])
		}
		same := was != nil && was.AccountID == d.AccountID && slices.EqualFunc(was.Ops, d.Ops, plan.Op.Equal)
		switch {
		case same:
			keep = append(keep, d)
			continue
		case was != nil:
			changed = append(changed, fmt.Sprintf("%q (%s): the plan says %s; now it would be %s", was.Username, d.Key, tell(*was), tell(d)))
		}
		left[d.Chain] = true
	}
	if len(changed) > 0 && !skip {
		slices.Sort(changed)
		return now, &StaleError{Why: fmt.Sprintf("%d of %d people of the saved plan are not as they were, so nothing was written; make a new plan, or carry out the rest with --skip-stale", len(changed), len(wanted)), Changed: changed}
	}
	now.Decisions = slices.DeleteFunc(keep, func(d plan.Decision) bool { return d.Chain != 0 && left[d.Chain] })
	for _, c := range changed {
		now.Warnings = append(now.Warnings, c+"; left out")
	}
	return now, nil
}

// tell says in a few words what a decision does.
func tell(d plan.Decision) string {
	if d.Action == plan.Hold {
		return fmt.Sprintf("held, %s (%s)", d.Reason, d.Detail)
	}
	var parts []string
	for _, op := range d.Ops {
		for _, c := range op.Changes {
			parts = append(parts, fmt.Sprintf("%s %q -> %q", c.Field, c.From, c.To))
		}
	}
	return string(d.Action) + " " + strings.Join(parts, ", ")
}
