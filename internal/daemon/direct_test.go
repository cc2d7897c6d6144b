package daemon_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/pgtest"
	"github.com/mmsync/mmsync/internal/reconcile"
)

// post is a message that a simulated server took.
type post struct {
	Channel string `json:"channel_id"`
	Message string
}

func posted(t *testing.T, sim *mmsim.Server) (list []post) {
	t.Helper()
	for _, c := range sim.Calls() {
		if c.Path == "/api/v4/posts" && c.Status == 201 {
			var p post
			require.NoError(t, json.Unmarshal(c.Body, &p))
			list = append(list, p)
		}
	}
	return list
}

// opened gives the ids that a direct channel was asked for with.
func opened(t *testing.T, sim *mmsim.Server) (pairs [][]string) {
	t.Helper()
	for _, c := range sim.Calls() {
		if c.Path == "/api/v4/channels/direct" {
			var ids []string
			require.NoError(t, json.Unmarshal(c.Body, &ids))
			pairs = append(pairs, ids)
		}
	}
	return pairs
}

// company is a daemon's world in which people have managers.
type company struct {
	t   *testing.T
	sim *mmsim.Server
	dir string
	c   *config.Config
	log logs
}

func newCompany(t *testing.T, store string) *company {
	t.Helper()
	w := &company{t: t, sim: mmsim.New(mmsim.Options{}), dir: t.TempDir()}
	if store == "" {
		store = "sqlite:" + filepath.Join(w.dir, "state.db")
	}
	var err error
	w.c, err = config.Parse(filepath.Join(w.dir, "config.yaml"), fmt.Appendf(nil, `version: 1
mattermost: {url: "%s", token: "%s", rate_limit: {per_second: 10000}}
state: {url: "%s"}
sources: [{name: hr, type: file, path: people.csv, manager: attr.boss, disabled_when: 'attr.status == "left"'}, {name: idp, type: scim}]
mapping: {defaults: {id_attribute: attr.id, username_attribute: attr.login, email_attribute: attr.mail, first_name_attribute: attr.first}}
lifecycle: {deactivate: {look_again: 0s}}
scim: {listen: "127.0.0.1:0"}
notices:
  leavers: true
  left_behind: true
  sinks:
    - {name: managers, type: manager}
`, w.sim.Start(t), w.sim.AdminToken(), store), nil)
	require.NoError(t, err)
	return w
}

func (w *company) people(lines ...string) {
	w.t.Helper()
	text := "id,login,mail,first,boss,status\n" + strings.Join(lines, "\n") + "\n"
	require.NoError(w.t, os.WriteFile(filepath.Join(w.dir, "people.csv"), []byte(text), 0o600))
}

func (w *company) logger() *slog.Logger { return slog.New(slog.NewTextHandler(&w.log, nil)) }

func (w *company) open() *daemon.Daemon {
	w.t.Helper()
	d, err := daemon.Open(w.t.Context(), w.c, daemon.Options{Version: "test", Logger: w.logger()})
	require.NoError(w.t, err)
	return d
}

// sync runs often enough for managers to be known.
func (w *company) sync(d *daemon.Daemon) {
	w.t.Helper()
	for range 2 {
		_, err := d.Engine.Sync(w.t.Context(), reconcile.RunOptions{Trigger: "test"})
		require.NoError(w.t, err)
	}
}

func (w *company) id(name string) string {
	w.t.Helper()
	u, there := w.sim.UserByName(name)
	require.True(w.t, there, name)
	return u.ID
}

// serve serves until so many notices are noted as told, and a second longer.
func (w *company) serve(told int) {
	w.t.Helper()
	d := w.open()
	defer func() { require.NoError(w.t, d.Close()) }()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(w.t, err)
	ctx, stop := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Serve(ctx, daemon.ServeOptions{Listener: l, Logger: w.logger()}) }()
	noted := func() bool {
		list, err := d.Store.Told(w.t.Context())
		return err == nil && len(list) == told
	}
	enough := time.Now().Add(30 * time.Second)
	for !noted() && time.Now().Before(enough) {
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(time.Second) // for what should not come
	stop()
	require.NoError(w.t, <-done)
	require.True(w.t, noted(), "%d notices were to be told", told)
}

// A leaver's manager gets one direct message, and a restart adds none.
func TestDaemon_Serve_tells_the_manager(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]func(*testing.T) string{
		"sqlite":   func(*testing.T) string { return "" },
		"postgres": func(t *testing.T) string { return pgtest.URL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newCompany(t, store(t))
			w.people("1,grace,grace@example.test,Grace,,here", "2,ada.canary,ada@example.test,Ada [x](http://evil.test),1,here", "3,bob,bob@example.test,Bob,2,here", "4,cid,cid@example.test,Cid,9,here")
			d := w.open()
			w.sync(d)
			// Whom nobody names any more had his last one; bob's leaves as well; cid's is not known.
			w.people("1,grace,grace@example.test,Grace,,here", "2,ada.canary,ada@example.test,Ada [x](http://evil.test),,left", "3,bob,bob@example.test,Bob,2,left", "4,cid,cid@example.test,Cid,9,left")
			w.sync(d)
			require.Empty(t, posted(t, w.sim), "whoever runs without serve tells nobody")
			require.NoError(t, d.Close())
			w.serve(2)
			w.serve(2)
			list := posted(t, w.sim)
			require.Len(t, list, 1, "nobody reads what is written to an account that is off")
			require.True(t, strings.HasPrefix(list[0].Message, "`ada.canary` (Ada [x]\u200b(http:\u200b//evil.\u200btest)), who reported to you, has left: the account was switched off at 20"), list[0].Message)
			require.Equal(t, [][]string{{w.sim.AdminID(), w.id("grace")}}, opened(t, w.sim))
			require.NotContains(t, w.log.String(), "canary", "no name is in the log")
			require.Contains(t, w.log.String(), "notice=left")
		})
	}
}

// What the server refuses for one is no reason to ask it again and again, nor to tell no
// one else.
func TestDaemon_Serve_a_manager_who_cannot_be_written_to(t *testing.T) {
	t.Parallel()
	w := newCompany(t, "")
	w.people("1,grace,grace@example.test,Grace,,here", "2,ada,ada@example.test,Ada,1,here", "3,bob,bob@example.test,Bob,4,here", "4,dora,dora@example.test,Dora,,here")
	d := w.open()
	w.sync(d)
	w.people("1,grace,grace@example.test,Grace,,here", "2,ada,ada@example.test,Ada,1,left", "3,bob,bob@example.test,Bob,4,left", "4,dora,dora@example.test,Dora,,here")
	w.sync(d)
	require.NoError(t, d.Close())
	w.sim.Fail(mmsim.Fault{Path: "/channels/direct", Status: 403, ErrorID: "api.context.permissions.app_error", Count: 2}) // a refusal is asked for twice
	w.serve(2)
	require.Len(t, posted(t, w.sim), 1)
	require.Contains(t, w.log.String(), "Mattermost does not let mmsync write to somebody's manager")
}

func TestTryNotices_writes_to_whom_it_is_told_to(t *testing.T) {
	t.Parallel()
	w := newCompany(t, "")
	try := func(to string) daemon.Tried {
		list, err := daemon.TryNotices(t.Context(), w.c, daemon.Options{}, to)
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, []string{"managers", "manager"}, []string{list[0].Sink, list[0].Type})
		return list[0]
	}
	x := try("")
	require.NoError(t, x.Err)
	require.Equal(t, "it writes to people, and --to names nobody", x.Untried)
	require.Empty(t, w.sim.Calls(), "nothing was asked for it")
	require.ErrorContains(t, try("nobody").Err, `no account is called "nobody"`)
	w.sim.AddUser(mmsim.User{Username: "off", Email: "off@example.test", DeleteAt: 1})
	require.ErrorContains(t, try("off").Err, "nobody reads what is written to")
	me := w.sim.AddUser(mmsim.User{Username: "me", Email: "me@example.test"}).ID
	x = try("me")
	require.NoError(t, x.Err)
	require.Empty(t, x.Untried)
	require.Equal(t, [][]string{{w.sim.AdminID(), me}}, opened(t, w.sim))
	require.Contains(t, posted(t, w.sim)[0].Message, "This is a test of mmsync's notices")
}
