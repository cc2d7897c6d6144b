package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/state"
)

const unsealedOps = ` where o.closed_at is not null and o.sealed_in is null
order by o.closed_at, o.run_id, o.decision, o.position limit $1`

const unsealedRuns = ` where finished_at is not null and sealed_in is null and kind <> 'plan' and kind <> 'sync'
order by finished_at, id limit $1`

const runsOf = ` where id in (select value from json_each($1))`

const selectApprovals = `
select o.run_id, o.decision, o.position, d.approval
from ops o cross join decisions d on d.run_id = o.run_id and d.position = o.decision
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
	runs, err := collect(ctx, s, "list the runs of unsealed ops", selectRuns+runsOf, []any{list(state.RunsOf(u.Ops))}, scanRun)
	if err != nil {
		return u, err
	}
	u.Of = state.ByID(runs)
	type approval struct {
		ref state.OpRef
		id  string
	}
	approvals, err := collect(ctx, s, "list approvals of unsealed ops", selectApprovals, nil, func(rows *sql.Rows) (approval, error) {
		var a approval
		return a, rows.Scan(&a.ref.Run, &a.ref.Decision, &a.ref.Op, &a.id)
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

const insertRow = `
insert into audit_rows (id, batch, happened_at, kind, run_id, source, anchor, account_id, body, personal, salt, personal_digest, digest)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`

const sealOp = `
update ops set sealed_in = $4
where run_id = $1 and decision = $2 and position = $3 and closed_at is not null and sealed_in is null`

const sealRun = `update runs set sealed_in = $2 where id = $1 and finished_at is not null and sealed_in is null`

// AppendAudit implements state.AuditStore.
func (s *Store) AppendAudit(ctx context.Context, l state.Lease, b audit.Batch, rows []audit.Row, of state.Unsealed) error {
	if err := state.CheckAppend(b, rows, of); err != nil {
		return fmt.Errorf("append to the audit: %w", err)
	}
	return s.write(ctx, "append to the audit", func(tx *sql.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		var id, row int64
		err := tx.QueryRowContext(ctx, selectLastBatch).Scan(&id, &row)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err := state.CheckNext(b, id, row); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, insertBatch, b.ID, b.Run, b.FirstRow, b.Rows, bytesOf(b.Root), bytesOf(b.Previous), bytesOf(b.Seal), stamp(b.SealedAt))
		if err != nil {
			return err
		}
		err = each(ctx, tx, insertRow, rows, func(r *audit.Row) ([]any, error) {
			return []any{
				r.ID, r.Batch, stamp(r.At), r.Kind, r.Run, r.Key.Source, r.Key.Anchor, r.AccountID, r.Body, r.Personal,
				bytesOf(r.Salt), bytesOf(r.PersonalDigest), bytesOf(r.Digest),
			}, nil
		})
		if err != nil {
			return err
		}
		return markSealed(ctx, tx, b.ID, of)
	})
}

func markSealed(ctx context.Context, tx *sql.Tx, batch int64, of state.Unsealed) error {
	var before, after int64
	if err := tx.QueryRowContext(ctx, "select total_changes()").Scan(&before); err != nil {
		return err
	}
	err := each(ctx, tx, sealOp, of.Ops, func(o *state.OpRecord) ([]any, error) {
		return []any{o.Ref.Run, o.Ref.Decision, o.Ref.Op, batch}, nil
	})
	if err != nil {
		return err
	}
	err = each(ctx, tx, sealRun, of.Runs, func(r *state.Run) ([]any, error) { return []any{r.ID, batch}, nil })
	if err != nil {
		return err
	}
	if err := tx.QueryRowContext(ctx, "select total_changes()").Scan(&after); err != nil {
		return err
	}
	if n := int64(len(of.Ops) + len(of.Runs)); after-before != n {
		return fmt.Errorf("%d of %d were sealed already, or are not closed: %w", n-(after-before), n, state.ErrConflict)
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
		w.and("id in (select value from json_each($%d))", list(f.IDs))
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

func scanBatch(rows *sql.Rows) (audit.Batch, error) {
	var b audit.Batch
	var sealed, pruned instant
	err := rows.Scan(&b.ID, &b.Run, &b.FirstRow, &b.Rows, (*[]byte)(&b.Root), (*[]byte)(&b.Previous), (*[]byte)(&b.Seal),
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
		w.and("(source, anchor) in (select value ->> 'source', value ->> 'anchor' from json_each($%d))", list(f.Keys))
	}
	if f.Person != "" {
		needle, err := state.Needle(f.Person)
		if err != nil {
			return nil, err
		}
		w.and("(account_id = $%d or (source <> '' and (anchor = $%d or source || '/' || anchor = $%d or instr(personal, $%d) > 0)))",
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

func scanRow(rows *sql.Rows) (audit.Row, error) {
	var r audit.Row
	var at instant
	var personal sql.NullString
	err := rows.Scan(&r.ID, &r.Batch, &at, &r.Kind, &r.Run, &r.Key.Source, &r.Key.Anchor, &r.AccountID, &r.Body, &personal,
		(*[]byte)(&r.Salt), (*[]byte)(&r.PersonalDigest), (*[]byte)(&r.Digest), (*[]byte)(&r.ForgetMAC))
	r.At, r.Personal = at.Time, personal.String
	return r, err
}

const forgetRow = `
update audit_rows set personal = null, salt = null, forget_mac = $4
where id = $1 and source = $2 and anchor = $3`

const countOpen = `
select count(*)
from decisions d cross join ops o on o.run_id = d.run_id and o.decision = d.position
where d.source = $1 and d.anchor = $2 and (o.closed_at is null or o.sealed_in is null)`

const selectOpsOf = `
select o.run_id, o.decision, o.position, o.op
from decisions d cross join ops o on o.run_id = d.run_id and o.decision = d.position
where d.source = $1 and d.anchor = $2`

const blankOp = `
update ops set op = $4, before_image = null, after_image = null, error = ''
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
	blankDetails  = `update decisions set detail = '' where instr(detail, $1) > 0`
	blankNotes    = `update decisions set notes = null where instr(notes, $1) > 0`
	blankMessages = `update runs set message = '' where instr(message, $1) > 0`
	blankErrors   = `update ops set error = '' where instr(error, $1) > 0`
)

func blankWord(ctx context.Context, tx *sql.Tx, word string) error {
	inside, err := state.Inside(word)
	if err != nil {
		return err
	}
	for _, query := range []string{blankDetails, blankMessages, blankErrors} {
		if _, err := tx.ExecContext(ctx, query, word); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, blankNotes, inside)
	return err
}

// ForgetPerson implements state.AuditStore.
func (s *Store) ForgetPerson(ctx context.Context, l state.Lease, f state.Forgetting) error {
	if err := state.CheckForgetting(f); err != nil {
		return fmt.Errorf("forget a person: %w", err)
	}
	err := s.write(ctx, "forget a person", func(tx *sql.Tx) error {
		if err := fence(ctx, tx, l); err != nil {
			return err
		}
		for _, k := range f.Keys {
			open, err := exists(ctx, tx, countOpen, k.Source, k.Anchor)
			if err != nil {
				return err
			}
			if open {
				return fmt.Errorf("something is still being done about %s: %w", k, state.ErrConflict)
			}
			if err := blankJournal(ctx, tx, k); err != nil {
				return err
			}
		}
		for _, word := range f.Words {
			if err := blankWord(ctx, tx, word); err != nil {
				return err
			}
		}
		return each(ctx, tx, forgetRow, f.Rows, func(r *audit.Row) ([]any, error) {
			return []any{r.ID, r.Key.Source, r.Key.Anchor, bytesOf(r.ForgetMAC)}, nil
		})
	})
	if err != nil {
		return err
	}
	return s.emptyLog(ctx)
}

// emptyLog takes away the pages that were written since the file was last brought up
// to date: they hold what is forgotten as well. It waits for readers as long as for
// another process's write; whoever reads longer leaves it to the file's closing.
func (s *Store) emptyLog(ctx context.Context) error {
	var busy, pages, moved int
	err := s.writer.QueryRowContext(ctx, "pragma wal_checkpoint(truncate)").Scan(&busy, &pages, &moved)
	if err != nil {
		return s.fault("empty the log of the state file", err)
	}
	return nil
}

func blankJournal(ctx context.Context, tx *sql.Tx, k identity.Key) error {
	ops, err := opsOf(ctx, tx, k)
	if err != nil {
		return err
	}
	err = each(ctx, tx, blankOp, ops, func(o *state.OpRecord) ([]any, error) {
		text, err := state.Encode(state.Blank(o.Op))
		return []any{o.Ref.Run, o.Ref.Decision, o.Ref.Op, text}, err
	})
	if err != nil {
		return err
	}
	for _, query := range []string{unindex, blankDecisions, blankHeld, blankVerdicts, blankResource, blankMember, blankDue} {
		if _, err := tx.ExecContext(ctx, query, k.Source, k.Anchor); err != nil {
			return err
		}
	}
	return nil
}

func opsOf(ctx context.Context, tx *sql.Tx, k identity.Key) ([]state.OpRecord, error) {
	rows, err := tx.QueryContext(ctx, selectOpsOf, k.Source, k.Anchor)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []state.OpRecord
	for rows.Next() {
		var o state.OpRecord
		var text []byte
		if err := rows.Scan(&o.Ref.Run, &o.Ref.Decision, &o.Ref.Op, &text); err != nil {
			return nil, err
		}
		if err := state.Decode(text, &o.Op); err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, rows.Err()
}
