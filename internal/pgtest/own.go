//go:build unix

package pgtest

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// Server is a server of one test's own, which may be stopped and started. What it
// has committed outlives that.
type Server struct {
	t testing.TB
	s *server
}

// Own starts one, with settings as name=value; it is gone when the test ends. Where
// there is no PostgreSQL, or only one that is given by MMSYNC_TEST_POSTGRES and
// cannot be stopped, the test is skipped, or fails if MMSYNC_TEST_REQUIRE names
// "postgres".
func Own(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := startServer(append([]string{"synchronous_commit=on"}, settings...)...)
	if err != nil {
		if Requires("postgres") {
			t.Fatalf("%s requires postgres: %v", EnvRequire, err)
		}
		t.Skipf("no postgres: %v", err)
	}
	t.Cleanup(s.stop)
	return &Server{t: t, s: s}
}

// URL leads to its database.
func (s *Server) URL() string { return s.s.url }

// Exec runs one statement as the server's superuser, on a connection of its own.
func (s *Server) Exec(statement string) {
	s.t.Helper()
	ctx := context.WithoutCancel(s.t.Context())
	c, err := pgx.Connect(ctx, s.s.url)
	require.NoError(s.t, err)
	defer c.Close(ctx)
	_, err = c.Exec(ctx, statement)
	require.NoError(s.t, err, "%.60s", statement)
}

// Stop ends the server as its administrator would in a hurry: what is at work is cut
// off. It waits until nobody is let in.
func (s *Server) Stop() {
	s.t.Helper()
	for _, name := range []string{"down", "again"} {
		require.NoError(s.t, os.WriteFile(s.file(name), nil, 0o600))
	}
	text, err := os.ReadFile(s.file("pid"))
	require.NoError(s.t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(s.t, err)
	require.NoError(s.t, syscall.Kill(pid, syscall.SIGINT))
	for until := time.Now().Add(stopTimeout); syscall.Kill(pid, 0) == nil; time.Sleep(10 * time.Millisecond) {
		require.True(s.t, time.Now().Before(until), "the server does not stop")
	}
}

// Start starts it again, and waits until it answers.
func (s *Server) Start() {
	s.t.Helper()
	require.NoError(s.t, os.Remove(s.file("down")))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), startTimeout)
	defer cancel()
	require.NoError(s.t, answers(ctx, s.s.url, nil), "the server does not start again")
}

func (s *Server) file(name string) string { return filepath.Join(s.s.dir, name) }
