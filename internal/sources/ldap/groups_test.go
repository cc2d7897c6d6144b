package ldap_test

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

// admins gives the role of an administrator to whoever is in a group.
func admins(group string) func(*sources.Rules) {
	return func(r *sources.Rules) { r.Roles = []sources.RoleRule{{Role: "system_admin", Groups: []string{group}}} }
}

// requireAdmins fails unless just these of the people have the role.
func requireAdmins(t *testing.T, snap identity.Snapshot, dns ...string) {
	t.Helper()
	require.True(t, snap.Complete, snap.Incomplete)
	var got []string
	for _, id := range snap.Identities {
		require.Empty(t, id.Fault)
		if len(id.Roles) > 0 {
			got = append(got, id.Ref)
		}
	}
	require.ElementsMatch(t, dns, got)
}

// addGroup makes a groupOfNames, or one of another class by its member attribute.
func addGroup(srv *slapdtest.Server, cn, attribute string, members ...string) {
	class := map[string]string{"member": "groupOfNames", "uniqueMember": "groupOfUniqueNames", "memberURL": "groupOfURLs"}[attribute]
	srv.Add(slapdtest.GroupDN(cn), map[string][]string{"objectClass": {class}, "cn": {cn}, attribute: members})
}

// Groups in groups are followed over any number of steps; a group that is in itself
// ends it.
func TestSource_Snapshot_nested(t *testing.T) {
	t.Parallel()
	people := slapdtest.Roster(30)
	srv := slapdtest.Start(t, slapdtest.Options{Users: 30})
	for _, a := range []string{"member", "uniqueMember"} {
		addGroup(srv, "bottom-"+a, a, people[5].DN, slapdtest.GroupDN("top-"+a))
		addGroup(srv, "middle-"+a, a, people[6].DN, slapdtest.GroupDN("bottom-"+a), "cn=nobody,dc=elsewhere")
		addGroup(srv, "top-"+a, a, people[7].DN, strings.ToUpper(slapdtest.GroupDN("middle-"+a)))
		addGroup(srv, "self-"+a, a, slapdtest.GroupDN("self-"+a), people[8].DN)
	}
	// The overlay fills memberOf as a member is added, if the member is there by then.
	srv.Modify(slapdtest.GroupDN("bottom-member"), "member", people[5].DN)
	srv.Modify(slapdtest.GroupDN("bottom-member"), "member", people[5].DN, slapdtest.GroupDN("top-member"))
	all := func(cn string) func(*sources.Rules) {
		return func(r *sources.Rules) {
			r.Roles = []sources.RoleRule{{Role: "system_admin", When: x(fmt.Sprintf("%q in groups", slapdtest.GroupDN(cn)))}}
		}
	}
	search := func(attribute, nested string) ldap.GroupOptions {
		return ldap.GroupOptions{Mode: "search", MembershipAttribute: attribute, Nested: nested, BaseDN: slapdtest.GroupsDN}
	}
	for name, c := range map[string]struct {
		groups ldap.GroupOptions
		rule   func(*sources.Rules)
		want   []int
	}{
		"off":                 {search("member", ""), admins(slapdtest.GroupDN("top-member")), []int{7}},
		"member":              {search("member", "walk"), admins(slapdtest.GroupDN("top-member")), []int{5, 6, 7}},
		"member, middle":      {search("member", "walk"), admins(slapdtest.GroupDN("middle-member")), []int{5, 6, 7}},
		"member, itself":      {search("member", "walk"), admins(slapdtest.GroupDN("self-member")), []int{8}},
		"member, all groups":  {search("member", "walk"), all("top-member"), []int{5, 6, 7}},
		"uniqueMember":        {search("uniqueMember", "walk"), admins(slapdtest.GroupDN("bottom-uniqueMember")), []int{5, 6, 7}},
		"memberOf":            {ldap.GroupOptions{Mode: "member_of", Nested: "walk"}, admins(slapdtest.GroupDN("top-member")), []int{5, 6, 7}},
		"memberOf, off":       {ldap.GroupOptions{Mode: "member_of"}, admins(slapdtest.GroupDN("top-member")), []int{7}},
		"memberOf, elsewhere": {ldap.GroupOptions{Mode: "member_of", Nested: "walk", Filter: "(cn=middle-member)"}, admins(slapdtest.GroupDN("top-member")), []int{5, 6, 7}},
		"memberOf, all":       {ldap.GroupOptions{Mode: "member_of", Nested: "walk", BaseDN: slapdtest.GroupsDN}, all("middle-member"), []int{5, 6, 7}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSource(t, srv.URL, func(o *ldap.Options) { o.Groups, o.Mapper = c.groups, mapper(t, c.rule) })
			var want []string
			for _, i := range c.want {
				want = append(want, people[i].DN)
			}
			requireAdmins(t, snapshot(t, s), want...)
			for i, p := range people[:10] { // one by one as all together
				rec, ok, err := s.Lookup(t.Context(), p.DN)
				require.NoError(t, err)
				require.True(t, ok)
				require.Empty(t, rec.GroupsFault)
				id, err := mapper(t, c.rule).Identity(rec)
				require.NoError(t, err)
				require.Equal(t, slices.Contains(c.want, i), len(id.Roles) > 0, "%d: %v", i, rec.Groups)
			}
		})
	}
}

// A group that is changed changes no member's entry, and is seen all the same.
func TestSource_Snapshot_groupChangedAlone(t *testing.T) {
	t.Parallel()
	people := slapdtest.Roster(20)
	srv := slapdtest.Start(t, slapdtest.Options{Users: 20})
	addGroup(srv, "inner", "member", people[3].DN)
	addGroup(srv, "outer", "member", people[4].DN)
	s := newSource(t, srv.URL, func(o *ldap.Options) {
		o.Groups, o.Mapper = ldap.GroupOptions{Mode: "search", Nested: "walk"}, mapper(t, admins(slapdtest.GroupDN("outer")))
	})
	requireAdmins(t, snapshot(t, s), people[4].DN)
	srv.Modify(slapdtest.GroupDN("outer"), "member", people[4].DN, slapdtest.GroupDN("inner"))
	requireAdmins(t, snapshot(t, s), people[3].DN, people[4].DN)
	srv.Modify(slapdtest.GroupDN("inner"), "member", people[5].DN)
	requireAdmins(t, snapshot(t, s), people[4].DN, people[5].DN)
}

// in_chain finds nobody on a server that does not know the rule, and says that all is
// well: it must not be asked there.
func TestSource_Snapshot_inChainElsewhere(t *testing.T) {
	t.Parallel()
	srv := slapdtest.Start(t, slapdtest.Options{Users: 5})
	s := newSource(t, srv.URL, func(o *ldap.Options) {
		o.Groups, o.Mapper = ldap.GroupOptions{Mode: "member_of", Nested: "in_chain"}, mapper(t, admins(slapdtest.GroupDN("chat-admins")))
	})
	snap := snapshot(t, s)
	require.True(t, snap.Complete, snap.Incomplete)
	require.Contains(t, snap.RolesUnknown, "in_chain is a rule of Active Directory")
	require.Contains(t, snap.Identities[0].RolesUnknown, "roles stay as they are; use walk")
}

// A dynamic group has whom its searches find, on this server and below the bases.
func TestSource_Snapshot_dynamic(t *testing.T) {
	t.Parallel()
	people := slapdtest.Roster(30)
	var buyers []string
	for _, p := range people {
		if p.Title == "Buyer" {
			buyers = append(buyers, p.DN)
		}
	}
	require.NotEmpty(t, buyers)
	srv := slapdtest.Start(t, slapdtest.Options{Users: 30})
	stranger, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = stranger.Close() })
	asked := make(chan struct{}, 10)
	go func() {
		for {
			c, err := stranger.Accept()
			if err != nil {
				close(asked)
				return
			}
			_ = c.Close()
			asked <- struct{}{}
		}
	}()
	base := slapdtest.PeopleDN
	for name, c := range map[string]struct {
		urls []string
		want []string
		says string
	}{
		"sub":             {[]string{"ldap:///" + base + "??sub?(title=Buyer)"}, buyers, ""},
		"one":             {[]string{"LDAP:///" + base + "??ONE?(title=Buyer)"}, buyers, ""},
		"escaped":         {[]string{"ldap:///ou=people,dc=example%2Cdc=test??sub?(%26(title=Buyer)(objectClass=*))"}, buyers, ""},
		"base":            {[]string{"ldap:///" + people[3].DN}, []string{people[3].DN}, ""},
		"two":             {[]string{"ldap:///" + base + "??sub?(title=Buyer)", "ldap:///" + base + "??sub?(&(title=Buyer)(uid=*))"}, buyers, ""},
		"nobody":          {[]string{"ldap:///" + base + "??sub?(title=Emperor)"}, nil, ""},
		"own host":        {[]string{srv.URL + "/" + base + "??sub?(title=Buyer)"}, buyers, ""},
		"another host":    {[]string{"ldap://localhost:" + portOf(stranger) + "/" + base + "??sub?(title=Buyer)"}, nil, "leads to another server, which is not asked"},
		"another base":    {[]string{"ldap:///dc=test??sub?(title=Buyer)"}, nil, "searches below dc=test, outside base_dn"},
		"a comma escaped": {[]string{`ldap:///cn=x\5c,` + slapdtest.BaseDN + "??sub"}, nil, "outside base_dn"},
		"unknown name":    {[]string{"ldap:///" + base + "??sub?(!(tilte=Buyer))"}, nil, "filters by tilte, which the server does not know"},
		"values":          {[]string{"ldap:///" + base + "?memberUid?sub?(title=Buyer)"}, nil, "asks for values of memberUid, where members are entries"},
		"no scope":        {[]string{"ldap:///" + base + "??tree?(title=Buyer)"}, nil, "has the scope tree"},
		"no filter":       {[]string{"ldap:///" + base + "??sub?title=Buyer)("}, nil, "not a filter"},
		"no URL":          {[]string{"http://example.test/"}, nil, "is not of the form ldap:///"},
		"an extension":    {[]string{"ldap:///" + base + "??sub?(title=Buyer)?!bindname=x"}, nil, "needs an extension"},
		"no such base":    {[]string{"ldap:///ou=nowhere," + slapdtest.BaseDN + "??sub?(title=Buyer)"}, nil, "it does not exist"},
	} {
		cn := strings.ReplaceAll(name, " ", "-")
		addGroup(srv, cn, "memberURL", c.urls...)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSource(t, srv.URL, func(o *ldap.Options) {
				o.Groups, o.Mapper = ldap.GroupOptions{Mode: "search", MembershipAttribute: "memberURL"}, mapper(t, admins(slapdtest.GroupDN(cn)))
			})
			snap := snapshot(t, s)
			if c.says == "" {
				requireAdmins(t, snap, c.want...)
				rec, _, err := s.Lookup(t.Context(), people[3].DN)
				require.NoError(t, err)
				require.Equal(t, slices.Contains(c.want, people[3].DN), len(rec.Groups) == 1)
				return
			}
			require.True(t, snap.Complete, snap.Incomplete)
			require.Contains(t, snap.RolesUnknown, c.says)
			require.Contains(t, snap.Identities[0].RolesUnknown, "roles stay as they are")
		})
	}
	t.Cleanup(func() { require.Empty(t, asked, "a password must not be taken to another server") })
}

func portOf(l net.Listener) string {
	_, p, _ := net.SplitHostPort(l.Addr().String())
	return p
}

// What only the server's own rules make one name is asked of the server.
func TestSource_Snapshot_memberSpelledOtherwise(t *testing.T) {
	t.Parallel()
	srv := slapdtest.Start(t, slapdtest.Options{Users: 5})
	for i, uid := range []string{"fischer", "weiss", "weiß"} {
		srv.Add("uid="+uid+","+slapdtest.PeopleDN, map[string][]string{"objectClass": {"inetOrgPerson"}, "uid": {uid}, "cn": {"x"}, "sn": {"x"}, "mail": {fmt.Sprintf("u%d@example.test", i)}})
	}
	addGroup(srv, "ligature", "member", "uid=ﬁscher,"+slapdtest.PeopleDN, "uid=weiß,"+slapdtest.PeopleDN, "uid=niemand-ß,"+slapdtest.PeopleDN)
	s := newSource(t, srv.URL, func(o *ldap.Options) {
		o.Groups, o.Mapper = ldap.GroupOptions{Mode: "search"}, mapper(t, admins(slapdtest.GroupDN("ligature")))
	})
	requireAdmins(t, snapshot(t, s), "uid=fischer,"+slapdtest.PeopleDN, "uid=weiß,"+slapdtest.PeopleDN)
}

// However long the way from a named group to a person is, each group on it is followed
// once, whether groups are read one by one or, where those would be too many, all.
func TestSource_Snapshot_longDescent(t *testing.T) {
	t.Parallel()
	people := slapdtest.Roster(4)
	for name, steps := range map[string]int{"one by one": 20, "too many": 230} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var ldif strings.Builder
			group := func(cn string, members ...string) {
				fmt.Fprintf(&ldif, "dn: %s\nobjectClass: groupOfNames\ncn: %s\nmember: %s\n\n", slapdtest.GroupDN(cn), cn, strings.Join(members, "\nmember: "))
			}
			for i := range steps {
				below := slapdtest.GroupDN(fmt.Sprintf("c%d", i+1))
				if i == steps-1 {
					below = people[2].DN
				}
				group(fmt.Sprintf("c%d", i), below, slapdtest.GroupDN("c0"))
			}
			group("c-half", people[1].DN, slapdtest.GroupDN("c7")) // above some of them, and not below any
			srv := slapdtest.Start(t, slapdtest.Options{Users: len(people), LDIF: ldif.String()})
			s := newSource(t, srv.URL, func(o *ldap.Options) {
				o.Groups = ldap.GroupOptions{Mode: "search", BaseDN: slapdtest.GroupsDN, Nested: "walk"}
				o.Mapper = mapper(t, admins(slapdtest.GroupDN("c0")))
			})
			requireAdmins(t, snapshot(t, s), people[2].DN)
		})
	}
}
