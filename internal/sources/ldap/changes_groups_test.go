package ldap_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/ldaptest"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

// A change of a group that is in the one that a rule names changes neither that group's
// entry nor anybody's own.
func TestSource_Changes_nestedGroups(t *testing.T) {
	t.Parallel()
	for name, groups := range map[string]ldap.GroupOptions{
		"walk by memberOf": {Mode: ldap.GroupsMemberOf, Nested: ldap.NestedWalk},
		"walk by member":   {Mode: ldap.GroupsSearch, Nested: ldap.NestedWalk},
		"in chain":         {Mode: ldap.GroupsSearch, Nested: ldap.NestedInChain},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			adWays(t, ldaptest.Options{People: 12}, func(t *testing.T, srv *ldaptest.Server, way string) {
				people, k := slapdtest.Roster(12), srv.Kind
				srv.Add(k.Group("inner", k.PersonDN(5)), k.Group("middle", k.GroupDN("inner")))
				srv.AddValues(k.GroupDN("chat-admins"), "member", k.GroupDN("middle"))
				srv.AddValues(k.GroupDN("inner"), "member", k.GroupDN("middle")) // a circle
				s := playedSource(t, srv, way, func(o *ldap.Options) {
					o.Groups = groups
					o.Groups.BaseDN = k.GroupsDN()
				})
				m := markOf(t, s)
				require.Empty(t, changes(t, s, m).Identities)

				srv.RemoveValues(k.GroupDN("inner"), "member", k.PersonDN(5))
				srv.AddValues(k.GroupDN("inner"), "member", k.PersonDN(7))
				d := changes(t, s, m)
				require.Empty(t, d.Full)
				require.ElementsMatch(t, []string{people[5].UID, people[7].UID}, told(d))
				all := snapshot(t, s)
				for _, id := range d.Identities {
					require.Equal(t, find(t, all, id.Ref), id)
				}

				srv.Modify(k.PersonDN(8), "primaryGroupID", "1")
				srv.RemoveValues(k.GroupDN("middle"), "member", k.GroupDN("inner"))
				d = changes(t, s, d.Mark)
				require.Contains(t, told(d), people[7].UID, "who lost it by two steps")
			})
		})
	}
}

//nolint:paralleltest // the parts change one directory after another
func TestSource_Changes_groupsThatAreNotListed(t *testing.T) {
	t.Parallel()
	const users = 1100
	srv := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.ActiveDirectory, People: users})
	k := srv.Kind
	for name, c := range map[string]struct {
		change func(*ldap.Options)
		want   string
	}{
		"more members than a mark names": {func(o *ldap.Options) { o.Mapper = adMapper(t, k.GroupDN("everyone"), "") }, "had more members than are kept"},
		"all groups count":               {func(o *ldap.Options) { o.Mapper = adMapper(t, k.GroupDN("chat-admins"), "string(size(groups))") }, "the mapping reads all groups of a person"},
		"the user filter names a group":  {func(o *ldap.Options) { o.UserFilter = "(memberOf=" + k.GroupDN("everyone") + ")" }, "had more members than are kept"},
	} {
		t.Run(name, func(t *testing.T) {
			s := playedSource(t, srv, ldap.DeltaUSN, c.change)
			m := markOf(t, s)
			d := changes(t, s, m)
			require.Empty(t, d.Full, "nothing changed")
			srv.RemoveValues(k.GroupDN("everyone"), "member", k.PersonDN(3))
			defer srv.AddValues(k.GroupDN("everyone"), "member", k.PersonDN(3))
			require.Contains(t, changes(t, s, d.Mark).Full, c.want)
		})
	}
	t.Run("a filter of a small group", func(t *testing.T) {
		s := playedSource(t, srv, ldap.DeltaUSN, func(o *ldap.Options) { o.UserFilter = "(memberOf=" + k.GroupDN("chat-admins") + ")" })
		m := markOf(t, s)
		left, came := srv.AnchorOf(k.PersonDN(0)), slapdtest.Roster(5)[4].UID
		srv.RemoveValues(k.GroupDN("chat-admins"), "member", k.PersonDN(0))
		srv.AddValues(k.GroupDN("chat-admins"), "member", k.PersonDN(4))
		d := changes(t, s, m)
		require.Empty(t, d.Full)
		require.Equal(t, []string{left}, d.Gone)
		require.Equal(t, []string{came}, told(d))
	})
}

func adMapper(t *testing.T, group, position string) *sources.Mapper {
	t.Helper()
	return mapper(t, func(r *sources.Rules) {
		r.ID, r.Username, r.DisabledWhen = x("attr.objectGUID.guid()"), x("lower(attr.sAMAccountName)"), x("bit(attr.userAccountControl, 2)")
		r.Roles = []sources.RoleRule{{Role: "system_admin", Groups: []string{group}}}
		if position != "" {
			r.Position = x(position)
		}
	})
}

// A delta that got lost is not told again; the next full read finds what it said.
func TestSource_Changes_dropped(t *testing.T) {
	t.Parallel()
	adWays(t, ldaptest.Options{People: 6}, func(t *testing.T, srv *ldaptest.Server, way string) {
		s := playedSource(t, srv, way)
		b := believe(t, s)
		srv.Modify(srv.Kind.PersonDN(0), "title", "Chief")
		srv.Delete(srv.Kind.PersonDN(1))
		b.mark = changes(t, s, b.mark).Mark // dropped
		d := changes(t, s, b.mark)
		require.Empty(t, d.Identities)
		require.Empty(t, d.Gone)
		require.NotEqual(t, known(snapshot(t, s).Identities), b.knows)
		b.full()
		b.hear(fmt.Sprint(way, " after a full read"), nil)
	})
}
