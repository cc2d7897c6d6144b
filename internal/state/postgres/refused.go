package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mmsync/mmsync/internal/state"
)

const selectRefused = `
select source, anchor, account_id, reason, made_by, made_at from refused_matches
order by source, anchor, account_id`

// RefusedMatches implements state.Store.
func (s *Store) RefusedMatches(ctx context.Context) ([]state.RefusedMatch, error) {
	return collect(ctx, s, "list refused matches", selectRefused, nil,
		func(row pgx.CollectableRow) (state.RefusedMatch, error) {
			var m state.RefusedMatch
			var made instant
			err := row.Scan(&m.Key.Source, &m.Key.Anchor, &m.AccountID, &m.Reason, &m.MadeBy, &made)
			m.MadeAt = made.Time
			return m, err
		})
}

const upsertRefused = `
insert into refused_matches (source, anchor, account_id, reason, made_by, made_at)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
on conflict (source, anchor, account_id) do update set
    reason = excluded.reason, made_by = excluded.made_by, made_at = excluded.made_at`

// RefuseMatches implements state.Store.
func (s *Store) RefuseMatches(ctx context.Context, l state.Lease, list []state.RefusedMatch) error {
	if err := state.CheckRefused(list); err != nil {
		return fmt.Errorf("refuse matches: %w", err)
	}
	sources, anchors, accounts := refusedColumns(list)
	var reasons, names []string
	var made []*time.Time
	for i := range list {
		m := &list[i]
		reasons, names, made = append(reasons, m.Reason), append(names, m.MadeBy), append(made, stamp(m.MadeAt))
	}
	return s.write(ctx, "refuse matches", func(ctx context.Context, tx pgx.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, upsertRefused, sources, anchors, accounts, reasons, names, made)
		return err
	})
}

const deleteRefused = `
delete from refused_matches
where (source, anchor, account_id) in (select * from unnest($1::text[], $2::text[], $3::text[]))`

// AllowMatches implements state.Store.
func (s *Store) AllowMatches(ctx context.Context, l state.Lease, list []state.RefusedMatch) error {
	if err := state.CheckRefused(list); err != nil {
		return fmt.Errorf("allow matches: %w", err)
	}
	sources, anchors, accounts := refusedColumns(list)
	return s.write(ctx, "allow matches", func(ctx context.Context, tx pgx.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, deleteRefused, sources, anchors, accounts)
		return err
	})
}

func refusedColumns(list []state.RefusedMatch) (sources, anchors, accounts []string) {
	for i := range list {
		m := &list[i]
		sources, anchors, accounts = append(sources, m.Key.Source), append(anchors, m.Key.Anchor), append(accounts, m.AccountID)
	}
	return sources, anchors, accounts
}
