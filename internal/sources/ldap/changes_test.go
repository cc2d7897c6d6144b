package ldap_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

func changes(t testing.TB, s *ldap.Source, mark string) identity.Delta {
	t.Helper()
	require.NotEmpty(t, mark)
	d, err := s.Changes(t.Context(), mark)
	require.NoError(t, err)
	require.Equal(t, "corp", d.Source)
	require.False(t, d.ReadAt.IsZero())
	require.Equal(t, d.Full == "", d.Mark != "")
	if d.Full != "" {
		require.Empty(t, d.Identities)
		require.Empty(t, d.Gone)
	}
	require.True(t, slices.IsSorted(d.Gone))
	require.True(t, slices.IsSortedFunc(d.Identities, identity.CompareIdentity))
	return d
}

func told(d identity.Delta) (names []string) {
	for _, id := range d.Identities {
		names = append(names, id.Profile.Username)
	}
	slices.Sort(names)
	return names
}

// gonePeople leaves out other entries that are not in scope, such as the bind account's.
func gonePeople(d identity.Delta, people []slapdtest.Person) (uids []string) {
	for _, p := range people {
		if slices.Contains(d.Gone, p.EntryUUID) {
			uids = append(uids, p.UID)
		}
	}
	return uids
}

func markOf(t testing.TB, s *ldap.Source) string {
	t.Helper()
	snap := snapshot(t, s)
	require.True(t, snap.Complete, snap.Incomplete)
	require.NotEmpty(t, snap.Mark)
	return snap.Mark
}

// longAgo is when the entries of these directories were written: what was written in the
// last minutes is read again by timestamp.
var longAgo = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// eachWay runs a test with each way of asking that slapd knows.
func eachWay(t *testing.T, o slapdtest.Options, f func(t *testing.T, srv *slapdtest.Server, way string)) {
	t.Helper()
	o.SyncProvider, o.Written = true, longAgo
	for _, way := range []string{ldap.DeltaTimestamp, ldap.DeltaSyncrepl} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			srv := slapdtest.Start(t, o)
			srv.Modify(slapdtest.ReaderDN, "description", "a first change, which gives the context its state")
			f(t, srv, way)
		})
	}
}

func inDelta(way string, change ...func(*sources.Rules)) func(*ldap.Options) {
	return func(o *ldap.Options) {
		o.Delta = way
		if len(change) > 0 {
			r := rules()
			for _, f := range change {
				f(&r)
			}
			m, err := sources.Compile("corp", r, sources.CompileOptions{})
			if err != nil {
				panic(err)
			}
			o.Mapper = m
		}
	}
}

func TestSource_Changes_people(t *testing.T) {
	t.Parallel()
	eachWay(t, slapdtest.Options{Users: 20}, func(t *testing.T, srv *slapdtest.Server, way string) {
		people := slapdtest.Roster(20)
		s := newSource(t, srv.URL, inDelta(way))
		m := markOf(t, s)

		d := changes(t, s, m)
		require.Empty(t, d.Identities)
		require.Empty(t, gonePeople(d, people))

		srv.Modify(people[3].DN, "title", "Chief")
		srv.AddPerson(slapdtest.Person{UID: "new.one", DN: "uid=new.one," + slapdtest.PeopleDN, First: "New", Last: "One", Mail: "new.one@example.test"})
		srv.ModifyDN(people[4].DN, "uid=renamed", "")
		srv.Modify(people[5].DN, "employeeType", "disabled")
		d = changes(t, s, m)
		require.Subset(t, told(d), []string{people[3].UID, people[5].UID, "new.one", "renamed"})
		require.Empty(t, gonePeople(d, people))
		require.Equal(t, snapshot(t, s).Directory, d.Directory)

		gone := srv.EntryUUID(people[6].DN)
		srv.Delete(people[6].DN)
		d = changes(t, s, d.Mark)
		if way == ldap.DeltaSyncrepl {
			require.Equal(t, []string{gone}, d.Gone)
		} else {
			require.Empty(t, gonePeople(d, people), "a deletion leaves no stamp")
		}

		d = changes(t, s, d.Mark)
		require.Empty(t, gonePeople(d, people))
		if way == ldap.DeltaSyncrepl {
			require.Empty(t, d.Identities)
		}
	})
}

func TestSource_Changes_outOfScope(t *testing.T) {
	t.Parallel()
	const away = "ou=away," + slapdtest.BaseDN
	const inner = "ou=inner," + slapdtest.PeopleDN
	ldif := "dn: " + away + "\nobjectClass: organizationalUnit\nou: away\n\ndn: " + inner + "\nobjectClass: organizationalUnit\nou: inner\n"
	eachWay(t, slapdtest.Options{Users: 20, LDIF: ldif}, func(t *testing.T, srv *slapdtest.Server, way string) {
		people := slapdtest.Roster(20)
		s := newSource(t, srv.URL, inDelta(way), func(o *ldap.Options) {
			o.BaseDN, o.UserFilter = slapdtest.PeopleDN, "(&(objectClass=inetOrgPerson)(!(employeeType=external)))"
		})
		for _, p := range people[10:13] {
			srv.ModifyDN(p.DN, "uid="+p.UID, inner)
		}
		m := markOf(t, s)

		srv.Modify(people[3].DN, "employeeType", "external")
		srv.ModifyDN(people[4].DN, "uid="+people[4].UID, away)
		d := changes(t, s, m)
		require.Equal(t, []string{people[3].UID, people[4].UID}, gonePeople(d, people))

		// Nothing changes in the entries of those whom a container takes along.
		srv.ModifyDN(inner, "ou=inner", away)
		d = changes(t, s, d.Mark)
		require.Subset(t, gonePeople(d, people), []string{people[10].UID, people[11].UID, people[12].UID})
		srv.ModifyDN("ou=inner,"+away, "ou=back", slapdtest.PeopleDN)
		d = changes(t, s, d.Mark)
		for _, p := range people[10:13] {
			require.Contains(t, told(d), p.UID)
			require.NotContains(t, d.Gone, p.EntryUUID)
		}
	})
}

func TestSource_Changes_groups(t *testing.T) {
	t.Parallel()
	group := slapdtest.GroupDN("chat-admins")
	for name, mode := range map[string]ldap.GroupOptions{"memberOf": {Mode: ldap.GroupsMemberOf}, "member": {Mode: ldap.GroupsSearch, BaseDN: slapdtest.GroupsDN}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachWay(t, slapdtest.Options{Users: 20}, func(t *testing.T, srv *slapdtest.Server, way string) {
				people := slapdtest.Roster(20)
				s := newSource(t, srv.URL, inDelta(way, admins(group)), func(o *ldap.Options) { o.Groups = mode })
				m := markOf(t, s)

				srv.Modify(group, "member", people[1].DN, people[7].DN)
				d := changes(t, s, m)
				require.Empty(t, d.Full)
				got := map[string]identity.Roles{}
				for _, id := range d.Identities {
					got[id.Profile.Username] = id.Roles
				}
				require.Contains(t, got, people[0].UID, "who left the group")
				require.Empty(t, got[people[0].UID])
				require.Equal(t, identity.NewRoles("system_admin"), got[people[7].UID], "who came into it")

				srv.Modify(group, "member", people[2].DN)
				d = changes(t, s, d.Mark)
				require.Subset(t, told(d), []string{people[1].UID, people[2].UID, people[7].UID})
			})
		})
	}
}

func TestSource_Read(t *testing.T) {
	t.Parallel()
	srv := slapdtest.Start(t, slapdtest.Options{Users: 230})
	people := slapdtest.Roster(230)
	s := newSource(t, srv.URL, inDelta("", admins(slapdtest.GroupDN("chat-admins"))), func(o *ldap.Options) { o.Groups.Mode = ldap.GroupsMemberOf })
	var anchors []string
	for _, p := range people[:220] {
		anchors = append(anchors, p.EntryUUID)
	}
	list, err := s.Read(t.Context(), append(anchors, anchors[0], "00000000-0000-4000-8000-000000000000"))
	require.NoError(t, err)
	require.Len(t, list, 220)
	all := snapshot(t, s)
	for _, id := range list {
		require.Equal(t, find(t, all, id.Ref), id)
	}
	list, err = s.Read(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, list)
}
