package mattermost_test

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func byDelete() plan.Op {
	o := op(plan.SetActive, change("active", "true", "false"))
	o.ByDelete = true
	return o
}

func TestTarget_Apply_byDelete(t *testing.T) {
	t.Parallel()
	ldap := func(name string) mmsim.User {
		return mmsim.User{Username: name, Email: name + "@example.test", AuthService: "ldap", AuthData: "id-" + name}
	}
	for name, profile := range profiles() {
		t.Run(name+": it switches an ldap account off, is read back, and deletes nothing", func(t *testing.T) {
			t.Parallel()
			s, target := simulated(t, mmsim.Options{Profile: profile, Settings: map[string]string{"MM_SERVICESETTINGS_ENABLEAPIUSERDELETION": "true"}})
			a := s.AddUser(ldap("ada"))
			got := mustApply(t, target, a.ID, byDelete())
			require.False(t, got.Active())
			u, there := s.User(a.ID)
			require.True(t, there, "even where the server may delete for good")
			require.Equal(t, u.DeleteAt, got.DeleteAt, "the delete_at of our own call")
			require.Len(t, s.Writes(), 1)
			w := s.Writes()[0]
			require.Equal(t, http.MethodDelete+" /api/v4/users/"+a.ID, w.Method+" "+w.Path)
			require.Empty(t, w.RawQuery)
			require.Empty(t, w.Body)
		})
		t.Run(name+": never oneself, though the server would", func(t *testing.T) {
			t.Parallel()
			s, target := simulated(t, mmsim.Options{Profile: profile})
			_, err := target.Apply(t.Context(), s.AdminID(), byDelete(), mattermost.ApplyOptions{})
			require.True(t, mattermost.IsRefused(err), "%v", err)
			require.ErrorContains(t, err, "mmsync's own token")
			require.Empty(t, s.Writes())
		})
		t.Run(name+": success without effect is a mismatch", func(t *testing.T) {
			t.Parallel()
			s, target := simulated(t, mmsim.Options{Profile: profile})
			a := s.AddUser(ldap("ada"))
			s.Fail(mmsim.Fault{Method: http.MethodDelete, LostWrite: true})
			_, err := target.Apply(t.Context(), a.ID, byDelete(), mattermost.ApplyOptions{})
			var m *mattermost.MismatchError
			require.ErrorAs(t, err, &m)
			require.Equal(t, "active", m.Field)
		})
	}
	t.Run("whose token it is must be known", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		a := s.AddUser(ldap("ada"))
		s.Fail(mmsim.Fault{Path: "/users/me", Status: 500})
		_, err := target.Apply(t.Context(), a.ID, byDelete(), mattermost.ApplyOptions{})
		require.ErrorContains(t, err, "read the token's own account")
		require.NotErrorIs(t, err, mattermost.ErrOutcomeUnknown)
		require.Empty(t, s.Writes())
	})
	t.Run("an unknown account is not a success", func(t *testing.T) {
		t.Parallel()
		_, target := simulated(t, mmsim.Options{})
		_, err := target.Apply(t.Context(), someID, byDelete(), mattermost.ApplyOptions{})
		require.True(t, mattermost.IsNotFound(err), "%v", err)
	})
	t.Run("read-only it does not leave", func(t *testing.T) {
		t.Parallel()
		s := mmsim.New(mmsim.Options{})
		a := s.AddUser(ldap("ada"))
		c := client(t, s.Start(t), s.AdminToken(), func(o *mattermost.Options) { o.ReadOnly = true })
		require.ErrorIs(t, c.DeactivateByDelete(t.Context(), a.ID), mattermost.ErrNotAllowed)
		require.Empty(t, s.Writes())
	})
	t.Run("nothing but a switch-off goes that way", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		for _, o := range []plan.Op{
			op(plan.SetActive, change("active", "false", "true")), op(plan.SetActive), op(plan.RevokeSessions),
			op(plan.SetRoles, change("roles", "system_admin system_user", "system_user")),
			op(plan.PatchProfile, change("nickname", "", "x")), op(plan.PatchProfile, change("active", "true", "false")), create("bob"),
		} {
			o.ByDelete = true
			_, err := target.Apply(t.Context(), s.AdminID(), o, mattermost.ApplyOptions{})
			require.True(t, mattermost.IsRefused(err), "%s: %v", o.Kind, err)
		}
		require.Empty(t, s.Calls())
	})
	t.Run("a connection that the server closed does not repeat it", func(t *testing.T) {
		t.Parallel()
		var deleted atomic.Int32
		srv := scripted(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodDelete {
				deleted.Add(1)
				panic(http.ErrAbortHandler) // done, and the connection is gone
			}
			answerJSON(w, 200, user(otherID, "me"))
		})
		err := client(t, srv.URL, secret).DeactivateByDelete(t.Context(), someID)
		require.ErrorIs(t, err, mattermost.ErrOutcomeUnknown)
		require.EqualValues(t, 1, deleted.Load())
	})
}

// The connection that a write meets was used before, and is closed by the server
// when the write has arrived: what net/http repeats by itself must not be a write.
func TestClient_write_onAConnectionThatCloses(t *testing.T) {
	t.Parallel()
	for name, write := range writes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var wrote atomic.Int32
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/api/v4/users/me" || r.URL.Path == "/api/v4/users/"+otherID {
					answerJSON(w, 200, user(otherID, "me"))
					return
				}
				wrote.Add(1)
				panic(http.ErrAbortHandler)
			}))
			t.Cleanup(srv.Close)
			c := client(t, srv.URL, secret)
			_, err := c.UserByID(t.Context(), otherID)
			require.NoError(t, err)
			require.ErrorIs(t, write(t.Context(), c), mattermost.ErrOutcomeUnknown)
			require.EqualValues(t, 1, wrote.Load())
		})
	}
}
