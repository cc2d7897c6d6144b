package sqlite

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Clock gives a time to write with.
func (s *Store) Clock() time.Time { return now() }

// SetVersion plays a database that another version of the program migrated.
func (s *Store) SetVersion(t *testing.T, v int64) {
	t.Helper()
	_, err := s.writer.ExecContext(t.Context(), "insert into goose_db_version (version_id, is_applied) values ($1, 1)", v)
	require.NoError(t, err)
}
