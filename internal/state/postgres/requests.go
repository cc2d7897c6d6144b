package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mmsync/mmsync/internal/state"
)

const requestColumns = `id, policy, asked, asked_at, expires_at, token, run_id, closed_at, outcome`

const fileRequest = `
insert into run_requests (id, policy, asked, asked_at, expires_at, token, run_id, outcome)
values ($1, $2, $3, clock_timestamp(), clock_timestamp() + $4::interval, 0, '', '')`

// FileRequest implements state.RequestStore.
func (s *Store) FileRequest(ctx context.Context, r state.Request, ttl time.Duration) error {
	if err := state.CheckRequest(r, ttl); err != nil {
		return fmt.Errorf("ask for a run: %w", err)
	}
	return s.write(ctx, "ask for a run", func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, fileRequest, r.ID, r.Policy, r.Asked, ttl)
		if code(err) == codeUnique {
			return fmt.Errorf("request %s is there already: %w", r.ID, state.ErrConflict)
		}
		if err == nil && s.Listens() {
			_, err = tx.Exec(ctx, sayWake)
		}
		return err
	})
}

const renewRequest = `
update run_requests set expires_at = clock_timestamp() + $2::interval where id = $1
returning ` + requestColumns

// RenewRequest implements state.RequestStore.
func (s *Store) RenewRequest(ctx context.Context, id string, ttl time.Duration) (state.Request, error) {
	if err := state.CheckRequest(state.Request{ID: id}, ttl); err != nil {
		return state.Request{}, fmt.Errorf("renew request %s: %w", id, err)
	}
	r, ok, err := s.request(ctx, "renew request "+id, renewRequest, id, ttl)
	if err == nil && !ok {
		err = fmt.Errorf("renew request %s: %w", id, state.ErrNotFound)
	}
	return r, err
}

const nextRequest = `
select ` + requestColumns + ` from run_requests
where policy = $1 and token = 0 and expires_at > clock_timestamp() order by id limit 1`

// NextRequest implements state.RequestStore.
func (s *Store) NextRequest(ctx context.Context, policy string) (state.Request, bool, error) {
	if err := state.CheckText("policy", policy); err != nil {
		return state.Request{}, false, fmt.Errorf("look for a request: %w", err)
	}
	return s.request(ctx, "look for a request", nextRequest, policy)
}

const takeRequest = `
update run_requests set token = $2, run_id = $3 where id = $1 and token = 0 and expires_at > clock_timestamp()
returning ` + requestColumns

// TakeRequest implements state.RequestStore.
func (s *Store) TakeRequest(ctx context.Context, l state.Lease, id, run string) (r state.Request, ok bool, err error) {
	if err := state.CheckText("request", id, run); err != nil {
		return r, false, fmt.Errorf("take a request: %w", err)
	}
	err = s.write(ctx, "take request "+id, func(ctx context.Context, tx pgx.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		r, ok, err = one(ctx, tx, takeRequest, id, l.Token, run)
		return err
	})
	return r, ok && err == nil, err
}

const closeRequest = `
update run_requests set closed_at = clock_timestamp(), outcome = $3 where id = $1 and token = $2 and token > 0 and closed_at is null`

const hasRequest = `select exists (select from run_requests where id = $1)`

// CloseRequest implements state.RequestStore.
func (s *Store) CloseRequest(ctx context.Context, id string, token int64, outcome string) error {
	if err := state.CheckText("request", id, outcome); err != nil {
		return fmt.Errorf("close a request: %w", err)
	}
	return s.write(ctx, "close request "+id, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, closeRequest, id, token, outcome)
		if err != nil || tag.RowsAffected() > 0 {
			return err
		}
		var there bool
		if err := tx.QueryRow(ctx, hasRequest, id).Scan(&there); err != nil {
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
	err = s.write(ctx, "drop request "+id, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, dropRequest, id); err != nil {
			return err
		}
		return tx.QueryRow(ctx, hasRequest, id).Scan(&taken)
	})
	return taken, err
}

const forgetRequests = `delete from run_requests where expires_at < $1`

// ForgetRequests implements state.RequestStore.
func (s *Store) ForgetRequests(ctx context.Context, l state.Lease, before time.Time) error {
	return s.write(ctx, "forget old requests", func(ctx context.Context, tx pgx.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, forgetRequests, stamp(before))
		return err
	})
}

// request gives the request that a statement returns, if it returns one.
func (s *Store) request(ctx context.Context, what, query string, args ...any) (state.Request, bool, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	r, ok, err := one(ctx, s.pool, query, args...)
	return r, ok, s.fault(ctx, what, err)
}

func one(ctx context.Context, q querier, query string, args ...any) (r state.Request, ok bool, err error) {
	err = scanEach(ctx, q, query, args, func(rows pgx.Rows) error {
		var asked, expires, closed instant
		ok = true
		err := rows.Scan(&r.ID, &r.Policy, &r.Asked, &asked, &expires, &r.Token, &r.Run, &closed, &r.Outcome)
		r.At, r.Expires, r.Closed = asked.Time, expires.Time, closed.Time
		return err
	})
	return r, ok, err
}
