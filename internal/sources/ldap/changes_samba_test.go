package ldap_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/ldaptest"
	"github.com/mmsync/mmsync/internal/sambatest"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

// What the played domain controller does is held here to a real one of Samba's, asked by
// an ordinary user and by one who may see what was deleted.
func TestSource_Changes_samba(t *testing.T) {
	t.Parallel()
	const users = 12
	k := ldaptest.ActiveDirectory
	people := slapdtest.Roster(users)
	srv := sambatest.Start(t, sambatest.Options{People: users})
	srv.Add(ldaptest.Entry{DN: "OU=Away," + k.BaseDN(), Attributes: map[string][]string{"objectClass": {"organizationalUnit"}}},
		ldaptest.Entry{DN: "OU=inner," + k.PeopleDN(), Attributes: map[string][]string{"objectClass": {"organizationalUnit"}}})
	srv.Rename(k.PersonDN(9), "CN="+people[9].UID+",OU=inner,"+k.PeopleDN())

	source := func(way, user, password string) *ldap.Source {
		return newSource(t, srv.TLSURL, func(o *ldap.Options) {
			r := rules()
			r.ID, r.Username, r.DisabledWhen = x("attr.objectGUID.guid()"), x("lower(attr.sAMAccountName)"), x("bit(attr.userAccountControl, 2)")
			r.Roles = []sources.RoleRule{{Role: "system_admin", Groups: []string{k.GroupDN("chat-admins")}}}
			m, err := sources.Compile("corp", r, sources.CompileOptions{})
			require.NoError(t, err)
			o.Mapper, o.Delta, o.BaseDN, o.CAFile = m, way, k.PeopleDN(), srv.CAFile
			o.BindDN, o.BindPassword = user, func() (string, error) { return password, nil }
			o.UserFilter, o.Groups = "(&(objectCategory=person)(objectClass=user)(!(title=external)))", ldap.GroupOptions{Mode: ldap.GroupsMemberOf}
		})
	}
	type asker struct {
		name  string
		admin bool
		s     *ldap.Source
		mark  string
	}
	var all []*asker
	for _, way := range []string{ldap.DeltaUSN, ldap.DeltaDirSync} {
		all = append(all, &asker{name: way + " by a user", s: source(way, sambatest.Reader, sambatest.Password)},
			&asker{name: way + " by an administrator", admin: true, s: source(way, sambatest.Admin, sambatest.AdminPassword)})
	}
	for _, a := range all {
		a.mark = markOf(t, a.s)
	}
	hear := func(want, gone, deleted []string) {
		t.Helper()
		for _, a := range all {
			d := changes(t, a.s, a.mark)
			require.Empty(t, d.Full, a.name)
			a.mark = d.Mark
			require.Equal(t, slices.Sorted(slices.Values(want)), told(d), a.name)
			hints := slices.Clone(gone)
			if a.admin {
				hints = append(hints, deleted...)
			}
			require.ElementsMatch(t, hints, d.Gone, a.name)
		}
	}
	hear(nil, nil, nil)

	anchor := func(i int) string { return srv.AnchorOf(k.PersonDN(i)) }
	srv.Modify(k.PersonDN(0), "title", "Chief")
	srv.Modify(k.PersonDN(1), "userAccountControl", "514")
	srv.Rename(k.PersonDN(2), "CN=other,"+k.PeopleDN())
	srv.Modify(k.PersonDN(3), "title", "external")
	moved, external, deleted := anchor(4), anchor(3), anchor(5)
	srv.Rename(k.PersonDN(4), "CN=moved,OU=Away,"+k.BaseDN())
	srv.Delete(k.PersonDN(5))
	hear([]string{people[0].UID, people[1].UID, people[2].UID}, []string{external, moved}, []string{deleted})

	srv.Restore(k.PersonDN(5))
	srv.Modify(k.PersonDN(5), "givenName", "Back")
	srv.Rename("CN=moved,OU=Away,"+k.BaseDN(), k.PersonDN(4))
	for _, a := range all {
		d := changes(t, a.s, a.mark)
		a.mark = d.Mark
		require.Empty(t, d.Gone, a.name)
		names := fmt.Sprint(d.Identities)
		require.Contains(t, names, moved, a.name)
		require.Contains(t, names, deleted, a.name)
	}

	srv.RemoveValues(k.GroupDN("chat-admins"), "member", k.PersonDN(0))
	srv.AddValues(k.GroupDN("chat-admins"), "member", k.PersonDN(6))
	for _, a := range all {
		d := changes(t, a.s, a.mark)
		a.mark = d.Mark
		require.Empty(t, d.Full, a.name)
		require.Subset(t, told(d), []string{people[0].UID, people[6].UID}, a.name)
		require.Empty(t, d.Gone, a.name)
	}

	inner := srv.AnchorOf("CN=" + people[9].UID + ",OU=inner," + k.PeopleDN())
	srv.Rename("OU=inner,"+k.PeopleDN(), "OU=inner,OU=Away,"+k.BaseDN())
	hear(nil, []string{inner}, nil)
	srv.Rename("OU=inner,OU=Away,"+k.BaseDN(), "OU=back,"+k.PeopleDN())
	hear([]string{people[9].UID}, nil, nil)
}
