package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

// setBack tells whether an account of the sample is older than mmsync's own last
// write to it, or is not there although it was when last looked for: no server
// forgets that by itself. What the server's memory says is not enough for that.
func (p *pass) setBack(ctx context.Context, sample []int) (bool, error) {
	suspect := func(i int) bool {
		h := &p.g.roster.heads[i]
		a := p.v.byID[h.account]
		if a == nil {
			return h.seen
		}
		// A write from the future was dated by a clock that has been put right since.
		// A save by somebody else can be stamped a moment before ours and stored after.
		return a.UpdateAt < h.written/1000-dateSlack.Milliseconds() && !p.future(h.written)
	}
	var which []int
	for _, i := range sample {
		if suspect(i) {
			which = append(which, i)
		}
	}
	if len(which) == 0 {
		return false, nil
	}
	if err := p.e.load(ctx, p.g, p.v, which); err != nil {
		return false, err
	}
	var links []*identity.Link
	for _, i := range which {
		if k := p.g.links[p.g.roster.key(i)]; k != nil {
			links = append(links, k)
		}
	}
	if err := p.e.askDatabase(ctx, p.v, links); err != nil {
		return false, err
	}
	return slices.ContainsFunc(which, suspect), nil
}

// future tells whether a write, in microseconds, lies ahead of the server's clock.
func (p *pass) future(written int64) bool {
	return !p.began.IsZero() && time.UnixMicro(written).After(p.began.Add(dateSlack))
}

// setBackMark names the moment at which a server was found set back, until a run
// that knew it has come to its end.
const setBackMark = "set back"

// setBackPending notes that the server was found set back, or recalls that an
// earlier run found it and did not come to its end.
func (e *Engine) setBackPending(ctx context.Context, l *lease, found bool) (bool, error) {
	mark, err := e.o.Store.Mark(ctx, setBackMark)
	if err != nil {
		return found, fmt.Errorf("read whether the server was set back: %w", err)
	}
	if !found || l == nil || !mark.At.IsZero() {
		return found || !mark.At.IsZero(), nil
	}
	return true, e.markSetBack(ctx, l, true)
}

func (e *Engine) markSetBack(ctx context.Context, l *lease, on bool) error {
	mark := state.Mark{Name: setBackMark}
	if on {
		var err error
		if mark.At, err = e.o.Store.Now(ctx); err != nil {
			return fmt.Errorf("read the store's clock: %w", err)
		}
	}
	if err := e.o.Store.SetMark(ctx, l.current(), mark); err != nil {
		return fmt.Errorf("note whether the server was set back: %w", err)
	}
	return nil
}
