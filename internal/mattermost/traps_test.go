package mattermost_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// What was seen to mislead or to do harm on running servers, each as a rule. The
// rest of them stand beside what they are about: the limiter, denials, leaving,
// the table of routes, canonical values.

// everyOp makes one call of each kind on a new account.
func everyOp(t *testing.T, target *mattermost.Target) {
	t.Helper()
	a := mustApply(t, target, "", create("ada"))
	for _, o := range []plan.Op{
		op(plan.PatchProfile, change("nickname", "", "x"), change("first_name", "", "y"), change("last_name", "", "z"),
			change("position", "", "p"), change("locale", "en", "de"), change("timezone", "", "Europe/Berlin"), change("email", a.Email, "new@example.test")),
		op(plan.SetRoles, change("roles", "system_user", "system_admin system_user")),
		op(plan.SetRoles, change("roles", "system_admin system_user", "system_user")),
		op(plan.SetAuth, change("auth_service", "saml", "ldap"), change("auth_data", "id-ada", "d")),
		op(plan.RevokeSessions, change("active", "true", "false")),
		byDelete(),
	} {
		mustApply(t, target, a.ID, o)
	}
	b := mustApply(t, target, "", op(plan.CreateAccount, change("username", "", "bob"), change("email", "", "bob@example.test")))
	mustApply(t, target, b.ID, op(plan.SetActive, change("active", "true", "false")))
	mustApply(t, target, b.ID, op(plan.SetActive, change("active", "false", "true")))
}

func TestTarget_Apply_sendsNothingThatDoesHarm(t *testing.T) {
	t.Parallel()
	for name, profile := range profiles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, target := simulated(t, mmsim.Options{Profile: profile})
			everyOp(t, target)
			allowed := map[string][]string{
				"/users": {
					"username", "email", "nickname", "first_name", "last_name", "position", "locale", "timezone",
					"auth_service", "auth_data", "password", "email_verified", "disable_welcome_email",
				},
				"/patch":  {"username", "email", "nickname", "first_name", "last_name", "position", "locale", "timezone"},
				"/active": {"active"}, "/roles": {"roles"}, "/auth": {"auth_service", "auth_data"},
			}
			require.Len(t, s.Writes(), 10)
			for _, w := range s.Writes() {
				require.Empty(t, w.RawQuery, "no permanent=true, and nothing else")
				if len(w.Body) == 0 {
					continue
				}
				var body map[string]any
				require.NoError(t, json.Unmarshal(w.Body, &body))
				require.NotEmpty(t, body, "never an empty patch")
				fields := allowed[w.Path[strings.LastIndexByte(w.Path, '/'):]]
				for key, v := range body {
					require.Contains(t, fields, key, "%s %s", w.Method, w.Path)
					require.NotEqual(t, "email", v, "never auth_service email")
					if key == "roles" {
						require.Contains(t, v, "system_user", "an empty body would wipe them")
					}
				}
			}
		})
	}
}

// A redirect would take the token along.
func TestClient_write_followsNoRedirect(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := scripted(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		for name, write := range writes() {
			t.Run(fmt.Sprintf("%d %s", status, name), func(t *testing.T) {
				t.Parallel()
				s := scripted(t, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/api/v4/users/me" {
						answerJSON(w, 200, user(otherID, "me"))
						return
					}
					http.Redirect(w, r, other.URL+r.URL.Path, status)
				})
				err := write(t.Context(), client(t, s.URL, secret))
				require.ErrorContains(t, err, "which is not followed")
				require.True(t, mattermost.IsRefused(err))
				require.NotErrorIs(t, err, mattermost.ErrOutcomeUnknown)
			})
		}
	}
	t.Cleanup(func() { require.Zero(t, elsewhere.Load()) })
}

func TestClient_asksForNothingConditionally(t *testing.T) {
	t.Parallel()
	var asked atomic.Pointer[http.Header]
	s := scripted(t, func(w http.ResponseWriter, r *http.Request) {
		h := r.Header.Clone()
		asked.Store(&h)
		w.WriteHeader(http.StatusNotModified)
	})
	_, err := client(t, s.URL, secret).UserByID(t.Context(), someID)
	require.ErrorContains(t, err, "304 to a request that did not ask for changes only")
	require.True(t, mattermost.IsRefused(err))
	require.Empty(t, asked.Load().Get("If-None-Match"), "an ETag leaves out what a login changed")
	require.Empty(t, asked.Load().Get("If-Modified-Since"))
}

// The answer is 200 and the value another.
func TestTarget_Apply_silentlyKept(t *testing.T) {
	t.Parallel()
	for name, profile := range profiles() {
		for _, service := range []string{"gitlab", "google", "office365", "openid"} {
			t.Run(name+": the e-mail of an account of "+service, func(t *testing.T) {
				t.Parallel()
				s, target := simulated(t, mmsim.Options{Profile: profile})
				a := s.AddUser(mmsim.User{Username: "ada", Email: "ada@example.test", AuthService: service, AuthData: "1"})
				_, err := target.Apply(t.Context(), a.ID, op(plan.PatchProfile, change("email", a.Email, "new@example.test")), mattermost.ApplyOptions{})
				requireMismatch(t, err, "email")
			})
		}
		t.Run(name+": an e-mail that has to be verified", func(t *testing.T) {
			t.Parallel()
			_, target := simulated(t, mmsim.Options{Profile: profile, Settings: verification()})
			f, err := target.Facts(t.Context())
			require.NoError(t, err)
			require.True(t, f.EmailVerification, "so that none is tried: each try mails the person")
			a := mustApply(t, target, "", create("ada"))
			_, err = target.Apply(t.Context(), a.ID, op(plan.PatchProfile, change("email", a.Email, "new@example.test")), mattermost.ApplyOptions{})
			requireMismatch(t, err, "email")
		})
		t.Run(name+": a locale the server does not have becomes its default, and is patched next time", func(t *testing.T) {
			t.Parallel()
			_, target := simulated(t, mmsim.Options{Profile: profile})
			o := create("ada")
			o.Changes = append(o.Changes, change("locale", "", "eo"))
			a := mustApply(t, target, "", o)
			require.Equal(t, "en", a.Locale)
			a = mustApply(t, target, a.ID, op(plan.PatchProfile, change("locale", "en", "eo")))
			require.Equal(t, "eo", a.Locale)
		})
		t.Run(name+": direction marks vanish, so they are not sent", func(t *testing.T) {
			t.Parallel()
			_, target := simulated(t, mmsim.Options{Profile: profile})
			a := mustApply(t, target, "", create("ada"))
			_, err := target.Apply(t.Context(), a.ID, op(plan.PatchProfile, change("nickname", "", "a\u202eb")), mattermost.ApplyOptions{})
			requireMismatch(t, err, "nickname")
			c := target.Canonical(wanted(identity.Nickname, "a\u202eb"))
			a = mustApply(t, target, a.ID, op(plan.PatchProfile, change("nickname", "", c.Profile.Nickname)))
			require.Equal(t, c.Profile.Nickname, a.Nickname)
		})
	}
}

func requireMismatch(t *testing.T, err error, field string) {
	t.Helper()
	var m *mattermost.MismatchError
	require.ErrorAs(t, err, &m)
	require.Equal(t, field, m.Field)
	require.NotErrorIs(t, err, mattermost.ErrOutcomeUnknown)
}

// Repeating a deactivation is 200 and moves the moment by which mmsync knows it
// for its own.
func TestTarget_Apply_activeIsNotRepeated(t *testing.T) {
	t.Parallel()
	s, target := simulated(t, mmsim.Options{})
	for _, v := range []string{"true", "false"} {
		_, err := target.Apply(t.Context(), s.AdminID(), op(plan.SetActive, change("active", v, v)), mattermost.ApplyOptions{})
		require.True(t, mattermost.IsRefused(err), "%v", err)
		require.ErrorContains(t, err, "nothing to change")
	}
	require.Empty(t, s.Calls())
}

func TestClient_listing(t *testing.T) {
	t.Parallel()
	t.Run("neither active=true, which skips people, nor two filters, which break the answer", func(t *testing.T) {
		t.Parallel()
		for name, profile := range profiles() {
			s, target := simulated(t, mmsim.Options{Profile: profile})
			_, err := target.Facts(t.Context())
			require.NoError(t, err)
			_, err = target.List(t.Context(), func(identity.Account) error { return nil })
			require.NoError(t, err)
			for _, c := range s.Calls() {
				if c.Path == "/api/v4/users" {
					require.NotContains(t, c.RawQuery, "active", name)
					require.Contains(t, c.RawQuery, "per_page=200")
				}
			}
		}
	})
	t.Run("the broken answer to two filters is no list", func(t *testing.T) {
		t.Parallel()
		s := mmsim.New(mmsim.Options{})
		s.Start(t)
		broken := raw(t, s, http.MethodGet, "/users?active=true&inactive=true", "")
		require.Equal(t, 200, broken.status)
		srv := scripted(t, func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, 200, broken.body) })
		_, _, err := client(t, srv.URL, secret).Users(t.Context(), 0, "")
		require.ErrorContains(t, err, "something follows the list")
		require.True(t, mattermost.IsTransient(err))
	})
	t.Run("a server that gives less than is asked for is walked to its end", func(t *testing.T) {
		t.Parallel()
		s := scripted(t, func(w http.ResponseWriter, r *http.Request) {
			page := r.URL.Query().Get("page")
			if strings.HasSuffix(r.URL.Path, "/bots") {
				answerJSON(w, 200, map[string]string{"0": `[{"owner_id":"a"}]`, "1": `[{"owner_id":"b"}]`, "2": `[]`}[page])
				return
			}
			answerJSON(w, 200, map[string]string{"0": "[" + user(someID, "ada") + "]", "1": "[" + user(otherID, "bob") + "]", "2": "[]"}[page])
		})
		c := client(t, s.URL, secret)
		var got []string
		_, err := c.EachUser(t.Context(), "", func(a identity.Account) error { got = append(got, a.Username); return nil })
		require.NoError(t, err)
		require.Equal(t, []string{"ada", "bob"}, got)
		owners, err := c.BotOwners(t.Context())
		require.NoError(t, err)
		require.Equal(t, map[string]bool{"a": true, "b": true}, owners)
	})
}

// 429 is plain text; whoever meets it holds everybody back, and the write goes
// out once it has passed, once.
func TestClient_tooManyRequests(t *testing.T) {
	t.Parallel()
	for name, profile := range profiles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, target := simulated(t, mmsim.Options{Profile: profile})
			a := mustApply(t, target, "", create("ada"))
			s.ResetCalls()
			s.Fail(mmsim.Fault{Path: "/users/*/patch", Status: 429, Count: 1})
			start := time.Now()
			mustApply(t, target, a.ID, op(plan.PatchProfile, change("nickname", "", "x")))
			require.GreaterOrEqual(t, time.Since(start), 900*time.Millisecond, "Retry-After: 1")
			w := s.Writes()
			require.Len(t, w, 2)
			require.Equal(t, []int{429, 200}, []int{w[0].Status, w[1].Status})
		})
	}
}

// A dead token makes a creation a stranger's sign-up: "not open" is no verdict
// about the person.
func TestClient_createAsAStranger(t *testing.T) {
	t.Parallel()
	closed := map[string]string{"MM_TEAMSETTINGS_ENABLEOPENSERVER": "false"}
	for name, profile := range profiles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := mmsim.New(mmsim.Options{Profile: profile, Settings: closed})
			target := mattermost.NewTarget(client(t, s.Start(t), "nonsense"), mattermost.TargetOptions{})
			_, err := target.Apply(t.Context(), "", create("ada"), mattermost.ApplyOptions{})
			require.Error(t, err)
			pings := 0
			for _, c := range s.Calls() {
				if strings.HasSuffix(c.Path, "/system/ping") {
					pings++
				}
			}
			require.Equal(t, 1, pings, "it is asked whether the server is well, and then once more: %v", err)
			s.Fail(mmsim.Fault{Path: "/system/ping", DatabaseAway: true})
			_, err = target.Apply(t.Context(), "", create("ada"), mattermost.ApplyOptions{})
			require.True(t, mattermost.IsTransient(err), "%v", err)
		})
	}
}

// plan, explain and doctor use a client that lets no write out.
func TestClient_readOnly(t *testing.T) {
	t.Parallel()
	var wrote atomic.Int32
	s := scripted(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			wrote.Add(1)
		}
		answerJSON(w, 200, user(otherID, "me"))
	})
	c := client(t, s.URL, secret, func(o *mattermost.Options) { o.ReadOnly = true })
	for name, write := range writes() {
		err := write(t.Context(), c)
		require.ErrorIs(t, err, mattermost.ErrNotAllowed, name)
		require.NotErrorIs(t, err, mattermost.ErrOutcomeUnknown, name)
	}
	require.Zero(t, wrote.Load())
}

// What mmsync sends is what it lists, in every run.
func TestTarget_sendsOnlyWhatTheTableHolds(t *testing.T) {
	t.Parallel()
	s, target := simulated(t, mmsim.Options{})
	everyOp(t, target)
	require.NotEmpty(t, target.Check(t.Context()))
	for _, c := range s.Calls() {
		require.True(t, slices.ContainsFunc(mattermost.Routes(), func(r mattermost.Route) bool {
			return r.Method == c.Method && mattermost.Matches(r, strings.TrimPrefix(c.Path, "/api/v4")) && (r.Writes == c.IsWrite())
		}), "%s %s", c.Method, c.Path)
	}
}
