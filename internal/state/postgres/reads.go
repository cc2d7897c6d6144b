package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

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
	return s.write(ctx, "record read of "+r.Source, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, insertRead, r.Source, stamp(r.At), r.Entries, r.Faults, r.Complete, r.Doubt,
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
	return collect(ctx, s, "list reads", selectReads, []any{source, since},
		func(row pgx.CollectableRow) (state.Read, error) {
			var r state.Read
			var at instant
			err := row.Scan(&r.Source, &at, &r.Entries, &r.Faults, &r.Complete, &r.Doubt, &r.Took)
			r.At = at.Time
			return r, err
		})
}

const upsertSightings = `
insert into sightings (source, anchor, missed_since, reads, last_read_at)
select * from unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[], $5::timestamptz[])
on conflict (source, anchor) do update set
    missed_since = excluded.missed_since, reads = excluded.reads, last_read_at = excluded.last_read_at`

const deleteSightings = `
delete from sightings where (source, anchor) in (select * from unnest($1::text[], $2::text[]))`

func putSightings(ctx context.Context, tx pgx.Tx, c state.SightingChanges) error {
	var sources, anchors []string
	var reads []int64
	var since, last []*time.Time
	for i := range c.Missed {
		m := &c.Missed[i]
		sources, anchors = append(sources, m.Key.Source), append(anchors, m.Key.Anchor)
		since, reads, last = append(since, stamp(m.Since)), append(reads, int64(m.Reads)), append(last, stamp(m.LastRead))
	}
	var b pgx.Batch
	b.Queue(upsertSightings, sources, anchors, since, reads, last)
	sources, anchors = columns(c.Seen)
	b.Queue(deleteSightings, sources, anchors)
	return tx.SendBatch(ctx, &b).Close()
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
		func(row pgx.CollectableRow) (state.Sighting, error) {
			var m state.Sighting
			var since, last instant
			err := row.Scan(&m.Key.Source, &m.Key.Anchor, &since, &m.Reads, &last)
			m.Since, m.LastRead = since.Time, last.Time
			return m, err
		})
}
