package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

const insertDecision = `
insert into decisions (run_id, position, source, anchor, ref, action, reason, account_id, username, detail,
    due_at, held, notes, chain, withheld, approval)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`

const insertOp = `
insert into ops (run_id, decision, position, kind, op, account_id, status, token, planned_at, error, classes)
values ($1, $2, $3, $4, $5, $6, 'pending', 0, $7, '', $8)`

// BeginRun implements state.Store.
func (s *Store) BeginRun(ctx context.Context, l state.Lease, r state.Run, p plan.Plan, c state.SightingChanges) error {
	if err := state.CheckBegin(l, &r, p, c); err != nil {
		return fmt.Errorf("begin run: %w", err)
	}
	return s.write(ctx, "begin run "+r.ID, func(tx *sql.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		if r.PlannedAt.IsZero() {
			r.PlannedAt = now()
		}
		begun, err := exists(ctx, tx, selectBegun, r.ID)
		if err != nil {
			return err
		}
		if begun {
			return fmt.Errorf("it has begun already: %w", state.ErrConflict)
		}
		if err := putRun(ctx, tx, &r); err != nil {
			return err
		}
		if err := putDecisions(ctx, tx, &r, p.Decisions); err != nil {
			return err
		}
		if err := putOps(ctx, tx, &r, p.Decisions); err != nil {
			return err
		}
		if err := putHeld(ctx, tx, c); err != nil {
			return err
		}
		return putSightings(ctx, tx, c)
	})
}

const selectBegun = `select count(*) from decisions where run_id = $1`

func exists(ctx context.Context, tx *sql.Tx, query string, args ...any) (bool, error) {
	var n int
	err := tx.QueryRowContext(ctx, query, args...).Scan(&n)
	return n > 0, err
}

func putDecisions(ctx context.Context, tx *sql.Tx, r *state.Run, decisions []plan.Decision) error {
	position := -1
	return each(ctx, tx, insertDecision, decisions, func(d *plan.Decision) ([]any, error) {
		position++
		var due any
		if d.Until != nil {
			due = stamp(*d.Until)
		}
		notes, err := nullable(d.Notes, len(d.Notes) == 0)
		if err != nil {
			return nil, err
		}
		withheld, err := nullable(d.Withheld, len(d.Withheld) == 0)
		return []any{
			r.ID, position, d.Key.Source, d.Key.Anchor, d.Ref, string(d.Action), string(d.Reason), d.AccountID,
			d.Username, d.Detail, due, string(d.Held), notes, d.Chain, withheld, d.Approval,
		}, err
	})
}

func putOps(ctx context.Context, tx *sql.Tx, r *state.Run, decisions []plan.Decision) error {
	steps := state.Steps(decisions)
	return each(ctx, tx, insertOp, steps, func(at *plan.Step) ([]any, error) {
		d := &decisions[at.Decision]
		op, err := state.Encode(&d.Ops[at.Op])
		return []any{
			r.ID, at.Decision, at.Op, string(d.Ops[at.Op].Kind), op, d.AccountID, stamp(r.PlannedAt),
			plan.JoinClasses(plan.Classes(d, at.Op)),
		}, err
	})
}

const markSent = `
update ops set status = 'sent', token = $4, sent_at = $5, marked_at = $6
where run_id = $1 and decision = $2 and position = $3
    and (status = 'pending' or (status = 'sent' and token = $4))`

const selectOpStatus = `select status from ops where run_id = $1 and decision = $2 and position = $3`

// MarkSent implements state.Store.
func (s *Store) MarkSent(ctx context.Context, l state.Lease, ref state.OpRef, at time.Time) error {
	if err := state.CheckSent(ref, at); err != nil {
		return fmt.Errorf("mark op sent: %w", err)
	}
	return s.write(ctx, "mark op "+ref.String()+" sent", func(tx *sql.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		n, err := affected(tx.ExecContext(ctx, markSent, ref.Run, ref.Decision, ref.Op, l.Token, stamp(at), stamp(time.Now())))
		if err == nil && n == 0 {
			err = opConflict(ctx, tx, ref)
		}
		return err
	})
}

// opConflict says why an op could not be moved on.
func opConflict(ctx context.Context, tx *sql.Tx, ref state.OpRef) error {
	var status string
	err := tx.QueryRowContext(ctx, selectOpStatus, ref.Run, ref.Decision, ref.Op).Scan(&status)
	if errors.Is(err, sql.ErrNoRows) {
		return state.ErrNotFound
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("it is %s already: %w", status, state.ErrConflict)
}

const closeOp = `
update ops set status = $4, closed_at = $5, before_image = $6, after_image = $7, error = $8,
    account_id = case when $9 = '' then account_id else $9 end
where run_id = $1 and decision = $2 and position = $3 and status in ('pending', 'sent')`

const unlinkOp = `
delete from links
where (source, anchor) = (select source, anchor from decisions where run_id = $1 and position = $2)`

const unlinkHead = `
delete from link_heads
where (source, anchor) = (select source, anchor from decisions where run_id = $1 and position = $2)`

// RecordOp implements state.Store.
func (s *Store) RecordOp(ctx context.Context, l state.Lease, o state.Outcome) error {
	if err := state.CheckOutcome(&o); err != nil {
		return fmt.Errorf("record op: %w", err)
	}
	before, err := nullable(o.Before, o.Before == nil)
	if err != nil {
		return fmt.Errorf("record op: %w", err)
	}
	after, err := nullable(o.After, o.After == nil)
	if err != nil {
		return fmt.Errorf("record op: %w", err)
	}
	var links []identity.Link
	if o.Link != nil {
		links = append(links, *o.Link)
	}
	err = s.write(ctx, "record op "+o.Ref.String(), func(tx *sql.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		n, err := affected(tx.ExecContext(ctx, closeOp, o.Ref.Run, o.Ref.Decision, o.Ref.Op,
			string(o.Status), stamp(o.At), before, after, o.Error, o.AccountID))
		if err != nil {
			return err
		}
		if n == 0 {
			return opConflict(ctx, tx, o.Ref)
		}
		if o.Unlink {
			if _, err := tx.ExecContext(ctx, unlinkOp, o.Ref.Run, o.Ref.Decision); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, unlinkHead, o.Ref.Run, o.Ref.Decision); err != nil {
				return err
			}
			if err := followHeld(ctx, tx, &o); err != nil {
				return err
			}
		}
		return putLinks(ctx, tx, links)
	})
	return s.explainOwner(ctx, err, links)
}

const selectDecisions = `
select run_id, position, source, anchor, ref, action, reason, account_id, username, detail,
    due_at, held, notes, chain, withheld, approval, planned
from decisions where run_id = $1 order by position`

// Decisions implements state.Store.
func (s *Store) Decisions(ctx context.Context, run string) ([]state.DecisionRecord, error) {
	if err := state.CheckText("filter", run); err != nil {
		return nil, fmt.Errorf("list decisions: %w", err)
	}
	return collect(ctx, s, "list decisions", selectDecisions, []any{run}, scanDecision)
}

func scanDecision(rows *sql.Rows) (state.DecisionRecord, error) {
	var r state.DecisionRecord
	d := &r.Decision
	var due instant
	var notes, withheld, planned sql.RawBytes
	err := rows.Scan(&r.Run, &r.Index, &d.Key.Source, &d.Key.Anchor, &d.Ref, &d.Action, &d.Reason, &d.AccountID,
		&d.Username, &d.Detail, &due, &d.Held, &notes, &d.Chain, &withheld, &d.Approval, &planned)
	if err != nil {
		return r, err
	}
	if !due.IsZero() {
		d.Until = &due.Time
	}
	return r, errors.Join(state.Decode(notes, &d.Notes), state.Decode(withheld, &d.Withheld), state.Decode(planned, &d.Ops))
}

const selectOps = `
select o.run_id, o.decision, o.position, d.source, d.anchor, d.ref, o.account_id, d.username, d.action, d.reason,
    d.detail, o.op, o.status, o.token, o.planned_at, o.sent_at, o.marked_at, o.closed_at, o.before_image, o.after_image, o.error
from ops o join decisions d on d.run_id = o.run_id and d.position = o.decision`

// Ops implements state.Store.
func (s *Store) Ops(ctx context.Context, f state.OpFilter) ([]state.OpRecord, error) {
	if err := state.CheckText("filter", f.Run, f.Key.Source, f.Key.Anchor, f.AccountID); err != nil {
		return nil, fmt.Errorf("list ops: %w", err)
	}
	var w where
	if f.Run != "" {
		w.and("o.run_id = $%d", f.Run)
	}
	if !f.Key.IsZero() {
		w.and("d.source = $%d and d.anchor = $%d", f.Key.Source, f.Key.Anchor)
	}
	if f.AccountID != "" {
		w.and("o.account_id = $%d", f.AccountID)
	}
	if len(f.Statuses) > 0 {
		w.and("o.status in (select value from json_each($%d))", list(f.Statuses))
	}
	if len(f.Statuses) > 0 && !slices.ContainsFunc(f.Statuses, state.OpStatus.Closed) {
		w.and("o.status in ('pending', 'sent')") // in the words of the index ops_unclosed
	}
	if !f.Since.IsZero() {
		w.and("o.planned_at >= $%d", stamp(f.Since))
	}
	query := selectOps + w.String() + " order by o.run_id desc, o.decision desc, o.position desc"
	if f.Limit > 0 {
		w.args = append(w.args, f.Limit)
		query += fmt.Sprintf(" limit $%d", len(w.args))
	}
	out, err := collect(ctx, s, "list ops", query, w.args, scanOp)
	slices.Reverse(out)
	return out, err
}

func scanOp(rows *sql.Rows) (state.OpRecord, error) {
	var r state.OpRecord
	var op, before, after sql.RawBytes
	var planned, sent, marked, closed instant
	err := rows.Scan(&r.Ref.Run, &r.Ref.Decision, &r.Ref.Op, &r.Key.Source, &r.Key.Anchor, &r.SourceRef, &r.AccountID,
		&r.Username, &r.Action, &r.Reason, &r.Detail, &op, &r.Status, &r.Token, &planned, &sent, &marked, &closed,
		&before, &after, &r.Error)
	if err != nil {
		return r, err
	}
	r.PlannedAt, r.SentAt, r.MarkedAt, r.ClosedAt = planned.Time, sent.Time, marked.Time, closed.Time
	if err := state.Decode(op, &r.Op); err != nil {
		return r, fmt.Errorf("op %s: %w", r.Ref, err)
	}
	if r.Before, err = state.DecodeAccount(before); err != nil {
		return r, fmt.Errorf("op %s: %w", r.Ref, err)
	}
	if r.After, err = state.DecodeAccount(after); err != nil {
		return r, fmt.Errorf("op %s: %w", r.Ref, err)
	}
	return r, nil
}

// In SQLite a cross join keeps the order of the tables: the window's ops first.
const selectCounted = `
select distinct o.classes, o.account_id
from ops o cross join decisions d on d.run_id = o.run_id and d.position = o.decision
where o.classes <> '' and o.closed_at >= $2 and o.status in ('done', 'observed') and d.source = $1 and d.approval = ''`

// Usage implements state.Store.
func (s *Store) Usage(ctx context.Context, source string, since time.Time) (map[plan.Class]int, error) {
	if err := state.CheckText("filter", source); err != nil {
		return nil, fmt.Errorf("count changed accounts: %w", err)
	}
	tally := state.Tally{}
	_, err := collect(ctx, s, "count changed accounts", selectCounted, []any{source, since.UnixMicro()},
		func(rows *sql.Rows) (struct{}, error) {
			var classes, account string
			err := rows.Scan(&classes, &account)
			tally.Add(classes, account)
			return struct{}{}, err
		})
	return tally.Counts(), err
}
