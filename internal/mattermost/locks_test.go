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

// mapping gives the settings of a server that maps fields of its LDAP and SAML accounts,
// named as the keys of those are.
func mapping(ldap, saml string) map[string]string {
	out := map[string]string{}
	for section, keys := range map[string]string{"LDAP": ldap, "SAML": saml} {
		for key := range strings.FieldsSeq(keys) {
			out["MM_"+section+"SETTINGS_"+strings.ToUpper(key)+"ATTRIBUTE"] = key
		}
	}
	return out
}

func enterprise(settings map[string]string) mmsim.Options {
	return mmsim.Options{Enterprise: true, Logins: []string{"EnableSaml"}, Settings: settings}
}

func TestTarget_Facts_locks(t *testing.T) {
	t.Parallel()
	settings := mapping("FirstName Position Picture", "LastName Nickname Email")
	names := func(list ...identity.Attribute) identity.Attributes { return identity.AttributesOf(list...) }
	locks := func(t *testing.T, target *mattermost.Target) plan.Locks {
		t.Helper()
		f, err := target.Facts(t.Context())
		require.NoError(t, err)
		return f.Locks
	}
	t.Run("what the settings map is locked, for either service", func(t *testing.T) {
		t.Parallel()
		_, target := simulated(t, enterprise(settings))
		require.Equal(t, plan.Locks{
			"ldap": names(identity.FirstName, identity.Position),
			"saml": names(identity.LastName, identity.Nickname, identity.Email),
		}, locks(t, target))
	})
	t.Run("saml accounts are treated as ldap's where the server does so", func(t *testing.T) {
		t.Parallel()
		o := enterprise(mapping("FirstName Picture", "LastName"))
		o.Settings["MM_SAMLSETTINGS_ENABLESYNCWITHLDAP"] = "true"
		_, target := simulated(t, o)
		f, err := target.Facts(t.Context())
		require.NoError(t, err)
		require.Equal(t, plan.Locks{"ldap": names(identity.FirstName), "saml": names(identity.FirstName)}, f.Locks)
		require.True(t, f.PictureOfSAML)
	})
	t.Run("where the configuration may not be read, what every client is told counts, and the e-mail with it", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, enterprise(settings))
		s.Fail(mmsim.Fault{Method: http.MethodGet, Path: "/config", Status: http.StatusForbidden, ErrorID: "api.context.permissions.app_error"})
		require.Equal(t, plan.Locks{
			"ldap": names(identity.FirstName, identity.Position), // its login is off, so that no e-mail need be mapped
			"saml": names(identity.LastName, identity.Nickname, identity.Email),
		}, locks(t, target))
	})
	t.Run("Team Edition locks nothing by its settings", func(t *testing.T) {
		t.Parallel()
		_, target := simulated(t, mmsim.Options{Settings: settings})
		require.Empty(t, locks(t, target))
	})
}

func TestTarget_Apply_lockedFields(t *testing.T) {
	t.Parallel()
	settings := mapping("", "FirstName Email")
	ada := mmsim.User{Username: "ada", Email: "ada@old.example", FirstName: "A", Position: "P", AuthService: "saml", AuthData: "1"}
	bob := mmsim.User{Username: "bob", Email: "bob@old.example", FirstName: "A", Position: "P", AuthService: "saml", AuthData: "2"}
	all := func(name string) plan.Op {
		return op(plan.PatchProfile, change("email", name+"@old.example", name+"@new.example"), change("first_name", "A", "B"), change("position", "P", "Q"))
	}
	kept := func(t *testing.T, err error) []plan.Field {
		t.Helper()
		var locked *mattermost.LockedError
		require.ErrorAs(t, err, &locked)
		require.True(t, mattermost.IsAttributeLocked(err))
		return locked.KeptByLogin()
	}
	both := []plan.Field{"email", "first_name"}
	t.Run("what is not locked arrives, and what is is known from then on", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, enterprise(settings))
		one, other := s.AddUser(ada), s.AddUser(bob)
		a, err := target.Apply(t.Context(), one.ID, all("ada"), mattermost.ApplyOptions{})
		require.Equal(t, both, kept(t, err))
		require.Equal(t, "Q", a.Position)
		require.Len(t, s.Writes(), 4, "the patch, and each field alone")
		now, _ := s.User(one.ID)
		require.Equal(t, "ada@old.example A Q", now.Email+" "+now.FirstName+" "+now.Position)

		s.ResetCalls()
		a, err = target.Apply(t.Context(), other.ID, all("bob"), mattermost.ApplyOptions{})
		require.Equal(t, both, kept(t, err))
		require.Equal(t, "Q", a.Position)
		require.Len(t, s.Writes(), 2, "the patch, and the rest of it")

		s.Fail(mmsim.Fault{Method: http.MethodGet, Path: "/config", Status: http.StatusForbidden, ErrorID: "api.context.permissions.app_error"})
		f, err := target.Facts(t.Context())
		require.NoError(t, err)
		require.True(t, f.Locks.Locked("saml", identity.FirstName) && f.Locks.Locked("saml", identity.Email))
	})
	t.Run("a single field needs no second try", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, enterprise(settings))
		one := s.AddUser(ada)
		a, err := target.Apply(t.Context(), one.ID, op(plan.PatchProfile, change("first_name", "A", "B")), mattermost.ApplyOptions{})
		require.Equal(t, []plan.Field{"first_name"}, kept(t, err))
		require.Equal(t, "A", a.FirstName)
		require.Len(t, s.Writes(), 1)
	})
	t.Run("another refusal of a field that goes alone is the answer", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, enterprise(mapping("", "FirstName")))
		one := s.AddUser(ada)
		s.AddUser(mmsim.User{Username: "holder", Email: "ada@new.example"})
		_, err := target.Apply(t.Context(), one.ID, all("ada"), mattermost.ApplyOptions{})
		require.Equal(t, "email", taken(err))
	})
}
