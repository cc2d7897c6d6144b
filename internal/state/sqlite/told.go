package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/state"
)

const selectTold = `select sink, key, kind, severity, text, people, since_at, told_at from notices order by sink, key`

// Told implements state.ToldStore.
func (s *Store) Told(ctx context.Context) ([]state.Told, error) {
	return collect(ctx, s, "list what was told", selectTold, nil, scanTold)
}

func scanTold(rows *sql.Rows) (state.Told, error) {
	var t state.Told
	var since, at instant
	err := rows.Scan(&t.Sink, &t.Key, &t.Kind, &t.Severity, &t.Text, &t.People, &since, &at)
	t.Since, t.At = since.Time, at.Time
	return t, err
}

const putTold = `
insert or replace into notices (sink, key, kind, severity, text, people, since_at, told_at)
values ($1, $2, $3, $4, $5, $6, $7, $8)`

const deleteTold = `delete from notices where sink = $1 and key = $2`

// Tell implements state.ToldStore.
func (s *Store) Tell(ctx context.Context, l state.Lease, told, over []state.Told) error {
	if err := state.CheckTold(told, over); err != nil {
		return fmt.Errorf("note what was told: %w", err)
	}
	return s.write(ctx, "note what was told", func(tx *sql.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		err := each(ctx, tx, deleteTold, over, func(t *state.Told) ([]any, error) { return []any{t.Sink, t.Key}, nil })
		if err != nil {
			return err
		}
		return each(ctx, tx, putTold, told, func(t *state.Told) ([]any, error) {
			return []any{t.Sink, t.Key, t.Kind, t.Severity, t.Text, t.People, stamp(t.Since), stamp(t.At)}, nil
		})
	})
}

const dueWaiting = `
where since_at <= $1 and reason <> '` + state.DueApplied + `'
order by is_leaver desc, since_at, source, anchor`

// Waiting implements state.ToldStore.
func (s *Store) Waiting(ctx context.Context, before time.Time, limit int) ([]state.Due, error) {
	query, args := selectDue+dueWaiting, []any{stamp(before)}
	if limit > 0 {
		query, args = query+" limit $2", append(args, limit)
	}
	return collect(ctx, s, "list who waits", query, args, scanDue)
}
