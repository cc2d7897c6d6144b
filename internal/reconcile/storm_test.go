package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
	"github.com/mmsync/mmsync/internal/state/sqlite"
)

// calmRuns is within how many runs a world must come to rest once nothing goes
// wrong any more.
const calmRuns = 6

// TestEngine_Storm makes up worlds, lets everything go wrong in them that is known
// to go wrong, several things at once, and then lets it be calm. What must never
// happen is looked for on every request; what must be in the end is judged by the
// world alone. Time is made up too, so that a grace of three days takes no time.
//
// MMSYNC_TEST_SEED=N plays one world and tells its story, MMSYNC_TEST_SEEDS=N the
// first N.
func TestEngine_Storm(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.db")
	w := &world{t: t, db: empty}
	require.NoError(t, w.store().Close())
	if at := os.Getenv("MMSYNC_TEST_SEED"); at != "" {
		seed, err := strconv.ParseUint(at, 10, 64)
		require.NoError(t, err)
		weather(t, empty, seed, newTally(), true)
		return
	}
	seeds, whole := uint64(100), false
	switch n := os.Getenv("MMSYNC_TEST_SEEDS"); {
	case n != "":
		var err error
		seeds, err = strconv.ParseUint(n, 10, 64)
		require.NoError(t, err)
		whole = seeds >= 300
	case testing.Short():
		seeds = 20
	case underRace:
		seeds = 30
	}
	seen, start := newTally(), time.Now()
	const chunks = 4
	t.Run("worlds", func(t *testing.T) {
		for c := range uint64(chunks) {
			t.Run(fmt.Sprintf("of %d", c), func(t *testing.T) {
				t.Parallel()
				for seed, failed := c, 0; seed < seeds && failed < 3; seed += chunks {
					if !weather(t, empty, seed, seen, false) {
						failed++
					}
				}
			})
		}
	})
	t.Logf("%d worlds, %s each", seeds, (time.Since(start) / time.Duration(seeds)).Round(time.Millisecond))
	t.Log(seen.String())
	if whole && !t.Failed() {
		for _, what := range wanted() {
			require.Positive(t, seen.count[what], "no world showed %q", what)
		}
	}
}

// wanted is what must happen in some world: a test of made-up worlds is worth
// what happens in them.
func wanted() []string {
	return []string{
		"crash before store write", "crash after store write", "crash before request", "crash after request", "late call", "an answer lacks an account",
		"saved at the same time", "server set back", "server clock moved", "server restarted", "a linked account is protected", "adopted by login",
		"second engine", "parted from the store", "stopped", "edited in the middle", "left off: somebody else did it",
		"fault: 429", "fault: 5xx", "fault: cut before", "fault: cut after", "fault: lost write", "fault: database away", "fault: users locked",
		"fault: html", "fault: redirect", "fault: cache lag", "fault: latency", "fault: time-out",
		"read incomplete", "read failing", "read shrunken", "read lacking", "read silent", "op observed", "op dropped", "op failed", "op skipped",
		"reason source_missing", "reason out_of_scope", "reason returned", "reason recreated", "reason call_in_flight", "reason server_set_back",
		"reason guard_tripped", "reason hand_over", "reason contested", "reason deactivated_by_other", "reason same_auth_data",
	}
}

// tally counts in how many worlds something happened.
type tally struct {
	mu    sync.Mutex
	count map[string]int
}

func newTally() *tally { return &tally{count: map[string]int{}} }

func (c *tally) add(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count[what]++
}

func (c *tally) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, what := range slices.Sorted(maps.Keys(c.count)) {
		out = append(out, fmt.Sprintf("%5d %s", c.count[what], what))
	}
	return strings.Join(out, "\n")
}

// weather plays one world; false if a rule was broken in it.
func weather(t *testing.T, empty string, seed uint64, all *tally, loud bool) (ok bool) {
	t.Helper()
	file := filepath.Join(filepath.Dir(empty), fmt.Sprintf("%d.db", seed))
	copyFile(t, empty, file)
	defer func() {
		for _, end := range []string{"", "-wal", "-shm"} {
			_ = os.Remove(file + end)
		}
	}()
	var s *storm
	synctest.Test(t, func(t *testing.T) {
		s = newStorm(t, seed)
		var err error
		s.db, err = sqlite.Open(t.Context(), sqlite.Scheme+file, sqlite.Options{Volatile: true})
		require.NoError(t, err)
		defer s.db.Close()
		s.play()
		s.flights.Wait()
		for what := range s.seen.count {
			all.add(what)
		}
	})
	// Said outside, for a bubble that fails ends its parent too.
	if ok = len(s.book.broken) == 0; !ok {
		n := min(len(s.book.broken), 5)
		t.Errorf("seed %d:\n%s\n\nits story:\n%s", seed, strings.Join(s.book.broken[:n], "\n"), strings.Join(s.book.story, "\n"))
	} else if loud {
		t.Log(strings.Join(s.book.story, "\n"))
	}
	return ok
}

func newStorm(t *testing.T, seed uint64) *storm {
	return &storm{
		t: t, seed: seed, r: draws(seed, 1), seen: newTally(), people: map[identity.Key]*entry{}, mine: map[string]mmsim.User{},
		untouchable: map[string]string{}, tokens: map[string]string{},
		book: book{
			wr: draws(seed, 2), ops: map[state.OpRef]*opNote{}, owner: map[string]identity.Key{}, made: map[string]identity.Key{}, flying: map[string]string{},
			sized: map[string]bool{}, ourOff: map[string]map[int64]bool{}, undated: map[string]bool{}, touched: map[string]time.Time{}, missed: map[identity.Key]time.Time{}, newest: map[string]int64{},
		},
	}
}

func (s *storm) play() {
	s.invent()
	if s.chance(70) {
		for range 2 {
			if _, err := s.ordinary("quiet", false); err != nil {
				return
			}
			s.pause()
		}
	}
	for range 3 + s.r.IntN(6) {
		if len(s.book.broken) > 0 {
			return
		}
		s.staff()
		s.meddle(s.r.IntN(3))
		s.upheaval()
		s.stormy()
		s.pause()
	}
	if len(s.book.broken) == 0 {
		s.calm()
	}
}

// pause lets time pass between two runs; often none, as when a process is started
// again at once.
func (s *storm) pause() {
	d := pick(s.r, 0, 0, time.Second, time.Minute, 20*time.Minute)
	if s.slow {
		d = pick(s.r, 0, time.Minute, 25*time.Hour, 25*time.Hour)
	}
	time.Sleep(d + 10*time.Millisecond)
}

// ordinary is a run in which nothing goes wrong.
func (s *storm) ordinary(name string, audit bool) (reconcile.Report, error) {
	s.runs++
	run := s.newRun(fmt.Sprintf("%d %s", s.runs, name))
	rep, err := s.carry(s.t.Context(), run, "one", audit, name == "calm")
	if err != nil {
		s.wrong("a run fails although nothing goes wrong: %v", err)
	}
	s.inspect(run, rep, err)
	return rep, err
}

func (s *storm) carry(ctx context.Context, run *stormRun, holder string, audit, calm bool) (reconcile.Report, error) {
	s.tell("run %s begins", run.name)
	rep, err := s.engine(run, holder, calm).Sync(ctx, reconcile.RunOptions{Trigger: "test", RequestedBy: "test", Audit: audit})
	s.tell("run %s ends: %s %v; %+v; problems %q; dead %v", run.name, rep.Status, err, rep.Counts, rep.Problems, run.crash.dead.Load())
	if err != nil { // what it noticed of a server that was set back is not known
		s.book.mu.Lock()
		s.book.setBack = false
		s.book.mu.Unlock()
	}
	return rep, err
}

// stormy is a run, or two at once, in which things go wrong.
func (s *storm) stormy() {
	s.runs++
	run := s.newRun(fmt.Sprint(s.runs))
	ctx := s.t.Context()
	if s.chance(25) {
		run.crash.kind, run.crash.at = pick(s.r, beforeWrite, afterWrite, beforeRequest, afterRequest), int64(1+s.r.IntN(60))
		s.tell("run %s: will die %s %d", run.name, run.crash.kind, run.crash.at)
	}
	if s.chance(30) {
		run.late = pick(s.r, 0.2, 0.6)
	}
	if s.chance(15) {
		run.forget, s.poor, s.lost = 0.4, s.r.IntN(4), ""
	} else if s.poor > 0 {
		run.forget = 1
		s.poor--
	}
	if s.chance(35) {
		s.wake(run)
	}
	for _, name := range s.rules.sources {
		if s.chance(30) {
			run.kinds[name] = pick(s.r, readCut, readFails, readShrunk, readLacks, readDumb)
			s.seen.add("read " + string(run.kinds[name]))
			s.tell("run %s: source %s is %s", run.name, name, run.kinds[name])
		}
	}
	if s.chance(8) {
		stopped, cancel := context.WithTimeout(ctx, time.Duration(s.r.IntN(4000))*time.Millisecond)
		defer cancel()
		ctx = stopped
		s.seen.add("stopped")
	}
	if s.chance(15) {
		s.middle(run)
	}
	over := s.trouble(run)
	defer over()
	audit, holder := s.chance(15), pick(s.r, "one", "one", "two")
	var second sync.WaitGroup
	switch {
	case s.chance(8):
		run.parted, run.slow = true, 700*time.Millisecond
		s.seen.add("parted from the store")
		second.Go(func() { s.rival(12*time.Second, run.lagged) })
	case s.chance(8):
		second.Go(func() { s.rival(time.Duration(s.seed%7)*200*time.Millisecond, run.lagged) })
	}
	rep, err := s.carry(ctx, run, holder, audit, false)
	second.Wait()
	if run.crash.dead.Load() {
		s.seen.add("crash " + string(run.crash.kind))
	}
	s.inspect(run, rep, err)
}

// rival is another process that wants to write too.
func (s *storm) rival(after time.Duration, lagged bool) {
	time.Sleep(after)
	s.seen.add("second engine")
	s.book.mu.Lock()
	run := s.newRun(fmt.Sprintf("%d rival", s.runs))
	run.lagged = lagged
	s.book.mu.Unlock()
	_, err := s.carry(s.t.Context(), run, "rival", false, false)
	if errors.Is(err, state.ErrHeld) {
		s.seen.add("second engine held off")
	}
}

// wake makes people who save their profiles at the very moment at which mmsync
// writes to them.
func (s *storm) wake(run *stormRun) {
	s.book.mu.Lock()
	owned := slices.Sorted(maps.Keys(s.book.owner))
	s.book.mu.Unlock()
	for _, id := range owned {
		if _, ok := s.sim.User(id); !ok || !s.chance(60) {
			continue
		}
		if s.tokens[id] == "" {
			s.tokens[id] = s.sim.AddToken(id)
		}
		run.savers[id] = true
	}
}

// middle lets other people work on the server once the plan is made.
func (s *storm) middle(run *stormRun) {
	run.middle = func() {
		for _, id := range s.meddle(1 + s.r.IntN(2)) {
			s.book.mu.Lock()
			run.edited[id] = true
			s.book.mu.Unlock()
		}
		s.seen.add("edited in the middle")
	}
}

// inspect checks what must hold after every run.
func (s *storm) inspect(run *stormRun, rep reconcile.Report, err error) {
	s.strangers("after run " + run.name)
	whole := err == nil && s.rules.lookAgain > 0 && rep.Counts.Failed == 0 && rep.Counts.Skipped == 0 && len(run.edited) == 0
	if rep.Again != nil {
		whole = whole && rep.Again.Counts.Failed == 0 && rep.Again.Counts.Skipped == 0
	}
	if !whole || run.lagged {
		return
	}
	for id := range run.cutOff {
		if u, ok := s.sim.User(id); ok && u.Active() {
			s.wrong("run %s switched %s %s off, looked again, and left it on", run.name, id, u.Username)
		}
	}
}

// calm lets nothing go wrong any more, and judges what comes of it.
func (s *storm) calm() {
	time.Sleep(3 * time.Minute)
	s.flights.Wait()
	s.sim.Restart(nil)
	s.mend()
	var rep reconcile.Report
	began := time.Now()
	for n := 1; ; n++ {
		s.book.mu.Lock()
		s.book.setBack = false // noticed or not, it is read anew from here on
		s.book.mu.Unlock()
		var err error
		rep, err = s.ordinary("calm", false)
		if err != nil {
			return
		}
		if s.atRest(rep) && !s.grace(began) {
			break
		}
		if n == calmRuns {
			s.wrong("no rest within %d runs", n)
			return
		}
		if s.slow {
			time.Sleep(26 * time.Hour)
		} else {
			time.Sleep(15 * time.Minute)
		}
	}
	run := s.newRun("audit")
	whole, err := s.engine(run, "one", true).Plan(s.t.Context(), reconcile.RunOptions{Trigger: "test", Audit: true})
	if err != nil {
		s.wrong("the last plan fails: %v", err)
		return
	}
	for _, d := range whole.Plan.Decisions {
		if len(d.Ops) > 0 && !s.refused(d) {
			s.wrong("the runs came to rest, and a look at everything shows that they overlooked %+v", d)
		}
	}
	s.judge(whole.Plan).world()
	s.journal()
	s.strangers("in the end")
}

// grace tells that somebody's grace may not be over, counted from when all reads
// began to be good: if he is off already, no plan says so.
func (s *storm) grace(calm time.Time) bool {
	left := func(k identity.Key) bool { return !s.people[k].listed }
	return slices.ContainsFunc(s.keys(), left) && time.Since(calm) <= max(s.rules.grace.Missing, s.rules.grace.OutOfScope)
}

// mend makes entries readable again that belong to nobody known: until then nobody
// counts as missing.
func (s *storm) mend() {
	links, err := s.db.Links(s.t.Context(), state.LinkFilter{})
	if err != nil {
		s.wrong("links cannot be read: %v", err)
	}
	for _, k := range s.keys() {
		if e := s.people[k]; e.garbled && !slices.ContainsFunc(links, func(l identity.Link) bool { return l.Key == k }) {
			e.garbled = false
			s.tell("directory: can be read again: %s", e)
		}
	}
}

// atRest tells that nothing was done and that nothing waits for time to pass.
func (s *storm) atRest(rep reconcile.Report) bool {
	waits := func(d plan.Decision) bool {
		switch d.Reason {
		case plan.InGrace, plan.CallInFlight, plan.ServerSetBack, plan.AccountUnseen, plan.ReadIncomplete, plan.Unconfirmed:
			return true
		default:
			return len(d.Ops) > 0 && !s.refused(d)
		}
	}
	return rep.Again == nil && !slices.ContainsFunc(rep.Plan.Decisions, waits)
}

// refused tells that somebody wants a login that another account has: a server
// that hides logins refuses that without saying why, and mmsync tries each time.
func (s *storm) refused(d plan.Decision) bool {
	e := s.people[d.Key]
	return s.rules.profile == mmsim.Profile538 && d.Action == plan.Create && !e.auth.IsZero() &&
		slices.ContainsFunc(s.sim.Users(), func(u mmsim.User) bool { return u.AuthData == e.auth.Data })
}
