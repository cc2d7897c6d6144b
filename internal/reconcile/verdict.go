package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// ApprovalTTL is how long an approval waits to be used, if nothing else is said.
const ApprovalTTL = 24 * time.Hour

// Say is what an operator says about what a run held back.
type Say struct {
	Run      string // its id, or the beginning of it
	Approves bool
	// People are those it is about, by username, account id, place in the source,
	// anchor or source/anchor; none = everybody whom the run held.
	People []string
	Reason string
	By     string
	// Trigger is where it was said; "" = cli.
	Trigger string
	TTL     time.Duration // of an approval; 0 = ApprovalTTL
	// Try only finds out what it would be about.
	Try bool
}

// Say keeps an operator's word about what a run held back. It talks to the store
// alone, and changes nobody: the next sync lets exactly what was approved through,
// and leaves what was rejected as it is for as long as the source wants the same.
// Errors that wrap ErrRefused say why it cannot be said.
func (e *Engine) Say(ctx context.Context, s Say) (state.Verdict, error) {
	v := state.Verdict{ID: token()[:8], Approves: s.Approves, Reason: s.Reason, MadeBy: s.By, Policy: e.o.PolicyDigest}
	run, err := e.run(ctx, s.Run)
	if err != nil {
		return v, err
	}
	v.Run = run.ID
	switch {
	case run.Status.Open():
		return v, fmt.Errorf("%w: run %s is still at work; wait for its end", ErrRefused, run.ID)
	case run.Policy != e.o.PolicyDigest:
		return v, fmt.Errorf("%w: run %s was planned with another configuration than this one; use the configuration it was made with, or make a new plan with this one and speak about that", ErrRefused, run.ID)
	}
	bound, err := e.o.Store.Bound(ctx, "mattermost")
	if err != nil {
		return v, fmt.Errorf("read which server the store belongs to: %w", err)
	}
	v.Server = bound.ID
	if v.Items, err = e.held(ctx, run.ID, s.People); err != nil {
		return v, err
	}
	if v.MadeAt, err = e.o.Store.Now(ctx); err != nil {
		return v, fmt.Errorf("read the store's clock: %w", err)
	}
	if s.Approves {
		if s.TTL <= 0 {
			s.TTL = ApprovalTTL
		}
		v.Expires = v.MadeAt.Add(s.TTL)
	}
	if s.Try {
		return v, nil
	}
	if err := e.known(ctx); err != nil {
		return v, err
	}
	if err := e.o.Store.AddVerdict(ctx, v); errors.Is(err, state.ErrConflict) {
		return v, fmt.Errorf("%w: that was said already: %w", ErrRefused, err)
	} else if err != nil {
		return v, fmt.Errorf("keep the verdict: %w", err)
	}
	said, kind := "said no to", "reject"
	if s.Approves {
		said, kind = "approved", "approve"
	}
	o := RunOptions{Trigger: cmp.Or(s.Trigger, "cli"), RequestedBy: s.By, Reason: s.Reason}
	message := fmt.Sprintf("%s %d held changes of run %s (%s)", said, len(v.Items), v.Run, v.ID)
	if err := noteWord(ctx, e.o.Store, kind, runID(v.MadeAt), v.MadeAt, o, message); err != nil {
		return v, err
	}
	if v.Approves {
		var marks []state.DueMark
		for i := range v.Items {
			marks = append(marks, state.DueMark{Key: v.Items[i].Key, Leaver: slices.ContainsFunc(v.Items[i].Ops, leaves)})
		}
		if err := e.dueAgain(ctx, marks); err != nil {
			return v, err
		}
	}
	e.log.InfoContext(ctx, "operator spoke", "verdict", v.ID, "run", v.Run, "approves", v.Approves, "items", len(v.Items))
	return v, nil
}

// run finds the one run of an id or of the beginning of one.
func (e *Engine) run(ctx context.Context, id string) (state.Run, error) {
	runs, err := e.o.Store.Runs(ctx, state.RunFilter{ID: id})
	switch {
	case err != nil:
		return state.Run{}, fmt.Errorf("look for run %s: %w", id, err)
	case len(runs) == 0 || id == "":
		return state.Run{}, fmt.Errorf("%w: there is no run %q; mmsync history lists them", ErrRefused, id)
	case len(runs) > 1:
		return state.Run{}, fmt.Errorf("%w: %q fits %d runs; give more of its id", ErrRefused, id, len(runs))
	}
	return runs[0], nil
}

// held gives what a run held back that can be spoken about, of the given people or
// of all.
func (e *Engine) held(ctx context.Context, run string, people []string) ([]state.VerdictItem, error) {
	decisions, err := e.o.Store.Decisions(ctx, run)
	if err != nil {
		return nil, fmt.Errorf("read what run %s held back: %w", run, err)
	}
	var held []*plan.Decision
	for i := range decisions {
		if d := &decisions[i].Decision; len(d.Withheld) > 0 && d.Reason != plan.OnHold && d.Reason != plan.NotNow { // what is on hold waits for its release, and the rest for its time
			held = append(held, d)
		}
	}
	named := map[identity.Key]bool{}
	for _, q := range people {
		k, err := theOne(held, q)
		switch {
		case err != nil:
			return nil, err
		case k.IsZero():
			return nil, fmt.Errorf("%w: run %s held nothing back of %q; mmsync history %s lists what it did", ErrRefused, run, q, run)
		}
		named[k] = true
	}
	var items []state.VerdictItem
	for _, d := range held {
		if named[d.Key] || (len(people) == 0 && !rejected(d)) {
			action := d.Action
			if action == plan.Hold && d.Held != "" {
				action = d.Held
			}
			items = append(items, state.VerdictItem{Key: d.Key, AccountID: d.AccountID, Username: d.Username, Action: action, Ops: d.Withheld})
		}
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("%w: run %s held nothing back that waits for a word; matches with existing accounts are for mmsync link approve", ErrRefused, run)
	}
	return items, nil
}

// rejected tells whether an operator said no already to what a decision keeps back;
// only by name is he asked again.
func rejected(d *plan.Decision) bool {
	if d.Reason == plan.Rejected {
		return true
	}
	no := 0
	for _, n := range d.Notes {
		switch n.Reason {
		case plan.NeedsApproval, plan.GuardTripped:
			return false
		case plan.Rejected:
			no++
		default:
		}
	}
	return no > 0
}

// heard are the verdicts in force, as far as they hold in this run.
type heard struct {
	open []state.Verdict
	said map[identity.Key]*plan.Said
	// stale are those in force that hold no more, by id: their time is over.
	stale    []string
	problems []string
}

// hear reads what operators said and sees what of it holds: for this server, under
// this configuration, by the store's clock.
func (e *Engine) hear(ctx context.Context, g *gathered) (*heard, error) {
	h := &heard{said: map[identity.Key]*plan.Said{}}
	f := state.VerdictFilter{Open: true}
	if g.few() {
		for i := range g.observations {
			f.Keys = append(f.Keys, g.observations[i].Key)
		}
	}
	open, err := e.o.Store.Verdicts(ctx, f)
	if err != nil || len(open) == 0 {
		return h, err
	}
	bound, err := e.o.Store.Bound(ctx, "mattermost")
	if err != nil {
		return h, err
	}
	for i := range open {
		v := &open[i]
		why := ""
		switch {
		case v.Approves && !g.now.Before(v.Expires):
			h.stale = append(h.stale, v.ID)
			h.problems = append(h.problems, fmt.Sprintf("approval %s of run %s, by %s, expired before all of it was used; approve what the newest run holds if it is still right", v.ID, v.Run, v.MadeBy))
			continue
		case v.Server != "" && v.Server != bound.ID: // "": before the first sync bound the store
			why = "it was made for another server"
		case !v.Approves:
		case v.Policy != e.o.PolicyDigest:
			why = "it was made under another configuration; approve what a run with this one holds"
		case g.now.Before(v.MadeAt):
			why = "the store's clock was set back behind it"
		}
		if why != "" {
			h.problems = append(h.problems, fmt.Sprintf("approval %s of run %s, by %s, is not used: %s", v.ID, v.Run, v.MadeBy, why))
			continue
		}
		h.open = append(h.open, *v)
		for n := range v.Items {
			if it := &v.Items[n]; it.UsedBy == "" {
				h.said[it.Key] = &plan.Said{ID: v.ID, Approves: v.Approves, AccountID: it.AccountID, Ops: it.Ops, Words: spoken(v)}
			}
		}
	}
	return h, nil
}

func spoken(v *state.Verdict) string {
	said := "no"
	if v.Approves {
		said = "yes"
	}
	text := fmt.Sprintf("%s said %s on %s", v.MadeBy, said, v.MadeAt.UTC().Format("2006-01-02 15:04 UTC"))
	if v.Reason != "" {
		text += ": " + v.Reason
	}
	return text
}

// fate is what became of changes that an operator spoke about.
type fate int

const (
	waits   fate = iota // put off, or kept back as he said
	carried             // among what was carried out
	needless
	changed
)

// became tells what a plan makes of changes that were spoken about; d is nil if it
// does nothing about the person. Of a plan that was narrowed, what it leaves out waits.
func became(s *plan.Said, d *plan.Decision, whole bool) fate {
	if d == nil {
		return needless
	}
	left := slices.DeleteFunc(slices.Clone(s.Ops), func(op plan.Op) bool { return plan.Within([]plan.Op{op}, d.Ops) })
	putOff := d.Action == plan.Hold && len(d.Ops)+len(d.Withheld) == 0
	waiting := slices.ContainsFunc(left, func(op plan.Op) bool { return plan.Within([]plan.Op{op}, d.Withheld) })
	switch {
	case len(left) == 0:
		return carried
	case rejected(d) || putOff || waiting:
		return waits
	case len(left) < len(s.Ops) && whole:
		return carried // the rest is not wanted any more
	case len(left) < len(s.Ops):
		return waits
	}
	return changed
}

// fulfil notes what a run made of the verdicts. What was approved and carried out is
// used up; what would be done otherwise by now stays held and is named; the rest
// waits until the approval expires. A rejection is over for whom the source wants
// something else. whole is false if the plan was narrowed to some people. A
// revert uses up what it carried out, and no more.
func (e *Engine) fulfil(ctx context.Context, l *lease, run string, g *gathered, rep *Report, whole bool) error {
	h := g.heard
	if len(h.open)+len(h.stale) == 0 {
		return nil
	}
	decided := make(map[identity.Key]*plan.Decision, len(h.said))
	for i := range rep.Plan.Decisions {
		if d := &rep.Plan.Decisions[i]; h.said[d.Key] != nil {
			decided[d.Key] = d
		}
	}
	seen := make(map[identity.Key]bool, len(h.said))
	for i := range g.observations {
		seen[g.observations[i].Key] = true
	}
	failed := make(map[identity.Key]bool, len(rep.Failures))
	for _, f := range rep.Failures {
		failed[f.Key] = true
	}
	var used []state.ItemRef
	closed := h.stale
	for i := range h.open {
		v := &h.open[i]
		left := 0
		for n := range v.Items {
			it := &v.Items[n]
			if it.UsedBy != "" {
				continue
			}
			d := decided[it.Key]
			over := became(h.said[it.Key], d, whole)
			switch at := g.roster.find(it.Key); {
			case over == waits, g.takenOver(it.Key), failed[it.Key], g.byHand && over != carried, d == nil && !whole, d == nil && !seen[it.Key] && (at < 0 || !g.roster.heads[at].present):
				left++
				continue
			case over == changed && v.Approves:
				rep.Problems = append(rep.Problems, fmt.Sprintf("what was approved for %q (%s, approval %s) is not what would be done by now, so it is not done; mmsync history %s shows what is held, approve that if it is right", it.Username, it.Key, v.ID, run))
			}
			used = append(used, v.Ref(n))
		}
		if left == 0 && !g.few() { // who knows some people alone cannot tell
			closed = append(closed, v.ID)
		}
	}
	if len(used)+len(closed) == 0 {
		return nil
	}
	if err := e.o.Store.UseVerdicts(ctx, l.current(), run, used, closed, g.now); err != nil {
		return fmt.Errorf("note what became of approvals: %w", err)
	}
	return nil
}

// takeBack closes all approvals: of a store that was put back nobody knows which of
// them were used since. Rejections keep things as they are, and stay.
func (e *Engine) takeBack(l *lease, run state.Run) error {
	open, err := e.o.Store.Verdicts(l.ctx, state.VerdictFilter{Open: true})
	if err != nil {
		return fmt.Errorf("read what was approved: %w", err)
	}
	var ids []string
	for i := range open {
		if open[i].Approves {
			ids = append(ids, open[i].ID)
		}
	}
	if err := e.o.Store.UseVerdicts(l.ctx, l.current(), run.ID, nil, ids, run.StartedAt); err != nil {
		return fmt.Errorf("take back what was approved: %w", err)
	}
	return nil
}
