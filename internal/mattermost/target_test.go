package mattermost_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func TestTarget_Apply(t *testing.T) {
	t.Parallel()
	for name, profile := range map[string]mmsim.Profile{"11.6": mmsim.Profile116, "5.38": mmsim.Profile538} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, target := simulated(t, mmsim.Options{Profile: profile})
			facts, err := target.Facts(t.Context())
			require.NoError(t, err)
			require.Equal(t, []string{s.AdminID()}, facts.HumanAdmins)

			a := mustApply(t, target, "", create("ada"))
			require.Equal(t, "ada", a.Username)
			require.Equal(t, identity.Roles{"system_user"}, a.Roles)

			a = mustApply(t, target, a.ID, op(plan.PatchProfile, change("nickname", "", "Ada"), change("position", "", "Countess")))
			require.Equal(t, "Countess", a.Position)

			a = mustApply(t, target, a.ID, op(plan.SetRoles, change("roles", "system_user", "system_admin system_user")))
			require.True(t, a.HumanAdmin())

			a = mustApply(t, target, a.ID, op(plan.SetAuth, change("auth_service", "saml", "openid"), change("auth_data", "id-ada", "sub-ada")))
			require.Equal(t, "openid", a.Auth.Service)

			a = mustApply(t, target, a.ID, op(plan.RevokeSessions))
			require.True(t, a.Active())

			a = mustApply(t, target, a.ID, op(plan.SetActive, change("active", "true", "false")))
			require.False(t, a.Active())
			u, ok := s.User(a.ID)
			require.True(t, ok)
			require.Equal(t, u.DeleteAt, a.DeleteAt, "the delete_at of our own call")

			a = mustApply(t, target, a.ID, op(plan.SetActive, change("active", "false", "true")))
			require.True(t, a.Active())
			require.Equal(t, facts.AuthDataVisible, a.Auth.Data == "sub-ada")
		})
	}
}

func TestTarget_Apply_passwordAccount(t *testing.T) {
	t.Parallel()
	for name, profile := range map[string]mmsim.Profile{"11.6": mmsim.Profile116, "5.38": mmsim.Profile538} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, target := simulated(t, mmsim.Options{Profile: profile})
			o := mattermost.ApplyOptions{EmailVerified: true}
			a, err := target.Apply(t.Context(), "", op(plan.CreateAccount, change("username", "", "bob"), change("email", "", "bob@example.test")), o)
			require.NoError(t, err)
			u, _ := s.User(a.ID)
			require.GreaterOrEqual(t, len(u.Password), 24)
			require.LessOrEqual(t, len(u.Password), 64)
			require.True(t, u.EmailVerified)
			require.Regexp(t, `[a-z]`, u.Password)
			require.Regexp(t, `[A-Z]`, u.Password)
			require.Regexp(t, `[0-9]`, u.Password)
			require.Regexp(t, `[^A-Za-z0-9]`, u.Password)

			_, err = target.Apply(t.Context(), a.ID, op(plan.PatchProfile, change("email", a.Email, "bob2@example.test")), o)
			require.NoError(t, err)
			u, _ = s.User(a.ID)
			require.True(t, u.EmailVerified, "a changed e-mail is marked verified again")
		})
	}
}
