package daemon_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/pgtest"
	"github.com/mmsync/mmsync/internal/reconcile"
)

// watched is a service with an admin listener, and what stands around it: store is the
// file of its SQLite store, scim the listener that clients push to.
type watched struct {
	d       *daemon.Daemon
	sim     *mmsim.Server
	people  string
	store   string
	scim    net.Listener
	address string
}

// slack is how many times as long as on an idle machine things may take: the bounds are
// proven with a clock of their own in internal/admin, and here that they hold for a service.
const slack = 8

func watch(t *testing.T, store, extra string) *watched {
	t.Helper()
	return watchAt(t, store, extra, func(url string) (reached, more string) { return url, "" })
}

// watchAt has Mattermost reached at another address than it listens on, with more keys.
func watchAt(t *testing.T, store, extra string, server func(url string) (reached, more string)) *watched {
	t.Helper()
	dir := t.TempDir()
	w := &watched{sim: mmsim.New(mmsim.Options{}), people: filepath.Join(dir, "people.csv"), store: filepath.Join(dir, "state.db")}
	if store == "" {
		store = "sqlite:" + w.store
	}
	if !strings.Contains(extra, "scim: {") {
		extra += "scim: {listen: \"127.0.0.1:0\"}\n"
	}
	require.NoError(t, os.WriteFile(w.people, []byte("id,username,mail\n1,ada,ada@example.test\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "token"), []byte(w.sim.AdminToken()), 0o600))
	reached, more := server(w.sim.Start(t))
	c, err := config.Parse(filepath.Join(dir, "config.yaml"), fmt.Appendf(nil, `version: 1
mattermost: {url: "%s", token_file: token, rate_limit: {per_second: 10000}%s}
state: {url: "%s"}
audit: {key_file: audit.key}
sources:
  - {name: idp, type: scim}
  - {name: hr, type: file, path: people.csv, format: csv}
%smapping:
  defaults: {id_attribute: attr.id, username_attribute: attr.username, email_attribute: attr.mail}
`, reached, more, store, extra), nil)
	require.NoError(t, err)
	w.d, err = daemon.Open(t.Context(), c, daemon.Options{Version: "test"})
	require.NoError(t, err)
	bound, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w.scim, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w.address = "http://" + bound.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- w.d.Serve(ctx, daemon.ServeOptions{Listener: heldOpen(w.scim), AdminListener: bound, Logger: slog.New(slog.DiscardHandler)})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Log("what the test broke:", err)
		}
		_ = w.d.Close()
	})
	w.until(t, nil)
	return w
}

type readiness struct {
	status int
	Ready  bool
	Broken []string
	Parts  []struct {
		Part, Detail, Because string
		OK                    bool
	}
}

func (r readiness) detail(part string) string {
	for _, p := range r.Parts {
		if p.Part == part {
			return p.Detail
		}
	}
	return ""
}

// ready asks, and fails if the answer takes long, whatever is broken.
func (w *watched) ready(t *testing.T) (r readiness) {
	t.Helper()
	start := time.Now()
	status, body := w.get(t, "/readyz")
	require.Less(t, time.Since(start), slack*2*time.Second, "nothing keeps readyz from answering")
	require.NoError(t, json.Unmarshal([]byte(body), &r), body)
	r.status = status
	require.Equal(t, r.Ready, status == http.StatusOK, body)
	return r
}

func (w *watched) get(t *testing.T, path string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.address+path, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}

// until waits until exactly these parts are broken, and tells how long that took.
func (w *watched) until(t *testing.T, broken []string) (readiness, time.Duration) {
	t.Helper()
	start := time.Now()
	var r readiness
	for time.Since(start) < 2*time.Minute {
		if r = w.ready(t); slices.Equal(r.Broken, broken) || len(r.Broken)+len(broken) == 0 {
			return r, time.Since(start)
		}
		time.Sleep(20 * time.Millisecond)
	}
	require.Failf(t, "not in time", "want %v, but %+v", broken, r)
	return r, 0
}

// names checks that a part is named in time, and alone.
func (w *watched) names(t *testing.T, part, detail string) {
	t.Helper()
	r, took := w.until(t, []string{part})
	require.LessOrEqual(t, took, slack*5*time.Second)
	require.Equal(t, http.StatusServiceUnavailable, r.status)
	require.Contains(t, r.detail(part), detail)
	status, _ := w.get(t, "/healthz")
	require.Equal(t, http.StatusOK, status, "alive all the same")
	_, metrics := w.get(t, "/metrics")
	require.Contains(t, metrics, fmt.Sprintf("mmsync_part_ok{part=%q} 0\n", part))
}

func TestServe_readyz_names_what_broke_within_5s(t *testing.T) {
	t.Parallel()
	t.Run("all is well", func(t *testing.T) {
		t.Parallel()
		w := watch(t, "", "")
		r := w.ready(t)
		require.Equal(t, "It takes what is pushed.", r.detail("source idp"))
		require.Equal(t, "It is there, and was not read yet.", r.detail("source hr"))
		_, metrics := w.get(t, "/metrics")
		require.Contains(t, metrics, `mmsync_build_info{version="test"} 1`)
		require.Contains(t, metrics, `mmsync_mattermost_requests_total{class="2xx",kind="read"}`)
	})
	t.Run("a SQLite store that is closed", func(t *testing.T) {
		t.Parallel()
		w := watch(t, "", "")
		require.NoError(t, w.d.Store.Close())
		w.names(t, "store", "mmsync doctor --only state")
	})
	t.Run("a PostgreSQL that hangs, and comes back", func(t *testing.T) {
		t.Parallel()
		u, err := url.Parse(pgtest.URL(t))
		require.NoError(t, err)
		between := newLine(t, u.Host)
		u.Host = between.address
		w := watch(t, u.String(), "")
		between.hang(true)
		w.names(t, "store", "")
		between.hang(false)
		w.until(t, nil)
	})
	t.Run("a PostgreSQL that is away", func(t *testing.T) {
		t.Parallel()
		u, err := url.Parse(pgtest.URL(t))
		require.NoError(t, err)
		between := newLine(t, u.Host)
		u.Host = between.address
		w := watch(t, u.String(), "")
		between.close()
		w.names(t, "store", "mmsync doctor --only state")
	})
	t.Run("a Mattermost that is away", func(t *testing.T) {
		t.Parallel()
		w := watch(t, "", "")
		require.NoError(t, w.sim.Close())
		w.names(t, "mattermost", "mmsync doctor --only mattermost")
	})
	t.Run("a Mattermost that hangs", func(t *testing.T) {
		t.Parallel()
		w := watch(t, "", "")
		well := w.sim.Fail(mmsim.Fault{Latency: 20 * time.Second})
		w.names(t, "mattermost", "")
		well()
		w.until(t, nil)
	})
	t.Run("a Mattermost without its database", func(t *testing.T) {
		t.Parallel()
		w := watch(t, "", "")
		w.sim.Fail(mmsim.Fault{DatabaseAway: true})
		w.names(t, "mattermost", "does not reach its database")
	})
	t.Run("a Mattermost that wants to be asked less is there", func(t *testing.T) {
		t.Parallel()
		w := watch(t, "", "")
		w.sim.Fail(mmsim.Fault{Status: http.StatusTooManyRequests})
		time.Sleep(4500 * time.Millisecond)
		w.until(t, nil)
	})
	t.Run("a token that is dead", func(t *testing.T) {
		t.Parallel()
		w := watch(t, "", "")
		w.sim.SetUser(w.sim.AdminID(), func(u *mmsim.User) { u.DeleteAt = time.Now().UnixMilli() })
		w.names(t, "token", "does not accept the token")
	})
	t.Run("a token that was replaced is well", func(t *testing.T) {
		t.Parallel()
		w := watch(t, "", "")
		next := w.sim.AddToken(w.sim.AdminID())
		require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(w.people), "token"), []byte(next), 0o600))
		w.sim.EnableToken(w.sim.AdminToken(), false)
		time.Sleep(5 * time.Second) // the token is asked about once in 4.4
		w.until(t, nil)
		require.Equal(t, "The server takes it.", w.ready(t).detail("token"))
	})
	t.Run("a PostgreSQL that only reads", func(t *testing.T) {
		t.Parallel()
		pg := pgtest.Own(t)
		w := watch(t, pg.URL(), "")
		pg.Exec("alter system set default_transaction_read_only = on")
		pg.Exec("select pg_reload_conf()")
		w.names(t, "store", "the database only reads")
	})
	t.Run("a reading that failed, and was done by another since", func(t *testing.T) {
		t.Parallel()
		w := watch(t, "", "")
		text, err := os.ReadFile(w.people)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(w.people, []byte("no table"), 0o600))
		_, err = w.d.Engine.Sync(t.Context(), reconcile.RunOptions{Trigger: "test"})
		require.NoError(t, err)
		r, _ := w.until(t, []string{"source hr"})
		require.NotContains(t, r.detail("source hr"), "column", "what the reading met is not for everybody")
		require.NoError(t, os.WriteFile(w.people, text, 0o600))
		other, err := daemon.Open(t.Context(), w.d.Config, daemon.Options{Version: "test"})
		require.NoError(t, err)
		defer func() { require.NoError(t, other.Close()) }()
		_, err = other.Engine.Sync(t.Context(), reconcile.RunOptions{Trigger: "test"})
		require.NoError(t, err)
		w.until(t, nil)
	})
	t.Run("a file that is gone", func(t *testing.T) {
		t.Parallel()
		w := watch(t, "", "")
		require.NoError(t, os.Remove(w.people))
		w.names(t, "source hr", "mmsync doctor --only hr")
	})
	t.Run("a sealing key that is gone", func(t *testing.T) {
		t.Parallel()
		w := watch(t, "", "")
		require.NoError(t, os.Remove(filepath.Join(filepath.Dir(w.people), "audit.key")))
		w.names(t, "sealing key", "put back the file")
	})
}

// Mattermost is looked at by nobody twice within 2 s, whatever it answers.
func TestServe_Mattermost_is_not_pressed(t *testing.T) {
	t.Parallel()
	w := watch(t, "", "")
	var mu sync.Mutex
	asked := 0
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return asked
	}
	began := time.Now()
	w.sim.Fail(mmsim.Fault{Match: func(r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		asked++
		return true
	}, Status: http.StatusUnauthorized})
	time.Sleep(9 * time.Second)
	require.Eventually(t, func() bool { return count() >= 3 }, time.Minute, 20*time.Millisecond)
	n := count()
	require.LessOrEqual(t, n, int(time.Since(began)/(2*time.Second))+2, "one at the start, and one that a busy machine held up")
}

// line is a connection to a server that can go dead.
type line struct {
	address string
	l       net.Listener
	wg      sync.WaitGroup

	mu    sync.Mutex
	dead  chan struct{} // open while nothing passes; nil while all does
	conns []net.Conn
	ended bool
}

func newLine(t *testing.T, target string) *line {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	x := &line{address: l.Addr().String(), l: l}
	x.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp", target)
			if err != nil || !x.track(c, s) {
				_ = c.Close()
				continue
			}
			x.wg.Go(func() { x.pass(s, c) })
			x.wg.Go(func() { x.pass(c, s) })
		}
	})
	t.Cleanup(x.close)
	return x
}

func (x *line) track(c ...net.Conn) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.conns = append(x.conns, c...)
	return !x.ended
}

func (x *line) pass(to, from net.Conn) {
	defer to.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		x.mu.Lock()
		dead := x.dead
		x.mu.Unlock()
		if dead != nil {
			<-dead
		}
		if _, w := to.Write(b[:n]); err != nil || w != nil {
			return
		}
	}
}

func (x *line) hang(on bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case on && x.dead == nil:
		x.dead = make(chan struct{})
	case !on && x.dead != nil:
		close(x.dead)
		x.dead = nil
	}
}

func (x *line) close() {
	x.hang(false)
	_ = x.l.Close()
	x.mu.Lock()
	x.ended = true
	for _, c := range x.conns {
		_ = c.Close()
	}
	x.mu.Unlock()
	x.wg.Wait()
}
