package e2e_test

import (
	"fmt"
	"os"
	"slices"
	"syscall"
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
//	ns/op          one run of the engine, the median
//	read-ns        one bare paged read of the same entries and attributes with the
//	               library alone, in turns with it
//	x-read         the run in bare reads, the median
//	cpu-ns/person  processor time of this process, the simulated Mattermost's included
//	x-even         x-read in that of the smallest directory: what has to stay even
//	peak-MB        the largest resident set of the real program doing it
//
// and of a run that asks what changed, which one person has,
//
//	delta-ms       the run, the change in Mattermost included, the median
//	delta-MB       the largest resident set of the real program doing it
//
// Names bear the limits that are wanted. 300,000 people are measured if
// MMSYNC_BENCH_LARGE is set.
func BenchmarkFullRun(b *testing.B) {
	sizes := []int{10_000, 100_000}
	switch {
	case testing.Short():
		sizes = []int{1000}
	case os.Getenv("MMSYNC_BENCH_LARGE") != "":
		sizes = append(sizes, 300_000)
	}
	smallest := 0.0 // its x-read
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w, slapd := newTree(b, n)
			d := w.open()
			defer d.Close()
			_, err := d.Engine.Sync(b.Context(), reconcile.RunOptions{Trigger: "bench", RequestedBy: "bench"})
			require.NoError(b, err)
			var runs, reads, ratios, cpu []float64
			round := func() {
				b.StopTimer()
				time.Sleep(2 * time.Second) // runs do not follow each other at once: the rate has gathered again
				began := time.Now()
				require.Equal(b, n+slapdtest.CrowdGroups(n)+1, bareTree(b, slapd.URL))
				read := time.Since(began)
				b.StartTimer()
				used := processorTime(b)
				began = time.Now()
				rep, err := d.Engine.Sync(b.Context(), reconcile.RunOptions{Trigger: "bench", RequestedBy: "bench"})
				run := time.Since(began)
				used = processorTime(b) - used
				require.NoError(b, err)
				require.Equal(b, state.RunDone, rep.Status)
				require.Equal(b, 0, rep.Decided)
				require.Equal(b, n, rep.Plan.Unchanged)
				runs, reads, ratios, cpu = append(runs, float64(run)), append(reads, float64(read)), append(ratios, float64(run)/float64(read)), append(cpu, float64(used)/float64(n))
			}
			for b.Loop() {
				round()
			}
			for len(ratios) < 5 { // of fewer there is no median to speak of
				round()
			}
			if smallest == 0 {
				smallest = median(ratios)
			}
			b.ReportMetric(median(runs), "ns/op")
			b.ReportMetric(median(reads), "read-ns")
			b.ReportMetric(median(ratios), "x-read(max-1.3)")
			b.ReportMetric(median(cpu), "cpu-ns/person")
			b.ReportMetric(median(ratios)/smallest, "x-even(max-1.1)")
			w.mmsync("sync", "-q").exits(0) // another version of the program decides anew once
			if peak := w.peakOf("sync", "-q"); peak > 0 {
				b.ReportMetric(peak, "peak-MB(max-200-at-100000)")
			}
			w.changesOnly(b, d.Engine, slapd)
		})
	}
}

// changesOnly measures runs that ask what changed.
func (w *world) changesOnly(b *testing.B, e *reconcile.Engine, slapd *slapdtest.Server) {
	b.Helper()
	o := reconcile.RunOptions{Trigger: "bench", RequestedBy: "bench"}
	_, err := e.Sync(b.Context(), o) // the program's version is this process's again
	require.NoError(b, err)
	var took []float64
	change := func(i int) {
		slapd.Modify(fmt.Sprintf("uid=u%d,%s", i, slapdtest.PeopleDN), "givenName", fmt.Sprintf("Other%d", i))
	}
	for i := range 9 {
		change(i)
		time.Sleep(time.Second) // as the rate gathers between runs
		began := time.Now()
		rep, err := e.Sync(b.Context(), reconcile.RunOptions{Trigger: "bench", RequestedBy: "bench", Changes: true})
		took = append(took, float64(time.Since(began).Microseconds())/1000)
		require.NoError(b, err)
		require.Equal(b, state.RunDone, rep.Status)
		require.Equal(b, 1, rep.Counts.Done)
		require.Less(b, rep.Plan.Unchanged, 20, "only what changed was read, and those before are looked at again")
	}
	b.ReportMetric(median(took), "delta-ms(max-300)")
	w.mmsync("sync", "-q").exits(0)
	change(10)
	if peak := w.peakOf("sync", "--changes", "-q"); peak > 0 {
		b.ReportMetric(peak, "delta-MB(max-60)")
	}
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}

// processorTime is what this process has used so far.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// newTree is a world of n people in a directory, who all have their accounts.
func newTree(b *testing.B, n int) (*world, *slapdtest.Server) {
	b.Helper()
	slapd := slapdtest.Start(b, slapdtest.Options{LDIF: slapdtest.Crowd(n, anchorOf), NoTLS: true, Written: time.Now().Add(-time.Hour)})
	// Somebody was written to after the others, as in any directory that is in use.
	slapd.Modify("uid=u0,"+slapdtest.PeopleDN, "employeeType", "staff")
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
