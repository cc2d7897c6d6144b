package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mmsync/mmsync/internal/state"
)

const selectTold = `select sink, key, kind, severity, text, people, since_at, told_at from notices order by sink, key`

// Told implements state.ToldStore.
func (s *Store) Told(ctx context.Context) ([]state.Told, error) {
	return collect(ctx, s, "list what was told", selectTold, nil, scanTold)
}

func scanTold(row pgx.CollectableRow) (state.Told, error) {
	var t state.Told
	var since, at instant
	err := row.Scan(&t.Sink, &t.Key, &t.Kind, &t.Severity, &t.Text, &t.People, &since, &at)
	t.Since, t.At = since.Time, at.Time
	return t, err
}

const putTold = `
insert into notices (sink, key, kind, severity, text, people, since_at, told_at)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::timestamptz[], $8::timestamptz[])
on conflict (sink, key) do update set kind = excluded.kind, severity = excluded.severity, text = excluded.text,
    people = excluded.people, since_at = excluded.since_at, told_at = excluded.told_at`

const deleteTold = `
delete from notices where (sink, key) in (select * from unnest($1::text[], $2::text[]))`

// Tell implements state.ToldStore.
func (s *Store) Tell(ctx context.Context, l state.Lease, told, over []state.Told) error {
	if err := state.CheckTold(told, over); err != nil {
		return fmt.Errorf("note what was told: %w", err)
	}
	var gone [2][]string
	for _, t := range over {
		gone[0], gone[1] = append(gone[0], t.Sink), append(gone[1], t.Key)
	}
	var texts [5][]string
	var people []int
	var times [2][]*time.Time
	for _, t := range told {
		people = append(people, t.People)
		for i, v := range []string{t.Sink, t.Key, t.Kind, t.Severity, t.Text} {
			texts[i] = append(texts[i], v)
		}
		times[0], times[1] = append(times[0], stamp(t.Since)), append(times[1], stamp(t.At))
	}
	return s.write(ctx, "note what was told", func(ctx context.Context, tx pgx.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, deleteTold, gone[0], gone[1]); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, putTold, texts[0], texts[1], texts[2], texts[3], texts[4], people, times[0], times[1])
		return err
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
