package main

import (
	"context"
	"errors"
	"time"

	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

// syncWaiting runs sync, and while another run holds the lease tries again for
// as long as the user is willing to wait. A run that was killed keeps its lease
// for a few seconds, so the default outlasts it.
func (a *app) syncWaiting(ctx context.Context, e *reconcile.Engine, o reconcile.RunOptions, wait time.Duration) (reconcile.Report, error) {
	until := time.Now().Add(wait)
	for {
		rep, err := e.Sync(ctx, o)
		if !errors.Is(err, state.ErrHeld) || time.Now().After(until) {
			return rep, err
		}
		select {
		case <-ctx.Done():
			return rep, ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
}
