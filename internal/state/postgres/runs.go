package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/mmsync/mmsync/internal/state"
)

// A row of a higher token stays as it is: its writer has been succeeded.
const upsertRun = `
insert into runs (id, kind, triggered_by, requested_by, reason, options, status, token, digest, policy,
    requested_at, started_at, planned_at, finished_at, counts, message, sources, target)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
on conflict (id) do update set
    kind = excluded.kind, triggered_by = excluded.triggered_by, requested_by = excluded.requested_by,
    reason = excluded.reason, options = excluded.options, status = excluded.status, token = excluded.token,
    digest = excluded.digest, policy = excluded.policy, requested_at = excluded.requested_at,
    started_at = excluded.started_at, planned_at = excluded.planned_at, finished_at = excluded.finished_at,
    counts = excluded.counts, message = excluded.message, sources = excluded.sources, target = excluded.target
where runs.token <= excluded.token`

const fenceAny = `select token from leases where token = $1 for share`

// SaveRun implements state.Store.
func (s *Store) SaveRun(ctx context.Context, r state.Run) error {
	if err := state.CheckRun(&r); err != nil {
		return fmt.Errorf("save run: %w", err)
	}
	return s.write(ctx, "save run "+r.ID, func(ctx context.Context, tx pgx.Tx) error {
		if r.Token != 0 {
			if err := fenced(tx.QueryRow(ctx, fenceAny, r.Token)); err != nil {
				return err
			}
		}
		return putRun(ctx, tx, &r)
	})
}

func putRun(ctx context.Context, tx pgx.Tx, r *state.Run) error {
	counts, err := state.Encode(r.Counts)
	if err != nil {
		return err
	}
	sources, err := state.Encode(r.Sources)
	if err != nil {
		return err
	}
	target, err := state.Encode(r.Target)
	if err != nil {
		return err
	}
	tag, err := tx.Exec(ctx, upsertRun,
		r.ID, r.Kind, r.Trigger, r.RequestedBy, r.Reason, r.Options, string(r.Status), r.Token, r.Digest, r.Policy,
		stamp(r.RequestedAt), stamp(r.StartedAt), stamp(r.PlannedAt), stamp(r.FinishedAt),
		counts, r.Message, sources, target)
	if err == nil && tag.RowsAffected() == 0 {
		err = state.ErrFenced
	}
	return err
}

const interruptRuns = `
update runs set status = 'interrupted', finished_at = clock_timestamp(),
    message = case when message = '' then $2 else message end
where status in ('requested', 'planning', 'applying') and token > 0 and token < $1
returning id`

// InterruptRuns implements state.Store.
func (s *Store) InterruptRuns(ctx context.Context, l state.Lease) ([]string, error) {
	var ids []string
	err := s.write(ctx, "interrupt runs", func(ctx context.Context, tx pgx.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, interruptRuns, l.Token, state.MessageInterrupted)
		if err != nil {
			return err
		}
		ids, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(ids)
	return ids, nil
}

const selectRuns = `
select id, kind, triggered_by, requested_by, reason, options, status, token, digest, policy,
    requested_at, started_at, planned_at, finished_at, counts, message, sources, target
from runs`

// Runs implements state.Store.
func (s *Store) Runs(ctx context.Context, f state.RunFilter) ([]state.Run, error) {
	if err := state.CheckText("filter", f.ID, f.Kind, f.NotKind, f.Before); err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	var w where
	if f.ID != "" {
		w.and("id >= $%d and id < $%d", f.ID, state.PrefixEnd(f.ID))
		w.and("(id = $%d or not exists (select 1 from runs exact where exact.id = $%d))", f.ID, f.ID)
	}
	if f.Kind != "" {
		w.and("kind = $%d", f.Kind)
	}
	if f.NotKind != "" {
		w.and("kind <> $%d", f.NotKind)
	}
	if f.Before != "" {
		w.and("id < $%d", f.Before)
	}
	if len(f.Statuses) > 0 {
		w.and("status = any($%d)", strs(f.Statuses))
	}
	if f.Plain {
		w.and("options = ''")
	}
	if !f.Since.IsZero() {
		w.and("requested_at >= $%d", stamp(f.Since))
	}
	query := selectRuns + w.String() + " order by id desc"
	if f.Limit > 0 {
		w.args = append(w.args, f.Limit)
		query += fmt.Sprintf(" limit $%d", len(w.args))
	}
	return collect(ctx, s, "list runs", query, w.args, scanRun)
}

func scanRun(row pgx.CollectableRow) (state.Run, error) {
	var r state.Run
	var requested, started, planned, finished instant
	var counts, sources, target []byte
	err := row.Scan(&r.ID, &r.Kind, &r.Trigger, &r.RequestedBy, &r.Reason, &r.Options, &r.Status, &r.Token,
		&r.Digest, &r.Policy, &requested, &started, &planned, &finished, &counts, &r.Message, &sources, &target)
	if err != nil {
		return r, err
	}
	r.RequestedAt, r.StartedAt, r.PlannedAt, r.FinishedAt = requested.Time, started.Time, planned.Time, finished.Time
	for _, p := range []struct {
		text []byte
		into any
	}{{counts, &r.Counts}, {sources, &r.Sources}, {target, &r.Target}} {
		if err := state.Decode(p.text, p.into); err != nil {
			return r, fmt.Errorf("run %s: %w", r.ID, err)
		}
	}
	return r, nil
}
