package sambatest_test

import (
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/ldaptest"
	"github.com/mmsync/mmsync/internal/sambatest"
)

func TestStart(t *testing.T) {
	t.Parallel()
	s := sambatest.Start(t, sambatest.Options{})
	other := sambatest.Start(t, sambatest.Options{})
	require.NotEqual(t, s.URL, other.URL)
	kind := ldaptest.ActiveDirectory
	s.Add(kind.Tree(2)...)
	dn := kind.PersonDN(1)
	s.SetPassword(dn, "secret")
	count := func(filter string) int {
		t.Helper()
		res, err := s.Dial(sambatest.Reader, sambatest.Password).Search(ldap.NewSearchRequest(kind.PeopleDN(), ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, filter, []string{"mail"}, nil))
		require.NoError(t, err)
		return len(res.Entries)
	}
	require.Equal(t, 2, count("(&(objectCategory=person)(mail=*))"))
	require.Equal(t, 2, count("(memberOf="+kind.GroupDN("everyone")+")"))
	guid := s.AnchorOf(dn)
	s.RemoveValues(kind.GroupDN("everyone"), "member", dn)
	require.Equal(t, 1, count("(memberOf="+kind.GroupDN("everyone")+")"))
	s.AddValues(kind.GroupDN("everyone"), "member", dn)
	s.Modify(dn, "title", "New")
	require.Equal(t, []string{"New"}, s.Values(dn, "title"))
	moved := "CN=Moved,CN=Users," + kind.BaseDN()
	s.Rename(dn, moved)
	require.Equal(t, guid, s.AnchorOf(moved))
	s.Lock(moved)
	require.Equal(t, []string{"16"}, s.Values(moved, "msDS-User-Account-Control-Computed"))
	s.Delete(moved)
	require.Equal(t, 0, count("(title=New)"))
	s.Restore(moved)
	require.Equal(t, guid, s.AnchorOf(moved))

	c, err := ldap.DialURL(s.URL)
	require.NoError(t, err)
	defer c.Close()
	require.True(t, ldap.IsErrorWithCode(c.Bind(sambatest.Reader, sambatest.Password), ldap.LDAPResultStrongAuthRequired), "as a hardened Active Directory")
	require.NoError(t, c.StartTLS(s.TLS()))
	require.NoError(t, c.Bind(sambatest.Reader, sambatest.Password))
	s.Stop()
	s.Stop()
	require.Len(t, other.Values(kind.BaseDN(), "objectGUID"), 1, "the other one is another one")
}
