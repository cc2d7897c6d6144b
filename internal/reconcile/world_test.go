package reconcile_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/pgtest"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/file"
	"github.com/mmsync/mmsync/internal/state"
	"github.com/mmsync/mmsync/internal/state/postgres"
	"github.com/mmsync/mmsync/internal/state/sqlite"
)

// human is one person of the directory, as a line of the file source.
type human struct {
	ID     string   `json:"id"`
	UID    string   `json:"uid"`
	Mail   string   `json:"mail"`
	Title  string   `json:"title"`
	Left   string   `json:"left"`
	Groups []string `json:"groups"`
	// Service and Login are how the person logs in; empty means by password.
	Service string `json:"service"`
	Login   string `json:"login"`
	// Number stays a person's when he gets another ID.
	Number string `json:"number"`
	// Dept is the value of the user attribute Department.
	Dept string `json:"dept"`
	// Boss is the value of the user attribute Manager, by his ID.
	Boss string `json:"boss"`
	// Chief is whom the person reports to, by his ID.
	Chief string `json:"chief"`
	// Photo is a picture in a data: URI.
	Photo string `json:"photo"`
}

const adminsGroup = "cn=admins,dc=test"

// directory is a file source over a file in memory.
func directory(t testing.TB, people []human, pilot ...string) reconcile.Source {
	t.Helper()
	return directoryOf(t, "corp", people, pilot...)
}

func directoryOf(t testing.TB, name string, people []human, pilot ...string) reconcile.Source {
	t.Helper()
	var b bytes.Buffer
	for _, p := range people {
		if p.Mail == "" {
			p.Mail = p.UID + "@example.test"
		}
		require.NoError(t, json.NewEncoder(&b).Encode(p))
	}
	at := func(s string) sources.Expr { return sources.Expr{Source: s} }
	m, err := sources.Compile(name, sources.Rules{
		ID: at("attr.id"), Username: at("attr.uid"), Email: at("attr.mail"), Position: at("attr.title"), MatchKey: at("attr.number"),
		Custom:       []sources.CustomRule{{Name: "Department", Value: at("attr.dept")}},
		People:       []sources.CustomRule{{Name: "Manager", Value: at("attr.boss")}},
		Manager:      at("attr.chief"),
		Picture:      sources.PictureRule{Attribute: at("attr.photo"), MaxSize: 64 << 10},
		DisabledWhen: at(`attr.left == "yes"`),
		Auth: []sources.AuthRule{
			{Service: "saml", When: at(`attr.service == "saml"`), Data: at("attr.login")},
			{Service: "ldap", When: at(`attr.service == "ldap"`), Data: at("attr.login")},
			{Service: "gitlab", When: at(`attr.service == "gitlab"`), Data: at("attr.login")},
			{Service: "google", When: at(`attr.service == "google"`), Data: at("attr.login")},
			{Service: "office365", When: at(`attr.service == "office365"`), Data: at("attr.login")},
			{Service: "openid", When: at(`attr.service == "openid"`), Data: at("attr.login")},
		},
		Roles:  []sources.RoleRule{{Role: identity.RoleAdmin, Groups: []string{adminsGroup}}},
		Guests: []sources.RoleRule{{Groups: []string{guestsGroup}}},
	}, sources.CompileOptions{Pilot: pilot})
	require.NoError(t, err)
	src, err := file.New(file.Options{Path: "people.jsonl", Mapper: m, FS: fs.FS(fstest.MapFS{"people.jsonl": {Data: b.Bytes(), ModTime: time.Now()}})})
	require.NoError(t, err)
	return src
}

// target fits the Mattermost adapter to the engine.
type target struct{ *mattermost.Target }

func (t target) Lookup(ctx context.Context, usernames, emails []string) ([]identity.Account, error) {
	return t.Target.Lookup(ctx, mattermost.Wanted{Usernames: usernames, Emails: emails})
}

func (t target) Account(ctx context.Context, id string) (identity.Account, bool, error) {
	a, err := t.Target.Account(ctx, id)
	if mattermost.IsNotFound(err) {
		return a, false, nil
	}
	return a, err == nil, err
}

func (t target) Apply(ctx context.Context, id string, op plan.Op) (identity.Account, error) {
	return t.Target.Apply(ctx, id, op, mattermost.ApplyOptions{EmailVerified: true})
}

// world is a simulated server and a store that engines come and go on.
type world struct {
	t   testing.TB
	sim *mmsim.Server
	url string
	db  string // path of the store, or the URL of one in PostgreSQL
	// began is when what a test looks at began; the journal before it is setting.
	began time.Time
	// migrated saves looking whether the store is.
	migrated bool
	// pilot are the groups whose people sources mark.
	pilot []string
	// unseen says that no run was ever completed on the server: what is there is
	// not taken for agreed to. agreed says that the others know that it is.
	unseen, agreed bool
	// custom says that the server has user attributes.
	custom bool
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldOf(t, mmsim.Options{})
}

// newWorldOf is a world with another server than usual. Unless it says otherwise it has
// the login services that people are moved between here.
func newWorldOf(t testing.TB, o mmsim.Options) *world {
	t.Helper()
	o.AdminToken = adminToken
	if o.Logins == nil {
		o.Logins = []string{"EnableSaml", "EnableLdap", "EnableSignUpWithOpenId"}
	}
	w := &world{t: t, custom: len(o.CustomFields) > 0, sim: mmsim.New(o), db: emptyStore(t)}
	w.url = w.sim.Start(t)
	return w
}

// emptyStore names a store for a test that any store will do for. SQLite is Go code, which
// the race detector makes ten times slower, so that under it the store is in PostgreSQL
// where there is one.
func emptyStore(t testing.TB) string {
	t.Helper()
	if underRace && pgtest.Available() {
		return pgtest.URL(t)
	}
	return emptyFile(t)
}

// newWorldOnFile is a world whose store is in SQLite, for who meddles with its rows.
func newWorldOnFile(t testing.TB) *world {
	t.Helper()
	w := newWorld(t)
	w.db = emptyFile(t)
	return w
}

// emptyFile names a store in SQLite.
func emptyFile(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "state.db")
}

const adminToken = "abcdefghijklmnopqrstuvwxyz"

// store opens the world's store. It does not wait for the disk: what is cut
// here is the program, not the power.
func (w *world) store() state.Store {
	w.t.Helper()
	ctx := context.WithoutCancel(w.t.Context())
	var s interface {
		state.Store
		Migrate(ctx context.Context) (applied []string, err error)
	}
	var err error
	if strings.HasPrefix(w.db, "postgres") {
		s, err = postgres.Open(ctx, w.db, postgres.Options{MaxConns: 4})
	} else {
		s, err = sqlite.Open(ctx, sqlite.Scheme+w.db, sqlite.Options{Volatile: true})
	}
	require.NoError(w.t, err)
	if !w.migrated {
		_, err = s.Migrate(ctx)
		require.NoError(w.t, err)
	}
	if !w.unseen && !w.agreed {
		w.agreed = true
		agree(w.t, s)
	}
	return s
}

// agree has the store know that a first run was completed, long ago.
func agree(t testing.TB, s state.Store) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	l, err := s.AcquireLease(ctx, "agree", "test", time.Minute)
	require.NoError(t, err)
	require.NoError(t, s.SetMark(ctx, l, state.Mark{Name: "first run", At: time.Now().Add(-1000 * time.Hour)}))
	require.NoError(t, s.ReleaseLease(ctx, l))
}

// wiring is what a test wants otherwise than usual.
type wiring struct {
	wrap    func(state.Store) state.Store
	network http.RoundTripper
	change  func(*reconcile.Options)
	target  mattermost.TargetOptions
	// passwords lets the client set them.
	passwords bool
	// deletions lets it delete for good.
	deletions bool
}

// sync runs one engine on the world, as a process would, and closes its store.
func (w *world) sync(people []human, with wiring) (reconcile.Report, error) {
	w.t.Helper()
	return w.run(w.t.Context(), people, with, reconcile.RunOptions{})
}

func (w *world) run(ctx context.Context, people []human, with wiring, o reconcile.RunOptions) (reconcile.Report, error) {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	o.Trigger, o.RequestedBy = "test", "test"
	return w.engine(s, people, with).Sync(ctx, o)
}

func (w *world) plan(people []human, with wiring) reconcile.Report {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	rep, err := w.engine(s, people, with).Plan(w.t.Context(), reconcile.RunOptions{Trigger: "test", RequestedBy: "test"})
	require.NoError(w.t, err)
	return rep
}

func (w *world) engine(s state.Store, people []human, with wiring) *reconcile.Engine {
	w.t.Helper()
	c, err := mattermost.New(mattermost.Options{
		BaseURL: w.url, Token: func() (string, error) { return adminToken, nil }, RatePerSecond: 1e6,
		RetryWait: time.Millisecond, HTTPTransport: with.network, ProxyURL: "direct", Passwords: with.passwords, Deletions: with.deletions,
	})
	require.NoError(w.t, err)
	with.target.Custom = w.custom
	o := reconcile.Options{
		Sources: []reconcile.Source{directory(w.t, people, w.pilot...)}, Target: target{mattermost.NewTarget(c, with.target)}, Store: s,
		Policy: plan.Policy{
			Create: true, Update: true, Reactivate: true, Deactivate: plan.Triggers{Disabled: true, Missing: true, OutOfScope: true}, NeverBelow: 1,
			Roles: []plan.RoleAuthority{{Source: "corp", Managed: identity.NewRoles(identity.RoleAdmin), Granted: identity.NewRoles(identity.RoleAdmin)}},
		},
		Limits: guard.Limits{
			Deactivations: guard.Limit{Count: 50}, Reactivations: guard.Limit{Count: 500}, RoleRemovals: guard.Limit{Count: 5}, Recreations: guard.Limit{Count: 5},
			Creates: guard.Limit{Count: 500}, Updates: guard.Limit{Count: 500}, Renames: guard.Limit{Count: 50}, EmailChanges: guard.Limit{Count: 50},
			AuthChanges: guard.Limit{Count: 50}, AdminGrants: guard.Limit{Count: 50}, Window: 24 * time.Hour,
		},
		TargetURL:   w.url,
		SettleAfter: 20 * time.Millisecond,
		Holder:      "test", // so that a successor need not wait for the lease to run out
	}
	if with.wrap != nil {
		o.Store = with.wrap(s)
	}
	if with.change != nil {
		with.change(&o)
	}
	return reconcile.New(o)
}

// settle runs until there is nothing to do any more.
func (w *world) settle(people []human, with wiring) {
	w.t.Helper()
	for range 4 {
		_, err := w.sync(people, with)
		require.NoError(w.t, err)
		if rep := w.plan(people, with); !rep.Plan.Effective() {
			return
		}
	}
	w.t.Fatalf("no rest after four runs:\n%+v", w.plan(people, with).Plan.Decisions)
}

// copyFile copies a closed store.
func copyFile(t testing.TB, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, data, 0o600))
}
