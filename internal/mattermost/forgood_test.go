package mattermost_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func forGood() plan.Op {
	return op(plan.DeleteAccount, change("off_since", "1700000000000", plan.Deleted))
}

// deleting is a server that deletes for good if allowed says so, and a client that may
// ask for it.
func deleting(t *testing.T, profile mmsim.Profile, allowed string) (*mmsim.Server, *mattermost.Target) {
	t.Helper()
	s := mmsim.New(mmsim.Options{Profile: profile, Settings: map[string]string{"MM_SERVICESETTINGS_ENABLEAPIUSERDELETION": allowed}})
	c := client(t, s.Start(t), s.AdminToken(), func(o *mattermost.Options) { o.Deletions = true })
	return s, mattermost.NewTarget(c, mattermost.TargetOptions{SettleFor: time.Millisecond})
}

func TestTarget_Apply_forGood(t *testing.T) {
	t.Parallel()
	for name, profile := range profiles() {
		t.Run(name+": the account is gone, by one call, and there is none to give back", func(t *testing.T) {
			t.Parallel()
			s, target := deleting(t, profile, "true")
			a := s.AddUser(mmsim.User{Username: "ada", Email: "ada@example.test"})
			got := mustApply(t, target, a.ID, forGood())
			require.Empty(t, got.ID)
			_, there := s.User(a.ID)
			require.False(t, there)
			require.Len(t, s.Writes(), 1)
			w := s.Writes()[0]
			require.Equal(t, http.MethodDelete+" /api/v4/users/"+a.ID+"?permanent=true", w.Method+" "+w.Path+"?"+w.RawQuery)
			may, err := target.DeletesForGood(t.Context())
			require.NoError(t, err)
			require.True(t, may)
		})
		t.Run(name+": a server that deletes nobody says so, and the token is not taken for dead", func(t *testing.T) {
			t.Parallel()
			s, target := deleting(t, profile, "false")
			a := s.AddUser(mmsim.User{Username: "ada", Email: "ada@example.test"})
			may, err := target.DeletesForGood(t.Context())
			require.NoError(t, err)
			require.False(t, may)
			_, err = target.Apply(t.Context(), a.ID, forGood(), mattermost.ApplyOptions{})
			var e *mattermost.APIError
			require.ErrorAs(t, err, &e)
			require.True(t, e.DeletionOff())
			require.True(t, e.Refused())
			require.False(t, e.Unauthorized())
			require.Len(t, s.Writes(), 1, "believed at once")
		})
		t.Run(name+": success without effect is a mismatch", func(t *testing.T) {
			t.Parallel()
			s, target := deleting(t, profile, "true")
			a := s.AddUser(mmsim.User{Username: "ada", Email: "ada@example.test"})
			s.Fail(mmsim.Fault{Method: http.MethodDelete, LostWrite: true})
			_, err := target.Apply(t.Context(), a.ID, forGood(), mattermost.ApplyOptions{})
			var m *mattermost.MismatchError
			require.ErrorAs(t, err, &m)
			require.Equal(t, "off_since", m.Field)
		})
	}
	t.Run("never oneself", func(t *testing.T) {
		t.Parallel()
		s, target := deleting(t, mmsim.Profile116, "true")
		_, err := target.Apply(t.Context(), s.AdminID(), forGood(), mattermost.ApplyOptions{})
		require.True(t, mattermost.IsRefused(err), "%v", err)
		require.Empty(t, s.Writes())
	})
	t.Run("only an op that says so deletes, and it says nothing else", func(t *testing.T) {
		t.Parallel()
		s, target := deleting(t, mmsim.Profile116, "true")
		a := s.AddUser(mmsim.User{Username: "ada", Email: "ada@example.test"})
		for _, o := range []plan.Op{
			op(plan.DeleteAccount), op(plan.DeleteAccount, change("off_since", "1", "")), op(plan.DeleteAccount, change("active", "false", plan.Deleted)),
			op(plan.RevokeSessions, change("off_since", "1", plan.Deleted)),
		} {
			_, err := target.Apply(t.Context(), a.ID, o, mattermost.ApplyOptions{})
			require.True(t, mattermost.IsRefused(err), "%v", err)
		}
		require.Empty(t, s.Calls())
	})
	t.Run("a client that was not made for it lets none leave", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{Settings: map[string]string{"MM_SERVICESETTINGS_ENABLEAPIUSERDELETION": "true"}})
		a := s.AddUser(mmsim.User{Username: "ada", Email: "ada@example.test"})
		_, err := target.Apply(t.Context(), a.ID, forGood(), mattermost.ApplyOptions{})
		require.ErrorIs(t, err, mattermost.ErrNotAllowed)
		require.Empty(t, s.Writes())
	})
}
