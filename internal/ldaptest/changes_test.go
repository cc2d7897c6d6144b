package ldaptest_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/ldaptest"
)

// told is what one poll by RFC 4533 said.
type told struct {
	changed        []string // DNs
	gone, present  []string
	refreshDeletes bool
	cookie         []byte
	code           int
}

// poll asks for what changed since a cookie, among the people with a filter.
func poll(t *testing.T, c *ldap.Conn, base, filter string, cookie []byte) told {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	res := c.Syncrepl(ctx, request(base, ldap.ScopeWholeSubtree, filter, "uid"), 64, ldap.SyncRequestModeRefreshOnly, cookie, false)
	var out told
	done := false
	for res.Next() {
		if e := res.Entry(); e != nil {
			out.changed = append(out.changed, e.DN)
		}
		for _, control := range res.Controls() {
			switch control := control.(type) {
			case *ldap.ControlSyncInfo:
				require.Equal(t, ldap.SyncInfoSyncIdSet, control.Value)
				for _, id := range control.SyncIdSet.SyncUUIDs {
					if control.SyncIdSet.RefreshDeletes {
						out.gone = append(out.gone, id.String())
					} else {
						out.present = append(out.present, id.String())
					}
				}
			case *ldap.ControlSyncDone:
				done, out.refreshDeletes, out.cookie = true, control.RefreshDeletes, control.Cookie
			}
		}
	}
	out.code = code(t, res.Err())
	require.Equal(t, out.code == 0, done)
	slices.Sort(out.changed)
	slices.Sort(out.gone)
	slices.Sort(out.present)
	return out
}

// What 389 Directory Server says was seen on version 2.3.1; what slapd says is asked
// of slapd itself, below.
func TestServer_synchronise389(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.DS389, People: 4})
	c, base := dial(t, s), s.Kind.PeopleDN()
	initial := poll(t, c, base, "(uid=*)", nil)
	require.Len(t, initial.changed, 4)
	require.False(t, initial.refreshDeletes)
	quiet := poll(t, c, base, "(uid=*)", initial.cookie)
	require.Equal(t, told{}, quiet, "nothing, and nobody named: by the letter everybody would be gone")
	gone := strings.ReplaceAll(s.AnchorOf(s.Kind.PersonDN(0)), "-", "")
	s.Delete(s.Kind.PersonDN(0))
	s.Modify(s.Kind.PersonDN(1), "title", "New")
	after := poll(t, c, base, "(uid=*)", initial.cookie)
	require.Equal(t, []string{s.Kind.PersonDN(1)}, after.changed)
	require.Len(t, after.gone, 1)
	require.Equal(t, gone, strings.ReplaceAll(after.gone[0], "-", ""), "the same bytes, written otherwise")
	require.False(t, after.refreshDeletes)
	require.Equal(t, 4096, poll(t, c, base, "(uid=*)", []byte("garbage")).code)
}

// dirSync gives what one answer of DirSync said of entries: values by attribute.
func dirSync(t *testing.T, c *ldap.Conn, base string, flags int64, cookie []byte, attributes ...string) (entries map[string]map[string][]string, next []byte, more bool) {
	t.Helper()
	res, err := c.DirSync(request(base, ldap.ScopeWholeSubtree, "(|(objectClass=user)(objectClass=group))", attributes...), flags, 0, cookie)
	require.NoError(t, err)
	entries = map[string]map[string][]string{}
	for _, e := range res.Entries {
		entries[e.DN] = map[string][]string{}
		for _, a := range e.Attributes {
			if a.Name != "objectGUID" && a.Name != "instanceType" {
				entries[e.DN][a.Name] = a.Values
			}
		}
	}
	control, ok := ldap.FindControl(res.Controls, ldap.ControlTypeDirSync).(*ldap.ControlDirSync)
	require.True(t, ok)
	return entries, control.Cookie, control.Flags != 0
}

func TestServer_dirSync(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.ActiveDirectory, People: 5, NoReplication: true})
	c, base := dial(t, s), s.Kind.BaseDN()
	q := request(base, ldap.ScopeWholeSubtree, "(objectClass=user)", "mail")
	_, err := c.DirSync(q, 0, 0, nil)
	require.Equal(t, ldap.LDAPResultInsufficientAccessRights, code(t, err))
	_, err = c.DirSync(request(s.Kind.PeopleDN(), ldap.ScopeWholeSubtree, "(objectClass=user)", "mail"), ldap.DirSyncObjectSecurity, 0, nil)
	require.Equal(t, ldap.LDAPResultInsufficientAccessRights, code(t, err), "as Samba does")

	wanted := []string{"mail", "title", "member", "name", "isDeleted"}
	all, cookie, more := dirSync(t, c, base, 1, nil, wanted...)
	require.False(t, more)
	require.Contains(t, all, s.Kind.PersonDN(0))
	none, cookie, _ := dirSync(t, c, base, 1, cookie, wanted...)
	require.Empty(t, none)

	s.Modify(s.Kind.PersonDN(0), "title", "New")
	s.Modify(s.Kind.PersonDN(0), "mail")
	s.Rename(s.Kind.PersonDN(1), "CN=renamed,CN=Users,"+base)
	gone := s.AnchorOf(s.Kind.PersonDN(2))
	s.Delete(s.Kind.PersonDN(2))
	s.RemoveValues(s.Kind.GroupDN("chat-admins"), "member", s.Kind.PersonDN(0))
	s.AddValues(s.Kind.GroupDN("chat-admins"), "member", s.Kind.PersonDN(3))
	second := dial(t, s.Replica())
	for _, c := range []*ldap.Conn{c, second} { // any domain controller goes on
		changed, _, _ := dirSync(t, c, base, 0x80000001, cookie, wanted...)
		require.Equal(t, map[string][]string{"title": {"New"}, "mail": {}}, changed[s.Kind.PersonDN(0)])
		require.Equal(t, map[string][]string{"name": {"renamed"}}, changed["CN=renamed,CN=Users,"+base])
		require.Equal(t, map[string][]string{"member;range=1-1": {s.Kind.PersonDN(3)}, "member;range=0-0": {s.Kind.PersonDN(0)}}, changed[s.Kind.GroupDN("chat-admins")])
		dead := ""
		for dn, a := range changed {
			if strings.Contains(dn, gone) {
				dead = dn
				require.Equal(t, []string{"TRUE"}, a["isDeleted"])
			}
		}
		require.NotEmpty(t, dead)
		require.Len(t, changed, 4)
	}
	whole, _, _ := dirSync(t, c, base, 1, cookie, "member")
	require.Equal(t, s.Values(s.Kind.GroupDN("chat-admins"), "member"), whole[s.Kind.GroupDN("chat-admins")]["member"])
	_, err = c.DirSync(request(base, ldap.ScopeWholeSubtree, "(objectClass=user)", "mail"), 1, 0, []byte("garbage"))
	require.Equal(t, ldap.LDAPResultProtocolError, code(t, err))

	parts := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.ActiveDirectory, People: 5, DirSyncEntries: 4})
	c = dial(t, parts)
	seen := 0
	cookie = nil
	for more = true; more; {
		var some map[string]map[string][]string
		some, cookie, more = dirSync(t, c, base, 0, cookie, "mail")
		seen += len(some)
	}
	require.Equal(t, 5+1+7+1, seen, "people, the reader, groups and Domain Users")
}
