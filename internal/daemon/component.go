package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// component is one thing that is at work while mmsync serves.
type component struct {
	name string
	// run works until ctx ends, and then ends what it has begun.
	run func(ctx context.Context) error
	// silent is how long ago it went round; nil for one of which that is not known.
	silent func() time.Duration
}

// supervise has components at work until ctx ends or one of them fails. Then they are
// ended one after another, the last first, so that whoever takes something in is gone
// before whoever works on it; all of them together within timeout. ready is told when
// all have begun, stopping when the end begins.
func supervise(ctx context.Context, parts []component, timeout time.Duration, log *slog.Logger, ready, stopping func()) error {
	type working struct {
		name string
		stop context.CancelCauseFunc
		done chan struct{}
	}
	group, failed := errgroup.WithContext(ctx)
	list, names := make([]working, len(parts)), make([]string, len(parts))
	for i, p := range parts {
		own, stop := context.WithCancelCause(context.WithoutCancel(ctx))
		w := working{p.name, stop, make(chan struct{})}
		list[i], names[i] = w, p.name
		group.Go(func() error {
			defer close(w.done)
			err := p.run(own)
			switch {
			case err != nil:
				return fmt.Errorf("%s: %w", p.name, err)
			case own.Err() == nil:
				return fmt.Errorf("%s ended by itself", p.name)
			}
			return nil
		})
	}
	log.InfoContext(ctx, "serving", "parts", names)
	ready()
	<-failed.Done()
	stopping()
	cause := context.Canceled
	if ctx.Err() != nil {
		cause = context.Cause(ctx)
	}
	log.InfoContext(ctx, "stopping", "cause", cause, "within", timeout)
	late := time.NewTimer(timeout)
	defer late.Stop()
	for i, w := range slices.Backward(list) {
		w.stop(cause)
		began := time.Now()
		select {
		case <-w.done:
			log.InfoContext(ctx, "stopped", "part", w.name, "took", time.Since(began).Round(time.Millisecond))
		case <-late.C:
			for _, w := range list[:i] {
				w.stop(cause)
			}
			return &LateError{Parts: names[:i+1], After: timeout}
		}
	}
	return group.Wait()
}

// LateError says that parts were still at work when the time to end was over. What a
// call that was under way has done is not known; the next run looks.
type LateError struct {
	Parts []string
	After time.Duration
}

func (e *LateError) Error() string {
	return fmt.Sprintf("%s did not end within shutdown_timeout (%s); the next run looks what became of calls that were under way", strings.Join(e.Parts, ", "), e.After)
}

// ErrAnotherServe is wrapped when another process serves from the same SQLite file.
var ErrAnotherServe = errors.New("another mmsync serve")
