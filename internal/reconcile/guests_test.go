package reconcile_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/licencetest"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// These tests are about guests: who becomes one, who ceases to be one, and a server
// that has none any more.

const guestsGroup = "cn=guests,dc=test"

// newGuests is a world whose server has guests.
func newGuests(t testing.TB) (*world, *licencetest.Front) {
	t.Helper()
	w := newWorld(t)
	w.patchConfig(`{"GuestAccountsSettings":{"Enable":true}}`)
	l := licencetest.Before(t, w.url)
	w.url = l.URL
	return w, l
}

func guestRules(when plan.Lost) wiring {
	return wiring{target: mattermost.TargetOptions{Guests: true}, change: func(o *reconcile.Options) {
		roomy(o)
		o.Policy.Roles[0].Guests, o.Policy.Roles[0].Guest = true, when
		o.Limits.RoleRemovals.Count, o.Limits.AdminGrants.Count = 50, 50
	}}
}

func (w *world) roles(name string) string {
	w.t.Helper()
	u, ok := w.sim.UserByName(name)
	require.True(w.t, ok, name)
	return u.Roles
}

func guest(id, uid string) human { return human{ID: id, UID: uid, Groups: []string{guestsGroup}} }

func TestEngine_Guests(t *testing.T) {
	t.Parallel()
	t.Run("come and go by the rules, and those who were it by hand are asked about", func(t *testing.T) {
		t.Parallel()
		w, _ := newGuests(t)
		with := guestRules(plan.LostTake)
		people := []human{{ID: "1", UID: "ann"}, {ID: "2", UID: "bob", Groups: []string{adminsGroup}}, guest("3", "cid"), {ID: "4", UID: "dan"}}
		w.settle(people, with)
		require.Equal(t, "system_guest", w.roles("cid"))
		u, _ := w.sim.UserByName("dan")
		w.sim.SetUser(u.ID, func(u *mmsim.User) { u.Roles = "system_guest" })
		people[0], people[1], people[2] = guest("1", "ann"), guest("2", "bob"), human{ID: "3", UID: "cid"}
		rep, err := w.run(t.Context(), people, with, reconcile.RunOptions{Audit: true})
		require.NoError(t, err)
		require.Empty(t, rep.Failures)
		require.Equal(t, "system_guest", w.roles("ann"))
		require.Equal(t, "system_guest", w.roles("bob"), "after the administrator's role was taken")
		require.Equal(t, "system_user", w.roles("cid"))
		require.Equal(t, "system_guest", w.roles("dan"))
		require.Equal(t, plan.NeedsApproval, decisionOn(t, rep, "4").Reason)
		require.Equal(t, []int{1, 1, 0}, []int{w.revocations("ann"), w.revocations("bob"), w.revocations("cid")})
		_, err = w.say(with, reconcile.Say{Run: rep.RunID, Approves: true})
		require.NoError(t, err)
		_, err = w.sync(people, with)
		require.NoError(t, err)
		require.Equal(t, "system_user", w.roles("dan"), "after a word")
	})
	t.Run("are made members again by a revert, and members guests", func(t *testing.T) {
		t.Parallel()
		w, _ := newGuests(t)
		with := guestRules(plan.LostTake)
		w.settle([]human{{ID: "1", UID: "ann"}, guest("2", "bob")}, with)
		people := []human{guest("1", "ann"), {ID: "2", UID: "bob"}}
		rep, err := w.sync(people, with)
		require.NoError(t, err)
		require.Equal(t, []string{"system_guest", "system_user"}, []string{w.roles("ann"), w.roles("bob")})
		_, err = w.act(people, with, func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
			return e.Revert(ctx, reconcile.RunOptions{Trigger: "test", RequestedBy: "test", Reason: "wrong"}, rep.RunID)
		})
		require.NoError(t, err)
		require.Equal(t, []string{"system_user", "system_guest"}, []string{w.roles("ann"), w.roles("bob")})
	})
	t.Run("who are made members again by somebody else are made guests again, and told of the second time", func(t *testing.T) {
		t.Parallel()
		w, _ := newGuests(t)
		with := guestRules(plan.LostTake)
		people := []human{guest("1", "ann")}
		w.settle(people, with)
		for round, told := range []bool{false, true} {
			u, _ := w.sim.UserByName("ann")
			w.sim.SetUser(u.ID, func(u *mmsim.User) { u.Roles = "system_user" })
			rep, err := w.run(t.Context(), people, with, reconcile.RunOptions{Audit: true})
			require.NoError(t, err)
			require.Equal(t, "system_guest", w.roles("ann"))
			require.Equal(t, round+1, w.revocations("ann"))
			require.Equal(t, told, strings.Contains(strings.Join(rep.Problems, "\n"), "was made a full member again after mmsync had taken that away, 2 times"), "%q", rep.Problems)
		}
	})
	t.Run("are asked about once when a rule for them was written", func(t *testing.T) {
		t.Parallel()
		w, _ := newGuests(t)
		with := func(digest string, rules bool) wiring {
			c := guestRules(plan.LostTake)
			c.change = func(o *reconcile.Options) {
				guestRules(plan.LostTake).change(o)
				o.PolicyDigest, o.Policy.Roles[0].Guests = digest, rules
			}
			return c
		}
		people := []human{guest("1", "ann"), {ID: "2", UID: "bob"}}
		w.settle(people, with("before", false))
		require.Equal(t, "system_user", w.roles("ann"))
		rep, err := w.sync(people, with("after", true))
		require.NoError(t, err)
		require.Equal(t, "system_user", w.roles("ann"))
		require.Equal(t, plan.GuardTripped, decisionOn(t, rep, "1").Reason)
		require.Contains(t, rep.Verdict.Message(), "the configuration has changed since run")
		_, err = w.say(with("after", true), reconcile.Say{Run: rep.RunID, Approves: true})
		require.NoError(t, err)
		_, err = w.sync(people, with("after", true))
		require.NoError(t, err)
		require.Equal(t, "system_guest", w.roles("ann"))
		require.Equal(t, 1, w.revocations("ann"))
	})
	t.Run("are too many at once for the guard", func(t *testing.T) {
		t.Parallel()
		w, _ := newGuests(t)
		with := guestRules(plan.LostTake)
		var people []human
		for i := range 8 {
			people = append(people, human{ID: fmt.Sprint(i), UID: fmt.Sprint("person", i)})
		}
		w.settle(people, with)
		for i := range people {
			people[i].Groups = []string{guestsGroup}
		}
		tight := guestRules(plan.LostTake)
		tight.change = func(o *reconcile.Options) { with.change(o); o.Limits.RoleRemovals.Count = 5 }
		rep, err := w.sync(people, tight)
		require.NoError(t, err)
		require.Equal(t, state.RunWithheld, rep.Status)
		require.Contains(t, rep.Verdict.Message(), "8 of 8 would become guests, by a rule of source corp")
		require.Zero(t, w.revocations("person0"))
		require.Equal(t, "system_user", w.roles("person0"))
		rep, err = w.sync(people, with)
		require.NoError(t, err)
		require.Equal(t, state.RunWithheld, rep.Status, "what was held waits for a word")
	})
}

func TestEngine_Guests_feature_off(t *testing.T) {
	t.Parallel()
	t.Run("the server's switching off is not fought, and who was to be a guest waits", func(t *testing.T) {
		t.Parallel()
		w, _ := newGuests(t)
		with := guestRules(plan.LostTake)
		people := []human{guest("1", "ann"), guest("2", "bob"), {ID: "3", UID: "cid"}, guest("4", "dan")}
		w.settle(people, with)
		w.sim.ResetCalls()
		w.patchConfig(`{"GuestAccountsSettings":{"Enable":false}}`)
		require.False(t, w.active("ann"))
		w.sim.ResetCalls()
		people[1].Left = "yes"
		people[2] = guest("3", "cid")
		people = append(people, guest("5", "eva"))
		for range 2 {
			rep, err := w.run(t.Context(), people, with, reconcile.RunOptions{Audit: true})
			require.NoError(t, err)
			for _, id := range []string{"1", "3", "4", "5"} {
				require.Equal(t, plan.GuestsOff, decisionOn(t, rep, id).Reason, id)
			}
			require.Empty(t, rep.Problems)
			require.Empty(t, w.sim.Writes())
		}
		require.Equal(t, "system_user", w.roles("cid"))
	})
	for name, end := range map[string]func(*licencetest.Front){
		"a licence that ends":         func(l *licencetest.Front) { l.None.Store(true) },
		"a feature that is taken off": func(l *licencetest.Front) { l.Off.Store(true) },
	} {
		t.Run(name+" in mid-run is tried once, and the rest of the run goes on", func(t *testing.T) {
			t.Parallel()
			w, l := newGuests(t)
			with := guestRules(plan.LostTake)
			var people []human
			for i := range 40 { // more than failures in a row that end a run
				people = append(people, human{ID: fmt.Sprintf("%02d", i), UID: fmt.Sprintf("person%02d", i)})
			}
			w.settle(people, with)
			for i := range people {
				people[i].Groups, people[i].Title = []string{guestsGroup}, "Visitor"
			}
			var tries atomic.Int64
			cut := with
			cut.network = network(func(r *http.Request) (*http.Response, error) {
				if strings.HasSuffix(r.URL.Path, "/demote") {
					end(l)
					tries.Add(1)
				}
				return http.DefaultTransport.RoundTrip(r)
			})
			cut.change = func(o *reconcile.Options) { with.change(o); o.Workers = 1 }
			rep, err := w.sync(people, cut)
			require.NoError(t, err)
			require.EqualValues(t, 1, tries.Load())
			require.Equal(t, 1, rep.Counts.Failed)
			require.Equal(t, "Visitor", w.position("person39"))
			require.Contains(t, strings.Join(rep.Problems, "\n"), "the server makes no guests")
			require.Zero(t, w.revocations("person39"))
			require.Equal(t, "system_user", w.roles("person39"))
			l.Off.Store(false)
			rep, err = w.sync(people, with)
			require.NoError(t, err)
			if l.None.Load() {
				require.Equal(t, plan.GuestsUnlicensed, decisionOn(t, rep, "39").Reason)
			} else {
				require.Equal(t, "system_guest", w.roles("person39"))
			}
		})
	}
}

// patchConfig changes the server's configuration as its administrator.
func (w *world) patchConfig(body string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPut, w.url+"/api/v4/config/patch", strings.NewReader(body))
	require.NoError(w.t, err)
	r.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(w.t, err)
	defer func() { _ = resp.Body.Close() }()
	require.Equal(w.t, 200, resp.StatusCode)
}

func TestEngine_Guests_crash(t *testing.T) {
	t.Parallel()
	w, _ := newGuests(t)
	w.db = emptyFile(t) // which can be copied
	with := guestRules(plan.LostTake)
	before := []human{{ID: "1", UID: "ann"}, {ID: "2", UID: "bob", Groups: []string{adminsGroup}}, guest("3", "cid"), guest("4", "dan"), guest("5", "eva")}
	w.settle(before, with)
	before[4].Left = "yes"
	w.settle(before, with)
	after := []human{guest("1", "ann"), guest("2", "bob"), {ID: "3", UID: "cid", Groups: []string{adminsGroup}}, guest("4", "dan"), guest("5", "eva"), guest("6", "fay")}
	after[3].Left = "yes"
	w.migrated = true
	tpl := template{world: w, state: w.sim.SnapshotState()}
	for _, kind := range cutKinds() {
		apart := step(5)
		n := 1 + rand.IntN(min(apart, 20)) //nolint:gosec // where to begin; failures name the place
		cuts := 0
		for ; tpl.cutGuests(t, kind, n, after, with); n += apart {
			cuts++
		}
		require.Greater(t, cuts, 20/apart, "%s: places to cut at", kind)
		t.Logf("%s: cut at %d of about %d places", kind, cuts, n)
	}
}

// cutGuests runs a sync that is cut at the n-th place, and those after it. It tells
// whether there was such a place.
func (tpl template) cutGuests(t *testing.T, kind cutKind, n int, after []human, with wiring) (hit bool) {
	t.Helper()
	w, name := tpl.start(t), fmt.Sprintf("%s %d", kind, n)
	if kind == lostRequest || kind == lostAnswer {
		over := w.sim.Fail(mmsim.Fault{Skip: n - 1, Count: 1, CutBefore: kind == lostRequest, CutAfter: kind == lostAnswer})
		_, err := w.sync(after, with)
		over()
		if hit = len(w.sim.Calls()) >= n; !hit {
			require.NoError(t, err, name)
		}
	} else {
		c := &crash{at: int64(n), kind: kind}
		dying := with
		dying.wrap, dying.network = func(s state.Store) state.Store { return mortal{s, c} }, c
		_, err := w.sync(after, dying)
		if hit = c.dead.Load(); hit {
			require.ErrorIs(t, err, errCrash, name)
		} else {
			require.NoError(t, err, name)
		}
	}
	w.settle(after, with)
	w.checkGuests(t, name)
	return hit
}

// checkGuests looks at the world after TestEngine_Guests_crash.
func (w *world) checkGuests(t *testing.T, name string) {
	t.Helper()
	for who, roles := range map[string]identity.Roles{
		"ann": {"system_guest"}, "bob": {"system_guest"}, "cid": {"system_admin", "system_user"}, "dan": {"system_guest"}, "eva": {"system_guest"}, "fay": {"system_guest"},
	} {
		require.Equal(t, roles, identity.ParseRoles(w.roles(who)), "%s: %s", name, who)
		require.Equal(t, who != "dan", w.active(who), "%s: %s", name, who)
	}
	for _, who := range []string{"ann", "bob"} {
		u, _ := w.sim.UserByName(who)
		demoted, ended := 0, 0
		for _, c := range w.sim.Writes() {
			switch {
			case c.Status/100 != 2 || !strings.Contains(c.Path, u.ID):
			case strings.HasSuffix(c.Path, "/roles") && strings.Contains(string(c.Body), "system_guest"):
				demoted = c.Seq
			case strings.HasSuffix(c.Path, "/sessions/revoke/all"):
				ended = c.Seq
			}
		}
		require.NotZero(t, demoted, "%s: %s", name, who)
		require.Greater(t, ended, demoted, "%s: the sessions that %s had as a full member are alive", name, who)
	}
	s := w.store()
	defer s.Close()
	ops, err := s.Ops(t.Context(), state.OpFilter{})
	require.NoError(t, err)
	require.False(t, slices.ContainsFunc(ops, func(o state.OpRecord) bool { return !o.Status.Closed() }), "%s: an op is left open", name)
}
