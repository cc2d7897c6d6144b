package ldap

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/sources"
)

func openGroups(t *testing.T, url string, o GroupOptions, group string) *groups {
	t.Helper()
	x := func(s string) sources.Expr { return sources.Expr{Source: s} }
	m, err := sources.Compile("corp", sources.Rules{
		ID: x("attr.entryUUID"), Username: x("attr.uid"), Email: x("attr.mail"),
		Roles: []sources.RoleRule{{Role: "system_admin", Groups: []string{group}}},
	}, sources.CompileOptions{})
	require.NoError(t, err)
	s, err := New(Options{
		URLs: []string{url}, BindDN: slapdtest.ReaderDN, BindPassword: func() (string, error) { return slapdtest.ReaderPassword, nil },
		BaseDN: slapdtest.BaseDN, UserFilter: "(objectClass=inetOrgPerson)", Mapper: m, PageSize: 100, Timeout: 10 * time.Second, Groups: o,
	})
	require.NoError(t, err)
	sess, err := s.connect(t.Context())
	require.NoError(t, err)
	t.Cleanup(sess.close)
	_, err = s.prepare(sess, func(string) {})
	require.NoError(t, err)
	return s.readGroups(sess)
}

// What a group has is read from its side alone, in every mode the same.
func TestGroups_membersOf(t *testing.T) {
	t.Parallel()
	people := slapdtest.Roster(20)
	srv := slapdtest.Start(t, slapdtest.Options{Users: 20})
	group := func(cn string, members ...string) string {
		dn := slapdtest.GroupDN(cn)
		srv.Add(dn, map[string][]string{"objectClass": {"groupOfNames"}, "cn": {cn}, "member": members})
		return dn
	}
	inner := group("inner", people[3].DN, people[5].DN)
	outer := group("outer", people[4].DN, inner, people[5].DN)
	srv.Add(slapdtest.GroupDN("posix"), map[string][]string{"objectClass": {"posixGroup"}, "cn": {"posix"}, "gidNumber": {"7"}, "memberUid": {people[6].UID}})
	key := func(list ...int) []string {
		var out []string
		for _, i := range list {
			out = append(out, sources.DNKey(people[i].DN))
		}
		return out
	}
	for name, c := range map[string]struct {
		o     GroupOptions
		group string
		want  []string
	}{
		"member":            {GroupOptions{Mode: GroupsSearch}, outer, append(key(4, 5), sources.DNKey(inner))},
		"member, nested":    {GroupOptions{Mode: GroupsSearch, Nested: NestedWalk}, outer, append(key(3, 4, 5), sources.DNKey(inner))},
		"memberOf":          {GroupOptions{Mode: GroupsMemberOf}, outer, key(4, 5)},
		"memberOf, nested":  {GroupOptions{Mode: GroupsMemberOf, Nested: NestedWalk}, outer, key(3, 4, 5)},
		"memberUid":         {GroupOptions{Mode: GroupsSearch, MembershipAttribute: "memberUid"}, slapdtest.GroupDN("posix"), []string{people[6].UID}},
		"the one inside it": {GroupOptions{Mode: GroupsSearch, Nested: NestedWalk}, inner, key(3, 5)},
	} {
		got, err := openGroups(t, srv.URL, c.o, c.group).membersOf(c.group)
		require.NoError(t, err, name)
		require.ElementsMatch(t, c.want, got, name)
	}
	_, err := openGroups(t, srv.URL, GroupOptions{Mode: GroupsSearch}, slapdtest.GroupDN("none")).membersOf(slapdtest.GroupDN("none"))
	require.ErrorContains(t, err, "roles stay as they are")
}
