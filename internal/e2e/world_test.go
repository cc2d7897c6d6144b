package e2e_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/addrtest"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/pgtest"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/state"
	"github.com/mmsync/mmsync/internal/state/postgres"
	"github.com/mmsync/mmsync/internal/state/sqlite"
)

// world is one server, one store, one configuration, and a directory to read.
type world struct {
	t        testing.TB
	dir      string
	sim      *mmsim.Server
	config   string // path
	stateURL string
	settings settings
	// foreign are the accounts that were there before mmsync.
	foreign map[string]mmsim.User
}

// settings are what tests change in the configuration.
type settings struct {
	ldap     string   // URL of the directory; "" has no such source
	file     bool     // the directory is people.ldif in the world's folder, see feed
	extra    string   // further sources, in YAML
	scim     []string // sources that are pushed
	inline   string   // scim.inline_timeout; 50ms unless set
	sections string   // further sections, in YAML
	limits   string   // further guards, in YAML
	mapping  string   // the source's own mapping, in YAML
	target   string   // further keys of the mattermost section, in YAML
	grace    string
	outage   string // outage_wait; 0s unless set
	inFlight int    // max_in_flight; 4 unless set
	again    string // look_again; 0s unless set
	guards   string
	baseDN   string
	reader   string
	disabled string // disabled_when
	pageSize int    // at least 50
	delta    string // auto unless set
	url      string // of Mattermost
	server   mmsim.Options
}

// store is one of the two kinds.
type store struct {
	name string
	url  func(testing.TB, string) string
}

func sqliteStore() store {
	return store{"sqlite", func(_ testing.TB, dir string) string { return "sqlite:" + filepath.Join(dir, "state.db") }}
}

func postgresStore() store {
	return store{"postgres", func(t testing.TB, _ string) string { return pgtest.URL(t) }}
}

func stores() []store { return []store{sqliteStore(), postgresStore()} }

// newWorld starts a server that has an administrator and accounts of others on
// it, and writes a configuration that leads to it.
func newWorld(t testing.TB, st store, s settings) *world {
	t.Helper()
	binary(t)
	s.server.MaxCallBody = 512
	w := &world{t: t, dir: t.TempDir(), sim: mmsim.New(s.server)}
	var err error
	s.url, err = w.sim.Listen(addrtest.Host() + ":0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.sim.Close() })
	w.stateURL = st.url(t, w.dir)
	w.addForeign()
	w.agree()
	w.configure(s)
	t.Cleanup(w.checkForeign)
	return w
}

// configure writes the configuration.
func (w *world) configure(s settings) {
	w.t.Helper()
	or := func(s, zero string) string {
		if s == "" {
			return zero
		}
		return s
	}
	if s.url == "" {
		s.url = w.settings.url
	}
	w.settings = s
	var b strings.Builder
	fmt.Fprintf(&b, `version: 1
mattermost:
  url: %s
  token: ${MMSYNC_E2E_TOKEN}
  rate_limit: {per_second: 100000}
  max_in_flight: %d
  outage_wait: %s
%sstate:
  url: %s
sources:
`, s.url, cmp.Or(s.inFlight, 4), or(s.outage, "0s"), s.target, w.stateURL)
	if s.ldap != "" {
		fmt.Fprintf(&b, `  - name: corp
    type: ldap
    connection_url: [%s]
    bind_username: %s
    bind_password: %s
    base_dn: %s
    user_filter: (objectClass=inetOrgPerson)
    disabled_when: '%s'
    max_page_size: %d
    query_timeout: 10s
    delta: %s
    groups: {membership_attribute: memberOf}
`, s.ldap, or(s.reader, slapdtest.ReaderDN), slapdtest.ReaderPassword, or(s.baseDN, slapdtest.PeopleDN), or(s.disabled, `attr.employeeType == "disabled"`), max(s.pageSize, 50), or(s.delta, "auto"))
	}
	if s.file {
		fmt.Fprintf(&b, "  - {name: corp, type: file, path: people.ldif, disabled_when: '%s'}\n", or(s.disabled, `attr.employeeType == "disabled"`))
	}
	for _, name := range s.scim {
		fmt.Fprintf(&b, "  - {name: %s, type: scim}\n", name)
	}
	b.WriteString(s.extra)
	if s.ldap != "" || s.file {
		b.WriteString(`mapping:
  defaults:
    id_attribute: attr.entryUUID
    username_attribute: lower(attr.uid)
    email_attribute: lower(attr.mail)
    first_name_attribute: attr.givenName
    last_name_attribute: attr.sn
    position_attribute: attr.title
` + s.mapping)
		fmt.Fprintf(&b, "roles:\n  - {role: system_admin, source: corp, groups: [%q], grant: allow}\n", slapdtest.GroupDN("chat-admins"))
	}
	fmt.Fprintf(&b, "lifecycle:\n  deactivate:\n    look_again: %s\n    grace: %s\n", or(s.again, "0s"), or(s.grace, "{disabled: 0s, missing: 0s, out_of_scope: 0s}"))
	fmt.Fprintf(&b, "guards:\n  max_deactivations: %s\n", or(s.guards, "{count: 50, percent: 1}"))
	b.WriteString(s.limits)
	if len(s.scim) > 0 {
		fmt.Fprintf(&b, "scim:\n  listen: 127.0.0.1:0\n  inline_timeout: %s\n  limits: {requests_per_second: 10000, burst: 10000}\n", or(s.inline, "50ms"))
	}
	b.WriteString(s.sections)
	w.config = filepath.Join(w.dir, "config.yaml")
	require.NoError(w.t, os.WriteFile(w.config, []byte(b.String()), 0o600))
}

// feed writes the file that stands for the directory.
func (w *world) feed(people []slapdtest.Person) {
	w.t.Helper()
	var b strings.Builder
	for _, p := range people {
		b.WriteString(p.LDIF() + "\n")
	}
	next := filepath.Join(w.dir, "people.next")
	require.NoError(w.t, os.WriteFile(next, []byte(b.String()), 0o600))
	require.NoError(w.t, os.Rename(next, filepath.Join(w.dir, "people.ldif")))
}

// agree has the store know that a first run was completed long ago: the server has
// people, and would be asked about first. What is asked is told by a story of
// cmd/mmsync.
func (w *world) agree() {
	ctx := w.t.Context()
	s := w.openStore()
	defer s.Close()
	m, ok := s.(interface {
		Migrate(ctx context.Context) ([]string, error)
	})
	require.True(w.t, ok)
	_, err := m.Migrate(ctx)
	require.NoError(w.t, err)
	l, err := s.AcquireLease(ctx, "agree", "test", time.Minute)
	require.NoError(w.t, err)
	require.NoError(w.t, s.SetMark(ctx, l, state.Mark{Name: "first run", At: time.Now().Add(-90 * 24 * time.Hour)}))
	require.NoError(w.t, s.ReleaseLease(ctx, l))
}

// addForeign makes accounts that mmsync has nothing to do with.
func (w *world) addForeign() {
	long := time.Now().Add(-90 * 24 * time.Hour).UnixMilli()
	w.sim.AddUsers([]mmsim.User{
		{Username: "deploy-bot", Email: "deploy-bot@localhost", IsBot: true, OwnerID: w.sim.AdminID(), CreateAt: long, UpdateAt: long},
		{Username: "second.admin", Email: "second.admin@chat.test", Roles: "system_user system_admin", CreateAt: long, UpdateAt: long},
		{Username: "guest.house", Email: "guest@elsewhere.test", Roles: "system_guest", CreateAt: long, UpdateAt: long},
		{Username: "left.long.ago", Email: "left@chat.test", CreateAt: long, UpdateAt: long, DeleteAt: long + 1},
		{Username: "remote.friend", Email: "friend@far.test", RemoteID: "qwertyuiopasdfghjklzxcvbnm", CreateAt: long, UpdateAt: long},
		{Username: "saml.person", Email: "saml@chat.test", AuthService: "saml", AuthData: "saml-1", CreateAt: long, UpdateAt: long},
	})
	w.knowForeign()
}

// knowForeign takes every account the server has now for somebody else's.
func (w *world) knowForeign() {
	if w.foreign == nil {
		w.foreign = map[string]mmsim.User{}
	}
	for _, u := range w.sim.Users() {
		w.foreign[u.ID] = u
	}
}

// addStranger makes an unlinked account that has what somebody else wants.
func (w *world) addStranger(u mmsim.User) mmsim.User {
	u = w.sim.AddUser(u)
	w.foreign[u.ID] = u
	return u
}

// checkForeign compares the accounts of others with what they were.
func (w *world) checkForeign() {
	for _, id := range slices.Sorted(maps.Keys(w.foreign)) {
		now, ok := w.sim.User(id)
		if !ok || !reflect.DeepEqual(w.foreign[id], now) {
			w.t.Errorf("an account that is not mmsync's was changed:\nbefore %+v\nafter  %+v", w.foreign[id], now)
		}
	}
}

// managed gives the accounts that came after the foreign ones, by username.
func (w *world) managed() map[string]mmsim.User {
	out := map[string]mmsim.User{}
	for _, u := range w.sim.Users() {
		if _, foreign := w.foreign[u.ID]; !foreign {
			out[u.Username] = u
		}
	}
	return out
}

func (w *world) user(name string) mmsim.User {
	w.t.Helper()
	u, ok := w.sim.UserByName(name)
	require.True(w.t, ok, "there is no account %q", name)
	return u
}

// mmsimUser keeps the simulator's package out of files that only change a user.
type mmsimUser = mmsim.User

// switchOff is what an administrator does in the System Console.
func (w *world) switchOff(name string) {
	w.t.Helper()
	now := time.Now().UnixMilli()
	w.sim.SetUser(w.user(name).ID, func(u *mmsim.User) { u.DeleteAt, u.UpdateAt = now, now })
}

// off counts managed accounts that are switched off.
func (w *world) off() int {
	n := 0
	for _, u := range w.managed() {
		if !u.Active() {
			n++
		}
	}
	return n
}

// openStore opens the store for looking at, while no program runs.
func (w *world) openStore() state.Store {
	w.t.Helper()
	ctx := context.WithoutCancel(w.t.Context())
	var s state.Store
	var err error
	if strings.HasPrefix(w.stateURL, sqlite.Scheme) {
		s, err = sqlite.Open(ctx, w.stateURL, sqlite.Options{})
	} else {
		s, err = postgres.Open(ctx, w.stateURL, postgres.Options{})
	}
	require.NoError(w.t, err)
	return s
}

func (w *world) links() []identity.Link {
	w.t.Helper()
	s := w.openStore()
	defer s.Close()
	links, err := s.Links(w.t.Context(), state.LinkFilter{})
	require.NoError(w.t, err)
	return links
}

func (w *world) ops(f state.OpFilter) []state.OpRecord {
	w.t.Helper()
	s := w.openStore()
	defer s.Close()
	ops, err := s.Ops(w.t.Context(), f)
	require.NoError(w.t, err)
	return ops
}

// quiet runs plan and fails the test unless there is nothing to do.
func (w *world) quiet() {
	w.t.Helper()
	w.sim.ResetCalls()
	w.mmsync("plan").exits(0)
	require.Empty(w.t, w.sim.Writes(), "a plan writes nothing")
}
