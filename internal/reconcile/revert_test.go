package reconcile_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// revert takes a run back.
func (w *world) revert(run string, with wiring) (reconcile.Report, error) {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	return w.engine(s, few(), with).Revert(w.t.Context(), operator, run)
}

// shown is what a revert has to give back.
type shown struct{ username, email, position, roles, login string }

// accounts gives what everybody is like, and who is on.
func (w *world) accounts() (people map[string]shown, on map[string]bool) {
	people, on = map[string]shown{}, map[string]bool{}
	for _, u := range w.sim.Users() {
		people[u.ID] = shown{u.Username, u.Email, u.Position, identity.ParseRoles(u.Roles).String(), u.AuthService + ":" + u.AuthData}
		on[u.ID] = u.Active()
	}
	return people, on
}

// asBefore checks that everybody is as he was, and that who was made since is off.
func (w *world) asBefore(people map[string]shown, on map[string]bool, name string) {
	w.t.Helper()
	now, nowOn := w.accounts()
	for id, p := range now {
		before, there := people[id]
		if !there {
			require.False(w.t, nowOn[id], "%s: %s was made since and is on", name, p.username)
			continue
		}
		require.Equal(w.t, before, p, name)
		require.Equal(w.t, on[id], nowOn[id], "%s: %s is on", name, p.username)
	}
}

var amply = wiring{change: func(o *reconcile.Options) {
	all := guard.Limit{Count: 500}
	o.Limits = guard.Limits{
		Deactivations: all, Reactivations: all, RoleRemovals: all, Recreations: all, Creates: all, Updates: all, Renames: all, EmailChanges: all,
		AuthChanges: all, AdminGrants: all, Window: 24 * time.Hour,
	}
}}

// two hundred changes: forty new, sixty patched, forty renamed (among them two who
// swap and three in a ring), thirty who leave, and thirty whose role is given or
// taken.
func manyBefore() []human {
	var people []human
	for i := range 160 {
		p := human{ID: fmt.Sprint(i), UID: fmt.Sprintf("user%03d", i), Mail: fmt.Sprintf("u%03d@example.test", i)}
		if i >= 145 {
			p.Groups = []string{adminsGroup}
		}
		people = append(people, p)
	}
	return people
}

func manyAfter() []human {
	people := manyBefore()
	name := func(i int) string { return fmt.Sprintf("user%03d", i) }
	for i := range people {
		p := &people[i]
		switch {
		case i < 60:
			p.Title = "Director"
		case i < 95:
			p.UID = fmt.Sprintf("renamed%03d", i)
		case i < 97:
			p.UID = name(95 + 96 - i)
		case i < 100:
			p.UID = name(97 + (i-97+1)%3)
		case i < 130:
			p.Left = "yes"
		case i < 145:
			p.Groups = []string{adminsGroup}
		default:
			p.Groups = nil
		}
	}
	for i := range 40 {
		people = append(people, human{ID: fmt.Sprint("new", i), UID: fmt.Sprintf("new%03d", i)})
	}
	return people
}

func TestEngine_Revert(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rest(manyBefore(), amply)
	people, on := w.accounts()
	run, err := w.sync(manyAfter(), amply)
	require.NoError(t, err)
	require.Equal(t, state.RunDone, run.Status)
	require.Len(t, run.Plan.Decisions, 200)
	after, _ := w.accounts()

	s := w.store()
	shownPlan, err := w.engine(s, few(), amply).PlanRevert(t.Context(), operator, run.RunID)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.Empty(t, w.stops(), "a plan holds nobody")

	rep, err := w.revert(run.RunID, amply)
	require.NoError(t, err)
	require.Equal(t, shownPlan.Plan.Digest(), rep.Plan.Digest())
	require.Equal(t, state.RunDone, rep.Status, "%v %v %v", rep.Problems, rep.Failures, rep.Verdict.Message())
	require.Len(t, rep.Plan.Decisions, 200)
	require.Equal(t, 200, rep.Pinned)
	w.asBefore(people, on, "taken back")
	for _, d := range rep.Plan.Decisions {
		require.Equal(t, plan.Reverted, d.Reason)
	}

	// Twice, there is nothing to do.
	second, err := w.revert(run.RunID, amply)
	require.NoError(t, err)
	require.False(t, second.Plan.Effective())
	require.Zero(t, second.Pinned)
	require.Equal(t, state.RunDone, second.Status, "%v", second.Problems)
	require.Equal(t, 200, w.openStops())

	// The next syncs do nothing of it again until it is released.
	w.sim.ResetCalls()
	for range 2 {
		held, err := w.sync(manyAfter(), amply)
		require.NoError(t, err)
		require.Empty(t, w.sim.Writes())
		require.Len(t, held.Plan.Decisions, 200) // some wait for the names of others who are held
		require.Equal(t, 195, held.Counts.Held)
	}
	s = w.store()
	defer s.Close()
	released, err := reconcile.ReleaseHold(t.Context(), s, operator, func(s state.Stop) bool { return s.Run == rep.RunID })
	require.NoError(t, err)
	require.Len(t, released, 200)
	again, err := w.sync(manyAfter(), amply)
	require.NoError(t, err)
	require.Equal(t, state.RunDone, again.Status)
	now, _ := w.accounts()
	require.Equal(t, after, now)

	// The history names both.
	runs, err := s.Runs(t.Context(), state.RunFilter{ID: rep.RunID})
	require.NoError(t, err)
	require.Equal(t, "revert", runs[0].Kind)
	require.JSONEq(t, `{"revert":"`+run.RunID+`"}`, runs[0].Options)
}

func TestEngine_Revert_left(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T, people []human, with wiring) (*world, string) {
		w := newWorld(t)
		w.rest(few(), with)
		rep, err := w.sync(people, with)
		require.NoError(t, err)
		return w, rep.RunID
	}
	t.Run("what somebody changed since is left and named", func(t *testing.T) {
		t.Parallel()
		w, run := setup(t, changed(), wiring{})
		w.touch("anna", time.Second, func(u *mmsim.User) { u.Position = "Emperor" })
		rep, err := w.revert(run, wiring{})
		require.NoError(t, err)
		require.Equal(t, state.RunPartial, rep.Status)
		require.Equal(t, []string{`anna (corp/1) is left in this: position was changed since, to "Emperor"`}, rep.Problems)
		u, _ := w.sim.UserByName("anna")
		require.Equal(t, "Emperor", u.Position)
		require.True(t, w.active("cora"))
		require.True(t, w.active("bert"))
		require.False(t, w.active("emil"))
	})
	t.Run("a call that may still arrive is named", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.rest(few(), wiring{})
		c := &crash{at: -1}
		_, err := w.sync(changed(), wiring{wrap: func(s state.Store) state.Store { return mortal{s, c} }, network: network(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/patch") {
				c.dead.Store(true)
			}
			return c.RoundTrip(r)
		})})
		require.ErrorIs(t, err, errCrash)
		s := w.store()
		runs, err := s.Runs(t.Context(), state.RunFilter{Kind: "sync", Limit: 1})
		require.NoError(t, err)
		require.NoError(t, s.Close())
		rep, err := w.revert(runs[0].ID, wiring{change: func(o *reconcile.Options) { o.SettleAfter = time.Hour }})
		require.NoError(t, err)
		require.Equal(t, state.RunPartial, rep.Status)
		require.Contains(t, rep.Problems[0], "calls of run "+runs[0].ID+" may still be on their way (")
		require.True(t, w.active("cora"), "what is known to be done is taken back")
	})
	t.Run("another field is no obstacle", func(t *testing.T) {
		t.Parallel()
		w, run := setup(t, changed(), wiring{})
		w.touch("anna", time.Second, func(u *mmsim.User) { u.Nickname = "Annie" })
		rep, err := w.revert(run, wiring{})
		require.NoError(t, err)
		require.Equal(t, state.RunDone, rep.Status)
		u, _ := w.sim.UserByName("anna")
		require.Equal(t, "Clerk", u.Position)
		require.Equal(t, "Annie", u.Nickname)
	})
	t.Run("whom somebody else switched off since is not switched on", func(t *testing.T) {
		t.Parallel()
		w, run := setup(t, changed(), wiring{})
		w.touch("cora", time.Second, func(u *mmsim.User) { u.DeleteAt += 5000 })
		rep, err := w.revert(run, wiring{})
		require.NoError(t, err)
		require.Contains(t, rep.Problems, "cora (corp/3) is left in this: somebody else switched the account off since")
		require.False(t, w.active("cora"))
	})
	t.Run("a name that somebody took meanwhile is held", func(t *testing.T) {
		t.Parallel()
		w, run := setup(t, changed(), wiring{})
		w.sim.AddUser(mmsim.User{Username: "bert", Email: "other@chat.test"})
		rep, err := w.revert(run, wiring{})
		require.NoError(t, err)
		require.Len(t, rep.Problems, 1)
		require.Contains(t, rep.Problems[0], `"berta" (corp/2) is left in this: username is held by account "bert"`)
		require.Equal(t, state.RunPartial, rep.Status)
		u, ok := w.sim.UserByName("berta")
		require.True(t, ok)
		require.Equal(t, "bert@example.test", u.Email, "the rest goes on")
	})
	t.Run("a login by password cannot come back, one by saml does", func(t *testing.T) {
		t.Parallel()
		moves := wiring{change: func(o *reconcile.Options) { o.Policy.ChangeAuth = true }}
		w := newWorld(t)
		people := few()
		people[1].Service, people[1].Login = "saml", "bert@old"
		w.rest(people, moves)
		people[0].Service, people[0].Login = "saml", "anna@idp"
		people[1].Login = "bert@new"
		run, err := w.sync(people, moves)
		require.NoError(t, err)
		rep, err := w.revert(run.RunID, wiring{})
		require.NoError(t, err)
		require.Equal(t, []string{"anna (corp/1) is left in this: the login by password cannot come back; a new password has to be set in Mattermost"}, rep.Problems)
		u, _ := w.sim.UserByName("bert")
		require.Equal(t, "bert@old", u.AuthData)
		u, _ = w.sim.UserByName("anna")
		require.Equal(t, "saml", u.AuthService)
	})
	t.Run("an adoption is taken back by unlinking, and an account is never owned twice", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		adopts := wiring{change: func(o *reconcile.Options) { o.Policy.AdoptByAuth = true }}
		w.sim.AddUser(mmsim.User{Username: "anna", Email: "anna@example.test", Position: "Queen", AuthService: "saml", AuthData: "anna@idp"})
		people := few()[:1]
		people[0].Service, people[0].Login = "saml", "anna@idp"
		before, _ := w.accounts()
		run, err := w.sync(people, adopts)
		require.NoError(t, err)
		require.Equal(t, 1, run.Plan.Count(plan.Adopt))
		require.Len(t, w.links(), 1)
		rep, err := w.revert(run.RunID, adopts)
		require.NoError(t, err)
		require.Equal(t, state.RunDone, rep.Status)
		require.Empty(t, w.links())
		now, _ := w.accounts()
		require.Equal(t, before, now)
		_, err = w.sync(people, adopts)
		require.NoError(t, err)
		require.Empty(t, w.links(), "held")
		// What was unlinked by that can be linked again in the same way.
		w.release()
		rep, err = w.revert(rep.RunID, adopts)
		require.NoError(t, err)
		require.Len(t, w.links(), 1)
		require.Equal(t, identity.OriginOperator, w.links()["1"].Origin)
		require.Equal(t, 1, rep.Pinned)
	})
	t.Run("guards judge it like any plan", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run, err := w.sync(few(), wiring{})
		require.NoError(t, err)
		rep, err := w.revert(run.RunID, wiring{change: func(o *reconcile.Options) { o.Limits.Deactivations.Count = 3 }})
		require.NoError(t, err)
		require.Equal(t, state.RunWithheld, rep.Status)
		require.True(t, w.active("anna"))
	})
	t.Run("while an operator holds everything, nothing is taken back", func(t *testing.T) {
		t.Parallel()
		w, run := setup(t, changed(), wiring{})
		w.hold(identity.Key{}, 0)
		w.sim.ResetCalls()
		rep, err := w.revert(run, wiring{})
		require.NoError(t, err)
		require.Equal(t, state.RunPartial, rep.Status)
		require.Empty(t, w.sim.Writes())
	})
	t.Run("runs that changed nothing are refused, and runs there are none of", func(t *testing.T) {
		t.Parallel()
		w, _ := setup(t, few(), wiring{})
		planned := w.plan(changed(), wiring{})
		for id, says := range map[string]string{planned.RunID: "changed nothing", "1999": "there is no run", "20": "fits "} {
			_, err := w.revert(id, wiring{})
			require.ErrorIs(t, err, reconcile.ErrRefused)
			require.ErrorContains(t, err, says)
		}
		require.Empty(t, w.stops())
	})
}

// Cut off at any place and followed by a sync, it ends with a second try, and nothing
// that was taken back is done again before.
func TestEngine_Revert_cut(t *testing.T) {
	t.Parallel()
	before := append(few(), human{ID: "swap-1", UID: "gina"}, human{ID: "swap-2", UID: "hans"})
	after := slices.Clone(before)
	after[0].Title, after[1].UID, after[2].Left = "Director", "berta", "yes"
	after[3].Groups = []string{adminsGroup}
	after[4].UID, after[4].Mail, after[5].UID, after[5].Mail = "hans", "gina@example.test", "gina", "hans@example.test"
	after = append(after, human{ID: "new", UID: "nora"})
	for _, kind := range []cutKind{beforeWrite, afterWrite, beforeRequest, afterRequest} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			for n := 1 + rand.Int64N(3); ; n += 3 { //nolint:gosec // where to begin; failures name the place
				w := newWorld(t)
				w.rest(before, wiring{})
				people, on := w.accounts()
				run, err := w.sync(after, wiring{})
				require.NoError(t, err)
				require.Equal(t, state.RunDone, run.Status)
				w.sim.ResetCalls()
				c := &crash{at: n, kind: kind}
				_, err = w.revert(run.RunID, wiring{wrap: func(s state.Store) state.Store { return mortal{s, c} }, network: c})
				name := fmt.Sprintf("%s %d", kind, n)
				if !c.dead.Load() {
					require.NoError(t, err)
					require.Greater(t, n, int64(10))
					return
				}
				writes := writesOf(w)
				_, err = w.sync(after, wiring{})
				require.NoError(t, err, name)
				require.Equal(t, writes, writesOf(w), "%s: the sync does nothing again", name)
				for i := 0; ; i++ {
					require.Less(t, i, 5, "%s: no rest", name)
					rep, err := w.revert(run.RunID, wiring{})
					require.NoError(t, err, name)
					if !rep.Plan.Effective() && len(rep.Plan.Decisions) == 0 {
						break
					}
				}
				w.asBefore(people, on, name)
				_, err = w.sync(after, wiring{})
				require.NoError(t, err, name)
				w.asBefore(people, on, name+", and a sync")
			}
		})
	}
}

// writesOf counts the calls that had an effect.
func writesOf(w *world) (n int) {
	for _, c := range w.sim.Writes() {
		if c.Status/100 == 2 && c.Method != http.MethodGet && !strings.HasSuffix(c.Path, "/ids") {
			n++
		}
	}
	return n
}
