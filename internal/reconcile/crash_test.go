package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// errCrash is what a dead process would have said.
var errCrash = errors.New("the process is dead")

// crash ends a process at its n-th store write or request: from then on nothing
// of it reaches the store or the server.
type crash struct {
	at    int64
	kind  cutKind
	count atomic.Int64
	dead  atomic.Bool
}

type cutKind string

const (
	beforeWrite   cutKind = "before store write"
	afterWrite    cutKind = "after store write"
	beforeRequest cutKind = "before request"
	afterRequest  cutKind = "after request"
	// Here the process lives on: only the connection is gone.
	lostRequest cutKind = "request lost"
	lostAnswer  cutKind = "answer lost"
)

// now tells whether this is the moment.
func (c *crash) now() bool { return c.count.Add(1) == c.at }

// write passes one store write through, or dies before or after it.
func (c *crash) write(f func() error) error {
	if c.dead.Load() {
		return errCrash
	}
	counted := c.kind == beforeWrite || c.kind == afterWrite
	die := counted && c.now()
	if die && c.kind == beforeWrite {
		c.dead.Store(true)
		return errCrash
	}
	err := f()
	if die {
		c.dead.Store(true)
		return errCrash
	}
	return err
}

// RoundTrip passes one request through, or dies before or after it.
func (c *crash) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.dead.Load() {
		return nil, errCrash
	}
	counted := c.kind == beforeRequest || c.kind == afterRequest
	die := counted && c.now()
	if die && c.kind == beforeRequest {
		c.dead.Store(true)
		return nil, errCrash
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if die && err == nil {
		_, _ = io.Copy(io.Discard, resp.Body) // the server has done it by then
		_ = resp.Body.Close()
		c.dead.Store(true)
		return nil, errCrash
	}
	return resp, err
}

// mortal is a real store whose process can die.
type mortal struct {
	state.Store
	c *crash
}

func (m mortal) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (l state.Lease, err error) {
	err = m.c.write(func() error { l, err = m.Store.AcquireLease(ctx, name, holder, ttl); return err })
	return l, err
}

func (m mortal) Bind(ctx context.Context, b state.Binding) (known state.Binding, err error) {
	err = m.c.write(func() error { known, err = m.Store.Bind(ctx, b); return err })
	return known, err
}

func (m mortal) PutLinks(ctx context.Context, l state.Lease, links []identity.Link) error {
	return m.c.write(func() error { return m.Store.PutLinks(ctx, l, links) })
}

func (m mortal) SaveRun(ctx context.Context, r state.Run) error {
	return m.c.write(func() error { return m.Store.SaveRun(ctx, r) })
}

func (m mortal) BeginRun(ctx context.Context, l state.Lease, r state.Run, p plan.Plan, s state.SightingChanges) error {
	return m.c.write(func() error { return m.Store.BeginRun(ctx, l, r, p, s) })
}

func (m mortal) MarkSent(ctx context.Context, l state.Lease, ref state.OpRef, at time.Time) error {
	return m.c.write(func() error { return m.Store.MarkSent(ctx, l, ref, at) })
}

func (m mortal) RecordOp(ctx context.Context, l state.Lease, o state.Outcome) error {
	return m.c.write(func() error { return m.Store.RecordOp(ctx, l, o) })
}

func (m mortal) InterruptRuns(ctx context.Context, l state.Lease) (ids []string, err error) {
	err = m.c.write(func() error { ids, err = m.Store.InterruptRuns(ctx, l); return err })
	return ids, err
}

func (m mortal) RecordRead(ctx context.Context, r state.Read) error {
	return m.c.write(func() error { return m.Store.RecordRead(ctx, r) })
}

func (m mortal) SetMark(ctx context.Context, l state.Lease, k state.Mark) error {
	return m.c.write(func() error { return m.Store.SetMark(ctx, l, k) })
}

func (m mortal) ReplaceIndex(ctx context.Context, l state.Lease, list []state.IndexedAccount) error {
	return m.c.write(func() error { return m.Store.ReplaceIndex(ctx, l, list) })
}

func (m mortal) Protect(ctx context.Context, l state.Lease, list []state.ProtectedAccount) error {
	return m.c.write(func() error { return m.Store.Protect(ctx, l, list) })
}

// ReleaseLease and RenewLease belong to the clock, so they are not counted.
func (m mortal) ReleaseLease(ctx context.Context, l state.Lease) error {
	if m.c.dead.Load() {
		return errCrash
	}
	return m.Store.ReleaseLease(ctx, l)
}

func (m mortal) RenewLease(ctx context.Context, l state.Lease, ttl time.Duration) (state.Lease, error) {
	if m.c.dead.Load() {
		return l, errCrash
	}
	return m.Store.RenewLease(ctx, l, ttl)
}

// The company before and after. In between: new people, one of them an
// administrator; a changed title and mail; a row of names passed on; two who
// swap names; leavers of three kinds; one who comes back under a new name.
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
	}
}

func companyAfter() []human {
	return []human{
		{ID: "steady", UID: "una"},
		{ID: "patched", UID: "bob", Title: "Head Clerk", Mail: "bob.b@example.test"},
		{ID: "row-1", UID: "dora"},
		{ID: "row-2", UID: "emil"},
		{ID: "row-3", UID: "fritz"},
		{ID: "swap-1", UID: "hans", Mail: "gina@example.test"},
		{ID: "swap-2", UID: "gina", Mail: "hans@example.test"},
		{ID: "ring-1", UID: "saul", Mail: "rita@example.test"},
		{ID: "ring-2", UID: "tess", Mail: "saul@example.test"},
		{ID: "ring-3", UID: "rita", Mail: "tess@example.test"},
		{ID: "leaver", UID: "ivan", Left: "yes"},
		{ID: "leaver-admin", UID: "ines", Left: "yes"},
		{ID: "returner", UID: "jane.new"},
		{ID: "promoted", UID: "paul", Groups: []string{adminsGroup}},
		{ID: "demoted", UID: "dirk"},
		{ID: "new-1", UID: "lena"},
		{ID: "new-2", UID: "mona", Title: "Boss", Groups: []string{adminsGroup}},
		{ID: "new-3", UID: "nora"},
		{ID: "new-left", UID: "olaf", Left: "yes"},
	}
}

// template is a world in the state before, to start from again and again.
type template struct {
	*world
	state   mmsim.State
	foreign []mmsim.User
}

func newTemplate(t testing.TB) template {
	t.Helper()
	w := newWorld(t)
	long := time.Now().Add(-time.Hour * 1000).UnixMilli()
	w.sim.AddUser(mmsim.User{Username: "some.bot", Email: "bot@localhost", IsBot: true, OwnerID: w.sim.AdminID(), CreateAt: long})
	w.sim.AddUser(mmsim.User{Username: "stranger", Email: "stranger@chat.test", CreateAt: long})
	w.sim.AddUser(mmsim.User{Username: "gone.stranger", Email: "gone@chat.test", CreateAt: long, DeleteAt: long + 5})
	foreign := w.sim.Users()
	people := companyBefore()
	w.settle(people, wiring{})
	for i := range people {
		if people[i].ID == "returner" {
			people[i].Left = "yes"
		}
	}
	w.settle(people, wiring{})
	return template{w, w.sim.SnapshotState(), foreign}
}

// start gives the world as it was, on the same server with another store.
func (tpl template) start(t testing.TB) *world {
	t.Helper()
	w := *tpl.world
	w.t, w.db, w.began = t, filepath.Join(t.TempDir(), "state.db"), time.Now()
	w.sim.RestoreState(tpl.state)
	copyFile(t, tpl.db, w.db)
	return &w
}

func TestEngine_Crash(t *testing.T) {
	t.Parallel()
	for _, kind := range []cutKind{beforeWrite, afterWrite, beforeRequest, afterRequest, lostRequest, lostAnswer} {
		t.Run(string(kind)+"/every one is survived", func(t *testing.T) {
			t.Parallel()
			tpl := newTemplate(t)
			step := 1
			if testing.Short() || underRace { // the detector makes the store ten times slower
				step = 7
			}
			n := 1
			for ; ; n += step {
				if !tpl.cutAt(t, kind, n, 1) {
					break
				}
			}
			require.Greater(t, n, 20, "cut points")
			t.Logf("%d cut points", n-1)
		})
	}
	t.Run("with several workers at random places", func(t *testing.T) {
		t.Parallel()
		tpl := newTemplate(t)
		rounds := 3
		if testing.Short() || underRace {
			rounds = 1
		}
		for range rounds {
			for _, kind := range []cutKind{beforeWrite, afterWrite, beforeRequest, afterRequest, lostRequest, lostAnswer} {
				for n := 3; n < 90; n += 13 {
					tpl.cutAt(t, kind, n, 4)
				}
			}
		}
	})
}

// cutAt runs a sync that is cut at the n-th place, and the syncs after it. It
// tells whether there was such a place.
func (tpl template) cutAt(t *testing.T, kind cutKind, n, workers int) (cut bool) {
	t.Helper()
	w := tpl.start(t)
	people := companyAfter()
	c := &crash{at: int64(n), kind: kind}
	with := wiring{
		wrap: func(s state.Store) state.Store { return mortal{s, c} }, network: c,
		change: func(o *reconcile.Options) { o.Workers = workers },
	}
	alive := kind == lostRequest || kind == lostAnswer
	over := func() {}
	var hit atomic.Bool
	if alive {
		over = w.sim.Fail(mmsim.Fault{Skip: n - 1, Count: 1, CutBefore: kind == lostRequest, CutAfter: kind == lostAnswer, Match: func(*http.Request) bool { return true }})
	}
	w.sim.ResetCalls()
	_, err := w.sync(people, with)
	over()
	if alive {
		hit.Store(slices.ContainsFunc(w.sim.Calls(), func(c mmsim.Call) bool { return c.Cut }))
	} else {
		hit.Store(c.dead.Load())
		if c.dead.Load() {
			require.ErrorIs(t, err, errCrash, "%s %d", kind, n)
		}
	}
	if !hit.Load() {
		require.NoError(t, err, "%s %d", kind, n)
	}
	name := fmt.Sprintf("%s %d", kind, n)
	w.settle(people, wiring{change: func(o *reconcile.Options) { o.Workers = workers }})
	w.check(t, name, people, tpl)
	return hit.Load()
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
		require.Equal(t, roles, identity.ParseRoles(u.Roles), "%s: roles of %s", name, p.ID)
		require.Equal(t, p.Left == "", u.Active(), "%s: %s active", name, p.ID)
		require.Equal(t, u.DeleteAt, l.DeactivatedAt, "%s: what the link of %s says about switching off", name, p.ID)
		require.Equal(t, p.UID, l.Applied.Profile.Username, "%s: what the link of %s says was applied", name, p.ID)
	}
	require.Len(t, w.sim.Users(), accounts, "%s: accounts on the server", name)
	for _, u := range tpl.foreign {
		now, ok := w.sim.User(u.ID)
		require.True(t, ok)
		require.Equal(t, u, now, "%s: a foreign account", name)
	}
	w.checkJournal(t, name, s)
}

// checkJournal compares the calls that had an effect with the ops that were
// closed as done.
func (w *world) checkJournal(t *testing.T, name string, s state.Store) {
	t.Helper()
	var calls, journal []string
	users := regexp.MustCompile(`^/api/v4/users/([a-z0-9]{26})/(patch|active|roles)$`)
	username := regexp.MustCompile(`"username":"([^"]+)"`)
	for _, c := range w.sim.Writes() {
		switch m := users.FindStringSubmatch(c.Path); {
		case c.Status/100 != 2:
		case c.Path == "/api/v4/users":
			calls = append(calls, "create_account "+username.FindStringSubmatch(string(c.Body))[1])
		case m != nil:
			kind := map[string]plan.OpKind{"patch": plan.PatchProfile, "active": plan.SetActive, "roles": plan.SetRoles}[m[2]]
			calls = append(calls, string(kind)+" "+m[1])
		}
	}
	ops, err := s.Ops(t.Context(), state.OpFilter{})
	require.NoError(t, err)
	for _, o := range ops {
		require.True(t, o.Status.Closed(), "%s: op %s is left %s", name, o.Ref, o.Status)
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
