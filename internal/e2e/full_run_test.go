package e2e_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/state"
)

// BenchmarkFullRun is a complete read of a large directory with its groups, one in
// another, by a run that finds nothing to do: 100,000 people, all with an account, and
// 5,000 groups of which ten have 20,000 members each. It reports
//
//	ns/op      one run of the engine
//	ns/person  the same, of each person: what has to stay even
//	read-ns    one bare paged read of the same entries and attributes, in turns with it
//	x-read     the run in bare reads; wanted: at most 1.3
//	peak-MB    the largest resident set of the real program doing it; wanted: at most 200
//
// 300,000 people are measured if MMSYNC_BENCH_LARGE is set.
func BenchmarkFullRun(b *testing.B) {
	sizes := []int{10_000, 100_000}
	switch {
	case testing.Short():
		sizes = []int{1000}
	case os.Getenv("MMSYNC_BENCH_LARGE") != "":
		sizes = append(sizes, 300_000)
	}
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w, slapd := newTree(b, n)
			d := w.open()
			defer d.Close()
			_, err := d.Engine.Sync(b.Context(), reconcile.RunOptions{Trigger: "bench", RequestedBy: "bench"})
			require.NoError(b, err)
			var read, run time.Duration
			rounds := 0
			for b.Loop() {
				b.StopTimer()
				time.Sleep(2 * time.Second) // runs do not follow each other at once: the rate has gathered again
				began := time.Now()
				require.Equal(b, n+slapdtest.CrowdGroups(n)+1, bareTree(b, slapd.URL))
				read += time.Since(began)
				b.StartTimer()
				began = time.Now()
				rep, err := d.Engine.Sync(b.Context(), reconcile.RunOptions{Trigger: "bench", RequestedBy: "bench"})
				run += time.Since(began)
				rounds++
				require.NoError(b, err)
				require.Equal(b, state.RunDone, rep.Status)
				require.Equal(b, 0, rep.Decided)
				require.Equal(b, n, rep.Plan.Unchanged)
			}
			b.ReportMetric(float64(run)/float64(rounds)/float64(n), "ns/person")
			b.ReportMetric(float64(read)/float64(rounds), "read-ns")
			b.ReportMetric(float64(run)/float64(read), "x-read")
			w.mmsync("sync", "-q").exits(0) // another version of the program decides anew once
			if peak := w.peakOf("sync", "-q"); peak > 0 {
				b.ReportMetric(peak, "peak-MB")
			}
		})
	}
}

// newTree is a world of n people in a directory, who all have their accounts.
func newTree(b *testing.B, n int) (*world, *slapdtest.Server) {
	b.Helper()
	slapd := slapdtest.Start(b, slapdtest.Options{LDIF: slapdtest.Crowd(n, anchorOf), NoTLS: true})
	w := newWorld(b, sqliteStore(), settings{
		extra: fmt.Sprintf(`  - name: corp
    type: ldap
    connection_url: [%s]
    bind_username: %s
    bind_password: %s
    base_dn: %s
    user_filter: (objectClass=inetOrgPerson)
    disabled_when: 'attr.employeeType == "disabled"'
    groups: {membership_attribute: member, base_dn: %q, nested: walk}
`, slapd.URL, slapdtest.ReaderDN, slapdtest.ReaderPassword, slapdtest.PeopleDN, slapdtest.GroupsDN),
		sections: fmt.Sprintf(`mapping:
  defaults:
    id_attribute: attr.entryUUID
    username_attribute: lower(attr.uid)
    email_attribute: lower(attr.mail)
    first_name_attribute: attr.givenName
    last_name_attribute: attr.sn
roles:
  - {role: system_admin, source: corp, groups: [%q], grant: allow}
`, slapdtest.CrowdAdmins),
	})
	w.defaultRate()
	long := time.Now().Add(-90 * 24 * time.Hour).UnixMilli()
	users := make([]mmsim.User, n)
	for i := range users {
		name := fmt.Sprintf("u%d", i)
		users[i] = mmsim.User{Username: name, Email: name + "@example.test", FirstName: "Given", LastName: fmt.Sprintf("Name%d", i), CreateAt: long, UpdateAt: long}
	}
	w.link(w.sim.AddUsers(users))
	w.mmsync("sync", "-q").exits(0)
	w.letTimePass()
	w.mmsync("sync", "-q").exits(0)
	return w, slapd
}

// bareTree reads what the source reads, with the library alone, and counts it.
func bareTree(t testing.TB, url string) int {
	t.Helper()
	c, err := ldap.DialURL(url)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Bind(slapdtest.ReaderDN, slapdtest.ReaderPassword))
	n := 0
	for _, q := range []struct {
		base, filter string
		attributes   []string
	}{
		{slapdtest.GroupsDN, "(member=*)", []string{"member", "objectClass"}},
		{slapdtest.PeopleDN, "(objectClass=inetOrgPerson)", []string{"employeeType", "entryUUID", "givenName", "mail", "sn", "uid"}},
	} {
		paging := ldap.NewControlPaging(1000)
		for {
			res, err := c.Search(ldap.NewSearchRequest(q.base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, q.filter, q.attributes, []ldap.Control{paging}))
			require.NoError(t, err)
			n += len(res.Entries)
			next, ok := ldap.FindControl(res.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
			require.True(t, ok)
			if len(next.Cookie) == 0 {
				break
			}
			paging.SetCookie(next.Cookie)
		}
	}
	return n
}
