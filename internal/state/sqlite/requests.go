package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/state"
)

const requestColumns = `id, policy, asked, asked_at, expires_at, token, run_id, closed_at, outcome`

const fileRequest = `
insert into run_requests (id, policy, asked, asked_at, expires_at, token, run_id, outcome)
values ($1, $2, $3, $4, $5, 0, '', '')`

// FileRequest implements state.RequestStore.
func (s *Store) FileRequest(ctx context.Context, r state.Request, ttl time.Duration) error {
	if err := state.CheckRequest(r, ttl); err != nil {
		return fmt.Errorf("ask for a run: %w", err)
	}
	return s.write(ctx, "ask for a run", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, fileRequest, r.ID, r.Policy, r.Asked, stamp(now()), stamp(now().Add(ttl)))
		if unique(err) {
			return fmt.Errorf("request %s is there already: %w", r.ID, state.ErrConflict)
		}
		return err
	})
}

const renewRequest = `
update run_requests set expires_at = $2 where id = $1
returning ` + requestColumns

// RenewRequest implements state.RequestStore.
func (s *Store) RenewRequest(ctx context.Context, id string, ttl time.Duration) (r state.Request, err error) {
	if err := state.CheckRequest(state.Request{ID: id}, ttl); err != nil {
		return r, fmt.Errorf("renew request %s: %w", id, err)
	}
	err = s.write(ctx, "renew request "+id, func(tx *sql.Tx) error {
		ok := false
		r, ok, err = one(tx.QueryRowContext(ctx, renewRequest, id, stamp(now().Add(ttl))))
		if err == nil && !ok {
			err = state.ErrNotFound
		}
		return err
	})
	return r, err
}

const nextRequest = `
select ` + requestColumns + ` from run_requests
where policy = $1 and token = 0 and expires_at > $2 order by id limit 1`

// NextRequest implements state.RequestStore.
func (s *Store) NextRequest(ctx context.Context, policy string) (state.Request, bool, error) {
	if err := state.CheckText("policy", policy); err != nil {
		return state.Request{}, false, fmt.Errorf("look for a request: %w", err)
	}
	r, ok, err := one(s.readers.QueryRowContext(ctx, nextRequest, policy, stamp(now())))
	if err != nil {
		return r, false, s.fault("look for a request", err)
	}
	return r, ok, nil
}

const takeRequest = `
update run_requests set token = $2, run_id = $3 where id = $1 and token = 0 and expires_at > $4
returning ` + requestColumns

// TakeRequest implements state.RequestStore.
func (s *Store) TakeRequest(ctx context.Context, l state.Lease, id, run string) (r state.Request, ok bool, err error) {
	if err := state.CheckText("request", id, run); err != nil {
		return r, false, fmt.Errorf("take a request: %w", err)
	}
	err = s.write(ctx, "take request "+id, func(tx *sql.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		r, ok, err = one(tx.QueryRowContext(ctx, takeRequest, id, l.Token, run, stamp(now())))
		return err
	})
	return r, ok && err == nil, err
}

const closeRequest = `
update run_requests set closed_at = $3, outcome = $4 where id = $1 and token = $2 and token > 0 and closed_at is null`

const hasRequest = `select exists (select 1 from run_requests where id = $1)`

// CloseRequest implements state.RequestStore.
func (s *Store) CloseRequest(ctx context.Context, id string, token int64, outcome string) error {
	if err := state.CheckText("request", id, outcome); err != nil {
		return fmt.Errorf("close a request: %w", err)
	}
	return s.write(ctx, "close request "+id, func(tx *sql.Tx) error {
		n, err := affected(tx.ExecContext(ctx, closeRequest, id, token, stamp(now()), outcome))
		if err != nil || n > 0 {
			return err
		}
		var there bool
		if err := tx.QueryRowContext(ctx, hasRequest, id).Scan(&there); err != nil {
			return err
		}
		if !there {
			return state.ErrNotFound
		}
		return state.ErrConflict
	})
}

const dropRequest = `delete from run_requests where id = $1 and (token = 0 or closed_at is not null)`

// DropRequest implements state.RequestStore.
func (s *Store) DropRequest(ctx context.Context, id string) (taken bool, err error) {
	if err := state.CheckText("request", id); err != nil {
		return false, fmt.Errorf("drop a request: %w", err)
	}
	err = s.write(ctx, "drop request "+id, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, dropRequest, id); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, hasRequest, id).Scan(&taken)
	})
	return taken, err
}

const forgetRequests = `delete from run_requests where expires_at < $1`

// ForgetRequests implements state.RequestStore.
func (s *Store) ForgetRequests(ctx context.Context, l state.Lease, before time.Time) error {
	return s.write(ctx, "forget old requests", func(tx *sql.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, forgetRequests, stamp(before))
		return err
	})
}

// one scans the request that a statement gives, if it gives one.
func one(row *sql.Row) (r state.Request, ok bool, err error) {
	var asked, expires, closed instant
	err = row.Scan(&r.ID, &r.Policy, &r.Asked, &asked, &expires, &r.Token, &r.Run, &closed, &r.Outcome)
	if errors.Is(err, sql.ErrNoRows) {
		return state.Request{}, false, nil
	}
	r.At, r.Expires, r.Closed = asked.Time, expires.Time, closed.Time
	return r, err == nil, err
}
