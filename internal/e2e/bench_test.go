package e2e_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/state"
)

// BenchmarkNoChange is the run that happens most: 20,000 people, all with an
// account, and nothing to do. It reports
//
//	ns/op     one run of the engine
//	read-ns   one bare paged read of the same entries and attributes
//	x-read    the run in bare reads; wanted: at most 2
//	peak-MB   the largest resident set of the real program doing it; wanted: below 150
func BenchmarkNoChange(b *testing.B) {
	for _, st := range stores() {
		b.Run(st.name, func(b *testing.B) {
			n := 20_833 // 20,000 of them have not left
			if testing.Short() {
				n = 1041
			}
			slapd := slapdtest.Start(b, slapdtest.Options{Users: n, NoTLS: true})
			w := newWorld(b, st, settings{ldap: slapd.URL, pageSize: 1000})
			w.mmsync("sync", "-q", "--limit-lines", "1").exits(0)
			w.letTimePass()
			// The first run after writes reads all accounts, and lets the mark go on.
			w.mmsync("sync", "-q").exits(0)

			w.sim.ResetCalls()
			peak := w.peakOf("sync", "-q")
			require.Empty(b, w.sim.Writes())
			w.requireSince(b)

			d := w.open()
			defer d.Close()
			var read, run time.Duration
			rounds := 0
			for b.Loop() {
				b.StopTimer()
				began := time.Now()
				require.Equal(b, n, bareRead(b, slapd.URL))
				read += time.Since(began)
				b.StartTimer()
				began = time.Now()
				rep, err := d.Engine.Sync(b.Context(), reconcile.RunOptions{Trigger: "bench", RequestedBy: "bench"})
				run += time.Since(began)
				rounds++
				require.NoError(b, err)
				require.Equal(b, state.RunDone, rep.Status)
				require.False(b, rep.Plan.Effective())
			}
			b.ReportMetric(float64(read)/float64(rounds), "read-ns")
			b.ReportMetric(float64(run)/float64(read), "x-read")
			if peak > 0 {
				b.ReportMetric(peak, "peak-MB")
			}
		})
	}
}

// peakOf runs the program and gives the largest resident set it was seen with,
// in MB; 0 where the system has no /proc. What wait(2) tells is no use: it
// counts this process as well, from which the program was started.
func (w *world) peakOf(args ...string) float64 {
	w.t.Helper()
	p := w.start(args...)
	high := regexp.MustCompile(`VmHWM:\s+(\d+) kB`)
	var peak atomic.Int64
	ended, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for tick := time.NewTicker(2 * time.Millisecond); ; {
			text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid)) // it may have ended
			if m := high.FindSubmatch(text); m != nil {
				if kb, err := strconv.ParseInt(string(m[1]), 10, 64); err == nil {
					peak.Store(kb)
				}
			}
			select {
			case <-ended:
				return
			case <-tick.C:
			}
		}
	}()
	r := p.wait()
	close(ended)
	<-watched
	r.exits(0)
	return float64(peak.Load()) * 1024 / 1e6
}

// letTimePass moves the server's clock on beyond the overlap of observation
// passes, and lets one person visit the server since.
func (w *world) letTimePass() {
	const later = 3 * time.Hour
	w.sim.SetClockOffset(later)
	for _, u := range w.managed() {
		w.sim.SetUser(u.ID, func(u *mmsim.User) { u.UpdateAt += later.Milliseconds() })
		return
	}
}

// requireSince fails unless most accounts were asked for by what changed.
func (w *world) requireSince(t testing.TB) {
	t.Helper()
	for _, c := range w.sim.Calls() {
		if strings.HasSuffix(c.Path, "/users/ids") && strings.Contains(c.RawQuery, "since=") {
			return
		}
	}
	require.Fail(t, "no account was asked for by what changed")
}

// open brings the world's configuration to life in this process.
func (w *world) open() *daemon.Daemon {
	w.t.Helper()
	env := func(name string) (string, bool) {
		if name == "MMSYNC_E2E_TOKEN" {
			return w.sim.AdminToken(), true
		}
		return os.LookupEnv(name)
	}
	c, err := config.Load(w.config, env)
	require.NoError(w.t, err)
	d, err := daemon.Open(context.WithoutCancel(w.t.Context()), c, daemon.Options{Logger: slog.New(slog.DiscardHandler), Version: "bench"})
	require.NoError(w.t, err)
	return d
}

// bareRead reads what the source reads, with the library alone, and counts it.
func bareRead(t testing.TB, url string) int {
	t.Helper()
	c, err := ldap.DialURL(url)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Bind(slapdtest.ReaderDN, slapdtest.ReaderPassword))
	req := ldap.NewSearchRequest(slapdtest.PeopleDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=inetOrgPerson)",
		[]string{"entryUUID", "uid", "mail", "givenName", "sn", "title", "employeeType", "memberOf"}, nil)
	paging := ldap.NewControlPaging(1000)
	req.Controls = []ldap.Control{paging}
	n := 0
	for {
		res, err := c.Search(req)
		require.NoError(t, err)
		n += len(res.Entries)
		next, ok := ldap.FindControl(res.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if !ok || len(next.Cookie) == 0 {
			return n
		}
		paging.SetCookie(next.Cookie)
	}
}
