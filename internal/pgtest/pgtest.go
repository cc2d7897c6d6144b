// Package pgtest gives a test an empty PostgreSQL database of its own. One
// throw-away server serves all tests of a process; it is started when the first
// one asks, and is gone, with its directory, when the process ends in any way.
//
// It is for tests only and keeps nothing safe: the server runs without fsync and
// trusts everybody on the loopback address.
package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

const (
	// EnvURL names a server to use instead of an own one; its user must be allowed
	// to create databases.
	EnvURL = "MMSYNC_TEST_POSTGRES"
	// EnvRequire lists what must not be skipped; "postgres" is this package's word.
	EnvRequire = "MMSYNC_TEST_REQUIRE"
)

//nolint:gochecknoglobals // one server per process is the point
var shared struct {
	once   sync.Once
	server *server
	url    string
	err    error
}

// Main runs the tests and stops the server before the process exits:
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
//
// Without it the server stops as well, a moment after the process.
func Main(m *testing.M) int {
	code := m.Run()
	if shared.server != nil {
		shared.server.stop()
	}
	return code
}

// URL creates a database and gives its URL. The database is dropped when the
// test ends. Where there is no PostgreSQL the test is skipped, or fails if
// MMSYNC_TEST_REQUIRE names "postgres".
func URL(t testing.TB) string {
	t.Helper()
	shared.once.Do(start)
	if shared.err != nil {
		if required() {
			t.Fatalf("%s requires postgres: %v", EnvRequire, shared.err)
		}
		t.Skipf("no postgres: %v", shared.err)
	}
	name := "mmsync_test_" + strings.ToLower(rand.Text())
	admin(t, t.Context(), "create database "+name+" template template0 encoding 'UTF8'")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // the test's own has ended
		defer cancel()
		admin(t, ctx, "drop database if exists "+name+" with (force)")
	})
	u, err := url.Parse(shared.url)
	require.NoError(t, err)
	u.Path = "/" + name
	return u.String()
}

func start() {
	if shared.url = os.Getenv(EnvURL); shared.url != "" {
		return
	}
	shared.server, shared.err = startServer()
	if shared.err == nil {
		shared.url = shared.server.url
	}
}

func required() bool {
	return slices.Contains(strings.Split(os.Getenv(EnvRequire), ","), "postgres")
}

// admin runs one statement on a connection of its own.
func admin(t testing.TB, ctx context.Context, statement string) {
	t.Helper()
	c, err := pgx.Connect(ctx, shared.url)
	require.NoError(t, err, "connect to the test server")
	defer c.Close(ctx) //nolint:errcheck // the statement has been answered
	_, err = c.Exec(ctx, statement)
	require.NoError(t, err, fmt.Sprintf("%.60s", statement))
}
