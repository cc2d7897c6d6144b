package sqlite_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/state"
	"github.com/mmsync/mmsync/internal/state/sqlite"
)

// A full disk refuses writes with a sentence, keeps what was written, and takes writes again
// once there is room.
func TestStore_fullDisk(t *testing.T) {
	t.Parallel()
	url := fileURL(t)
	s := open(t, url, sqlite.Options{Volatile: true})
	l, err := s.AcquireLease(t.Context(), "full", "test", time.Hour)
	require.NoError(t, err)
	s.Limit(t, 20) // pages more than there are
	var written []string
	for i := range 1000 {
		name := fmt.Sprintf("mark %d ", i) + strings.Repeat("x", 2000)
		if err = s.SetMark(t.Context(), l, state.Mark{Name: name, At: time.Now()}); err != nil {
			break
		}
		written = append(written, name)
	}
	require.ErrorContains(t, err, "the disk that holds "+strings.TrimPrefix(url, sqlite.Scheme)+" is full; make room, what was written before is safe")
	require.NotEmpty(t, written)
	for _, name := range written {
		m, err := s.Mark(t.Context(), name)
		require.NoError(t, err)
		require.False(t, m.At.IsZero(), name)
	}
	s.Limit(t, 10_000)
	require.NoError(t, s.SetMark(t.Context(), l, state.Mark{Name: "room", At: time.Now()}))
}

func TestStore_fileThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	url := fileURL(t)
	require.NoError(t, os.WriteFile(strings.TrimPrefix(url, sqlite.Scheme), []byte(strings.Repeat("this is no database ", 500)), 0o600))
	_, err := sqlite.Open(t.Context(), url, sqlite.Options{})
	require.ErrorContains(t, err, "is no SQLite database; see that state.url names the right file")
}
