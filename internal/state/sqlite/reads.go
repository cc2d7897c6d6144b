package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

const insertRead = `
insert into reads (source, read_at, entries, faults, complete, doubt, took_ns)
values ($1, $2, $3, $4, $5, $6, $7)`

// RecordRead implements state.Store.
func (s *Store) RecordRead(ctx context.Context, r state.Read) error {
	if err := state.CheckRead(r); err != nil {
		return fmt.Errorf("record read: %w", err)
	}
	return s.write(ctx, "record read of "+r.Source, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, insertRead, r.Source, stamp(r.At), r.Entries, r.Faults, r.Complete, r.Doubt,
			r.Took.Nanoseconds())
		return err
	})
}

const selectReads = `
select source, read_at, entries, faults, complete, doubt, took_ns
from reads where source = $1 and read_at >= $2 order by read_at desc, id desc`

// Reads implements state.Store.
func (s *Store) Reads(ctx context.Context, source string, since time.Time) ([]state.Read, error) {
	if err := state.CheckText("filter", source); err != nil {
		return nil, fmt.Errorf("list reads: %w", err)
	}
	return collect(ctx, s, "list reads", selectReads, []any{source, since.UnixMicro()},
		func(rows *sql.Rows) (state.Read, error) {
			var r state.Read
			var at instant
			err := rows.Scan(&r.Source, &at, &r.Entries, &r.Faults, &r.Complete, &r.Doubt, &r.Took)
			r.At = at.Time
			return r, err
		})
}

const upsertSighting = `
insert into sightings (source, anchor, missed_since, reads, last_read_at) values ($1, $2, $3, $4, $5)
on conflict (source, anchor) do update set
    missed_since = excluded.missed_since, reads = excluded.reads, last_read_at = excluded.last_read_at`

const deleteSighting = `delete from sightings where source = $1 and anchor = $2`

func putSightings(ctx context.Context, tx *sql.Tx, c state.SightingChanges) error {
	err := each(ctx, tx, upsertSighting, c.Missed, func(m *state.Sighting) ([]any, error) {
		return []any{m.Key.Source, m.Key.Anchor, stamp(m.Since), m.Reads, stamp(m.LastRead)}, nil
	})
	if err != nil {
		return err
	}
	return each(ctx, tx, deleteSighting, c.Seen, func(k *identity.Key) ([]any, error) {
		return []any{k.Source, k.Anchor}, nil
	})
}

const selectSightings = `
select source, anchor, missed_since, reads, last_read_at
from sightings where source = $1 order by anchor`

// Sightings implements state.Store.
func (s *Store) Sightings(ctx context.Context, source string) ([]state.Sighting, error) {
	if err := state.CheckText("filter", source); err != nil {
		return nil, fmt.Errorf("list sightings: %w", err)
	}
	return collect(ctx, s, "list sightings", selectSightings, []any{source},
		func(rows *sql.Rows) (state.Sighting, error) {
			var m state.Sighting
			var since, last instant
			err := rows.Scan(&m.Key.Source, &m.Key.Anchor, &since, &m.Reads, &last)
			m.Since, m.LastRead = since.Time, last.Time
			return m, err
		})
}
