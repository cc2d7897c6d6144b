package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mmsync/mmsync/internal/state"
)

const insertBinding = `
insert into bindings (name, id, note, bound_at) values ($1, $2, $3, $4) on conflict do nothing`

const selectBinding = `select name, id, note, bound_at from bindings where name = $1`

// Bind implements state.Store.
func (s *Store) Bind(ctx context.Context, b state.Binding) (state.Binding, error) {
	if err := state.CheckBinding(b); err != nil {
		return state.Binding{}, fmt.Errorf("bind: %w", err)
	}
	var bound state.Binding
	err := s.write(ctx, "bind "+b.Name, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, insertBinding, b.Name, b.ID, b.Note, stamp(b.At)); err != nil {
			return err
		}
		var at instant
		err := tx.QueryRow(ctx, selectBinding, b.Name).Scan(&bound.Name, &bound.ID, &bound.Note, &at)
		bound.At = at.Time
		return err
	})
	if err != nil {
		return state.Binding{}, err
	}
	return bound, state.CheckBound(b, bound)
}

// Bound implements state.Store.
func (s *Store) Bound(ctx context.Context, name string) (state.Binding, error) {
	if err := state.CheckText("filter", name); err != nil {
		return state.Binding{}, fmt.Errorf("read binding: %w", err)
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	var b state.Binding
	var at instant
	err := s.pool.QueryRow(ctx, selectBinding, name).Scan(&b.Name, &b.ID, &b.Note, &at)
	if errors.Is(err, pgx.ErrNoRows) {
		return state.Binding{}, nil
	}
	if err != nil {
		return state.Binding{}, s.fault(ctx, "read binding "+name, err)
	}
	b.At = at.Time
	return b, nil
}

const deleteBinding = `delete from bindings where name = $1`

// Unbind implements state.Store.
func (s *Store) Unbind(ctx context.Context, l state.Lease, name string) error {
	if err := state.CheckText("filter", name); err != nil {
		return fmt.Errorf("unbind: %w", err)
	}
	return s.write(ctx, "unbind "+name, func(ctx context.Context, tx pgx.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, deleteBinding, name)
		return err
	})
}

const selectMark = `select name, value, server_date, set_at from marks where name = $1`

// Mark implements state.Store.
func (s *Store) Mark(ctx context.Context, name string) (state.Mark, error) {
	if err := state.CheckText("filter", name); err != nil {
		return state.Mark{}, fmt.Errorf("read mark: %w", err)
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	var m state.Mark
	var date, at instant
	err := s.pool.QueryRow(ctx, selectMark, name).Scan(&m.Name, &m.Value, &date, &at)
	if errors.Is(err, pgx.ErrNoRows) {
		return state.Mark{}, nil
	}
	if err != nil {
		return state.Mark{}, s.fault(ctx, "read mark "+name, err)
	}
	m.ServerDate, m.At = date.Time, at.Time
	return m, nil
}

const upsertMark = `
insert into marks (name, value, server_date, set_at) values ($1, $2, $3, $4)
on conflict (name) do update set
    value = excluded.value, server_date = excluded.server_date, set_at = excluded.set_at`

// SetMark implements state.Store.
func (s *Store) SetMark(ctx context.Context, l state.Lease, m state.Mark) error {
	if err := state.CheckMark(m); err != nil {
		return fmt.Errorf("set mark: %w", err)
	}
	return s.write(ctx, "set mark "+m.Name, func(ctx context.Context, tx pgx.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, upsertMark, m.Name, m.Value, stamp(m.ServerDate), stamp(m.At))
		return err
	})
}

const selectIndex = `
select id, username, email, auth_service, auth_data, active, bot, remote, admin, owner_id, seen_at
from account_index`

// Index implements state.Store.
func (s *Store) Index(ctx context.Context, f state.IndexFilter) ([]state.IndexedAccount, error) {
	if err := state.CheckIndexFilter(f); err != nil {
		return nil, fmt.Errorf("list indexed accounts: %w", err)
	}
	var w where
	if len(f.IDs) > 0 {
		w.and("id = any($%d)", f.IDs)
	}
	if len(f.Auth) > 0 {
		var services, data []string
		for _, a := range f.Auth {
			services, data = append(services, a.Service), append(data, a.Data)
		}
		w.and("(auth_service, auth_data) in (select * from unnest($%d::text[], $%d::text[]))", services, data)
	}
	return collect(ctx, s, "list indexed accounts", selectIndex+w.String()+" order by id", w.args,
		func(row pgx.CollectableRow) (state.IndexedAccount, error) {
			var a state.IndexedAccount
			var seen instant
			err := row.Scan(&a.ID, &a.Username, &a.Email, &a.Auth.Service, &a.Auth.Data, &a.Active, &a.Bot, &a.Remote,
				&a.Admin, &a.OwnerID, &seen)
			a.SeenAt = seen.Time
			return a, err
		})
}

const deleteIndex = `delete from account_index`

// ReplaceIndex implements state.Store.
func (s *Store) ReplaceIndex(ctx context.Context, l state.Lease, accounts []state.IndexedAccount) error {
	if err := state.CheckIndex(accounts); err != nil {
		return fmt.Errorf("replace account index: %w", err)
	}
	return s.write(ctx, "replace account index", func(ctx context.Context, tx pgx.Tx) error {
		if err := glance(ctx, tx, l); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, deleteIndex); err != nil {
			return err
		}
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"account_index"}, indexColumns(), pgx.CopyFromSlice(len(accounts), func(i int) ([]any, error) {
			a := &accounts[i]
			return []any{
				a.ID, a.Username, a.Email, a.Auth.Service, a.Auth.Data, a.Active, a.Bot, a.Remote, a.Admin, a.OwnerID,
				stamp(a.SeenAt),
			}, nil
		}))
		if err != nil {
			return err
		}
		return fence(ctx, tx, l)
	})
}

func indexColumns() []string {
	return []string{
		"id", "username", "email", "auth_service", "auth_data", "active", "bot", "remote", "admin", "owner_id", "seen_at",
	}
}

const selectProtected = `select id, pattern, protected_since from protected_accounts order by id`

// Protected implements state.Store.
func (s *Store) Protected(ctx context.Context) ([]state.ProtectedAccount, error) {
	return collect(ctx, s, "list protected accounts", selectProtected, nil,
		func(row pgx.CollectableRow) (state.ProtectedAccount, error) {
			var a state.ProtectedAccount
			var since instant
			err := row.Scan(&a.ID, &a.Pattern, &since)
			a.Since = since.Time
			return a, err
		})
}

const upsertProtected = `
insert into protected_accounts (id, pattern, protected_since)
select * from unnest($1::text[], $2::text[], $3::timestamptz[])
on conflict (id) do update set pattern = excluded.pattern`

// Protect implements state.Store.
func (s *Store) Protect(ctx context.Context, l state.Lease, accounts []state.ProtectedAccount) error {
	if err := state.CheckProtected(accounts); err != nil {
		return fmt.Errorf("protect accounts: %w", err)
	}
	var ids, patterns []string
	var since []*time.Time
	for _, a := range accounts {
		ids, patterns, since = append(ids, a.ID), append(patterns, a.Pattern), append(since, stamp(a.Since))
	}
	return s.write(ctx, "protect accounts", func(ctx context.Context, tx pgx.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, upsertProtected, ids, patterns, since)
		return err
	})
}
