package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// What a hold means for whose account is whose. No account is written to when a link
// changes; but the first run after the hold goes by it, and whoever said that nothing
// is to change does not expect that. Only giving an account up is always allowed: what
// mmsync does not own it leaves alone.

// unheld refuses to go on while an operator holds one of the people. A Key without an
// anchor stands for its source: holds of single people do not count then.
func (e *Engine) unheld(ctx context.Context, keys ...identity.Key) error {
	s, err := e.stopsNow(ctx)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if w := s.hold(k); w != nil {
			return fmt.Errorf("%w: %s: whose account is whose does not change while a hold is in force, except by mmsync link release; to go on: mmsync hold release %s --reason …", ErrRefused, holder(k, w), w.ID)
		}
	}
	return nil
}

func (e *Engine) stopsNow(ctx context.Context) (*stops, error) {
	now, err := e.o.Store.Now(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the store's clock: %w", err)
	}
	g := &gathered{now: now}
	if err := e.readStops(ctx, g, nil, true); err != nil {
		return nil, err
	}
	return &g.stops, nil
}

// holder says who is held, if that is one person, and by whom.
func holder(k identity.Key, w *plan.Word) string {
	if w.About != "held" {
		return w.Sentence()
	}
	return k.String() + " is " + w.Sentence()
}

// withoutHeld gives the matches that no hold is in the way of, and of the others a
// sentence for each hold.
func (e *Engine) withoutHeld(ctx context.Context, list []plan.Decision) ([]plan.Decision, []string, error) {
	s, err := e.stopsNow(ctx)
	if err != nil {
		return nil, nil, err
	}
	held := map[string][]string{} // by what is said of the hold
	list = slices.DeleteFunc(list, func(d plan.Decision) bool {
		w := s.hold(d.Key)
		if w != nil {
			said := w.Sentence() + "; to go on: mmsync hold release " + w.ID + " --reason …"
			held[said] = append(held[said], d.Key.String())
		}
		return w != nil
	})
	var problems []string
	for said, keys := range held {
		problems = append(problems, fmt.Sprintf("not linked: %s: %s", some(keys), said))
	}
	slices.Sort(problems)
	return list, problems, nil
}

// some names a few of many.
func some(names []string) string {
	const most = 10
	text := strings.Join(names[:min(most, len(names))], ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
