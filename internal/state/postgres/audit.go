package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

const unsealedOps = ` where o.closed_at is not null and o.sealed_in is null
order by o.closed_at, o.run_id, o.decision, o.position limit $1`

const unsealedRuns = ` where finished_at is not null and sealed_in is null and kind <> 'plan' and kind <> 'sync'
order by finished_at, id limit $1`

const runsOf = ` where id = any($1)`

const selectApprovals = `
select o.run_id, o.decision, o.position, d.approval
from ops o join decisions d on d.run_id = o.run_id and d.position = o.decision
where o.closed_at is not null and o.sealed_in is null and d.approval <> ''
order by o.closed_at, o.run_id, o.decision, o.position`

// Unsealed implements state.AuditStore.
func (s *Store) Unsealed(ctx context.Context, limit int) (state.Unsealed, error) {
	var u state.Unsealed
	var err error
	if u.Ops, err = collect(ctx, s, "list unsealed ops", selectOps+unsealedOps, []any{limit}, scanOp); err != nil {
		return u, err
	}
	if u.Runs, err = collect(ctx, s, "list unsealed runs", selectRuns+unsealedRuns, []any{limit}, scanRun); err != nil || len(u.Ops) == 0 {
		return u, err
	}
	runs, err := collect(ctx, s, "list the runs of unsealed ops", selectRuns+runsOf, []any{state.RunsOf(u.Ops)}, scanRun)
	if err != nil {
		return u, err
	}
	u.Of = state.ByID(runs)
	type approval struct {
		ref state.OpRef
		id  string
	}
	approvals, err := collect(ctx, s, "list approvals of unsealed ops", selectApprovals, nil, func(row pgx.CollectableRow) (approval, error) {
		var a approval
		return a, row.Scan(&a.ref.Run, &a.ref.Decision, &a.ref.Op, &a.id)
	})
	u.Approvals = make(map[state.OpRef]string, len(approvals))
	for _, a := range approvals {
		u.Approvals[a.ref] = a.id
	}
	return u, err
}

const selectLastBatch = `select id, first_row + rows - 1 from audit_batches order by id desc limit 1`

const insertBatch = `
insert into audit_batches (id, run_id, first_row, rows, root, previous, seal, sealed_at)
values ($1, $2, $3, $4, $5, $6, $7, $8)`

const sealOps = `
update ops set sealed_in = $4
from unnest($1::text[], $2::bigint[], $3::bigint[]) as n (run_id, decision, position)
where ops.run_id = n.run_id and ops.decision = n.decision and ops.position = n.position
    and closed_at is not null and sealed_in is null`

const sealRuns = `update runs set sealed_in = $2 where id = any($1) and finished_at is not null and sealed_in is null`

// AppendAudit implements state.AuditStore.
func (s *Store) AppendAudit(ctx context.Context, l state.Lease, b audit.Batch, rows []audit.Row, of state.Unsealed) error {
	if err := state.CheckAppend(b, rows, of); err != nil {
		return fmt.Errorf("append to the audit: %w", err)
	}
	return s.write(ctx, "append to the audit", func(ctx context.Context, tx pgx.Tx) error {
		if err := glance(ctx, tx, l); err != nil {
			return err
		}
		var id, row int64
		err := tx.QueryRow(ctx, selectLastBatch).Scan(&id, &row)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if err := state.CheckNext(b, id, row); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, insertBatch, b.ID, b.Run, b.FirstRow, b.Rows, bytesOf(b.Root), bytesOf(b.Previous), bytesOf(b.Seal), stamp(b.SealedAt))
		if err != nil {
			return err
		}
		columns := []string{
			"id", "batch", "happened_at", "kind", "run_id", "source", "anchor", "account_id", "body", "personal", "salt", "personal_digest", "digest",
		}
		_, err = tx.CopyFrom(ctx, pgx.Identifier{"audit_rows"}, columns, pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
			r := &rows[i]
			return []any{
				r.ID, r.Batch, stamp(r.At), r.Kind, r.Run, r.Key.Source, r.Key.Anchor, r.AccountID, r.Body, r.Personal,
				bytesOf(r.Salt), bytesOf(r.PersonalDigest), bytesOf(r.Digest),
			}, nil
		}))
		if err != nil {
			return err
		}
		if err := markSealed(ctx, tx, b.ID, of); err != nil {
			return err
		}
		return fence(ctx, tx, l)
	})
}

func markSealed(ctx context.Context, tx pgx.Tx, batch int64, of state.Unsealed) error {
	n := int64(len(of.Ops) + len(of.Runs))
	ids := make([]string, len(of.Ops))
	decisions, positions := make([]int64, len(of.Ops)), make([]int64, len(of.Ops))
	for i := range of.Ops {
		ref := of.Ops[i].Ref
		ids[i], decisions[i], positions[i] = ref.Run, int64(ref.Decision), int64(ref.Op)
	}
	runs := make([]string, len(of.Runs))
	for i := range of.Runs {
		runs[i] = of.Runs[i].ID
	}
	ops, err := tx.Exec(ctx, sealOps, ids, decisions, positions, batch)
	if err != nil {
		return err
	}
	sealed, err := tx.Exec(ctx, sealRuns, runs, batch)
	if err != nil {
		return err
	}
	if done := ops.RowsAffected() + sealed.RowsAffected(); done != n {
		return fmt.Errorf("%d of %d were sealed already, or are not closed: %w", n-done, n, state.ErrConflict)
	}
	return nil
}

// bytesOf makes no bytes an empty value: null is for what was taken away.
func bytesOf(h audit.Hex) []byte {
	if h == nil {
		return []byte{}
	}
	return h
}

const selectBatches = `
select id, run_id, first_row, rows, root, previous, seal, sealed_at, pruned_at, prune_mac
from audit_batches`

// AuditBatches implements state.AuditStore.
func (s *Store) AuditBatches(ctx context.Context, f state.BatchFilter) ([]audit.Batch, error) {
	var w where
	if len(f.IDs) > 0 {
		w.and("id = any($%d)", f.IDs)
	}
	if !f.Since.IsZero() {
		w.and("sealed_at >= $%d", stamp(f.Since))
	}
	if !f.Until.IsZero() {
		w.and("sealed_at < $%d", stamp(f.Until))
	}
	query := selectBatches + w.String() + " order by id desc"
	if f.Limit > 0 {
		w.args = append(w.args, f.Limit)
		query += fmt.Sprintf(" limit $%d", len(w.args))
	}
	out, err := collect(ctx, s, "list audit batches", query, w.args, scanBatch)
	slices.Reverse(out)
	return out, err
}

func scanBatch(row pgx.CollectableRow) (audit.Batch, error) {
	var b audit.Batch
	var sealed, pruned instant
	err := row.Scan(&b.ID, &b.Run, &b.FirstRow, &b.Rows, (*[]byte)(&b.Root), (*[]byte)(&b.Previous), (*[]byte)(&b.Seal),
		&sealed, &pruned, (*[]byte)(&b.PruneMAC))
	b.SealedAt, b.PrunedAt = sealed.Time, pruned.Time
	if len(b.Previous) == 0 {
		b.Previous = nil
	}
	return b, err
}

const selectRows = `
select id, batch, happened_at, kind, run_id, source, anchor, account_id, body, personal, salt, personal_digest, digest, forget_mac
from audit_rows`

// AuditRows implements state.AuditStore.
func (s *Store) AuditRows(ctx context.Context, f state.RowFilter) ([]audit.Row, error) {
	if err := state.CheckRowFilter(f); err != nil {
		return nil, fmt.Errorf("list audit rows: %w", err)
	}
	var w where
	if f.FromBatch > 0 {
		w.and("batch >= $%d", f.FromBatch)
	}
	if f.ToBatch > 0 {
		w.and("batch <= $%d", f.ToBatch)
	}
	if f.Run != "" {
		w.and("run_id = $%d", f.Run)
	}
	if len(f.Keys) > 0 {
		sources, anchors := columns(f.Keys)
		w.and("(source, anchor) in (select * from unnest($%d::text[], $%d::text[]))", sources, anchors)
	}
	if f.Person != "" {
		needle, err := state.Needle(f.Person)
		if err != nil {
			return nil, err
		}
		w.and("(account_id = $%d or (source <> '' and (anchor = $%d or source || '/' || anchor = $%d or position($%d in personal) > 0)))",
			f.Person, f.Person, f.Person, needle)
	}
	if f.Forgotten {
		w.and("personal is null")
	}
	if !f.Since.IsZero() {
		w.and("happened_at >= $%d", stamp(f.Since))
	}
	query := selectRows + w.String() + " order by id desc"
	if f.Limit > 0 {
		w.args = append(w.args, f.Limit)
		query += fmt.Sprintf(" limit $%d", len(w.args))
	}
	out, err := collect(ctx, s, "list audit rows", query, w.args, scanRow)
	slices.Reverse(out)
	return out, err
}

func scanRow(row pgx.CollectableRow) (audit.Row, error) {
	var r audit.Row
	var at instant
	var personal *string
	err := row.Scan(&r.ID, &r.Batch, &at, &r.Kind, &r.Run, &r.Key.Source, &r.Key.Anchor, &r.AccountID, &r.Body, &personal,
		(*[]byte)(&r.Salt), (*[]byte)(&r.PersonalDigest), (*[]byte)(&r.Digest), (*[]byte)(&r.ForgetMAC))
	r.At = at.Time
	if personal != nil {
		r.Personal = *personal
	}
	return r, err
}

const forgetRow = `
update audit_rows set personal = null, salt = null, forget_mac = $4
where id = $1 and source = $2 and anchor = $3`

const countOpen = `
select exists (
    select from decisions d join ops o on o.run_id = d.run_id and o.decision = d.position
    where d.source = $1 and d.anchor = $2 and (o.closed_at is null or o.sealed_in is null)
)`

const selectOpsOf = `
select o.run_id, o.decision, o.position, o.op
from decisions d join ops o on o.run_id = d.run_id and o.decision = d.position
where d.source = $1 and d.anchor = $2`

const blankOp = `
update ops set op = $4::json, before_image = null, after_image = null, error = ''
where run_id = $1 and decision = $2 and position = $3`

const blankDecisions = `
update decisions set ref = '', username = '', detail = '', notes = null, withheld = null, planned = null
where source = $1 and anchor = $2`

// The next walk over the server writes the account down again, if it is still there.
const unindex = `
delete from account_index where id in (
    select account_id from decisions where source = $1 and anchor = $2
    union select account_id from links where source = $1 and anchor = $2
    union select account_id from past_links where source = $1 and anchor = $2
)`

const blankHeld = `delete from held where source = $1 and anchor = $2`

// What is still to be said about somebody stays until it is.
const blankVerdicts = `
update verdict_items set username = '', ops = '[]'
where source = $1 and anchor = $2 and verdict_id in (select id from verdicts where closed_at is not null)`

const (
	blankDetails  = `update decisions set detail = '' where position($1 in detail) > 0`
	blankNotes    = `update decisions set notes = null where position($1 in notes::text) > 0`
	blankMessages = `update runs set message = '' where position($1 in message) > 0`
	blankErrors   = `update ops set error = '' where position($1 in error) > 0`
)

func blankWord(b *pgx.Batch, word string) error {
	inside, err := state.Inside(word)
	if err != nil {
		return err
	}
	b.Queue(blankDetails, word)
	b.Queue(blankMessages, word)
	b.Queue(blankErrors, word)
	b.Queue(blankNotes, inside)
	return nil
}

// ForgetPerson implements state.AuditStore.
func (s *Store) ForgetPerson(ctx context.Context, l state.Lease, f state.Forgetting) error {
	if err := state.CheckForgetting(f); err != nil {
		return fmt.Errorf("forget a person: %w", err)
	}
	return s.write(ctx, "forget a person", func(ctx context.Context, tx pgx.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		for _, k := range f.Keys {
			var open bool
			if err := tx.QueryRow(ctx, countOpen, k.Source, k.Anchor).Scan(&open); err != nil {
				return err
			}
			if open {
				return fmt.Errorf("something is still being done about %s: %w", k, state.ErrConflict)
			}
			if err := blankJournal(ctx, tx, k); err != nil {
				return err
			}
		}
		var b pgx.Batch
		for _, word := range f.Words {
			if err := blankWord(&b, word); err != nil {
				return err
			}
		}
		for i := range f.Rows {
			r := &f.Rows[i]
			b.Queue(forgetRow, r.ID, r.Key.Source, r.Key.Anchor, bytesOf(r.ForgetMAC))
		}
		return tx.SendBatch(ctx, &b).Close()
	})
}

func blankJournal(ctx context.Context, tx pgx.Tx, k identity.Key) error {
	ops, err := opsOf(ctx, tx, k)
	if err != nil {
		return err
	}
	var b pgx.Batch
	for i := range ops {
		text, err := state.Encode(state.Blank(ops[i].Op))
		if err != nil {
			return err
		}
		b.Queue(blankOp, ops[i].Ref.Run, ops[i].Ref.Decision, ops[i].Ref.Op, text)
	}
	for _, query := range []string{unindex, blankDecisions, blankHeld, blankVerdicts, blankResource, blankMember, blankDue} {
		b.Queue(query, k.Source, k.Anchor)
	}
	return tx.SendBatch(ctx, &b).Close()
}

func opsOf(ctx context.Context, tx pgx.Tx, k identity.Key) ([]state.OpRecord, error) {
	rows, err := tx.Query(ctx, selectOpsOf, k.Source, k.Anchor)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (state.OpRecord, error) {
		var o state.OpRecord
		var text []byte
		if err := row.Scan(&o.Ref.Run, &o.Ref.Decision, &o.Ref.Op, &text); err != nil {
			return o, err
		}
		return o, state.Decode(text, &o.Op)
	})
}
