package sqlite_test

import (
	"context"
	"database/sql"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/state/sqlite"
)

func TestStore_Writable(t *testing.T) {
	t.Parallel()
	url := fileURL(t)
	path := strings.TrimPrefix(url, sqlite.Scheme)
	s := open(t, url, sqlite.Options{})
	log := func() int64 {
		st, err := os.Stat(path + "-wal")
		require.NoError(t, err)
		return st.Size()
	}
	before := log()
	require.NoError(t, s.Writable(t.Context()))
	require.Greater(t, log(), before, "something was written")
	require.Less(t, log()-before, int64(16<<10), "and little")

	other, err := sql.Open("sqlite", "file:"+path)
	require.NoError(t, err)
	defer other.Close()
	other.SetMaxOpenConns(1)
	_, err = other.ExecContext(t.Context(), "begin immediate")
	require.NoError(t, err)
	start := time.Now()
	require.NoError(t, s.Writable(t.Context()), "that somebody else writes is no fault")
	require.Less(t, time.Since(start), 9*time.Second)
	_, err = other.ExecContext(t.Context(), "rollback")
	require.NoError(t, err)
	require.Equal(t, int64(10_000), s.Patience(t), "others wait as long as before")

	s.Exec(t, "pragma query_only = 1")
	require.ErrorContains(t, s.Writable(t.Context()), path+" cannot be written: see the rights of the file")
	s.Exec(t, "pragma query_only = 0")
	require.NoError(t, s.Writable(t.Context()))

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, s.Writable(ended))
	require.NoError(t, os.Rename(path, path+".away"))
	require.ErrorContains(t, s.Writable(t.Context()), "look for "+path)
}
