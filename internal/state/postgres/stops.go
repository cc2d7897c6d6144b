package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

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
		w.and("id = any($%d)", f.IDs)
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

func scanStop(row pgx.CollectableRow) (state.Stop, error) {
	var x state.Stop
	var made, expires, ended instant
	err := row.Scan(&x.ID, &x.Kind, &x.Key.Source, &x.Key.Anchor, &x.Reason, &x.MadeBy, &x.Run, &made, &expires, &ended, &x.EndedBy)
	x.MadeAt, x.Expires, x.EndedAt = made.Time, expires.Time, ended.Time
	return x, err
}

const insertStops = `
insert into stops (id, kind, source, anchor, reason, made_by, run_id, made_at, expires_at, ended_at, ended_by)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::text[])`

// PutStops implements state.Store.
func (s *Store) PutStops(ctx context.Context, stops []state.Stop) error {
	if err := state.CheckStops(stops); err != nil {
		return fmt.Errorf("put stops: %w", err)
	}
	var texts [8][]string
	var times [3][]*time.Time
	for _, x := range stops {
		for i, v := range []string{x.ID, string(x.Kind), x.Key.Source, x.Key.Anchor, x.Reason, x.MadeBy, x.Run, x.EndedBy} {
			texts[i] = append(texts[i], v)
		}
		for i, t := range []time.Time{x.MadeAt, x.Expires, x.EndedAt} {
			times[i] = append(times[i], stamp(t))
		}
	}
	err := s.write(ctx, "put stops", func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, insertStops, texts[0], texts[1], texts[2], texts[3], texts[4], texts[5], texts[6],
			times[0], times[1], times[2], texts[7])
		return err
	})
	if code(err) == codeUnique {
		return fmt.Errorf("%w: %w", state.ErrConflict, err)
	}
	return err
}

const countStops = `select count(*) from stops where id = any($1)`

const endStops = `
update stops set ended_at = $2, ended_by = $3
where ended_at is null and id = any($1)`

// EndStops implements state.Store.
func (s *Store) EndStops(ctx context.Context, ids []string, by string, at time.Time) error {
	if err := state.CheckEnd(ids, by, at); err != nil {
		return fmt.Errorf("end stops: %w", err)
	}
	if len(ids) == 0 {
		return nil
	}
	return s.write(ctx, "end stops", func(ctx context.Context, tx pgx.Tx) error {
		var n int
		if err := tx.QueryRow(ctx, countStops, ids).Scan(&n); err != nil {
			return err
		}
		if n < len(ids) {
			return state.ErrNotFound
		}
		_, err := tx.Exec(ctx, endStops, ids, stamp(at), by)
		return err
	})
}
