package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// How far sources were read, and whom the runs until then left something to do for.

// mostAgain is how many people of a source are remembered to be looked at again; with
// more everybody is read.
const mostAgain = 2000

// reading is what a run noted of a source's mark, to be kept once the run has done its
// part.
type reading struct {
	from string // the store's mark until now
	next state.ReadMark
}

// noteRead notes from where a source that was read whole can be asked for what changed.
func (e *Engine) noteRead(ctx context.Context, g *gathered, s *identity.Snapshot, sum plan.SourceSummary, l *lease) error {
	if l == nil || e.o.FullRead[s.Source] <= 0 || !sum.Complete || s.Mark == "" {
		return nil
	}
	was, err := e.o.Store.ReadMark(ctx, s.Source)
	if err != nil {
		return fmt.Errorf("read how far source %s was read: %w", s.Source, err)
	}
	g.readings = append(g.readings, reading{from: was.Mark, next: state.ReadMark{
		Source: s.Source, Mark: s.Mark, FullAt: g.now, Rules: g.rules, Linked: sum.Linked, At: g.now,
	}})
	return nil
}

// keepReadings moves the marks of the sources past what this run has done, and notes
// whom it left something to do for: those are looked at again whether or not they
// change. due are those to whom a call may still be under way, or whose leaving has yet
// to last.
func (e *Engine) keepReadings(ctx context.Context, l *lease, g *gathered, rep *Report, due map[identity.Key]time.Time) error {
	if g.facts.SetBack {
		return nil // the next run reads everybody
	}
	left := map[string]map[string]bool{}
	note := func(k identity.Key) {
		if left[k.Source] == nil {
			left[k.Source] = map[string]bool{}
		}
		left[k.Source][k.Anchor] = true
	}
	for i := range rep.Plan.Decisions {
		d := &rep.Plan.Decisions[i]
		waits := d.Reason.Explain().Ender == plan.EndWait || d.Reason == plan.OnHold || waitsForOther(d) || d.Until != nil
		if len(d.Ops) > 0 || waits {
			note(d.Key)
		}
	}
	for k := range due {
		note(k)
	}
	for _, k := range g.undecided {
		note(k)
	}
	for i := range g.observations {
		if id := g.observations[i].Desired; id != nil && id.Active && id.RolesUnknown != "" {
			note(id.Key)
		}
	}
	for _, r := range g.readings {
		r.next.Again = slices.Sorted(maps.Keys(left[r.next.Source]))
		if len(r.next.Again) > mostAgain {
			r.next.Mark = ""
		}
		if err := e.o.Store.SetReadMark(ctx, l.current(), r.from, r.next); err != nil {
			return fmt.Errorf("note how far source %s was read: %w", r.next.Source, err)
		}
	}
	return nil
}
