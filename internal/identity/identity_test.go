package identity_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
)

func TestRoles(t *testing.T) {
	t.Parallel()
	type roles = identity.Roles
	t.Run("a set is sorted and has no doubles or empty names", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, roles{"a", "b"}, identity.NewRoles("b", "", "a", "b"))
		require.Empty(t, identity.NewRoles())
	})
	t.Run("the server's order, doubles and blanks do not count", func(t *testing.T) {
		t.Parallel()
		a := identity.ParseRoles(" system_admin  system_user system_user ")
		require.True(t, a.Equal(identity.ParseRoles("system_user system_admin")))
		require.Equal(t, "system_admin system_user", a.String())
	})
	t.Run("no roles are equal to no roles, however they came to be", func(t *testing.T) {
		t.Parallel()
		require.True(t, roles(nil).Equal(roles{}))
		require.True(t, identity.ParseRoles("").Equal(identity.ParseRoles("  ")))
		require.Empty(t, roles(nil).String())
	})
	t.Run("the shared value of most accounts cannot be written through", func(t *testing.T) {
		t.Parallel()
		a := identity.ParseRoles("system_user")
		_ = append(a, "zzz")
		_ = a.Union(roles{"aaa"})
		require.Equal(t, roles{"system_user"}, identity.ParseRoles("system_user"))
	})
	t.Run("union and difference leave their operands alone", func(t *testing.T) {
		t.Parallel()
		a, b := roles{"a", "c"}, roles{"b", "c"}
		require.Equal(t, roles{"a", "b", "c"}, a.Union(b))
		require.Equal(t, roles{"a"}, a.Minus(b))
		require.Empty(t, a.Minus(a))
		require.Equal(t, roles{"a", "c"}, a)
		require.Equal(t, roles{"b", "c"}, b)
	})
	t.Run("anything beyond user and guest is a privilege", func(t *testing.T) {
		t.Parallel()
		for s, want := range map[string]bool{
			"": false, "system_user": false, "system_guest": false, "system_guest system_user": false,
			"system_admin system_user": true, "system_user custom": true, "SYSTEM_USER": true,
		} {
			require.Equal(t, want, identity.ParseRoles(s).Privileged(), s)
		}
	})
}

func TestAttributes(t *testing.T) {
	t.Parallel()
	all := identity.AllAttributes()
	t.Run("a set gives back its members in the order of plans", func(t *testing.T) {
		t.Parallel()
		turned := slices.Clone(all)
		slices.Reverse(turned)
		require.Equal(t, all, identity.AttributesOf(turned...).List())
		require.Nil(t, identity.AttributesOf().List())
		require.True(t, slices.IsSortedFunc(all, identity.CompareAttribute))
	})
	t.Run("an unknown one is in no set and changes nothing", func(t *testing.T) {
		t.Parallel()
		set := identity.AttributesOf(all...)
		require.False(t, set.Has("password"))
		require.Zero(t, identity.AttributesOf("password"))
		p := identity.Profile{Username: "a"}
		require.Equal(t, p, p.With("password", "x"))
		require.Empty(t, p.Value("password"))
	})
	t.Run("with and without", func(t *testing.T) {
		t.Parallel()
		set := identity.AttributesOf(identity.Email).With(identity.Locale)
		require.True(t, set.Has(identity.Locale))
		set = set.Without(identity.AttributesOf(identity.Email, identity.Username))
		require.Equal(t, []identity.Attribute{identity.Locale}, set.List())
	})
	t.Run("each names one field of a profile", func(t *testing.T) {
		t.Parallel()
		seen := map[identity.Profile]bool{}
		for _, a := range all {
			p := identity.Profile{}.With(a, "v")
			require.Equal(t, "v", p.Value(a))
			require.False(t, seen[p], "%s shares a field", a)
			seen[p] = true
		}
	})
}

func TestKey(t *testing.T) {
	t.Parallel()
	t.Run("the written form is read back, whatever the anchor holds", func(t *testing.T) {
		t.Parallel()
		for _, k := range []identity.Key{{Source: "ad", Anchor: "1"}, {Source: "ad", Anchor: "a/b"}, {Source: "ad", Anchor: "\x00"}} {
			got, ok := identity.ParseKey(k.String())
			require.True(t, ok)
			require.Equal(t, k, got)
		}
	})
	t.Run("half a key is none", func(t *testing.T) {
		t.Parallel()
		for _, s := range []string{"", "ad", "ad/", "/1", "/"} {
			_, ok := identity.ParseKey(s)
			require.False(t, ok, s)
		}
		require.True(t, identity.Key{}.IsZero())
	})
	t.Run("order is by source, then anchor", func(t *testing.T) {
		t.Parallel()
		a, b, c := identity.Key{Source: "a", Anchor: "9"}, identity.Key{Source: "b", Anchor: "1"}, identity.Key{Source: "b", Anchor: "2"}
		list := []identity.Identity{{Key: c}, {Key: a}, {Key: b}}
		slices.SortFunc(list, identity.CompareIdentity)
		require.Equal(t, []identity.Identity{{Key: a}, {Key: b}, {Key: c}}, list)
	})
}

func TestAccount_HumanAdmin(t *testing.T) {
	t.Parallel()
	admin := identity.Account{Roles: identity.NewRoles(identity.RoleAdmin)}
	require.True(t, admin.HumanAdmin())
	for name, change := range map[string]func(*identity.Account){
		"deactivated": func(a *identity.Account) { a.DeleteAt = 1 },
		"bot":         func(a *identity.Account) { a.Bot = true },
		"remote":      func(a *identity.Account) { a.Remote = true },
		"plain":       func(a *identity.Account) { a.Roles = identity.NewRoles(identity.RoleUser) },
	} {
		a := admin
		change(&a)
		require.False(t, a.HumanAdmin(), name)
	}
}
