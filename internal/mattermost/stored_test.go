package mattermost_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// Servers before 11.0 answer by id from a copy that a change of the login
// service leaves as it was.
func TestTarget_Account_asItIsStored(t *testing.T) {
	t.Parallel()
	moved := func(t *testing.T, o mmsim.Options) (*mmsim.Server, *mattermost.Target, string) {
		t.Helper()
		s, target := simulated(t, o)
		a := mustApply(t, target, "", create("ada"))
		_, err := target.Client().UserByID(t.Context(), a.ID)
		require.NoError(t, err)
		require.NoError(t, target.Client().SetAuth(t.Context(), a.ID, identity.Auth{Service: "ldap", Data: "x"}))
		return s, target, a.ID
	}
	t.Run("5.38: by id and by ids stale, Account fresh", func(t *testing.T) {
		t.Parallel()
		_, target, id := moved(t, mmsim.Options{Profile: mmsim.Profile538})
		a, err := target.Client().UserByID(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, "saml", a.Auth.Service, "the copy in memory")
		_, err = target.Observe(t.Context(), []string{id}, 0, func(a identity.Account) error {
			require.Equal(t, "saml", a.Auth.Service, "the same copy")
			return nil
		})
		require.NoError(t, err)
		a, err = target.Account(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, "ldap", a.Auth.Service)
	})
	t.Run("11.6: one request, and fresh", func(t *testing.T) {
		t.Parallel()
		s, target, id := moved(t, mmsim.Options{})
		s.ResetCalls()
		a, err := target.Account(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, "ldap", a.Auth.Service)
		require.Len(t, s.Calls(), 1)
	})
	t.Run("5.38: what only its memory still shows is not there", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{Profile: mmsim.Profile538, Settings: map[string]string{"MM_SERVICESETTINGS_ENABLEAPIUSERDELETION": "true"}})
		a := mustApply(t, target, "", create("ada"))
		require.Equal(t, http.StatusOK, raw(t, s, http.MethodDelete, "/users/"+a.ID+"?permanent=true", "").status)
		_, err := target.Client().UserByID(t.Context(), a.ID)
		require.NoError(t, err, "the server still answers by id")
		_, err = target.Account(t.Context(), a.ID)
		require.True(t, mattermost.IsNotFound(err), "%v", err)
		require.False(t, mattermost.IsTransient(err))
	})
	t.Run("a patch goes through, whatever the copy says", func(t *testing.T) {
		t.Parallel()
		_, target, id := moved(t, mmsim.Options{Profile: mmsim.Profile538})
		a := mustApply(t, target, id, op(plan.PatchProfile, change("nickname", "", "x")))
		require.Equal(t, "x", a.Nickname)
	})
}

// An older server whose memory shows someID as "ada", and whose database answers
// as each case says.
func TestTarget_Account_memoryAndDatabaseDisagree(t *testing.T) {
	t.Parallel()
	missing := answered{404, `{"id":"app.user.missing_account.const"}`}
	away := answered{500, `{"id":"app.user.missing_account.const"}`}
	for name, c := range map[string]struct {
		byName, byEmail answered
		found           string
		gone, passing   bool
	}{
		"renamed behind its back: found by e-mail": {answered{200, "[]"}, answered{200, user(someID, "augusta")}, "augusta", false, false},
		"the name is somebody else's by now":       {answered{200, "[" + user(otherID, "ada") + "]"}, answered{200, user(someID, "augusta")}, "augusta", false, false},
		"name and e-mail are somebody else's":      {answered{200, "[" + user(otherID, "ada") + "]"}, answered{200, user(otherID, "ada")}, "", true, false},
		"the database denies both":                 {answered{200, "[]"}, missing, "", true, false},
		"away by name is no absence":               {away, missing, "", false, true},
		"away by e-mail is no absence":             {answered{200, "[]"}, away, "", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := scripted(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("X-Version-Id", "5.37.0..abc.false")
				a := answered{200, user(someID, "ada")}
				switch {
				case strings.HasSuffix(r.URL.Path, "/usernames"):
					a = c.byName
				case strings.Contains(r.URL.Path, "/email/"):
					a = c.byEmail
				}
				w.WriteHeader(a.status)
				_, _ = io.WriteString(w, a.body)
			})
			a, err := mattermost.NewTarget(client(t, s.URL, secret), mattermost.TargetOptions{}).Account(t.Context(), someID)
			require.Equal(t, c.gone, mattermost.IsNotFound(err), "%v", err)
			require.Equal(t, c.passing, mattermost.IsTransient(err), "%v", err)
			require.Equal(t, c.found, a.Username)
		})
	}
}
