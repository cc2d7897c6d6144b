package e2ereal_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// world is one installation of mmsync: a configuration, a store and a file of
// people, and a witness on its way to the server.
type world struct {
	t       *testing.T
	srv     server
	witness *witness
	prefix  string
	dir     string
	config  string
	url     string // that the configuration names
	strange []account
	adopted []string
	agreed  bool
}

// person is one line of the file.
type person struct{ id, login, mail, first, position, status, role, service, data string }

func newWorld(t *testing.T, s server) *world {
	t.Helper()
	w := &world{t: t, srv: s, prefix: newPrefix(), dir: t.TempDir()}
	w.witness = newWitness(t, s)
	s.sweepAfter(t, w.prefix, w.witness.accounts)
	t.Cleanup(w.checkStrangers)
	w.configure(w.witness.url)
	return w
}

func (w *world) configure(url string) {
	w.t.Helper()
	w.url, w.config = url, filepath.Join(w.dir, "config.yaml")
	text := fmt.Sprintf(`version: 1
mattermost:
  url: %s
  token: ${MMSYNC_E2E_TOKEN}
  rate_limit: {per_second: 500}
state: {url: "sqlite:%s"}
sources: [{name: corp, type: file, path: people.csv, disabled_when: 'attr.status == "left"'}]
mapping:
  defaults:
    id_attribute: attr.id
    username_attribute: attr.login
    email_attribute: attr.mail
    first_name_attribute: attr.first
    position_attribute: attr.position
auth:
  policy:
    - {source: corp, when: 'attr.service == "saml"', service: saml, data: attr.data}
    - {source: corp, when: 'attr.service == "ldap"', service: ldap, data: attr.data}
roles:
  - {role: system_post_all, source: corp, when: 'attr.role == "poster"', grant: allow}
lifecycle:
  deactivate:
    grace: {disabled: 0s, missing: 0s, out_of_scope: 0s}
    look_again: 0s
`, url, filepath.Join(w.dir, "state.db"))
	require.NoError(w.t, os.WriteFile(w.config, []byte(text), 0o600))
}

// name is a username of this world.
func (w *world) name(n string) string { return w.prefix + n }

// somebody is a person with everything that is needed, and password login.
func (w *world) somebody(n string) person {
	return person{id: w.name("id-" + n), login: w.name(n), mail: w.name(n) + "@example.test", first: "First " + n}
}

// feed writes the file of people.
func (w *world) feed(people ...person) {
	w.t.Helper()
	next := filepath.Join(w.dir, "people.next")
	f, err := os.Create(next)
	require.NoError(w.t, err)
	out := csv.NewWriter(f)
	require.NoError(w.t, out.Write([]string{"id", "login", "mail", "first", "position", "status", "role", "service", "data"}))
	for _, p := range people {
		require.NoError(w.t, out.Write([]string{p.id, p.login, p.mail, p.first, p.position, p.status, p.role, p.service, p.data}))
	}
	out.Flush()
	require.NoError(w.t, out.Error())
	require.NoError(w.t, f.Close())
	require.NoError(w.t, os.Rename(next, filepath.Join(w.dir, "people.csv")))
}

// run opens everything as the program does, does one thing and closes it.
func (w *world) run(do func(*reconcile.Engine) (reconcile.Report, error)) (reconcile.Report, error) {
	w.t.Helper()
	env := func(name string) (string, bool) { return w.srv.token, name == "MMSYNC_E2E_TOKEN" }
	c, err := config.Load(w.config, env)
	require.NoError(w.t, err)
	d, err := daemon.Open(w.t.Context(), c, daemon.Options{Version: "e2ereal"})
	require.NoError(w.t, err)
	defer func() { require.NoError(w.t, d.Close()) }()
	w.agree(d.Store)
	return do(d.Engine)
}

// agree has the store know that a first run was completed: the server has people
// of others, and would be asked about first.
func (w *world) agree(s state.Store) {
	w.t.Helper()
	if w.agreed {
		return
	}
	w.agreed = true
	ctx := w.t.Context()
	now, err := s.Now(ctx)
	require.NoError(w.t, err)
	l, err := s.AcquireLease(ctx, "agree", "test", time.Minute)
	require.NoError(w.t, err)
	require.NoError(w.t, s.SetMark(ctx, l, state.Mark{Name: "first run", At: now}))
	require.NoError(w.t, s.ReleaseLease(ctx, l))
}

// plan computes what a sync would do and fails the test if that asked for a change.
func (w *world) plan() reconcile.Report {
	w.t.Helper()
	w.witness.take()
	rep, err := w.run(func(e *reconcile.Engine) (reconcile.Report, error) {
		return e.Plan(w.t.Context(), reconcile.RunOptions{Trigger: "test"})
	})
	require.NoError(w.t, err)
	_, writes := w.witness.take()
	require.Empty(w.t, writes, "a plan writes nothing")
	return rep
}

// outcome is one sync and what it asked of the server.
type outcome struct {
	reconcile.Report
	t             testing.TB
	calls, writes []call
}

func (w *world) sync() outcome {
	w.t.Helper()
	w.witness.take()
	rep, err := w.run(func(e *reconcile.Engine) (reconcile.Report, error) {
		return e.Sync(w.t.Context(), reconcile.RunOptions{Trigger: "test"})
	})
	require.NoError(w.t, err)
	o := outcome{Report: rep, t: w.t}
	o.calls, o.writes = w.witness.take()
	w.onlyOurs(o.writes)
	return o
}

// done fails the test unless everything that was planned was done.
func (o outcome) done() outcome {
	o.t.Helper()
	require.Empty(o.t, o.Failures)
	require.Empty(o.t, o.Problems)
	for _, d := range o.Plan.Decisions {
		require.NotEqual(o.t, plan.Hold, d.Action, "%s: %s", d.Username, d.Detail)
	}
	return o
}

// held returns the decision that holds the person.
func (o outcome) held(p person) plan.Decision {
	o.t.Helper()
	for _, d := range o.Plan.Decisions {
		if d.Key.Anchor == p.id && d.Action == plan.Hold {
			return d
		}
	}
	require.Fail(o.t, "not held", "%s; decisions: %+v", p.login, o.Plan.Decisions)
	return plan.Decision{}
}

// quiet fails the test unless nothing more is to be done.
func (w *world) quiet() {
	w.t.Helper()
	rep := w.plan()
	require.False(w.t, rep.Plan.Effective(), "%+v", rep.Plan.Decisions)
}

// onlyOurs fails the test if a write went to an account that mmsync has neither
// made nor adopted.
func (w *world) onlyOurs(writes []call) {
	w.t.Helper()
	ours := append(w.witness.accounts(), w.adopted...)
	for _, c := range writes {
		if c.path == "/users" {
			continue
		}
		id, _, _ := strings.Cut(strings.TrimPrefix(c.path, "/users/"), "/")
		require.True(w.t, slices.Contains(ours, id), "%s %s is not about an account of ours", c.method, c.path)
	}
}

// stranger makes an account that mmsync has nothing to do with; what is empty in
// a is filled in. It reports false when the server refuses to make it.
func (w *world) stranger(a account) (account, bool) {
	w.t.Helper()
	body := map[string]string{"username": a.Username, "email": a.Email, "position": a.Position}
	if a.Email == "" {
		body["email"] = a.Username + "@example.test"
	}
	if a.AuthService == "" {
		body["password"] = "Stranger-Passw0rd-1!"
	} else {
		body["auth_service"], body["auth_data"] = a.AuthService, a.AuthData
	}
	status, raw, err := w.srv.ask(w.t.Context(), http.MethodPost, "/users", body)
	require.NoError(w.t, err)
	if status != http.StatusCreated && a.AuthService != "" {
		w.t.Logf("no account with login service %s: %s", a.AuthService, raw)
		return account{}, false
	}
	require.Equal(w.t, http.StatusCreated, status, "%s", raw)
	made := w.user(a.Username)
	w.strange = append(w.strange, made)
	return made, true
}

// ours says that mmsync is expected to take a stranger over.
func (w *world) ours(a account) {
	w.adopted = append(w.adopted, a.ID)
	w.strange = slices.DeleteFunc(w.strange, func(s account) bool { return s.ID == a.ID })
}

// checkStrangers compares the accounts of others with what they were.
func (w *world) checkStrangers() {
	for _, before := range w.strange {
		var now account
		status, raw, err := w.srv.ask(context.Background(), http.MethodGet, "/users/username/"+before.Username, nil)
		if err != nil || status != http.StatusOK {
			w.t.Errorf("read %s: status %d: %s (%v)", before.Username, status, raw, err)
			continue
		}
		if err := json.Unmarshal(raw, &now); err != nil || now != before {
			w.t.Errorf("an account that is not mmsync's was changed:\nbefore %+v\nafter  %+v (%v)", before, now, err)
		}
	}
}

func (w *world) user(name string) account {
	w.t.Helper()
	a, ok := w.srv.named(w.t, name)
	require.True(w.t, ok, "there is no account %q", name)
	return a
}

func (w *world) change(a account, what string, body any) {
	w.t.Helper()
	w.srv.want(w.t, http.StatusOK, http.MethodPut, "/users/"+a.ID+what, body, nil)
}
