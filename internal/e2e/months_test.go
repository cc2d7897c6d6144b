package e2e_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/slapdtest"
)

// restart ends the server as a restart does, in the middle of whatever it does, and has it
// back at the same address after some time, as another release if one is given.
func (w *world) restart(after time.Duration, release string) (back <-chan struct{}) {
	address := strings.TrimPrefix(w.sim.URL(), "http://")
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = w.sim.Close() // twice is fine
		time.Sleep(after)
		if release != "" {
			w.sim.Upgrade(release)
		}
		if _, err := w.sim.Listen(address); err != nil {
			w.t.Errorf("listen again: %v", err)
		}
	}()
	return done
}

func TestRestart(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name    string
		after   time.Duration
		release string
		says    string
	}{
		{"it is restarted at once", 0, "", ""},
		{"it is upgraded", 4 * time.Second, "11.7.0", "the server tells another version"},
		{"it is set back to an older release that can do the same", 2 * time.Second, "11.1.0", "the server tells another version"},
	}
	for _, c := range cases {
		t.Run(c.name+" in the middle of 300 changes: all are done, none twice", func(t *testing.T) {
			t.Parallel()
			people := slapdtest.Roster(300)
			w := newWorld(t, sqliteStore(), settings{file: true, outage: "1m"})
			w.feed(people)
			w.sim.ResetCalls()
			var back <-chan struct{}
			var once sync.Once
			begun := make(chan struct{})
			w.atCreation(120, func() {
				once.Do(func() { back = w.restart(c.after, c.release); close(begun) })
			})
			began := time.Now()
			r := w.mmsync("sync", "-q", "--log-level", "info")
			if r.code != 0 { // a call that was cut before it arrived counts as failed, though the second look makes up for it
				require.Contains(t, r.exits(4).stdout, "Second look")
			}
			t.Logf("the run took %s", time.Since(began).Round(time.Millisecond))
			<-begun
			<-back
			w.sim.OnCall(nil)
			if c.says != "" {
				r.says(c.says)
			}
			requireStaff(t, w, people)
			requireJournal(t, w, time.Time{})
			w.quiet()
		})
	}
	t.Run("one that is set back to a release that does less ends the run, and the next one decides anew", func(t *testing.T) {
		t.Parallel()
		people := slapdtest.Roster(100)
		w := newWorld(t, sqliteStore(), settings{file: true, outage: "1m"})
		w.feed(people)
		w.sim.ResetCalls()
		var once sync.Once
		w.atCreation(40, func() { once.Do(func() { w.sim.Upgrade("10.1.0") }) })
		w.mmsync("sync", "-q").exits(1).says("the server is 10.1.0 now, was 11.6.0 when this run began, and does not do all as before")
		w.sim.OnCall(nil)
		require.Less(t, len(w.managed()), 60)
		w.mmsync("sync", "-q").exits(0)
		requireStaff(t, w, people)
		requireJournal(t, w, time.Time{})
	})
	t.Run("one that does not come back ends the run when outage_wait is over, and the next one goes on", func(t *testing.T) {
		t.Parallel()
		people := slapdtest.Roster(100)
		w := newWorld(t, sqliteStore(), settings{file: true, outage: "3s"})
		w.feed(people)
		w.sim.ResetCalls()
		over := make(chan func(), 1)
		w.atCreation(40, func() { over <- w.sim.Fail(mmsim.Fault{Status: 503}) })
		began := time.Now()
		w.mmsync("sync", "-q").exits(1).says("the server went away")
		require.Greater(t, time.Since(began), 3*time.Second)
		(<-over)()
		w.mmsync("sync", "-q").exits(0)
		requireStaff(t, w, people)
		requireJournal(t, w, time.Time{})
	})
}
