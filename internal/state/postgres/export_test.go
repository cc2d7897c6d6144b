package postgres

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/state"
	"github.com/mmsync/mmsync/migrations"
)

// SetVersion plays a database that another version of the program migrated.
func (s *Store) SetVersion(t *testing.T, v int64) {
	t.Helper()
	_, err := s.pool.Exec(t.Context(), "insert into goose_db_version (version_id, is_applied) values ($1, true)", v)
	require.NoError(t, err)
}

// LockLeases keeps everybody from the leases until release is called.
func (s *Store) LockLeases(t *testing.T) (release func()) {
	t.Helper()
	tx, err := s.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "lock table leases")
	require.NoError(t, err)
	return func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }
}

// WaitForLock returns once some statement of this database waits for a lock.
func (s *Store) WaitForLock(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		var n int
		err := s.pool.QueryRow(t.Context(),
			"select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'").Scan(&n)
		return err == nil && n > 0
	}, time.Minute, 5*time.Millisecond)
}

// SessionLeftovers counts named statements, session locks and changed settings
// over all connections of the pool.
func (s *Store) SessionLeftovers(t *testing.T) int {
	t.Helper()
	total := 0
	for _, c := range s.pool.AcquireAllIdle(t.Context()) {
		var n int
		require.NoError(t, c.QueryRow(t.Context(), `
select (select count(*) from pg_prepared_statements where name <> '')
    + (select count(*) from pg_locks where locktype = 'advisory')
    + (select count(*) from pg_listening_channels())
    + (select count(*) from pg_settings where source = 'session')
    + (select count(*) from pg_class where relpersistence = 't')`).Scan(&n))
		total += n
		c.Release()
	}
	return total
}

// MigrateTo brings an empty database up to an earlier schema.
func (s *Store) MigrateTo(t testing.TB, schema int64) {
	t.Helper()
	db := stdlib.OpenDBFromPool(s.pool)
	defer db.Close()
	p, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Postgres(), goose.WithDisableGlobalRegistry(true))
	require.NoError(t, err)
	_, err = p.UpTo(t.Context(), schema)
	require.NoError(t, err)
}

// Exec runs one statement.
func (s *Store) Exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	_, err := s.pool.Exec(t.Context(), statement, args...)
	require.NoError(t, err)
}

// Floor gives what inserts one row into a bare table over the store's connections.
func (s *Store) Floor(t testing.TB) func(ctx context.Context, id int64, body string) error {
	t.Helper()
	s.Exec(t, "create table floor (id bigint primary key, body text not null)")
	return func(ctx context.Context, id int64, body string) error {
		_, err := s.pool.Exec(ctx, "insert into floor (id, body) values ($1, $2)", id, body)
		return err
	}
}

// ExplainResources gives how the database answers Resources.
func (s *Store) ExplainResources(t testing.TB, f state.ResourceFilter) string {
	t.Helper()
	query, args := listResources(f)
	rows, err := s.pool.Query(t.Context(), "explain "+query, args...)
	require.NoError(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return strings.Join(lines, "\n")
}

// Instant gives what a column of times takes.
func (s *Store) Instant(at time.Time) any { return stamp(at) }

// User is as whom the store is connected.
func (s *Store) User(t testing.TB) (name string) {
	t.Helper()
	require.NoError(t, s.pool.QueryRow(t.Context(), "select current_user").Scan(&name))
	return name
}

// Reset has every connection made anew.
func (s *Store) Reset() { s.pool.Reset() }

// Columns gives the columns of every table there is.
func (s *Store) Columns(t testing.TB) map[string][]string {
	t.Helper()
	type column struct{ table, name string }
	list, err := collect(t.Context(), s, "list columns",
		`select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
		where c.relkind in ('r', 'p') and c.relnamespace = current_schema()::regnamespace order by c.relname, a.attnum`, nil,
		func(row pgx.CollectableRow) (column, error) {
			var c column
			return c, row.Scan(&c.table, &c.name)
		})
	require.NoError(t, err)
	out := map[string][]string{}
	for _, c := range list {
		out[c.table] = append(out[c.table], c.name)
	}
	return out
}
