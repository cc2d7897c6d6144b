package reconcile_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// These tests are about what the server keeps locked under somebody's login, and the
// detour over another one.

// lockedBefore are people whose logins lock something. Carl has left.
func lockedBefore() []human {
	return []human{
		{ID: "1", UID: "anna", Service: "ldap", Login: `\0a\1b`, Title: "Clerk"},
		{ID: "2", UID: "bert", Service: "saml", Login: "bert@idp"},
		{ID: "3", UID: "carl", Service: "ldap", Login: "carl-id", Left: "yes"},
		{ID: "4", UID: "dora", Service: "saml", Login: "dora@idp"},
		{ID: "5", UID: "emil"},
	}
}

// lockedAfter wants of anna another e-mail, of bert another name and e-mail, and carl
// is back. That emil has another name nobody locks.
func lockedAfter() []human {
	people := lockedBefore()
	people[0].Mail = "anna.smith@example.test"
	people[1].UID, people[1].Mail = "bert.smith", "bert.smith@example.test"
	people[2].Left = ""
	people[4].UID = "emil.smith"
	return people
}

func byDelete(o *reconcile.Options) { o.Policy.DeleteEndpoint = true }

// lockedWorld is at rest with lockedBefore; the store is a copy that can be spoilt.
func lockedWorld(t *testing.T) (start func() *world) {
	t.Helper()
	w := newWorldOnFile(t)
	here := lockedBefore()
	here[2].Left = ""
	w.settle(here, wiring{change: byDelete})
	w.settle(lockedBefore(), wiring{change: byDelete})
	carl, _ := w.sim.UserByName("carl")
	require.False(t, carl.Active())
	w.migrated = true
	st := w.sim.SnapshotState()
	return func() *world {
		one := *w
		one.began = time.Now()
		one.sim.RestoreState(st)
		one.sim.ResetCalls()
		one.db = emptyFile(t)
		copyFile(t, w.db, one.db)
		return &one
	}
}

func (w *world) changeLocked(people []human, with wiring, expect int, who ...string) (reconcile.Report, error) {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	with.passwords = true
	if with.change == nil {
		with.change = byDelete
	}
	return w.engine(s, people, with).ChangeLocked(w.t.Context(), operator, reconcile.Selection{People: who}, expect)
}

// loginOf gives everybody's login, by id.
func (w *world) loginOf() map[string]string {
	out := map[string]string{}
	for _, u := range w.sim.Users() {
		out[u.ID] = u.AuthService + ":" + u.AuthData
	}
	return out
}

func (w *world) named(name string) mmsim.User {
	w.t.Helper()
	u, ok := w.sim.UserByName(name)
	require.True(w.t, ok, "there is no %s", name)
	return u
}

//nolint:paralleltest // one step after another
func TestEngine_ChangeLocked(t *testing.T) {
	t.Parallel()
	start := lockedWorld(t)
	w := start()
	people := lockedAfter()
	before := w.loginOf()

	t.Run("a sync leaves it as it is", func(t *testing.T) {
		_, err := w.sync(people, wiring{change: byDelete})
		require.NoError(t, err)
		require.Equal(t, before, w.loginOf())
		require.Equal(t, "anna@example.test", w.named("anna").Email)
		w.named("bert")
		require.False(t, w.named("carl").Active())
		w.named("emil.smith")
	})
	t.Run("a look writes nothing and tells who", func(t *testing.T) {
		w.sim.ResetCalls()
		s := w.store()
		defer s.Close()
		rep, err := w.engine(s, people, wiring{change: byDelete}).PlanLocked(t.Context(), operator, reconcile.Selection{})
		require.NoError(t, err)
		require.Empty(t, w.sim.Writes())
		require.Len(t, rep.Plan.Decisions, 3)
		for _, d := range rep.Plan.Decisions {
			require.Equal(t, plan.Out, d.Ops[0].Detour, "%+v", d)
			require.Equal(t, plan.Back, d.Ops[len(d.Ops)-1].Detour, "%+v", d)
		}
	})
	t.Run("another number than there are is refused", func(t *testing.T) {
		w.sim.ResetCalls()
		_, err := w.changeLocked(people, wiring{}, 2)
		var count *reconcile.ChangeMismatchError
		require.ErrorAs(t, err, &count)
		require.Equal(t, 3, count.People)
		require.ErrorIs(t, err, reconcile.ErrRefused)
		require.Empty(t, w.sim.Writes())
	})
	t.Run("all of it is changed, and everybody has his login", func(t *testing.T) {
		w.sim.ResetCalls()
		rep, err := w.changeLocked(people, wiring{}, 3)
		require.NoError(t, err)
		require.Equal(t, state.RunDone, rep.Status, "%v %v", rep.Failures, rep.Problems)
		require.Equal(t, before, w.loginOf())
		require.Equal(t, "anna.smith@example.test", w.named("anna").Email)
		require.Equal(t, "bert.smith@example.test", w.named("bert.smith").Email)
		require.True(t, w.named("carl").Active())
		require.Len(t, w.sim.Writes(), 9)
		require.False(t, w.plan(people, wiring{change: byDelete}).Plan.Effective())
	})
}

func TestEngine_ChangeLocked_kept(t *testing.T) {
	t.Parallel()
	t.Run("a change that the server refuses leaves nobody away", func(t *testing.T) {
		t.Parallel()
		w := lockedWorld(t)()
		people, before := lockedAfter(), w.loginOf()
		w.sim.Fail(mmsim.Fault{Path: "/users/*/patch", Status: http.StatusBadRequest, ErrorID: "model.user.is_valid.email.app_error"})
		w.sim.Fail(mmsim.Fault{Path: "/users/*/active", Status: http.StatusBadRequest, ErrorID: "app.user.update_active.user_limit.exceeded"})
		rep, err := w.changeLocked(people, wiring{}, 3)
		require.NoError(t, err)
		require.Equal(t, 3, rep.Counts.Failed)
		require.Equal(t, 6, rep.Counts.Done, "out and back")
		require.Equal(t, before, w.loginOf())
	})
	t.Run("a way back that is refused is made by the next run", func(t *testing.T) {
		t.Parallel()
		w := lockedWorld(t)()
		people, before := lockedAfter(), w.loginOf()
		over := w.sim.Fail(mmsim.Fault{Path: "/users/*/auth", Status: http.StatusForbidden})
		rep, err := w.changeLocked(people, wiring{}, 1, "bert")
		require.NoError(t, err)
		require.Equal(t, state.RunPartial, rep.Status)
		require.Empty(t, w.named("bert.smith").AuthService)
		require.Eventually(t, func() bool { // the call may still arrive for a moment
			rep, err = w.sync(people, wiring{change: byDelete})
			require.NoError(t, err)
			return strings.Contains(strings.Join(rep.Problems, "\n"), "is left with a login by a password that nobody knows, and the next run gives the one of before back")
		}, 20*time.Second, 10*time.Millisecond)
		look := w.plan(people, wiring{change: byDelete})
		require.Contains(t, strings.Join(look.Problems, "\n"), "is left with a login by a password that nobody knows")
		over()
		rep, err = w.sync(people, wiring{change: byDelete})
		require.NoError(t, err)
		require.Empty(t, rep.Problems)
		require.Equal(t, before, w.loginOf())
		w.checkDetours(t, "refused")
	})
	t.Run("somebody on hold is not given back before his release, and the run says so", func(t *testing.T) {
		t.Parallel()
		w := lockedWorld(t)()
		people, before := lockedAfter(), w.loginOf()
		w.cutDetour(people, "/patch")
		w.hold(who("2"), 0)
		require.Eventually(t, func() bool { // what was cut off may still arrive for a moment
			rep, err := w.sync(people, wiring{change: byDelete})
			require.NoError(t, err)
			return strings.Contains(strings.Join(rep.Problems, "\n"), "hold release")
		}, 20*time.Second, 20*time.Millisecond)
		require.NotEqual(t, before, w.loginOf())
		w.release()
		_, err := w.sync(people, wiring{change: byDelete})
		require.NoError(t, err)
		require.Equal(t, before, w.loginOf())
	})
	t.Run("a login that somebody gave meanwhile stays", func(t *testing.T) {
		t.Parallel()
		w := lockedWorld(t)()
		people := lockedAfter()
		w.cutDetour(people, "/patch")
		w.sim.SetUser(w.named("bert").ID, func(u *mmsim.User) { u.AuthService, u.AuthData = "gitlab", "4711" })
		require.Eventually(t, func() bool {
			_, err := w.sync(people, wiring{change: byDelete})
			require.NoError(t, err)
			return w.openOps() == 0
		}, 20*time.Second, 20*time.Millisecond)
		require.Equal(t, "gitlab", w.named("bert").AuthService)
	})
	t.Run("an older server hides what to come back to, so that there is no detour", func(t *testing.T) {
		t.Parallel()
		w := newWorldOf(t, mmsim.Options{Profile: mmsim.Profile538})
		before := lockedBefore()
		before[2].Left = ""
		w.settle(before, wiring{})
		people := lockedAfter()
		people[2].Left = ""
		w.sim.ResetCalls()
		rep, err := w.changeLocked(people, wiring{}, 0)
		require.NoError(t, err)
		require.Empty(t, w.sim.Writes())
		require.Contains(t, decisionOn(t, rep, "1").Detail, "no detour on this release")
	})
	t.Run("an administrator's name waits for a word", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		before, after := lockedBefore(), lockedAfter()
		before[1].Groups, after[1].Groups = []string{adminsGroup}, []string{adminsGroup}
		w.settle(before, wiring{})
		w.sim.ResetCalls()
		rep, err := w.changeLocked(after, wiring{}, 0, "bert")
		require.NoError(t, err)
		require.Empty(t, w.sim.Writes())
		d := decisionOn(t, rep, "2")
		require.Equal(t, plan.NeedsApproval, d.Reason)
		s := w.store()
		_, err = w.engine(s, after, wiring{change: byDelete}).Say(t.Context(), reconcile.Say{Run: rep.RunID, Approves: true, By: "root@host", Reason: "she married"})
		require.NoError(t, err)
		require.NoError(t, s.Close())
		rep, err = w.changeLocked(after, wiring{}, 1, "bert")
		require.NoError(t, err)
		require.Equal(t, state.RunDone, rep.Status, "%v %v", rep.Failures, rep.Problems)
		require.Equal(t, "saml", w.named("bert.smith").AuthService)
	})
	t.Run("a name that another gives up goes when he has given it up", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		people := []human{{ID: "1", UID: "anna", Service: "saml", Login: "a"}, {ID: "2", UID: "bert", Service: "saml", Login: "b"}}
		w.settle(people, wiring{})
		before := w.loginOf()
		people[0].UID, people[1].UID = "bert", "carl"
		rep, err := w.changeLocked(people, wiring{}, 1)
		require.NoError(t, err)
		require.Contains(t, decisionOn(t, rep, "1").Detail, `"bert" is still held by account`)
		_, err = w.changeLocked(people, wiring{}, 1)
		require.NoError(t, err)
		require.Equal(t, "b", w.named("carl").AuthData)
		require.Equal(t, "a", w.named("bert").AuthData)
		require.Equal(t, before, w.loginOf())
	})
}

// cutDetour changes bert's name and dies when a call to a path is to be made.
func (w *world) cutDetour(people []human, path string) {
	w.t.Helper()
	c := &crash{at: -1}
	cut := network(func(r *http.Request) (*http.Response, error) {
		if r.Method != http.MethodGet && strings.HasSuffix(r.URL.Path, path) {
			c.dead.Store(true)
		}
		return c.RoundTrip(r)
	})
	_, err := w.changeLocked(people, wiring{network: cut, wrap: func(s state.Store) state.Store { return mortal{s, c} }}, 1, "bert")
	require.ErrorIs(w.t, err, errCrash)
	require.Empty(w.t, w.named("bert").AuthService, "away")
}

// openOps counts what is not closed.
func (w *world) openOps() int {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	ops, err := s.Ops(w.t.Context(), state.OpFilter{Statuses: []state.OpStatus{state.OpPending, state.OpSent}})
	require.NoError(w.t, err)
	return len(ops)
}

// checkDetours looks that no op is left open.
func (w *world) checkDetours(t *testing.T, name string) {
	t.Helper()
	s := w.store()
	defer s.Close()
	ops, err := s.Ops(t.Context(), state.OpFilter{})
	require.NoError(t, err)
	for _, o := range ops {
		require.True(t, o.Status.Closed(), "%s: op %s %s %s is left %s", name, o.Ref, o.Op.Kind, o.Op.Detour, o.Status)
	}
}

// TestEngine_ChangeLocked_crash cuts a run at every store write and every request, one
// after another. The sync after it gives everybody his login back, whatever its policy,
// and without the right to set passwords.
func TestEngine_ChangeLocked_crash(t *testing.T) {
	t.Parallel()
	for _, kind := range cutKinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			start := lockedWorld(t)
			people := lockedAfter()
			for n, apart := 1, step(3); ; n += apart {
				w := start()
				before, name := w.loginOf(), fmt.Sprintf("%s %d", kind, n)
				hit := w.cutLocked(t, people, kind, n)
				for range 3 { // a call that may still arrive is waited for
					_, err := w.sync(people, wiring{change: byDelete})
					require.NoError(t, err, name)
					if fmt.Sprint(before) == fmt.Sprint(w.loginOf()) {
						break
					}
					time.Sleep(30 * time.Millisecond)
				}
				require.Equal(t, before, w.loginOf(), name)
				left := w.lockedLeft(t, people)
				_, err := w.changeLocked(people, wiring{}, left)
				require.NoError(t, err, name)
				require.Equal(t, before, w.loginOf(), name)
				require.Zero(t, w.lockedLeft(t, people), name)
				require.Equal(t, "bert.smith@example.test", w.named("bert.smith").Email, name)
				require.Equal(t, "anna.smith@example.test", w.named("anna").Email, name)
				require.True(t, w.named("carl").Active(), name)
				w.checkDetours(t, name)
				if !hit {
					require.Greater(t, n, 12, "places to cut at")
					return
				}
			}
		})
	}
}

// cutLocked changes what is locked and is cut at the n-th place; it tells whether there
// was such a place.
func (w *world) cutLocked(t *testing.T, people []human, kind cutKind, n int) bool {
	t.Helper()
	one := func(o *reconcile.Options) { byDelete(o); o.Workers = 1 }
	if kind == lostRequest || kind == lostAnswer {
		over := w.sim.Fail(mmsim.Fault{Skip: n - 1, Count: 1, CutBefore: kind == lostRequest, CutAfter: kind == lostAnswer})
		_, err := w.changeLocked(people, wiring{change: one}, 3)
		over()
		hit := len(w.sim.Calls()) >= n
		if !hit {
			require.NoError(t, err)
		}
		return hit
	}
	c := &crash{at: int64(n), kind: kind}
	_, err := w.changeLocked(people, wiring{network: c, wrap: func(s state.Store) state.Store { return mortal{s, c} }, change: one}, 3)
	if !c.dead.Load() {
		require.NoError(t, err)
	}
	return c.dead.Load()
}

// lockedLeft is how many people have something locked that a detour would change.
func (w *world) lockedLeft(t *testing.T, people []human) int {
	t.Helper()
	s := w.store()
	defer s.Close()
	rep, err := w.engine(s, people, wiring{change: byDelete}).PlanLocked(t.Context(), operator, reconcile.Selection{})
	require.NoError(t, err)
	n := 0
	for _, d := range rep.Plan.Decisions {
		if len(d.Ops) > 0 {
			n++
		}
	}
	return n
}
