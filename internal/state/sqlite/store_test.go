package sqlite_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/state"
	"github.com/mmsync/mmsync/internal/state/sqlite"
	"github.com/mmsync/mmsync/internal/state/statetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	statetest.Run(t, func(t testing.TB) state.Store { return open(t, fileURL(t), sqlite.Options{Volatile: true}) })
}

func TestStore_Pair(t *testing.T) {
	t.Parallel()
	statetest.RunPair(t, func(t testing.TB) (a, b state.Store) {
		u := fileURL(t)
		return open(t, u, sqlite.Options{Volatile: true}), open(t, u, sqlite.Options{Volatile: true})
	})
}

func TestStore_Upgrade(t *testing.T) {
	t.Parallel()
	statetest.RunUpgrade(t, func(t testing.TB, schema int64) statetest.Older {
		s, err := sqlite.Open(t.Context(), fileURL(t), sqlite.Options{Volatile: true})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		s.MigrateTo(t, schema)
		return statetest.Older{Store: s, Write: s.Exec, Time: func(at time.Time) any { return at.UnixMicro() }}
	})
}

func BenchmarkStore(b *testing.B) {
	statetest.Bench(b, func(t testing.TB) state.Store { return open(t, fileURL(t), sqlite.Options{}) })
}

func BenchmarkResources(b *testing.B) {
	statetest.BenchLookups(b, func(t testing.TB) state.Store { return open(t, fileURL(t), sqlite.Options{Volatile: true}) })
}

func BenchmarkMembers(b *testing.B) {
	statetest.BenchMembers(b, func(t testing.TB) state.Store { return open(t, fileURL(t), sqlite.Options{}) })
}

func BenchmarkWriteResource(b *testing.B) {
	statetest.BenchWrites(b, func(t testing.TB) statetest.Floor {
		s := open(t, fileURL(t), sqlite.Options{})
		return statetest.Floor{Store: s, Insert: s.Floor(t)}
	})
}

func fileURL(t testing.TB) string {
	t.Helper()
	return sqlite.Scheme + filepath.Join(t.TempDir(), "state #1 100%25 é.db")
}

func open(t testing.TB, url string, o sqlite.Options) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), url, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	_, err = s.Migrate(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Ready(t.Context()))
	return s
}

func TestOpen_FileIsPrivate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	require.NoError(t, os.WriteFile(path, nil, 0o644))
	open(t, sqlite.Scheme+path, sqlite.Options{})
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), suffix)
	}
}

func TestOpen_RefusesWhatIsNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, url := range map[string]string{
		"memory":           "sqlite::memory:",
		"shared memory":    "sqlite:file::memory:?cache=shared",
		"parameters":       "sqlite:" + dir + "/x.db?mode=memory",
		"a host":           "sqlite://host/x.db",
		"nothing":          "sqlite:",
		"another scheme":   "postgres://host/x",
		"no directory":     "sqlite:" + dir + "/none/x.db",
		"a directory":      "sqlite:" + dir,
		"a path of itself": dir + "/x.db",
	} {
		_, err := sqlite.Open(t.Context(), url, sqlite.Options{})
		require.Error(t, err, name)
	}
	require.NoFileExists(t, filepath.Join(dir, "x.db"))
}

func TestOpen_RefusesAFileThatIsNoDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	require.NoError(t, os.WriteFile(path, []byte("this is a letter to my aunt, who lives in the countryside"), 0o600))
	_, err := sqlite.Open(t.Context(), sqlite.Scheme+path, sqlite.Options{})
	require.ErrorContains(t, err, "not a database")
	require.ErrorContains(t, err, path)
}

func TestStore_Ready(t *testing.T) {
	t.Parallel()
	u := fileURL(t)
	s, err := sqlite.Open(t.Context(), u, sqlite.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })

	err = s.Ready(t.Context())
	require.ErrorIs(t, err, state.ErrSchema)
	require.ErrorContains(t, err, "mmsync state migrate")
	_, err = s.Links(t.Context(), state.LinkFilter{})
	require.ErrorIs(t, err, state.ErrSchema)
	require.ErrorIs(t, s.RecordRead(t.Context(), state.Read{Source: "x", At: s.Clock()}), state.ErrSchema)

	applied, err := s.Migrate(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, applied)
	require.Equal(t, "0001_init.sql", applied[0])
	current, wanted, err := s.Schema(t.Context())
	require.NoError(t, err)
	require.Equal(t, wanted, current)
	require.NoError(t, s.Ready(t.Context()))

	applied, err = s.Migrate(t.Context())
	require.NoError(t, err)
	require.Empty(t, applied)

	s.SetVersion(t, wanted+1)
	require.ErrorIs(t, s.Ready(t.Context()), state.ErrSchema)
	require.ErrorContains(t, s.Ready(t.Context()), "newer mmsync")
	_, err = s.Migrate(t.Context())
	require.ErrorIs(t, err, state.ErrSchema)
}

func TestStore_Migrate_TwoAtOnce(t *testing.T) {
	t.Parallel()
	u := fileURL(t)
	errs := make(chan error)
	for range 4 {
		go func() {
			s, err := sqlite.Open(context.WithoutCancel(t.Context()), u, sqlite.Options{})
			if err == nil {
				_, err = s.Migrate(t.Context())
				if err == nil {
					err = s.Ready(t.Context())
				}
				if cerr := s.Close(); err == nil {
					err = cerr
				}
			}
			errs <- err
		}()
	}
	for range 4 {
		require.NoError(t, <-errs)
	}
}

// TestStore_Resources_LookedUp proves that no filter walks over all people, whether the database has counted them or not.
func TestStore_Resources_LookedUp(t *testing.T) {
	t.Parallel()
	s := open(t, fileURL(t), sqlite.Options{Volatile: true})
	statetest.Seed(t, s, statetest.Many)
	for range 2 {
		for _, f := range statetest.Lookups() {
			for _, f.Limit = range []int{0, 1} {
				plan := s.ExplainResources(t, f)
				require.NotContains(t, plan, "SCAN scim", "%+v", f)
				require.NotContains(t, plan, "scim_resources_listed", "%+v", f)
			}
		}
		s.Exec(t, "analyze")
	}
}

func TestStore_Backup_NamesEveryTable(t *testing.T) {
	t.Parallel()
	statetest.Kept(t, open(t, fileURL(t), sqlite.Options{Volatile: true}).Columns(t))
}
