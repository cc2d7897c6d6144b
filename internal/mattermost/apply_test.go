package mattermost_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func TestTarget_Apply(t *testing.T) {
	t.Parallel()
	for name, profile := range map[string]mmsim.Profile{"11.6": mmsim.Profile116, "5.38": mmsim.Profile538} {
		t.Run(name+": every kind of op shows in the account that comes back", func(t *testing.T) {
			t.Parallel()
			s, target := simulated(t, mmsim.Options{Profile: profile})
			a := mustApply(t, target, "", create("ada"))
			require.Equal(t, "ada", a.Username)
			require.Equal(t, identity.Roles{"system_user"}, a.Roles)

			a = mustApply(t, target, a.ID, op(plan.PatchProfile, change("nickname", "", "Ada"), change("position", "", "Countess")))
			require.Equal(t, "Countess", a.Position)

			a = mustApply(t, target, a.ID, op(plan.SetRoles, change("roles", "system_user", "system_admin system_user")))
			require.True(t, a.HumanAdmin())

			a = mustApply(t, target, a.ID, op(plan.SetAuth, change("auth_service", "saml", "openid"), change("auth_data", "id-ada", "sub-ada")))
			require.Equal(t, "openid", a.Auth.Service)
			require.Equal(t, profile == mmsim.Profile116, a.Auth.Data == "sub-ada")

			a = mustApply(t, target, a.ID, op(plan.RevokeSessions))
			require.True(t, a.Active())

			a = mustApply(t, target, a.ID, op(plan.SetActive, change("active", "true", "false")))
			u, ok := s.User(a.ID)
			require.True(t, ok)
			require.NotZero(t, a.DeleteAt)
			require.Equal(t, u.DeleteAt, a.DeleteAt, "the delete_at of our own call")

			a = mustApply(t, target, a.ID, op(plan.SetActive, change("active", "false", "true")))
			require.True(t, a.Active())
		})
		t.Run(name+": a password account gets a password that nobody knows", func(t *testing.T) {
			t.Parallel()
			s, target := simulated(t, mmsim.Options{Profile: profile})
			a := mustApply(t, target, "", op(plan.CreateAccount, change("username", "", "bob"), change("email", "", "bob@example.test")))
			u, _ := s.User(a.ID)
			require.True(t, u.HasPassword())
			require.True(t, u.EmailVerified)
			require.True(t, a.Auth.IsZero())

			s.ResetCalls()
			mustApply(t, target, a.ID, op(plan.PatchProfile, change("email", a.Email, "bob2@example.test")))
			require.Len(t, s.Writes(), 1, "a changed e-mail is one patch")
		})
		t.Run(name+": success without effect is a mismatch that names the field", func(t *testing.T) {
			t.Parallel()
			s, target := simulated(t, mmsim.Options{Profile: profile})
			a := mustApply(t, target, "", create("ada"))
			b := mustApply(t, target, "", create("off"))
			b = mustApply(t, target, b.ID, op(plan.SetActive, change("active", "true", "false")))
			s.Fail(mmsim.Fault{Method: http.MethodPut, LostWrite: true})
			for _, c := range []struct {
				id    string
				field string
				o     plan.Op
			}{
				{a.ID, "active", op(plan.SetActive, change("active", "true", "false"))},
				{b.ID, "active", op(plan.SetActive, change("active", "false", "true"))},
				{a.ID, "roles", op(plan.SetRoles, change("roles", "system_user", "system_admin system_user"))},
				{a.ID, "auth_service", op(plan.SetAuth, change("auth_service", "saml", "openid"), change("auth_data", "id-ada", "x"))},
			} {
				got, err := target.Apply(t.Context(), c.id, c.o, mattermost.ApplyOptions{})
				var m *mattermost.MismatchError
				require.ErrorAs(t, err, &m, "%s", c.o.Kind)
				require.Equal(t, c.field, m.Field)
				require.NotEqual(t, m.Want, m.Got)
				require.Equal(t, c.id, got.ID, "the account comes back as it is")
				require.NotErrorIs(t, err, mattermost.ErrOutcomeUnknown)
			}
		})
	}
}

func TestTarget_Apply_auth(t *testing.T) {
	t.Parallel()
	t.Run("a field that does not differ is taken from the account", func(t *testing.T) {
		t.Parallel()
		_, target := simulated(t, mmsim.Options{})
		a := mustApply(t, target, "", create("ada"))
		a = mustApply(t, target, a.ID, op(plan.SetAuth, change("auth_data", "id-ada", "new")))
		require.Equal(t, identity.Auth{Service: "saml", Data: "new"}, a.Auth)
		a = mustApply(t, target, a.ID, op(plan.SetAuth, change("auth_service", "saml", "ldap")))
		require.Equal(t, identity.Auth{Service: "ldap", Data: "new"}, a.Auth)
	})
	t.Run("where the server hides it, nothing is guessed", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{Profile: mmsim.Profile538})
		a := mustApply(t, target, "", create("ada"))
		s.ResetCalls()
		_, err := target.Apply(t.Context(), a.ID, op(plan.SetAuth, change("auth_service", "saml", "ldap")), mattermost.ApplyOptions{})
		require.True(t, mattermost.IsRefused(err), "%v", err)
		require.Empty(t, s.Writes())
	})
	t.Run("5.38 is read from its database, not from its stale memory", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{Profile: mmsim.Profile538})
		a := mustApply(t, target, "", create("ada"))
		_, err := target.Account(t.Context(), a.ID) // now it is in the server's memory
		require.NoError(t, err)
		s.ResetCalls()
		a = mustApply(t, target, a.ID, op(plan.SetAuth, change("auth_service", "saml", "ldap"), change("auth_data", "id-ada", "x")))
		require.Equal(t, "ldap", a.Auth.Service)
		calls := s.Calls()
		require.Equal(t, "/api/v4/users/usernames", calls[len(calls)-1].Path)
	})
	t.Run("an unknown account is not a success", func(t *testing.T) {
		t.Parallel()
		_, target := simulated(t, mmsim.Options{})
		_, err := target.Apply(t.Context(), someID, op(plan.SetAuth, change("auth_service", "", "saml"), change("auth_data", "", "x")), mattermost.ApplyOptions{})
		require.True(t, mattermost.IsNotFound(err), "%v", err)
		_, err = target.Apply(t.Context(), someID, op(plan.RevokeSessions), mattermost.ApplyOptions{})
		require.True(t, mattermost.IsNotFound(err), "%v", err)
	})
	t.Run("taken auth data", func(t *testing.T) {
		t.Parallel()
		_, target := simulated(t, mmsim.Options{})
		a := mustApply(t, target, "", create("ada"))
		mustApply(t, target, "", create("bob"))
		_, err := target.Apply(t.Context(), a.ID, op(plan.SetAuth, change("auth_data", "id-ada", "id-bob")), mattermost.ApplyOptions{})
		require.Equal(t, "auth_data", taken(err), "%v", err)
	})
}

func TestTarget_Apply_patch(t *testing.T) {
	t.Parallel()
	apply := func(t *testing.T, target *mattermost.Target, id string, c ...plan.Change) (identity.Account, error) {
		t.Helper()
		return target.Apply(t.Context(), id, op(plan.PatchProfile, c...), mattermost.ApplyOptions{})
	}
	t.Run("an e-mail that waits for verification", func(t *testing.T) {
		t.Parallel()
		_, target := simulated(t, mmsim.Options{Settings: verification()})
		a := mustApply(t, target, "", create("ada"))
		_, err := apply(t, target, a.ID, change("email", a.Email, "new@example.test"))
		var m *mattermost.MismatchError
		require.ErrorAs(t, err, &m)
		require.Equal(t, "email", m.Field)
	})
	t.Run("an e-mail that the login service keeps", func(t *testing.T) {
		t.Parallel()
		_, target := simulated(t, mmsim.Options{})
		a := mustApply(t, target, "", create("ada"))
		mustApply(t, target, a.ID, op(plan.SetAuth, change("auth_service", "saml", "gitlab")))
		_, err := apply(t, target, a.ID, change("email", a.Email, "new@example.test"))
		var m *mattermost.MismatchError
		require.ErrorAs(t, err, &m)
		require.Equal(t, "email", m.Field)
	})
	t.Run("locked, taken and bad values are told apart", func(t *testing.T) {
		t.Parallel()
		_, target := simulated(t, mmsim.Options{})
		a := mustApply(t, target, "", create("ada"))
		_, err := apply(t, target, a.ID, change("username", "ada", "adele"))
		require.True(t, mattermost.IsAttributeLocked(err), "%v", err)
		p := mustApply(t, target, "", op(plan.CreateAccount, change("username", "", "pw"), change("email", "", "pw@example.test")))
		_, err = apply(t, target, p.ID, change("username", "pw", "ada"))
		require.Equal(t, "username", taken(err), "%v", err)
		_, err = apply(t, target, p.ID, change("email", p.Email, "ada@example.test"))
		require.Equal(t, "email", taken(err), "%v", err)
		_, err = apply(t, target, p.ID, change("nickname", "", strings.Repeat("x", 65)))
		field, ok := mattermost.IsInvalidValue(err)
		require.True(t, ok)
		require.Equal(t, "nickname", field)
	})
	t.Run("no change, no call", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		_, err := apply(t, target, s.AdminID(), change("nickname", "x", "x"))
		require.ErrorContains(t, err, "nothing to change")
		_, err = apply(t, target, s.AdminID())
		require.ErrorContains(t, err, "nothing to change")
		_, err = apply(t, target, s.AdminID(), change("roles", "a", "b"))
		require.ErrorContains(t, err, "not a profile field")
		require.Empty(t, s.Calls())
	})
	t.Run("patches of one account never lose one another", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{LostConcurrentWrites: true})
		a := mustApply(t, target, "", create("ada"))
		for i := range 10 {
			v := strings.Repeat("x", i+1)
			var wg sync.WaitGroup
			for _, f := range []string{"nickname", "position", "first_name"} {
				wg.Go(func() { _, _ = apply(t, target, a.ID, change(f, "", v)) })
			}
			wg.Wait()
			u, _ := s.User(a.ID)
			require.Equal(t, []string{v, v, v}, []string{u.Nickname, u.Position, u.FirstName})
		}
	})
	t.Run("the failure of a courtesy does not undo the op", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		s.Fail(mmsim.Fault{Path: "/users/password/reset/send", Status: 500})
		made := op(plan.CreateAccount, change("username", "", "pw"), change("email", "", "pw@example.test"))
		a, err := target.Apply(t.Context(), "", made, mattermost.ApplyOptions{Welcome: mattermost.WelcomeResetLink})
		var step *mattermost.StepError
		require.ErrorAs(t, err, &step)
		require.NotErrorIs(t, err, mattermost.ErrOutcomeUnknown)
		require.Equal(t, "pw@example.test", a.Email)
	})
}

func TestTarget_Apply_active(t *testing.T) {
	t.Parallel()
	off := op(plan.SetActive, change("active", "true", "false"))
	t.Run("ldap accounts are the server's own", func(t *testing.T) {
		t.Parallel()
		_, target := simulated(t, mmsim.Options{})
		a := mustApply(t, target, "", create("ada"))
		mustApply(t, target, a.ID, op(plan.SetAuth, change("auth_service", "saml", "ldap")))
		_, err := target.Apply(t.Context(), a.ID, off, mattermost.ApplyOptions{})
		require.True(t, mattermost.IsLDAPManaged(err), "%v", err)
	})
	t.Run("a refusal of an ldap account is remembered, whatever the version says", func(t *testing.T) {
		t.Parallel()
		s, target := callingItself(t, "9.11.0.x.y.true", "9.11.0", mmsim.Options{})
		a := s.AddUser(mmsim.User{Username: "ada", Email: "ada@example.test", AuthService: "ldap", AuthData: "1"})
		f, err := target.Facts(t.Context())
		require.NoError(t, err)
		require.False(t, f.LDAPLocked)
		_, err = target.Apply(t.Context(), a.ID, off, mattermost.ApplyOptions{})
		require.True(t, mattermost.IsLDAPManaged(err), "%v", err)
		f, err = target.Facts(t.Context())
		require.NoError(t, err)
		require.True(t, f.LDAPLocked)
	})
	t.Run("no seat left", func(t *testing.T) {
		t.Parallel()
		_, target := simulated(t, mmsim.Options{SeatLimit: 2})
		a := mustApply(t, target, "", create("ada"))
		mustApply(t, target, a.ID, off)
		mustApply(t, target, "", create("bob"))
		_, err := target.Apply(t.Context(), a.ID, op(plan.SetActive, change("active", "false", "true")), mattermost.ApplyOptions{})
		require.True(t, mattermost.IsSeatLimit(err), "%v", err)
		_, err = target.Apply(t.Context(), "", create("eve"), mattermost.ApplyOptions{})
		require.True(t, mattermost.IsSeatLimit(err), "%v", err)
	})
	t.Run("its own account is refused, which is no dead token", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		_, err := target.Apply(t.Context(), s.AdminID(), off, mattermost.ApplyOptions{})
		require.True(t, mattermost.IsRefused(err), "%v", err)
		require.False(t, mattermost.IsUnauthorized(err))
	})
	t.Run("an answer that was cut is outcome unknown, and it was done once", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		a := mustApply(t, target, "", create("ada"))
		s.ResetCalls()
		s.Fail(mmsim.Fault{Path: "/users/*/active", CutAfter: true})
		_, err := target.Apply(t.Context(), a.ID, off, mattermost.ApplyOptions{})
		require.ErrorIs(t, err, mattermost.ErrOutcomeUnknown)
		require.Len(t, s.Writes(), 1)
	})
	t.Run("a read-back that fails is outcome unknown", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		a := mustApply(t, target, "", create("ada"))
		s.Fail(mmsim.Fault{Method: http.MethodGet, Path: "/users/*", Status: 500})
		_, err := target.Apply(t.Context(), a.ID, off, mattermost.ApplyOptions{})
		require.ErrorIs(t, err, mattermost.ErrOutcomeUnknown)
	})
	t.Run("a cluster's lag is waited for", func(t *testing.T) {
		t.Parallel()
		var reads atomic.Int32
		srv := scripted(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				answerJSON(w, 200, `{"status":"OK"}`)
				return
			}
			body := user(someID, "ada")
			if reads.Add(1) > 1 {
				body = strings.Replace(body, `"delete_at":0`, `"delete_at":5`, 1)
			}
			answerJSON(w, 200, body)
		})
		c := client(t, srv.URL, secret)
		a, err := mattermost.NewTarget(c, mattermost.TargetOptions{SettleFor: time.Minute}).Apply(t.Context(), someID, off, mattermost.ApplyOptions{})
		require.NoError(t, err)
		require.EqualValues(t, 5, a.DeleteAt)
	})
	t.Run("a cluster whose nodes lag behind each other is waited for", func(t *testing.T) {
		t.Parallel()
		s := mmsim.New(mmsim.Options{})
		there, err := url.Parse(s.Node(2 * time.Second).Start(t))
		require.NoError(t, err)
		c := client(t, s.Start(t), s.AdminToken(), func(o *mattermost.Options) {
			o.HTTPTransport = through(func(r *http.Request) (*http.Response, error) { // writes go here, reads there
				if r.Method == http.MethodGet {
					r = r.Clone(r.Context())
					r.URL.Host = there.Host
				}
				return http.DefaultTransport.RoundTrip(r)
			})
		})
		target := mattermost.NewTarget(c, mattermost.TargetOptions{SettleFor: time.Minute})
		a := mustApply(t, target, "", create("ada"))
		_, err = target.Account(t.Context(), a.ID)
		require.NoError(t, err)
		s.ResetCalls()
		a = mustApply(t, target, a.ID, off)
		require.False(t, a.Active())
		require.Len(t, s.Writes(), 1, "it is asked about, not repeated")
		require.Greater(t, len(s.Calls()), 2)
	})
	t.Run("the last administrator keeps the role", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		_, err := target.Apply(t.Context(), s.AdminID(), op(plan.SetRoles, change("roles", "system_admin system_user", "system_user")), mattermost.ApplyOptions{})
		require.True(t, mattermost.IsLastAdmin(err), "%v", err)
	})
}

func TestTarget_Apply_refuses(t *testing.T) {
	t.Parallel()
	s, target := simulated(t, mmsim.Options{})
	for name, o := range map[string]plan.Op{
		"a link":                op(plan.LinkAccount),
		"an unlink":             op(plan.UnlinkAccount),
		"a word of nobody's":    op("delete_account"),
		"no roles":              op(plan.SetRoles, change("roles", "system_user", "")),
		"roles unsaid":          op(plan.SetRoles),
		"active unsaid":         op(plan.SetActive),
		"active as a word":      op(plan.SetActive, change("active", "true", "no")),
		"back to password":      op(plan.SetAuth, change("auth_service", "saml", ""), change("auth_data", "x", "")),
		"a patch of auth":       op(plan.PatchProfile, change("auth_data", "", "x")),
		"a patch of the unsaid": op(plan.PatchProfile, change("password", "", "x")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := target.Apply(t.Context(), s.AdminID(), o, mattermost.ApplyOptions{})
			require.True(t, mattermost.IsRefused(err), "%v", err)
		})
	}
	t.Cleanup(func() { require.Empty(t, s.Writes()) })
	_, err := target.Apply(t.Context(), "me", op(plan.RevokeSessions), mattermost.ApplyOptions{})
	require.True(t, mattermost.IsRefused(err))
}
