package daemon_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/pgtest"
	"github.com/mmsync/mmsync/internal/state"
)

// told is what a webhook was sent.
type told struct{ Kind, Key, State, Severity, Text, Command string }

// hook is a webhook that passes on what it is sent.
func hook(t *testing.T) (url string, got chan told) {
	t.Helper()
	got = make(chan told, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var x told
		if err := json.NewDecoder(r.Body).Decode(&x); err != nil {
			t.Error(err)
		}
		got <- x
	}))
	t.Cleanup(s.Close)
	return s.URL, got
}

func telling(t *testing.T, sim *mmsim.Server, store, hook string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	if store == "" {
		store = "sqlite:" + filepath.Join(dir, "state.db")
	}
	c, err := config.Parse(filepath.Join(dir, "config.yaml"), fmt.Appendf(nil, `version: 1
mattermost: {url: "%s", token: "%s", rate_limit: {per_second: 10000}}
state: {url: "%s"}
sources: [{name: idp, type: scim}]
scim: {listen: "127.0.0.1:0"}
notices:
  seats_left: 50
  sinks:
    - {name: chat, type: mattermost, channel: ops/identity}
    - name: hook
      type: webhook
      url: %s
`, sim.Start(t), sim.AdminToken(), store, hook), nil)
	require.NoError(t, err)
	return c
}

// While it serves, somebody hears of what the store and the server show.
func TestDaemon_Serve_tells(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]func(*testing.T) string{
		"sqlite":   func(*testing.T) string { return "" },
		"postgres": func(t *testing.T) string { return pgtest.URL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim := mmsim.New(mmsim.Options{})
			url, got := hook(t)
			d, err := daemon.Open(t.Context(), telling(t, sim, store(t), url), daemon.Options{Version: "test"})
			require.NoError(t, err)
			now, err := d.Store.Now(t.Context())
			require.NoError(t, err)
			require.NoError(t, d.Store.CreateToken(t.Context(), state.Token{
				ID: "t_main", Source: "idp", Name: "@all", Hash: [32]byte{1}, CreatedAt: now, ExpiresAt: now.Add(time.Hour),
			}))
			sim.SetUser(sim.AdminID(), func(u *mmsim.User) { u.DeleteAt = 1 })
			serving(t, d)
			list := map[string]told{}
			for range 2 {
				select {
				case x := <-got:
					list[x.Key] = x
				case <-time.After(30 * time.Second):
					t.Fatalf("nobody heard of it; of others: %v", list)
				}
			}
			dead := list["mattermost_token_dead"]
			require.Equal(t, "alarm", dead.Severity)
			require.Equal(t, "lasts", dead.State)
			require.Equal(t, "mmsync doctor", dead.Command)
			soon := list["expiring/token/t_main"]
			require.Equal(t, "mmsync token rotate @all --source idp --reason …", soon.Command)
			require.Contains(t, soon.Text, "SCIM token @\u200ball of source idp", "nobody is called by the name of a token")
			for _, c := range sim.Calls() {
				require.NotEqual(t, "/api/v4/posts", c.Path, "the dead token is not told of by the way that is closed")
			}
		})
	}
}

// serving serves until the test ends.
func serving(t *testing.T, d *daemon.Daemon) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Serve(ctx, daemon.ServeOptions{Listener: l}) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			require.ErrorIs(t, err, context.Canceled)
		}
		require.NoError(t, d.Close())
	})
}

func TestTryNotices(t *testing.T) {
	t.Parallel()
	sim := mmsim.New(mmsim.Options{})
	url, got := hook(t)
	c := telling(t, sim, "", url)
	list, err := daemon.TryNotices(t.Context(), c, daemon.Options{})
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, []string{"chat", "mattermost"}, []string{list[0].Sink, list[0].Type})
	require.ErrorContains(t, list[0].Err, "post the notice to channel ops/identity")
	require.NoError(t, list[1].Err)
	require.Equal(t, "test", (<-got).State)
}
