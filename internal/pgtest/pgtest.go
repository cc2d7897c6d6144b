// Package pgtest gives a test an empty PostgreSQL schema of its own, as if it were
// a database: the URL's search_path says so. One throw-away server serves all tests of a process; it is started when the first
// one asks, and is gone, with its directory, when the process ends in any way.
//
// It is for tests only and keeps nothing safe: the server runs without fsync and
// trusts everybody on the loopback address.
package pgtest

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

const (
	// EnvURL names a server to use instead of an own one; its user must be allowed
	// to create schemas in the database.
	EnvURL = "MMSYNC_TEST_POSTGRES"
	// EnvRequire lists what must not be skipped; "postgres" and "pgbouncer" are
	// this package's words.
	EnvRequire = "MMSYNC_TEST_REQUIRE"
)

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
	stopPooler()
	if shared.server != nil {
		shared.server.stop()
	}
	return code
}

// SideBySide lets n tests of the package run at a time, for a package that waits more than
// it computes: for the server, for leases to run out. Call it in TestMain; a -parallel on
// the command line is read later and wins.
func SideBySide(n int) {
	if err := flag.Set("test.parallel", strconv.Itoa(n)); err != nil {
		panic(fmt.Sprintf("pgtest: %d tests side by side: %v", n, err)) // not in a test binary
	}
}

// URL creates a schema and gives a URL that leads into it. It is dropped when the
// test ends. Where there is no PostgreSQL the test is skipped, or fails if
// MMSYNC_TEST_REQUIRE names "postgres".
func URL(t testing.TB) string {
	t.Helper()
	shared.once.Do(start)
	if shared.err != nil {
		if Requires("postgres") {
			t.Fatalf("%s requires postgres: %v", EnvRequire, shared.err)
		}
		t.Skipf("no postgres: %v", shared.err)
	}
	name := "mmsync_test_" + strings.ToLower(rand.Text())
	admin(t, t.Context(), "create schema "+name)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute) //nolint:usetesting // the test's own has ended
		defer cancel()
		admin(t, ctx, "drop schema if exists "+name+" cascade")
	})
	u, err := url.Parse(shared.url)
	require.NoError(t, err)
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	return u.String()
}

// Available tells whether URL gives one here, and starts the server for that.
func Available() bool {
	shared.once.Do(start)
	return shared.err == nil
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

// Requires tells whether MMSYNC_TEST_REQUIRE names something, so that a test that lacks
// it has to fail.
func Requires(what string) bool {
	return slices.Contains(strings.Split(os.Getenv(EnvRequire), ","), what)
}

// admin runs one statement on a connection of its own.
func admin(t testing.TB, ctx context.Context, statement string) {
	t.Helper()
	c, err := pgx.Connect(ctx, shared.url)
	require.NoError(t, err, "connect to the test server")
	defer c.Close(ctx)
	_, err = c.Exec(ctx, statement)
	require.NoError(t, err, "%.60s", statement)
}
