package reconcile_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// careful disables the tokens of whoever comes back.
func careful(o *reconcile.Options) { o.Policy.DisableOnReturn = true }

// tidy disables what leavers own.
func tidy(o *reconcile.Options) { o.Policy.DisableTokens, o.Policy.DisableBots = true, true }

// departed is few with Anna having left.
func departed() []human {
	people := few()
	people[0].Left = "yes"
	return people
}

// goneOff is a world in which Anna has left, and whose token would work again.
func goneOff(t *testing.T, o mmsim.Options) (w *world, id, token string) {
	t.Helper()
	w = newWorldOf(t, o)
	w.rest(few(), wiring{})
	u, there := w.sim.UserByName("anna")
	require.True(t, there)
	token = w.sim.AddToken(u.ID)
	require.True(t, w.tokenWorks(token))
	w.decided(departed(), wiring{})
	require.False(t, w.active("anna"))
	require.False(t, w.tokenWorks(token))
	w.sim.ResetCalls()
	return w, u.ID, token
}

// wrote gives the ends of the paths of the writes that succeeded, in their order.
func (w *world) wrote() []string {
	var out []string
	for _, c := range w.sim.Writes() {
		if c.Status/100 == 2 {
			out = append(out, c.Path[strings.LastIndex(c.Path, "/")+1:])
		}
	}
	return out
}

func TestEngine_Return(t *testing.T) {
	t.Parallel()
	for name, profile := range map[string]mmsim.Profile{"11.6": mmsim.Profile116, "5.38": mmsim.Profile538} {
		t.Run("a leaver's old token is refused after his return, "+name, func(t *testing.T) {
			t.Parallel()
			w, _, token := goneOff(t, mmsim.Options{Profile: profile})
			shown := decisionOn(t, w.plan(few(), wiring{change: careful}), "1")
			require.Equal(t, plan.Reactivate, shown.Action)
			require.Contains(t, shown.Detail, "1 access token would work again and is disabled first")
			require.Empty(t, w.sim.Writes())

			w.decided(few(), wiring{change: careful})
			require.True(t, w.active("anna"))
			require.False(t, w.tokenWorks(token))
			require.Equal(t, []string{"disable", "active"}, w.wrote())
		})
		t.Run("it works again where that is wanted, "+name, func(t *testing.T) {
			t.Parallel()
			w, _, token := goneOff(t, mmsim.Options{Profile: profile})
			w.decided(few(), wiring{})
			require.True(t, w.active("anna"))
			require.True(t, w.tokenWorks(token), "the server revives it")
		})
	}
	t.Run("whose token it is makes no difference to who leaves and comes back by a push", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		p := w.service(newClient(), wiring{change: careful})
		p.push(pushedID(1, nil))
		u, found := p.account(1)
		require.True(t, found)
		token := w.sim.AddToken(u.ID)
		require.True(t, w.tokenWorks(token))
		p.push(pushedID(1, leaver))
		w.sim.ResetCalls()
		p.push(pushedID(1, nil))
		u, _ = p.account(1)
		require.Zero(t, u.DeleteAt)
		require.False(t, w.tokenWorks(token))
		require.Equal(t, []string{"disable", "active"}, w.wrote())
	})
	t.Run("while the tokens are not known the account stays off, and everybody else goes on", func(t *testing.T) {
		t.Parallel()
		w, id, token := goneOff(t, mmsim.Options{})
		over := w.sim.Fail(mmsim.Fault{Method: http.MethodGet, Path: "/users/" + id + "/tokens", Status: http.StatusForbidden})
		people := few()
		people[1].Title = "Pilot"
		rep, err := w.sync(people, wiring{change: careful})
		require.NoError(t, err)
		d := decisionOn(t, rep, "1")
		require.Equal(t, plan.TokensHidden, d.Reason)
		require.Contains(t, d.Detail, "403")
		require.False(t, w.active("anna"))
		bert, _ := w.sim.UserByName("bert")
		require.Equal(t, "Pilot", bert.Position)
		over()
		w.decided(people, wiring{change: careful})
		require.True(t, w.active("anna"))
		require.False(t, w.tokenWorks(token))
	})
	t.Run("a push that met such a moment is tried again", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		p := w.service(newClient(), wiring{change: careful})
		p.push(pushedID(1, nil))
		u, _ := p.account(1)
		token := w.sim.AddToken(u.ID)
		p.push(pushedID(1, leaver))
		over := w.sim.Fail(mmsim.Fault{Method: http.MethodGet, Path: "/users/" + u.ID + "/tokens", Status: http.StatusForbidden})
		p.keep(pushedID(1, nil))
		tried := func() bool {
			return slices.ContainsFunc(w.sim.Calls(), func(c mmsim.Call) bool {
				return strings.HasSuffix(c.Path, "/tokens") && c.Status == http.StatusForbidden
			})
		}
		require.Eventually(t, tried, 30*time.Second, 10*time.Millisecond)
		require.Zero(t, p.active())
		over()
		require.Eventually(t, func() bool { return p.active() == 1 }, 60*time.Second, 10*time.Millisecond)
		require.False(t, w.tokenWorks(token))
	})
	t.Run("while a token cannot be disabled the account stays off", func(t *testing.T) {
		t.Parallel()
		w, _, token := goneOff(t, mmsim.Options{})
		over := w.sim.Fail(mmsim.Fault{Method: http.MethodPost, Path: "/users/tokens/disable", Status: http.StatusForbidden})
		rep, err := w.sync(few(), wiring{change: careful})
		require.NoError(t, err)
		require.Equal(t, state.RunPartial, rep.Status)
		require.Equal(t, 1, rep.Counts.Failed)
		require.Equal(t, 1, rep.Counts.Skipped)
		require.False(t, w.active("anna"))
		over()
		w.decided(few(), wiring{change: careful})
		require.True(t, w.active("anna"))
		require.False(t, w.tokenWorks(token))
	})
	t.Run("a token that was made since the plan keeps the account off until the next run", func(t *testing.T) {
		t.Parallel()
		w, id, token := goneOff(t, mmsim.Options{})
		late := ""
		rep, err := w.sync(few(), wiring{change: careful, wrap: func(s state.Store) state.Store {
			return begun{s, func() { late = w.sim.AddToken(id) }}
		}})
		require.NoError(t, err)
		require.Equal(t, state.RunPartial, rep.Status)
		require.Equal(t, 1, rep.Counts.Skipped)
		require.False(t, w.active("anna"))
		w.decided(few(), wiring{change: careful})
		require.True(t, w.active("anna"))
		require.False(t, w.tokenWorks(token))
		require.False(t, w.tokenWorks(late))
	})
	t.Run("a run that is taken back lets no token in", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.rest(few(), wiring{})
		u, _ := w.sim.UserByName("anna")
		token := w.sim.AddToken(u.ID)
		rep, err := w.sync(departed(), wiring{})
		require.NoError(t, err)
		s := w.store()
		defer s.Close()
		_, err = w.engine(s, departed(), wiring{change: careful}).Revert(t.Context(), operator, rep.RunID)
		require.NoError(t, err)
		require.True(t, w.active("anna"))
		require.False(t, w.tokenWorks(token))
	})
	t.Run("nor does somebody who comes back under another id", func(t *testing.T) {
		t.Parallel()
		w, _, token := goneOff(t, mmsim.Options{})
		people := departed()
		people[0].ID = "1-new"
		people[0].Left = ""
		s := w.store()
		_, err := w.engine(s, people, wiring{change: careful}).Rekey(t.Context(), operator, "corp/1", "corp/1-new", false, false)
		require.NoError(t, err)
		require.NoError(t, s.Close())
		require.False(t, w.active("anna"))
		w.decided(people, wiring{change: careful})
		require.True(t, w.active("anna"))
		require.False(t, w.tokenWorks(token))
	})
}

// TestEngine_Return_cut ends the process at every place: no token works again at any
// moment, and the person is in in the end.
func TestEngine_Return_cut(t *testing.T) {
	t.Parallel()
	for _, kind := range cutKinds()[:4] { // the others let the process live
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			apart, n := step(5), 1
			for ; ; n += apart {
				w, id, token := goneOff(t, mmsim.Options{})
				second := w.sim.AddToken(id)
				c := &crash{at: int64(n), kind: kind}
				_, _ = w.sync(few(), wiring{change: careful, wrap: func(s state.Store) state.Store { return mortal{s, c} }, network: c})
				if !c.dead.Load() {
					break
				}
				name := fmt.Sprintf("%s %d", kind, n)
				require.False(t, w.tokenWorks(token) || w.tokenWorks(second), name)
				w.settle(few(), wiring{change: careful})
				require.True(t, w.active("anna"), name)
				require.False(t, w.tokenWorks(token) || w.tokenWorks(second), name)
			}
			require.Greater(t, n, 10, "places to cut at")
		})
	}
}

func TestEngine_Leave(t *testing.T) {
	t.Parallel()
	// owning is a world in which Anna has a token and a bot that stays when she goes.
	owning := func(t *testing.T) (w *world, token, bot string) {
		t.Helper()
		w = newWorldOf(t, mmsim.Options{Settings: map[string]string{"MM_SERVICESETTINGS_DISABLEBOTSWHENOWNERISDEACTIVATED": "false"}})
		w.rest(few(), wiring{})
		u, _ := w.sim.UserByName("anna")
		token = w.sim.AddToken(u.ID)
		bot = w.sim.AddUser(mmsim.User{Username: "deploybot", IsBot: true, OwnerID: u.ID}).ID
		w.sim.ResetCalls()
		return w, token, bot
	}
	revived := func(w *world, token string) bool {
		u, _ := w.sim.UserByName("anna")
		w.sim.SetUser(u.ID, func(u *mmsim.User) { u.DeleteAt = 0 })
		return w.tokenWorks(token)
	}
	works := func(w *world, bot string) bool {
		u, _ := w.sim.User(bot)
		return u.Active()
	}
	t.Run("what a leaver owns is disabled after the account is off", func(t *testing.T) {
		t.Parallel()
		w, token, bot := owning(t)
		rep, err := w.sync(departed(), wiring{change: tidy})
		require.NoError(t, err)
		require.Contains(t, decisionOn(t, rep, "1").Detail, `left behind: 1 access token, bot "deploybot"`)
		require.Equal(t, []string{"active", "disable", "disable"}, w.wrote())
		require.False(t, works(w, bot))
		require.False(t, revived(w, token))
	})
	t.Run("unless that is asked for, it is kept", func(t *testing.T) {
		t.Parallel()
		w, token, bot := owning(t)
		w.decided(departed(), wiring{})
		require.Equal(t, []string{"active"}, w.wrote())
		require.True(t, works(w, bot))
		require.True(t, revived(w, token))
	})
	t.Run("a protected bot is kept, and one that the server switches off itself is left to it", func(t *testing.T) {
		t.Parallel()
		w, _, bot := owning(t)
		w.decided(departed(), wiring{change: func(o *reconcile.Options) {
			tidy(o)
			o.Protect = []string{"deploy*"}
		}})
		require.True(t, works(w, bot))

		w = newWorld(t)
		w.rest(few(), wiring{})
		u, _ := w.sim.UserByName("anna")
		bot = w.sim.AddUser(mmsim.User{Username: "deploybot", IsBot: true, OwnerID: u.ID}).ID
		w.sim.ResetCalls()
		w.decided(departed(), wiring{change: tidy})
		require.Equal(t, []string{"active"}, w.wrote())
		require.False(t, works(w, bot))
	})
	t.Run("what is not known keeps nobody in, and the next run does it", func(t *testing.T) {
		t.Parallel()
		w, token, bot := owning(t)
		over := w.sim.Fail(mmsim.Fault{Method: http.MethodGet, Regexp: regexp.MustCompile("^/bots$|/tokens$"), Status: http.StatusForbidden})
		rep, err := w.sync(departed(), wiring{change: tidy})
		require.NoError(t, err)
		require.False(t, w.active("anna"))
		require.Contains(t, decisionOn(t, rep, "1").Detail, "which access tokens are left behind is not known")
		require.Contains(t, strings.Join(rep.Problems, "\n"), "which bots are to be disabled with their owners is not known")
		over()
		w.decided(departed(), wiring{change: tidy})
		require.False(t, works(w, bot))
		require.False(t, revived(w, token))
	})
	t.Run("so is that of whoever is switched off by hand", func(t *testing.T) {
		t.Parallel()
		w, token, bot := owning(t)
		_, err := w.off("anna", wiring{change: tidy})
		require.NoError(t, err)
		require.False(t, works(w, bot))
		require.False(t, revived(w, token))
	})
	t.Run("of whom nobody can switch off, the tokens are disabled all the same", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), few()
		people[0].Service, people[0].Login = "ldap", "anna"
		w.rest(people, wiring{})
		u, _ := w.sim.UserByName("anna")
		token := w.sim.AddToken(u.ID)
		require.True(t, w.tokenWorks(token))
		people[0].Left = "yes"
		w.decided(people, wiring{change: tidy})
		require.True(t, w.active("anna"))
		require.False(t, w.tokenWorks(token))
	})
	for _, missing := range []bool{false, true} {
		people := departed()
		if missing {
			people = people[1:]
		}
		for _, kind := range cutKinds()[:4] {
			t.Run(fmt.Sprintf("a run that is cut off is finished, missing %v, %s", missing, kind), func(t *testing.T) {
				t.Parallel()
				apart, n := step(5), 1
				for ; ; n += apart {
					w, token, bot := owning(t)
					c := &crash{at: int64(n), kind: kind}
					_, _ = w.sync(people, wiring{change: tidy, wrap: func(s state.Store) state.Store { return mortal{s, c} }, network: c})
					if !c.dead.Load() {
						break
					}
					name := fmt.Sprintf("%s %d", kind, n)
					w.settle(people, wiring{change: tidy})
					require.False(t, w.active("anna"), name)
					require.False(t, works(w, bot), name)
					require.False(t, revived(w, token), name)
				}
				require.Greater(t, n, 10, "places to cut at")
			})
		}
	}
	t.Run("nothing is asked about people who stay", func(t *testing.T) {
		t.Parallel()
		w, _, _ := owning(t)
		w.decided(few(), wiring{change: func(o *reconcile.Options) {
			careful(o)
			tidy(o)
		}})
		require.False(t, slices.ContainsFunc(w.sim.Calls(), func(c mmsim.Call) bool { return strings.HasSuffix(c.Path, "/tokens") }))
	})
}
