package mattermost_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
)

func TestClient_denials(t *testing.T) {
	t.Parallel()
	const expired = `{"id":"api.context.session_expired.app_error","status_code":401}`
	const forbidden = `{"id":"api.context.permissions.app_error","status_code":403}`
	script := func(t *testing.T, pings []string, answers []func(http.ResponseWriter)) (*mattermost.Client, *atomic.Int32) {
		t.Helper()
		var asked, pinged atomic.Int32
		s := scripted(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/system/ping") {
				body := pings[min(int(pinged.Add(1)), len(pings))-1]
				status := 200
				if body == unhealthy {
					status = 500
				}
				answerJSON(w, status, body)
				return
			}
			answers[min(int(asked.Add(1)), len(answers))-1](w)
		})
		return client(t, s.URL, secret), &asked
	}
	no := func(status int, body string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { answerJSON(w, status, body) }
	}
	yes := no(200, user(someID, "ada"))

	t.Run("401 twice with a healthy server is a dead token", func(t *testing.T) {
		t.Parallel()
		c, asked := script(t, []string{healthy}, []func(http.ResponseWriter){no(401, expired)})
		_, err := c.Me(t.Context())
		require.True(t, mattermost.IsUnauthorized(err))
		require.False(t, mattermost.IsTransient(err))
		require.EqualValues(t, 2, asked.Load())
	})
	t.Run("401 while the database is away proves nothing", func(t *testing.T) {
		t.Parallel()
		c, _ := script(t, []string{unhealthy}, []func(http.ResponseWriter){no(401, expired)})
		_, err := c.Me(t.Context())
		require.True(t, mattermost.IsTransient(err))
		require.False(t, mattermost.IsUnauthorized(err))
		require.False(t, mattermost.IsRefused(err))
		require.ErrorContains(t, err, "database seems to be away")
	})
	t.Run("401 once is forgotten", func(t *testing.T) {
		t.Parallel()
		c, _ := script(t, []string{healthy}, []func(http.ResponseWriter){no(401, expired), yes})
		_, err := c.Me(t.Context())
		require.NoError(t, err)
	})
	t.Run("a database that comes back is asked again", func(t *testing.T) {
		t.Parallel()
		c, asked := script(t, []string{unhealthy, healthy}, []func(http.ResponseWriter){no(401, expired), yes})
		_, err := c.Me(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 2, asked.Load())
	})
	t.Run("403 to a write while the database is away is passing and has done nothing", func(t *testing.T) {
		t.Parallel()
		c, asked := script(t, []string{unhealthy}, []func(http.ResponseWriter){no(403, forbidden)})
		_, err := c.Patch(t.Context(), someID, identity.Profile{Nickname: "x"}, identity.AttributesOf(identity.Nickname))
		require.True(t, mattermost.IsTransient(err))
		require.NotErrorIs(t, err, mattermost.ErrOutcomeUnknown)
		require.EqualValues(t, 1, asked.Load())
	})
	t.Run("403 twice with a healthy server is a missing permission", func(t *testing.T) {
		t.Parallel()
		c, asked := script(t, []string{healthy}, []func(http.ResponseWriter){no(403, forbidden)})
		err := c.SetActive(t.Context(), someID, false)
		require.True(t, mattermost.IsForbidden(err))
		require.True(t, mattermost.IsRefused(err))
		require.EqualValues(t, 2, asked.Load())
	})
	t.Run("a refusal that names its cause is believed at once", func(t *testing.T) {
		t.Parallel()
		c, asked := script(t, []string{unhealthy}, []func(http.ResponseWriter){
			no(403, `{"id":"api.user.update_active.cannot_modify_status_when_user_is_managed_by_ldap.app_error"}`),
		})
		err := c.SetActive(t.Context(), someID, false)
		require.True(t, mattermost.IsLDAPManaged(err))
		require.True(t, mattermost.IsRefused(err))
		require.EqualValues(t, 1, asked.Load())
	})
	t.Run("broken file storage is not a broken database", func(t *testing.T) {
		t.Parallel()
		var asked atomic.Int32
		s := scripted(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/system/ping") {
				answerJSON(w, 500, `{"status":"UNHEALTHY","database_status":"OK","filestore_status":"UNHEALTHY"}`)
				return
			}
			asked.Add(1)
			answerJSON(w, 401, expired)
		})
		_, err := client(t, s.URL, secret).Me(t.Context())
		require.True(t, mattermost.IsUnauthorized(err))
	})
}
