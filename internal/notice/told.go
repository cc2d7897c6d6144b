package notice

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/mmsync/mmsync/internal/state"
)

// noted gives what is kept of a notice once it was sent to a sink. told is what the sink
// was told before.
func (n Notice) noted(sink string, told []state.Told) []state.Told {
	list := n.covers
	if len(list) == 0 {
		list = []Notice{n}
	}
	out := make([]state.Told, len(list))
	for i, c := range list {
		out[i] = state.Told{Sink: sink, Key: c.Key, Kind: string(c.Kind), Severity: string(c.Severity), Text: c.Text, People: c.Count, Since: n.At, At: n.At}
		if at := slices.IndexFunc(told, func(o state.Told) bool { return o.Key == c.Key }); at >= 0 {
			out[i].Since = told[at].Since
		}
	}
	return out
}

// onceFor is how long it is kept that something was told once. It is found for leftTold at
// most after it happened, by a clock that need not be the store's.
const onceFor = 2 * leftTold

// forget takes away what a receiver was told once, long ago. Not what is not found just
// now: an account that could not be read for a moment would be told of twice.
func (t *Teller) forget(ctx context.Context, r *Receiver, b batch, told []state.Told) error {
	var old []state.Told
	for _, x := range told {
		if Kind(x.Kind).once() && b.snapshot.Now.Sub(x.At) > onceFor {
			old = append(old, x)
		}
	}
	if len(old) == 0 || !t.ours() {
		return nil
	}
	if err := t.o.Ledger.Tell(ctx, b.lease, nil, old); err != nil && !errors.Is(err, state.ErrFenced) {
		return fmt.Errorf("forget what %s was told: %w", r.Name, err)
	}
	return nil
}
