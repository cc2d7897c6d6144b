package reconcile_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

func cutKinds() []cutKind {
	return []cutKind{beforeWrite, afterWrite, beforeRequest, afterRequest, lostRequest, lostAnswer}
}

// step is how far apart the places are at which a run is cut: usual, or 1 if
// MMSYNC_TEST_EVERY says so.
func step(usual int) int {
	switch {
	case os.Getenv("MMSYNC_TEST_EVERY") != "":
		return 1
	case underRace: // make cuts plays them without the detector
		return usual * 15
	case testing.Short():
		return usual * 5
	}
	return usual
}

// step is wider where each run takes longer.
func (s setting) step(usual int) int {
	if s.postgres {
		usual *= 3
	}
	return step(usual)
}

func settings() []setting {
	return []setting{
		{name: "sqlite", logins: true},
		{name: "sqlite, 5.38", profile: mmsim.Profile538, logins: true},
		{name: "postgres", postgres: true, logins: true},
	}
}

func TestEngine_Crash(t *testing.T) {
	t.Parallel()
	for _, at := range settings() {
		for _, kind := range cutKinds() {
			t.Run(fmt.Sprintf("%s/%s/every one is survived", at.name, kind), func(t *testing.T) {
				t.Parallel()
				tpl := newTemplate(t, at)
				apart := at.step(7)
				n := 1 + rand.IntN(apart) //nolint:gosec // where to begin; failures name the place
				cuts := 0
				for ; tpl.cutAt(t, kind, n, 1); n += apart {
					cuts++
				}
				require.Greater(t, n, 30, "places to cut at")
				t.Logf("cut at %d of about %d places", cuts, n)
			})
		}
		t.Run(at.name+"/with several workers at random places", func(t *testing.T) {
			t.Parallel()
			tpl := newTemplate(t, at)
			for _, kind := range cutKinds() {
				for n := 3; n < 120; n += at.step(50) {
					tpl.cutAt(t, kind, n, 4)
				}
			}
		})
		t.Run(at.name+"/two in a row", func(t *testing.T) {
			t.Parallel()
			tpl := newTemplate(t, at)
			kinds := cutKinds()[:4] // the others let the process live
			for range 60 / at.step(5) {
				first, second := kinds[rand.IntN(len(kinds))], kinds[rand.IntN(len(kinds))] //nolint:gosec // where to cut; failures name the places
				tpl.cutTwice(t, first, 1+rand.IntN(90), second, 1+rand.IntN(60))            //nolint:gosec // the same
			}
		})
	}
}

// cutAt runs a sync that is cut at the n-th place, and the syncs after it. It
// tells whether there was such a place.
func (tpl template) cutAt(t *testing.T, kind cutKind, n, workers int) (hit bool) {
	t.Helper()
	w := tpl.start(t)
	name := fmt.Sprintf("%s %d", kind, n)
	if kind == lostRequest || kind == lostAnswer {
		over := w.sim.Fail(mmsim.Fault{Skip: n - 1, Count: 1, CutBefore: kind == lostRequest, CutAfter: kind == lostAnswer})
		_, err := w.sync(tpl.after(), wiring{change: tpl.with(workers)})
		over()
		hit = len(w.sim.Calls()) >= n
		if !hit {
			require.NoError(t, err, name)
		}
	} else {
		hit = tpl.dieAt(t, w, kind, n, workers)
	}
	tpl.converges(t, w, name, workers)
	w.checkJournal(t, name)
	return hit
}

func (tpl template) with(workers int) func(*reconcile.Options) {
	return func(o *reconcile.Options) {
		tpl.policy(o)
		o.Workers = workers
	}
}

// dieAt runs a sync whose process dies at the n-th place; it tells whether there
// was such a place.
func (tpl template) dieAt(t *testing.T, w *world, kind cutKind, n, workers int) bool {
	t.Helper()
	c := &crash{at: int64(n), kind: kind}
	rep, err := w.sync(tpl.after(), wiring{
		wrap: func(s state.Store) state.Store { return mortal{s, c} }, network: c, change: tpl.with(workers),
	})
	switch {
	case c.dead.Load() && err == nil: // the run had ended, the second look had not
		require.Contains(t, strings.Join(rep.Problems, "\n"), errCrash.Error(), "%s %d", kind, n)
	case c.dead.Load():
		require.ErrorIs(t, err, errCrash, "%s %d", kind, n)
	default:
		require.NoError(t, err, "%s %d", kind, n)
	}
	return c.dead.Load()
}

// cutTwice cuts the run that follows a run that was cut.
func (tpl template) cutTwice(t *testing.T, first cutKind, n int, second cutKind, m int) {
	t.Helper()
	w := tpl.start(t)
	tpl.dieAt(t, w, first, n, 2)
	tpl.dieAt(t, w, second, m, 2)
	name := fmt.Sprintf("%s %d, then %s %d", first, n, second, m)
	tpl.converges(t, w, name, 2)
	w.checkJournal(t, name)
}

// converges runs until there is nothing to do any more, and looks at the world.
func (tpl template) converges(t *testing.T, w *world, name string, workers int) {
	t.Helper()
	people := tpl.after()
	with := wiring{change: tpl.with(workers)}
	for i := 0; ; i++ {
		_, err := w.sync(people, with)
		require.NoError(t, err, name)
		if rep := w.plan(people, with); !rep.Plan.Effective() && len(rep.Plan.Decisions) == 0 {
			break
		} else if i == 4 {
			require.Fail(t, "no rest", "%s: after five runs:\n%+v", name, rep.Plan.Decisions)
		}
	}
	w.check(t, name, people, tpl)
	if tpl.logins {
		w.checkSessions(t, name, "lora")
	}
}

// fault is what goes wrong with one request.
type fault struct {
	name  string
	fault mmsim.Fault
	// unfaithful faults answer calls as done that were not, so that the journal
	// cannot be compared with the calls.
	unfaithful bool
	rare       bool          // takes long
	settle     time.Duration // how long what was written may take to show
}

func faults() []fault {
	return []fault{
		{name: "slow and cut", fault: mmsim.Fault{Latency: 3 * time.Millisecond, CutAfter: true}},
		{name: "too many requests", fault: mmsim.Fault{Status: http.StatusTooManyRequests}, rare: true},
		{name: "broken", fault: mmsim.Fault{Status: http.StatusInternalServerError}},
		{name: "database away", fault: mmsim.Fault{DatabaseAway: true, Count: 4}},
		{name: "write lost", fault: mmsim.Fault{LostWrite: true}, unfaithful: true},
		{name: "web page", fault: mmsim.Fault{HTML: true}, unfaithful: true},
		{name: "redirect", fault: mmsim.Fault{Redirect: "https://portal.example.test/"}},
		{name: "old rows", fault: mmsim.Fault{CacheLag: 50 * time.Millisecond, Count: 20}, settle: time.Second, unfaithful: true}, // of an account that was just made it knows nothing
	}
}

func TestEngine_Faults(t *testing.T) {
	t.Parallel()
	for _, at := range []setting{{name: "sqlite", logins: true}, {name: "postgres", postgres: true, logins: true}} {
		for _, f := range faults() {
			t.Run(at.name+"/"+f.name+"/is survived at every request", func(t *testing.T) {
				t.Parallel()
				tpl := newTemplate(t, at)
				apart := at.step(10)
				if f.rare {
					apart *= 4
				}
				n := 1 + rand.IntN(apart) //nolint:gosec // where to begin; failures name the place
				for ; ; n += apart {
					w := tpl.start(t)
					one := f.fault
					one.Skip, one.Count = n-1, max(one.Count, 1)
					over := w.sim.Fail(one)
					_, err := w.sync(tpl.after(), wiring{change: tpl.with(2), target: mattermost.TargetOptions{SettleFor: f.settle}})
					over()
					last := len(w.sim.Calls()) < n
					if last {
						require.NoError(t, err)
					}
					name := fmt.Sprintf("%s %d", f.name, n)
					tpl.converges(t, w, name, 2)
					if !f.unfaithful {
						w.checkJournal(t, name)
					}
					if last {
						break
					}
				}
				require.Greater(t, n, 30, "requests")
			})
		}
		t.Run(at.name+"/the server's clock is set", func(t *testing.T) {
			t.Parallel()
			tpl := newTemplate(t, at)
			for _, by := range []time.Duration{time.Hour, -time.Hour} {
				for n := 1 + rand.IntN(at.step(20)); n < 100; n += at.step(20) { //nolint:gosec // where to begin
					w := tpl.start(t)
					var seen atomic.Int64
					_, err := w.sync(tpl.after(), wiring{change: tpl.with(1), network: network(func(r *http.Request) (*http.Response, error) {
						if seen.Add(1) == int64(n) {
							w.sim.SetClockOffset(by)
						}
						return http.DefaultTransport.RoundTrip(r)
					})})
					name := fmt.Sprintf("clock set by %s at %d", by, n)
					require.NoError(t, err, name)
					tpl.converges(t, w, name, 1)
					w.checkJournal(t, name)
				}
			}
		})
	}
	t.Run("people who save their profiles all the time", func(t *testing.T) {
		t.Parallel()
		tpl := newTemplate(t, setting{name: "sqlite", races: true, logins: true})
		for range 30 / step(3) {
			w := tpl.start(t)
			names := []string{"ivan", "ines", "paul", "dirk", "bob"}
			var stops []func()
			for _, name := range names {
				u, ok := w.sim.UserByName(name)
				require.True(t, ok)
				stops = append(stops, w.sim.KeepPatching(u.ID, time.Millisecond))
			}
			_, err := w.sync(tpl.after(), wiring{change: tpl.with(4)})
			for _, stop := range stops {
				stop()
			}
			require.NoError(t, err)
			tpl.converges(t, w, "races", 4)
		}
	})
}
