package e2ereal_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// chapters are what the suite proves, each in a world of its own.
func chapters() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"a person gets an account, and a plan alone gives none": create,
		"an unchanged run writes nothing":                       unchanged,
		"an unchanged run over many reads since":                unchangedMany,
		"what changes at the source is patched":                 patch,
		"two people swap their names":                           swap,
		"a role is given and taken":                             roles,
		"a leaver is off and his sessions are dead":             leave,
		"a leaver with a broken e-mail is off all the same":     leaveBroken,
		"who comes back has his account again":                  comeBack,
		"whom an administrator switched off stays off":          switchedOffByHand,
		"a change behind its back is seen":                      behind,
		"a taken username is held and names who has it":         taken,
		"an account with the same login is adopted":             adopt,
		"taken login data makes no second account":              duplicate,
		"an account of another service keeps its name":          lockedName,
		"an account that the server guards is not left open":    guarded,
	}
}

func TestSuite(t *testing.T) {
	t.Parallel()
	for name, s := range servers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() { nobodyLeft(t, s) })
			all := chapters()
			for _, title := range sortedTitles(all) {
				// One after another: it is somebody's server.
				t.Run(title, func(t *testing.T) { all[title](t, newWorld(t, s)) })
			}
		})
	}
}

// nobodyLeft fails the test if an account of any suite is still active. On a real
// server another run may be at work, so there it only says so.
func nobodyLeft(t *testing.T, s server) {
	t.Helper()
	active, err := s.withPrefix(context.WithoutCancel(t.Context()), marker, false)
	require.NoError(t, err)
	if s.sim != nil {
		require.Empty(t, active)
	}
	for _, a := range active {
		t.Logf("still active, from another run: %s", a.Username)
	}
}

func sortedTitles(all map[string]func(*testing.T, *world)) []string {
	titles := make([]string, 0, len(all))
	for title := range all {
		titles = append(titles, title)
	}
	slices.Sort(titles)
	return titles
}

func create(t *testing.T, w *world) {
	w.stranger(account{Username: w.name("stranger"), Position: "as it is"})
	w.feed(w.somebody("ada"), w.somebody("bob"))
	require.Equal(t, 2, w.plan().Plan.Count(plan.Create))
	_, there := w.srv.named(t, w.name("ada"))
	require.False(t, there)

	w.sync().done()
	ada := w.user(w.name("ada"))
	require.Equal(t, w.name("ada")+"@example.test", ada.Email)
	require.Equal(t, "First ada", ada.FirstName)
	require.Equal(t, []string{"system_user"}, strings.Fields(ada.Roles))
	require.Zero(t, ada.DeleteAt)
	require.Empty(t, ada.AuthService)
	require.Len(t, w.witness.accounts(), 2)
	w.quiet()
}

func unchanged(t *testing.T, w *world) {
	w.feed(w.somebody("ada"), w.somebody("bob"), w.somebody("cleo"))
	w.sync().done()
	w.sync().done() // reads what the first one wrote
	o := w.sync().done()
	require.Empty(t, o.writes)
	require.Zero(t, o.Decided)
	for _, c := range o.calls {
		require.False(t, walks(c), "the list is not walked again: %+v", c)
	}
}

// walks tells whether a call is a page of the list of everybody.
func walks(c call) bool {
	q, err := url.ParseQuery(c.query)
	return err == nil && c.method == http.MethodGet && c.path == "/users" && q.Get("role") == ""
}

func readsSince(c call) bool {
	q, err := url.ParseQuery(c.query)
	return err == nil && c.path == "/users/ids" && q.Get("since") != ""
}

// The 200 accounts that were written last are read whole each time, so that a
// server which was set back is noticed. It takes more to see the rest read since.
func unchangedMany(t *testing.T, w *world) {
	const many = 203
	var limits struct {
		MaxUsersHardLimit, ActiveUserCount int
	}
	if status, raw, err := w.srv.ask(t.Context(), http.MethodGet, "/limits/server", nil); err == nil && status == http.StatusOK {
		require.NoError(t, json.Unmarshal(raw, &limits))
	}
	if limits.MaxUsersHardLimit > 0 && limits.MaxUsersHardLimit-limits.ActiveUserCount < many {
		t.Skipf("the server has room for %d more accounts and this needs %d", limits.MaxUsersHardLimit-limits.ActiveUserCount, many)
	}
	if _, ok := w.stranger(account{Username: w.name("probe"), AuthService: "saml", AuthData: w.name("data-probe")}); !ok {
		t.Skip("the server makes no account with login service saml, and passwords cost it too much for so many")
	}
	people := make([]person, many)
	for i := range people {
		people[i] = w.somebody(fmt.Sprintf("p%03d", i))
		people[i].service, people[i].data = "saml", people[i].id
	}
	w.feed(people...)
	w.sync().done()
	// The server's clock shows whole seconds, and what was written in the second in
	// which a pass began is read whole once more.
	o := w.sync().done()
	for end := time.Now().Add(time.Minute); !slices.ContainsFunc(o.calls, readsSince); {
		require.True(t, time.Now().Before(end), "%+v", o.calls)
		o = w.sync().done()
	}
	require.Empty(t, o.writes)
	require.Zero(t, o.Decided)
	require.Less(t, len(o.calls), 20)

	w.change(w.user(people[0].login), "/patch", map[string]string{"position": "Queen"})
	require.Equal(t, 1, w.plan().Plan.Count(plan.Update), "and a change among them is seen")
}

func patch(t *testing.T, w *world) {
	ada, bob := w.somebody("ada"), w.somebody("bob")
	w.feed(ada, bob)
	w.sync().done()
	before, other := w.user(ada.login), w.user(bob.login)

	ada.position, ada.login, ada.mail = "Engineer", w.name("ada.king"), w.name("king")+"@example.test"
	w.feed(ada, bob)
	o := w.sync()
	if asks(t, w) {
		t.Log("the server has every changed e-mail confirmed, so none is sent")
	} else {
		o.done()
		require.Equal(t, ada.mail, w.user(ada.login).Email)
		require.Equal(t, []call{{http.MethodPut, "/users/" + before.ID + "/patch", "", 200}}, o.writes, "one patch with everything")
	}
	now := w.user(ada.login)
	require.Equal(t, before.ID, now.ID)
	require.Equal(t, "Engineer", now.Position)
	require.Equal(t, other, w.user(bob.login))
	w.quiet()
}

// asks tells whether the server keeps changed e-mails pending until they are
// confirmed.
func asks(t *testing.T, w *world) bool {
	t.Helper()
	var settings struct {
		EmailSettings struct{ RequireEmailVerification bool }
	}
	w.srv.want(t, http.StatusOK, http.MethodGet, "/config", nil, &settings)
	return settings.EmailSettings.RequireEmailVerification
}

func swap(t *testing.T, w *world) {
	ada, bob := w.somebody("ada"), w.somebody("bob")
	w.feed(ada, bob)
	w.sync().done()
	adaID, bobID := w.user(ada.login).ID, w.user(bob.login).ID
	ada.login, bob.login = bob.login, ada.login
	w.feed(ada, bob)
	w.sync().done()
	require.Equal(t, adaID, w.user(ada.login).ID)
	require.Equal(t, bobID, w.user(bob.login).ID)
	w.quiet()
}

func roles(t *testing.T, w *world) {
	ada := w.somebody("ada")
	ada.role = "poster"
	w.feed(ada, w.somebody("bob"))
	w.sync().done()
	require.ElementsMatch(t, []string{"system_user", "system_post_all"}, strings.Fields(w.user(ada.login).Roles))
	require.Equal(t, []string{"system_user"}, strings.Fields(w.user(w.name("bob")).Roles))
	ada.role = ""
	w.feed(ada, w.somebody("bob"))
	w.sync().done()
	require.Equal(t, []string{"system_user"}, strings.Fields(w.user(ada.login).Roles))
	w.quiet()
}

func leave(t *testing.T, w *world) {
	ada, bob := w.somebody("ada"), w.somebody("bob")
	w.feed(ada, bob)
	w.sync().done()
	before := w.user(ada.login)
	session, kept := w.srv.signIn(t, before), w.srv.signIn(t, w.user(bob.login))
	require.True(t, w.srv.alive(t, session))

	ada.status = "left"
	w.feed(ada, bob)
	w.sync().done()
	now := w.user(ada.login)
	require.Equal(t, before.ID, now.ID)
	require.Positive(t, now.DeleteAt)
	require.False(t, w.srv.alive(t, session))
	require.True(t, w.srv.alive(t, kept))
	require.Zero(t, w.user(bob.login).DeleteAt)

	require.Empty(t, w.sync().done().writes, "switching off is not repeated")
	require.Equal(t, now.DeleteAt, w.user(ada.login).DeleteAt)
	w.quiet()
}

func leaveBroken(t *testing.T, w *world) {
	ada, bob := w.somebody("ada"), w.somebody("bob")
	w.feed(ada, bob)
	w.sync().done()
	ada.status, ada.mail = "left", "no address at all"
	w.feed(ada, bob)
	w.sync()
	require.Positive(t, w.user(ada.login).DeleteAt)
	require.Zero(t, w.user(bob.login).DeleteAt)
}

func comeBack(t *testing.T, w *world) {
	ada, bob := w.somebody("ada"), w.somebody("bob")
	w.feed(ada, bob)
	w.sync().done()
	before := w.user(ada.login)
	ada.status = "left"
	w.feed(ada, bob)
	w.sync().done()
	require.Positive(t, w.user(ada.login).DeleteAt)
	ada.status, ada.position = "", "Back again"
	w.feed(ada, bob)
	w.sync().done()
	now := w.user(ada.login)
	require.Equal(t, before.ID, now.ID)
	require.Zero(t, now.DeleteAt)
	require.Equal(t, "Back again", now.Position)
	w.quiet()
}

func switchedOffByHand(t *testing.T, w *world) {
	ada := w.somebody("ada")
	w.feed(ada, w.somebody("bob"))
	w.sync().done()
	w.change(w.user(ada.login), "/active", map[string]bool{"active": false})
	o := w.sync()
	require.Empty(t, o.writes)
	o.held(ada)
	require.Positive(t, w.user(ada.login).DeleteAt)
}

func behind(t *testing.T, w *world) {
	ada := w.somebody("ada")
	ada.position = "Engineer"
	w.feed(ada, w.somebody("bob"))
	w.sync().done()
	w.sync().done()
	w.change(w.user(ada.login), "/patch", map[string]string{"position": "Queen"})
	require.Equal(t, 1, w.plan().Plan.Count(plan.Update))
	o := w.sync().done()
	require.Len(t, o.writes, 1)
	require.Equal(t, "Engineer", w.user(ada.login).Position)
	w.quiet()
}

func taken(t *testing.T, w *world) {
	holder, _ := w.stranger(account{Username: w.name("ada"), Email: w.name("other") + "@example.test"})
	w.feed(w.somebody("ada"), w.somebody("bob"))
	o := w.sync()
	require.Contains(t, o.held(w.somebody("ada")).Detail, holder.Username)
	require.Len(t, w.witness.accounts(), 1, "bob is not kept waiting")
	require.Len(t, o.writes, 1)
}

func adopt(t *testing.T, w *world) {
	data := w.name("data-ada")
	there, ok := w.stranger(account{Username: w.name("ada"), AuthService: "saml", AuthData: data})
	if !ok {
		t.Skip("the server makes no account with login service saml")
	}
	ada := w.somebody("ada")
	ada.service, ada.data = "saml", data
	w.feed(ada, w.somebody("bob"))
	if there.AuthData == "" {
		// The server hides the value, so nothing proves whose account it is.
		o := w.sync()
		o.held(ada)
		require.Len(t, o.writes, 1, "only bob is made")
		return
	}
	w.ours(there)
	require.Equal(t, 1, w.plan().Plan.Count(plan.Adopt))
	w.sync()
	w.sync().done()
	now := w.user(ada.login)
	require.Equal(t, there.ID, now.ID)
	require.Equal(t, "First ada", now.FirstName)
	require.Equal(t, []string{"saml", data}, []string{now.AuthService, now.AuthData})
	require.Len(t, w.witness.accounts(), 1, "bob alone was made")
	w.quiet()
}

func duplicate(t *testing.T, w *world) {
	data := w.name("data-shared")
	there, ok := w.stranger(account{Username: w.name("holder"), AuthService: "saml", AuthData: data})
	if !ok {
		t.Skip("the server makes no account with login service saml")
	}
	w.change(there, "/active", map[string]bool{"active": false})
	w.strange[0] = w.user(there.Username)
	ada := w.somebody("ada")
	ada.service, ada.data = "saml", data
	w.feed(ada, w.somebody("bob"))
	for range 2 {
		o := w.sync()
		_, made := w.srv.named(t, ada.login)
		require.False(t, made)
		if there.AuthData != "" {
			require.Contains(t, o.held(ada).Detail, there.Username)
		}
	}
	require.Len(t, w.witness.accounts(), 1, "bob is not kept waiting")
}

func lockedName(t *testing.T, w *world) {
	probe, ok := w.stranger(account{Username: w.name("probe"), AuthService: "saml", AuthData: w.name("data-probe")})
	if !ok {
		t.Skip("the server makes no account with login service saml")
	}
	status, _, err := w.srv.ask(t.Context(), http.MethodPut, "/users/"+probe.ID+"/patch", map[string]string{"username": w.name("probed")})
	require.NoError(t, err)
	if status != http.StatusConflict {
		t.Skipf("the server renames accounts of other services: status %d", status)
	}
	ada := w.somebody("ada")
	ada.service, ada.data = "saml", w.name("data-ada")
	w.feed(ada)
	w.sync().done()
	old := ada.login
	ada.login, ada.position = w.name("ada.king"), "Engineer"
	w.feed(ada)
	o := w.sync()
	require.Len(t, o.writes, 1, "the name is not tried, the rest goes")
	require.Equal(t, "Engineer", w.user(old).Position)
	require.Empty(t, w.sync().writes)
}

func guarded(t *testing.T, w *world) {
	probe, ok := w.stranger(account{Username: w.name("probe"), AuthService: "ldap", AuthData: w.name("data-probe")})
	if !ok {
		t.Skip("the server makes no account with login service ldap")
	}
	status, _, err := w.srv.ask(t.Context(), http.MethodPut, "/users/"+probe.ID+"/active", map[string]bool{"active": false})
	require.NoError(t, err)
	w.strange[0] = w.user(probe.Username)
	ada := w.somebody("ada")
	ada.service, ada.data = "ldap", w.name("data-ada")
	w.feed(ada, w.somebody("bob"))
	w.sync().done()
	ada.status = "left"
	w.feed(ada, w.somebody("bob"))
	o := w.sync()
	if status != http.StatusForbidden {
		require.Positive(t, w.user(ada.login).DeleteAt)
		return
	}
	o.held(ada)
	require.Zero(t, w.user(ada.login).DeleteAt)
	require.Equal(t, []call{{http.MethodPost, "/users/" + w.user(ada.login).ID + "/sessions/revoke/all", "", 200}}, o.writes,
		"what the server refuses is not tried, and his sessions end all the same")
}

func TestStore_belongsToOneServer(t *testing.T) {
	t.Parallel()
	first, second := simulated(t, mmsim.Options{}), simulated(t, mmsim.Options{})
	w := newWorld(t, first)
	w.feed(w.somebody("ada"))
	w.sync().done()
	w.srv = second
	w.configure(second.url)
	for name, do := range map[string]func(*reconcile.Engine) (reconcile.Report, error){
		"sync": func(e *reconcile.Engine) (reconcile.Report, error) {
			return e.Sync(t.Context(), reconcile.RunOptions{Trigger: "test"})
		},
		"plan": func(e *reconcile.Engine) (reconcile.Report, error) {
			return e.Plan(t.Context(), reconcile.RunOptions{Trigger: "test"})
		},
	} {
		_, err := w.run(do)
		require.ErrorIs(t, err, reconcile.ErrBinding, name)
	}
	require.Empty(t, second.sim.Writes())
}
