package slapdtest

import (
	"errors"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// The fake answers the searches that mmsync makes as the real server does.
func TestFake_answersLikeSlapd(t *testing.T) {
	t.Parallel()
	srv, fake := Start(t, Options{Users: 30}), NewFake(t, FakePeople(30), Faults{})
	people := Roster(30)
	for _, filter := range []string{
		"(objectClass=inetOrgPerson)", "(uid=" + people[3].UID + ")", "(&(objectClass=inetOrgPerson)(!(title=Engineer)))",
		"(|(uid=" + people[1].UID + ")(mail=" + people[2].Mail + ")(uid=nobody))", "(nosuchattribute=x)", "(mail=*)",
	} {
		require.Equal(t, dns(t, srv.URL, BaseDN, filter), dns(t, fake.URL, BaseDN, filter), filter)
	}
	for _, base := range []string{"ou=nowhere," + BaseDN, "uid=nobody," + PeopleDN} {
		for _, url := range []string{srv.URL, fake.URL} {
			_, err := search(t, url, base, ldap.ScopeBaseObject, "(objectClass=*)")
			require.True(t, ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject), "%s: %v", url, err)
		}
	}
}

func TestFake_faults(t *testing.T) {
	t.Parallel()
	fake := NewFake(t, FakePeople(30), Faults{StopAfter: 4, StopCode: 4})
	res, err := search(t, fake.URL, BaseDN, ldap.ScopeWholeSubtree, "(uid=*)")
	require.True(t, ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded), "%v", err)
	require.Len(t, res.Entries, 4)
	fake.Set(Faults{CutOnPage: 1})
	_, err = search(t, fake.URL, BaseDN, ldap.ScopeWholeSubtree, "(uid=*)")
	var refused *ldap.Error
	require.Error(t, err)
	require.False(t, errors.As(err, &refused) && refused.ResultCode < 200, "a cut line is no answer: %v", err)
	require.Contains(t, fake.Calls(), "search sub "+BaseDN)
}

func search(t *testing.T, url, base string, scope int, filter string) (*ldap.SearchResult, error) {
	t.Helper()
	c, err := ldap.DialURL(url)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Bind(ReaderDN, ReaderPassword))
	return c.Search(ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 0, 0, false, filter, []string{"uid", "mail"}, nil))
}

func dns(t *testing.T, url, base, filter string) map[string][]string {
	t.Helper()
	c, err := ldap.DialURL(url)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Bind(ReaderDN, ReaderPassword))
	res, err := c.SearchWithPaging(ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, filter, []string{"uid", "mail"}, nil), 7)
	require.NoError(t, err)
	out := map[string][]string{}
	for _, e := range res.Entries {
		out[e.DN] = append(e.GetAttributeValues("uid"), e.GetAttributeValues("mail")...)
	}
	return out
}
