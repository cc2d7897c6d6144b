package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

const selectVerdicts = `
select id, run_id, approves, reason, made_by, server, policy, made_at, expires_at, closed_at, closed_by
from verdicts`

const selectVerdictItems = `
select i.verdict_id, i.source, i.anchor, i.account_id, i.username, i.action, i.ops, i.used_by, i.position
from verdict_items i where i.verdict_id = any($1)`

const verdictItemsOf = ` and (i.source, i.anchor) in (select * from unnest($2::text[], $3::text[]))`

const verdictItemsOrder = ` order by i.verdict_id, i.position`

// Verdicts implements state.Store.
func (s *Store) Verdicts(ctx context.Context, f state.VerdictFilter) ([]state.Verdict, error) {
	if err := state.CheckText("filter", f.ID, f.Run); err != nil {
		return nil, fmt.Errorf("list verdicts: %w", err)
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	out, err := verdicts(ctx, s.pool, f)
	if err != nil {
		return nil, s.fault(ctx, "list verdicts", err)
	}
	return out, nil
}

// querier is the pool or a transaction.
type querier interface {
	Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
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
	err := scanEach(ctx, q, selectVerdicts+w.String()+" order by made_at, id", w.args, func(row pgx.Rows) error {
		var v state.Verdict
		var made, expires, closed instant
		err := row.Scan(&v.ID, &v.Run, &v.Approves, &v.Reason, &v.MadeBy, &v.Server, &v.Policy, &made, &expires, &closed, &v.ClosedBy)
		v.MadeAt, v.Expires, v.ClosedAt = made.Time, expires.Time, closed.Time
		at[v.ID], ids, out = len(out), append(ids, v.ID), append(out, v)
		return err
	})
	if err != nil || len(out) == 0 {
		return nil, err
	}
	items, args := selectVerdictItems, []any{ids}
	if len(f.Keys) > 0 {
		sources, anchors := columns(f.Keys)
		items, args = items+verdictItemsOf, append(args, sources, anchors)
	}
	return out, scanEach(ctx, q, items+verdictItemsOrder, args, func(row pgx.Rows) error {
		var id string
		var it state.VerdictItem
		var ops []byte
		var position int
		err := row.Scan(&id, &it.Key.Source, &it.Key.Anchor, &it.AccountID, &it.Username, &it.Action, &ops, &it.UsedBy, &position)
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
func scanEach(ctx context.Context, q querier, query string, args []any, scan func(pgx.Rows) error) error {
	rows, err := q.Query(ctx, query, args...)
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

// Two operators who speak at once speak one after the other, and not while a run
// notes what it made of what was said.
const lockVerdicts = `lock table verdicts in share row exclusive mode`

// AddVerdict implements state.Store.
func (s *Store) AddVerdict(ctx context.Context, v state.Verdict) error {
	if err := state.CheckVerdict(&v); err != nil {
		return fmt.Errorf("add verdict: %w", err)
	}
	return s.write(ctx, "add verdict "+v.ID, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockVerdicts); err != nil {
			return err
		}
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
		_, err = tx.Exec(ctx, insertVerdict, v.ID, v.Run, v.Approves, v.Reason, v.MadeBy, v.Server, v.Policy,
			stamp(v.MadeAt), stamp(v.Expires), stamp(v.ClosedAt), v.ClosedBy)
		if code(err) == codeUnique {
			return errors.Join(state.ErrConflict, err)
		}
		if err != nil {
			return err
		}
		columns := []string{"verdict_id", "position", "source", "anchor", "account_id", "username", "action", "ops", "used_by"}
		_, err = tx.CopyFrom(ctx, pgx.Identifier{"verdict_items"}, columns, pgx.CopyFromSlice(len(v.Items), func(i int) ([]any, error) {
			it := &v.Items[i]
			ops, err := state.Encode(it.Ops)
			return []any{v.ID, i, it.Key.Source, it.Key.Anchor, it.AccountID, it.Username, string(it.Action), ops, it.UsedBy}, err
		}))
		return err
	})
}

const useVerdictItems = `
update verdict_items i set used_by = $3
from unnest($1::text[], $2::bigint[]) as n (verdict_id, position)
where i.verdict_id = n.verdict_id and i.position = n.position and i.used_by = ''`

const closeVerdicts = `update verdicts set closed_at = $2, closed_by = $3 where id = any($1) and closed_at is null`

// UseVerdicts implements state.Store.
func (s *Store) UseVerdicts(ctx context.Context, l state.Lease, run string, used []state.ItemRef, closed []string, at time.Time) error {
	return s.write(ctx, "use verdicts", func(ctx context.Context, tx pgx.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, lockVerdicts); err != nil {
			return err
		}
		return useVerdicts(ctx, tx, run, used, closed, at)
	})
}

func useVerdicts(ctx context.Context, tx pgx.Tx, by string, used []state.ItemRef, closed []string, at time.Time) error {
	ids, positions := make([]string, len(used)), make([]int64, len(used))
	for i, r := range used {
		ids[i], positions[i] = r.Verdict, int64(r.Position)
	}
	if _, err := tx.Exec(ctx, useVerdictItems, ids, positions, by); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, closeVerdicts, closed, stamp(at), by)
	return err
}

const savePlanned = `
update decisions d set planned = n.ops::json
from unnest($2::bigint[], $3::text[]) as n (position, ops)
where d.run_id = $1 and d.position = n.position`

// SavePlan implements state.Store.
func (s *Store) SavePlan(ctx context.Context, r state.Run, decisions []plan.Decision) error {
	if err := state.CheckPlan(&r, decisions); err != nil {
		return fmt.Errorf("save plan: %w", err)
	}
	return s.write(ctx, "save plan "+r.ID, func(ctx context.Context, tx pgx.Tx) error {
		var begun bool
		var now instant
		if err := tx.QueryRow(ctx, selectBegun, r.ID).Scan(&begun, &now); err != nil {
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
		var positions []int64
		var ops []string
		for i := range decisions {
			if len(decisions[i].Ops) == 0 {
				continue
			}
			text, err := state.Encode(decisions[i].Ops)
			if err != nil {
				return err
			}
			positions, ops = append(positions, int64(i)), append(ops, text)
		}
		_, err := tx.Exec(ctx, savePlanned, r.ID, positions, ops)
		return err
	})
}
