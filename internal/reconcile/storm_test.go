package reconcile_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
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
	"github.com/mmsync/mmsync/internal/state"
	"github.com/mmsync/mmsync/internal/state/sqlite"
)

// calmRuns is within how many runs a world must come to rest once nothing goes
// wrong any more; longer where accounts are handed over, each in two runs and after a grace.
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
	case underRace: // make storm plays thousands without the detector
		seeds = 12
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
		"joined", "taken out", "administrator of a place", "left by himself", "a place is archived", "a team is full", "reason left_by_themselves",
		"guest feature switched off", "guest feature switched off in mid-run", "made a guest", "made a full member", "reason guests_off",
		"contributes", "another's title", "handed over", "titles: gone", "kept by another source", "kept by another source that cannot be read",
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
		t: t, seed: seed, r: draws(seed, 1), more: draws(seed, 3), seen: newTally(), people: map[identity.Key]*entry{}, mine: map[string]mmsim.User{},
		untouchable: map[string]string{}, tokens: map[string]string{},
		book: book{
			wr: draws(seed, 2), ops: map[state.OpRef]*opNote{}, owner: map[string]identity.Key{}, made: map[string]identity.Key{}, flying: map[string]string{},
			sized: map[string]bool{}, ourOff: map[string]map[int64]bool{}, undated: map[string]bool{}, touched: map[string]time.Time{}, missed: map[identity.Key]time.Time{}, newest: map[string]int64{},
			demoted: map[string]bool{}, adds: map[string][]identity.Key{}, word: map[identity.Key]bool{},
		},
	}
}

// draws gives the source of randomness for what several goroutines draw from.
func draws(seed, of uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, of)) }

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
		s.office()
		s.wander()
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
