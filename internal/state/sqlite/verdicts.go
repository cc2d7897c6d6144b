package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

const selectVerdicts = `
select id, run_id, approves, reason, made_by, server, policy, made_at, expires_at, closed_at, closed_by
from verdicts`

const selectVerdictItems = `
select i.verdict_id, i.source, i.anchor, i.account_id, i.username, i.action, i.ops, i.used_by, i.position
from verdict_items i where i.verdict_id in (select value from json_each($1))`

const verdictItemsOf = ` and (i.source, i.anchor) in (select value ->> 'source', value ->> 'anchor' from json_each($2))`

const verdictItemsOrder = ` order by i.verdict_id, i.position`

// Verdicts implements state.Store.
func (s *Store) Verdicts(ctx context.Context, f state.VerdictFilter) ([]state.Verdict, error) {
	if err := state.CheckText("filter", f.ID, f.Run); err != nil {
		return nil, fmt.Errorf("list verdicts: %w", err)
	}
	out, err := verdicts(ctx, s.readers, f)
	if err != nil {
		return nil, s.fault("list verdicts", err)
	}
	return out, nil
}

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func verdicts(ctx context.Context, q querier, f state.VerdictFilter) ([]state.Verdict, error) {
	var w where
	if f.ID != "" {
		w.and("id = $%d", f.ID)
	}
	if f.Run != "" {
		w.and("run_id = $%d", f.Run)
	}
	if f.Open {
		w.and("closed_at is null")
	}
	var out []state.Verdict
	at, ids := map[string]int{}, []string{}
	err := scanEach(ctx, q, selectVerdicts+w.String()+" order by made_at, id", w.args, func(rows *sql.Rows) error {
		var v state.Verdict
		var made, expires, closed instant
		err := rows.Scan(&v.ID, &v.Run, &v.Approves, &v.Reason, &v.MadeBy, &v.Server, &v.Policy, &made, &expires, &closed, &v.ClosedBy)
		v.MadeAt, v.Expires, v.ClosedAt = made.Time, expires.Time, closed.Time
		at[v.ID], ids, out = len(out), append(ids, v.ID), append(out, v)
		return err
	})
	if err != nil || len(out) == 0 {
		return nil, err
	}
	items, args := selectVerdictItems, []any{list(ids)}
	if len(f.Keys) > 0 {
		items, args = items+verdictItemsOf, append(args, list(f.Keys))
	}
	return out, scanEach(ctx, q, items+verdictItemsOrder, args, func(rows *sql.Rows) error {
		var id string
		var it state.VerdictItem
		var ops sql.RawBytes
		var position int
		err := rows.Scan(&id, &it.Key.Source, &it.Key.Anchor, &it.AccountID, &it.Username, &it.Action, &ops, &it.UsedBy, &position)
		if err != nil {
			return err
		}
		v := &out[at[id]]
		err = state.Decode(ops, &it.Ops)
		v.Items = append(v.Items, it)
		if len(f.Keys) > 0 {
			v.Positions = append(v.Positions, position)
		}
		return err
	})
}

// scanEach passes every row on.
func scanEach(ctx context.Context, q querier, query string, args []any, scan func(*sql.Rows) error) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

const insertVerdict = `
insert into verdicts (id, run_id, approves, reason, made_by, server, policy, made_at, expires_at, closed_at, closed_by)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`

const insertVerdictItem = `
insert into verdict_items (verdict_id, position, source, anchor, account_id, username, action, ops, used_by)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`

// AddVerdict implements state.Store.
func (s *Store) AddVerdict(ctx context.Context, v state.Verdict) error {
	if err := state.CheckVerdict(&v); err != nil {
		return fmt.Errorf("add verdict: %w", err)
	}
	return s.write(ctx, "add verdict "+v.ID, func(tx *sql.Tx) error {
		inForce, err := verdicts(ctx, tx, state.VerdictFilter{Open: true})
		if err != nil {
			return err
		}
		items, closed, err := state.Replaced(&v, inForce)
		if err != nil {
			return err
		}
		if err := useVerdicts(ctx, tx, v.ID, items, closed, v.MadeAt); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, insertVerdict, v.ID, v.Run, v.Approves, v.Reason, v.MadeBy, v.Server, v.Policy,
			stamp(v.MadeAt), stamp(v.Expires), stamp(v.ClosedAt), v.ClosedBy)
		if unique(err) {
			return errors.Join(state.ErrConflict, err)
		}
		if err != nil {
			return err
		}
		position := -1
		return each(ctx, tx, insertVerdictItem, v.Items, func(it *state.VerdictItem) ([]any, error) {
			position++
			ops, err := state.Encode(it.Ops)
			return []any{
				v.ID, position, it.Key.Source, it.Key.Anchor, it.AccountID, it.Username, string(it.Action), ops, it.UsedBy,
			}, err
		})
	})
}

const useVerdictItem = `update verdict_items set used_by = $3 where verdict_id = $1 and position = $2 and used_by = ''`

const closeVerdict = `update verdicts set closed_at = $2, closed_by = $3 where id = $1 and closed_at is null`

// UseVerdicts implements state.Store.
func (s *Store) UseVerdicts(ctx context.Context, l state.Lease, run string, used []state.ItemRef, closed []string, at time.Time) error {
	return s.write(ctx, "use verdicts", func(tx *sql.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		return useVerdicts(ctx, tx, run, used, closed, at)
	})
}

func useVerdicts(ctx context.Context, tx *sql.Tx, by string, used []state.ItemRef, closed []string, at time.Time) error {
	err := each(ctx, tx, useVerdictItem, used, func(r *state.ItemRef) ([]any, error) {
		return []any{r.Verdict, r.Position, by}, nil
	})
	if err != nil {
		return err
	}
	return each(ctx, tx, closeVerdict, closed, func(id *string) ([]any, error) {
		return []any{*id, stamp(at), by}, nil
	})
}

const savePlanned = `update decisions set planned = $3 where run_id = $1 and position = $2`

// SavePlan implements state.Store.
func (s *Store) SavePlan(ctx context.Context, r state.Run, decisions []plan.Decision) error {
	if err := state.CheckPlan(&r, decisions); err != nil {
		return fmt.Errorf("save plan: %w", err)
	}
	return s.write(ctx, "save plan "+r.ID, func(tx *sql.Tx) error {
		begun, err := exists(ctx, tx, selectBegun, r.ID)
		if err != nil {
			return err
		}
		if begun {
			return fmt.Errorf("it has decisions already: %w", state.ErrConflict)
		}
		if err := putRun(ctx, tx, &r); err != nil {
			return err
		}
		if err := putDecisions(ctx, tx, &r, decisions); err != nil {
			return err
		}
		position := -1
		return each(ctx, tx, savePlanned, decisions, func(d *plan.Decision) ([]any, error) {
			position++
			ops, err := nullable(d.Ops, len(d.Ops) == 0)
			return []any{r.ID, position, ops}, err
		})
	})
}
