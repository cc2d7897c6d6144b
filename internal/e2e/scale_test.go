package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

// BenchmarkSettled is a run over very many people, all with an account, and
// nothing to do, with the rate limit and everything else as an installation has
// it. The directory is a file. It reports
//
//	ns/op        one run of the engine
//	ns/person    the same, of each person: what has to stay even
//	requests     to the server; wanted at 100,000: at most 20
//	server-ms    from the first request to the last; wanted at 100,000: at most 500
//	decided      people about whom anything had to be decided; wanted: 0
//	peak-MB      the largest resident set of the real program doing it; wanted at
//	             100,000: at most 120
//
// and, with one account changed on the server, how many decisions that took. A
// million people are measured if MMSYNC_BENCH_LARGE is set.
func BenchmarkSettled(b *testing.B) {
	for _, st := range stores() {
		sizes := []int{10_000, 100_000}
		switch {
		case testing.Short():
			sizes = []int{100, 1000}
		case os.Getenv("MMSYNC_BENCH_LARGE") != "": // takes minutes to set up
			sizes = append(sizes, 1_000_000)
		}
		for _, n := range sizes {
			b.Run(fmt.Sprintf("%s/%d", st.name, n), func(b *testing.B) {
				w := newCrowd(b, st, n)
				d := w.open()
				defer d.Close()
				// Another version of the program decides anew once.
				_, err := d.Engine.Sync(b.Context(), reconcile.RunOptions{Trigger: "bench", RequestedBy: "bench"})
				require.NoError(b, err)
				var ran, served time.Duration
				requests, rounds := 0, 0
				for b.Loop() {
					b.StopTimer()
					time.Sleep(2 * time.Second) // runs do not follow each other at once: the rate has gathered again
					b.StartTimer()
					w.sim.ResetCalls()
					began := time.Now()
					rep, err := d.Engine.Sync(b.Context(), reconcile.RunOptions{Trigger: "bench", RequestedBy: "bench"})
					ran += time.Since(began)
					rounds++
					require.NoError(b, err)
					require.Equal(b, state.RunDone, rep.Status)
					require.Equal(b, 0, rep.Decided)
					require.Equal(b, n, rep.Plan.Unchanged)
					calls := w.sim.Calls()
					requests += len(calls)
					served += calls[len(calls)-1].At.Sub(calls[0].At)
				}
				b.ReportMetric(float64(ran)/float64(rounds)/float64(n), "ns/person")
				b.ReportMetric(float64(requests)/float64(rounds), "requests")
				b.ReportMetric(float64(served.Milliseconds())/float64(rounds), "server-ms")
				b.ReportMetric(0, "decided")
				w.oneChanged(b, d.Engine, n)
				w.mmsync("sync", "-q").exits(0)
				if peak := w.peakOf("sync", "-q"); peak > 0 {
					b.ReportMetric(peak, "peak-MB")
				}
			})
		}
	}
}

// oneChanged edits one account behind mmsync's back.
func (w *world) oneChanged(b *testing.B, e *reconcile.Engine, n int) {
	b.Helper()
	now := w.user("u7")
	w.sim.SetUser(now.ID, func(u *mmsim.User) {
		u.Position, u.UpdateAt = "Emperor", time.Now().Add(4*time.Hour).UnixMilli()
	})
	rep, err := e.Sync(b.Context(), reconcile.RunOptions{Trigger: "bench", RequestedBy: "bench"})
	require.NoError(b, err)
	require.Equal(b, 1, rep.Decided, "one account changed is one decision")
	require.Equal(b, 1, rep.Counts.Done)
	require.Equal(b, n-1, rep.Plan.Unchanged)
	b.ReportMetric(float64(rep.Decided), "decided-of-one")
}

// newCrowd is a world of n people who all have their accounts, seen before and
// with nothing to do.
func newCrowd(b *testing.B, st store, n int) *world {
	b.Helper()
	w := newWorld(b, st, settings{extra: "  - {name: corp, type: file, path: people.csv}\n"})
	w.defaultRate()
	long := time.Now().Add(-90 * 24 * time.Hour).UnixMilli()
	users := make([]mmsim.User, n)
	f, err := os.Create(filepath.Join(w.dir, "people.csv"))
	require.NoError(b, err)
	out := bufio.NewWriter(f)
	fmt.Fprintln(out, "entryUUID,uid,mail,givenName,sn,title")
	for i := range users {
		u := mmsim.User{Username: fmt.Sprintf("u%d", i), FirstName: "Given", LastName: fmt.Sprintf("Name%d", i), CreateAt: long, UpdateAt: long}
		u.Email = u.Username + "@example.test"
		fmt.Fprintf(out, "%s,%s,%s,%s,%s,\n", anchorOf(i), u.Username, u.Email, u.FirstName, u.LastName)
		users[i] = u
	}
	require.NoError(b, out.Flush())
	require.NoError(b, f.Close())
	users = w.sim.AddUsers(users)
	w.link(users)
	// The first run settles everybody; with the clock moved on, the
	// second lets the mark go on.
	w.mmsync("sync", "-q").exits(0)
	w.letTimePass()
	w.mmsync("sync", "-q").exits(0)
	return w
}

func anchorOf(i int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", i, i) }

// link makes the links of people that mmsync would have created.
func (w *world) link(users []mmsim.User) {
	w.t.Helper()
	ctx := context.WithoutCancel(w.t.Context())
	w.mmsync("state", "migrate").exits(0)
	s := w.openStore()
	defer s.Close()
	l, err := s.AcquireLease(ctx, "reconcile", "bench", time.Minute)
	require.NoError(w.t, err)
	links := make([]identity.Link, 0, 10_000)
	for i := range users {
		u := &users[i]
		p := identity.Profile{Username: u.Username, Email: u.Email, FirstName: u.FirstName, LastName: u.LastName}
		links = append(links, identity.Link{
			Key:       identity.Key{Source: "corp", Anchor: anchorOf(i)},
			AccountID: u.ID, Part: identity.Owner, Origin: identity.OriginCreated,
			Applied: identity.Applied{Profile: p, Active: true}, CreatedAt: time.Now().Add(-time.Hour), UpdatedAt: time.Now().Add(-time.Hour),
		})
		if len(links) == cap(links) || i == len(users)-1 {
			require.NoError(w.t, s.PutLinks(ctx, l, links))
			links = links[:0]
		}
	}
	// Walking a million accounts page by page is what a simulator is slow at.
	now, err := s.Now(ctx)
	require.NoError(w.t, err)
	require.NoError(w.t, s.SetMark(ctx, l, state.Mark{Name: "audit", At: now}))
	require.NoError(w.t, s.ReleaseLease(ctx, l))
}

// defaultRate takes the rate limit of tests out of the configuration.
func (w *world) defaultRate() {
	w.t.Helper()
	text, err := os.ReadFile(w.config)
	require.NoError(w.t, err)
	require.NoError(w.t, os.WriteFile(w.config, []byte(strings.Replace(string(text), "  rate_limit: {per_second: 100000}\n", "", 1)), 0o600))
}
