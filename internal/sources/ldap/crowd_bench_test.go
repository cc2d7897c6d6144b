package ldap_test

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

// BenchmarkSnapshot_crowd compares a full read with nested groups, by somebody who knew
// everybody to be as he is, against a bare paged read of the same people and groups,
// taken in turns: ratio by one with the library alone, x-lean by one that decodes as the
// source does. heap-MB is the most that was in use meanwhile, garbage included.
// MMSYNC_BENCH_LARGE measures 300,000 people as well.
func BenchmarkSnapshot_crowd(b *testing.B) {
	sizes := []int{10_000, 100_000}
	switch {
	case testing.Short():
		sizes = []int{2000}
	case os.Getenv("MMSYNC_BENCH_LARGE") != "":
		sizes = append(sizes, 300_000)
	}
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			anchor := func(i int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", i, i) }
			srv := slapdtest.Start(b, slapdtest.Options{LDIF: slapdtest.Crowd(n, anchor), NoTLS: true})
			s := newSource(b, srv.URL, func(o *ldap.Options) {
				o.PageSize, o.BaseDN = 1000, slapdtest.PeopleDN
				o.Groups = ldap.GroupOptions{Mode: "search", BaseDN: slapdtest.GroupsDN, Nested: "walk"}
				o.Mapper = mapper(b, admins(slapdtest.CrowdAdmins))
			})
			bare := func(dial dialer) time.Duration {
				start := time.Now()
				got := bareSearch(b, srv, dial, "(member=*)", "member", "objectClass") + bareRead(b, srv, dial)
				require.Equal(b, n+slapdtest.CrowdGroups(n)+1, got)
				return time.Since(start)
			}
			bare(ldap.DialLean)                              // warms the server's cache
			defer debug.SetGCPercent(debug.SetGCPercent(50)) // as the program has it
			var ours, floor, lean time.Duration
			var peak uint64
			for b.Loop() {
				watched := watchHeap()
				start := time.Now()
				snap, err := s.Snapshot(b.Context(), func(identity.Identity) bool { return true })
				ours += time.Since(start)
				peak = max(peak, watched())
				require.NoError(b, err)
				require.True(b, snap.Complete, snap.Incomplete)
				require.Equal(b, n, snap.Entries)
				b.StopTimer()
				floor += bare(byLibrary)
				lean += bare(ldap.DialLean)
				b.StartTimer()
			}
			b.ReportMetric(float64(ours)/float64(floor), "ratio")
			b.ReportMetric(float64(ours)/float64(lean), "x-lean")
			b.ReportMetric(float64(peak)/1e6, "heap-MB")
			b.ReportMetric(ours.Seconds()*1e9/float64(b.N)/float64(n), "ns/person")
		})
	}
}

// BenchmarkSnapshot_largeGroup reads one group of 100,000 people. heap-MB has to stay
// below 150.
func BenchmarkSnapshot_largeGroup(b *testing.B) {
	n := 100_000
	if testing.Short() {
		n = 2000
	}
	var ldif strings.Builder
	fmt.Fprintf(&ldif, "dn: %s\nobjectClass: groupOfNames\ncn: large\n", slapdtest.GroupDN("large"))
	for i := range n {
		fmt.Fprintf(&ldif, "member: uid=u%d,%s\n", i, slapdtest.PeopleDN)
	}
	srv := slapdtest.Start(b, slapdtest.Options{Users: 10, LDIF: ldif.String(), NoTLS: true})
	s := newSource(b, srv.URL, func(o *ldap.Options) {
		o.Groups.Mode, o.Mapper = "search", mapper(b, admins(slapdtest.GroupDN("large")))
	})
	defer debug.SetGCPercent(debug.SetGCPercent(50)) // as the program has it
	var peak uint64
	for b.Loop() {
		watched := watchHeap()
		snap := snapshot(b, s)
		peak = max(peak, watched())
		require.True(b, snap.Complete, snap.Incomplete)
	}
	b.ReportMetric(float64(peak)/1e6, "heap-MB(max-150)")
}

// watchHeap begins to watch; what it gives ends that and tells the most that was in use.
func watchHeap() func() uint64 {
	runtime.GC()
	stop, done := make(chan struct{}), make(chan uint64)
	go func() {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}}
		peak := uint64(0)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			metrics.Read(sample)
			peak = max(peak, sample[0].Value.Uint64()+sample[1].Value.Uint64())
			select {
			case <-stop:
				done <- peak
				return
			case <-tick.C:
			}
		}
	}()
	return func() uint64 { close(stop); return <-done }
}
