package postgres_test

import (
	"context"
	"net/url"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/pgtest"
	"github.com/mmsync/mmsync/internal/state"
	"github.com/mmsync/mmsync/internal/state/postgres"
	"github.com/mmsync/mmsync/internal/state/statetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestStore(t *testing.T) {
	t.Parallel()
	statetest.Run(t, func(t testing.TB) state.Store { return open(t, pgtest.URL(t)) })
}

func TestStore_Pair(t *testing.T) {
	t.Parallel()
	statetest.RunPair(t, func(t testing.TB) (a, b state.Store) {
		u := pgtest.URL(t)
		return open(t, u), open(t, u)
	})
}

// A pooler gives each transaction whichever connection is free: nothing may lean on what
// an earlier one left there.
func TestStore_behindPooler(t *testing.T) {
	t.Parallel()
	statetest.Run(t, func(t testing.TB) state.Store { return open(t, pgtest.PooledURL(t)) })
}

func TestStore_Pair_behindPooler(t *testing.T) {
	t.Parallel()
	statetest.RunPair(t, func(t testing.TB) (a, b state.Store) {
		u := pgtest.PooledURL(t)
		return open(t, u), open(t, u)
	})
}

func TestStore_Upgrade(t *testing.T) {
	t.Parallel()
	statetest.RunUpgrade(t, func(t testing.TB, schema int64) statetest.Older {
		s, err := postgres.Open(t.Context(), pgtest.URL(t), postgres.Options{})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		s.MigrateTo(t, schema)
		return statetest.Older{Store: s, Write: s.Exec, Time: func(at time.Time) any { return at }}
	})
}

// A password that was changed lets new connections in, and so does a user that came in
// the place of another, as a vault makes them.
func TestOpen_renewedCredentials(t *testing.T) {
	t.Parallel()
	if os.Getenv(pgtest.EnvURL) != "" {
		t.Skip("makes a role, which a server that was named may not let it")
	}
	first := pgtest.URL(t)
	u, err := url.Parse(first)
	require.NoError(t, err)
	schema := u.Query().Get("search_path")
	ctx := t.Context()
	var now atomic.Pointer[string]
	now.Store(&first)
	s, err := postgres.Open(ctx, first, postgres.Options{Renewed: func() (string, error) {
		if text := *now.Load(); text != "" {
			return text, nil
		}
		return "", os.ErrNotExist
	}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	_, err = s.Migrate(ctx)
	require.NoError(t, err)
	role := schema + "_role"
	s.Exec(t, "create role "+role+" login superuser")
	user := u.User.Username()
	require.Equal(t, user, s.User(t))

	u.User = url.UserPassword(role, "new")
	second := u.String()
	now.Store(&second)
	s.Reset()
	require.Equal(t, role, s.User(t))

	for _, broken := range []string{"", "nonsense"} { // in the middle of a change
		now.Store(&broken)
		s.Reset()
		require.NotEmpty(t, s.User(t))
	}
	now.Store(&first)
	s.Reset()
	require.Equal(t, user, s.User(t))
	s.Exec(t, "drop role "+role)
}

func BenchmarkStore(b *testing.B) {
	statetest.Bench(b, func(t testing.TB) state.Store { return open(t, pgtest.URL(t)) })
}

func BenchmarkResources(b *testing.B) {
	statetest.BenchLookups(b, func(t testing.TB) state.Store { return open(t, pgtest.URL(t)) })
}

func BenchmarkMembers(b *testing.B) {
	statetest.BenchMembers(b, func(t testing.TB) state.Store { return open(t, pgtest.URL(t)) })
}

func BenchmarkWriteResource(b *testing.B) {
	statetest.BenchWrites(b, func(t testing.TB) statetest.Floor {
		s := open(t, pgtest.URL(t))
		return statetest.Floor{Store: s, Insert: s.Floor(t)}
	})
}

func open(t testing.TB, url string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), url, postgres.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	_, err = s.Migrate(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Ready(t.Context()))
	return s
}

func TestStore_Ready(t *testing.T) {
	t.Parallel()
	s, err := postgres.Open(t.Context(), pgtest.URL(t), postgres.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })

	err = s.Ready(t.Context())
	require.ErrorIs(t, err, state.ErrSchema)
	require.ErrorContains(t, err, "mmsync state migrate")
	_, err = s.Links(t.Context(), state.LinkFilter{})
	require.ErrorIs(t, err, state.ErrSchema)
	require.ErrorIs(t, s.RecordRead(t.Context(), state.Read{Source: "x", At: time.Now()}), state.ErrSchema)

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

func TestStore_Migrate_SeveralAtOnce(t *testing.T) {
	t.Parallel()
	u := pgtest.URL(t)
	errs := make(chan error)
	for range 3 {
		go func() {
			s, err := postgres.Open(t.Context(), u, postgres.Options{})
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
	for range 3 {
		require.NoError(t, <-errs)
	}
}

func TestOpen_NeverTellsThePassword(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t-p4ss"
	for name, u := range map[string]string{
		"nobody there":     "postgres://u:" + secret + "@127.0.0.1:1/db",
		"no such host":     "postgres://u:" + secret + "@host.invalid/db",
		"bad port":         "postgres://u:" + secret + "@h:x/db",
		"unescaped slash":  "postgres://u:" + secret + "/x@h/db",
		"unescaped at":     "postgres://u:" + secret + "@x@h:99999/db",
		"control byte":     "postgres://u:" + secret + "\x7f@h/db",
		"bad escape":       "postgres://u:" + secret + "%zz@h/db",
		"bad parameter":    "postgres://u:" + secret + "@h/db?sslmode=maybe",
		"in a parameter":   "postgres://h/db?sslmode=maybe&password=" + secret,
		"bad pool setting": "postgres://u:" + secret + "@h/db?pool_max_conns=many",
		"keyword form":     "host=h password=" + secret,
		"another scheme":   "mysql://u:" + secret + "@h/db",
	} {
		_, err := postgres.Open(t.Context(), u, postgres.Options{ConnectTimeout: time.Second})
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), secret, name)
	}
}

func TestStore_CallTimeout(t *testing.T) {
	t.Parallel()
	u := pgtest.URL(t)
	holder := open(t, u)
	slow, err := postgres.Open(t.Context(), u, postgres.Options{CallTimeout: 3 * time.Second})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, slow.Close()) })
	release := holder.LockLeases(t)
	_, err = slow.AcquireLease(t.Context(), "reconcile", "h", time.Minute)
	require.ErrorContains(t, err, "did not answer in time")
	release()
	require.Eventually(t, func() bool {
		_, err = slow.AcquireLease(t.Context(), "reconcile", "h", time.Minute)
		return err == nil
	}, time.Minute, 10*time.Millisecond)
}

func TestStore_CancelWhileWaiting(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.URL(t))
	release := s.LockLeases(t)
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := s.AcquireLease(ctx, "reconcile", "h", time.Minute)
		done <- err
	}()
	s.WaitForLock(t)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
}

// TestStore_NoSessionState proves what a transaction-pooling pgbouncer needs:
// nothing is left on a connection that a later transaction could stumble over.
func TestStore_NoSessionState(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(pgtest.URL(t))
	require.NoError(t, err)
	u.RawQuery += "&pool_max_conns=2"
	s := open(t, u.String())
	l, err := s.AcquireLease(t.Context(), "reconcile", "h", time.Minute)
	require.NoError(t, err)
	require.NoError(t, s.ReplaceIndex(t.Context(), l, []state.IndexedAccount{{ID: "a"}}))
	_, err = s.Links(t.Context(), state.LinkFilter{AccountIDs: []string{"x"}})
	require.NoError(t, err)
	require.Zero(t, s.SessionLeftovers(t))
}

// TestStore_Resources_LookedUp proves that no filter walks over all people, whether the database has counted them or not.
func TestStore_Resources_LookedUp(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.URL(t))
	statetest.Seed(t, s, statetest.Many)
	for range 2 {
		for _, f := range statetest.Lookups() {
			for _, f.Limit = range []int{0, 1} {
				plan := s.ExplainResources(t, f)
				require.NotContains(t, plan, "Seq Scan", "%+v", f)
				require.NotContains(t, plan, "scim_resources_listed", "%+v", f)
			}
		}
		s.Exec(t, "analyze")
	}
}

func TestStore_Backup_NamesEveryTable(t *testing.T) {
	t.Parallel()
	statetest.Kept(t, open(t, pgtest.URL(t)).Columns(t))
}
