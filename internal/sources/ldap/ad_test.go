package ldap_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/ldaptest"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

const ad = ldaptest.ActiveDirectory

// adRules are what docs/mapping.md gives for Active Directory.
func adRules() sources.Rules {
	return sources.Rules{
		ID: x("attr.objectGUID.guid()"), Username: x("lower(attr.sAMAccountName)"), Email: x("attr.mail"),
		DisabledWhen: x(`bit(attr.userAccountControl, 2) || fileTimePast(attr.accountExpires)`),
	}
}

func newAD(t testing.TB, url string, rule func(*sources.Rules), change ...func(*ldap.Options)) *ldap.Source {
	t.Helper()
	return newSource(t, url, append([]func(*ldap.Options){func(o *ldap.Options) {
		r := adRules()
		if rule != nil {
			rule(&r)
		}
		m, err := sources.Compile("corp", r, sources.CompileOptions{})
		require.NoError(t, err)
		o.Mapper, o.BaseDN, o.BindDN, o.PageSize = m, ad.BaseDN(), ad.ReaderDN(), 1000
		o.UserFilter = "(&(objectCategory=person)(objectClass=user)(mail=*))"
	}}, change...)...)
}

// Who is disabled or has expired has left, who is locked out has not, and never is
// never.
func TestSource_activeDirectory_accounts(t *testing.T) {
	t.Parallel()
	srv := ldaptest.Start(t, ldaptest.Options{Kind: ad, People: 24})
	dn := ad.PersonDN
	srv.Modify(dn(1), "userAccountControl", "514")
	srv.Modify(dn(2), "userAccountControl", "66050")
	srv.Modify(dn(3), "accountExpires", ldaptest.FileTime(time.Now().Add(-time.Hour)))
	srv.Modify(dn(4), "accountExpires", ldaptest.FileTime(time.Now().Add(time.Hour)))
	srv.Modify(dn(5), "accountExpires", "0")
	srv.Modify(dn(6), "accountExpires", "9223372036854775807")
	srv.Modify(dn(7), "lockoutTime", ldaptest.FileTime(time.Now().Add(-time.Minute)))
	srv.Modify(dn(8), "pwdLastSet", "0")
	require.Equal(t, []string{"16"}, srv.Values(dn(7), "msDS-User-Account-Control-Computed"), "he is locked out")
	snap := snapshot(t, newAD(t, srv.URL, nil))
	require.True(t, snap.Complete, snap.Incomplete)
	require.Len(t, snap.Identities, 24)
	for i := range 24 {
		require.Equal(t, i != 1 && i != 2 && i != 3, find(t, snap, dn(i)).Active, "%d", i)
	}
}

// The primary group stands in neither memberOf nor member, and counts, with what it is
// in.
func TestSource_activeDirectory_primaryGroup(t *testing.T) {
	t.Parallel()
	srv := ldaptest.Start(t, ldaptest.Options{Kind: ad, People: 12})
	users := "CN=Domain Users,CN=Users," + ad.BaseDN()
	srv.Add(ad.Group("outer", users), ad.Group("rare"))
	rid := fmt.Sprint(ridOf(srv.Values(ad.GroupDN("rare"), "objectSid")[0]))
	srv.Modify(ad.PersonDN(3), "primaryGroupID", rid)
	all := adPeople(12)
	others := slices.Concat(all[:3], all[4:])
	for name, c := range map[string]struct {
		groups ldap.GroupOptions
		group  string
		want   []string
	}{
		"memberOf":           {ldap.GroupOptions{Mode: "member_of"}, users, others},
		"member":             {ldap.GroupOptions{Mode: "search"}, ad.GroupDN("rare"), all[3:4]},
		"nested, memberOf":   {ldap.GroupOptions{Mode: "member_of", Nested: "walk"}, ad.GroupDN("outer"), others},
		"nested, member":     {ldap.GroupOptions{Mode: "search", Nested: "walk"}, ad.GroupDN("outer"), others},
		"in chain":           {ldap.GroupOptions{Mode: "search", Nested: "in_chain"}, ad.GroupDN("outer"), others},
		"in chain, memberOf": {ldap.GroupOptions{Mode: "member_of", Nested: "in_chain"}, ad.GroupDN("outer"), others},
		"not nested":         {ldap.GroupOptions{Mode: "member_of"}, ad.GroupDN("outer"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newAD(t, srv.URL, admins(c.group), func(o *ldap.Options) { o.Groups = c.groups })
			requireAdmins(t, snapshot(t, s), c.want...)
			for _, i := range []int{3, 4} {
				rec, _, err := s.Lookup(t.Context(), ad.PersonDN(i))
				require.NoError(t, err)
				require.Empty(t, rec.GroupsFault)
				holds := slices.ContainsFunc(rec.Groups, func(g string) bool { return sources.DNKey(g) == sources.DNKey(c.group) })
				require.Equal(t, slices.Contains(c.want, ad.PersonDN(i)), holds, "%v", rec.Groups)
			}
		})
	}
	t.Run("a hidden one", func(t *testing.T) {
		t.Parallel()
		lone := ldaptest.Start(t, ldaptest.Options{Kind: ad, People: 300})
		lone.Modify(ad.PersonDN(3), "primaryGroupID", "99999")
		snap := snapshot(t, newAD(t, lone.URL, admins(ad.GroupDN("chat-admins")), func(o *ldap.Options) { o.Groups.Mode = "member_of" }))
		require.Equal(t, "the roles, teams and channels of 1 person are not known and stay: "+find(t, snap, ad.PersonDN(3)).RolesUnknown, snap.RolesUnknown)
		require.Contains(t, snap.RolesUnknown, "its primary group is not shown; give CN=reader")
		require.Empty(t, find(t, snap, ad.PersonDN(4)).RolesUnknown)
	})
}

// adPeople names the first n people.
func adPeople(n int) []string {
	var out []string
	for _, p := range slapdtest.Roster(n) {
		out = append(out, ad.DN(p))
	}
	return out
}

func ridOf(sid string) uint32 {
	b := []byte(sid[len(sid)-4:])
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

// A group of 2,001 with a group of 2,001 in it, in one ring: each way finds the same.
func TestSource_activeDirectory_nested(t *testing.T) {
	t.Parallel()
	srv := ldaptest.Start(t, ldaptest.Options{Kind: ad, People: 2_200})
	members := adPeople(2_001)
	const odd = `Chat (Admins)* #1, "one"`
	srv.Add(ad.Group("large", members...))
	srv.Add(ad.Group("ring", ad.GroupDN("large")))
	srv.Add(ad.Group(odd, ad.GroupDN("ring"), "CN=Nobody,DC=elsewhere"))
	srv.AddValues(ad.GroupDN("large"), "member", ad.GroupDN(odd))
	for name, groups := range map[string]ldap.GroupOptions{
		"walk":               {Mode: "search", Nested: "walk"},
		"walk, memberOf":     {Mode: "member_of", Nested: "walk"},
		"in chain":           {Mode: "search", Nested: "in_chain"},
		"in chain, memberOf": {Mode: "member_of", Nested: "in_chain"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newAD(t, srv.URL, admins(ad.GroupDN(odd)), func(o *ldap.Options) { o.Groups = groups })
			requireAdmins(t, snapshot(t, s), members...)
		})
	}
}

// Referrals are not followed, and where the server can be told, there are none.
func TestSource_activeDirectory_referrals(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]ldaptest.Options{
		"asked not to":    {Kind: ad, People: 5},
		"cannot be asked": {Kind: ldaptest.OpenLDAP, People: 5, Referrals: []string{"ldap://127.0.0.1:1/dc=other"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := ldaptest.Start(t, o)
			s := newAD(t, srv.URL, nil)
			if o.Kind != ad {
				s = newSource(t, srv.URL)
			}
			snap := snapshot(t, s)
			require.True(t, snap.Complete, snap.Incomplete)
			require.Len(t, snap.Identities, 5)
		})
	}
}

func TestSource_Check_catalog(t *testing.T) {
	t.Parallel()
	open := ldaptest.Start(t, ldaptest.Options{Kind: ad, People: 3})
	var told []identity.Finding
	for _, f := range newAD(t, open.URL, nil, func(o *ldap.Options) { o.URLs = []string{open.URL, "ldap://127.0.0.1:3268"} }).Check(t.Context()) {
		if f.Part == "server" && f.Level == identity.LevelWarn {
			told = append(told, f)
		}
	}
	require.Len(t, told, 1)
	require.Contains(t, told[0].Text, "127.0.0.1:3268 is the global catalog")
}

// atCatalog is a server's address with the port of a global catalog, on a loopback address
// of this process's own.
func atCatalog(t *testing.T, srv *ldaptest.Server) string {
	t.Helper()
	catalogs.Lock()
	catalogs.n++
	at := fmt.Sprintf("127.%d.%d.%d:3268", 64+catalogs.n, os.Getpid()>>8&255, os.Getpid()&255)
	catalogs.Unlock()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Skip("the port of a global catalog cannot be listened on:", err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer c.Close()
				to, err := net.Dial("tcp", strings.TrimPrefix(srv.URL, "ldap://"))
				if err != nil {
					return
				}
				defer to.Close()
				work.Go(func() { _, _ = io.Copy(to, c); _ = to.Close() })
				_, _ = io.Copy(c, to)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); work.Wait() })
	return "ldap://" + at
}

var catalogs struct {
	sync.Mutex
	n int
}

// A global catalog shows what a domain controller shows of itself and counts its changes,
// and lacks some of what people have.
func TestSource_activeDirectory_catalog(t *testing.T) {
	t.Parallel()
	srv := ldaptest.Start(t, ldaptest.Options{Kind: ad, People: 5})
	at := atCatalog(t, srv)
	groups := func(r *sources.Rules) {
		r.DisabledWhen = x("bit(attr.userAccountControl, 2)")
		r.Roles = []sources.RoleRule{{Role: "system_admin", Groups: []string{ad.GroupDN("chat-admins")}}}
	}
	memberOf := func(o *ldap.Options) { o.Groups.Mode = ldap.GroupsMemberOf }

	_, err := newAD(t, at, nil).Snapshot(t.Context(), nil)
	require.ErrorContains(t, err, at+" is the global catalog, which lacks accountExpires as delivered")
	require.ErrorContains(t, err, "name a domain controller's port 636")

	snap := snapshot(t, newAD(t, at, groups, memberOf))
	require.True(t, snap.Complete, "the people are all there")
	for _, id := range snap.Identities {
		require.Contains(t, id.RolesUnknown, at+" is the global catalog, whose groups are not all there, so that roles stay as they are")
	}

	list, err := newAD(t, at, groups, memberOf).Read(t.Context(), []string{snap.Identities[0].Key.Anchor})
	require.NoError(t, err)
	require.Contains(t, list[0].RolesUnknown, "is the global catalog")
	_, err = newAD(t, at, nil).Read(t.Context(), []string{snap.Identities[0].Key.Anchor})
	require.ErrorContains(t, err, "which lacks accountExpires as delivered")
	snap = snapshot(t, newAD(t, at, func(r *sources.Rules) { r.DisabledWhen = x("size(attrs.memberOf) == 0") }))
	require.Contains(t, snap.Identities[0].Fault, "is the global catalog, which shows universal groups alone")

	plain := func(r *sources.Rules) { r.DisabledWhen = x("bit(attr.userAccountControl, 2)") }
	for _, way := range []string{"", ldap.DeltaUSN, ldap.DeltaDirSync} {
		s := newAD(t, at, plain, func(o *ldap.Options) { o.Delta = way })
		snap = snapshot(t, s)
		require.True(t, snap.Complete, snap.Incomplete)
		require.Empty(t, snap.Mark, way)
		direct := newAD(t, srv.URL, plain, func(o *ldap.Options) { o.Delta, o.URLs = way, []string{srv.URL, at} })
		require.Contains(t, changes(t, s, markOf(t, direct)).Full, "the port is that of the global catalog, which cannot be asked for changes", way)
		var told []string
		for _, f := range s.Check(t.Context()) {
			if f.Level != identity.LevelOK {
				told = append(told, f.Part+": "+f.Text)
			}
		}
		require.Contains(t, strings.Join(told, "\n"), "cannot be asked for changes")
	}
}

// Long lists come in parts. Whatever goes wrong meanwhile, nobody is taken for outside.
func TestSource_activeDirectory_ranges(t *testing.T) {
	t.Parallel()
	const n = 3_400
	members := adPeople(n)
	for name, whole := range map[string]bool{"": true, "range-changes": true, "range-lost": false, "range-endless": false} {
		t.Run("fault "+name, func(t *testing.T) {
			t.Parallel()
			srv := ldaptest.Start(t, ldaptest.Options{Kind: ad, People: n, Entries: []ldaptest.Entry{ad.Group("large", members...)}})
			if name != "" {
				srv.Fail(ldaptest.FaultNamed(t, name), ldaptest.At{})
			}
			s := newAD(t, srv.URL, admins(ad.GroupDN("large")), func(o *ldap.Options) { o.Groups.Mode = "search" })
			snap := snapshot(t, s)
			require.True(t, name == "" || srv.Struck() > 0)
			if whole {
				requireAdmins(t, snap, members...)
				return
			}
			require.True(t, snap.Complete, snap.Incomplete)
			require.Contains(t, snap.RolesUnknown, "read the group "+ad.GroupDN("large")+", so that roles stay as they are")
			for _, id := range snap.Identities {
				require.Empty(t, id.Roles)
				require.NotEmpty(t, id.RolesUnknown)
			}
		})
	}
}
