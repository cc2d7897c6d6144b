package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

// Pruned counts what PruneAudit removed.
type Pruned struct {
	Batches, Rows int64
	Runs          int // of the journal
}

// PruneAudit removes the rows of batches that were sealed longer ago than the given
// time, but never the last batch's, and the runs of the journal that ended as long
// ago, but for those that something still hangs on.
func (e *Engine) PruneAudit(ctx context.Context, olderThan time.Duration, o RunOptions) (Pruned, error) {
	var out Pruned
	if e.o.Vault == nil {
		return out, errNoVault
	}
	l, err := e.takeLease(ctx)
	if err != nil {
		return out, err
	}
	defer l.release()
	c, err := history(l.ctx, e.o.Store, e.o.Vault, true)
	if err != nil {
		return out, err
	}
	run, err := e.newRun(l.ctx, "prune", o, l.current().Token)
	if err != nil {
		return out, err
	}
	before := run.StartedAt.Add(-olderThan)
	if err = e.pruneRows(l, c, before, run.StartedAt, &out); err == nil {
		err = e.pruneRuns(l, before, run.StartedAt, &out)
	}
	run.Message = fmt.Sprintf("removed %d rows in %d batches and %d runs of before %s", out.Rows, out.Batches, out.Runs, before.UTC().Format(time.RFC3339))
	return out, e.finish(ctx, &run, &Report{RunID: run.ID, Status: state.RunDone}, err)
}

func (e *Engine) pruneRows(l *lease, c chain, before, now time.Time, out *Pruned) error {
	old, err := e.o.Store.AuditBatches(l.ctx, state.BatchFilter{Until: before})
	if err != nil {
		return fmt.Errorf("list the batches of the history: %w", err)
	}
	handed, err := e.handedOver(l.ctx)
	if err != nil {
		return err
	}
	old = slices.DeleteFunc(old, func(b audit.Batch) bool { return !b.PrunedAt.IsZero() || b.ID == c.last.ID || handed[b.ID] })
	ids := make([]int64, len(old))
	for i := range old {
		ids[i] = old[i].ID
	}
	if err := e.unchanged(l.ctx, c.key, ids); err != nil {
		return err
	}
	var rows int64
	for i := range old {
		old[i] = c.key.Prune(old[i], now)
		rows += old[i].Rows
	}
	if err := e.o.Store.PruneAudit(l.ctx, l.current(), old); err != nil {
		return err
	}
	out.Batches, out.Rows = int64(len(old)), rows
	return nil
}

// handedOver gives the batches with which a key took over from another: without
// them nothing would tell a key that is missing from a forgery.
func (e *Engine) handedOver(ctx context.Context) (map[int64]bool, error) {
	rows, err := e.o.Store.AuditRows(ctx, state.RowFilter{Keys: []identity.Key{{}}})
	if err != nil {
		return nil, fmt.Errorf("read when keys took over: %w", err)
	}
	out := map[int64]bool{}
	for i := range rows {
		body, err := audit.ReadBody(rows[i])
		if err == nil && body.Keys != nil && body.Keys.From != "" {
			out[rows[i].Batch] = true
		}
	}
	return out, nil
}

// runsAtOnce is how many runs are removed in one transaction, between which the
// lease can be renewed.
const runsAtOnce = 200

// pruneRuns removes runs of the journal, but for what the guards still count, and
// what tells since when the configuration has been as it is.
func (e *Engine) pruneRuns(l *lease, before, now time.Time, out *Pruned) error {
	p := state.Pruning{Before: earlier(before, now.Add(-e.o.Limits.Window)), Limit: runsAtOnce}
	missed, err := e.longestMissed(l.ctx, now)
	if err != nil {
		return err
	}
	p.Before = earlier(p.Before, missed.Add(-changeSlack))
	var sources []string
	for _, s := range e.o.Sources {
		sources = append(sources, s.Name())
	}
	last, err := e.lastWhole(l.ctx, sources)
	if err != nil {
		return err
	}
	for _, s := range sources {
		if r := last[s]; r != nil && !slices.Contains(p.Keep, r.ID) {
			p.Keep = append(p.Keep, r.ID)
		}
	}
	for {
		n, err := e.o.Store.PruneRuns(l.ctx, l.current(), p)
		if out.Runs += n; err != nil || n < p.Limit {
			return err
		}
	}
}

// longestMissed tells since when somebody is missed whose account is on: whether he
// goes because the configuration changed is asked when his grace is over.
func (e *Engine) longestMissed(ctx context.Context, now time.Time) (time.Time, error) {
	on := map[identity.Key]bool{}
	err := e.o.Store.Heads(ctx, func(h state.LinkHead) error {
		if h.Active || !h.Observed {
			on[h.Key] = true
		}
		return nil
	})
	if err != nil {
		return now, fmt.Errorf("read links: %w", err)
	}
	for _, s := range e.o.Sources {
		missed, err := e.o.Store.Sightings(ctx, s.Name())
		if err != nil {
			return now, fmt.Errorf("read who is missing from source %s: %w", s.Name(), err)
		}
		for i := range missed {
			if on[missed[i].Key] {
				now = earlier(now, missed[i].Since)
			}
		}
	}
	return now, nil
}
