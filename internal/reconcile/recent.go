package reconcile

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// recentFor is how long a count of the journal is believed by pushes. Each would
// otherwise count all that a day's pushes before it did.
const recentFor = 2 * time.Second

// recent is what the journal shows of a source's window, as it was counted, and what
// was recorded since. Nobody else adds to the journal while this process has the
// lease.
type recent struct {
	token int64 // of that lease
	at    time.Time
	// first is when the first run was completed; marked tells whether that is marked.
	first  time.Time
	marked bool
	done   map[plan.Class]int
	since  state.Tally
}

// counts are those that the guards judge by. An account that both halves have counts
// twice for a moment, which is the careful side.
func (r *recent) counts() map[plan.Class]int {
	out := maps.Clone(r.done)
	for c, n := range r.since.Counts() {
		if r.first.IsZero() && firstMakes(c) {
			continue
		}
		out[c] += n
	}
	return out
}

// firstMakes tells the classes that count from the end of the first run on.
func firstMakes(c plan.Class) bool { return c == plan.Creates || c == plan.Updates }

// recent counts what was done of late for a source. pending.mu is held.
func (e *Engine) recent(ctx context.Context, g *gathered, source string) (*recent, error) {
	if r := e.pending.known(source); r != nil && g.pushed && r.token == g.token && time.Since(r.at) < recentFor {
		return r, nil
	}
	r := &recent{token: g.token, at: time.Now(), since: state.Tally{}}
	since := g.now.Add(-e.o.Limits.Window)
	var err error
	if r.done, err = e.o.Store.Usage(ctx, source, since); err != nil {
		return nil, fmt.Errorf("read what was done of late for source %s: %w", source, err)
	}
	if r.first, r.marked, err = e.first(ctx, source); err != nil {
		return nil, err
	}
	later := map[plan.Class]int{} // what was done after the first run
	switch {
	case r.first.IsZero():
	case r.first.Before(since):
		later = r.done
	default:
		if later, err = e.o.Store.Usage(ctx, source, r.first); err != nil {
			return nil, fmt.Errorf("read what was done of late for source %s: %w", source, err)
		}
	}
	for _, c := range []plan.Class{plan.Creates, plan.Updates} {
		r.done[c] = later[c]
	}
	if g.pushed {
		e.pending.know(source, r)
	}
	return r, nil
}

// known gives what was counted last for a source, nil if it has to be counted anew.
func (p *pending) known(source string) *recent {
	p.counting.Lock()
	defer p.counting.Unlock()
	return p.recent[source]
}

func (p *pending) know(source string, r *recent) {
	p.counting.Lock()
	defer p.counting.Unlock()
	if p.recent == nil {
		p.recent = map[string]*recent{}
	}
	p.recent[source] = r
}

// forget has a source counted anew, after something was recorded that no plan of this
// process had.
func (p *pending) forget(k identity.Key) {
	p.counting.Lock()
	defer p.counting.Unlock()
	delete(p.recent, k.Source)
}

// recorded counts an op that the journal shows as done from now on. mu is held for
// reading, so that nobody counts the journal at the same time.
func (p *pending) recorded(d *plan.Decision, o state.Outcome) {
	if d.Approval != "" || (o.Status != state.OpDone && o.Status != state.OpObserved) {
		return
	}
	p.counting.Lock()
	defer p.counting.Unlock()
	r := p.recent[d.Key.Source]
	if r == nil {
		return
	}
	for _, c := range plan.Classes(d, o.Ref.Op) {
		r.since.Add(string(c), o.AccountID)
	}
}
