package ldap_test

import (
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

// BenchmarkSnapshot_20k compares a full read with mapping and groups against a
// bare paged read of the same attributes of the same 20,000 people, taken in
// turns. ratio is their quotient; 1.5 is the goal.
func BenchmarkSnapshot_20k(b *testing.B) {
	srv := slapdtest.Start(b, slapdtest.Options{Users: 20_000})
	s := newSource(b, srv.URL, func(o *ldap.Options) {
		o.PageSize, o.Groups.Mode = 1000, "member_of"
		o.Mapper = mapper(b, func(r *sources.Rules) {
			r.Roles = []sources.RoleRule{{Role: "system_admin", Groups: []string{slapdtest.GroupDN("chat-admins")}}}
		})
	})
	bareRead(b, srv, byLibrary) // warms the server's cache
	var ours, bare time.Duration
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		snap := snapshot(b, s)
		ours += time.Since(start)
		require.True(b, snap.Complete, snap.Incomplete)
		require.Len(b, snap.Identities, 20_000)
		b.StopTimer()
		start = time.Now()
		require.Equal(b, 20_000, bareRead(b, srv, byLibrary))
		bare += time.Since(start)
		b.StartTimer()
	}
	b.ReportMetric(float64(ours)/float64(bare), "ratio")
	b.ReportMetric(bare.Seconds()*1000/float64(b.N), "bare-ms/op")
	b.ReportMetric(ours.Seconds()*1000/float64(b.N), "ours-ms/op")
}

// bareRead pages through everybody and only counts.
func bareRead(b *testing.B, srv *slapdtest.Server, dial dialer) int {
	b.Helper()
	return bareSearch(b, srv, dial, "(objectClass=inetOrgPerson)", "employeeType", "entryUUID", "givenName", "mail", "memberOf", "sn", "title", "uid")
}

func bareSearch(b *testing.B, srv *slapdtest.Server, dial dialer, filter string, attributes ...string) int {
	b.Helper()
	c, search, err := dial(srv.URL)
	require.NoError(b, err)
	defer c.Close()
	require.NoError(b, c.Bind(srv.ReaderDN, srv.ReaderPassword))
	n := 0
	for cookie := []byte(nil); ; {
		paging := goldap.NewControlPaging(1000)
		paging.SetCookie(cookie)
		res, err := search(goldap.NewSearchRequest(srv.BaseDN, goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 0, 0, false, filter, attributes, []goldap.Control{paging}))
		require.NoError(b, err)
		n += len(res.Entries)
		answer, ok := goldap.FindControl(res.Controls, goldap.ControlTypePaging).(*goldap.ControlPaging)
		require.True(b, ok)
		if cookie = answer.Cookie; len(cookie) == 0 {
			return n
		}
	}
}

// dialer opens a connection and gives how to search over it.
type dialer func(url string) (*goldap.Conn, func(*goldap.SearchRequest) (*goldap.SearchResult, error), error)

// byLibrary leaves everything to the library.
func byLibrary(url string) (*goldap.Conn, func(*goldap.SearchRequest) (*goldap.SearchResult, error), error) {
	c, err := goldap.DialURL(url)
	if err != nil {
		return nil, nil, err
	}
	return c, c.Search, nil
}
