package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/state"
)

const selectStops = `
select id, kind, source, anchor, reason, made_by, run_id, made_at, expires_at, ended_at, ended_by
from stops`

// Stops implements state.Store.
func (s *Store) Stops(ctx context.Context, f state.StopFilter) ([]state.Stop, error) {
	if err := state.CheckStopFilter(f); err != nil {
		return nil, fmt.Errorf("list stops: %w", err)
	}
	var w where
	if len(f.IDs) > 0 {
		w.and("id in (select value from json_each($%d))", list(f.IDs))
	}
	if f.Kind != "" {
		w.and("kind = $%d", string(f.Kind))
	}
	if f.Open {
		w.and("ended_at is null")
	}
	if f.Run != "" {
		w.and("run_id = $%d", f.Run)
	}
	if !f.About.IsZero() {
		w.and("source in ('', $%d) and anchor in ('', $%d)", f.About.Source, f.About.Anchor)
	}
	return collect(ctx, s, "list stops", selectStops+w.String()+" order by id", w.args, scanStop)
}

func scanStop(rows *sql.Rows) (state.Stop, error) {
	var x state.Stop
	var made, expires, ended instant
	err := rows.Scan(&x.ID, &x.Kind, &x.Key.Source, &x.Key.Anchor, &x.Reason, &x.MadeBy, &x.Run, &made, &expires, &ended, &x.EndedBy)
	x.MadeAt, x.Expires, x.EndedAt = made.Time, expires.Time, ended.Time
	return x, err
}

const insertStop = `
insert into stops (id, kind, source, anchor, reason, made_by, run_id, made_at, expires_at, ended_at, ended_by)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`

// PutStops implements state.Store.
func (s *Store) PutStops(ctx context.Context, stops []state.Stop) error {
	if err := state.CheckStops(stops); err != nil {
		return fmt.Errorf("put stops: %w", err)
	}
	err := s.write(ctx, "put stops", func(tx *sql.Tx) error {
		return each(ctx, tx, insertStop, stops, func(x *state.Stop) ([]any, error) {
			return []any{
				x.ID, string(x.Kind), x.Key.Source, x.Key.Anchor, x.Reason, x.MadeBy, x.Run,
				stamp(x.MadeAt), stamp(x.Expires), stamp(x.EndedAt), x.EndedBy,
			}, nil
		})
	})
	if unique(err) {
		return fmt.Errorf("%w: %w", state.ErrConflict, err)
	}
	return err
}

const countStops = `select count(*) from stops where id in (select value from json_each($1))`

const endStops = `
update stops set ended_at = $2, ended_by = $3
where ended_at is null and id in (select value from json_each($1))`

// EndStops implements state.Store.
func (s *Store) EndStops(ctx context.Context, ids []string, by string, at time.Time) error {
	if err := state.CheckEnd(ids, by, at); err != nil {
		return fmt.Errorf("end stops: %w", err)
	}
	if len(ids) == 0 {
		return nil
	}
	return s.write(ctx, "end stops", func(tx *sql.Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, countStops, list(ids)).Scan(&n); err != nil {
			return err
		}
		if n < len(ids) {
			return state.ErrNotFound
		}
		_, err := tx.ExecContext(ctx, endStops, list(ids), stamp(at), by)
		return err
	})
}
