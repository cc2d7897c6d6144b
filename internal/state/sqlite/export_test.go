package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/state"
	"github.com/mmsync/mmsync/migrations"
)

// Clock gives a time to write with.
func (s *Store) Clock() time.Time { return now() }

// SetVersion plays a database that another version of the program migrated.
func (s *Store) SetVersion(t *testing.T, v int64) {
	t.Helper()
	_, err := s.writer.ExecContext(t.Context(), "insert into goose_db_version (version_id, is_applied) values ($1, 1)", v)
	require.NoError(t, err)
}

// MigrateTo brings an empty database up to an earlier schema.
func (s *Store) MigrateTo(t testing.TB, schema int64) {
	t.Helper()
	p, err := goose.NewProvider(goose.DialectSQLite3, s.writer, migrations.SQLite(), goose.WithDisableGlobalRegistry(true))
	require.NoError(t, err)
	_, err = p.UpTo(t.Context(), schema)
	require.NoError(t, err)
}

// Exec runs one statement.
func (s *Store) Exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	_, err := s.writer.ExecContext(t.Context(), statement, args...)
	require.NoError(t, err)
}

// Floor gives what inserts one row into a bare table over the store's connection.
func (s *Store) Floor(t testing.TB) func(ctx context.Context, id int64, body string) error {
	t.Helper()
	s.Exec(t, "create table floor (id integer primary key, body text not null) strict")
	return func(ctx context.Context, id int64, body string) error {
		_, err := s.writer.ExecContext(ctx, "insert into floor (id, body) values ($1, $2)", id, body)
		return err
	}
}

// ExplainResources gives how the database answers Resources.
func (s *Store) ExplainResources(t testing.TB, f state.ResourceFilter) string {
	t.Helper()
	query, args := listResources(f)
	lines, err := collect(t.Context(), s, "explain", "explain query plan "+query, args, func(rows *sql.Rows) (string, error) {
		var id, parent, unused int
		var line string
		err := rows.Scan(&id, &parent, &unused, &line)
		return line, err
	})
	require.NoError(t, err)
	return strings.Join(lines, "\n")
}

// Instant gives what a column of times takes.
func (s *Store) Instant(at time.Time) any { return stamp(at) }

// Limit lets the file grow by so many pages and no further, as a full disk would.
func (s *Store) Limit(t testing.TB, more int) {
	t.Helper()
	var pages int
	require.NoError(t, s.writer.QueryRowContext(t.Context(), "pragma page_count").Scan(&pages))
	var limit int
	require.NoError(t, s.writer.QueryRowContext(t.Context(), fmt.Sprintf("pragma max_page_count = %d", pages+more)).Scan(&limit))
	require.Equal(t, pages+more, limit)
}

// Columns gives the columns of every table there is.
func (s *Store) Columns(t testing.TB) map[string][]string {
	t.Helper()
	type column struct{ table, name string }
	list, err := collect(t.Context(), s, "list columns",
		"select m.name, c.name from sqlite_master m, pragma_table_info(m.name) c where m.type = 'table' order by m.name, c.cid", nil,
		func(rows *sql.Rows) (column, error) {
			var c column
			return c, rows.Scan(&c.table, &c.name)
		})
	require.NoError(t, err)
	out := map[string][]string{}
	for _, c := range list {
		out[c.table] = append(out[c.table], c.name)
	}
	return out
}

// Patience is how long the writer waits for others, in milliseconds.
func (s *Store) Patience(t testing.TB) (out int64) {
	t.Helper()
	require.NoError(t, s.writer.QueryRowContext(t.Context(), "pragma busy_timeout").Scan(&out))
	return out
}
