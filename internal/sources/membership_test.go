package sources

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
)

func TestMapper_Identity_memberships(t *testing.T) {
	t.Parallel()
	rules := func() Rules {
		r := basicRules()
		r.Memberships = []MembershipRule{
			{Team: "eng", Groups: []string{"cn=eng,dc=b"}},
			{Team: "eng", Admin: true, Groups: []string{"cn=lead,dc=b"}},
			{Team: "eng", Channels: []string{"dev", "ops"}, Groups: []string{"CN=Dev, DC=b"}},
			{Team: "ops", Channels: []string{"night"}, Admin: true, Groups: []string{"cn=dev,dc=b"}, When: text(`attr.title == "Head"`)},
		}
		return r
	}
	identityOf := func(t *testing.T, r Rules, groups ...string) identity.Identity {
		t.Helper()
		rec := person()
		rec.Groups = groups
		id, err := mustCompile(t, r).Identity(rec)
		require.NoError(t, err)
		require.Empty(t, id.Fault)
		return id
	}
	t.Run("each rule gives its team or its channels and their team, and the highest right counts", func(t *testing.T) {
		t.Parallel()
		require.Nil(t, identityOf(t, rules()).Memberships)
		require.Equal(t, identity.Memberships{{Space: "eng"}}, identityOf(t, rules(), "cn=eng,dc=b").Memberships)
		require.Equal(t, identity.Memberships{{Space: "eng", Admin: true}}, identityOf(t, rules(), "cn=eng,dc=b", "cn=lead,dc=b").Memberships)
		require.Equal(t, identity.Memberships{{Space: "eng"}, {Space: "eng/dev"}, {Space: "eng/ops"}}, identityOf(t, rules(), "cn=dev,dc=b").Memberships)
	})
	t.Run("with groups and when both must hold", func(t *testing.T) {
		t.Parallel()
		r := rules()
		r.Memberships[3].When = text(`attr.title == "Engineer"`)
		in := identityOf(t, r, "cn=dev,dc=b").Memberships
		require.Contains(t, in, identity.Membership{Space: "ops/night", Admin: true})
		require.Contains(t, in, identity.Membership{Space: "ops"})
		require.Nil(t, identityOf(t, r, "cn=eng2,dc=b").Memberships)
	})
	t.Run("the hash tells places apart, and is as ever without", func(t *testing.T) {
		t.Parallel()
		plain := identityOf(t, basicRules(), "cn=dev,dc=b")
		require.Equal(t, plain.Hash, identityOf(t, rules()).Hash)
		require.NotEqual(t, plain.Hash, identityOf(t, rules(), "cn=eng,dc=b").Hash)
		require.NotEqual(t, identityOf(t, rules(), "cn=lead,dc=b").Hash, identityOf(t, rules(), "cn=eng,dc=b").Hash)
	})
	t.Run("groups that could not be read are no absence of groups", func(t *testing.T) {
		t.Parallel()
		rec := person()
		rec.GroupsFault = "the groups could not be read: size limit"
		id, err := mustCompile(t, rules()).Identity(rec)
		require.NoError(t, err)
		require.Equal(t, rec.GroupsFault, id.RolesUnknown)
		require.Empty(t, id.Fault)
		require.Nil(t, id.Memberships)
	})
	t.Run("the groups of rules are read", func(t *testing.T) {
		t.Parallel()
		names, _ := mustCompile(t, rules()).GroupNames()
		require.Equal(t, []string{"CN=Dev, DC=b", "cn=dev,dc=b", "cn=eng,dc=b", "cn=lead,dc=b"}, names)
	})
	t.Run("nobody can write himself into a team", func(t *testing.T) {
		t.Parallel()
		r := rules()
		r.SelfEditable = []Expr{text("title"), text("memberOf")}
		_, err := Compile("corp", r, CompileOptions{})
		require.ErrorContains(t, err, "a place in channels of team ops comes from title, which people may change on themselves")
		require.ErrorContains(t, err, "a place in team eng comes from groups, and people may change memberOf on themselves")
		for _, broken := range []MembershipRule{{Team: "eng"}, {Groups: []string{"cn=a"}}, {Team: "eng", Groups: []string{" "}}} {
			r := basicRules()
			r.Memberships = []MembershipRule{broken}
			_, err := Compile("corp", r, CompileOptions{})
			require.ErrorContains(t, err, "memberships.rules[0]")
		}
	})
}
