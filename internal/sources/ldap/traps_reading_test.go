package ldap_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/ldaptest"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

// once does something at the first person that a read comes to.
func once(f func()) func(identity.Identity) bool {
	var o sync.Once
	return func(identity.Identity) bool {
		o.Do(f)
		return false
	}
}

// TestTraps_reading are the places where a list of people is not what it looks like.
func TestTraps_reading(t *testing.T) {
	t.Parallel()
	const people = 60
	k := ldaptest.OpenLDAP
	paged := func(filter string, cookie []byte, attributes ...string) *goldap.SearchRequest {
		paging := goldap.NewControlPaging(20)
		paging.SetCookie(cookie)
		return goldap.NewSearchRequest(k.PeopleDN(), goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 0, 0, false, filter, attributes, []goldap.Control{paging})
	}
	next := func(t *testing.T, res *goldap.SearchResult) []byte {
		t.Helper()
		c, ok := goldap.FindControl(res.Controls, goldap.ControlTypePaging).(*goldap.ControlPaging)
		require.True(t, ok)
		return c.Cookie
	}
	everyone := "(objectClass=inetOrgPerson)"
	for name, test := range map[string]func(t *testing.T, srv *ldaptest.Server, naive bare){
		"a limit ends a list": func(t *testing.T, srv *ldaptest.Server, naive bare) {
			t.Helper()
			for _, limit := range []string{"size-limit", "time-limit", "admin-limit"} {
				srv.Fail(ldaptest.FaultNamed(t, limit), ldaptest.At{Entry: 25})
				res, _ := naive.c.SearchWithPaging(paged(everyone, nil, "uid"), 20) // who forgets to look at the error
				require.Less(t, len(res.Entries), people, "he has a list, and the rest have left")
				require.NotEmpty(t, res.Entries)
				require.False(t, snapshot(t, playedSource(t, srv, ldap.DeltaOff)).Complete, limit)
			}
		},
		"a limit over all pages": func(t *testing.T, _ *ldaptest.Server, _ bare) {
			t.Helper()
			srv := ldaptest.Start(t, ldaptest.Options{Kind: k, People: people, Total: 50})
			naive := newBare(t, srv.URL, k.ReaderDN())
			var found int
			for cookie := []byte(nil); found < people; {
				res, _ := naive.c.Search(paged(everyone, cookie, "uid"))
				found += len(res.Entries)
				if c, ok := goldap.FindControl(res.Controls, goldap.ControlTypePaging).(*goldap.ControlPaging); !ok || len(c.Cookie) == 0 {
					break
				} else {
					cookie = c.Cookie
				}
			}
			require.Equal(t, 50, found, "paging does not lift the limit")
			snap := snapshot(t, playedSource(t, srv, ldap.DeltaOff, func(o *ldap.Options) { o.PageSize = 20 }))
			require.Contains(t, snap.Incomplete, "the server stopped after 50 entries: size limit")
		},
		"a server that ignores paging": func(t *testing.T, srv *ldaptest.Server, naive bare) {
			t.Helper()
			srv.Fail(ldaptest.FaultNamed(t, "cap-without-code"), ldaptest.At{Entry: 40})
			require.Len(t, naive.find(k.PeopleDN(), everyone, "uid"), 40, "all is well, and the rest have left")
			require.Contains(t, snapshot(t, playedSource(t, srv, ldap.DeltaOff)).Incomplete, "the server ignores paging")
		},
		"a cookie that never ends": func(t *testing.T, srv *ldaptest.Server, naive bare) {
			t.Helper()
			for _, kind := range []string{"cookie-endless", "cookie-stuck"} {
				srv.Fail(ldaptest.FaultNamed(t, kind), ldaptest.At{})
				var cookie []byte
				for range 30 { // of one who goes on for ever
					res, err := naive.c.Search(paged(everyone, cookie, "uid"))
					require.NoError(t, err)
					cookie = next(t, res)
					require.NotEmpty(t, cookie, "he would be done")
				}
				snap, err := ungrouped(t, srv, 20).Snapshot(t.Context(), nil)
				require.False(t, snap.Complete)
				require.Contains(t, fmt.Sprint(err, snap.Incomplete), "the server's pages repeat themselves")
			}
		},
		"a cookie is of its connection": func(t *testing.T, srv *ldaptest.Server, naive bare) {
			t.Helper()
			res, err := naive.c.Search(paged(everyone, nil, "uid"))
			require.NoError(t, err)
			_, err = newBare(t, srv.URL, k.ReaderDN()).c.Search(paged(everyone, next(t, res), "uid"))
			require.Error(t, err, "who goes on where a lost connection ended")
			srv.Fail(ldaptest.FaultNamed(t, "cut-mid-page"), ldaptest.At{Listing: 1, Entry: 30})
			require.Contains(t, snapshot(t, ungrouped(t, srv, 20)).Incomplete, "the connection was lost")
			require.Len(t, snapshot(t, ungrouped(t, srv, 20)).Identities, people, "the next read begins anew")
		},
		"a second list ends the first": func(t *testing.T, _ *ldaptest.Server, _ bare) {
			t.Helper()
			srv := slapdtest.Start(t, slapdtest.Options{Users: people})
			naive := newBare(t, srv.URL, slapdtest.ReaderDN)
			res, err := naive.c.Search(paged(everyone, nil, "uid"))
			require.NoError(t, err)
			_, err = naive.c.Search(paged("(objectClass=groupOfNames)", nil, "member"))
			require.NoError(t, err)
			_, err = naive.c.Search(paged(everyone, next(t, res), "uid"))
			require.Error(t, err, "who reads groups between two pages of people")
			snap := snapshot(t, newSource(t, srv.URL, func(o *ldap.Options) {
				o.PageSize, o.Groups, o.Mapper = 20, ldap.GroupOptions{Mode: ldap.GroupsSearch, Nested: ldap.NestedWalk}, mapper(t, admins(slapdtest.GroupDN("everyone")))
			}))
			require.True(t, snap.Complete, snap.Incomplete)
			require.Len(t, snap.Identities, people)
		},
		"pages are no snapshot": func(t *testing.T, srv *ldaptest.Server, naive bare) {
			t.Helper()
			home, away := k.PersonDN(50), "ou=away,"+k.BaseDN()
			anchor := srv.AnchorOf(home)
			rdn, _, _ := strings.Cut(home, ",")
			srv.Add(ldaptest.Entry{DN: away, Attributes: map[string][]string{"objectClass": {"organizationalUnit"}}})
			srv.Rename(home, rdn+","+away)
			res, err := naive.c.Search(paged(everyone, nil, "uid"))
			require.NoError(t, err)
			srv.Rename(rdn+","+away, home)
			found := len(res.Entries)
			for cookie := next(t, res); len(cookie) > 0; cookie = next(t, res) {
				res, err = naive.c.Search(paged(everyone, cookie, "uid"))
				require.NoError(t, err)
				found += len(res.Entries)
			}
			require.Equal(t, people-1, found, "he came back while it was read, and has left")

			s := ungrouped(t, srv, 20)
			srv.Rename(home, rdn+","+away)
			snap, err := s.Snapshot(t.Context(), once(func() { srv.Rename(rdn+","+away, home) }))
			require.NoError(t, err)
			require.False(t, slices.ContainsFunc(snap.Identities, func(id identity.Identity) bool { return id.Key.Anchor == anchor }), "no reader can see it")
			got, err := s.Confirm(t.Context(), []string{anchor})
			require.NoError(t, err)
			require.Equal(t, identity.PresencePresent, got[anchor], "which is why each who is missing is asked about")
		},
		"a filter by a name nobody knows": func(t *testing.T, srv *ldaptest.Server, naive bare) {
			t.Helper()
			for _, filter := range []string{"(employeTyp=staff)", "(!(employeTyp=disabled))"} {
				require.Empty(t, naive.find(k.PeopleDN(), filter), "all is well, and everybody has left")
				s := newSource(t, srv.URL, func(o *ldap.Options) { o.UserFilter = filter })
				_, err := s.Snapshot(t.Context(), nil)
				require.ErrorContains(t, err, "user_filter names the attribute employeTyp, which the server does not know")
			}
		},
		"a hidden base": func(t *testing.T, srv *ldaptest.Server, naive bare) {
			t.Helper()
			srv.Fail(ldaptest.FaultNamed(t, "base-gone"), ldaptest.At{})
			res, err := naive.c.SearchWithPaging(paged(everyone, nil, "uid"), 20)
			require.Empty(t, res.Entries)
			require.True(t, goldap.IsErrorWithCode(err, goldap.LDAPResultNoSuchObject), "who takes noSuchObject for an empty list has lost everybody")
			_, err = playedSource(t, srv, ldap.DeltaOff).Snapshot(t.Context(), nil)
			require.ErrorContains(t, err, "it does not exist, or this account may not see it")
			require.ErrorContains(t, err, "check the spelling and the rights")
		},
		"an anchor that is hidden": func(t *testing.T, srv *ldaptest.Server, naive bare) {
			t.Helper()
			srv.Fail(ldaptest.FaultNamed(t, "anchors-missing"), ldaptest.At{})
			anchors := map[string]int{}
			for _, e := range naive.find(k.PeopleDN(), everyone, k.Anchor()) {
				anchors[e.GetAttributeValue(k.Anchor())]++
			}
			require.Equal(t, map[string]int{"": people}, anchors, "everybody is one and the same")
			snap := snapshot(t, playedSource(t, srv, ldap.DeltaOff))
			require.False(t, snap.Complete)
			require.Empty(t, snap.Identities)
			require.Len(t, snap.Unreadable, people)
		},
		"an account of nobody's": func(t *testing.T, _ *ldaptest.Server, _ bare) {
			t.Helper()
			srv := ldaptest.Start(t, ldaptest.Options{Kind: ad, People: 3})
			naive := newBare(t, srv.URL, ad.ReaderDN())
			all := len(naive.find(ad.BaseDN(), "(objectClass=user)"))
			require.Greater(t, all, len(naive.find(ad.BaseDN(), "(&(objectCategory=person)(objectClass=user))")), "computers are users")
			require.Len(t, snapshot(t, newAD(t, srv.URL, nil)).Identities, 3, "with the filter that is documented")
		},
		"a locked account looks like a disabled one": func(t *testing.T, _ *ldaptest.Server, _ bare) {
			t.Helper()
			srv := ldaptest.Start(t, ldaptest.Options{Kind: ad, People: 3})
			srv.Modify(ad.PersonDN(0), "lockoutTime", ldaptest.FileTime(time.Now()))
			srv.Modify(ad.PersonDN(1), "userAccountControl", "514")
			naive := newBare(t, srv.URL, ad.ReaderDN())
			for i := range 2 {
				require.NotEqual(t, "512", naive.at(ad.PersonDN(i), "msDS-User-Account-Control-Computed", "userAccountControl").GetAttributeValue("userAccountControl")+
					naive.at(ad.PersonDN(i), "msDS-User-Account-Control-Computed").GetAttributeValue("msDS-User-Account-Control-Computed"), "who asks whether the account is as usual")
			}
			snap := snapshot(t, newAD(t, srv.URL, nil))
			require.True(t, find(t, snap, ad.PersonDN(0)).Active)
			require.False(t, find(t, snap, ad.PersonDN(1)).Active)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := ldaptest.Start(t, ldaptest.Options{Kind: k, People: people})
			test(t, srv, newBare(t, srv.URL, k.ReaderDN()))
		})
	}
}

// ungrouped reads people and no groups, so that their list is the first one.
func ungrouped(t testing.TB, srv *ldaptest.Server, page int) *ldap.Source {
	t.Helper()
	return newSource(t, srv.URL, func(o *ldap.Options) {
		o.PageSize, o.BaseDN, o.BindDN, o.Delta = page, srv.Kind.PeopleDN(), srv.Kind.ReaderDN(), ldap.DeltaOff
	})
}

// TestTraps_changes are the same of asking for what changed.
func TestTraps_changes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(t *testing.T){
		"a number of another domain controller": func(t *testing.T) {
			t.Helper()
			srv := ldaptest.Start(t, ldaptest.Options{Kind: ad, People: 12})
			other := srv.Replica()
			s := playedSource(t, srv, ldap.DeltaUSN)
			m := markOf(t, s)
			seen := newBare(t, srv.URL, ad.ReaderDN()).at("", "highestCommittedUSN").GetAttributeValue("highestCommittedUSN")
			srv.Modify(ad.PersonDN(3), "title", "Chief")
			srv.BecomeLike(other)
			require.Empty(t, newBare(t, srv.URL, ad.ReaderDN()).find(ad.PeopleDN(), "(uSNChanged>="+seen+")"), "nothing has changed, it says")
			require.NotEmpty(t, changes(t, s, m).Full, "everybody has to be read")
		},
		"a domain controller that was restored": func(t *testing.T) {
			t.Helper()
			srv := ldaptest.Start(t, ldaptest.Options{Kind: ad, People: 12})
			s := playedSource(t, srv, ldap.DeltaUSN)
			m := markOf(t, s)
			seen := newBare(t, srv.URL, ad.ReaderDN()).at("", "highestCommittedUSN").GetAttributeValue("highestCommittedUSN")
			srv.RestoreBackup()
			srv.Modify(ad.PersonDN(3), "title", "Chief")
			require.Empty(t, newBare(t, srv.URL, ad.ReaderDN()).find(ad.PeopleDN(), "(uSNChanged>="+seen+")"), "nothing has changed, it says")
			require.Contains(t, changes(t, s, m).Full, "its database is another one")
		},
		"a tombstone has a living one's address": func(t *testing.T) {
			t.Helper()
			srv := ldaptest.Start(t, ldaptest.Options{Kind: ad, People: 12, RecycleBin: true})
			s := playedSource(t, srv, ldap.DeltaUSN)
			m := markOf(t, s)
			mail, dead, heir := srv.Values(ad.PersonDN(3), "mail")[0], srv.AnchorOf(ad.PersonDN(3)), srv.AnchorOf(ad.PersonDN(4))
			srv.Delete(ad.PersonDN(3))
			srv.Modify(ad.PersonDN(4), "mail", mail)
			naive := newBare(t, srv.URL, ad.ReaderDN())
			res, err := naive.c.Search(goldap.NewSearchRequest(ad.BaseDN(), goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 0, 0, false, "(isDeleted=TRUE)", []string{"mail"},
				[]goldap.Control{goldap.NewControlMicrosoftShowDeleted()}))
			require.NoError(t, err)
			require.True(t, slices.ContainsFunc(res.Entries, func(e *goldap.Entry) bool { return e.GetAttributeValue("mail") == mail }), "who knows people by their address switches the heir off")
			d := changes(t, s, m)
			require.Equal(t, []string{dead}, d.Gone)
			require.True(t, slices.ContainsFunc(d.Identities, func(id identity.Identity) bool { return id.Key.Anchor == heir && id.Active && id.Profile.Email == mail }))
		},
		"what was deleted has no stamp": func(t *testing.T) {
			t.Helper()
			srv := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.OpenLDAP, People: 12, Now: func() time.Time { return time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC) }})
			s := playedSource(t, srv, ldap.DeltaTimestamp)
			m, anchor := markOf(t, s), srv.AnchorOf(srv.Kind.PersonDN(3))
			srv.Delete(srv.Kind.PersonDN(3))
			require.Len(t, newBare(t, srv.URL, srv.Kind.ReaderDN()).find(srv.Kind.PeopleDN(), "(&(uid=*)(modifyTimestamp>=20260501000000Z))"), 11, "he was not changed, so he is as he was")
			require.NotContains(t, changes(t, s, m).Gone, anchor)
			require.NotContains(t, anchors(snapshot(t, s)), anchor, "only a read of everybody lacks him")
			got, err := s.Confirm(t.Context(), []string{anchor})
			require.NoError(t, err)
			require.Equal(t, identity.PresenceGone, got[anchor])
		},
		"a quiet refresh of 389": func(t *testing.T) {
			t.Helper()
			srv := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.DS389, People: 12})
			s := playedSource(t, srv, ldap.DeltaSyncrepl)
			m := markOf(t, s)
			naive := newBare(t, srv.URL, srv.Kind.ReaderDN())
			_, cookie, _ := naive.refresh(t, nil)
			named, _, refreshDeletes := naive.refresh(t, cookie)
			require.Zero(t, named)
			require.False(t, refreshDeletes, "by RFC 4533, 3.3.2, whoever was not named is gone: all of them")
			require.Empty(t, changes(t, s, m).Gone)
		},
		"one anchor in two spellings": func(t *testing.T) {
			t.Helper()
			srv := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.DS389, People: 12})
			s := playedSource(t, srv, ldap.DeltaSyncrepl)
			m, dn := markOf(t, s), srv.Kind.PersonDN(3)
			own := srv.AnchorOf(dn)
			uuid := fmt.Sprintf("%s-%s-%s-%s-%s", own[0:8], own[9:13], own[13:17], own[18:22], own[22:26]+own[27:])
			require.Empty(t, newBare(t, srv.URL, srv.Kind.ReaderDN()).find(srv.Kind.BaseDN(), "(nsUniqueId="+uuid+")"), "as the same bytes are spelled in an answer to RFC 4533")
			srv.Delete(dn)
			require.Equal(t, []string{own}, changes(t, s, m).Gone)
		},
		"a group changes and nobody else": func(t *testing.T) {
			t.Helper()
			srv := ldaptest.Start(t, ldaptest.Options{Kind: ad, People: 12})
			s := playedSource(t, srv, ldap.DeltaUSN)
			m, naive := markOf(t, s), newBare(t, srv.URL, ad.ReaderDN())
			seen := naive.at("", "highestCommittedUSN").GetAttributeValue("highestCommittedUSN")
			srv.AddValues(ad.GroupDN("chat-admins"), "member", ad.PersonDN(5))
			require.Empty(t, naive.find(ad.PeopleDN(), "(&(objectCategory=person)(uSNChanged>="+seen+"))"), "no person has changed")
			require.Contains(t, told(changes(t, s, m)), slapdtest.Roster(6)[5].UID)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// refresh asks as RFC 4533 says, and counts whom the answer names.
func (b bare) refresh(t *testing.T, cookie []byte) (named int, next []byte, refreshDeletes bool) {
	t.Helper()
	q := goldap.NewSearchRequest(ldaptest.DS389.PeopleDN(), goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 0, 0, false, "(uid=*)", []string{"uid"}, nil)
	r := b.c.Syncrepl(t.Context(), q, 64, goldap.SyncRequestModeRefreshOnly, cookie, false)
	for r.Next() {
		for _, c := range r.Controls() {
			switch c := c.(type) {
			case *goldap.ControlSyncState:
				named++
			case *goldap.ControlSyncDone:
				next, refreshDeletes = c.Cookie, c.RefreshDeletes
			}
		}
	}
	require.NoError(t, r.Err())
	return named, next, refreshDeletes
}

func anchors(snap identity.Snapshot) (out []string) {
	for _, id := range snap.Identities {
		out = append(out, id.Key.Anchor)
	}
	return out
}
