package reconcile_test

import (
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/pgtest"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// The company before and after. In between: new people, one of them an
// administrator; a changed title and mail; a row of names passed on; two who
// swap names; leavers of four kinds; one who comes back under a new name; a login
// that moves; an account that somebody deleted.
func companyBefore() []human {
	return []human{
		{ID: "steady", UID: "una"},
		{ID: "patched", UID: "bob", Title: "Clerk"},
		{ID: "row-1", UID: "carl"},
		{ID: "row-2", UID: "dora"},
		{ID: "row-3", UID: "emil"},
		{ID: "swap-1", UID: "gina"},
		{ID: "swap-2", UID: "hans"},
		{ID: "ring-1", UID: "rita"},
		{ID: "ring-2", UID: "saul"},
		{ID: "ring-3", UID: "tess"},
		{ID: "leaver", UID: "ivan"},
		{ID: "leaver-admin", UID: "ines", Groups: []string{adminsGroup}},
		{ID: "leaver-missing", UID: "kurt"},
		{ID: "returner", UID: "jane"},
		{ID: "promoted", UID: "paul"},
		{ID: "demoted", UID: "dirk", Groups: []string{adminsGroup}},
		{ID: "moved-login", UID: "lora"},
		{ID: "leaver-ldap", UID: "milo", Service: "ldap", Login: "milo"},
		{ID: "deleted", UID: "otto"},
	}
}

func companyAfter() []human {
	return []human{
		{ID: "steady", UID: "una"},
		{ID: "patched", UID: "bob", Title: "Head Clerk", Mail: "bob.b@example.test", Photo: photo(1), Dept: "Stores"},
		{ID: "row-1", UID: "dora"},
		{ID: "row-2", UID: "emil", Photo: photo(2), Dept: "Stores"},
		{ID: "row-3", UID: "fritz"},
		{ID: "swap-1", UID: "hans", Mail: "gina@example.test"},
		{ID: "swap-2", UID: "gina", Mail: "hans@example.test"},
		{ID: "ring-1", UID: "saul", Mail: "rita@example.test"},
		{ID: "ring-2", UID: "tess", Mail: "saul@example.test"},
		{ID: "ring-3", UID: "rita", Mail: "tess@example.test"},
		{ID: "leaver", UID: "ivan", Left: "yes"},
		{ID: "leaver-admin", UID: "ines", Left: "yes"},
		{ID: "returner", UID: "jane.new", Photo: photo(3)},
		{ID: "promoted", UID: "paul", Groups: []string{adminsGroup}},
		{ID: "demoted", UID: "dirk"},
		{ID: "moved-login", UID: "lora", Service: "saml", Login: "lora@idp"},
		{ID: "leaver-ldap", UID: "milo", Service: "ldap", Login: "milo", Left: "yes"},
		{ID: "deleted", UID: "otto"},
		{ID: "new-1", UID: "lena"},
		{ID: "new-2", UID: "mona", Title: "Boss", Groups: []string{adminsGroup}, Photo: photo(4), Dept: "Board"},
		{ID: "new-3", UID: "nora"},
		{ID: "new-left", UID: "olaf", Left: "yes"},
	}
}

// department is the id of the server's one user attribute.
const department = "departmentaaaaaaaaaaaaaaaa"

// setting is where a crash happens.
type setting struct {
	name     string
	profile  mmsim.Profile
	postgres bool
	races    bool // the server loses one of two writes at once
	logins   bool // existing logins are moved
}

// store names an empty store.
func (s setting) store(t testing.TB) string {
	t.Helper()
	if s.postgres {
		return pgtest.URL(t)
	}
	return emptyFile(t)
}

// after is what the company is like afterwards.
func (s setting) after() []human {
	people := companyAfter()
	for i := range people {
		if !s.logins && people[i].ID == "moved-login" {
			people[i].Service, people[i].Login = "", ""
		}
	}
	return people
}

// policy is that of all runs here; what was taken is looked at again.
func (s setting) policy(o *reconcile.Options) {
	o.Policy.ChangeAuth, o.Policy.RevokeOnAuth, o.Policy.DeleteEndpoint, o.Policy.RecreateGone = true, true, true, true
	o.LookAgain = 5 * time.Millisecond
}

// template is a world in the state before, to start from again and again.
type template struct {
	*world
	setting
	state   mmsim.State
	foreign []mmsim.User
	saved   []string // tables of which there is a copy, in the order in which they can be filled
}

func newTemplate(t testing.TB, at setting) template {
	t.Helper()
	w := newWorldOf(t, mmsim.Options{Profile: at.profile, CustomFields: []mmsim.CustomField{{ID: department, Name: "Department", Type: "text"}}, LostConcurrentWrites: at.races, WriteWindow: 200 * time.Microsecond})
	w.db = at.store(t)
	long := time.Now().Add(-time.Hour * 1000).UnixMilli()
	w.sim.AddUser(mmsim.User{Username: "some.bot", Email: "bot@localhost", IsBot: true, OwnerID: w.sim.AdminID(), CreateAt: long})
	w.sim.AddUser(mmsim.User{Username: "stranger", Email: "stranger@chat.test", CreateAt: long})
	w.sim.AddUser(mmsim.User{Username: "gone.stranger", Email: "gone@chat.test", CreateAt: long, DeleteAt: long + 5})
	foreign := w.sim.Users()
	people, with := companyBefore(), wiring{change: at.policy}
	w.settle(people, with)
	for i := range people {
		if people[i].ID == "returner" {
			people[i].Left = "yes"
		}
	}
	w.settle(people, with)
	otto, ok := w.sim.UserByName("otto")
	require.True(t, ok)
	w.sim.RemoveUser(otto.ID)
	// This run takes it for a sign of a server that was set back; in the ones that
	// follow the account is gone.
	_, err := w.sync(people, wiring{change: func(o *reconcile.Options) {
		at.policy(o)
		o.Policy.RecreateGone = false
	}})
	require.NoError(t, err)
	// With the rules of the runs that follow, so that those whom nothing happens to
	// are settled; only the account that is gone is not made anew yet.
	stop := w.sim.Fail(mmsim.Fault{Method: "POST", Path: "/users", Status: 400, ErrorID: "model.user.is_valid.email.app_error"})
	_, err = w.sync(people, with)
	stop()
	require.NoError(t, err)
	w.migrated = true
	tpl := template{world: w, setting: at, state: w.sim.SnapshotState(), foreign: foreign}
	if at.postgres {
		tpl.save(t)
	}
	return tpl
}

// save copies what a store in PostgreSQL holds. The driver is the one that the
// store itself uses.
func (tpl *template) save(t testing.TB) {
	t.Helper()
	db, err := sql.Open("pgx", tpl.db)
	require.NoError(t, err)
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), "select tablename from pg_tables where schemaname = current_schema() and tablename not like 'goose%' order by tablename")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		tpl.saved = append(tpl.saved, name)
	}
	require.NoError(t, rows.Err())
	rank := func(name string) int { return slices.Index([]string{"ops", "decisions", "runs"}, name) }
	slices.SortStableFunc(tpl.saved, func(a, b string) int { return rank(b) - rank(a) }) // what is referred to comes first
	for _, name := range tpl.saved {
		_, err := db.ExecContext(t.Context(), fmt.Sprintf("create table saved_%s as table %s", name, name))
		require.NoError(t, err)
	}
}

func (tpl *template) load(t testing.TB) {
	t.Helper()
	db, err := sql.Open("pgx", tpl.db)
	require.NoError(t, err)
	defer db.Close()
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	for _, name := range slices.Backward(tpl.saved) {
		_, err := tx.ExecContext(t.Context(), "delete from "+name)
		require.NoError(t, err)
	}
	for _, name := range tpl.saved {
		_, err := tx.ExecContext(t.Context(), fmt.Sprintf("insert into %s overriding system value select * from saved_%s", name, name))
		require.NoError(t, err)
	}
	require.NoError(t, tx.Commit())
}

// start gives the world as it was, on the same server with another store, or with
// the same one as it was.
func (tpl template) start(t testing.TB) *world {
	t.Helper()
	w := *tpl.world
	w.t, w.began = t, time.Now()
	w.sim.RestoreState(tpl.state)
	w.sim.SetClockOffset(0)
	w.sim.ResetCalls()
	if tpl.postgres {
		tpl.load(t)
		return &w
	}
	w.db = emptyFile(t)
	copyFile(t, tpl.db, w.db)
	return &w
}

// check is the oracle: the world is as the directory wants it, whatever
// happened on the way.
func (w *world) check(t *testing.T, name string, people []human, tpl template) {
	t.Helper()
	s := w.store()
	defer s.Close()
	links, err := s.Links(t.Context(), state.LinkFilter{})
	require.NoError(t, err)
	byAnchor, owned := map[string]identity.Link{}, map[string]bool{}
	for _, l := range links {
		byAnchor[l.Key.Anchor] = l
		require.False(t, owned[l.AccountID], "%s: account %s has two owners", name, l.AccountID)
		owned[l.AccountID] = true
	}
	want := append(slices.Clone(people), human{ID: "leaver-missing", UID: "kurt", Left: "yes"})
	accounts := len(tpl.foreign)
	for _, p := range want {
		l, linked := byAnchor[p.ID]
		if p.ID == "new-left" {
			require.False(t, linked, "%s: %s never had an account", name, p.ID)
			continue
		}
		accounts++
		require.True(t, linked, "%s: %s has no link", name, p.ID)
		u, ok := w.sim.User(l.AccountID)
		require.True(t, ok, "%s: %s is linked to nothing", name, p.ID)
		mail := p.Mail
		if mail == "" {
			mail = p.UID + "@example.test"
		}
		require.Equal(t, []string{p.UID, mail, p.Title}, []string{u.Username, u.Email, u.Position}, "%s: %s", name, p.ID)
		roles := identity.NewRoles(identity.RoleUser)
		if len(p.Groups) > 0 {
			roles = identity.NewRoles(identity.RoleUser, identity.RoleAdmin)
		}
		require.Equal(t, []string{p.Service, p.Login}, []string{u.AuthService, u.AuthData}, "%s: login of %s", name, p.ID)
		require.Equal(t, roles, identity.ParseRoles(u.Roles), "%s: roles of %s", name, p.ID)
		require.Equal(t, p.Left == "", u.Active(), "%s: %s active", name, p.ID)
		require.Equal(t, u.DeleteAt, l.DeactivatedAt, "%s: what the link of %s says about switching off", name, p.ID)
		if tpl.profile != mmsim.Profile538 { // which has none
			require.Equal(t, p.Dept, w.sim.Custom(u.ID)[department], "%s: department of %s", name, p.ID)
		}
		if p.Photo != "" {
			require.Positive(t, u.LastPictureUpdate, "%s: picture of %s", name, p.ID)
			require.NotEmpty(t, l.Applied.Picture, "%s: what the link of %s says about the picture", name, p.ID)
		}
		require.Equal(t, p.UID, l.Applied.Profile.Username, "%s: what the link of %s says was applied", name, p.ID)
	}
	require.Len(t, w.sim.Users(), accounts, "%s: accounts on the server", name)
	for _, u := range tpl.foreign {
		now, ok := w.sim.User(u.ID)
		require.True(t, ok)
		require.Equal(t, u, now, "%s: a foreign account", name)
	}
}

// checkSessions looks whether the sessions of somebody whose login was moved were
// ended after that: the server keeps them alive.
func (w *world) checkSessions(t *testing.T, name, username string) {
	t.Helper()
	u, ok := w.sim.UserByName(username)
	require.True(t, ok)
	moved, ended := 0, 0
	for _, c := range w.sim.Writes() {
		switch {
		case c.Status/100 != 2 || !strings.Contains(c.Path, u.ID):
		case strings.HasSuffix(c.Path, "/auth"):
			moved = c.Seq
		case strings.HasSuffix(c.Path, "/sessions/revoke/all"):
			ended = c.Seq
		}
	}
	require.NotZero(t, moved, name)
	require.Greater(t, ended, moved, "%s: the sessions of before are alive", name)
}

// checkJournal compares the calls that had an effect with the ops that were
// closed as done.
func (w *world) checkJournal(t *testing.T, name string) {
	t.Helper()
	s := w.store()
	defer s.Close()
	var calls, journal []string
	users := regexp.MustCompile(`^/api/v4/users/([a-z0-9]{26})/?(patch|active|roles|auth|)$`)
	username := regexp.MustCompile(`"username":"([^"]+)"`)
	for _, c := range w.sim.Writes() {
		switch m := users.FindStringSubmatch(c.Path); {
		case c.Status/100 != 2:
		case c.Path == "/api/v4/users":
			calls = append(calls, "create_account "+username.FindStringSubmatch(string(c.Body))[1])
		case m != nil:
			kind := map[string]plan.OpKind{"patch": plan.PatchProfile, "active": plan.SetActive, "roles": plan.SetRoles, "auth": plan.SetAuth, "": plan.SetActive}[m[2]]
			calls = append(calls, string(kind)+" "+m[1])
		}
	}
	ops, err := s.Ops(t.Context(), state.OpFilter{})
	require.NoError(t, err)
	for _, o := range ops {
		require.True(t, o.Status.Closed(), "%s: op %s is left %s", name, o.Ref, o.Status)
		// Links are no calls, and ending sessions, setting pictures and user attributes is
		// repeated rather than looked after.
		if !o.Op.Kind.Calls() || o.Op.Kind == plan.RevokeSessions || !o.Op.Kind.Hangs() {
			continue
		}
		if o.PlannedAt.Before(w.began) || (o.Status != state.OpDone && o.Status != state.OpObserved) {
			continue
		}
		who := o.AccountID
		if o.Op.Kind == plan.CreateAccount {
			who, _ = o.Op.To(plan.Field(identity.Username))
		}
		journal = append(journal, string(o.Op.Kind)+" "+who)
	}
	slices.Sort(calls)
	slices.Sort(journal)
	require.Equal(t, calls, journal, "%s: effective calls and closed ops", name)
}
