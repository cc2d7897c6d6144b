package e2e_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/slapdtest"
)

// atCreation calls f, once, when the server is about to answer the n-th creation.
func (w *world) atCreation(n int64, f func()) {
	var seen atomic.Int64
	w.sim.OnCall(func(c mmsim.Call) {
		if creation(c) && seen.Add(1) == n {
			f()
		}
	})
}

func TestOutage(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits until calls of the run before cannot arrive any more, 80 s")
	}
	creations := mmsim.Fault{Method: http.MethodPost, Path: "/users"}
	with := func(f mmsim.Fault, change func(*mmsim.Fault)) mmsim.Fault { change(&f); return f }
	cases := []struct {
		name  string
		fault mmsim.Fault
		code  int // of the run that meets the outage
		cause string
	}{
		{"the server's database goes away", mmsim.Fault{DatabaseAway: true}, 1, "database"},
		{"every connection is cut", mmsim.Fault{CutBefore: true}, 1, "EOF"},
		{"every answer is lost", mmsim.Fault{CutAfter: true}, 1, "EOF"},
		{"everything is answered with 500", mmsim.Fault{Status: 500}, 1, "500"},
		{"every call is answered by a web page", mmsim.Fault{HTML: true}, 1, "text/html"},
		{"ten creations are cut before they arrive", with(creations, func(f *mmsim.Fault) { f.CutBefore, f.Count = true, 10 }), 4, "not carried out"},
		{"ten creations lose their answers", with(creations, func(f *mmsim.Fault) { f.CutAfter, f.Count = true, 10 }), 0, ""},
		{"ten creations are answered with 500", with(creations, func(f *mmsim.Fault) { f.Status, f.Count = 500, 10 }), 4, "not carried out"},
		{"two creations are answered with 429", with(creations, func(f *mmsim.Fault) { f.Status, f.Count = 429, 2 }), 0, ""},
	}
	for _, c := range cases {
		t.Run(c.name+" in the middle of a sync", func(t *testing.T) {
			t.Parallel()
			people := slapdtest.Roster(200)
			w := newWorld(t, sqliteStore(), settings{file: true})
			w.feed(people)
			w.sim.ResetCalls()
			var over func()
			var once sync.Once
			w.atCreation(60, func() { once.Do(func() { over = w.sim.Fail(c.fault) }) })
			r := w.mmsync("sync", "-q").exits(c.code)
			if c.cause != "" {
				r.says(c.cause)
			}
			said := sentences(r.stderr)
			if testing.Verbose() {
				t.Log(said)
			}
			if c.code == 1 {
				require.Equal(t, 2, strings.Count(strings.ReplaceAll(said, "mmsync: hint:", "hint:"), "mmsync: "), "one sentence and the run's end:\n%s", said)
			}
			w.sim.OnCall(nil)
			over()
			w.mmsync("sync", "-q").exits(0)
			requireStaff(t, w, people)
			requireJournal(t, w, time.Time{})
			w.quiet()
		})
	}
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	t.Run("a server that limits the rate is served at its pace", func(t *testing.T) {
		t.Parallel()
		people := slapdtest.Roster(150)
		w := newWorld(t, sqliteStore(), settings{file: true, server: mmsim.Options{RateLimit: &mmsim.RateLimit{PerSec: 40, MaxBurst: 20}}})
		w.feed(people)
		w.sim.ResetCalls()
		w.mmsync("sync", "-q").exits(0)
		requireStaff(t, w, people)
		requireJournal(t, w, time.Time{})
	})
}
