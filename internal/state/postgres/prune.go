package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/state"
)

const pruneBatch = `update audit_batches set pruned_at = $2, prune_mac = $3 where id = $1`

const deleteRows = `delete from audit_rows where batch = $1`

// PruneAudit implements state.AuditStore.
func (s *Store) PruneAudit(ctx context.Context, l state.Lease, batches []audit.Batch) error {
	if err := state.CheckPrune(batches); err != nil {
		return fmt.Errorf("prune the audit: %w", err)
	}
	return s.write(ctx, "prune the audit", func(ctx context.Context, tx pgx.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		for i := range batches {
			b := &batches[i]
			tag, err := tx.Exec(ctx, pruneBatch, b.ID, stamp(b.PrunedAt), bytesOf(b.PruneMAC))
			if err != nil {
				return err
			}
			if tag.RowsAffected() == 0 {
				return fmt.Errorf("batch %d: %w", b.ID, state.ErrNotFound)
			}
			if _, err := tx.Exec(ctx, deleteRows, b.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

const pruneRuns = `
delete from runs where id in (
    select r.id from runs r
    where r.finished_at < $1 and r.status not in ('requested', 'planning', 'applying')
        and (r.sealed_in is not null or r.kind in ('plan', 'sync'))
        and not exists (select 1 from ops o where o.run_id = r.id and (o.closed_at is null or o.sealed_in is null))
        and not exists (select 1 from held h where h.run_id = r.id)
        and not exists (select 1 from verdicts v where v.run_id = r.id and v.closed_at is null)
        and not exists (select 1 from stops s where s.run_id = r.id and s.ended_at is null)
        and r.id <> all($2::text[])
    order by r.id limit $3
)`

const pruneVerdicts = `delete from verdicts where closed_at < $1`

// PruneRuns implements state.AuditStore.
func (s *Store) PruneRuns(ctx context.Context, l state.Lease, p state.Pruning) (int, error) {
	if err := state.CheckPruning(p); err != nil {
		return 0, fmt.Errorf("prune the journal: %w", err)
	}
	var n int64
	err := s.write(ctx, "prune the journal", func(ctx context.Context, tx pgx.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, pruneVerdicts, stamp(p.Before)); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, pruneRuns, stamp(p.Before), strs(p.Keep), p.Limit)
		n = tag.RowsAffected()
		return err
	})
	return int(n), err
}
