package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/state"
)

const selectRevision = `select coalesce((select seq from sqlite_sequence where name = 'scim_due'), 0)`

// Backup implements state.Backups. It is one reading transaction: it sees the last
// commit before it began, and nobody waits for it.
func (s *Store) Backup(ctx context.Context, w state.BackupWriter) error {
	tx, err := s.readers.BeginTx(ctx, nil)
	if err != nil {
		return s.fault("back up", err)
	}
	defer tx.Rollback()
	h := state.BackupHead{MadeAt: now()}
	if err := tx.QueryRowContext(ctx, selectVersion).Scan(&h.Schema); err != nil {
		return s.fault("back up", err)
	}
	if err := tx.QueryRowContext(ctx, selectRevision).Scan(&h.Revision); err != nil {
		return s.fault("back up", err)
	}
	kept := state.Kept()
	for i := range kept {
		t := state.BackupTable{Name: kept[i].Name, Columns: kept[i].Names()}
		if err := tx.QueryRowContext(ctx, "select count(*) from "+name(t.Name)).Scan(&t.Rows); err != nil {
			return s.fault("back up "+t.Name, err)
		}
		h.Tables = append(h.Tables, t)
	}
	if err := w.Head(h); err != nil {
		return s.fault("back up", err)
	}
	for i := range kept {
		if err := backupTable(ctx, tx, &kept[i], w); err != nil {
			return s.fault("back up "+kept[i].Name, err)
		}
	}
	return nil
}

func backupTable(ctx context.Context, tx *sql.Tx, t *state.KeptTable, w state.BackupWriter) error {
	rows, err := tx.QueryContext(ctx, selectKept(t))
	if err != nil {
		return err
	}
	defer rows.Close()
	values := make([]any, len(t.Columns))
	into := make([]any, len(values))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i, c := range t.Columns {
			n, number := values[i].(int64)
			switch {
			case number && c.Kind == state.ColumnBool:
				values[i] = n != 0
			case number && c.Kind == state.ColumnTime:
				values[i] = time.UnixMicro(n).UTC()
			}
		}
		if err := w.Row(t, values); err != nil {
			return err
		}
	}
	return rows.Err()
}

func selectKept(t *state.KeptTable) string {
	return "select " + names(t.Names()) + " from " + name(t.Name) + " order by " + names(t.Order)
}

func names(list []string) string {
	quoted := make([]string, len(list))
	for i := range list {
		quoted[i] = name(list[i])
	}
	return strings.Join(quoted, ", ")
}

func name(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

const (
	freeLeases     = `update leases set holder = '', expires_at = $2, token = token + $1`
	forgetRevision = `delete from sqlite_sequence where name = 'scim_due'`
	setRevision    = `insert into sqlite_sequence (name, seq) values ('scim_due', $1)`
	forgetRestore  = `delete from marks where name = $1`
	putRestored    = `insert into marks (name, value, server_date, set_at) values ($1, $2, $3, $4)`
)

// Restore implements state.Backups.
func (s *Store) Restore(ctx context.Context, h state.BackupHead, r state.BackupReader, m state.Mark) error {
	_, schema, err := s.Schema(ctx)
	if err != nil {
		return err
	}
	if err := state.CheckBackup(&h, schema); err != nil {
		return err
	}
	return s.write(ctx, "restore", func(tx *sql.Tx) error {
		kept := state.Kept()
		for i := range kept {
			var some bool
			if err := tx.QueryRowContext(ctx, "select exists (select 1 from "+name(kept[i].Name)+")").Scan(&some); err != nil {
				return err
			}
			if some {
				return state.ErrNotEmpty(kept[i].Name)
			}
		}
		for i := range kept {
			if err := restoreTable(ctx, tx, &kept[i], h.Tables[i].Rows, r); err != nil {
				return fmt.Errorf("table %s: %w", kept[i].Name, err)
			}
		}
		if err := r.End(); err != nil {
			return err
		}
		for _, last := range []struct {
			statement string
			args      []any
		}{
			{freeLeases, []any{int64(state.TokenLeap), stamp(now())}},
			{forgetRevision, nil},
			{setRevision, []any{h.Revision + state.TokenLeap}},
			{forgetRestore, []any{m.Name}},
			{putRestored, []any{m.Name, m.Value, stamp(m.ServerDate), stamp(m.At)}},
		} {
			if _, err := tx.ExecContext(ctx, last.statement, last.args...); err != nil {
				return err
			}
		}
		return nil
	})
}

func restoreTable(ctx context.Context, tx *sql.Tx, t *state.KeptTable, rows int64, r state.BackupReader) error {
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(t.Columns)), ", ")
	insert, err := tx.PrepareContext(ctx, "insert into "+name(t.Name)+" ("+names(t.Names())+") values ("+marks+")")
	if err != nil {
		return err
	}
	defer insert.Close()
	for range rows {
		row, err := r.Row(t)
		if err != nil {
			return err
		}
		args := make([]any, len(row))
		for i, v := range row {
			switch v := v.(type) {
			case bool: // STRICT tables take numbers alone
				args[i] = int64(0)
				if v {
					args[i] = int64(1)
				}
			case time.Time:
				args[i] = v.UnixMicro()
			default:
				args[i] = v
			}
		}
		if _, err := insert.ExecContext(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}
