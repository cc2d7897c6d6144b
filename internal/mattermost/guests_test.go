package mattermost_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

var (
	demote  = op(plan.Demote, change("roles", "system_user", "system_guest"))
	promote = op(plan.Promote, change("roles", "system_guest", "system_user"))
)

func guestsOn() map[string]string {
	return map[string]string{"MM_GUESTACCOUNTSSETTINGS_ENABLE": "true"}
}

func TestTarget_Apply_guests(t *testing.T) {
	t.Parallel()
	for name, profile := range profiles() {
		t.Run(name+": a guest becomes a full member without a licence", func(t *testing.T) {
			t.Parallel()
			s, target := simulated(t, mmsim.Options{Profile: profile, Settings: guestsOn()})
			u := s.AddUser(mmsim.User{Username: "gus", Email: "gus@example.test", Roles: "system_guest"})
			a := mustApply(t, target, u.ID, promote)
			require.Equal(t, identity.NewRoles("system_user"), a.Roles)
			_, err := target.Apply(t.Context(), u.ID, promote, mattermost.ApplyOptions{})
			require.True(t, mattermost.IsRefused(err), "%v", err)
		})
		t.Run(name+": a guest is made by a licence alone, and not asked for twice without one", func(t *testing.T) {
			t.Parallel()
			s, target := simulated(t, mmsim.Options{Profile: profile, Settings: guestsOn()})
			a, b := s.AddUser(mmsim.User{Username: "ada", Email: "ada@example.test"}), s.AddUser(mmsim.User{Username: "bob", Email: "bob@example.test"})
			s.ResetCalls()
			_, err := target.Apply(t.Context(), a.ID, demote, mattermost.ApplyOptions{})
			require.True(t, mattermost.IsGuestsUnlicensed(err), "%v", err)
			var e *mattermost.APIError
			require.ErrorAs(t, err, &e)
			require.Equal(t, plan.GuestsUnlicensed, e.Reason())
			_, err = target.Apply(t.Context(), b.ID, demote, mattermost.ApplyOptions{})
			var stopped *mattermost.GuestsError
			require.ErrorAs(t, err, &stopped)
			require.True(t, mattermost.IsRefused(err))
			require.Equal(t, "the server makes no guests: its licence has no guests any more since this run began; the next run holds who is to be one", stopped.Stopped())
			require.Len(t, s.Writes(), 1)
			_, err = target.Facts(t.Context())
			require.NoError(t, err)
			_, err = target.Apply(t.Context(), b.ID, demote, mattermost.ApplyOptions{})
			require.True(t, mattermost.IsGuestsUnlicensed(err), "the next run finds out anew")
		})
		t.Run(name+": a guest is not switched on while the feature is off, and the token is not blamed", func(t *testing.T) {
			t.Parallel()
			s, target := simulated(t, mmsim.Options{Profile: profile})
			u := s.AddUser(mmsim.User{Username: "gus", Email: "gus@example.test", Roles: "system_guest", DeleteAt: 5})
			_, err := target.Apply(t.Context(), u.ID, op(plan.SetActive, change("active", "false", "true")), mattermost.ApplyOptions{})
			require.True(t, mattermost.IsGuestsOff(err), "%v", err)
			var e *mattermost.APIError
			require.ErrorAs(t, err, &e)
			require.Equal(t, plan.GuestsOff, e.Reason())
			require.False(t, mattermost.IsUnauthorized(err))
		})
		t.Run(name+": success without effect is a mismatch", func(t *testing.T) {
			t.Parallel()
			s, target := simulated(t, mmsim.Options{Profile: profile, Settings: guestsOn()})
			u := s.AddUser(mmsim.User{Username: "gus", Email: "gus@example.test", Roles: "system_guest"})
			s.Fail(mmsim.Fault{Path: "/users/*/promote", LostWrite: true})
			_, err := target.Apply(t.Context(), u.ID, promote, mattermost.ApplyOptions{})
			var m *mattermost.MismatchError
			require.ErrorAs(t, err, &m)
			require.Equal(t, "roles", m.Field)
		})
	}
	t.Run("what the server would not make of the roles is not asked for", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		s.ResetCalls()
		for name, o := range map[string]plan.Op{
			"a guest with a role":          op(plan.Demote, change("roles", "system_user x", "system_guest x")),
			"a guest who is none":          op(plan.Demote, change("roles", "system_user", "system_user")),
			"a full member who is none":    op(plan.Promote, change("roles", "system_guest", "system_guest")),
			"a full member with a role":    op(plan.Promote, change("roles", "system_guest x", "system_user x")),
			"nothing said about the roles": op(plan.Demote),
		} {
			_, err := target.Apply(t.Context(), s.AdminID(), o, mattermost.ApplyOptions{})
			var refused *mattermost.RequestError
			require.ErrorAs(t, err, &refused, name)
		}
		require.Empty(t, s.Calls())
	})
	t.Run("a feature that is off by now is told apart from a licence", func(t *testing.T) {
		t.Parallel()
		s := scripted(t, func(w http.ResponseWriter, _ *http.Request) {
			answerJSON(w, 501, `{"id":"api.team.demote_user_to_guest.disabled.error","status_code":501}`)
		})
		target := mattermost.NewTarget(client(t, s.URL, secret), mattermost.TargetOptions{})
		_, err := target.Apply(t.Context(), someID, demote, mattermost.ApplyOptions{})
		require.True(t, mattermost.IsGuestsOff(err))
		_, err = target.Apply(t.Context(), someID, demote, mattermost.ApplyOptions{})
		require.ErrorContains(t, err, "its guest feature was switched off since this run began")
	})
}

func TestTarget_Facts_guests(t *testing.T) {
	t.Parallel()
	for name, profile := range profiles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := mmsim.New(mmsim.Options{Profile: profile})
			c := client(t, s.Start(t), s.AdminToken())
			target := mattermost.NewTarget(c, mattermost.TargetOptions{})
			f, err := target.Facts(t.Context())
			require.NoError(t, err)
			require.True(t, f.GuestsOff, "as it is by default")
			require.Equal(t, plan.Licence{}, f.Licence, "nobody asked")
			require.False(t, asked(s, "/license/client"))
			s.Restart(guestsOn())
			target = mattermost.NewTarget(c, mattermost.TargetOptions{Guests: true})
			f, err = target.Facts(t.Context())
			require.NoError(t, err)
			require.False(t, f.GuestsOff)
			require.Equal(t, plan.Licence{Known: true}, f.Licence, "there is none")
		})
	}
	for name, c := range map[string]struct {
		body string
		want mattermost.License
	}{
		"none":               {`{"IsLicensed":"false"}`, mattermost.License{}},
		"one with all":       {`{"IsLicensed":"true","SkuShortName":"enterprise","GuestAccounts":"true","CustomPermissionsSchemes":"true"}`, mattermost.License{Licensed: true, SKU: "enterprise", Guests: true, Delegated: true}},
		"one with guests":    {`{"IsLicensed":"true","GuestAccounts":"true","CustomPermissionsSchemes":"false"}`, mattermost.License{Licensed: true, Guests: true}},
		"one that says less": {`{"IsLicensed":"true"}`, mattermost.License{Licensed: true}},
	} {
		t.Run("a licence: "+name, func(t *testing.T) {
			t.Parallel()
			s := scripted(t, func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, 200, c.body) })
			l, err := client(t, s.URL, secret).License(t.Context())
			require.NoError(t, err)
			require.Equal(t, c.want, l)
		})
	}
}

func asked(s *mmsim.Server, path string) bool {
	for _, c := range s.Calls() {
		if strings.HasSuffix(c.Path, path) {
			return true
		}
	}
	return false
}

func TestTarget_Check_licence(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	c := client(t, s.Start(t), s.AdminToken())
	say := func(o mattermost.TargetOptions) (out []string) {
		for _, f := range mattermost.NewTarget(c, o).Check(t.Context()) {
			if f.Part == "guests" || f.Part == "delegated roles" || f.Part == "licence" {
				out = append(out, string(f.Level)+" "+f.Part+": "+f.Text)
			}
		}
		return out
	}
	require.Empty(t, say(mattermost.TargetOptions{}), "what no rule asks for is not spoken of")
	list := say(mattermost.TargetOptions{Guests: true, Delegated: true})
	require.Len(t, list, 2)
	require.Contains(t, list[0], "the server's licence has none")
	require.Contains(t, list[1], "the section roles gives a role that the server's licence does not have")
	over := s.Fail(mmsim.Fault{Path: "/license/client", Status: 403, ErrorID: "api.context.permissions.app_error"})
	require.Contains(t, say(mattermost.TargetOptions{Guests: true})[0], "cannot be read")
	over()
}
