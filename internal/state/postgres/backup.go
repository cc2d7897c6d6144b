package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mmsync/mmsync/internal/state"
)

const selectBackupHead = `select clock_timestamp(), (select case when is_called then last_value else 0 end from scim_revisions)`

// Backup implements state.Backups. It is one reading transaction, which keeps others
// from nothing but tidying up.
func (s *Store) Backup(ctx context.Context, w state.BackupWriter) error {
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		var h state.BackupHead
		if err := tx.QueryRow(ctx, selectVersion).Scan(&h.Schema); err != nil {
			return err
		}
		var madeAt instant
		if err := tx.QueryRow(ctx, selectBackupHead).Scan(&madeAt, &h.Revision); err != nil {
			return err
		}
		h.MadeAt = madeAt.Time
		kept := state.Kept()
		for i := range kept {
			t := state.BackupTable{Name: kept[i].Name, Columns: kept[i].Names()}
			if err := tx.QueryRow(ctx, "select count(*) from "+name(t.Name)).Scan(&t.Rows); err != nil {
				return err
			}
			h.Tables = append(h.Tables, t)
		}
		if err := w.Head(h); err != nil {
			return err
		}
		for i := range kept {
			if err := backupTable(ctx, tx, &kept[i], w); err != nil {
				return fmt.Errorf("table %s: %w", kept[i].Name, err)
			}
		}
		return nil
	})
	return s.fault(ctx, "back up", err)
}

func backupTable(ctx context.Context, tx pgx.Tx, t *state.KeptTable, w state.BackupWriter) error {
	rows, err := tx.Query(ctx, selectKept(t))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return err
		}
		for i, v := range values {
			if at, ok := v.(time.Time); ok {
				values[i] = at.UTC()
			}
		}
		if err := w.Row(t, values); err != nil {
			return err
		}
	}
	return rows.Err()
}

// selectKept asks for the kinds of state.ColumnKind, whatever the columns are: json as
// the text that is kept, and every whole number as the longest.
func selectKept(t *state.KeptTable) string {
	casts := map[state.ColumnKind]string{state.ColumnText: "::text", state.ColumnInt: "::bigint"}
	columns := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		columns[i] = name(c.Name) + casts[c.Kind]
	}
	order := make([]string, len(t.Order))
	for i, c := range t.Order {
		order[i] = name(c)
	}
	return "select " + strings.Join(columns, ", ") + " from " + name(t.Name) + " order by " + strings.Join(order, ", ")
}

func name(s string) string { return pgx.Identifier{s}.Sanitize() }

const (
	freeLeases    = `update leases set holder = '', expires_at = clock_timestamp(), token = token + $1`
	setTokens     = `select setval('lease_tokens', (select greatest(coalesce(max(token), 0), 1) from leases))`
	setRevisions  = `select setval('scim_revisions', $1)`
	setReads      = `select setval(pg_get_serial_sequence('reads', 'id'), (select greatest(coalesce(max(id), 0), 1) from reads))`
	putRestored   = `insert into marks (name, value, server_date, set_at) values ($1, $2, $3, $4)`
	forgetRestore = `delete from marks where name = $1`
)

// Restore implements state.Backups. The tables are locked against writers, so that a
// store that is empty stays so until the commit.
func (s *Store) Restore(ctx context.Context, h state.BackupHead, r state.BackupReader, m state.Mark) error {
	_, schema, err := s.Schema(ctx)
	if err != nil {
		return err
	}
	if err := state.CheckBackup(&h, schema); err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		kept := state.Kept()
		if err := lockEmpty(ctx, tx, kept); err != nil {
			return err
		}
		for i := range kept {
			if err := restoreTable(ctx, tx, &kept[i], h.Tables[i].Rows, r); err != nil {
				return fmt.Errorf("table %s: %w", kept[i].Name, err)
			}
		}
		if err := r.End(); err != nil {
			return err
		}
		b := &pgx.Batch{}
		b.Queue(freeLeases, int64(state.TokenLeap))
		b.Queue(setTokens)
		b.Queue(setRevisions, h.Revision+state.TokenLeap)
		b.Queue(setReads)
		b.Queue(forgetRestore, m.Name)
		b.Queue(putRestored, m.Name, m.Value, stamp(m.ServerDate), stamp(m.At))
		return tx.SendBatch(ctx, b).Close()
	})
	return s.fault(ctx, "restore", err)
}

func lockEmpty(ctx context.Context, tx pgx.Tx, kept []state.KeptTable) error {
	names := make([]string, len(kept))
	for i := range kept {
		names[i] = name(kept[i].Name)
	}
	if _, err := tx.Exec(ctx, "lock table "+strings.Join(names, ", ")+" in exclusive mode"); err != nil {
		return err
	}
	for i := range kept {
		var some bool
		if err := tx.QueryRow(ctx, "select exists (select from "+names[i]+")").Scan(&some); err != nil {
			return err
		}
		if some {
			return state.ErrNotEmpty(kept[i].Name)
		}
	}
	return nil
}

func restoreTable(ctx context.Context, tx pgx.Tx, t *state.KeptTable, rows int64, r state.BackupReader) error {
	var done int64
	var unread error // which pgx would pass on as the text of a fault of the database
	_, err := tx.CopyFrom(ctx, pgx.Identifier{t.Name}, t.Names(), pgx.CopyFromFunc(func() ([]any, error) {
		if done == rows {
			return nil, nil // the end, by pgx's contract
		}
		done++
		var row []any
		row, unread = r.Row(t)
		return row, unread
	}))
	if unread != nil {
		return unread
	}
	return err
}
