package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mmsync/mmsync/internal/state"
)

// The clock is the database's, and clock_timestamp() rather than now(): it is
// read after any wait for the row's lock.

const acquireLease = `
insert into leases (name, holder, token, expires_at)
values ($1, $2, nextval('lease_tokens'), clock_timestamp() + $3::interval)
on conflict (name) do update set
    holder = excluded.holder, token = nextval('lease_tokens'), expires_at = clock_timestamp() + $3::interval
where leases.holder = excluded.holder or leases.expires_at <= clock_timestamp()
returning token, expires_at`

const selectHolder = `select holder, expires_at from leases where name = $1`

// AcquireLease implements state.Store.
func (s *Store) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (state.Lease, error) {
	if err := state.CheckLease(name, holder, ttl); err != nil {
		return state.Lease{}, fmt.Errorf("acquire lease: %w", err)
	}
	l := state.Lease{Name: name, Holder: holder}
	err := s.write(ctx, "acquire lease "+name, func(ctx context.Context, tx pgx.Tx) error {
		var expires instant
		err := tx.QueryRow(ctx, acquireLease, name, holder, ttl).Scan(&l.Token, &expires)
		l.Expires = expires.Time
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		var other string
		var until instant
		if err := tx.QueryRow(ctx, selectHolder, name).Scan(&other, &until); err != nil {
			return err
		}
		return fmt.Errorf("%s has it until %s: %w", other, until.Format(time.RFC3339), state.ErrHeld)
	})
	if err != nil {
		return state.Lease{}, err
	}
	return l, nil
}

const renewLease = `
update leases set expires_at = clock_timestamp() + $3::interval where name = $1 and token = $2
returning expires_at`

// RenewLease implements state.Store.
func (s *Store) RenewLease(ctx context.Context, l state.Lease, ttl time.Duration) (state.Lease, error) {
	if err := state.CheckLease(l.Name, l.Holder, ttl); err != nil {
		return state.Lease{}, fmt.Errorf("renew lease: %w", err)
	}
	err := s.write(ctx, "renew lease "+l.Name, func(ctx context.Context, tx pgx.Tx) error {
		var expires instant
		err := tx.QueryRow(ctx, renewLease, l.Name, l.Token, ttl).Scan(&expires)
		if errors.Is(err, pgx.ErrNoRows) {
			err = state.ErrFenced
		}
		l.Expires = expires.Time
		return err
	})
	if err != nil {
		return state.Lease{}, err
	}
	return l, nil
}

// The token moves on, so that a late write of the former holder is refused.
const releaseLease = `
update leases set holder = '', expires_at = clock_timestamp(), token = nextval('lease_tokens')
where name = $1 and token = $2`

// ReleaseLease implements state.Store.
func (s *Store) ReleaseLease(ctx context.Context, l state.Lease) error {
	return s.write(ctx, "release lease "+l.Name, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, releaseLease, l.Name, l.Token)
		return err
	})
}

const selectNow = `select clock_timestamp()`

const selectLease = `
select holder, token, expires_at from leases where name = $1 and expires_at > clock_timestamp() and holder <> ''`

// HeldLease implements state.Store.
func (s *Store) HeldLease(ctx context.Context, name string) (state.Lease, bool, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	l := state.Lease{Name: name}
	var until instant
	err := s.pool.QueryRow(ctx, selectLease, name).Scan(&l.Holder, &l.Token, &until)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return state.Lease{}, false, nil
	case err != nil:
		return state.Lease{}, false, s.fault(ctx, "read who has lease "+name, err)
	}
	l.Expires = until.Time
	return l, true, nil
}

// Now implements state.Store.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	var now instant
	if err := s.pool.QueryRow(ctx, selectNow).Scan(&now); err != nil {
		return time.Time{}, s.fault(ctx, "read the database's clock", err)
	}
	return now.Time, nil
}

// The row's lock keeps the lease from being taken until this transaction has
// ended; several writers of one holder do not wait for each other.
const fenceLease = `select token from leases where name = $1 and token = $2 for share`

// fence refuses unless l is current.
func fence(ctx context.Context, tx pgx.Tx, l state.Lease) error {
	return fenced(tx.QueryRow(ctx, fenceLease, l.Name, l.Token))
}

const selectToken = `select token from leases where name = $1 and token = $2`

// glance refuses like fence but locks nothing. Long writes begin with it and
// end with fence, so that renewing the lease does not wait for all of them.
func glance(ctx context.Context, tx pgx.Tx, l state.Lease) error {
	return fenced(tx.QueryRow(ctx, selectToken, l.Name, l.Token))
}

func fenced(row pgx.Row) error {
	var token int64
	err := row.Scan(&token)
	if errors.Is(err, pgx.ErrNoRows) {
		return state.ErrFenced
	}
	return err
}
