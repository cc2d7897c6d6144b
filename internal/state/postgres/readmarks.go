package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/mmsync/mmsync/internal/state"
)

const selectReadMark = `
select source, mark, full_at, rules, linked, again, set_at from read_marks where source = $1`

// ReadMark implements state.Store.
func (s *Store) ReadMark(ctx context.Context, source string) (state.ReadMark, error) {
	if err := state.CheckText("filter", source); err != nil {
		return state.ReadMark{}, fmt.Errorf("read the mark of a source: %w", err)
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	var m state.ReadMark
	var full, at instant
	var rules, again []byte
	err := s.pool.QueryRow(ctx, selectReadMark, source).Scan(&m.Source, &m.Mark, &full, &rules, &m.Linked, &again, &at)
	if errors.Is(err, pgx.ErrNoRows) {
		return state.ReadMark{}, nil
	}
	if err != nil {
		return state.ReadMark{}, s.fault(ctx, "read the mark of source "+source, err)
	}
	copy(m.Rules[:], rules)
	m.FullAt, m.At = full.Time, at.Time
	if len(again) == 0 {
		return m, nil
	}
	if err := state.Decode(again, &m.Again); err != nil {
		return state.ReadMark{}, fmt.Errorf("read the mark of source %s: %w", source, err)
	}
	return m, nil
}

const lockReadMark = `select mark from read_marks where source = $1 for update`

const upsertReadMark = `
insert into read_marks (source, mark, full_at, rules, linked, again, set_at) values ($1, $2, $3, $4, $5, $6, $7)
on conflict (source) do update set
    mark = excluded.mark, full_at = excluded.full_at, rules = excluded.rules, linked = excluded.linked,
    again = excluded.again, set_at = excluded.set_at`

const deleteReadMark = `delete from read_marks where source = $1`

// SetReadMark implements state.Store.
func (s *Store) SetReadMark(ctx context.Context, l state.Lease, from string, m state.ReadMark) error {
	if err := state.CheckReadMark(m); err != nil {
		return fmt.Errorf("set the mark of a source: %w", err)
	}
	again, err := nullable(m.Again, len(m.Again) == 0)
	if err != nil {
		return fmt.Errorf("set the mark of source %s: %w", m.Source, err)
	}
	return s.write(ctx, "set the mark of source "+m.Source, func(ctx context.Context, tx pgx.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		was := ""
		if err := tx.QueryRow(ctx, lockReadMark, m.Source).Scan(&was); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if was != from {
			return fmt.Errorf("it was moved meanwhile: %w", state.ErrConflict)
		}
		if m.Mark == "" {
			_, err := tx.Exec(ctx, deleteReadMark, m.Source)
			return err
		}
		_, err := tx.Exec(ctx, upsertReadMark, m.Source, m.Mark, stamp(m.FullAt), m.Rules[:], m.Linked, again, stamp(m.At))
		return err
	})
}
