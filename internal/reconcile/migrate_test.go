package reconcile_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
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

// These tests are about logins that are moved in batches, and given back.

func samlWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOf(t, mmsim.Options{Logins: []string{"EnableSaml", "EnableSignUpWithGitLab"}})
}

func revoking(o *reconcile.Options) { o.Policy.RevokeOnAuth = true }

func (w *world) planMigration(people []human, m reconcile.Migration) reconcile.Report {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	rep, err := w.engine(s, people, wiring{change: revoking}).PlanMigration(w.t.Context(), operator, m)
	require.NoError(w.t, err)
	return rep
}

// migrate carries out one batch of a plan.
func (w *world) migrate(people []human, id string, size int, with wiring) (reconcile.Report, int, error) {
	w.t.Helper()
	if with.change == nil {
		with.change = revoking
	}
	s := w.store()
	defer s.Close()
	e := w.engine(s, people, with)
	m, err := e.Migration(w.t.Context(), id)
	require.NoError(w.t, err)
	return e.MigrateBatch(w.t.Context(), operator, m, size)
}

func TestEngine_PlanMigration(t *testing.T) {
	t.Parallel()
	w := samlWorld(t)
	people := []human{
		{ID: "1", UID: "anna"},
		{ID: "2", UID: "bert"},
		{ID: "3", UID: "cora"},
		{ID: "4", UID: "dirk"},
		{ID: "5", UID: "emil", Groups: []string{adminsGroup}},
		{ID: "6", UID: "fred", Service: "saml", Login: `\1e\bc\ff\1e\a3\4a\9d\4f\a5\08\d4\d8\1f\1f\58\73`},
		{ID: "7", UID: "gerd"},
	}
	w.settle(people, wiring{})
	w.sim.AddUser(mmsim.User{Username: "gone", Email: "gone@chat.test", AuthService: "saml", AuthData: "bert@idp", DeleteAt: time.Now().UnixMilli()})
	for i := range people {
		people[i].Service, people[i].Login = "saml", people[i].UID+"@idp"
	}
	people[2].Service = "ldap"
	people[3].UID, people[3].Mail = "dirk.new", "dirk@example.test"
	people[5].Login = "1effbc1e-4aa3-4f9d-a508-d4d81f1f5873"
	people[6].Service = ""
	w.sim.ResetCalls()
	rep := w.planMigration(people, reconcile.Migration{})
	require.Empty(t, w.sim.Writes())
	moves := map[string]string{}
	for _, d := range rep.Plan.Decisions {
		moves[d.Key.Anchor] = string(d.Reason)
		if len(d.Ops) > 0 {
			moves[d.Key.Anchor] = "moves, " + d.Detail
		}
	}
	require.Equal(t, map[string]string{
		"1": "moves, ", "2": string(plan.AuthDataTaken), "3": string(plan.LoginOff), "4": string(plan.FieldFirst),
		"5": string(plan.NeedsApproval), "6": "moves, the same id in another form",
	}, moves)
	require.Contains(t, decisionOn(t, rep, "2").Detail, `deactivated account "gone"`)
	require.Contains(t, decisionOn(t, rep, "3").Detail, "ldap switched off")
	require.Contains(t, decisionOn(t, rep, "4").Detail, `username has to be changed to "dirk.new" first, which saml would lock`)

	require.Len(t, w.planMigration(people, reconcile.Migration{From: reconcile.ByPassword, To: "saml"}).Plan.Decisions, 4)
	require.Len(t, w.planMigration(people, reconcile.Migration{From: "saml"}).Plan.Decisions, 1)
	only := reconcile.Migration{Selection: reconcile.Selection{People: []string{"anna"}}}
	require.Len(t, w.planMigration(people, only).Plan.Decisions, 1)

	// What an operator approved of it goes as well, with the plan after.
	s := w.store()
	_, err := w.engine(s, people, wiring{}).Say(t.Context(), reconcile.Say{Run: rep.RunID, Approves: true, By: "root@host", Reason: "it is his"})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	rep = w.planMigration(people, reconcile.Migration{})
	require.Equal(t, plan.SetAuth, decisionOn(t, rep, "5").Ops[0].Kind)
	batch, left, err := w.migrate(people, rep.RunID, 10, wiring{})
	require.NoError(t, err)
	require.Equal(t, 3, left)
	require.Equal(t, 6, batch.Counts.Done, "%v", batch.Failures)
	require.Equal(t, "saml", w.named("emil").AuthService)
	require.Empty(t, w.named("dirk").AuthService)
	w.named("gerd")
}

// Each service is switched on under a key of its own; what a server does not name, as
// Team Edition 11 does not name gitlab, nobody can log in by.
func TestEngine_LoginServices(t *testing.T) {
	t.Parallel()
	keys := map[string]string{
		"gitlab": "EnableSignUpWithGitLab", "google": "EnableSignUpWithGoogle", "ldap": "EnableLdap",
		"office365": "EnableSignUpWithOffice365", "openid": "EnableSignUpWithOpenId", "saml": "EnableSaml",
	}
	services := slices.Sorted(maps.Keys(keys))
	for at := range 2 { // every second one is on, then the others
		var logins []string
		on := map[string]bool{}
		for i, service := range services {
			if on[service] = i%2 == at; on[service] {
				logins = append(logins, keys[service])
			}
		}
		for _, profile := range []mmsim.Profile{mmsim.Profile116, mmsim.Profile538} {
			t.Run(fmt.Sprint(profile, " with ", logins), func(t *testing.T) {
				t.Parallel()
				w := newWorldOf(t, mmsim.Options{Profile: profile, Logins: logins})
				var people []human
				for i := range services {
					people = append(people, human{ID: fmt.Sprint(i), UID: fmt.Sprintf("u%d", i)})
				}
				w.settle(people, wiring{})
				for i, service := range services {
					people[i].Service, people[i].Login = service, people[i].UID+"@idp"
				}
				people = append(people, human{ID: "new", UID: "new", Service: services[1-at], Login: "new@idp"})
				rep := w.planMigration(people, reconcile.Migration{})
				_, left, err := w.migrate(people, rep.RunID, 10, wiring{})
				require.NoError(t, err)
				require.Equal(t, 3, left)
				moving := func(o *reconcile.Options) { o.Policy.ChangeAuth = true }
				for i, service := range services {
					d := decisionOn(t, rep, people[i].ID)
					if on[service] {
						require.Equal(t, plan.SetAuth, d.Ops[0].Kind, service)
						require.Equal(t, service, w.named(people[i].UID).AuthService)
						continue
					}
					require.Equal(t, plan.LoginOff, d.Reason, service)
					require.Equal(t, "the server has "+service+" switched off, or no licence for it", d.Detail)
				}
				run, err := w.sync(people, wiring{change: moving})
				require.NoError(t, err)
				for i, service := range services {
					if !on[service] {
						require.Equal(t, plan.LoginOff, decisionOn(t, run, people[i].ID).Notes[0].Reason, "a run moves nobody there either")
						require.Empty(t, w.named(people[i].UID).AuthService)
					}
				}
				require.Contains(t, strings.Join(run.Plan.Warnings, "\n"), "1 account is made with the login service "+services[1-at])
				require.Equal(t, services[1-at], w.named("new").AuthService, "he can be made early")
			})
		}
	}
}

func TestEngine_MigrateBatch(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T) (*world, []human, string) {
		t.Helper()
		w, people := samlWorld(t), few()
		w.settle(people, wiring{})
		for i := range people {
			people[i].Service, people[i].Login = "saml", people[i].UID+"@idp"
		}
		return w, people, w.planMigration(people, reconcile.Migration{}).RunID
	}
	t.Run("whoever would be moved otherwise by now is left out and named", func(t *testing.T) {
		t.Parallel()
		w, people, id := setup(t)
		people[0].Login = "another@idp"
		rep, _, err := w.migrate(people, id, 10, wiring{})
		require.NoError(t, err)
		require.Contains(t, strings.Join(rep.Plan.Warnings, "\n"), `"anna" (corp/1): the plan says`)
		require.Empty(t, w.named("anna").AuthService)
		require.Equal(t, "bert@idp", w.named("bert").AuthData)
	})
	t.Run("a plan of another configuration, or none at all, moves nobody", func(t *testing.T) {
		t.Parallel()
		w, people, id := setup(t)
		w.sim.ResetCalls()
		_, _, err := w.migrate(people, id, 10, wiring{change: func(o *reconcile.Options) { o.PolicyDigest = "another" }})
		var stale *reconcile.StaleError
		require.ErrorAs(t, err, &stale)
		require.Contains(t, stale.Why, "another configuration")
		s := w.store()
		defer s.Close()
		e := w.engine(s, people, wiring{})
		_, err = e.Migration(t.Context(), "")
		require.ErrorIs(t, err, reconcile.ErrRefused, "none was begun")
		look, err := e.Plan(t.Context(), operator)
		require.NoError(t, err)
		_, err = e.Migration(t.Context(), look.RunID)
		require.ErrorIs(t, err, reconcile.ErrRefused)
		require.ErrorContains(t, err, "is no plan of mmsync migrate-auth plan")
		_, err = e.RollBack(t.Context(), operator, reconcile.Rollback{Run: look.RunID})
		require.ErrorContains(t, err, "is no batch of a migration")
		require.Empty(t, w.sim.Writes())
	})
	t.Run("somebody whom the server refuses is tried once, and the others go on", func(t *testing.T) {
		t.Parallel()
		w, people, id := setup(t)
		w.sim.AddUser(mmsim.User{Username: "late", Email: "late@chat.test", AuthService: "gitlab", AuthData: "bert@idp"})
		s := w.store()
		defer s.Close()
		e := w.engine(s, people, wiring{change: revoking})
		m, err := e.Migration(t.Context(), id)
		require.NoError(t, err)
		rep, left, err := e.MigrateBatch(t.Context(), operator, m, 3)
		require.NoError(t, err)
		require.Equal(t, 4, left)
		require.Equal(t, 1, rep.Counts.Failed, "%v", rep.Failures)
		rep, left, err = e.MigrateBatch(t.Context(), operator, m, 3)
		require.NoError(t, err)
		require.Equal(t, 1, left)
		require.Zero(t, rep.Counts.Failed)
		require.Equal(t, "saml", w.named("dirk").AuthService)
		require.Len(t, m.Done, 2)
	})
	t.Run("a licence that is lost between two batches ends it, with the cause", func(t *testing.T) {
		t.Parallel()
		w, people, id := setup(t)
		_, _, err := w.migrate(people, id, 2, wiring{})
		require.NoError(t, err)
		off := network(func(r *http.Request) (*http.Response, error) { return withoutSAML(r) })
		w.sim.ResetCalls()
		rep, left, err := w.migrate(people, id, 2, wiring{network: off})
		require.NoError(t, err)
		require.Zero(t, left)
		require.Equal(t, 2, rep.Plan.Count(plan.Hold))
		require.Equal(t, plan.LoginOff, rep.Plan.Decisions[0].Reason)
		require.Empty(t, w.sim.Writes())
	})
}

func TestEngine_RollBack(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T) (*world, []human, string) {
		t.Helper()
		w, people := samlWorld(t), few()
		w.settle(people, wiring{})
		w.sim.SetUser(w.named("bert").ID, func(u *mmsim.User) {
			u.AuthService, u.AuthData, u.UpdateAt = "gitlab", "4711", time.Now().UnixMilli()
		})
		for i := range people {
			people[i].Service, people[i].Login = "saml", people[i].UID+"@idp"
		}
		rep, _, err := w.migrate(people, w.planMigration(people, reconcile.Migration{}).RunID, 10, wiring{})
		require.NoError(t, err)
		require.Equal(t, state.RunDone, rep.Status)
		return w, people, rep.RunID
	}
	back := func(w *world, people []human, b reconcile.Rollback, with wiring) (reconcile.Report, error) {
		w.t.Helper()
		s := w.store()
		defer s.Close()
		with.passwords, with.change = b.ToPassword, revoking
		return w.engine(s, people, with).RollBack(w.t.Context(), operator, b)
	}
	mailed := func(w *world) int {
		n := 0
		for _, c := range w.sim.Writes() {
			if strings.HasSuffix(c.Path, "/users/password/reset/send") && c.Status == http.StatusOK {
				n++
			}
		}
		return n
	}
	// What a server answers whose mail goes out was not recorded but for its status.
	mails := func(w *world) { w.sim.Fail(mmsim.Fault{Path: "/users/password/reset/send", Status: http.StatusOK}) }

	t.Run("a login by a service comes back, and one by a password stays and is named", func(t *testing.T) {
		t.Parallel()
		w, people, run := setup(t)
		_, err := back(w, people, reconcile.Rollback{Run: run, Expect: 4}, wiring{})
		var count *reconcile.LoginMismatchError
		require.ErrorAs(t, err, &count)
		require.Equal(t, 1, count.Logins)
		rep, err := back(w, people, reconcile.Rollback{Run: run, Expect: 1}, wiring{})
		require.NoError(t, err)
		require.Equal(t, "4711", w.named("bert").AuthData)
		require.Equal(t, "anna@idp", w.named("anna").AuthData)
		require.Equal(t, 3, strings.Count(strings.Join(rep.Problems, "\n"), "the login by password cannot come back"))
	})
	t.Run("with a link to a new password everybody goes back", func(t *testing.T) {
		t.Parallel()
		w, people, run := setup(t)
		mails(w)
		w.sim.ResetCalls()
		rep, err := back(w, people, reconcile.Rollback{Run: run, ToPassword: true, Expect: 4}, wiring{})
		require.NoError(t, err)
		require.Equal(t, state.RunDone, rep.Status, "%v %v", rep.Failures, rep.Problems)
		require.Equal(t, 3, mailed(w))
		require.Empty(t, w.named("anna").AuthService)
		require.Equal(t, "4711", w.named("bert").AuthData)
	})
	t.Run("the service has no right to set a password", func(t *testing.T) {
		t.Parallel()
		w, people, run := setup(t)
		s := w.store()
		defer s.Close()
		w.sim.ResetCalls()
		rep, err := w.engine(s, people, wiring{change: revoking}).RollBack(t.Context(), operator, reconcile.Rollback{Run: run, ToPassword: true, Expect: 4})
		require.NoError(t, err)
		require.Equal(t, 3, rep.Counts.Failed)
		require.Equal(t, "anna@idp", w.named("anna").AuthData)
	})
	t.Run("a run that dies before the mail leaves that to the next one, wherever it dies", func(t *testing.T) {
		t.Parallel()
		for _, kind := range cutKinds()[:4] {
			for n, apart := 1, step(7); ; n += apart {
				w, people, run := setup(t)
				mails(w)
				w.sim.ResetCalls()
				c := &crash{at: int64(n), kind: kind}
				_, err := back(w, people, reconcile.Rollback{Run: run, ToPassword: true, Expect: 4}, wiring{network: c, wrap: func(s state.Store) state.Store { return mortal{s, c} }})
				if !c.dead.Load() {
					require.NoError(t, err)
				}
				require.Eventually(t, func() bool {
					_, err := w.sync(people, wiring{change: revoking})
					require.NoError(t, err)
					return w.openOps() == 0
				}, 20*time.Second, 10*time.Millisecond)
				for _, name := range []string{"anna", "cora", "dirk"} {
					if u := w.named(name); u.AuthService == "" {
						require.True(t, w.mailedTo(u.Email), "%s %d: nobody told %s", kind, n, name)
					}
				}
				if !c.dead.Load() {
					break
				}
			}
		}
	})
}

// mailedTo tells whether the server was asked to mail a link to an address.
func (w *world) mailedTo(email string) bool {
	for _, c := range w.sim.Writes() {
		if strings.HasSuffix(c.Path, "/users/password/reset/send") && strings.Contains(string(c.Body), email) {
			return true
		}
	}
	return false
}

// withoutSAML passes a request on, and answers for the server that it has no SAML.
func withoutSAML(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || !strings.HasSuffix(r.URL.Path, "/config/client") {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if err := resp.Body.Close(); err != nil {
		return nil, err
	}
	body = bytes.ReplaceAll(body, []byte(`"EnableSaml":"true"`), []byte(`"EnableSaml":"false"`))
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp.Header.Del("Content-Length")
	return resp, nil
}
