package ldap_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func x(s string) sources.Expr { return sources.Expr{Source: s} }

func rules() sources.Rules {
	return sources.Rules{
		ID: x("attr.entryUUID"), Username: x("lower(attr.uid)"), Email: x("attr.mail"), FirstName: x("attr.givenName"), LastName: x("attr.sn"),
		Position: x("attr.title"), DisabledWhen: x(`attr.employeeType == "disabled"`),
	}
}

func mapper(t testing.TB, change ...func(*sources.Rules)) *sources.Mapper {
	t.Helper()
	r := rules()
	for _, f := range change {
		f(&r)
	}
	m, err := sources.Compile("corp", r, sources.CompileOptions{})
	require.NoError(t, err)
	return m
}

func options(t testing.TB, url string) ldap.Options {
	t.Helper()
	return ldap.Options{
		URLs: []string{url}, BindDN: slapdtest.ReaderDN, BindPassword: func() (string, error) { return slapdtest.ReaderPassword, nil },
		BaseDN: slapdtest.BaseDN, UserFilter: "(objectClass=inetOrgPerson)", Mapper: mapper(t), PageSize: 100, Timeout: 10 * time.Second,
	}
}

func newSource(t testing.TB, url string, change ...func(*ldap.Options)) *ldap.Source {
	t.Helper()
	o := options(t, url)
	for _, f := range change {
		f(&o)
	}
	s, err := ldap.New(o)
	require.NoError(t, err)
	return s
}

func snapshot(t testing.TB, s *ldap.Source) identity.Snapshot {
	t.Helper()
	snap, err := s.Snapshot(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, snap.Complete, snap.Incomplete == "")
	return snap
}

func find(t testing.TB, snap identity.Snapshot, dn string) identity.Identity {
	t.Helper()
	for _, id := range snap.Identities {
		if id.Ref == dn {
			return id
		}
	}
	require.Fail(t, "not in the snapshot", dn)
	return identity.Identity{}
}

func TestNew(t *testing.T) {
	t.Parallel()
	admins := func(group string) func(*sources.Rules) {
		return func(r *sources.Rules) { r.Roles = []sources.RoleRule{{Role: "system_admin", Groups: []string{group}}} }
	}
	for name, c := range map[string]struct {
		change func(*ldap.Options)
		want   string
	}{
		"clear text off this host":     {func(o *ldap.Options) { o.URLs = []string{"ldap://dc1.example.com"} }, "ldap://dc1.example.com would send the password in clear"},
		"no scheme":                    {func(o *ldap.Options) { o.URLs = []string{"dc1.example.com:389"} }, "is not of the form"},
		"no password in a URL":         {func(o *ldap.Options) { o.URLs = []string{"ldap://u:secret@h"} }, "is not of the form"},
		"no URL":                       {func(o *ldap.Options) { o.URLs = nil }, "no server is named"},
		"StartTLS over TLS":            {func(o *ldap.Options) { o.URLs, o.Security = []string{"ldaps://h"}, "starttls" }, "encrypted from the start"},
		"unknown security":             {func(o *ldap.Options) { o.Security = "ssl" }, `connection_security "ssl" is unknown`},
		"anonymous":                    {func(o *ldap.Options) { o.BindDN = "" }, "an anonymous bind sees too little"},
		"base is no DN":                {func(o *ldap.Options) { o.BaseDN = "example.com" }, `base_dn "example.com" is not a DN`},
		"no filter":                    {func(o *ldap.Options) { o.UserFilter = "" }, "user_filter is missing"},
		"broken filter":                {func(o *ldap.Options) { o.UserFilter = "(uid=*" }, "user_filter (uid=*: not a filter"},
		"broken canary":                {func(o *ldap.Options) { o.Canary = "boss" }, "neither a DN nor a filter"},
		"groups without a mode":        {func(o *ldap.Options) { o.Mapper = mapper(t, admins("cn=a,dc=t")) }, "but nothing says where they are; add groups"},
		"a display name is no group":   {func(o *ldap.Options) { o.Mapper, o.Groups.Mode = mapper(t, admins("Admins")), "search" }, `the group "Admins", which is not a DN`},
		"unknown mode":                 {func(o *ldap.Options) { o.Groups.Mode = "all" }, `the mode "all" is unknown`},
		"unknown member attribute":     {func(o *ldap.Options) { o.Groups.Mode, o.Groups.MembershipAttribute = "search", "owner" }, `membership_attribute "owner"`},
		"a member attribute of groups": {func(o *ldap.Options) { o.Groups.Mode, o.Groups.MembershipAttribute = "member_of", "member" }, `membership_attribute "member" is not one of people`},
		"unknown nesting":              {func(o *ldap.Options) { o.Groups.Mode, o.Groups.Nested = "member_of", "deep" }, `groups.nested "deep" is unknown`},
		"memberUid cannot nest": {func(o *ldap.Options) {
			o.Groups = ldap.GroupOptions{Mode: "search", MembershipAttribute: "memberUid", Nested: "walk"}
		}, "names people and never groups"},
		"nsRole is nested": {func(o *ldap.Options) {
			o.Groups = ldap.GroupOptions{Mode: "member_of", MembershipAttribute: "nsRole", Nested: "walk"}
		}, "holds the roles within roles already"},
		"in_chain of uniqueMember": {func(o *ldap.Options) {
			o.Groups = ldap.GroupOptions{Mode: "search", MembershipAttribute: "uniqueMember", Nested: "in_chain"}
		}, "not uniqueMember; use walk"},
		"in_chain and all groups": {func(o *ldap.Options) {
			o.Groups = ldap.GroupOptions{Mode: "search", Nested: "in_chain"}
			o.Mapper = mapper(t, func(r *sources.Rules) { r.Position = x(`groups.join(",")`) })
		}, "an expression reads all groups; use walk"},
		"page size": {func(o *ldap.Options) { o.PageSize = -1 }, "max_page_size -1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(t, "ldap://127.0.0.1")
			c.change(&o)
			_, err := ldap.New(o)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "secret")
		})
	}
	t.Run("clear text by declaration", func(t *testing.T) {
		t.Parallel()
		newSource(t, "ldap://dc1.example.com", func(o *ldap.Options) { o.AllowCleartext = true })
	})
}

func TestSource_Snapshot(t *testing.T) {
	t.Parallel()
	srv := slapdtest.Start(t, slapdtest.Options{Users: 330})
	people := slapdtest.Roster(330)
	for name, s := range map[string]*ldap.Source{
		"plain":             newSource(t, srv.URL),
		"ldaps":             newSource(t, srv.TLSURL, func(o *ldap.Options) { o.CAFile = srv.CAFile }),
		"StartTLS":          newSource(t, srv.URL, func(o *ldap.Options) { o.CAFile, o.Security = srv.CAFile, "starttls" }),
		"unpaged":           newSource(t, srv.URL, func(o *ldap.Options) { o.WithoutPaging = true }),
		"canary":            newSource(t, srv.URL, func(o *ldap.Options) { o.Canary = people[7].DN }),
		"canary by filter":  newSource(t, srv.URL, func(o *ldap.Options) { o.Canary = "(cn=everyone)" }),
		"the second server": newSource(t, srv.URL, func(o *ldap.Options) { o.URLs = []string{closedPort(t), srv.URL} }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			snap := snapshot(t, s)
			require.True(t, snap.Complete, snap.Incomplete)
			require.Equal(t, 330, snap.Entries)
			require.Len(t, snap.Identities, 330)
			require.Empty(t, snap.Unreadable)
			require.Equal(t, "ldap:dc=example,dc=test", snap.Directory)
			for _, p := range people {
				id := find(t, snap, p.DN)
				require.Equal(t, identity.Key{Source: "corp", Anchor: p.EntryUUID}, id.Key)
				require.Equal(t, !p.Disabled, id.Active)
				require.Equal(t, identity.Profile{Username: p.UID, Email: p.Mail, FirstName: p.First, LastName: p.Last, Position: p.Title}, id.Profile)
			}
		})
	}
}

func closedPort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return "ldap://" + l.Addr().String()
}

// A person stays the same through a rename and a move.
func TestSource_Snapshot_rename(t *testing.T) {
	t.Parallel()
	srv := slapdtest.Start(t, slapdtest.Options{Users: 3, LDIF: "dn: ou=sales," + slapdtest.PeopleDN + "\nobjectClass: organizationalUnit\nou: sales\n"})
	s, p := newSource(t, srv.URL), slapdtest.Roster(3)[0]
	before := find(t, snapshot(t, s), p.DN)
	srv.ModifyDN(p.DN, "uid=renamed", "ou=sales,"+slapdtest.PeopleDN)
	after := find(t, snapshot(t, s), "uid=renamed,ou=sales,"+slapdtest.PeopleDN)
	require.Equal(t, before.Key, after.Key)
	require.Equal(t, "renamed", after.Profile.Username)
	require.NotEqual(t, before.Hash, after.Hash)
}

// Every way to refuse ends in one error that names server or DN, cause and
// next step, and shows no password.
func TestSource_Snapshot_error(t *testing.T) {
	t.Parallel()
	srv := slapdtest.Start(t, slapdtest.Options{Users: 5})
	bare := slapdtest.Start(t, slapdtest.Options{Users: 1, NoTLS: true})
	password := func(p string) func(*ldap.Options) {
		return func(o *ldap.Options) { o.BindPassword = func() (string, error) { return p, nil } }
	}
	for name, c := range map[string]struct {
		url    string
		change func(*ldap.Options)
		want   []string
	}{
		"nobody listens":       {closedPort(t), func(*ldap.Options) {}, []string{"connection refused; check host, port and firewall"}},
		"wrong password":       {srv.URL, password("not-the-one"), []string{"bind as " + slapdtest.ReaderDN + ": name or password are wrong (code 49); check bind_username"}},
		"empty password":       {srv.URL, password(""), []string{"the bind password is empty"}},
		"unreadable password":  {srv.URL, func(o *ldap.Options) { o.BindPassword = func() (string, error) { return "", os.ErrNotExist } }, []string{"read the bind password: file does not exist"}},
		"no such base":         {srv.URL, func(o *ldap.Options) { o.BaseDN = "ou=nowhere," + slapdtest.BaseDN }, []string{"read base_dn ou=nowhere,dc=example,dc=test: it does not exist, or this account may not see it (code 32)", "check the spelling"}},
		"StartTLS refused":     {bare.URL, func(o *ldap.Options) { o.Security = "starttls" }, []string{"the server refuses StartTLS", "give it a certificate"}},
		"unknown authority":    {srv.TLSURL, func(o *ldap.Options) { o.CAFile = srv.StrangerCAFile() }, []string{"unknown authority; set ca_file"}},
		"the same by StartTLS": {srv.URL, func(o *ldap.Options) { o.CAFile, o.Security = srv.StrangerCAFile(), "starttls" }, []string{"StartTLS: tls: failed to verify certificate", "unknown authority", "; set ca_file"}},
		"another name":         {srv.TLSURL, func(o *ldap.Options) { o.CAFile, o.ServerName = srv.CAFile, "dc1.example.com" }, []string{"certificate is valid for localhost", "server_name"}},
		"no CA file":           {srv.TLSURL, func(o *ldap.Options) { o.CAFile = "/nonexistent.pem" }, []string{"no such file", "check ca_file"}},
		"no TLS there":         {srv.URL, func(o *ldap.Options) { o.Security, o.Timeout = "tls", 3*time.Second }, []string{"TLS", "is this the right port"}},
		"mapped name unknown": {srv.URL, func(o *ldap.Options) {
			o.Mapper = mapper(t, func(r *sources.Rules) { r.Email = sources.Expr{Source: "attr.mial", Line: 8, Col: 3} })
		}, []string{"8:8: email_attribute: the source has no attribute mial; did you mean mail?"}},
		"filter name unknown": {srv.URL, func(o *ldap.Options) { o.UserFilter = "(!(employeType=disabled))" }, []string{"user_filter names the attribute employeType, which the server does not know"}},
		"page too large":      {srv.URL, func(o *ldap.Options) { o.PageSize = 5000 }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSource(t, c.url, c.change)
			snap, err := s.Snapshot(t.Context(), nil)
			if c.want == nil { // a limit at once: nobody was read, but the server said why
				require.NoError(t, err)
				require.False(t, snap.Complete)
				require.Contains(t, snap.Incomplete, "lower max_page_size")
				return
			}
			require.Error(t, err)
			for _, w := range append(c.want, "corp") {
				require.ErrorContains(t, err, w)
			}
			for _, secret := range []string{slapdtest.ReaderPassword, "not-the-one"} {
				require.NotContains(t, err.Error(), secret)
			}
			got, err := s.Confirm(t.Context(), []string{"a"})
			require.Error(t, err)
			require.Equal(t, identity.PresenceUnknown, got["a"])
			require.Equal(t, identity.LevelFail, worst(s.Check(t.Context())))
		})
	}
}

func worst(list []identity.Finding) identity.Level {
	level := identity.LevelOK
	for _, f := range list {
		if f.Level == identity.LevelFail || level == identity.LevelOK {
			level = f.Level
		}
	}
	return level
}

// Limits of a real server leave what was read, and no proof.
func TestSource_Snapshot_limits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server  slapdtest.Options
		change  func(*ldap.Options)
		entries int
		want    string
	}{
		"size limit over all pages": {slapdtest.Options{PagedTotal: 250}, func(*ldap.Options) {}, 250, "the server stopped after 250 entries: size limit (code 4"},
		"size limit without paging": {slapdtest.Options{SizeLimit: 120}, func(o *ldap.Options) { o.WithoutPaging = true }, 120, "raise the size limit of " + slapdtest.ReaderDN},
		"paging forbidden":          {slapdtest.Options{NoPaging: true}, func(*ldap.Options) {}, 0, "administrative limit (code 11: pagedResults control not allowed); allow "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.server.Users = 330
			snap := snapshot(t, newSource(t, slapdtest.Start(t, c.server).URL, c.change))
			require.False(t, snap.Complete)
			require.Equal(t, c.entries, snap.Entries)
			require.Contains(t, snap.Incomplete, c.want)
		})
	}
}

func TestSource_Snapshot_cut(t *testing.T) {
	t.Parallel()
	srv := slapdtest.Start(t, slapdtest.Options{Users: 330})
	proxy := slapdtest.NewProxy(t, srv.URL)
	s := newSource(t, proxy.URL)
	require.True(t, snapshot(t, s).Complete)
	seen := map[bool]int{}
	for _, n := range []int64{1, 100, 500, 20_000, 60_000, 90_000, 110_000, 130_000} {
		proxy.CutAfter(n)
		snap, err := s.Snapshot(t.Context(), nil)
		seen[err == nil]++
		if err == nil {
			require.False(t, snap.Complete, "cut after %d bytes", n)
			require.Contains(t, snap.Incomplete, "the connection was lost")
			require.Less(t, snap.Entries, 330)
			require.Zero(t, snap.Entries%100, "only whole pages count")
			require.NotZero(t, snap.Entries)
		}
	}
	require.NotZero(t, seen[true], "some cut must fall between two pages")
	require.NotZero(t, seen[false], "some cut must fall before the first")
}

func TestSource_Snapshot_hangs(t *testing.T) {
	t.Parallel()
	srv := slapdtest.Start(t, slapdtest.Options{Users: 330})
	proxy := slapdtest.NewProxy(t, srv.URL)
	proxy.HangAfter(110_000)
	t.Run("until the timeout", func(t *testing.T) {
		t.Parallel()
		snap, err := newSource(t, proxy.URL, func(o *ldap.Options) { o.Timeout = 3 * time.Second }).Snapshot(t.Context(), nil)
		require.NoError(t, err)
		require.False(t, snap.Complete)
		require.Contains(t, snap.Incomplete, " has not answered for 3s; see whether the server is at work")
	})
	t.Run("until it is called off", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := newSource(t, proxy.URL, func(o *ldap.Options) { o.Timeout = time.Hour }).Snapshot(ctx, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestSource_Snapshot_silentHandshake(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel and never answers
	require.NoError(t, err)
	defer l.Close()
	for _, o := range []func(*ldap.Options){
		func(o *ldap.Options) { o.Security = "tls" },
		func(o *ldap.Options) { o.Security = "starttls" },
		func(*ldap.Options) {},
	} {
		start := time.Now()
		_, err := newSource(t, "ldap://"+l.Addr().String(), o, func(o *ldap.Options) { o.Timeout = 200 * time.Millisecond }).Snapshot(t.Context(), nil)
		require.Error(t, err)
		require.Less(t, time.Since(start), time.Minute)
	}
}

// Rights that hide people do not look different from people who left: the read
// is complete, and it is the guard's business to notice.
func TestSource_Snapshot_hidden(t *testing.T) {
	t.Parallel()
	people := slapdtest.Roster(40)
	srv := slapdtest.Start(t, slapdtest.Options{Users: 40})
	s := newSource(t, srv.URL, func(o *ldap.Options) { o.Canary = people[3].DN })
	require.True(t, snapshot(t, s).Complete)

	srv.Restart(slapdtest.Options{ACL: []string{`to filter=(title=Engineer) by * none`}})
	half := snapshot(t, s)
	require.True(t, half.Complete, half.Incomplete)
	require.Less(t, half.Entries, 40)

	srv.Restart(slapdtest.Options{ACL: []string{fmt.Sprintf("to dn.exact=%q by * none", people[3].DN)}})
	snap := snapshot(t, s)
	require.False(t, snap.Complete)
	require.Contains(t, snap.Incomplete, "the canary "+people[3].DN+" is not in the directory")

	srv.Restart(slapdtest.Options{ACL: []string{fmt.Sprintf("to dn.children=%q by * none", slapdtest.PeopleDN)}})
	snap = snapshot(t, newSource(t, srv.URL))
	require.False(t, snap.Complete)
	require.Contains(t, snap.Incomplete, "nobody below dc=example,dc=test matches the user filter")

	srv.Restart(slapdtest.Options{ACL: []string{"to attrs=entryUUID by * none"}})
	snap = snapshot(t, newSource(t, srv.URL))
	require.False(t, snap.Complete)
	require.Len(t, snap.Unreadable, 40)
	require.Contains(t, snap.Incomplete, "40 of 40 entries cannot be used")
	require.Contains(t, snap.Unreadable[0].Message, "the anchor is empty: entryUUID has no value")
}

func TestSource_Snapshot_entryFaults(t *testing.T) {
	t.Parallel()
	srv := slapdtest.Start(t, slapdtest.Options{Users: 300})
	people := slapdtest.Roster(300)
	m := mapper(t, func(r *sources.Rules) { r.Nickname = x(`attr.description == "broken" ? attr.description.guid() : ""`) })
	s := newSource(t, srv.URL, func(o *ldap.Options) { o.Mapper = m })
	srv.Modify(people[0].DN, "mail")
	srv.Modify(people[1].DN, "mail")
	srv.Modify(people[1].DN, "description", "broken")
	srv.Modify(people[1].DN, "employeeType", "disabled")
	snap := snapshot(t, s)
	require.True(t, snap.Complete, snap.Incomplete)
	require.Equal(t, "email is empty: mail has no value ("+people[0].DN+")", find(t, snap, people[0].DN).Fault)
	require.True(t, find(t, snap, people[0].DN).Active)
	leaver := find(t, snap, people[1].DN)
	require.False(t, leaver.Active, "a leaver leaves whatever else is wrong")
	require.Contains(t, leaver.Fault, "nickname_attribute cannot be computed")

	srv.Modify(people[2].DN, "description", people[3].UID)
	srv.Modify(people[3].DN, "description", people[3].UID)
	double := newSource(t, srv.URL, func(o *ldap.Options) {
		o.Mapper = mapper(t, func(r *sources.Rules) { r.ID = x(`orValue(attr.description, attr.entryUUID)`) })
	})
	srv.Modify(people[1].DN, "description")
	snap = snapshot(t, double)
	require.False(t, snap.Complete)
	require.Contains(t, snap.Incomplete, "occurs twice, in "+people[2].DN+" and "+people[3].DN)
	require.Len(t, snap.Identities, 299)
}

func TestSource_Snapshot_groups(t *testing.T) {
	t.Parallel()
	people := slapdtest.Roster(60)
	unique := "dn: cn=unique," + slapdtest.GroupsDN + "\nobjectClass: groupOfUniqueNames\ncn: unique\nuniqueMember: " + strings.ToUpper(people[4].DN) + "\nuniqueMember: " + people[5].DN + "#'01'B\n\n" +
		"dn: cn=posix," + slapdtest.GroupsDN + "\nobjectClass: posixGroup\ncn: posix\ngidNumber: 9\nmemberUid: " + people[6].UID + "\n"
	srv := slapdtest.Start(t, slapdtest.Options{Users: 60, LDIF: unique})
	role := func(cn string) func(*sources.Rules) {
		return func(r *sources.Rules) {
			r.Roles = []sources.RoleRule{{Role: "system_admin", Groups: []string{"CN=" + cn + ", ou=Groups,dc=example,dc=test"}}}
		}
	}
	all := func(r *sources.Rules) {
		r.Roles = []sources.RoleRule{{Role: "system_admin", When: x(`groups.exists(g, g.startsWith("cn=chat-"))`)}}
	}
	for name, c := range map[string]struct {
		groups ldap.GroupOptions
		rule   func(*sources.Rules)
		admins []int
	}{
		"memberOf":     {ldap.GroupOptions{Mode: "member_of"}, role("chat-admins"), []int{0, 1}},
		"member":       {ldap.GroupOptions{Mode: "search"}, role("chat-admins"), []int{0, 1}},
		"all groups":   {ldap.GroupOptions{Mode: "search", BaseDN: slapdtest.GroupsDN}, all, []int{0, 1}},
		"uniqueMember": {ldap.GroupOptions{Mode: "search", MembershipAttribute: "uniqueMember"}, role("unique"), []int{4, 5}},
		"memberUid":    {ldap.GroupOptions{Mode: "search", MembershipAttribute: "memberUid"}, role("posix"), []int{6}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSource(t, srv.URL, func(o *ldap.Options) { o.Groups, o.Mapper = c.groups, mapper(t, c.rule) })
			snap := snapshot(t, s)
			require.True(t, snap.Complete, snap.Incomplete)
			for i, p := range people {
				id := find(t, snap, p.DN)
				require.Empty(t, id.Fault)
				want := identity.Roles(nil)
				for _, a := range c.admins {
					if a == i {
						want = identity.NewRoles("system_admin")
					}
				}
				require.Equal(t, want, id.Roles, p.DN)
			}
			rec, ok, err := s.Lookup(t.Context(), people[c.admins[0]].DN)
			require.NoError(t, err)
			require.True(t, ok)
			require.NotEmpty(t, rec.Groups)
		})
	}
}

// Groups that could not be read take no role from anybody and give none, and keep nothing
// else back, but what they decide about themselves.
func TestSource_Snapshot_groupsUnreadable(t *testing.T) {
	t.Parallel()
	people := slapdtest.Roster(60)
	srv := slapdtest.Start(t, slapdtest.Options{Users: 60, ACL: []string{fmt.Sprintf("to dn.subtree=%q by * none", slapdtest.GroupsDN)}})
	named := sources.RoleRule{Role: "system_admin", Groups: []string{slapdtest.GroupDN("chat-admins")}}
	for name, rule := range map[string]sources.RoleRule{
		"named": named,
		"all":   {Role: "system_admin", When: x(`"cn=x" in groups`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			snap := snapshot(t, newSource(t, srv.URL, func(o *ldap.Options) {
				o.Groups.Mode = "search"
				o.Mapper = mapper(t, func(r *sources.Rules) { r.Roles = []sources.RoleRule{rule} })
			}))
			require.True(t, snap.Complete, snap.Incomplete)
			require.Contains(t, snap.RolesUnknown, "the roles, teams and channels of 58 people are not known and stay: ")
			require.Contains(t, snap.RolesUnknown, map[string]string{
				"named": "could not read the group " + slapdtest.GroupDN("chat-admins"), "all": "the list of groups below ",
			}[name])
			require.Empty(t, snap.Mark, "a change of the groups would be missed from here on")
			for _, p := range people {
				id := find(t, snap, p.DN)
				require.Equal(t, !p.Disabled, id.Active)
				require.Empty(t, id.Fault)
				require.Contains(t, id.RolesUnknown, "roles stay as they are")
				require.Equal(t, p.Mail, id.Profile.Email)
			}
		})
	}
	t.Run("and they tell who has left", func(t *testing.T) {
		t.Parallel()
		snap := snapshot(t, newSource(t, srv.URL, func(o *ldap.Options) {
			o.Groups.Mode = "search"
			o.Mapper = mapper(t, func(r *sources.Rules) {
				r.Roles, r.DisabledWhen = []sources.RoleRule{named}, x(`!("cn=staff" in groups)`)
			})
		}))
		require.False(t, snap.Complete)
		require.Contains(t, snap.Incomplete, "roles stay as they are")
		for _, id := range snap.Identities {
			require.True(t, id.Active)
			require.Contains(t, id.Fault, "roles stay as they are")
		}
	})
	t.Run("one of two", func(t *testing.T) {
		t.Parallel()
		whole := slapdtest.Start(t, slapdtest.Options{Users: 12})
		snap := snapshot(t, newSource(t, whole.URL, func(o *ldap.Options) {
			o.Groups.Mode = "search"
			o.Mapper = mapper(t, func(r *sources.Rules) {
				r.Roles = []sources.RoleRule{named, {Role: "system_manager", Groups: []string{slapdtest.GroupDN("renamed")}}}
			})
		}))
		require.True(t, snap.Complete, snap.Incomplete)
		require.Contains(t, snap.RolesUnknown, "read the group "+slapdtest.GroupDN("renamed"))
		for _, id := range snap.Identities {
			require.Empty(t, id.Roles, "of the other one too")
			require.NotEmpty(t, id.RolesUnknown)
		}
	})
}

// Rights that hide the members of a group look like an empty group.
func TestSource_Snapshot_membersHidden(t *testing.T) {
	t.Parallel()
	srv := slapdtest.Start(t, slapdtest.Options{Users: 20, ACL: []string{"to attrs=member by * none"}})
	snap := snapshot(t, newSource(t, srv.URL, func(o *ldap.Options) {
		o.Groups.Mode = "search"
		o.Mapper = mapper(t, func(r *sources.Rules) {
			r.Roles = []sources.RoleRule{{Role: "system_admin", Groups: []string{slapdtest.GroupDN("chat-admins")}}}
		})
	}))
	require.True(t, snap.Complete, snap.Incomplete)
	require.Contains(t, snap.RolesUnknown, "could not read the group cn=chat-admins,ou=groups,dc=example,dc=test, so that roles stay as they are: it shows no member, which its class does not allow; give cn=reader")
	require.NotEmpty(t, snap.Identities[0].RolesUnknown)
}

func TestSource_Confirm(t *testing.T) {
	t.Parallel()
	srv := slapdtest.Start(t, slapdtest.Options{Users: 260})
	people := slapdtest.Roster(260)
	s := newSource(t, srv.URL, func(o *ldap.Options) { o.UserFilter = "(&(objectClass=inetOrgPerson)(!(title=Buyer)))" })
	srv.Delete(people[0].DN)
	srv.Modify(people[1].DN, "title", "Buyer")
	var anchors []string
	for _, p := range people {
		anchors = append(anchors, p.EntryUUID)
	}
	anchors = append(anchors, "*", "a)(uid=*", "")
	got, err := s.Confirm(t.Context(), anchors)
	require.NoError(t, err)
	require.Equal(t, identity.PresenceGone, got[people[0].EntryUUID])
	require.Equal(t, identity.PresenceOutOfScope, got[people[1].EntryUUID])
	require.Equal(t, identity.PresencePresent, got[people[3].EntryUUID])
	require.Equal(t, identity.PresenceGone, got["*"], "a name is never a pattern")
	require.Equal(t, identity.PresenceGone, got["a)(uid=*"])
	require.Equal(t, identity.PresenceUnknown, got[""])

	t.Run("a computed anchor cannot be searched for", func(t *testing.T) {
		t.Parallel()
		got, err := newSource(t, srv.URL, func(o *ldap.Options) {
			o.Mapper = mapper(t, func(r *sources.Rules) { r.ID = x("lower(attr.entryUUID)") })
		}).Confirm(t.Context(), []string{"x"})
		require.ErrorContains(t, err, "the anchor is computed")
		require.Equal(t, identity.PresenceUnknown, got["x"])
	})
	t.Run("an unsearchable anchor proves nothing", func(t *testing.T) {
		t.Parallel()
		hidden := slapdtest.Start(t, slapdtest.Options{Users: 5, ACL: []string{"to attrs=entryUUID by * read stop", "to attrs=uid by users =r by * none"}})
		got, err := newSource(t, hidden.URL, func(o *ldap.Options) {
			o.Mapper = mapper(t, func(r *sources.Rules) { r.ID = x("attr.uid") })
		}).Confirm(t.Context(), []string{"nobody"})
		require.ErrorContains(t, err, "the attribute is not searchable")
		require.Equal(t, identity.PresenceUnknown, got["nobody"])
	})
}

func TestSource_Place(t *testing.T) {
	t.Parallel()
	const sales = "ou=sales," + slapdtest.PeopleDN
	srv := slapdtest.Start(t, slapdtest.Options{
		Users: 3, LDIF: "dn: " + sales + "\nobjectClass: organizationalUnit\nou: sales\n",
	})
	s := newSource(t, srv.URL)
	there, err := s.Place(t.Context(), sales)
	require.NoError(t, err)
	require.True(t, there)
	srv.ModifyDN(sales, "ou=vendite", "")
	there, err = s.Place(t.Context(), sales)
	require.NoError(t, err)
	require.False(t, there, "it was renamed")
	for name, c := range map[string]struct {
		s  *ldap.Source
		dn string
	}{
		"not a DN":                     {s, "line 7"},
		"the server is away":           {newSource(t, closedPort(t)), sales},
		"the base is not there either": {newSource(t, srv.URL, func(o *ldap.Options) { o.BaseDN = "ou=nowhere," + slapdtest.BaseDN }), sales},
	} {
		t.Run("nobody knows if "+name, func(t *testing.T) {
			t.Parallel()
			_, err := c.s.Place(t.Context(), c.dn)
			require.Error(t, err)
		})
	}
}

func TestSource_Lookup(t *testing.T) {
	t.Parallel()
	srv := slapdtest.Start(t, slapdtest.Options{Users: 30})
	s, p := newSource(t, srv.URL, func(o *ldap.Options) { o.Groups.Mode = "member_of" }), slapdtest.Roster(30)[5]
	for _, query := range []string{p.DN, p.EntryUUID, p.UID, p.Mail, strings.ToUpper(p.Mail)} {
		rec, ok, err := s.Lookup(t.Context(), query)
		require.NoError(t, err, query)
		require.True(t, ok, query)
		require.Equal(t, p.DN, rec.Ref)
		require.Equal(t, p.Department, rec.Value("departmentNumber"), "attributes beyond the mapped ones too")
		require.Equal(t, p.Groups, rec.Groups)
	}
	for _, query := range []string{"nobody", "", "*", "uid=nobody," + slapdtest.PeopleDN} {
		_, ok, err := s.Lookup(t.Context(), query)
		require.NoError(t, err, query)
		require.False(t, ok, query)
	}
	srv.Modify(slapdtest.Roster(30)[6].DN, "mail", p.Mail)
	_, _, err := s.Lookup(t.Context(), p.Mail)
	require.ErrorContains(t, err, "2 entries match "+p.Mail)
}

func TestSource_Check(t *testing.T) {
	t.Parallel()
	srv := slapdtest.Start(t, slapdtest.Options{Users: 30})
	s := newSource(t, srv.TLSURL, func(o *ldap.Options) {
		o.CAFile, o.Canary, o.Groups.Mode = srv.CAFile, slapdtest.GroupDN("everyone"), "member_of"
		o.Mapper = mapper(t, func(r *sources.Rules) {
			r.Roles = []sources.RoleRule{{Role: "system_admin", Groups: []string{slapdtest.GroupDN("chat-admins")}}}
		})
	})
	var parts []string
	for _, f := range s.Check(t.Context()) {
		if f.Part != "tls" { // the certificate of a test ends tomorrow
			require.Equal(t, identity.LevelOK, f.Level, f.Text)
		}
		parts = append(parts, f.Part)
	}
	require.Equal(t, []string{"connect", "tls", "bind", "base", "schema", "server", "canary", "groups", "limits", "paging", "changes", "anchor", "people"}, parts)

	broken := newSource(t, srv.URL, func(o *ldap.Options) {
		o.Canary, o.Groups.Mode, o.URLs = "cn=nobody,"+slapdtest.BaseDN, "search", []string{closedPort(t), srv.URL}
		o.Mapper = mapper(t, func(r *sources.Rules) {
			r.Roles = []sources.RoleRule{{Role: "system_admin", Groups: []string{slapdtest.GroupDN("none")}}}
		})
	})
	level := map[string]identity.Level{}
	for _, f := range broken.Check(t.Context()) {
		if f.Level != identity.LevelOK {
			level[f.Part] = f.Level
			require.NotEmpty(t, f.Text)
		}
	}
	require.Equal(t, map[string]identity.Level{"connect": identity.LevelFail, "tls": identity.LevelWarn, "canary": identity.LevelFail, "groups": identity.LevelFail, "people": identity.LevelFail}, withoutWarnPeople(level))
}

func withoutWarnPeople(m map[string]identity.Level) map[string]identity.Level {
	if m["people"] == identity.LevelWarn { // the list of faults follows the failed read
		m["people"] = identity.LevelFail
	}
	return m
}

func TestSource_Snapshot_called_off(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := newSource(t, closedPort(t)).Snapshot(ctx, nil)
	require.ErrorIs(t, err, context.Canceled, "%v", err)
}
