package slapdtest

import (
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

func count(t *testing.T, url, filter string) (int, error) {
	t.Helper()
	c, err := ldap.DialURL(url)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Bind(ReaderDN, ReaderPassword))
	res, err := c.Search(ldap.NewSearchRequest(BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, filter, []string{"uid", "memberOf"}, nil))
	if res == nil {
		return 0, err
	}
	return len(res.Entries), err
}

func TestStart(t *testing.T) {
	t.Parallel()
	s := Start(t, Options{Users: 30})
	people := Roster(30)
	n, err := count(t, s.URL, "(objectClass=inetOrgPerson)")
	require.NoError(t, err)
	require.Equal(t, 30, n)
	n, err = count(t, s.URL, "(memberOf="+GroupDN("chat-admins")+")")
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.Equal(t, people[3].EntryUUID, s.EntryUUID(people[3].DN))

	s.Delete(people[0].DN)
	s.Modify(people[1].DN, "employeeType", "disabled")
	s.ModifyDN(people[2].DN, "uid=renamed", "")
	s.AddPerson(Person{UID: "new", DN: "uid=new," + PeopleDN, First: "N", Last: "N", Mail: "n@example.test"})
	url := s.URL
	s.Restart(Options{SizeLimit: 5})
	require.Equal(t, url, s.URL)
	n, err = count(t, s.URL, "(employeeType=disabled)")
	require.NoError(t, err)
	require.Equal(t, 2, n)
	n, err = count(t, s.URL, "(objectClass=inetOrgPerson)")
	require.True(t, ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded), "%v", err)
	require.Equal(t, 5, n)
}

func TestProxy_CutAfter(t *testing.T) {
	t.Parallel()
	s := Start(t, Options{Users: 30})
	p := NewProxy(t, s.URL)
	_, err := count(t, p.URL, "(uid=*)")
	require.NoError(t, err)
	p.CutAfter(2000)
	_, err = count(t, p.URL, "(uid=*)")
	require.Error(t, err)
	require.Equal(t, 2, p.Connections())
}

func TestRoster(t *testing.T) {
	t.Parallel()
	people := Roster(5000)
	seen := map[string]bool{}
	for _, p := range people {
		require.False(t, seen[p.UID], p.UID)
		seen[p.UID] = true
		require.Equal(t, -1, strings.IndexFunc(p.UID, func(r rune) bool { return r > 126 }), p.UID)
	}
	require.Equal(t, people[:10], Roster(10), "the same people whatever the number")
}

func TestStart_dynamicGroups(t *testing.T) {
	t.Parallel()
	const group = "cn=buyers," + GroupsDN
	ldif := "dn: " + group + "\nobjectClass: groupOfURLs\ncn: buyers\nmemberURL: ldap:///" + PeopleDN + "??sub?(title=Buyer)\n"
	s := Start(t, Options{Users: 14, LDIF: ldif})
	members := func() int {
		c, err := ldap.DialURL(s.URL)
		require.NoError(t, err)
		defer c.Close()
		require.NoError(t, c.Bind(ReaderDN, ReaderPassword))
		res, err := c.Search(ldap.NewSearchRequest(group, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(memberURL=*)", []string{"member"}, nil))
		require.NoError(t, err)
		require.Len(t, res.Entries, 1)
		return len(res.Entries[0].GetAttributeValues("member"))
	}
	require.Equal(t, 0, members())
	s.Restart(Options{DynamicGroups: true})
	require.Equal(t, 2, members())
}
