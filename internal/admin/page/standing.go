package page

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// standing is what is held: what guards hold, which the store knows; and what runs
// found, which is the last one that planned for everybody, and for whom a later one
// decided, that.
type standing struct {
	at   time.Time
	base *state.Run // nil if there was none yet
	// later is how many runs after base were looked at; more tells that there are
	// others before those.
	later int
	more  bool
	holds []held
}

// held is one decision that holds something back.
type held struct {
	run state.Run
	plan.Decision
	// verdict is what was said and is in force; nil if nothing was.
	verdict *state.Verdict
}

// waitsForWord tells whether approve and reject are for it.
func (h *held) waitsForWord() bool { return len(h.Withheld) > 0 && h.Reason != plan.OnHold }

// ender is who can end it.
func (h *held) ender() plan.Ender { return h.Reason.Explain().Ender }

// bounds of what is looked at for one page.
const (
	mostBase  = 50  // runs back to one that planned for everybody
	mostLater = 300 // runs after it, of pushes and of others each
	// mostWaiting are looked at of those who were pushed and wait, leavers first.
	mostWaiting = 2000
)

// standingAge is how long what was read is good enough: it keeps a page that somebody
// loads again and again from reading everything each time.
const standingAge = 3 * time.Second

// standings keeps what was read last, and what runs that are over decided: that never
// changes.
type standings struct {
	mu   sync.Mutex
	last standing
	runs map[string]*decided
}

// decided is what a run that is over said of whom.
type decided struct {
	keys  []identity.Key
	holds []plan.Decision
}

// standing gives what is held now.
func (p *Page) standing(ctx context.Context) (standing, error) {
	c := &p.current
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.last.at.IsZero() && time.Since(c.last.at) < standingAge {
		return c.last, nil
	}
	s, err := c.read(ctx, p.o.Reader)
	if err != nil {
		return standing{}, err
	}
	c.last = s
	return s, nil
}

// forget has the next page read anew.
func (c *standings) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = standing{}
}

func (c *standings) read(ctx context.Context, r Reader) (standing, error) {
	s := standing{at: time.Now()}
	var err error
	if s.base, err = c.base(ctx, r); err != nil {
		return s, err
	}
	runs, err := s.since(ctx, r)
	if err != nil {
		return s, err
	}
	before, found := c.runs, map[identity.Key]held{}
	c.runs = map[string]*decided{}
	seen := map[identity.Key]bool{}
	for i := range runs {
		d, err := c.decisions(ctx, r, before, &runs[i])
		if err != nil {
			return s, err
		}
		for n := range d.holds {
			if k := d.holds[n].Key; !seen[k] {
				found[k] = held{run: runs[i], Decision: d.holds[n]}
			}
		}
		for _, k := range d.keys {
			seen[k] = true
		}
	}
	if err := c.guarded(ctx, r, before, found); err != nil {
		return s, err
	}
	if err := waiting(ctx, r, found, seen); err != nil {
		return s, err
	}
	for _, h := range found {
		s.holds = append(s.holds, h)
	}
	slices.SortFunc(s.holds, func(a, b held) int { return a.Key.Compare(b.Key) })
	return s, c.verdicts(ctx, r, &s)
}

// since gives the runs that are over, from the newest back to base. Pushes have their own
// share: there may be many, and of each is told apart whether it still holds anything.
func (s *standing) since(ctx context.Context, r Reader) ([]state.Run, error) {
	f := state.RunFilter{Limit: mostLater}
	if s.base != nil {
		f.Since = s.base.RequestedAt
	}
	pushes, held := f, f
	f.NotKind, pushes.Kind, held.Kind = reconcile.KindPush, reconcile.KindPush, reconcile.KindPush
	held.Statuses = []state.RunStatus{state.RunPartial, state.RunWithheld}
	var all []state.Run
	for _, f := range []state.RunFilter{f, pushes, held} {
		list, err := r.Runs(ctx, f)
		if err != nil {
			return nil, fmt.Errorf("list later runs: %w", err)
		}
		s.more = s.more || len(list) == mostLater
		all = append(all, list...)
	}
	slices.SortFunc(all, func(a, b state.Run) int { return strings.Compare(b.ID, a.ID) })
	all = slices.CompactFunc(all, func(a, b state.Run) bool { return a.ID == b.ID })
	all = slices.DeleteFunc(all, func(n state.Run) bool {
		return n.Status.Open() || n.PlannedAt.IsZero() && n.Kind != "plan" || s.base != nil && (n.ID == s.base.ID || n.RequestedAt.Before(s.base.RequestedAt))
	})
	s.later = len(all)
	if s.base != nil {
		all = append(all, *s.base)
	}
	return all, nil
}

// guarded corrects what runs said of what guards hold by what the store keeps of that,
// however long ago it began.
func (c *standings) guarded(ctx context.Context, r Reader, before map[string]*decided, found map[identity.Key]held) error {
	kept, err := r.Held(ctx)
	if err != nil {
		return fmt.Errorf("read what guards hold: %w", err)
	}
	still := map[identity.Key]bool{}
	missing := map[string][]identity.Key{} // by run
	for i := range kept {
		k := kept[i].Key
		still[k] = true
		if _, known := found[k]; !known {
			missing[kept[i].Run] = append(missing[kept[i].Run], k)
		}
	}
	for k, h := range found {
		if h.Reason == plan.GuardTripped && h.run.Kind != "plan" && !still[k] {
			delete(found, k) // a push has ended it
		}
	}
	for id, keys := range missing {
		runs, err := r.Runs(ctx, state.RunFilter{ID: id})
		if err != nil {
			return fmt.Errorf("look for the run that holds: %w", err)
		}
		if len(runs) != 1 || runs[0].Status.Open() {
			continue
		}
		d, err := c.decisions(ctx, r, before, &runs[0])
		if err != nil {
			return err
		}
		for i := range d.holds {
			if slices.Contains(keys, d.holds[i].Key) {
				found[d.holds[i].Key] = held{run: runs[0], Decision: d.holds[i]}
			}
		}
	}
	return nil
}

// waiting adds whom a push found held, where that was before the runs that were looked
// at.
func waiting(ctx context.Context, r Reader, found map[identity.Key]held, seen map[identity.Key]bool) error {
	now, err := r.Now(ctx)
	if err != nil {
		return fmt.Errorf("read the store's clock: %w", err)
	}
	list, err := r.Waiting(ctx, now, mostWaiting)
	if err != nil {
		return fmt.Errorf("read who waits: %w", err)
	}
	for i := range list {
		d := &list[i]
		if _, known := found[d.Key]; d.Held && !known && !seen[d.Key] {
			found[d.Key] = held{Decision: plan.Decision{Key: d.Key, Action: plan.Hold, Reason: plan.Reason(d.Reason), Detail: d.Note}}
		}
	}
	return nil
}

// base finds the last run that planned for everybody and says of whom it held what.
func (c *standings) base(ctx context.Context, r Reader) (*state.Run, error) {
	var runs []state.Run
	for _, kind := range []string{"sync", "plan"} { // pushes are many
		list, err := r.Runs(ctx, state.RunFilter{
			Kind: kind, Statuses: []state.RunStatus{state.RunDone, state.RunPartial, state.RunWithheld, state.RunPlanned}, Limit: mostBase,
		})
		if err != nil {
			return nil, fmt.Errorf("list runs: %w", err)
		}
		runs = append(runs, slices.DeleteFunc(list, func(r state.Run) bool { return !whole(r) })...)
	}
	slices.SortFunc(runs, func(a, b state.Run) int { return strings.Compare(b.ID, a.ID) })
	for i := range runs {
		if runs[i].Kind == "sync" {
			return &runs[i], nil
		}
		// A plan keeps its decisions only if it was told to.
		d, err := c.decisions(ctx, r, c.runs, &runs[i])
		if err != nil {
			return nil, err
		}
		if len(d.keys) > 0 {
			return &runs[i], nil
		}
	}
	return nil, nil
}

func whole(r state.Run) bool {
	return (r.Kind == "sync" && !r.PlannedAt.IsZero() || r.Kind == "plan") && reconcile.Whole(&r)
}

// decisions gives what a run that is over decided, which was read before or is now.
func (c *standings) decisions(ctx context.Context, r Reader, before map[string]*decided, run *state.Run) (*decided, error) {
	if d := before[run.ID]; d != nil {
		c.keep(run, d)
		return d, nil
	}
	list, err := r.Decisions(ctx, run.ID)
	if err != nil {
		return nil, fmt.Errorf("read the decisions of run %s: %w", run.ID, err)
	}
	d := &decided{}
	for i := range list {
		one := &list[i].Decision
		d.keys = append(d.keys, one.Key)
		_, _, asks := questionOf(one)
		if one.Action == plan.Hold && !one.Locked() || len(one.Withheld) > 0 || asks {
			d.holds = append(d.holds, *one)
		}
	}
	if run.Kind == "plan" && len(list) == 0 {
		return d, nil // it may be about to keep them
	}
	c.keep(run, d)
	return d, nil
}

func (c *standings) keep(run *state.Run, d *decided) {
	if c.runs == nil {
		c.runs = map[string]*decided{}
	}
	c.runs[run.ID] = d
}

// verdicts adds what was said already about what is held.
func (c *standings) verdicts(ctx context.Context, r Reader, s *standing) error {
	open, err := r.Verdicts(ctx, state.VerdictFilter{Open: true})
	if err != nil {
		return fmt.Errorf("list approvals: %w", err)
	}
	now, err := r.Now(ctx)
	if err != nil {
		return fmt.Errorf("read the store's clock: %w", err)
	}
	said := map[identity.Key]*state.Verdict{}
	for i := range open {
		v := &open[i]
		if v.Approves && !now.Before(v.Expires) {
			continue
		}
		for n := range v.Items {
			if v.Items[n].UsedBy == "" {
				said[v.Items[n].Key] = v
			}
		}
	}
	for i := range s.holds {
		s.holds[i].verdict = said[s.holds[i].Key]
	}
	return nil
}

// sums are what anybody may know of what is held.
type sums struct {
	Word, Source, Later, Conflicts int
}

func (s *standing) sums() sums {
	var n sums
	for i := range s.holds {
		h := &s.holds[i]
		if _, _, asks := questionOf(&h.Decision); asks {
			n.Conflicts++
		}
		switch {
		case h.waitsForWord() && h.verdict == nil && h.Reason != plan.Rejected:
			n.Word++
		case h.Action != plan.Hold:
		case h.ender() == plan.EndSource:
			n.Source++
		case h.ender() == plan.EndWait:
			n.Later++
		}
	}
	return n
}
