package mattermost_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// With its database away the server misleads: a good token is 401, a patch 403,
// an e-mail "not found" by its id.
func TestTarget_databaseAway(t *testing.T) {
	t.Parallel()
	for name, profile := range profiles() {
		reads := map[string]func(context.Context, *mattermost.Target, string) error{
			"facts": func(ctx context.Context, x *mattermost.Target, _ string) error { _, err := x.Facts(ctx); return err },
			"account": func(ctx context.Context, x *mattermost.Target, id string) error {
				_, err := x.Account(ctx, id)
				return err
			},
			"by e-mail": func(ctx context.Context, x *mattermost.Target, _ string) error {
				_, err := x.Client().UserByEmail(ctx, "ada@example.test")
				return err
			},
			"look-up": func(ctx context.Context, x *mattermost.Target, _ string) error {
				_, err := x.Lookup(ctx, mattermost.Wanted{Emails: []string{"nobody@example.test"}})
				return err
			},
			"observe": func(ctx context.Context, x *mattermost.Target, id string) error {
				_, err := x.Observe(ctx, []string{id}, 0, func(identity.Account) error { return nil })
				return err
			},
			"list": func(ctx context.Context, x *mattermost.Target, _ string) error {
				_, err := x.List(ctx, func(identity.Account) error { return nil })
				return err
			},
		}
		for what, read := range reads {
			t.Run(name+": neither a denial nor an absence: "+what, func(t *testing.T) {
				t.Parallel()
				s, target := simulated(t, mmsim.Options{Profile: profile})
				a := mustApply(t, target, "", create("ada"))
				s.Fail(mmsim.Fault{DatabaseAway: true})
				err := read(t.Context(), target, a.ID)
				require.True(t, mattermost.IsTransient(err), "%v", err)
				require.False(t, mattermost.IsNotFound(err))
				require.False(t, mattermost.IsUnauthorized(err) || mattermost.IsForbidden(err) || mattermost.IsRefused(err), "%v", err)
			})
		}
		t.Run(name+": a good token that is 401 is no dead one", func(t *testing.T) {
			t.Parallel()
			s, target := simulated(t, mmsim.Options{Profile: profile})
			s.Fail(mmsim.Fault{Path: "/system/ping", DatabaseAway: true})
			s.Fail(mmsim.Fault{Status: 401, ErrorID: "api.context.session_expired.app_error"})
			_, err := target.Facts(t.Context())
			require.True(t, mattermost.IsTransient(err), "%v", err)
			require.False(t, mattermost.IsUnauthorized(err))
		})
		for _, o := range []plan.Op{
			op(plan.PatchProfile, change("nickname", "", "x")), op(plan.SetActive, change("active", "true", "false")), byDelete(),
			op(plan.SetRoles, change("roles", "system_user", "system_admin system_user")),
			op(plan.SetAuth, change("auth_service", "saml", "ldap"), change("auth_data", "id-ada", "x")), create("bob"),
		} {
			t.Run(name+": no refusal, nothing written: "+string(o.Kind)+map[bool]string{true: " by delete"}[o.ByDelete], func(t *testing.T) {
				t.Parallel()
				s, target := simulated(t, mmsim.Options{Profile: profile})
				a := mustApply(t, target, "", create("ada"))
				before, _ := s.User(a.ID)
				s.Fail(mmsim.Fault{DatabaseAway: true})
				_, err := target.Apply(t.Context(), a.ID, o, mattermost.ApplyOptions{})
				require.True(t, mattermost.IsTransient(err), "%v", err)
				require.False(t, mattermost.IsRefused(err) || mattermost.IsNotFound(err) || mattermost.IsUnauthorized(err), "%v", err)
				after, _ := s.User(a.ID)
				require.Equal(t, before, after)
			})
		}
	}
}

// PUT auth and the end of sessions answer 200 for an account that is not there,
// a patch and roles 400; whatever the call says, Apply says "not found".
func TestTarget_Apply_unknownAccount(t *testing.T) {
	t.Parallel()
	for name, profile := range profiles() {
		for _, o := range []plan.Op{
			op(plan.PatchProfile, change("nickname", "", "x")),
			op(plan.SetActive, change("active", "true", "false")),
			op(plan.SetActive, change("active", "false", "true")),
			byDelete(),
			op(plan.SetRoles, change("roles", "system_user", "system_admin system_user")),
			op(plan.SetAuth, change("auth_service", "", "saml"), change("auth_data", "", "x")),
			op(plan.RevokeSessions),
		} {
			t.Run(name+" "+string(o.Kind)+map[bool]string{true: " by delete"}[o.ByDelete], func(t *testing.T) {
				t.Parallel()
				s, target := simulated(t, mmsim.Options{Profile: profile})
				_, err := target.Apply(t.Context(), someID, o, mattermost.ApplyOptions{})
				require.True(t, mattermost.IsNotFound(err), "%v", err)
				require.False(t, mattermost.IsRefused(err), "%v", err)
				require.NotErrorIs(t, err, mattermost.ErrOutcomeUnknown)
				require.Len(t, s.Writes(), 1)
			})
		}
	}
	t.Run("a bad body for an account that is there stays a refusal", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		s.Fail(mmsim.Fault{Path: "/users/*/patch", Status: 400, ErrorID: "api.context.invalid_body_param.app_error"})
		_, err := target.Apply(t.Context(), s.AdminID(), op(plan.PatchProfile, change("nickname", "", "x")), mattermost.ApplyOptions{})
		require.True(t, mattermost.IsRefused(err), "%v", err)
		require.False(t, mattermost.IsNotFound(err))
	})
}
