package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/mmsync/mmsync/internal/state"
)

const selectRefused = `
select source, anchor, account_id, reason, made_by, made_at from refused_matches
order by source, anchor, account_id`

// RefusedMatches implements state.Store.
func (s *Store) RefusedMatches(ctx context.Context) ([]state.RefusedMatch, error) {
	return collect(ctx, s, "list refused matches", selectRefused, nil,
		func(rows *sql.Rows) (state.RefusedMatch, error) {
			var m state.RefusedMatch
			var made instant
			err := rows.Scan(&m.Key.Source, &m.Key.Anchor, &m.AccountID, &m.Reason, &m.MadeBy, &made)
			m.MadeAt = made.Time
			return m, err
		})
}

const upsertRefused = `
insert into refused_matches (source, anchor, account_id, reason, made_by, made_at) values ($1, $2, $3, $4, $5, $6)
on conflict (source, anchor, account_id) do update set
    reason = excluded.reason, made_by = excluded.made_by, made_at = excluded.made_at`

// RefuseMatches implements state.Store.
func (s *Store) RefuseMatches(ctx context.Context, l state.Lease, list []state.RefusedMatch) error {
	if err := state.CheckRefused(list); err != nil {
		return fmt.Errorf("refuse matches: %w", err)
	}
	return s.write(ctx, "refuse matches", func(tx *sql.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		return each(ctx, tx, upsertRefused, list, func(m *state.RefusedMatch) ([]any, error) {
			return []any{m.Key.Source, m.Key.Anchor, m.AccountID, m.Reason, m.MadeBy, stamp(m.MadeAt)}, nil
		})
	})
}

const deleteRefused = `delete from refused_matches where source = $1 and anchor = $2 and account_id = $3`

// AllowMatches implements state.Store.
func (s *Store) AllowMatches(ctx context.Context, l state.Lease, list []state.RefusedMatch) error {
	if err := state.CheckRefused(list); err != nil {
		return fmt.Errorf("allow matches: %w", err)
	}
	return s.write(ctx, "allow matches", func(tx *sql.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		return each(ctx, tx, deleteRefused, list, func(m *state.RefusedMatch) ([]any, error) {
			return []any{m.Key.Source, m.Key.Anchor, m.AccountID}, nil
		})
	})
}
