package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/state"
)

// The clock is the process's: all instances on one file share a machine. It is
// read inside the transaction, after any wait for the write lock.

const acquireLease = `
insert into leases (name, holder, token, expires_at)
values ($1, $2, (select coalesce(max(token), 0) + 1 from leases), $3)
on conflict (name) do update set
    holder = excluded.holder, token = excluded.token, expires_at = excluded.expires_at
where leases.holder = excluded.holder or leases.expires_at <= $4
returning token`

const selectHolder = `select holder, expires_at from leases where name = $1`

// AcquireLease implements state.Store.
func (s *Store) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (state.Lease, error) {
	if err := state.CheckLease(name, holder, ttl); err != nil {
		return state.Lease{}, fmt.Errorf("acquire lease: %w", err)
	}
	l := state.Lease{Name: name, Holder: holder}
	err := s.write(ctx, "acquire lease "+name, func(tx *sql.Tx) error {
		at := now()
		l.Expires = at.Add(ttl).Truncate(time.Microsecond)
		err := tx.QueryRowContext(ctx, acquireLease, name, holder, stamp(l.Expires), stamp(at)).Scan(&l.Token)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		var other string
		var until instant
		if err := tx.QueryRowContext(ctx, selectHolder, name).Scan(&other, &until); err != nil {
			return err
		}
		return fmt.Errorf("%s has it until %s: %w", other, until.Format(time.RFC3339), state.ErrHeld)
	})
	if err != nil {
		return state.Lease{}, err
	}
	return l, nil
}

const renewLease = `update leases set expires_at = $3 where name = $1 and token = $2`

// RenewLease implements state.Store.
func (s *Store) RenewLease(ctx context.Context, l state.Lease, ttl time.Duration) (state.Lease, error) {
	if err := state.CheckLease(l.Name, l.Holder, ttl); err != nil {
		return state.Lease{}, fmt.Errorf("renew lease: %w", err)
	}
	err := s.write(ctx, "renew lease "+l.Name, func(tx *sql.Tx) error {
		l.Expires = now().Add(ttl).Truncate(time.Microsecond)
		n, err := affected(tx.ExecContext(ctx, renewLease, l.Name, l.Token, stamp(l.Expires)))
		if err == nil && n == 0 {
			err = state.ErrFenced
		}
		return err
	})
	if err != nil {
		return state.Lease{}, err
	}
	return l, nil
}

// The token moves on, so that a late write of the former holder is refused.
const releaseLease = `
update leases set holder = '', expires_at = $3, token = (select max(token) + 1 from leases)
where name = $1 and token = $2`

// ReleaseLease implements state.Store.
func (s *Store) ReleaseLease(ctx context.Context, l state.Lease) error {
	return s.write(ctx, "release lease "+l.Name, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, releaseLease, l.Name, l.Token, stamp(now()))
		return err
	})
}

const selectLease = `select holder, token, expires_at from leases where name = $1 and expires_at > $2 and holder <> ''`

// HeldLease implements state.Store.
func (s *Store) HeldLease(ctx context.Context, name string) (state.Lease, bool, error) {
	l := state.Lease{Name: name}
	var until instant
	err := s.readers.QueryRowContext(ctx, selectLease, name, stamp(now())).Scan(&l.Holder, &l.Token, &until)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return state.Lease{}, false, nil
	case err != nil:
		return state.Lease{}, false, s.fault("read who has lease "+name, err)
	}
	l.Expires = until.Time
	return l, true, nil
}

// Now implements state.Store.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	return now(), ctx.Err()
}

const selectToken = `select count(*) from leases where name = $1 and token = $2`

// fence refuses unless l is current. The transaction holds the write lock, so
// nobody can take the lease before it ends.
func fence(ctx context.Context, tx *sql.Tx, l state.Lease) error {
	var n int
	if err := tx.QueryRowContext(ctx, selectToken, l.Name, l.Token).Scan(&n); err != nil {
		return err
	}
	if n == 0 {
		return state.ErrFenced
	}
	return nil
}

// affected gives the number of rows an Exec changed.
func affected(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}
