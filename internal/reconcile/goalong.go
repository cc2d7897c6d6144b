package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// luggage is what operators said about somebody under an old id, and is to hold
// under the new one: what was stopped, and what was rejected. What was approved
// stays behind: nobody is changed by a word about another entry.
type luggage struct {
	stops []state.Stop // as they are to be
	ended map[identity.Key][]string
	said  []state.Verdict
	used  map[identity.Key][]state.ItemRef
}

// pack finds what goes along with the links that move. Whatever a run that was cut
// off put under the new id already is not put again.
func (w *ownership) pack(ctx context.Context, run string) (*luggage, error) {
	l := &luggage{ended: map[identity.Key][]string{}, used: map[identity.Key][]state.ItemRef{}}
	heirs := map[identity.Key]identity.Key{}
	for i := range w.steps {
		if s := &w.steps[i]; s.unlink && s.link != nil && s.link.Key != s.decision.Key {
			heirs[s.decision.Key] = s.link.Key
		}
	}
	if len(heirs) == 0 {
		return l, nil
	}
	all, err := w.e.o.Store.Stops(ctx, state.StopFilter{})
	if err != nil {
		return nil, fmt.Errorf("read what operators hold: %w", err)
	}
	open := slices.DeleteFunc(slices.Clone(all), func(s state.Stop) bool { return !s.EndedAt.IsZero() || s.Expired(w.now) })
	off := map[identity.Key]bool{}
	for _, s := range slices.Concat(open, w.agreed(all)) {
		heir, moves := heirs[s.Key]
		if !moves {
			continue
		}
		off[s.Key] = off[s.Key] || s.Kind == state.StopOff
		if s.EndedAt.IsZero() {
			l.ended[s.Key] = append(l.ended[s.Key], s.ID)
		}
		s.ID, s.Key, s.EndedAt, s.EndedBy = fmt.Sprintf("%s-%04d", run, len(l.stops)+1), heir, time.Time{}, ""
		if !slices.ContainsFunc(open, func(o state.Stop) bool {
			return o.Key == s.Key && o.Kind == s.Kind && o.Run == s.Run && o.Reason == s.Reason && o.MadeBy == s.MadeBy && o.MadeAt.Equal(s.MadeAt)
		}) {
			l.stops = append(l.stops, s)
		}
	}
	if err := w.packRejections(ctx, l, heirs); err != nil {
		return nil, err
	}
	for i := range w.steps {
		d := &w.steps[i].decision
		if off[d.Key] {
			d.Detail = strings.Replace(d.Detail, switchesOn, ", and it stays off, as an operator said", 1)
		}
		if off[d.Key] || len(l.ended[d.Key])+len(l.used[d.Key]) > 0 {
			d.Detail += "; what operators said about " + d.Key.String() + " goes along"
		}
	}
	return l, nil
}

// agreed gives the last switching off of each person that ended because the source
// lacked him. That he is there under another id says that it did not mean that.
func (w *ownership) agreed(all []state.Stop) []state.Stop {
	last := map[identity.Key]state.Stop{}
	for _, s := range all {
		if was, found := last[s.Key]; s.Kind == state.StopOff && (!found || s.MadeAt.After(was.MadeAt)) {
			last[s.Key] = s
		}
	}
	var out []state.Stop
	for k, s := range last {
		o := w.observation(k)
		if !s.EndedAt.IsZero() && s.EndedBy == bySource && (o == nil || o.Desired == nil) {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b state.Stop) int { return a.Key.Compare(b.Key) })
	return out
}

func (w *ownership) packRejections(ctx context.Context, l *luggage, heirs map[identity.Key]identity.Key) error {
	open, err := w.e.o.Store.Verdicts(ctx, state.VerdictFilter{Open: true})
	if err != nil {
		return fmt.Errorf("read what operators said: %w", err)
	}
	rejected := map[identity.Key]*state.VerdictItem{}
	for i := range open {
		for n := range open[i].Items {
			if it := &open[i].Items[n]; !open[i].Approves && it.UsedBy == "" {
				rejected[it.Key] = it
			}
		}
	}
	for i := range open {
		v := open[i]
		if v.Approves {
			continue
		}
		var items []state.VerdictItem
		for n, it := range v.Items {
			heir, moves := heirs[it.Key]
			if !moves || it.UsedBy != "" {
				continue
			}
			l.used[it.Key] = append(l.used[it.Key], state.ItemRef{Verdict: v.ID, Position: n})
			if own := rejected[heir]; own == nil {
				it.Key = heir
				items = append(items, it)
			} else if !slices.EqualFunc(own.Ops, it.Ops, plan.Op.Equal) && !slices.ContainsFunc(it.Ops, leaves) { // that he does not leave is what a new id says as well
				w.leave("what %s rejected for %s (%s) does not go along, because something else is rejected for %s; reject it again when a plan shows it", v.MadeBy, it.Username, it.Key, heir)
			}
		}
		if len(items) > 0 {
			v.ID, v.Items = token()[:8], items
			l.said = append(l.said, v)
		}
	}
	return nil
}

// bring puts everything under the new ids, before any link moves: a run that is cut
// off then leaves it under both.
func (l *luggage) bring(ctx context.Context, store state.Store) error {
	if err := store.PutStops(ctx, l.stops); err != nil {
		return fmt.Errorf("hold people under their new ids: %w", err)
	}
	for _, v := range l.said {
		if err := store.AddVerdict(ctx, v); err != nil {
			return fmt.Errorf("keep what was rejected under the new ids: %w", err)
		}
	}
	return nil
}

// leave ends what was said about an old id whose link has moved.
func (l *luggage) leave(ctx context.Context, store state.Store, lease state.Lease, run string, s *step) error {
	ids, used := l.ended[s.decision.Key], l.used[s.decision.Key]
	if len(ids)+len(used) == 0 {
		return nil
	}
	now, err := store.Now(ctx)
	if err != nil {
		return fmt.Errorf("read the store's clock: %w", err)
	}
	if err := store.EndStops(ctx, ids, "the move to "+s.link.Key.String(), now); err != nil {
		return fmt.Errorf("end what was held under an old id: %w", err)
	}
	if err := store.UseVerdicts(ctx, lease, run, used, nil, now); err != nil {
		return fmt.Errorf("end what was rejected under an old id: %w", err)
	}
	return nil
}
