package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/state"
)

// PruneAudit removes the rows of batches that were sealed longer ago than the given
// time, but never the last batch's, and gives how many batches and rows that were.
func (e *Engine) PruneAudit(ctx context.Context, olderThan time.Duration, o RunOptions) (batches, rows int64, err error) {
	if e.o.Vault == nil {
		return 0, 0, errNoVault
	}
	l, err := e.takeLease(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer l.release()
	c, err := history(l.ctx, e.o.Store, e.o.Vault, true)
	if err != nil {
		return 0, 0, err
	}
	run, err := e.newRun(l.ctx, "prune", o, l.current().Token)
	if err != nil {
		return 0, 0, err
	}
	old, err := e.o.Store.AuditBatches(l.ctx, state.BatchFilter{Until: run.StartedAt.Add(-olderThan)})
	if err == nil {
		old = slices.DeleteFunc(old, func(b audit.Batch) bool { return !b.PrunedAt.IsZero() || b.ID == c.last.ID })
		ids := make([]int64, len(old))
		for i := range old {
			ids[i] = old[i].ID
		}
		err = e.unchanged(l.ctx, c.key, ids)
	}
	if err == nil {
		for i := range old {
			old[i] = c.key.Prune(old[i], run.StartedAt)
			rows += old[i].Rows
		}
		err = e.o.Store.PruneAudit(l.ctx, l.current(), old)
	}
	run.Message = fmt.Sprintf("removed %d rows in %d batches sealed before %s", rows, len(old), run.StartedAt.Add(-olderThan).UTC().Format(time.RFC3339))
	return int64(len(old)), rows, e.finish(ctx, &run, &Report{RunID: run.ID, Status: state.RunDone}, err)
}
