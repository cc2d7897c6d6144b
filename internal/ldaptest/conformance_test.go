package ldaptest_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/ldaptest"
	"github.com/mmsync/mmsync/internal/sambatest"
	"github.com/mmsync/mmsync/internal/slapdtest"
)

// question is one search that all servers have to answer alike.
type question struct {
	base, filter string
	scope        int
	attributes   []string
	controls     []ldap.Control
	page         uint32
}

func (q question) String() string {
	return fmt.Sprintf("%d %s %s %v %d %v", q.scope, q.base, q.filter, q.attributes, q.page, q.controls)
}

// ask gives the answer as text: the code, then each entry with its values in order.
func (q question) ask(c *ldap.Conn) string {
	req := ldap.NewSearchRequest(q.base, q.scope, ldap.NeverDerefAliases, 0, 0, false, q.filter, q.attributes, q.controls)
	var res *ldap.SearchResult
	var err error
	if q.page > 0 {
		res, err = c.SearchWithPaging(req, q.page)
	} else {
		res, err = c.Search(req)
	}
	var lines []string
	if res != nil {
		for _, e := range res.Entries {
			line := strings.ToLower(e.DN)
			slices.SortFunc(e.Attributes, func(a, b *ldap.EntryAttribute) int { return strings.Compare(a.Name, b.Name) })
			for _, a := range e.Attributes {
				slices.Sort(a.Values)
				line += fmt.Sprintf(" %s=%q", a.Name, a.Values)
			}
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	code := 0
	if err != nil {
		code = -1
		if refused, ok := err.(*ldap.Error); ok { //nolint:errorlint // go-ldap gives it bare
			code = int(refused.ResultCode)
		}
	}
	return fmt.Sprintf("code %d, %d entries\n%s", code, len(lines), strings.Join(lines, "\n"))
}

// tree is what a test does to a server of either kind.
type tree interface {
	Modify(dn, attribute string, values ...string)
	Delete(dn string)
}

func TestServer_answersLikeSlapd(t *testing.T) {
	t.Parallel()
	const people = 30
	genuine := slapdtest.Start(t, slapdtest.Options{Users: people, PageLimit: 20, SyncProvider: true})
	fake := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.OpenLDAP, People: people, PageSize: -1})
	kind, roster := ldaptest.OpenLDAP, slapdtest.Roster(people)
	for _, s := range []tree{genuine, fake} {
		s.Modify(kind.PersonDN(4), "description", "one", "Two  words", "3")
		s.Modify(kind.PersonDN(5), "employeeNumber", "17")
		s.Modify(kind.PersonDN(6), "title")
		s.Delete(kind.PersonDN(7))
	}
	realConn, err := ldap.DialURL(genuine.URL)
	require.NoError(t, err)
	defer realConn.Close()
	require.NoError(t, realConn.Bind(slapdtest.ReaderDN, slapdtest.ReaderPassword))
	fakeConn := dial(t, fake)

	for _, filter := range []string{
		"(objectClass=inetOrgPerson)", "(objectClass=person)", "(objectClass=top)", "(objectClass=nothing)", "(uid=*)", "(!(uid=*))", "(mail=*)",
		"(uid=" + roster[3].UID + ")", "(UID=" + strings.ToUpper(roster[3].UID) + ")", "(&(objectClass=person)(!(title=Engineer)))",
		"(&(uid=*)(title=*))", "(&(uid=*)(!(title=*)))", "(&)", "(|)", "(!(&))",
		"(nosuchattribute=x)", "(!(nosuchattribute=x))", "(|(nosuchattribute=x)(uid=" + roster[1].UID + "))", "(&(uid=*)(!(nosuchattribute=x)))",
		"(mail=anna*)", "(mail=*example.test)", "(mail=*nna*ple*)", "(mail=*)", "(mail=a*a*.*test)", "(cn=*  *)",
		"(description=two words)", "(description=TWO   WORDS)", "(description=Twowords)", "(employeeNumber>=1)", "(employeeNumber=17)",
		"(entryUUID=" + roster[2].EntryUUID + ")", "(entryUUID=00000000-0000-0000-0000-000000000000)",
		"(memberOf=" + kind.GroupDN("engineering") + ")", "(memberOf=" + strings.ToUpper(kind.GroupDN("engineering")) + ")",
		"(memberOf=cn=engineering , ou=groups,dc=example,dc=test)", "(member=" + kind.PersonDN(0) + ")", "(member=" + kind.PersonDN(7) + ")",
		"(modifyTimestamp>=20000101000000Z)", "(modifyTimestamp<=20000101000000Z)", "(&(uid=*)(modifyTimestamp>=20000101000000.0Z))",
		"(|(&(title=Buyer)(employeeType=staff))(employeeType=disabled))",
	} {
		for _, q := range []question{
			{slapdtest.BaseDN, filter, ldap.ScopeWholeSubtree, []string{"uid", "mail", "title"}, nil, 0},
			{slapdtest.PeopleDN, filter, ldap.ScopeSingleLevel, []string{"1.1"}, nil, 7},
			{slapdtest.PeopleDN, filter, ldap.ScopeWholeSubtree, []string{"UID", "memberof"}, nil, 20},
			{slapdtest.PeopleDN, "(&(uid=*)" + filter + ")", ldap.ScopeSingleLevel, []string{"entryUUID"}, nil, 0},
		} {
			require.Equal(t, q.ask(realConn), q.ask(fakeConn), q)
		}
	}
	for _, q := range []question{
		{kind.PersonDN(0), "(objectClass=*)", ldap.ScopeBaseObject, nil, nil, 0},
		{kind.PersonDN(0), "(objectClass=*)", ldap.ScopeBaseObject, []string{"*"}, nil, 0},
		{kind.PersonDN(0), "(objectClass=*)", ldap.ScopeBaseObject, []string{"nosuchattribute"}, nil, 0},
		{kind.PersonDN(0), "(objectClass=*)", ldap.ScopeBaseObject, []string{"memberof", "*", "structuralObjectClass"}, nil, 0},
		{kind.PersonDN(7), "(objectClass=*)", ldap.ScopeBaseObject, nil, nil, 0},
		{kind.PersonDN(0), "(uid=nobody)", ldap.ScopeBaseObject, nil, nil, 0},
		{kind.PersonDN(0), "(objectClass=*)", ldap.ScopeSingleLevel, nil, nil, 0},
		{strings.ToUpper(kind.PersonDN(0)), "(objectClass=*)", ldap.ScopeBaseObject, []string{"uid"}, nil, 0},
		{"ou=nowhere," + slapdtest.BaseDN, "(objectClass=*)", ldap.ScopeWholeSubtree, nil, nil, 0},
		{"dc=elsewhere,dc=test", "(objectClass=*)", ldap.ScopeWholeSubtree, nil, nil, 0},
		{kind.GroupDN("everyone"), "(objectClass=*)", ldap.ScopeBaseObject, []string{"member"}, nil, 0},
		{slapdtest.PeopleDN, "(uid=*)", ldap.ScopeWholeSubtree, []string{"1.1"}, []ldap.Control{ldap.NewControlString("1.2.3.4", true, "")}, 0},
		{slapdtest.PeopleDN, "(uid=*)", ldap.ScopeWholeSubtree, []string{"1.1"}, []ldap.Control{ldap.NewControlString("1.2.3.4", false, "")}, 0},
	} {
		require.Equal(t, q.ask(realConn), q.ask(fakeConn), q)
	}
	cookie := ldap.NewControlPaging(7)
	cookie.SetCookie([]byte("of another connection"))
	q := question{slapdtest.PeopleDN, "(uid=*)", ldap.ScopeWholeSubtree, []string{"1.1"}, []ldap.Control{cookie}, 0}
	require.Equal(t, q.ask(realConn), q.ask(fakeConn))
	for _, password := range []string{"wrong"} {
		for _, dn := range []string{slapdtest.ReaderDN, "uid=nobody," + slapdtest.PeopleDN, kind.PersonDN(0)} {
			require.Equal(t, code(t, realConn.Bind(dn, password)), code(t, fakeConn.Bind(dn, password)), dn)
		}
	}
	require.Equal(t, code(t, realConn.UnauthenticatedBind(slapdtest.ReaderDN)), code(t, fakeConn.UnauthenticatedBind(slapdtest.ReaderDN)))
	require.NoError(t, realConn.UnauthenticatedBind(""))
	require.NoError(t, fakeConn.UnauthenticatedBind(""))
	q = question{slapdtest.PeopleDN, "(uid=*)", ldap.ScopeWholeSubtree, []string{"1.1"}, nil, 0}
	require.Equal(t, q.ask(realConn), q.ask(fakeConn), "anonymous")
}

// Both are asked for changes by RFC 4533; ids are the same on both.
func TestServer_synchroniseLikeSlapd(t *testing.T) {
	t.Parallel()
	const people = 12
	genuine := slapdtest.Start(t, slapdtest.Options{Users: people, SyncProvider: true})
	fake := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.OpenLDAP, People: people})
	kind := ldaptest.OpenLDAP
	const filter = "(&(uid=*)(!(employeeType=disabled)))"
	cookies := map[string][]byte{}
	polls := func(what string, cookie string) {
		t.Helper()
		realConn, err := ldap.DialURL(genuine.URL)
		require.NoError(t, err)
		defer realConn.Close()
		require.NoError(t, realConn.Bind(slapdtest.ReaderDN, slapdtest.ReaderPassword))
		use := func(name string) []byte {
			if cookie != "" {
				return []byte(cookie)
			}
			return cookies[name]
		}
		want := poll(t, realConn, kind.PeopleDN(), filter, use("real"))
		got := poll(t, dial(t, fake), kind.PeopleDN(), filter, use("fake"))
		require.Equal(t, len(want.cookie) > 0, len(got.cookie) > 0, what)
		if len(want.cookie) > 0 && cookie == "" {
			cookies["real"], cookies["fake"] = want.cookie, got.cookie
		}
		want.cookie, got.cookie = nil, nil
		require.Equal(t, want, got, what)
	}
	both := func(f func(tree)) { f(genuine); f(fake) }
	polls("first", "")
	polls("nothing changed", "")
	both(func(s tree) { s.Modify(kind.PersonDN(1), "title", "New") })
	polls("one changed", "")
	both(func(s tree) {
		s.Modify(kind.PersonDN(2), "title", "New")
		s.Delete(kind.PersonDN(3))
		s.Modify(kind.PersonDN(4), "employeeType", "disabled")
	})
	genuine.ModifyDN(kind.PersonDN(5), "uid=renamed", "")
	fake.Rename(kind.PersonDN(5), "uid=renamed,"+kind.PeopleDN())
	polls("changed, deleted, left, renamed", "")
	polls("garbage", "garbage")
	polls("from the future", "rid=000,csn=20990101000000.000000Z#ffffff#000#000000")
	both(func(s tree) { s.Modify(kind.PersonDN(6), "title", "New"); s.Delete(kind.PersonDN(8)) })
	genuine.Restart(slapdtest.Options{Users: people, SyncProvider: true})
	fake.LoseSessionLog()
	polls("the log is lost", "")
}

func TestServer_answersLikeSamba(t *testing.T) {
	t.Parallel()
	const people = 30
	genuine := sambatest.Start(t, sambatest.Options{People: people})
	kind, roster := ldaptest.ActiveDirectory, slapdtest.Roster(people)
	fake := ldaptest.Start(t, ldaptest.Options{Kind: kind, People: people})
	realConn, fakeConn := genuine.Dial(sambatest.Reader, sambatest.Password), dial(t, fake)
	outer, inner := kind.Group("outer", kind.GroupDN("everyone")), kind.Group("inner", kind.GroupDN("outer"), kind.PersonDN(3))
	for _, s := range []interface {
		tree
		Add(...ldaptest.Entry)
		AddValues(dn, attribute string, values ...string)
		Rename(dn, newDN string)
	}{genuine, fake} {
		s.Add(outer, inner)
		s.AddValues(kind.GroupDN("outer"), "member", kind.GroupDN("inner")) // a circle
		s.Modify(kind.PersonDN(4), "accountExpires", "133000000000000000")
		s.Modify(kind.PersonDN(5), "userAccountControl", "66050")
		s.Modify(kind.PersonDN(6), "title")
		s.Rename(kind.PersonDN(8), "CN=Moved,CN=Users,"+kind.BaseDN())
		s.Delete(kind.PersonDN(7))
	}
	for _, filter := range []string{
		"(&(objectCategory=person)(objectClass=user))", "(objectCategory=group)", "(sAMAccountType=805306368)", "(objectClass=person)", "(objectClass=*)",
		"(sAMAccountName=" + roster[3].UID + ")", "(userPrincipalName=" + strings.ToUpper(roster[3].UID) + "@AD.TEST)",
		"(&(objectClass=user)(!(title=Engineer)))", "(&(objectClass=user)(!(title=*)))",
		"(nosuchattribute=x)", "(|(nosuchattribute=x)(sAMAccountName=" + roster[1].UID + "))",
		"(mail=anna*)", "(mail=*example.test)", "(mail=*nna*ple*)", "(displayName=anna  *)",
		"(userAccountControl:1.2.840.113556.1.4.803:=2)", "(userAccountControl:1.2.840.113556.1.4.804:=65538)", "(!(userAccountControl:1.2.840.113556.1.4.803:=2))",
		"(&(objectClass=user)(uSNChanged>=1))", "(&(objectClass=user)(uSNChanged<=1))", "(accountExpires=133000000000000000)", "(accountExpires<=133000000000000001)",
		"(memberOf=" + kind.GroupDN("everyone") + ")", "(memberOf=" + strings.ToLower(kind.GroupDN("finance")) + ")",
		"(memberOf:1.2.840.113556.1.4.1941:=" + kind.GroupDN("outer") + ")", "(member:1.2.840.113556.1.4.1941:=" + kind.PersonDN(3) + ")",
		"(member=" + kind.PersonDN(0) + ")", "(member=" + kind.PersonDN(7) + ")", "(memberOf=CN=Domain Users,CN=Users,DC=ad,DC=test)", "(primaryGroupID=513)",
		"(&(objectClass=user)(whenChanged>=20000101000000.0Z))", "(isDeleted=TRUE)", "(&(objectClass=user)(msDS-User-Account-Control-Computed=0))",
	} {
		for _, base := range []string{kind.PeopleDN(), kind.GroupsDN()} {
			for _, q := range []question{
				{base, filter, ldap.ScopeSingleLevel, []string{"samaccountname", "mail", "userAccountControl", "accountExpires", "objectClass", "sAMAccountType", "memberOf", "primaryGroupID"}, nil, 0},
				{base, filter, ldap.ScopeWholeSubtree, []string{"1.1"}, nil, 7},
			} {
				require.Equal(t, q.ask(realConn), q.ask(fakeConn), q)
			}
		}
	}
	guid := func(s interface{ AnchorOf(string) string }) string {
		return "<GUID=" + s.AnchorOf(kind.PersonDN(2)) + ">"
	}
	for _, q := range [][2]question{
		same(kind.PersonDN(3), ldap.ScopeBaseObject, "(objectClass=*)", "mail", "msDS-User-Account-Control-Computed", "name", "distinguishedName", "nosuchattribute"),
		same("CN=Moved,CN=Users,DC=ad,DC=test", ldap.ScopeBaseObject, "(objectClass=*)", "cn", "name", "memberOf", "instanceType", "objectCategory"),
		same(kind.PersonDN(7), ldap.ScopeBaseObject, "(objectClass=*)", "mail"),
		same(kind.PersonDN(3), ldap.ScopeBaseObject, "(objectClass=*)", "+"),
		same(kind.GroupDN("everyone"), ldap.ScopeBaseObject, "(objectClass=*)", "member", "groupType"),
		same(kind.GroupDN("everyone"), ldap.ScopeBaseObject, "(objectClass=*)", "member;range=0-*"),
		same(kind.PeopleDN(), ldap.ScopeWholeSubtree, "(objectClass=user)", "tokenGroups"),
		same("OU=nowhere,DC=ad,DC=test", ldap.ScopeWholeSubtree, "(objectClass=user)", "mail"),
		same("CN=Deleted Objects,DC=ad,DC=test", ldap.ScopeSingleLevel, "(objectClass=*)", "cn"),
		{{base: guid(genuine), filter: "(objectClass=*)", attributes: []string{"mail"}}, {base: guid(fake), filter: "(objectClass=*)", attributes: []string{"mail"}}},
		same("<GUID=00000000-0000-0000-0000-000000000001>", ldap.ScopeBaseObject, "(objectClass=*)", "mail"),
	} {
		require.Equal(t, q[0].ask(realConn), q[1].ask(fakeConn), q[0])
	}
	tokens := question{kind.PersonDN(0), "(objectClass=*)", ldap.ScopeBaseObject, []string{"tokenGroups"}, nil, 0}
	require.Equal(t, strings.Count(tokens.ask(realConn), `"`), strings.Count(tokens.ask(fakeConn), `"`), "as many groups")
	cookie := ldap.NewControlPaging(7)
	cookie.SetCookie([]byte("of another connection"))
	q := question{kind.PeopleDN(), "(objectClass=user)", ldap.ScopeWholeSubtree, []string{"1.1"}, []ldap.Control{cookie}, 0}
	require.Equal(t, q.ask(realConn), q.ask(fakeConn))
	require.Equal(t, code(t, realConn.Bind(sambatest.Reader, "wrong")), code(t, fakeConn.Bind("reader@ad.test", "wrong")))
}

// Both are asked what changed, by DirSync, and what became of the dead.
func TestServer_tellsChangesLikeSamba(t *testing.T) {
	t.Parallel()
	const people = 30
	genuine := sambatest.Start(t, sambatest.Options{People: people})
	kind := ldaptest.ActiveDirectory
	fake := ldaptest.Start(t, ldaptest.Options{Kind: kind, People: people})
	type server interface {
		tree
		AddValues(dn, attribute string, values ...string)
		RemoveValues(dn, attribute string, values ...string)
		Rename(dn, newDN string)
		Restore(dn string)
		AnchorOf(dn string) string
	}
	conns := []*ldap.Conn{genuine.Dial(sambatest.Admin, sambatest.AdminPassword), dial(t, fake)}
	wanted := []string{"mail", "title", "member", "name", "isDeleted", "userAccountControl"}
	names := map[string]string{} // anchors of both to one word
	for i := range people {
		for _, s := range []server{genuine, fake} {
			names[s.AnchorOf(kind.PersonDN(i))] = fmt.Sprintf("(anchor %d)", i)
		}
	}
	plain := func(text string) string {
		for anchor, word := range names {
			text = strings.ReplaceAll(text, anchor, word)
		}
		return text
	}
	type step struct {
		flags   int64
		cookies [2][]byte
	}
	steps := []*step{{flags: 0}, {flags: ldap.DirSyncIncrementalValues}}
	follow := func(what string) {
		t.Helper()
		for _, s := range steps {
			var said [2]string
			for i, c := range conns {
				entries, next, more := dirSync(t, c, kind.BaseDN(), s.flags, s.cookies[i], wanted...)
				require.False(t, more)
				s.cookies[i] = next
				var lines []string
				for dn, attributes := range entries {
					if !strings.Contains(dn, "OU=") && !strings.Contains(dn, "DEL:") && !strings.Contains(dn, "Moved") {
						continue // what else a domain has
					}
					line := plain(dn)
					for _, name := range slices.Sorted(maps.Keys(attributes)) {
						slices.Sort(attributes[name])
						line += fmt.Sprintf(" %s=%q", name, attributes[name])
					}
					lines = append(lines, plain(line))
				}
				slices.Sort(lines)
				said[i] = strings.Join(lines, "\n")
			}
			require.Equal(t, said[0], said[1], "%s, flags %x", what, s.flags)
			require.Equal(t, what == "nothing changed", said[0] == "", what)
		}
	}
	both := func(f func(server)) { f(genuine); f(fake) }
	follow("first")
	follow("nothing changed")
	both(func(s server) { s.Modify(kind.PersonDN(0), "title", "New"); s.Modify(kind.PersonDN(1), "mail") })
	follow("values changed")
	both(func(s server) {
		s.RemoveValues(kind.GroupDN("everyone"), "member", kind.PersonDN(2))
		s.AddValues(kind.GroupDN("chat-admins"), "member", kind.PersonDN(3))
	})
	follow("members changed")
	both(func(s server) { s.Rename(kind.PersonDN(4), "CN=Moved,CN=Users,"+kind.BaseDN()) })
	follow("moved")
	both(func(s server) { s.Delete(kind.PersonDN(5)) })
	follow("deleted")

	showDeleted := []ldap.Control{ldap.NewControlMicrosoftShowDeleted()}
	dead := question{
		kind.BaseDN(), "(&(objectClass=user)(isDeleted=TRUE))", ldap.ScopeWholeSubtree,
		[]string{"cn", "mail", "sAMAccountName", "userAccountControl", "isDeleted", "isRecycled", "lastKnownParent", "msDS-LastKnownRDN", "memberOf", "objectCategory", "primaryGroupID"},
		showDeleted, 0,
	}
	require.Equal(t, plain(dead.ask(conns[0])), plain(dead.ask(conns[1])))
	gone := question{kind.PeopleDN(), "(objectClass=user)", ldap.ScopeWholeSubtree, []string{"1.1"}, showDeleted, 0}
	require.Equal(t, gone.ask(conns[0]), gone.ask(conns[1]))
	_, err := conns[0].DirSync(request(kind.PeopleDN(), ldap.ScopeWholeSubtree, "(objectClass=user)", "mail"), 0, 0, nil)
	_, fakeErr := conns[1].DirSync(request(kind.PeopleDN(), ldap.ScopeWholeSubtree, "(objectClass=user)", "mail"), 0, 0, nil)
	require.Equal(t, code(t, err), code(t, fakeErr))
	_, err = conns[0].DirSync(request(kind.BaseDN(), ldap.ScopeWholeSubtree, "(objectClass=user)", "mail"), 0, 0, []byte("garbage"))
	_, fakeErr = conns[1].DirSync(request(kind.BaseDN(), ldap.ScopeWholeSubtree, "(objectClass=user)", "mail"), 0, 0, []byte("garbage"))
	require.Equal(t, code(t, err), code(t, fakeErr))
	both(func(s server) { s.Restore(kind.PersonDN(5)) })
	require.Equal(t, "(anchor 5)", plain(genuine.AnchorOf(kind.PersonDN(5))))
	require.Equal(t, "(anchor 5)", plain(fake.AnchorOf(kind.PersonDN(5))))
	for _, attribute := range []string{"mail", "givenName", "title", "memberOf", "sAMAccountName", "userAccountControl", "objectCategory", "sAMAccountType", "primaryGroupID"} {
		require.Equal(t, genuine.Values(kind.PersonDN(5), attribute), fake.Values(kind.PersonDN(5), attribute), attribute)
	}
}

func same(base string, scope int, filter string, attributes ...string) [2]question {
	q := question{base, filter, scope, attributes, nil, 0}
	return [2]question{q, q}
}
