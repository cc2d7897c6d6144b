package page

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// standing is what is held as far as runs found: the last one that planned for
// everybody, and for whom a later one decided, that.
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
	mostLater = 300 // runs after it
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
	base, err := c.base(ctx, r)
	if err != nil || base == nil {
		return s, err
	}
	s.base = base
	runs, err := r.Runs(ctx, state.RunFilter{Since: base.RequestedAt, Limit: mostLater})
	if err != nil {
		return s, fmt.Errorf("list later runs: %w", err)
	}
	s.more = len(runs) == mostLater
	runs = slices.DeleteFunc(runs, func(n state.Run) bool {
		return n.ID == base.ID || n.Status.Open() || n.PlannedAt.IsZero() && n.Kind != "plan" || n.RequestedAt.Before(base.RequestedAt)
	})
	s.later = len(runs)
	kept := map[string]*decided{}
	seen := map[identity.Key]bool{}
	for _, run := range append(runs, *base) {
		d, err := c.decisions(ctx, r, &run)
		if err != nil {
			return s, err
		}
		kept[run.ID] = d
		for i := range d.holds {
			if !seen[d.holds[i].Key] {
				s.holds = append(s.holds, held{run: run, Decision: d.holds[i]})
			}
		}
		for _, k := range d.keys {
			seen[k] = true
		}
	}
	c.runs = kept
	slices.SortStableFunc(s.holds, func(a, b held) int { return a.Key.Compare(b.Key) })
	return s, c.verdicts(ctx, r, &s)
}

// base finds the last run that planned for everybody and says of whom it held what.
func (c *standings) base(ctx context.Context, r Reader) (*state.Run, error) {
	runs, err := r.Runs(ctx, state.RunFilter{
		Statuses: []state.RunStatus{state.RunDone, state.RunPartial, state.RunWithheld, state.RunPlanned}, Limit: mostBase,
	})
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	at := slices.IndexFunc(runs, whole)
	if at < 0 && len(runs) == mostBase { // pushes alone, for as long
		if runs, err = r.Runs(ctx, state.RunFilter{Kind: "sync", Statuses: []state.RunStatus{state.RunDone, state.RunPartial, state.RunWithheld}, Limit: mostBase}); err != nil {
			return nil, fmt.Errorf("list runs: %w", err)
		}
		at = slices.IndexFunc(runs, whole)
	}
	if at < 0 {
		return nil, nil
	}
	for ; at < len(runs); at++ {
		if !whole(runs[at]) {
			continue
		}
		if runs[at].Kind == "sync" {
			return &runs[at], nil
		}
		// A plan keeps its decisions only if it was told to.
		d, err := c.decisions(ctx, r, &runs[at])
		if err != nil {
			return nil, err
		}
		if len(d.keys) > 0 {
			return &runs[at], nil
		}
	}
	return nil, nil
}

func whole(r state.Run) bool {
	return (r.Kind == "sync" && !r.PlannedAt.IsZero() || r.Kind == "plan") && reconcile.Whole(&r)
}

// decisions gives what a run that is over decided.
func (c *standings) decisions(ctx context.Context, r Reader, run *state.Run) (*decided, error) {
	if d := c.runs[run.ID]; d != nil {
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
	if c.runs == nil {
		c.runs = map[string]*decided{}
	}
	c.runs[run.ID] = d
	return d, nil
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
