package mattermost_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// ahead is a network with a proxy whose clock is that much ahead of the server's.
type ahead time.Duration

func (a ahead) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		resp.Header.Set("Date", time.Now().Add(time.Duration(a)).UTC().Format(http.TimeFormat))
	}
	return resp, err
}

func TestTarget_Apply_create(t *testing.T) {
	t.Parallel()
	t.Run("a lost answer is followed up: the account is there and ours", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		require.NoError(t, target.Healthy(t.Context())) // the server's time is known from here on
		s.Fail(mmsim.Fault{Method: http.MethodPost, Path: "/users", CutAfter: true})
		a := mustApply(t, target, "", create("ada"))
		require.Equal(t, identity.Auth{Service: "saml", Data: "id-ada"}, a.Auth)
		require.Len(t, s.Writes(), 1)
	})
	t.Run("a lost answer and no account stays unknown", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		require.NoError(t, target.Healthy(t.Context()))
		s.Fail(mmsim.Fault{Method: http.MethodPost, Path: "/users", CutBefore: true})
		_, err := target.Apply(t.Context(), "", create("ada"), mattermost.ApplyOptions{})
		require.ErrorIs(t, err, mattermost.ErrOutcomeUnknown)
	})
	for name, before := range map[string]mmsim.User{
		"somebody else's": {Email: "other@example.test"},
		"an older one":    {Email: "ada@example.test", AuthService: "saml", AuthData: "id-ada", CreateAt: 1},
	} {
		t.Run("a lost answer and "+name+" account of that name is not taken for ours", func(t *testing.T) {
			t.Parallel()
			s, target := simulated(t, mmsim.Options{})
			require.NoError(t, target.Healthy(t.Context()))
			before.Username = "ada"
			s.AddUser(before)
			s.Fail(mmsim.Fault{Method: http.MethodPost, Path: "/users", CutBefore: true})
			_, err := target.Apply(t.Context(), "", create("ada"), mattermost.ApplyOptions{})
			require.ErrorIs(t, err, mattermost.ErrOutcomeUnknown)
		})
	}
	t.Run("a lost answer is followed up although a proxy's clock, which the Date is by, is ahead of the server's", func(t *testing.T) {
		t.Parallel()
		s, _ := simulated(t, mmsim.Options{})
		target := mattermost.NewTarget(client(t, s.URL(), s.AdminToken(), func(o *mattermost.Options) { o.HTTPTransport = ahead(20 * time.Second) }), mattermost.TargetOptions{})
		require.NoError(t, target.Healthy(t.Context()))
		s.Fail(mmsim.Fault{Method: http.MethodPost, Path: "/users", CutAfter: true})
		require.Equal(t, "ada", mustApply(t, target, "", create("ada")).Username)
		for name, before := range map[string]mmsim.User{
			"bob": {Email: "bob@example.test"}, // somebody may have signed up so
			"cay": {Email: "cay@example.test", AuthService: "saml", AuthData: "id-cay", Nickname: "Her own"},
		} {
			before.Username = name
			s.AddUser(before)
			op := create(name)
			if before.AuthService == "" {
				op.Changes = op.Changes[:2]
			}
			_, err := target.Apply(t.Context(), "", op, mattermost.ApplyOptions{})
			require.ErrorIs(t, err, mattermost.ErrOutcomeUnknown, name)
		}
	})
	t.Run("taken auth data is a conflict, since the account was looked for", func(t *testing.T) {
		t.Parallel()
		_, target := simulated(t, mmsim.Options{})
		mustApply(t, target, "", create("ada"))
		o := create("bob")
		o.Changes[3].To = "id-ada"
		_, err := target.Apply(t.Context(), "", o, mattermost.ApplyOptions{})
		require.Equal(t, "auth_data", taken(err), "%v", err)
		require.NotErrorIs(t, err, mattermost.ErrOutcomeUnknown)
	})
	t.Run("a name that no account has and the server calls taken is a group's", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		bob := mustApply(t, target, "", create("bob"))
		s.SetGroupNames("ada")
		_, err := target.Apply(t.Context(), "", create("ada"), mattermost.ApplyOptions{})
		require.Equal(t, "username", taken(err), "%v", err)
		require.ErrorContains(t, err, "the name of a group in Mattermost")
		s.SetUser(bob.ID, func(u *mmsim.User) { u.AuthService, u.AuthData = "", "" })
		rename := plan.Op{Kind: plan.PatchProfile, Changes: []plan.Change{{Field: plan.Field(identity.Username), From: "bob", To: "ada"}}}
		_, err = target.Apply(t.Context(), bob.ID, rename, mattermost.ApplyOptions{})
		require.ErrorContains(t, err, "the name of a group in Mattermost")
		_, err = target.Apply(t.Context(), "", create("bob"), mattermost.ApplyOptions{})
		require.Equal(t, "username", taken(err))
		require.NotContains(t, err.Error(), "group")
	})
	t.Run("a password is long enough for the strictest server", func(t *testing.T) {
		t.Parallel()
		strict := map[string]string{
			"MM_PASSWORDSETTINGS_MINIMUMLENGTH": "64", "MM_PASSWORDSETTINGS_LOWERCASE": "true", "MM_PASSWORDSETTINGS_UPPERCASE": "true",
			"MM_PASSWORDSETTINGS_NUMBER": "true", "MM_PASSWORDSETTINGS_SYMBOL": "true",
		}
		for _, profile := range profiles() {
			_, target := simulated(t, mmsim.Options{Profile: profile, Settings: strict})
			mustApply(t, target, "", op(plan.CreateAccount, change("username", "", "bob"), change("email", "", "bob@example.test")))
		}
	})
	t.Run("taken username and e-mail", func(t *testing.T) {
		t.Parallel()
		_, target := simulated(t, mmsim.Options{})
		mustApply(t, target, "", create("ada"))
		o := create("ada")
		o.Changes[1].To = "new@example.test"
		_, err := target.Apply(t.Context(), "", o, mattermost.ApplyOptions{})
		require.Equal(t, "username", taken(err), "%v", err)
		o = create("bob")
		o.Changes[1].To = "ada@example.test"
		_, err = target.Apply(t.Context(), "", o, mattermost.ApplyOptions{})
		require.Equal(t, "email", taken(err), "%v", err)
	})
	t.Run("no mail goes out unless a reset link is wanted", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		pw := op(plan.CreateAccount, change("username", "", "bob"), change("email", "", "bob@example.test"))
		mustApply(t, target, "", pw)
		require.Contains(t, string(s.Writes()[0].Body), `"disable_welcome_email":true`)
		require.Len(t, s.Writes(), 1)

		pw.Changes[0].To, pw.Changes[1].To = "eve", "eve@example.test"
		_, err := target.Apply(t.Context(), "", create("ada"), mattermost.ApplyOptions{Welcome: mattermost.WelcomeResetLink})
		require.NoError(t, err)
		require.Len(t, s.Writes(), 2, "a login service needs no link")

		s.Fail(mmsim.Fault{Path: "/users/password/reset/send", Status: 500})
		a, err := target.Apply(t.Context(), "", pw, mattermost.ApplyOptions{Welcome: mattermost.WelcomeResetLink})
		var step *mattermost.StepError
		require.ErrorAs(t, err, &step)
		require.Equal(t, "eve", a.Username)
	})
	t.Run("roles and active may be named only as every new account has them", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		o := create("ada")
		o.Changes = append(o.Changes, change("roles", "", "system_user"), change("active", "", "true"))
		mustApply(t, target, "", o)
		o = create("bob")
		o.Changes = append(o.Changes, change("roles", "", "system_admin system_user"))
		_, err := target.Apply(t.Context(), "", o, mattermost.ApplyOptions{})
		require.ErrorContains(t, err, "cannot be created with roles")
		require.Len(t, s.Writes(), 1)
	})
	t.Run("the first person becoming administrator is a mismatch", func(t *testing.T) {
		t.Parallel()
		srv := scripted(t, func(w http.ResponseWriter, _ *http.Request) {
			answerJSON(w, 201, strings.NewReplacer(`"roles":"system_user"`, `"roles":"system_admin system_user"`,
				`"auth_service":""`, `"auth_service":"saml","auth_data":"id-ada"`).Replace(user(someID, "ada")))
		})
		target := mattermost.NewTarget(client(t, srv.URL, secret), mattermost.TargetOptions{})
		_, err := target.Apply(t.Context(), "", create("ada"), mattermost.ApplyOptions{})
		var m *mattermost.MismatchError
		require.ErrorAs(t, err, &m)
		require.Equal(t, "roles", m.Field)
	})
}

func TestRandomPassword(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 200 {
		p := mattermost.RandomPassword()
		require.Len(t, p, 64)
		for _, class := range []string{`[a-z]`, `[A-Z]`, `[0-9]`, `[^A-Za-z0-9]`} {
			require.Regexp(t, class, p)
		}
		require.False(t, seen[p])
		seen[p] = true
	}
}
