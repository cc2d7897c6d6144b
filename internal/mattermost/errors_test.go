package mattermost_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func TestAPIError(t *testing.T) {
	t.Parallel()
	const users = "/api/v4/users"
	type is struct{ transient, refused, notFound, conflict bool }
	holds := func(what string) func(error) bool { return func(err error) bool { return taken(err) == what } }
	invalid := func(err error) bool { _, ok := mattermost.IsInvalidValue(err); return ok }
	for name, c := range map[string]struct {
		status int
		id     string
		want   is
		kind   func(error) bool
	}{
		"unknown account":                  {404, "app.user.missing_account.const", is{notFound: true}, mattermost.IsNotFound},
		"unknown name":                     {404, "app.user.get_by_username.app_error", is{notFound: true}, mattermost.IsNotFound},
		"the not-found id with 500":        {500, "app.user.missing_account.const", is{transient: true}, nil},
		"the not-found id with 400":        {400, "app.user.missing_account.const", is{refused: true}, nil},
		"username taken":                   {400, "app.user.save.username_exists.app_error", is{conflict: true}, holds("username")},
		"e-mail taken":                     {400, "app.user.save.email_exists.app_error", is{conflict: true}, holds("email")},
		"auth data taken on creation":      {500, "app.user.save.app_error", is{conflict: true}, holds("auth_data")},
		"auth data taken on a change":      {400, "app.user.update_auth_data.email_exists.app_error", is{conflict: true}, holds("auth_data")},
		"seats, creation":                  {400, "api.user.create_user.user_limits.exceeded", is{refused: true}, mattermost.IsSeatLimit},
		"seats, reactivation":              {400, "app.user.update_active.user_limit.exceeded", is{refused: true}, mattermost.IsSeatLimit},
		"seats of a licence":               {400, "api.user.create_user.license_user_limits.exceeded", is{refused: true}, mattermost.IsSeatLimit},
		"the last administrator":           {400, "app.user.update.lastAdmin.app_error", is{refused: true}, mattermost.IsLastAdmin},
		"ldap account":                     {403, "api.user.update_active.cannot_modify_status_when_user_is_managed_by_ldap.app_error", is{refused: true}, mattermost.IsLDAPManaged},
		"username of a single-sign-on one": {409, "api.user.patch_user.login_provider_attribute_set.app_error", is{refused: true}, mattermost.IsAttributeLocked},
		"e-mail of an ldap account":        {400, "app.user.update.find.app_error", is{refused: true}, mattermost.IsAttributeLocked},
		"permissions":                      {403, "api.context.permissions.app_error", is{refused: true}, mattermost.IsForbidden},
		"token":                            {401, "api.context.session_expired.app_error", is{refused: true}, mattermost.IsUnauthorized},
		"guests are off":                   {401, "api.user.update_active.cannot_enable_guest_when_guest_feature_is_disabled.app_error", is{refused: true}, func(err error) bool { return !mattermost.IsUnauthorized(err) }},
		"a bad nickname":                   {400, "model.user.is_valid.nickname.app_error", is{refused: true}, invalid},
		"an e-mail domain":                 {400, "api.user.create_user.accepted_domain.app_error", is{refused: true}, invalid},
		"a guest's e-mail domain":          {400, "api.user.update_user.accepted_guest_domain.app_error", is{refused: true}, invalid},
		"too large":                        {413, "api.context.request_body_too_large.app_error", is{refused: true}, nil},
		"rate":                             {429, "", is{transient: true}, nil},
		"no licence":                       {501, "api.license_error", is{refused: true}, nil},
		"busy":                             {503, "api.context.server_busy.app_error", is{transient: true}, nil},
		"a proxy's gateway error":          {504, "", is{transient: true}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := fmt.Errorf("wrapped: %w", &mattermost.APIError{Status: c.status, ID: c.id, Method: "POST", Path: users})
			var e *mattermost.APIError
			require.ErrorAs(t, err, &e)
			require.Equal(t, c.want, is{mattermost.IsTransient(err), mattermost.IsRefused(err), mattermost.IsNotFound(err), e.Conflict()})
			if c.kind != nil {
				require.True(t, c.kind(err))
			}
		})
	}
	t.Run("the same failure to store on another route is no conflict", func(t *testing.T) {
		t.Parallel()
		err := &mattermost.APIError{Status: 500, ID: "app.user.save.app_error", Path: users + "/" + someID + "/patch"}
		require.Empty(t, err.Taken())
		require.True(t, mattermost.IsTransient(err))
	})
	t.Run("the field of a bad value is named", func(t *testing.T) {
		t.Parallel()
		field, ok := mattermost.IsInvalidValue(&mattermost.APIError{Status: 400, ID: "model.user.is_valid.first_name.app_error"})
		require.True(t, ok)
		require.Equal(t, "first_name", field)
	})
	t.Run("the server's sentence is kept out of the error", func(t *testing.T) {
		t.Parallel()
		err := &mattermost.APIError{Status: 400, ID: "x.y", Message: "ada@example.test exists", RequestID: "r1", Method: "POST", Path: users}
		require.EqualError(t, err, "POST /api/v4/users: 400 x.y (request r1)")
	})
}

func TestAPIError_Reason(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]plan.Reason{
		"400 app.user.save.username_exists.app_error":                                            plan.UsernameTaken,
		"400 app.user.save.email_exists.app_error":                                               plan.EmailTaken,
		"400 app.user.update_auth_data.email_exists.app_error":                                   plan.AuthDataTaken,
		"400 app.user.update_active.user_limit.exceeded":                                         plan.NoSeats,
		"400 app.user.update.lastAdmin.app_error":                                                plan.LastAdmin,
		"403 api.user.update_active.cannot_modify_status_when_user_is_managed_by_ldap.app_error": plan.LockedByLDAP,
		"409 api.user.patch_user.login_provider_attribute_set.app_error":                         plan.LockedByLogin,
		"400 model.user.is_valid.username.app_error":                                             plan.EntryFault,
		"400 api.user.create_user.accepted_domain.app_error":                                     plan.ServerDomain,
		"400 api.user.update_user.accepted_guest_domain.app_error":                               plan.ServerDomain,
		"403 api.context.permissions.app_error":                                                  "",
		"500 app.user.save.username_exists.app_error (an id with another status proves nothing)": "",
	} {
		var e mattermost.APIError
		_, err := fmt.Sscanf(id, "%d %s", &e.Status, &e.ID)
		require.NoError(t, err)
		require.Equal(t, want, e.Reason(), id)
	}
}

func TestAPIError_Refusal(t *testing.T) {
	t.Parallel()
	for id, known := range map[string]bool{
		"400 app.user.save.username_exists.app_error": true, "400 model.user.is_valid.username.app_error": true,
		"409 api.user.patch_user.login_provider_attribute_set.app_error": true, "400 app.user.update.lastAdmin.app_error": true,
		"403 api.user.update_active.cannot_modify_status_when_user_is_managed_by_ldap.app_error": true,
		"400 app.new.rule.app_error": false, "404 app.user.missing_account.const": false,
	} {
		var e mattermost.APIError
		_, err := fmt.Sscanf(id, "%d %s", &e.Status, &e.ID)
		require.NoError(t, err)
		got, is := e.Refusal()
		require.Equal(t, e.ID, got, id)
		require.Equal(t, known, is, id)
	}
	for _, id := range []string{ // not about one person
		"401 api.context.session_expired.app_error", "403 api.context.permissions.app_error", "429 x", "500 app.user.save.app_error",
		"400 app.user.update_active.user_limit.exceeded", "400 api.user.update_user_roles.license.app_error", "501 api.license_error",
		"401 api.user.update_active.cannot_enable_guest_when_guest_feature_is_disabled.app_error",
	} {
		var e mattermost.APIError
		_, err := fmt.Sscanf(id, "%d %s", &e.Status, &e.ID)
		require.NoError(t, err)
		got, _ := e.Refusal()
		require.Empty(t, got, id)
	}
}

func TestErrors_otherPackagesFindThemByMethod(t *testing.T) {
	t.Parallel()
	mismatch := fmt.Errorf("op 3: %w", &mattermost.MismatchError{AccountID: someID, Field: "email", Want: "a@b", Got: "c@d"})
	var m interface{ Mismatch() string }
	require.ErrorAs(t, mismatch, &m)
	require.Equal(t, "email", m.Mismatch())
	require.NotContains(t, mismatch.Error(), "a@b")
	require.NotContains(t, mismatch.Error(), "c@d")

	lost := &mattermost.CallError{Method: "PUT", Path: "/x", Err: errors.New("cut"), Sent: true}
	step := fmt.Errorf("op 4: %w", &mattermost.StepError{AccountID: someID, Step: "mail the reset link", Err: lost})
	var d interface{ OpDone() bool }
	require.ErrorAs(t, step, &d)
	require.False(t, mattermost.IsTransient(step), "the cause is about the courtesy, not about the op")

	unread := fmt.Errorf("op 5: %w", &mattermost.UnverifiedError{AccountID: someID, Err: lost})
	require.ErrorIs(t, unread, mattermost.ErrOutcomeUnknown)
}
