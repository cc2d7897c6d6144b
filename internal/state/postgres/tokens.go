package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mmsync/mmsync/internal/state"
)

const selectTokens = `
select id, source, name, hash, scopes, networks, created_at, created_by, expires_at, revoked_at, used_at, used_from
from scim_tokens where $1 in ('', source)
order by source, created_at, id`

// Tokens implements state.TokenStore.
func (s *Store) Tokens(ctx context.Context, source string) ([]state.Token, error) {
	if err := state.CheckText("list tokens", source); err != nil {
		return nil, err
	}
	return collect(ctx, s, "list tokens", selectTokens, []any{source}, scanToken)
}

func scanToken(row pgx.CollectableRow) (state.Token, error) {
	var t state.Token
	var hash, scopes, networks []byte
	var created, expires, revoked, used instant
	err := row.Scan(&t.ID, &t.Source, &t.Name, &hash, &scopes, &networks, &created, &t.CreatedBy, &expires, &revoked, &used, &t.UsedFrom)
	t.CreatedAt, t.ExpiresAt, t.RevokedAt, t.UsedAt = created.Time, expires.Time, revoked.Time, used.Time
	copy(t.Hash[:], hash)
	return t, errors.Join(err, state.Decode(scopes, &t.Scopes), state.Decode(networks, &t.Networks))
}

const insertToken = `
insert into scim_tokens (id, source, name, hash, scopes, networks, created_at, created_by, expires_at, revoked_at, used_at, used_from)
values ($1, $2, $3, $4, $5, $6, coalesce($7, clock_timestamp()), $8, $9, $10, $11, $12)
on conflict (id) do nothing`

// CreateToken implements state.TokenStore.
func (s *Store) CreateToken(ctx context.Context, t state.Token) error {
	if err := state.CheckToken(t); err != nil {
		return fmt.Errorf("create token: %w", err)
	}
	scopes, err := state.Encode(t.Scopes)
	if err != nil {
		return err
	}
	networks, err := state.Encode(t.Networks)
	if err != nil {
		return err
	}
	err = s.write(ctx, "create token "+t.ID, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, insertToken, t.ID, t.Source, t.Name, t.Hash[:], scopes, networks, stamp(t.CreatedAt), t.CreatedBy,
			stamp(t.ExpiresAt), stamp(t.RevokedAt), stamp(t.UsedAt), t.UsedFrom)
		if err == nil && tag.RowsAffected() == 0 {
			err = fmt.Errorf("the id is in use: %w", state.ErrConflict)
		}
		return err
	})
	return nameTaken(err, t)
}

const updateToken = `update scim_tokens set expires_at = $2, revoked_at = $3 where id = $1`

// ChangeToken implements state.TokenStore.
func (s *Store) ChangeToken(ctx context.Context, t state.Token) error {
	if err := state.CheckText("change token", t.ID); err != nil {
		return err
	}
	err := s.write(ctx, "change token "+t.ID, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, updateToken, t.ID, stamp(t.ExpiresAt), stamp(t.RevokedAt))
		if err == nil && tag.RowsAffected() == 0 {
			err = state.ErrNotFound
		}
		return err
	})
	return nameTaken(err, t)
}

func nameTaken(err error, t state.Token) error {
	if code(err) == codeUnique {
		return fmt.Errorf("token %s: its name is in use: %w", t.ID, state.ErrTaken)
	}
	return err
}

const useToken = `
update scim_tokens set used_at = $2, used_from = $3 where id = $1 and (used_at is null or used_at <= $2)`

// UseToken implements state.TokenStore.
func (s *Store) UseToken(ctx context.Context, id, from string, at time.Time) error {
	if err := state.CheckText("note the use of a token", id, from); err != nil {
		return err
	}
	return s.write(ctx, "note the use of token "+id, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, useToken, id, stamp(at), from)
		return err
	})
}
