package ldaptest_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/ldaptest"
	"github.com/mmsync/mmsync/internal/slapdtest"
)

func dial(t testing.TB, s *ldaptest.Server) *ldap.Conn {
	t.Helper()
	c, err := ldap.DialURL(s.URL)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.Bind(s.Kind.ReaderDN(), ldaptest.Password))
	return c
}

func request(base string, scope int, filter string, attributes ...string) *ldap.SearchRequest {
	return ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 0, 0, false, filter, attributes, nil)
}

// dns searches in pages of 100 below the naming context.
func dns(t *testing.T, c *ldap.Conn, base, filter string) []string {
	t.Helper()
	res, err := c.SearchWithPaging(request(base, ldap.ScopeWholeSubtree, filter, "1.1"), 100)
	require.NoError(t, err, filter)
	var out []string
	for _, e := range res.Entries {
		out = append(out, e.DN)
	}
	return out
}

func one(t *testing.T, c *ldap.Conn, dn string, attributes ...string) *ldap.Entry {
	t.Helper()
	res, err := c.Search(request(dn, ldap.ScopeBaseObject, "(objectClass=*)", attributes...))
	require.NoError(t, err)
	require.Len(t, res.Entries, 1)
	return res.Entries[0]
}

func code(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return ldap.LDAPResultSuccess
	}
	var refused *ldap.Error
	require.ErrorAs(t, err, &refused)
	return int(refused.ResultCode)
}

func TestServer_filters(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.ActiveDirectory, People: 30})
	c := dial(t, s)
	base, people := s.Kind.BaseDN(), slapdtest.Roster(30)
	s.Add(s.Kind.Group("outer", s.Kind.GroupDN("inner")), s.Kind.Group("inner", s.Kind.DN(people[3]), s.Kind.GroupDN("outer")))
	for filter, want := range map[string]int{
		"(&(objectCategory=person)(objectClass=user))":                                 34, // and the reader, Administrator, Guest, krbtgt
		"(objectClass=user)":                                                           35, // and the domain controller
		"(sAMAccountType=805306368)":                                                   34,
		"(sAMAccountName=" + people[3].UID + ")":                                       1,
		"(samaccountname=" + strings.ToUpper(people[3].UID) + ")":                      1,
		"(&(mail=*)(!(title=Engineer)))":                                               25,
		"(nosuchattribute=x)":                                                          0,
		"(!(nosuchattribute=x))":                                                       0,
		"(|(nosuchattribute=x)(mail=*))":                                               30,
		"(mail=*@example.test)":                                                        30,
		"(mail=anna.*)":                                                                1,
		"(mail=*nna*test)":                                                             1,
		"(mail=*nna*example.org)":                                                      0,
		"(userAccountControl:1.2.840.113556.1.4.803:=2)":                               3,
		"(userAccountControl:1.2.840.113556.1.4.803:=514)":                             3,
		"(userAccountControl:1.2.840.113556.1.4.804:=514)":                             34,
		"(uSNChanged<=0)":                                                              0,
		"(accountExpires=9223372036854775807)":                                         35,
		"(memberOf=" + s.Kind.GroupDN("inner") + ")":                                   2,
		"(memberOf=" + s.Kind.GroupDN("outer") + ")":                                   1,
		"(memberOf:1.2.840.113556.1.4.1941:=" + s.Kind.GroupDN("outer") + ")":          3,
		"(member:1.2.840.113556.1.4.1941:=" + s.Kind.DN(people[3]) + ")":               4,
		"(memberOf=CN=Domain Users,CN=Users,DC=ad,DC=test)":                            0,
		"(primaryGroupID=513)":                                                         35,
		"(objectGUID=" + escape(s.Values(s.Kind.DN(people[5]), "objectGUID")[0]) + ")": 1,
		"(userAccountControl=not a number)":                                            0,
		"(!(userAccountControl=not a number))":                                         0,
		"(mail:caseExactMatch:=" + people[0].Mail + ")":                                0,
		"(distinguishedName=" + strings.ToLower(s.Kind.DN(people[0])) + ")":            1,
		"(manager=*)":                            0,
		"(msDS-User-Account-Control-Computed=0)": 0,
		"(&(objectClass=group)(member=" + strings.ToUpper(s.Kind.DN(people[3])) + "))":      3,
		"(&(objectClass=group)(member=CN=" + people[3].UID + ", ou=staff,dc=AD , dc=test))": 3,
	} {
		require.Len(t, dns(t, c, base, filter), want, filter)
	}
	all := len(dns(t, c, base, "(objectClass=*)"))
	require.Len(t, dns(t, c, base, "(!(mail=*))"), all-30)
	for _, filter := range []string{"(uSNChanged>=0)", "(whenChanged>=20000101000000.0Z)", "(whenChanged>=20000101000000Z)", "(|(uSNChanged>=0)(nosuchattribute=x))"} {
		require.Len(t, dns(t, c, base, filter), all, filter)
	}
}

func escape(raw string) string {
	var b strings.Builder
	for i := range len(raw) {
		const hex = "0123456789abcdef"
		b.WriteString(`\` + string(hex[raw[i]>>4]) + string(hex[raw[i]&15]))
	}
	return b.String()
}

func TestServer_limits(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.ActiveDirectory, People: 1200})
	c := dial(t, s)
	q := func() *ldap.SearchRequest {
		return request(s.Kind.PeopleDN(), ldap.ScopeSingleLevel, "(objectClass=user)", "sAMAccountName")
	}
	res, err := c.Search(q())
	require.Equal(t, ldap.LDAPResultSizeLimitExceeded, code(t, err))
	require.Len(t, res.Entries, 1000, "the cap, and what was found until then")

	paging := ldap.NewControlPaging(5000)
	first := q()
	first.Controls = []ldap.Control{paging}
	res, err = c.Search(first)
	require.NoError(t, err)
	require.Len(t, res.Entries, 1000, "a larger page is cut without a word")
	res, err = c.SearchWithPaging(q(), 5000)
	require.NoError(t, err)
	require.Len(t, res.Entries, 1200)

	limited := q()
	limited.SizeLimit = 7
	res, err = c.Search(limited)
	require.Equal(t, ldap.LDAPResultSizeLimitExceeded, code(t, err))
	require.Len(t, res.Entries, 7)

	stale := q()
	paging = ldap.NewControlPaging(100)
	paging.SetCookie([]byte("of another connection"))
	stale.Controls = []ldap.Control{paging}
	_, err = c.Search(stale)
	require.Equal(t, ldap.LDAPResultUnwillingToPerform, code(t, err))

	other := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.OpenLDAP, People: 300, PageSize: 100, Total: 250})
	c = dial(t, other)
	res, err = c.SearchWithPaging(request(other.Kind.BaseDN(), ldap.ScopeWholeSubtree, "(uid=*)", "uid"), 100)
	require.Equal(t, ldap.LDAPResultSizeLimitExceeded, code(t, err))
	require.Len(t, res.Entries, 250)
	_, err = c.SearchWithPaging(request(other.Kind.BaseDN(), ldap.ScopeWholeSubtree, "(uid=*)", "uid"), 101)
	require.Equal(t, ldap.LDAPResultAdminLimitExceeded, code(t, err))
}

func TestServer_pagesAreNoSnapshot(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.OpenLDAP, People: 5})
	c := dial(t, s)
	q := request(s.Kind.PeopleDN(), ldap.ScopeSingleLevel, "(uid=*)", "title")
	paging := ldap.NewControlPaging(3)
	q.Controls = []ldap.Control{paging}
	res, err := c.Search(q)
	require.NoError(t, err)
	require.Len(t, res.Entries, 3)
	s.Delete(s.Kind.PersonDN(3))
	s.Modify(s.Kind.PersonDN(4), "title", "New")
	answered, ok := ldap.FindControl(res.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
	require.True(t, ok)
	paging.SetCookie(answered.Cookie)
	res, err = c.Search(q)
	require.NoError(t, err)
	require.Len(t, res.Entries, 1)
	require.Equal(t, []string{"New"}, res.Entries[0].GetAttributeValues("title"))
}

func TestServer_ranges(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.ActiveDirectory, People: 25, ValueRange: 10})
	c := dial(t, s)
	group := s.Kind.GroupDN("everyone")
	e := one(t, c, group, "member")
	require.Empty(t, e.GetAttributeValues("member"))
	require.Contains(t, names(e), "member", "there, and empty")
	require.Len(t, e.GetAttributeValues("member;range=0-9"), 10)
	require.Len(t, one(t, c, group, "member;range=10-*").GetAttributeValues("member;range=10-19"), 10)
	require.Len(t, one(t, c, group, "member;Range=20-*").GetAttributeValues("member;range=20-*"), 5)
	require.Len(t, one(t, c, group, "member;range=2-3").GetAttributeValues("member;range=2-3"), 2)
	_, err := c.Search(request(group, ldap.ScopeBaseObject, "(objectClass=*)", "member;range=25-*"))
	require.Equal(t, ldap.LDAPResultOperationsError, code(t, err))
	require.Len(t, one(t, c, s.Kind.GroupDN("engineering"), "MEMBER").GetAttributeValues("member"), 5)
}

func names(e *ldap.Entry) []string {
	var out []string
	for _, a := range e.Attributes {
		out = append(out, a.Name)
	}
	return out
}

func TestServer_deletedObjects(t *testing.T) {
	t.Parallel()
	for _, recycle := range []bool{false, true} {
		s := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.ActiveDirectory, People: 3, RecycleBin: recycle})
		c := dial(t, s)
		dn, guid := s.Kind.PersonDN(1), s.AnchorOf(s.Kind.PersonDN(1))
		before := one(t, c, dn, "uSNChanged").GetAttributeValue("uSNChanged")
		s.Delete(dn)
		require.NotContains(t, s.Values(s.Kind.GroupDN("everyone"), "member"), dn)
		_, err := c.Search(request("<GUID="+guid+">", ldap.ScopeBaseObject, "(objectClass=*)"))
		require.Equal(t, ldap.LDAPResultNoSuchObject, code(t, err))
		find := func() []*ldap.Entry {
			q := request(s.Kind.BaseDN(), ldap.ScopeWholeSubtree, "(&(objectClass=user)(uSNChanged>="+before+")(isDeleted=TRUE))")
			q.Controls = []ldap.Control{ldap.NewControlMicrosoftShowDeleted()}
			res, err := c.Search(q)
			require.NoError(t, err)
			return res.Entries
		}
		gone := find()
		require.Len(t, gone, 1)
		require.Contains(t, gone[0].DN, `\0ADEL:`+guid+",CN=Deleted Objects,DC=ad,DC=test")
		require.Equal(t, s.Kind.PeopleDN(), gone[0].GetAttributeValue("lastKnownParent"))
		require.Equal(t, recycle, gone[0].GetAttributeValue("mail") != "")
		s.Restore(dn)
		require.Empty(t, find())
		e := one(t, c, dn, "mail", "memberOf", "objectGUID")
		require.Equal(t, guid, s.AnchorOf(dn))
		require.Equal(t, recycle, e.GetAttributeValue("mail") != "")
		require.Empty(t, e.GetAttributeValues("memberOf"))
	}
	hidden := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.ActiveDirectory, People: 1, HideDeleted: true})
	hidden.Delete(hidden.Kind.PersonDN(0))
	q := request(hidden.Kind.BaseDN(), ldap.ScopeWholeSubtree, "(isDeleted=TRUE)")
	q.Controls = []ldap.Control{ldap.NewControlMicrosoftShowDeleted()}
	res, err := dial(t, hidden).Search(q)
	require.NoError(t, err)
	require.Empty(t, res.Entries)
}

func TestServer_accounts(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.ActiveDirectory, People: 1, Now: func() time.Time { return now }})
	c, dn := dial(t, s), s.Kind.PersonDN(0)
	s.Modify(dn, "userPassword", "secret")
	bind := func(name, password string) string {
		t.Helper()
		other, err := ldap.DialURL(s.URL)
		require.NoError(t, err)
		defer other.Close()
		if err = other.Bind(name, password); err == nil {
			who, err := other.WhoAmI(nil)
			require.NoError(t, err)
			return who.AuthzID
		}
		_, after, _ := strings.Cut(err.Error(), "data ")
		data, _, _ := strings.Cut(after, ",")
		return data
	}
	uid := slapdtest.Roster(1)[0].UID
	for _, name := range []string{dn, uid + "@ad.test", `AD\` + uid} {
		require.Equal(t, `u:AD\`+uid, bind(name, "secret"), name)
	}
	require.Equal(t, "525", bind("nobody@ad.test", "x"))
	require.Equal(t, "52e", bind(dn, "x"))
	computed := func() string {
		return one(t, c, dn, "msDS-User-Account-Control-Computed").GetAttributeValue("msDS-User-Account-Control-Computed")
	}
	require.Equal(t, "0", computed())
	s.Modify(dn, "pwdLastSet", "0")
	require.Equal(t, "8388608", computed())
	require.Equal(t, "773", bind(dn, "secret"))
	s.Modify(dn, "accountExpires", ldaptest.FileTime(now.Add(-time.Minute)))
	require.Equal(t, "701", bind(dn, "secret"))
	s.Modify(dn, "userAccountControl", "514")
	require.Equal(t, "533", bind(dn, "secret"))
	s.Modify(dn, "lockoutTime", ldaptest.FileTime(now.Add(-time.Minute)))
	require.Equal(t, "775", bind(dn, "secret"))
	require.Equal(t, "8388624", computed())
	s.Modify(dn, "lockoutTime", ldaptest.FileTime(now.Add(-time.Hour)))
	require.Equal(t, "533", bind(dn, "secret"), "the lockout is over")
	require.Equal(t, "133484036890000000", ldaptest.FileTime(time.Unix(1703930089, 0)))
}

func TestServer_groups(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.ActiveDirectory, People: 5})
	c, dn := dial(t, s), s.Kind.PersonDN(2)
	usn := func(dn string) string { return one(t, c, dn, "uSNChanged").GetAttributeValue("uSNChanged") }
	person, group := usn(dn), usn(s.Kind.GroupDN("chat-admins"))
	s.AddValues(s.Kind.GroupDN("chat-admins"), "member", dn)
	require.Equal(t, person, usn(dn), "a person is not touched by a change of a group")
	require.NotEqual(t, group, usn(s.Kind.GroupDN("chat-admins")))
	require.Contains(t, one(t, c, dn, "memberOf").GetAttributeValues("memberOf"), s.Kind.GroupDN("chat-admins"))
	s.RemoveValues(s.Kind.GroupDN("chat-admins"), "member", strings.ToUpper(dn))
	require.NotContains(t, one(t, c, dn, "memberOf").GetAttributeValues("memberOf"), s.Kind.GroupDN("chat-admins"))

	moved := "CN=Someone Else,CN=Users,DC=ad,DC=test"
	s.Rename(dn, moved)
	require.Contains(t, s.Values(s.Kind.GroupDN("everyone"), "member"), moved, "links follow")
	require.Equal(t, []string{"Someone Else"}, s.Values(moved, "name"))

	s.Add(s.Kind.Group("outer", s.Kind.GroupDN("everyone")))
	require.Len(t, one(t, c, moved, "tokenGroups").GetRawAttributeValues("tokenGroups"), 5, "primary, Users, everyone, a department, outer")
	_, err := c.Search(request(s.Kind.BaseDN(), ldap.ScopeWholeSubtree, "(objectClass=user)", "tokenGroups"))
	require.Equal(t, ldap.LDAPResultOperationsError, code(t, err))

	open := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.OpenLDAP, People: 2})
	dn = open.Kind.PersonDN(0)
	open.Rename(dn, "uid=renamed,"+open.Kind.PeopleDN())
	require.Contains(t, open.Values(open.Kind.GroupDN("everyone"), "member"), dn, "there is no integrity of references")
}

func TestServer_replicas(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.ActiveDirectory, People: 2})
	second := s.Replica()
	identity := func(s *ldaptest.Server) (name, invocation, usn string) {
		t.Helper()
		c := dial(t, s)
		root := one(t, c, "", "dsServiceName", "highestCommittedUSN")
		settings := one(t, c, root.GetAttributeValue("dsServiceName"), "invocationId")
		return root.GetAttributeValue("dsServiceName"), settings.GetAttributeValue("invocationId"), root.GetAttributeValue("highestCommittedUSN")
	}
	name1, invocation1, usn1 := identity(s)
	name2, invocation2, usn2 := identity(second)
	require.NotEqual(t, name1, name2)
	require.NotEqual(t, invocation1, invocation2)
	require.NotEqual(t, usn1, usn2)
	s.Modify(s.Kind.PersonDN(1), "title", "New")
	require.Equal(t, []string{"New"}, second.Values(s.Kind.PersonDN(1), "title"))
	require.NotEqual(t, s.Values(s.Kind.PersonDN(1), "uSNChanged"), second.Values(s.Kind.PersonDN(1), "uSNChanged"))
	c := dial(t, s)
	s.BecomeLike(second)
	_, err := c.Search(request("", ldap.ScopeBaseObject, "(objectClass=*)"))
	require.Error(t, err, "connections end")
	name, invocation, _ := identity(s)
	require.Equal(t, []string{name2, invocation2}, []string{name, invocation})
	s.RestoreBackup()
	name, invocation, _ = identity(s)
	require.Equal(t, name2, name)
	require.NotEqual(t, invocation2, invocation)
}

func TestServer_referrals(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.ActiveDirectory, People: 3})
	c := dial(t, s)
	q := request(s.Kind.BaseDN(), ldap.ScopeWholeSubtree, "(objectClass=user)", "mail")
	res, err := c.SearchWithPaging(q, 2)
	require.NoError(t, err)
	require.Len(t, res.Referrals, 3)
	q = request(s.Kind.BaseDN(), ldap.ScopeWholeSubtree, "(objectClass=user)", "mail")
	q.Controls = []ldap.Control{ldap.NewControlString("1.2.840.113556.1.4.1339", true, "")}
	res, err = c.SearchWithPaging(q, 2)
	require.NoError(t, err)
	require.Empty(t, res.Referrals)
	_, err = c.Search(request("DC=elsewhere,DC=test", ldap.ScopeBaseObject, "(objectClass=*)"))
	require.Equal(t, ldap.LDAPResultReferral, code(t, err))
	_, err = c.Search(request("OU=gone,DC=ad,DC=test", ldap.ScopeBaseObject, "(objectClass=*)"))
	require.Equal(t, ldap.LDAPResultNoSuchObject, code(t, err))
	q = request(s.Kind.BaseDN(), ldap.ScopeWholeSubtree, "(objectClass=user)", "mail")
	q.Controls = []ldap.Control{ldap.NewControlString("1.2.3.4", true, "")}
	_, err = c.Search(q)
	require.Equal(t, ldap.LDAPResultUnavailableCriticalExtension, code(t, err))
}

func TestServer_transport(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.ActiveDirectory, People: 3, RequireTLS: true})
	c, err := ldap.DialURL(s.URL)
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Search(request(s.Kind.BaseDN(), ldap.ScopeBaseObject, "(objectClass=*)"))
	require.Equal(t, ldap.LDAPResultOperationsError, code(t, err), "nobody is bound")
	require.Equal(t, ldap.LDAPResultStrongAuthRequired, code(t, c.Bind(s.Kind.ReaderDN(), ldaptest.Password)))
	pem, err := os.ReadFile(s.CAFile)
	require.NoError(t, err)
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost", MinVersion: tls.VersionTLS12}
	require.True(t, config.RootCAs.AppendCertsFromPEM(pem))
	require.NoError(t, c.StartTLS(config))
	require.NoError(t, c.Bind(s.Kind.ReaderDN(), ldaptest.Password))
	secure, err := ldap.DialURL(s.TLSURL, ldap.DialWithTLSConfig(config))
	require.NoError(t, err)
	defer secure.Close()
	require.NoError(t, secure.Bind(s.Kind.ReaderDN(), ldaptest.Password))
	require.Equal(t, []string{"search base dc=ad,dc=test", "bind " + s.Kind.ReaderDN(), "starttls", "bind " + s.Kind.ReaderDN(), "bind " + s.Kind.ReaderDN()}, s.Calls())
}

func TestServer_root(t *testing.T) {
	t.Parallel()
	for _, kind := range []ldaptest.Kind{ldaptest.Plain, ldaptest.OpenLDAP, ldaptest.DS389, ldaptest.ActiveDirectory} {
		s := ldaptest.Start(t, ldaptest.Options{Kind: kind, People: 1})
		c := dial(t, s)
		root := one(t, c, "", "*", "+")
		require.Contains(t, root.GetAttributeValues("namingContexts"), kind.BaseDN())
		require.Contains(t, root.GetAttributeValues("supportedControl"), ldap.ControlTypePaging)
		require.Equal(t, kind == ldaptest.ActiveDirectory, slices.Contains(root.GetAttributeValues("supportedCapabilities"), "1.2.840.113556.1.4.800"))
		require.Equal(t, kind == ldaptest.DS389, strings.HasPrefix(root.GetAttributeValue("vendorVersion"), "389-Directory/"))
		require.Equal(t, kind == ldaptest.OpenLDAP, root.GetAttributeValue("structuralObjectClass") == "OpenLDAProotDSE")
		types := one(t, c, root.GetAttributeValue("subschemaSubentry"), "attributeTypes").GetAttributeValues("attributeTypes")
		require.True(t, slices.ContainsFunc(types, func(v string) bool { return strings.Contains(v, "'"+kind.Anchor()+"'") }), kind)
		require.False(t, slices.ContainsFunc(types, func(v string) bool { return strings.Contains(v, "'nosuchattribute'") }))
		e := one(t, c, kind.PersonDN(0), kind.Anchor(), "mail")
		require.NotEmpty(t, e.GetRawAttributeValue(kind.Anchor()))
	}
}

// A replica that lags shows what was there, until it catches up.
func TestServer_Behind(t *testing.T) {
	t.Parallel()
	for _, k := range []ldaptest.Kind{ldaptest.ActiveDirectory, ldaptest.OpenLDAP} {
		t.Run(k.String(), func(t *testing.T) {
			t.Parallel()
			srv := ldaptest.Start(t, ldaptest.Options{Kind: k, People: 5})
			other := srv.Behind()
			titles := func(s *ldaptest.Server) (out []string) {
				res, err := dial(t, s).Search(request(k.PeopleDN(), ldap.ScopeWholeSubtree, "(title=*)", "title"))
				require.NoError(t, err)
				for _, e := range res.Entries {
					out = append(out, e.GetAttributeValue("title"))
				}
				return out
			}
			before := titles(srv)
			require.Equal(t, before, titles(other))
			srv.Delete(k.PersonDN(0))
			srv.Modify(k.PersonDN(1), "title", "Chief")
			require.Equal(t, before, titles(other))
			require.Len(t, titles(srv), len(before)-1)
			other.CatchUp()
			require.Equal(t, titles(srv), titles(other))
			other.FallBack()
			require.Equal(t, before, titles(other))
		})
	}
}
