package main

import (
	"context"
	"errors"
	"time"

	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

// waiting makes a run, and while another one holds the lease tries again for as
// long as the user is willing to wait. A run that was killed keeps its lease for
// a few seconds, so the default outlasts it.
func waiting(ctx context.Context, run func() (reconcile.Report, error), wait time.Duration) (reconcile.Report, error) {
	until := time.Now().Add(wait)
	for {
		rep, err := run()
		if !errors.Is(err, state.ErrHeld) || time.Now().After(until) {
			return rep, err
		}
		select {
		case <-ctx.Done():
			return rep, ctx.Err()
		case <-time.After(reconcile.TryLease):
		}
	}
}
