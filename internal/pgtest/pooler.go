//go:build unix

package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var pooled struct {
	once   sync.Once
	pooler *server
	err    error
}

// PooledURL creates a database and gives a URL that leads into it through pgbouncer in
// transaction mode: each transaction may get another connection of the server's, and
// nothing of a session lasts. The database is dropped when the test ends. Where there is
// no pgbouncer the test is skipped, or fails if MMSYNC_TEST_REQUIRE names "pgbouncer". A
// server that MMSYNC_TEST_POSTGRES names has no pooler.
func PooledURL(t testing.TB) string {
	t.Helper()
	URL(t) // starts the server, or skips
	if shared.server == nil {
		if Requires("pgbouncer") {
			t.Fatalf("%s requires pgbouncer, and the server that %s names has none before it", EnvRequire, EnvURL)
		}
		t.Skipf("no pgbouncer before the server that %s names", EnvURL)
	}
	pooled.once.Do(func() {
		for range 3 { // somebody else may take its port before it does
			if pooled.pooler, pooled.err = startPooler(shared.url); pooled.err == nil {
				return
			}
		}
	})
	if pooled.err != nil {
		if Requires("pgbouncer") {
			t.Fatalf("%s requires pgbouncer: %v", EnvRequire, pooled.err)
		}
		t.Skipf("no pgbouncer: %v", pooled.err)
	}
	name := "mmsync_test_" + strings.ToLower(rand.Text())
	admin(t, t.Context(), "create database "+name+" template template0")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute) //nolint:usetesting // the test's own has ended
		defer cancel()
		admin(t, ctx, "drop database "+name+" with (force)")
	})
	u, err := url.Parse(pooled.pooler.url)
	require.NoError(t, err)
	u.Path = "/" + name
	return u.String()
}

// startPooler runs pgbouncer before a server on this machine that trusts everybody.
func startPooler(serverURL string) (*server, error) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/pgbouncer"); err != nil {
			return nil, errors.New("pgbouncer is neither in PATH nor in /usr/sbin: install pgbouncer")
		}
	}
	behind, err := url.Parse(serverURL)
	if err != nil {
		return nil, err
	}
	who, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "mmsync-pgbouncer-")
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*server, error) { return nil, errors.Join(err, os.RemoveAll(dir)) }
	if who != nil {
		if err := os.Chown(dir, int(who.Uid), int(who.Gid)); err != nil {
			return fail(err)
		}
	}
	port, err := freePort()
	if err != nil {
		return fail(err)
	}
	// Few connections that do not stay with anybody: whatever leans on a session shows.
	conf := fmt.Sprintf(`[databases]
* = host=127.0.0.1 port=%s user=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
max_client_conn = 500
server_round_robin = 1
server_idle_timeout = 5
ignore_startup_parameters = extra_float_digits
`, behind.Port(), owner, port)
	file := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil { //nolint:gosec // it holds no secret, and another user reads it
		return fail(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return keep(ctx, who, dir, port, program, file)
}

func stopPooler() {
	if pooled.pooler != nil {
		pooled.pooler.stop()
	}
}
