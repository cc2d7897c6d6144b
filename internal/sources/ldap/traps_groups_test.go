package ldap_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/ldaptest"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

// bare is a reader as one writes him first: the library, and belief in what it gives.
type bare struct {
	t *testing.T
	c *goldap.Conn
}

func newBare(t *testing.T, url, dn string) bare {
	t.Helper()
	c, err := goldap.DialURL(url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.Bind(dn, slapdtest.ReaderPassword))
	return bare{t, c}
}

// find gives what a search below a base finds, as one answer.
func (b bare) find(base, filter string, attributes ...string) []*goldap.Entry {
	b.t.Helper()
	res, err := b.c.SearchWithPaging(goldap.NewSearchRequest(base, goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 0, 0, false, filter, attributes, nil), 1000)
	require.NoError(b.t, err)
	return res.Entries
}

// at gives one entry.
func (b bare) at(dn string, attributes ...string) *goldap.Entry {
	b.t.Helper()
	res, err := b.c.Search(goldap.NewSearchRequest(dn, goldap.ScopeBaseObject, goldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", attributes, nil))
	require.NoError(b.t, err)
	require.Len(b.t, res.Entries, 1)
	return res.Entries[0]
}

// holders are the people whom our read gives the role for a group.
func holders(t *testing.T, s *ldap.Source) []string {
	t.Helper()
	var out []string
	for _, id := range snapshot(t, s).Identities {
		if len(id.Roles) > 0 {
			out = append(out, id.Ref)
		}
	}
	return out
}

// TestTraps_activeDirectory are the places where a reader who believes what he gets is
// wrong about the groups of Active Directory, or about who has left.
func TestTraps_activeDirectory(t *testing.T) {
	t.Parallel()
	people := adPeople(1_700)
	in := func(o ldap.GroupOptions) func(*ldap.Options) { return func(all *ldap.Options) { all.Groups = o } }
	for name, test := range map[string]func(t *testing.T, srv *ldaptest.Server, naive bare){
		"a list of more than 1500 looks empty": func(t *testing.T, srv *ldaptest.Server, naive bare) {
			t.Helper()
			srv.Add(ad.Group("large", people...))
			require.Empty(t, naive.at(ad.GroupDN("large"), "member").GetAttributeValues("member"))
			s := newAD(t, srv.URL, admins(ad.GroupDN("large")), in(ldap.GroupOptions{Mode: "search"}))
			require.ElementsMatch(t, people, holders(t, s))
		},
		"a list that changes while it is read": func(t *testing.T, srv *ldaptest.Server, naive bare) {
			t.Helper()
			srv.Add(ad.Group("large", people...))
			srv.Fail(ldaptest.FaultNamed(t, "range-changes"), ldaptest.At{})
			got := naive.at(ad.GroupDN("large"), "member").GetAttributeValues("member;range=0-1499")
			got = append(got, naive.at(ad.GroupDN("large"), "member;range=1500-*").GetAttributeValues("member;range=1500-*")...)
			require.Less(t, len(slices.Compact(slices.Sorted(slices.Values(got)))), len(people), "somebody was passed over")
			srv.Fail(ldaptest.FaultNamed(t, "range-changes"), ldaptest.At{})
			s := newAD(t, srv.URL, admins(ad.GroupDN("large")), in(ldap.GroupOptions{Mode: "search"}))
			require.ElementsMatch(t, people, holders(t, s))
			require.Positive(t, srv.Struck())
		},
		"the primary group is nowhere": func(t *testing.T, srv *ldaptest.Server, naive bare) {
			t.Helper()
			users := "CN=Domain Users,CN=Users," + ad.BaseDN()
			require.Empty(t, naive.find(ad.BaseDN(), "(memberOf="+goldap.EscapeFilter(users)+")"))
			require.NotContains(t, naive.at(people[0], "memberOf").GetAttributeValues("memberOf"), users)
			s := newAD(t, srv.URL, admins(users), in(ldap.GroupOptions{Mode: "member_of"}))
			require.Len(t, holders(t, s), len(people))
		},
		"a group in a group, in a ring": func(t *testing.T, srv *ldaptest.Server, naive bare) {
			t.Helper()
			srv.Add(ad.Group("inner", people[0]))
			srv.Add(ad.Group("outer", ad.GroupDN("inner")))
			srv.AddValues(ad.GroupDN("inner"), "member", ad.GroupDN("outer"))
			require.Empty(t, naive.find(ad.PeopleDN(), "(memberOf="+ad.GroupDN("outer")+")"), "direct members only")
			steps := 0 // of one who follows members without looking back
			for next := []string{ad.GroupDN("outer")}; len(next) > 0 && steps < 1000; steps++ {
				next = append(next[1:], naive.at(next[0], "member").GetAttributeValues("member")...)
			}
			require.Equal(t, 1000, steps, "he never comes to an end")
			for _, nested := range []string{"walk", "in_chain"} {
				s := newAD(t, srv.URL, admins(ad.GroupDN("outer")), in(ldap.GroupOptions{Mode: "search", Nested: nested}))
				require.Equal(t, people[:1], holders(t, s), nested)
			}
		},
		"a DN in a filter": func(t *testing.T, srv *ldaptest.Server, naive bare) {
			t.Helper()
			const odd = "Chat (Admins)*"
			srv.Add(ad.Group(odd, people[0]), ad.Group("Chat (Admins)x", people[1]))
			_, err := naive.c.Search(goldap.NewSearchRequest(ad.BaseDN(), goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 0, 0, false,
				"(memberOf:1.2.840.113556.1.4.1941:="+ad.GroupDN(odd)+")", nil, nil))
			require.Error(t, err)
			s := newAD(t, srv.URL, admins(ad.GroupDN(odd)), in(ldap.GroupOptions{Mode: "search", Nested: "in_chain"}))
			require.Equal(t, people[:1], holders(t, s))
		},
		"never is no date": func(t *testing.T, srv *ldaptest.Server, naive bare) {
			t.Helper()
			srv.Modify(people[0], "accountExpires", "0")
			v, err := strconv.ParseInt(naive.at(people[0], "accountExpires").GetAttributeValue("accountExpires"), 10, 64)
			require.NoError(t, err)
			require.True(t, time.Unix(v/1e7-11644473600, 0).Before(time.Now()), "he would have left in 1601")
			require.True(t, find(t, snapshot(t, newAD(t, srv.URL, nil)), people[0]).Active)
		},
		"an account expires without a change": func(t *testing.T, srv *ldaptest.Server, naive bare) {
			t.Helper()
			srv.Modify(people[0], "accountExpires", ldaptest.FileTime(time.Now().Add(time.Hour)))
			before := naive.at(people[0], "uSNChanged").GetAttributeValue("uSNChanged")
			tomorrow := newAD(t, srv.URL, nil, func(o *ldap.Options) {
				m, err := sources.Compile("corp", adRules(), sources.CompileOptions{Now: func() time.Time { return time.Now().Add(24 * time.Hour) }})
				require.NoError(t, err)
				o.Mapper = m
			})
			require.True(t, find(t, snapshot(t, newAD(t, srv.URL, nil)), people[0]).Active)
			require.False(t, find(t, snapshot(t, tomorrow), people[0]).Active)
			require.Equal(t, before, naive.at(people[0], "uSNChanged").GetAttributeValue("uSNChanged"), "who asks for changes sees none")
		},
		"a lockout is not leaving": func(t *testing.T, srv *ldaptest.Server, naive bare) {
			t.Helper()
			srv.Modify(people[0], "lockoutTime", ldaptest.FileTime(time.Now()))
			require.NotEqual(t, "0", naive.at(people[0], "lockoutTime").GetAttributeValue("lockoutTime"), "he would have left")
			require.Equal(t, "512", naive.at(people[0], "userAccountControl").GetAttributeValue("userAccountControl"), "its lockout bit is never set")
			require.True(t, find(t, snapshot(t, newAD(t, srv.URL, nil)), people[0]).Active)
		},
		"the order of a GUID's bytes": func(t *testing.T, srv *ldaptest.Server, naive bare) {
			t.Helper()
			raw := naive.at(people[0], "objectGUID").GetRawAttributeValue("objectGUID")
			h := hex.EncodeToString(raw)
			plain := h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
			ours := find(t, snapshot(t, newAD(t, srv.URL, nil)), people[0]).Key.Anchor
			require.NotEqual(t, plain, ours)
			require.Equal(t, people[0], naive.at("<GUID="+ours+">").DN)
			require.Empty(t, naive.find(ad.BaseDN(), "(objectGUID="+goldap.EscapeFilter(ours)+")"), "text is no filter for it")
			got, err := newAD(t, srv.URL, nil).Confirm(t.Context(), []string{ours, plain})
			require.NoError(t, err)
			require.EqualValues(t, "present", got[ours])
			require.EqualValues(t, "gone", got[plain])
		},
		"names come back in the schema's case": func(t *testing.T, srv *ldaptest.Server, naive bare) {
			t.Helper()
			require.Empty(t, naive.at(people[0], "samaccountname").GetAttributeValue("samaccountname"))
			s := newAD(t, srv.URL, func(r *sources.Rules) { r.Username = x("lower(attr.samaccountname)") })
			require.NotEmpty(t, find(t, snapshot(t, s), people[0]).Profile.Username)
		},
		"a group changes and its people do not": func(t *testing.T, srv *ldaptest.Server, naive bare) {
			t.Helper()
			srv.Add(ad.Group("club"))
			s := newAD(t, srv.URL, admins(ad.GroupDN("club")), in(ldap.GroupOptions{Mode: "member_of"}))
			require.Empty(t, holders(t, s))
			before := naive.at(people[0], "uSNChanged").GetAttributeValue("uSNChanged")
			srv.AddValues(ad.GroupDN("club"), "member", people[0])
			require.Equal(t, before, naive.at(people[0], "uSNChanged").GetAttributeValue("uSNChanged"), "who asks for changed people sees nothing")
			require.Equal(t, people[:1], holders(t, s))
		},
		"tokenGroups of more than one entry": func(t *testing.T, srv *ldaptest.Server, naive bare) {
			t.Helper()
			srv.Add(ad.Group("inner", people[0]), ad.Group("outer", ad.GroupDN("inner")))
			require.Greater(t, len(naive.at(people[0], "tokenGroups").GetRawAttributeValues("tokenGroups")), len(srv.Values(people[0], "memberOf")),
				"of one entry it holds all groups, the primary one and those around others too")
			res, err := naive.c.Search(goldap.NewSearchRequest(ad.PeopleDN(), goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 0, 0, false,
				"(objectCategory=person)", []string{"mail", "tokenGroups"}, nil))
			require.True(t, goldap.IsErrorWithCode(err, goldap.LDAPResultOperationsError))
			require.Empty(t, res.Entries, "who asks for everybody's gets nobody at all")
			for _, mode := range []string{"search", "member_of"} {
				s := newAD(t, srv.URL, admins(ad.GroupDN("outer")), in(ldap.GroupOptions{Mode: mode, Nested: "walk"}))
				require.Equal(t, people[:1], holders(t, s), mode)
			}
			s := newAD(t, srv.URL, func(r *sources.Rules) { r.MatchKey = x("attr.tokenGroups") })
			_, err = s.Snapshot(t.Context(), nil)
			require.ErrorContains(t, err, `read people below DC=ad,DC=test: LDAP Result Code 1 "Operations Error"`)
		},
		"a filter that says not": func(t *testing.T, _ *ldaptest.Server, _ bare) {
			t.Helper()
			srv := ldaptest.Start(t, ldaptest.Options{Kind: ad, People: 12})
			naive := newBare(t, srv.URL, ad.ReaderDN())
			srv.Modify(people[3], "userAccountControl", "514")
			const filter = "(&(objectCategory=person)(objectClass=user)(!(userAccountControl:1.2.840.113556.1.4.803:=2)))"
			require.Len(t, naive.find(ad.PeopleDN(), filter), 11)
			s := newAD(t, srv.URL, nil)
			require.False(t, find(t, snapshot(t, s), people[3]).Active)

			for _, dn := range people[:12] { // an attribute that may not be read is to the reader one without values
				srv.Modify(dn, "userAccountControl")
			}
			require.Len(t, naive.find(ad.PeopleDN(), filter), 12, "all is well, it says, and who was disabled is back")
			snap := snapshot(t, s)
			require.Contains(t, snap.Incomplete, "12 of 12 entries cannot be used")
			require.NotEmpty(t, find(t, snap, people[3]).Fault, "who cannot be judged stays as he is")
			require.Contains(t, fmt.Sprint(newAD(t, srv.URL, nil).Check(t.Context())), "12 of 12 people are shown without userAccountControl")
		},
		"referrals lead elsewhere": func(t *testing.T, srv *ldaptest.Server, naive bare) {
			t.Helper()
			res, err := naive.c.Search(goldap.NewSearchRequest(ad.BaseDN(), goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 0, 0, false, "(cn=nobody)", nil, nil))
			require.NoError(t, err)
			require.NotEmpty(t, res.Referrals, "to servers that would get the password")
			snap := snapshot(t, newAD(t, srv.URL, nil))
			require.True(t, snap.Complete, snap.Incomplete)
			require.Len(t, snap.Identities, len(people))
		},
		"Deleted Objects is empty without rights": func(t *testing.T, _ *ldaptest.Server, _ bare) {
			t.Helper()
			srv := ldaptest.Start(t, ldaptest.Options{Kind: ad, People: 3, HideDeleted: true})
			srv.Delete(people[0])
			naive := newBare(t, srv.URL, ad.ReaderDN())
			res, err := naive.c.Search(goldap.NewSearchRequest(ad.BaseDN(), goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 0, 0, false, "(isDeleted=TRUE)", nil,
				[]goldap.Control{goldap.NewControlString(goldap.ControlTypeMicrosoftShowDeleted, true, "")}))
			require.NoError(t, err)
			require.Empty(t, res.Entries, "all is well, it says, and nobody was deleted")
			snap := snapshot(t, newAD(t, srv.URL, nil))
			require.True(t, snap.Complete)
			require.Len(t, snap.Identities, 2)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := ldaptest.Start(t, ldaptest.Options{Kind: ad, People: len(people)})
			test(t, srv, newBare(t, srv.URL, ad.ReaderDN()))
		})
	}
}

// TestTraps_groups are the same of groups in general.
func TestTraps_groups(t *testing.T) {
	t.Parallel()
	people := slapdtest.Roster(12)
	srv := slapdtest.Start(t, slapdtest.Options{Users: 12})
	naive := newBare(t, srv.URL, slapdtest.ReaderDN)
	read := func(t *testing.T, group string, o ldap.GroupOptions) []string {
		t.Helper()
		return holders(t, newSource(t, srv.URL, func(all *ldap.Options) { all.Groups, all.Mapper = o, mapper(t, admins(group)) }))
	}
	t.Run("one name in two spellings", func(t *testing.T) {
		t.Parallel()
		odd := "commonName=" + strings.ToUpper(people[1].UID) + ", OU=People,dc=example,  dc=test"
		entries := slapdtest.FakePeople(12)
		for i, e := range entries {
			if e.DN == people[1].DN {
				entries[i].DN = "cn=" + people[1].UID + "," + slapdtest.PeopleDN
			}
		}
		entries = append(entries, slapdtest.Entry{DN: slapdtest.GroupDN("club"), Attributes: map[string][]string{"objectClass": {"groupOfNames"}, "member": {odd}}})
		fake := slapdtest.NewFake(t, entries, slapdtest.Faults{})
		b := newBare(t, fake.URL, slapdtest.ReaderDN)
		listed := b.at(slapdtest.GroupDN("club"), "member").GetAttributeValue("member")
		a, err := goldap.ParseDN(listed)
		require.NoError(t, err)
		for _, e := range b.find(slapdtest.PeopleDN, "(objectClass=inetOrgPerson)") {
			dn, err := goldap.ParseDN(e.DN)
			require.NoError(t, err)
			require.False(t, a.EqualFold(dn), "nobody is found by the library's comparison")
		}
		s := newSource(t, fake.URL, func(o *ldap.Options) {
			o.Groups.Mode, o.Mapper = "search", mapper(t, admins(slapdtest.GroupDN("club")))
		})
		require.Equal(t, []string{"cn=" + people[1].UID + "," + slapdtest.PeopleDN}, holders(t, s))
	})
	t.Run("a bit string behind a name", func(t *testing.T) {
		t.Parallel()
		addGroup(srv, "bits", "uniqueMember", people[2].DN+"#'0101'B")
		require.NotEqual(t, people[2].DN, naive.at(slapdtest.GroupDN("bits"), "uniqueMember").GetAttributeValue("uniqueMember"))
		require.Equal(t, []string{people[2].DN}, read(t, slapdtest.GroupDN("bits"), ldap.GroupOptions{Mode: "search", MembershipAttribute: "uniqueMember"}))
	})
	t.Run("a uid is no name", func(t *testing.T) {
		t.Parallel()
		srv.Add(slapdtest.GroupDN("posix"), map[string][]string{
			"objectClass": {"posixGroup"}, "cn": {"posix"}, "gidNumber": {"7"}, "memberUid": {people[3].UID, strings.ToUpper(people[4].UID)},
		})
		require.Len(t, naive.find(slapdtest.PeopleDN, "(|(uid="+people[3].UID+")(uid="+strings.ToUpper(people[4].UID)+"))"), 2,
			"who asks by uid, which has no case, makes a member of somebody else")
		require.Equal(t, []string{people[3].DN}, read(t, slapdtest.GroupDN("posix"), ldap.GroupOptions{Mode: "search", MembershipAttribute: "memberUid"}))
	})
	t.Run("a group's URL leads to another server", func(t *testing.T) {
		t.Parallel()
		stranger, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer stranger.Close()
		link := "ldap://" + strings.Replace(stranger.Addr().String(), "127.0.0.1", "localhost", 1) + "/" + slapdtest.PeopleDN + "??sub?(uid=*)"
		addGroup(srv, "far", "memberURL", link)
		came := make(chan []byte, 1)
		go func() {
			c, err := stranger.Accept()
			if err != nil {
				close(came)
				return
			}
			defer c.Close()
			buf := make([]byte, 4096)
			n, _ := c.Read(buf)
			came <- buf[:n]
		}()
		require.Empty(t, read(t, slapdtest.GroupDN("far"), ldap.GroupOptions{Mode: "search", MembershipAttribute: "memberURL"}))
		require.Empty(t, came, "ours never went there")
		c, err := goldap.DialURL(link)
		require.NoError(t, err)
		defer c.Close()
		go func() { _ = c.Bind(slapdtest.ReaderDN, slapdtest.ReaderPassword) }()
		require.True(t, bytes.Contains(<-came, []byte(slapdtest.ReaderPassword)), "who follows it hands the password over")
	})
	t.Run("a dynamic group shows no member", func(t *testing.T) {
		t.Parallel()
		addGroup(srv, "near", "memberURL", "ldap:///"+slapdtest.PeopleDN+"??sub?(uid="+people[5].UID+")")
		require.Empty(t, naive.at(slapdtest.GroupDN("near"), "member").GetAttributeValues("member"))
		require.Equal(t, []string{people[5].DN}, read(t, slapdtest.GroupDN("near"), ldap.GroupOptions{Mode: "search", MembershipAttribute: "memberURL"}))
	})
	t.Run("a filter by a name nobody knows", func(t *testing.T) {
		t.Parallel()
		addGroup(srv, "typo", "memberURL", "ldap:///"+slapdtest.PeopleDN+"??sub?(!(employeTyp=disabled))")
		require.Empty(t, naive.find(slapdtest.PeopleDN, "(!(employeTyp=disabled))"), "all is well, and nobody is in it")
		s := newSource(t, srv.URL, func(o *ldap.Options) {
			o.Groups, o.Mapper = ldap.GroupOptions{Mode: "search", MembershipAttribute: "memberURL"}, mapper(t, admins(slapdtest.GroupDN("typo")))
		})
		require.Contains(t, snapshot(t, s).RolesUnknown, "filters by employeTyp, which the server does not know")
	})
	t.Run("a rule nobody knows", func(t *testing.T) {
		t.Parallel()
		require.Empty(t, naive.find(slapdtest.PeopleDN, "(memberOf:1.2.840.113556.1.4.1941:="+slapdtest.GroupDN("everyone")+")"), "all is well, and nobody is in it")
		s := newSource(t, srv.URL, func(o *ldap.Options) {
			o.Groups, o.Mapper = ldap.GroupOptions{Mode: "search", Nested: "in_chain"}, mapper(t, admins(slapdtest.GroupDN("everyone")))
		})
		require.Contains(t, snapshot(t, s).RolesUnknown, "it would find nobody and roles stay as they are; use walk")
	})
	t.Run("members elsewhere", func(t *testing.T) {
		t.Parallel()
		addGroup(srv, "mixed", "member", "cn=dummy", people[6].DN, "uid=gone,"+slapdtest.PeopleDN, slapdtest.ReaderDN)
		_, err := naive.c.Search(goldap.NewSearchRequest("uid=gone,"+slapdtest.PeopleDN, goldap.ScopeBaseObject, goldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", nil, nil))
		require.Error(t, err, "who reads each member stops here")
		require.Equal(t, []string{people[6].DN}, read(t, slapdtest.GroupDN("mixed"), ldap.GroupOptions{Mode: "search", Nested: "walk"}))
	})
}
