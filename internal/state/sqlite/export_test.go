package sqlite

import (
	"testing"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

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
