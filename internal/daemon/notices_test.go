package daemon_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/pgtest"
	"github.com/mmsync/mmsync/internal/reconcile"
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
				case <-time.After(time.Minute):
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
	list, err := daemon.TryNotices(t.Context(), c, daemon.Options{}, "")
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, []string{"chat", "mattermost"}, []string{list[0].Sink, list[0].Type})
	require.ErrorContains(t, list[0].Err, "post the notice to channel ops/identity")
	require.NoError(t, list[1].Err)
	require.Equal(t, "test", (<-got).State)
}

// What the engine writes down is what is told, the command that is shown lets it
// through, and then it is over.
func TestDaemon_Serve_tells_of_a_guard(t *testing.T) {
	t.Parallel()
	sim := mmsim.New(mmsim.Options{})
	url, got := hook(t)
	dir := t.TempDir()
	people := func(left int) {
		text := "id,login,mail,status\n"
		for i := range 30 {
			status := "here"
			if i < left {
				status = "left"
			}
			text += fmt.Sprintf("e%d,user%d,user%d@example.test,%s\n", i, i, i, status)
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, "people.csv"), []byte(text), 0o600))
	}
	c, err := config.Parse(filepath.Join(dir, "config.yaml"), fmt.Appendf(nil, `version: 1
mattermost: {url: "%s", token: "%s", rate_limit: {per_second: 10000}}
state: {url: "sqlite:%s/state.db"}
sources: [{name: hr, type: file, path: people.csv, disabled_when: 'attr.status == "left"'}, {name: idp, type: scim}]
mapping: {defaults: {id_attribute: attr.id, username_attribute: attr.login, email_attribute: attr.mail}}
guards: {max_deactivations: {count: 5}}
lifecycle: {deactivate: {look_again: 0s}}
scim: {listen: "127.0.0.1:0"}
notices:
  sinks:
    - name: hook
      type: webhook
      url: %s
`, sim.Start(t), sim.AdminToken(), dir, url), nil)
	require.NoError(t, err)
	hears := func() told {
		select {
		case x := <-got:
			return x
		case <-time.After(time.Minute):
			t.Fatal("nobody heard of it")
			return told{}
		}
	}
	served := func(work func(d *daemon.Daemon)) told {
		d, err := daemon.Open(t.Context(), c, daemon.Options{Version: "test"})
		require.NoError(t, err)
		work(d)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- d.Serve(ctx, daemon.ServeOptions{Listener: l}) }()
		x := hears()
		stop()
		require.NoError(t, <-done)
		require.NoError(t, d.Close())
		return x
	}
	sync := func(d *daemon.Daemon) reconcile.Report {
		rep, err := d.Engine.Sync(t.Context(), reconcile.RunOptions{Trigger: "test"})
		require.NoError(t, err)
		return rep
	}
	var run string
	x := served(func(d *daemon.Daemon) {
		people(0)
		require.Equal(t, 30, sync(d).Counts.Done)
		people(10)
		rep := sync(d)
		require.True(t, rep.Verdict.Tripped())
		run = rep.RunID
	})
	require.Equal(t, "guard_tripped/hr", x.Key)
	require.Equal(t, "mmsync approve "+run+" --reason …", x.Command)
	require.Contains(t, x.Text, "changes of 10 people of source hr, 10 of whom would be switched off")
	x = served(func(d *daemon.Daemon) {
		_, err := d.Engine.Say(t.Context(), reconcile.Say{Run: run, Approves: true, Reason: "r", By: "test"})
		require.NoError(t, err)
		require.Equal(t, 10, sync(d).Counts.Done)
	})
	require.Equal(t, "guard_tripped/hr", x.Key)
	require.Equal(t, "over", x.State)
	require.Empty(t, x.Command)
}

// A service that reads a directory now and then, and has no page, hears of a dead token
// without a call of its own, and of a source that cannot be read although nothing came back.
func TestDaemon_Serve_tells_within_seconds(t *testing.T) {
	t.Parallel()
	sim := mmsim.New(mmsim.Options{})
	url, got := hook(t)
	dir := t.TempDir()
	people := filepath.Join(dir, "people.csv")
	require.NoError(t, os.WriteFile(people, []byte("no table"), 0o600))
	c, err := config.Parse(filepath.Join(dir, "config.yaml"), fmt.Appendf(nil, `version: 1
mattermost: {url: "%s", token: "%s", rate_limit: {per_second: 10000}}
state: {url: "sqlite:%s/state.db"}
sources: [{name: hr, type: file, path: people.csv}, {name: idp, type: scim}]
mapping: {defaults: {id_attribute: attr.id, username_attribute: attr.login, email_attribute: attr.mail}}
scim: {listen: "127.0.0.1:0"}
audit: {key_file: audit.key}
notices:
  sinks:
    - name: hook
      type: webhook
      url: %s
`, sim.Start(t), sim.AdminToken(), dir, url), nil)
	require.NoError(t, err)
	d, err := daemon.Open(t.Context(), c, daemon.Options{Version: "test"})
	require.NoError(t, err)
	_, err = d.Engine.Sync(t.Context(), reconcile.RunOptions{Trigger: "test"})
	require.NoError(t, err)
	serving(t, d)
	hears := func() told {
		t.Helper()
		select {
		case x := <-got:
			return x
		case <-time.After(time.Minute):
			t.Fatal("nobody heard of it")
			return told{}
		}
	}
	x := hears()
	require.Equal(t, "source_degraded/hr", x.Key)
	require.Contains(t, x.Text, "No read of source hr since ")
	sim.SetUser(sim.AdminID(), func(u *mmsim.User) { u.DeleteAt = time.Now().UnixMilli() })
	x = hears()
	require.Equal(t, "mattermost_token_dead", x.Key)
	require.Equal(t, "lasts", x.State)
	sim.SetUser(sim.AdminID(), func(u *mmsim.User) { u.DeleteAt = 0 })
	x = hears()
	require.Equal(t, "mattermost_token_dead", x.Key)
	require.Equal(t, "over", x.State)
}

// A store that was put back is told of by whoever tells, before any run fails of it.
func TestDaemon_Serve_tells_of_a_store_that_was_put_back(t *testing.T) {
	t.Parallel()
	sim := mmsim.New(mmsim.Options{})
	url, got := hook(t)
	c := telling(t, sim, "", url)
	open := func() *daemon.Daemon {
		d, err := daemon.Open(t.Context(), c, daemon.Options{Version: "test"})
		require.NoError(t, err)
		return d
	}
	d := open()
	l, err := d.Store.AcquireLease(t.Context(), reconcile.LeaseName, "test", time.Minute)
	require.NoError(t, err)
	now, err := d.Store.Now(t.Context())
	require.NoError(t, err)
	require.NoError(t, d.Store.SetMark(t.Context(), l, state.Mark{Name: state.MarkRestored, At: now, ServerDate: now}))
	serving(t, d)
	select {
	case x := <-got:
		require.Equal(t, "store_restored", x.Key)
		require.Equal(t, "alarm", x.Severity)
		require.Equal(t, "mmsync state accept-restore --reason …", x.Command)
	case <-time.After(time.Minute):
		t.Fatal("nobody heard of it")
	}
}

func TestDaemon_Serve_tells_what_leavers_left(t *testing.T) {
	t.Parallel()
	sim := mmsim.New(mmsim.Options{Settings: map[string]string{"MM_SERVICESETTINGS_DISABLEBOTSWHENOWNERISDEACTIVATED": "false"}})
	url, got := hook(t)
	dir := t.TempDir()
	people := func(status string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "people.csv"), []byte("id,login,mail,status\ne1,ada,ada@example.test,"+status+"\n"), 0o600))
	}
	c, err := config.Parse(filepath.Join(dir, "config.yaml"), fmt.Appendf(nil, `version: 1
mattermost: {url: "%s", token: "%s", rate_limit: {per_second: 10000}}
state: {url: "sqlite:%s/state.db"}
sources: [{name: hr, type: file, path: people.csv, disabled_when: 'attr.status == "left"'}, {name: idp, type: scim}]
mapping: {defaults: {id_attribute: attr.id, username_attribute: attr.login, email_attribute: attr.mail}}
lifecycle: {deactivate: {look_again: 0s}}
scim: {listen: "127.0.0.1:0"}
notices:
  left_behind: true
  sinks: [{name: hook, type: webhook, url: "%s"}]
`, sim.Start(t), sim.AdminToken(), dir, url), nil)
	require.NoError(t, err)
	d, err := daemon.Open(t.Context(), c, daemon.Options{Version: "test"})
	require.NoError(t, err)
	for _, status := range []string{"here", "left"} {
		people(status)
		rep, err := d.Engine.Sync(t.Context(), reconcile.RunOptions{Trigger: "test"})
		require.NoError(t, err)
		require.Equal(t, 1, rep.Counts.Done)
		if u, there := sim.UserByName("ada"); status == "here" && there {
			sim.AddUser(mmsim.User{Username: "deploybot", IsBot: true, OwnerID: u.ID})
		}
	}
	serving(t, d)
	select {
	case x := <-got:
		require.Equal(t, "left_behind/hr", x.Key)
		require.Equal(t, "warn", x.Severity)
		require.Contains(t, x.Text, "1 person of source hr who left own things that work on without them: 1 bot.")
		require.Equal(t, "mmsync leftovers", x.Command)
	case <-time.After(time.Minute):
		t.Fatal("nobody heard of it")
	}
}
