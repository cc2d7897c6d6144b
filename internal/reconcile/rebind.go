package reconcile

import (
	"context"
	"fmt"

	"github.com/mmsync/mmsync/internal/state"
)

// Rebind lets the store be used with another server or directory than it was
// made with: name is "mattermost", or "source/" and a source's name. What the
// next sync meets under that name is then bound. The links stay; it is for the
// operator to know that they still mean the same people. It is recorded as a
// run.
func (e *Engine) Rebind(ctx context.Context, name string, o RunOptions) (state.Binding, error) {
	l, err := e.takeLease(ctx)
	if err != nil {
		return state.Binding{}, err
	}
	defer l.release()
	was, err := e.o.Store.Bound(l.ctx, name)
	if err != nil {
		return was, fmt.Errorf("read what is bound: %w", err)
	}
	if was.ID == "" {
		return was, fmt.Errorf("%w: nothing is bound as %s", ErrRefused, name)
	}
	if err := e.known(l.ctx); err != nil {
		return was, err
	}
	run, err := e.newRun(l.ctx, "rebind", o, l.current().Token)
	if err != nil {
		return was, err
	}
	err = e.o.Store.Unbind(l.ctx, l.current(), name)
	run.Message = fmt.Sprintf("released %s from %q (%s)", name, was.ID, was.Note)
	return was, e.finish(ctx, &run, &Report{RunID: run.ID, Status: state.RunDone}, err)
}
