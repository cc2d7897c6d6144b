package mattermost_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

func TestTarget_Facts(t *testing.T) {
	t.Parallel()
	t.Run("11.6 shows auth data and locks ldap accounts", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{SeatLimit: 10})
		f, err := target.Facts(t.Context())
		require.NoError(t, err)
		require.Equal(t, "11.6.0", f.Version)
		require.Equal(t, s.ServerID(), f.ServerID)
		require.Equal(t, s.URL(), f.SiteURL)
		require.True(t, f.AuthDataVisible)
		require.True(t, f.LDAPLocked)
		require.False(t, f.EmailVerification)
		require.Equal(t, 9, f.SeatsLeft)
		require.Equal(t, []string{s.AdminID()}, f.HumanAdmins)
		require.Equal(t, map[string]string{s.AdminID(): "it is the account of mmsync's own token"}, f.Protected)
	})
	t.Run("5.38 does neither and has no limit", func(t *testing.T) {
		t.Parallel()
		_, target := simulated(t, mmsim.Options{Profile: mmsim.Profile538})
		f, err := target.Facts(t.Context())
		require.NoError(t, err)
		require.Equal(t, "5.37.0", f.Version)
		require.NotEmpty(t, f.ServerID)
		require.False(t, f.AuthDataVisible)
		require.False(t, f.LDAPLocked)
		require.Negative(t, f.SeatsLeft)
	})
	t.Run("the domains of e-mails, in every form that the server takes, and none where nobody may read them", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{Settings: map[string]string{
			"MM_TEAMSETTINGS_RESTRICTCREATIONTODOMAINS": "@Example.com,  example.org", "MM_GUESTACCOUNTSSETTINGS_RESTRICTCREATIONTODOMAINS": "partner.example",
		}})
		f, err := target.Facts(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"example.com", "example.org"}, f.Domains)
		require.Equal(t, []string{"partner.example"}, f.GuestDomains)
		s.Fail(mmsim.Fault{Path: "/config", Status: 403, ErrorID: "api.context.permissions.app_error"})
		f, err = target.Facts(t.Context())
		require.NoError(t, err)
		require.Empty(t, f.Domains)
	})
	t.Run("required e-mail verification is seen, also where config/client does not tell it", func(t *testing.T) {
		t.Parallel()
		for _, profile := range profiles() {
			s, target := simulated(t, mmsim.Options{Profile: profile, Settings: verification()})
			f, err := target.Facts(t.Context())
			require.NoError(t, err)
			require.True(t, f.EmailVerification)
			s.Restart(map[string]string{"MM_EMAILSETTINGS_REQUIREEMAILVERIFICATION": "false"})
			f, err = target.Facts(t.Context())
			require.NoError(t, err)
			require.False(t, f.EmailVerification)
		}
	})
	t.Run("where nothing tells it, it is assumed", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{Profile: mmsim.Profile538})
		cancel := s.Fail(mmsim.Fault{Path: "/config", Status: 403, ErrorID: "api.context.permissions.app_error"})
		f, err := target.Facts(t.Context())
		require.NoError(t, err)
		require.True(t, f.EmailVerification)
		cancel()
		s.Fail(mmsim.Fault{Path: "/config", Status: 500})
		_, err = target.Facts(t.Context())
		require.True(t, mattermost.IsTransient(err), "%v", err)
	})
	t.Run("a bot's owner is protected, and only active people count as administrators", func(t *testing.T) {
		t.Parallel()
		s := mmsim.New(mmsim.Options{})
		owner := s.AddUser(mmsim.User{Username: "owner", Email: "owner@example.test"})
		bot := s.AddUser(mmsim.User{Username: "mmsync", IsBot: true, OwnerID: owner.ID, Roles: "system_admin system_user"})
		s.AddUser(mmsim.User{Username: "gone", Email: "gone@example.test", Roles: "system_admin system_user", DeleteAt: 1})
		s.AddUser(mmsim.User{Username: "far", Email: "far@example.test", Roles: "system_admin system_user", RemoteID: "r"})
		target := mattermost.NewTarget(client(t, s.Start(t), s.AddToken(bot.ID)), mattermost.TargetOptions{})
		f, err := target.Facts(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{s.AdminID()}, f.HumanAdmins)
		require.Contains(t, f.Protected[bot.ID], "own token")
		require.Contains(t, f.Protected[owner.ID], "it owns mmsync's own bot")
		require.Len(t, f.Protected, 2)

		s.SetUser(s.AdminID(), func(u *mmsim.User) { u.DeleteAt = 1 })
		f, err = target.Facts(t.Context())
		require.NoError(t, err)
		require.Empty(t, f.HumanAdmins)
	})
	t.Run("administrators are sorted by id, over several pages", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		for i := range 250 {
			name := fmt.Sprintf("adm%d", i)
			s.AddUser(mmsim.User{Username: name, Email: name + "@example.test", Roles: "system_user system_admin"})
		}
		f, err := target.Facts(t.Context())
		require.NoError(t, err)
		require.Len(t, f.HumanAdmins, 251)
		require.True(t, slices.IsSorted(f.HumanAdmins))
	})
	t.Run("a token without the role is refused by name", func(t *testing.T) {
		t.Parallel()
		s := mmsim.New(mmsim.Options{})
		plain := s.AddUser(mmsim.User{Username: "plain", Email: "plain@example.test"})
		target := mattermost.NewTarget(client(t, s.Start(t), s.AddToken(plain.ID)), mattermost.TargetOptions{})
		_, err := target.Facts(t.Context())
		var na *mattermost.NotAdminError
		require.ErrorAs(t, err, &na)
		require.True(t, mattermost.IsRefused(err))
		require.ErrorContains(t, err, `belongs to "plain"`)
		require.ErrorContains(t, err, "mmctl roles system-admin plain")
	})
	t.Run("a dead token is told from a database that is away", func(t *testing.T) {
		t.Parallel()
		s := mmsim.New(mmsim.Options{})
		target := mattermost.NewTarget(client(t, s.Start(t), "nonsense"), mattermost.TargetOptions{})
		_, err := target.Facts(t.Context())
		require.True(t, mattermost.IsUnauthorized(err))
		s.Fail(mmsim.Fault{DatabaseAway: true})
		target = mattermost.NewTarget(client(t, s.URL(), "nonsense"), mattermost.TargetOptions{})
		_, err = target.Facts(t.Context())
		require.True(t, mattermost.IsTransient(err), "%v", err)
		require.True(t, mattermost.IsTransient(target.Healthy(t.Context())))
	})
}

func verification() map[string]string {
	return map[string]string{"MM_EMAILSETTINGS_REQUIREEMAILVERIFICATION": "true"}
}
