package e2e_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/addrtest"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/slapdtest"
)

// used is what a service holds at one time.
type used struct {
	goroutines, descriptors int
	memory                  int // resident, in KiB
}

var (
	goroutines = regexp.MustCompile(`(?m)^go_goroutines (\d+)`)
	resident   = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB`)
)

// used measures a service.
func (s *service) used(admin string) used {
	s.t.Helper()
	number := func(m [][]byte) int {
		require.Len(s.t, m, 2)
		n, err := strconv.Atoi(string(m[1]))
		require.NoError(s.t, err)
		return n
	}
	text := got(s.t, "http://"+admin+"/metrics")
	proc := fmt.Sprintf("/proc/%d", s.cmd.Process.Pid)
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	require.NoError(s.t, err)
	files, err := os.ReadDir(filepath.Join(proc, "fd"))
	require.NoError(s.t, err)
	return used{number(goroutines.FindSubmatch(text)), len(files), number(resident.FindSubmatch(status))}
}

// got gives what an address answers, whatever its status.
func got(t testing.TB, address string) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return text
}

// middle gives the median of one thing in a list.
func middle(list []used, of func(used) int) int {
	sorted := slices.SortedFunc(slices.Values(list), func(a, b used) int { return cmp.Compare(of(a), of(b)) })
	return of(sorted[len(sorted)/2])
}

// MMSYNC_TEST_SOAK=30m is the whole of it; the usual form only shows that it works.
func TestSoak(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("what a program holds is read from /proc")
	}
	slapdtest.Require(t)
	length, people := 20*time.Second, 60
	if text := os.Getenv("MMSYNC_TEST_SOAK"); text != "" {
		var err error
		length, err = time.ParseDuration(text)
		require.NoError(t, err)
		people = 1000
	}
	for _, st := range stores() {
		t.Run(st.name+"/a service that is pushed to, runs, and meets faults holds no more at the end than at the beginning", func(t *testing.T) {
			t.Parallel()
			admin, err := addrtest.Free()
			require.NoError(t, err)
			dir := slapdtest.Start(t, slapdtest.Options{Users: people})
			w := newWorld(t, st, settings{
				ldap: dir.URL, scim: []string{"idp"}, guards: "{count: 1000000, percent: 100}",
				limits: "  max_updates: {count: 10000000}\n  max_creates: {count: 1000000}\n  max_reactivations: {count: 1000000}\n",
				sections: fmt.Sprintf("admin: {listen: %q}\nschedule: {runs: [{name: often, every: %s}]}\n", admin, max(5*time.Second, length/60)) +
					"notices: {sinks: [{name: ops, type: mattermost, channel: ops/identity}]}\n",
			})
			w.channel("ops", "identity")
			w.knowForeign()                                                                                       // whoever made the channel was changed by it
			w.mmsync("token", "create", "--source", "idp", "--name", "ending", "--expires", "24h", "-q").exits(0) // which is told
			roster := slices.DeleteFunc(slapdtest.Roster(people), func(p slapdtest.Person) bool { return p.Disabled })
			for i, f := range []mmsim.Fault{
				{Probability: 0.01, Status: http.StatusBadGateway},
				{Probability: 0.005, Status: http.StatusTooManyRequests},
				{Probability: 0.005, CutBefore: true},
				{Probability: 0.005, CutAfter: true},
				{Probability: 0.05, Latency: 50 * time.Millisecond},
			} {
				f.Seed = uint64(i)
				w.sim.Fail(f)
			}
			s := w.serve()
			c := &crowd{f: &fleet{w: w, services: []*service{s}, down: []bool{false}}, p: w.provider("idp"), wishes: make([]wish, people)}
			ctx, end := context.WithTimeout(t.Context(), length)
			defer end()
			var work sync.WaitGroup
			var fault error
			work.Go(func() { fault = c.push(ctx, 20) })
			var seen []used
			for tick := time.NewTicker(length / 60); ; {
				seen = append(seen, s.used(admin))
				select {
				case <-tick.C:
					dir.Modify(roster[len(seen)%len(roster)].DN, "title", fmt.Sprintf("Keeper %d", len(seen)))
					for _, page := range []string{"/", "/readyz"} {
						got(t, "http://"+admin+page)
					}
					w.sim.ResetCalls()
					continue
				case <-ctx.Done():
					tick.Stop()
				}
				break
			}
			work.Wait()
			require.NoError(t, fault)
			// The first fifth is for what grows until it is in use.
			seen = seen[len(seen)/5:]
			first, last := seen[:len(seen)/3], seen[len(seen)*2/3:]
			for name, of := range map[string]func(used) int{
				"goroutines":  func(u used) int { return u.goroutines },
				"descriptors": func(u used) int { return u.descriptors },
				"memory, KiB": func(u used) int { return u.memory },
			} {
				a, b := middle(first, of), middle(last, of)
				t.Logf("%s: %d at first, %d at last, %d pushes", name, a, b, c.taken.Load())
				switch {
				case length >= 10*time.Minute:
					require.LessOrEqual(t, b, a+a/5+5, name)
				case name != "memory, KiB": // what leaks with each push or run shows at once
					require.LessOrEqual(t, b, a+a/2+20, name)
				}
			}
			s.end()
		})
	}
}
