package daemon_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/pgtest"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

// site is a server, a store and a file of people, for one or more services.
type site struct {
	sim    *mmsim.Server
	url    string
	store  string
	people string
}

func newSite(t *testing.T, store string) *site {
	t.Helper()
	dir := t.TempDir()
	if store == "" {
		store = "sqlite:" + filepath.Join(dir, "state.db")
	}
	s := &site{sim: mmsim.New(mmsim.Options{}), store: store, people: filepath.Join(dir, "people.csv")}
	s.url = s.sim.Start(t)
	s.write(t, "e1,ada,ada@example.test", "e2,grace,grace@example.test")
	return s
}

// write puts another file of people in the place of the one before.
func (s *site) write(t *testing.T, people ...string) {
	t.Helper()
	text := "id,login,mail\n" + strings.Join(people, "\n") + "\n"
	require.NoError(t, os.WriteFile(s.people+".new", []byte(text), 0o600))
	require.NoError(t, os.Rename(s.people+".new", s.people))
}

// open opens a service of its own, as another process would; more are further lines of
// its configuration.
func (s *site) open(t *testing.T, log *logs, more string) *daemon.Daemon {
	t.Helper()
	c, err := config.Parse(filepath.Join(filepath.Dir(s.people), "config.yaml"), fmt.Appendf(nil, `version: 1
mattermost: {url: "%s", token: "%s", rate_limit: {per_second: 10000}}
state: {url: "%s"}
audit: {key_file: "%s"}
sources: [{name: hr, type: file, path: "%s"}]
mapping: {defaults: {id_attribute: attr.id, username_attribute: attr.login, email_attribute: attr.mail}}
lifecycle: {deactivate: {look_again: 0s}}
%s
`, s.url, s.sim.AdminToken(), s.store, s.people+".key", s.people, more), nil)
	require.NoError(t, err)
	d, err := daemon.Open(t.Context(), c, daemon.Options{Version: "test", Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

// logs can be read while they are written.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// begin serves until what it gives is called, which gives how Serve ended.
func begin(t *testing.T, d *daemon.Daemon, log *logs) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- d.Serve(ctx, daemon.ServeOptions{Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	}()
	ended := false
	stop = func() error {
		ended = true
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(time.Minute):
			t.Fatal("Serve does not end")
			return nil
		}
	}
	t.Cleanup(func() {
		if !ended {
			require.NoError(t, stop())
		}
	})
	return stop
}

func runs(t *testing.T, d *daemon.Daemon) []state.Run {
	t.Helper()
	list, err := d.Store.Runs(t.Context(), state.RunFilter{Kind: "sync"})
	require.NoError(t, err)
	return list
}

func (s *site) has(username string) bool {
	u, ok := s.sim.UserByName(username)
	return ok && u.DeleteAt == 0
}

const soon, often = 30 * time.Second, 20 * time.Millisecond

func TestServe_scheduled_runs_follow_the_source(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	var log logs
	d := s.open(t, &log, "schedule: {runs: [{name: quick, every: 1s}]}")
	stop := begin(t, d, &log)
	require.Eventually(t, func() bool { return s.has("ada") && s.has("grace") }, soon, often)
	s.write(t, "e1,ada.king,ada@example.test", "e2,grace,grace@example.test", "e3,linus,linus@example.test")
	require.Eventually(t, func() bool { return s.has("ada.king") && s.has("linus") }, soon, often)
	list := runs(t, d)
	require.Equal(t, "schedule", list[0].Trigger)
	require.Equal(t, "schedule quick", list[0].RequestedBy)

	// What goes wrong with one run ends nothing.
	cancel := s.sim.Fail(mmsim.Fault{DatabaseAway: true})
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "a scheduled run failed") }, soon, often)
	cancel()
	s.write(t, "e1,ada,ada@example.test", "e2,grace,grace@example.test", "e3,linus,linus@example.test")
	require.Eventually(t, func() bool { return s.has("ada") }, soon, often)
	require.NoError(t, stop())
	require.Regexp(t, `msg=stopped component=serve part=scheduler`, log.String())
	require.Less(t, strings.Index(log.String(), "part=scheduler"), strings.Index(log.String(), "part=pushes"), "the last that began ends first")
}

func TestServe_a_missed_tick_is_made_up_for_once(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	const rare = `schedule: {runs: [{name: rare, every: 8760h}]}` // no tick comes while this is tested
	var log logs
	d := s.open(t, &log, rare)
	stop := begin(t, d, &log)
	require.Eventually(t, func() bool {
		mark, err := d.Store.Mark(t.Context(), "schedule/rare")
		return err == nil && !mark.At.IsZero()
	}, soon, often, "that it has begun is kept")
	require.NoError(t, stop())
	require.Empty(t, runs(t, d), "nothing was missed by one that never ran")

	// Years later: many ticks were missed, and one run makes up for them.
	missed(t, d, "rare", time.Now().AddDate(-5, 0, 0))
	stop = begin(t, d, &log)
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "a scheduled run was made") }, soon, often)
	require.NoError(t, stop())
	require.Len(t, runs(t, d), 1)
	require.True(t, s.has("ada"))

	// It was done, and another start does not do it again.
	stop = begin(t, d, &log)
	for began := time.Now(); time.Since(began) < 700*time.Millisecond; time.Sleep(often) {
		require.Len(t, runs(t, d), 1)
	}
	require.NoError(t, stop())
}

// missed has a schedule look as if its last tick had been done at a time.
func missed(t *testing.T, d *daemon.Daemon, name string, at time.Time) {
	t.Helper()
	l, err := d.Store.AcquireLease(t.Context(), "reconcile", "test", time.Second)
	require.NoError(t, err)
	require.NoError(t, d.Store.SetMark(t.Context(), l, state.Mark{Name: "schedule/" + name, At: at}))
	require.NoError(t, d.Store.ReleaseLease(t.Context(), l))
}

func TestServe_the_op_under_way_ends_with_its_record(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	var people []string
	for i := range 40 {
		people = append(people, fmt.Sprintf("p%d,person%d,person%d@example.test", i, i, i))
	}
	s.write(t, people...)
	answer := make(chan struct{})
	s.sim.Fail(mmsim.Fault{Method: "POST", Path: "/users", Skip: 4, Until: answer})
	var log logs
	d := s.open(t, &log, "schedule: {runs: [{name: quick, every: 1s}]}\nshutdown_timeout: 20s")
	stop := begin(t, d, &log)
	require.Eventually(t, func() bool { return len(s.sim.Writes()) > 0 }, soon, often)
	began := time.Now()
	go func() {
		for !strings.Contains(log.String(), "msg=stopping") && t.Context().Err() == nil {
			time.Sleep(often)
		}
		time.Sleep(500 * time.Millisecond) // the parts are told right after that
		close(answer)
	}()
	require.NoError(t, stop())

	list := runs(t, d)
	require.Equal(t, state.RunInterrupted, list[len(list)-1].Status)
	open, err := d.Store.Ops(t.Context(), state.OpFilter{Statuses: []state.OpStatus{state.OpSent}})
	require.NoError(t, err)
	require.Empty(t, open, "what was sent has its outcome")
	done, err := d.Store.Ops(t.Context(), state.OpFilter{Statuses: []state.OpStatus{state.OpDone}})
	require.NoError(t, err)
	created := 0
	for _, u := range s.sim.Users() {
		if strings.HasPrefix(u.Username, "person") {
			created++
		}
	}
	require.Less(t, created, 40, "it was stopped in the middle")
	require.Len(t, done, created, "each account that is there is in the journal")
	mark, err := d.Store.Mark(t.Context(), "schedule/quick")
	require.NoError(t, err)
	require.Less(t, mark.At.Unix(), began.Unix(), "a run that was cut off is not done")

	// The next start does the rest.
	stop = begin(t, d, &log)
	require.Eventually(t, func() bool { return s.has("person39") && s.has("person20") }, soon, often)
	require.NoError(t, stop())
}

func TestServe_what_does_not_end_in_time_is_named(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	answer := make(chan struct{})
	s.sim.Fail(mmsim.Fault{Method: "POST", Path: "/users", Until: answer})
	var log logs
	d := s.open(t, &log, "schedule: {runs: [{name: quick, every: 1s}]}\nshutdown_timeout: 1s")
	stop := begin(t, d, &log)
	require.Eventually(t, func() bool {
		sent, err := d.Store.Ops(t.Context(), state.OpFilter{Statuses: []state.OpStatus{state.OpSent}})
		return err == nil && len(sent) > 0
	}, soon, often)
	err := stop()
	var late *daemon.LateError
	require.ErrorAs(t, err, &late)
	require.Contains(t, late.Parts, "scheduler")
	close(answer)
	require.Eventually(t, func() bool { // a process would have ended here
		sent, err := d.Store.Ops(t.Context(), state.OpFilter{Statuses: []state.OpStatus{state.OpSent}})
		return err == nil && len(sent) == 0 && strings.Contains(log.String(), "was cut off")
	}, soon, often)
}

func TestServe_of_two_replicas_one_makes_each_run(t *testing.T) {
	t.Parallel()
	s := newSite(t, pgtest.URL(t))
	const quick = "schedule: {runs: [{name: quick, every: 2s}]}"
	var logA, logB logs
	a, b := s.open(t, &logA, quick), s.open(t, &logB, quick)
	stopA, stopB := begin(t, a, &logA), begin(t, b, &logB)
	require.Eventually(t, func() bool { return len(runs(t, a)) >= 4 }, soon, often)
	require.NoError(t, stopA())
	// The other one goes on alone.
	n := len(runs(t, b))
	require.Eventually(t, func() bool { return len(runs(t, b)) >= n+2 }, soon, often)
	require.NoError(t, stopB())
	both := logA.String() + logB.String()
	made := regexp.MustCompile(`msg="a scheduled run was made" .* tick=(\S+) run=(\S+)`).FindAllStringSubmatch(both, -1)
	ticks := map[string]string{}
	for _, m := range made {
		require.Empty(t, ticks[m[1]], "%s and %s are for one tick", m[2], ticks[m[1]])
		ticks[m[1]] = m[2]
	}
	require.GreaterOrEqual(t, len(ticks), 4, "of six that were begun two can have been cut off")
	list := runs(t, b)
	require.LessOrEqual(t, len(list)-len(ticks), 2, "but for those that were cut off, each run is some tick's")
	for _, r := range list {
		require.Contains(t, []state.RunStatus{state.RunDone, state.RunInterrupted}, r.Status)
	}
	require.NotContains(t, both, "level=ERROR")
	require.Contains(t, both, "another process has made this run")
}

func TestServe_one_process_serves_from_a_file(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	const rare = "schedule: {runs: [{name: rare, every: 8760h}]}"
	var log logs
	first, second := s.open(t, &log, rare), s.open(t, &log, rare)
	stop := begin(t, first, &log)
	require.Eventually(t, func() bool {
		mark, err := first.Store.Mark(t.Context(), "schedule/rare")
		return err == nil && !mark.At.IsZero()
	}, soon, often, "it has begun")
	err := second.Serve(t.Context(), daemon.ServeOptions{})
	require.ErrorIs(t, err, daemon.ErrAnotherServe)
	require.NotContains(t, err.Error(), "\n")
	require.Eventually(t, func() bool { // commands work beside it, and wait while it has the lease
		rep, err := second.Engine.Sync(t.Context(), reconcile.RunOptions{Trigger: "cli"})
		if errors.Is(err, state.ErrHeld) {
			return false
		}
		require.NoError(t, err)
		return rep.Counts.Done == 2
	}, soon, often)
	require.NoError(t, stop())
	stop = begin(t, second, &log) // the lock died with the first
	require.NoError(t, stop())
}

func TestServe_blackouts_and_operations_keep_back_visibly(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC()
	// From yesterday until tomorrow, whatever the hour of this test.
	window := fmt.Sprintf("%s 00:00-%s 23:00", now.AddDate(0, 0, -1).Format("Mon"), now.AddDate(0, 0, 2).Format("Mon"))
	s := newSite(t, "")
	var log logs
	d := s.open(t, &log, "")
	_, err := d.Engine.Sync(t.Context(), reconcile.RunOptions{Trigger: "test"})
	require.NoError(t, err)

	s.write(t, "e1,ada.king,ada@example.test", "e2,grace,grace@example.test", "e3,linus,linus@example.test")
	held := s.open(t, &log, `schedule: {runs: [{name: quick, every: 1s, operations: [update, deactivate]}], blackout: ["`+window+` update"]}`)
	stop := begin(t, held, &log)
	require.Eventually(t, func() bool { return len(runs(t, held)) >= 3 }, soon, often)
	require.NoError(t, stop())
	require.True(t, s.has("ada"), "updates wait for the window's end")
	require.False(t, s.has("linus"), "creation is not this schedule's")
	list := runs(t, held)
	require.Equal(t, state.RunDone, list[1].Status, "what waits for its time is no fault")
	decisions, err := held.Store.Decisions(t.Context(), list[1].ID)
	require.NoError(t, err)
	said := map[string]string{}
	for _, x := range decisions {
		require.Equal(t, "not_now", string(x.Decision.Reason))
		said[x.Decision.Username] = x.Decision.Detail
	}
	require.Len(t, said, 2)
	require.Contains(t, said["ada"], "blackout "+window+" update, until ")
	require.Equal(t, "schedule quick is for update and deactivate alone", said["linus"])

	// An operator's own run is not the schedule's, but the window is everybody's.
	_, err = held.Engine.Sync(t.Context(), reconcile.RunOptions{Trigger: "cli"})
	require.NoError(t, err)
	require.True(t, s.has("linus"))
	require.True(t, s.has("ada"))
	_, err = d.Engine.Sync(t.Context(), reconcile.RunOptions{Trigger: "cli"})
	require.NoError(t, err)
	require.True(t, s.has("ada.king"), "without the window it goes")
}

// The service manager is told when all is at work, that it lives, and when it ends.
func TestServe_tells_the_service_manager(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "unixgram", socket)
	require.NoError(t, err)
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "200000")
	t.Setenv("WATCHDOG_PID", "")
	told := make(chan string, 1000)
	go func() {
		defer close(told)
		buf := make([]byte, 100)
		for {
			n, _, err := l.ReadFrom(buf)
			if err != nil {
				return
			}
			told <- string(buf[:n])
		}
	}()
	s := newSite(t, "")
	var log logs
	d := s.open(t, &log, "schedule: {runs: [{name: hourly, every: 1h}]}")
	stop := begin(t, d, &log)
	require.Equal(t, "READY=1", <-told)
	require.Equal(t, "WATCHDOG=1", <-told)
	require.Equal(t, "WATCHDOG=1", <-told)
	require.NoError(t, stop())
	for x := range told {
		if x == "STOPPING=1" {
			break
		}
		require.Equal(t, "WATCHDOG=1", x)
	}
	require.NoError(t, l.Close())
	for range told { // nothing is left behind that reads
	}
}

func TestServe_nothing_to_serve(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	var log logs
	require.ErrorIs(t, s.open(t, &log, "").Serve(t.Context(), daemon.ServeOptions{}), daemon.ErrNothingToServe)
}

func TestServe_a_schedule_works_on_its_sources_alone(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	other := filepath.Join(t.TempDir(), "guests.csv")
	require.NoError(t, os.WriteFile(other, []byte("id,login,mail\ng1,guest,guest@example.test\n"), 0o600))
	c, err := config.Parse(filepath.Join(filepath.Dir(s.people), "config.yaml"), fmt.Appendf(nil, `version: 1
mattermost: {url: "%s", token: "%s", rate_limit: {per_second: 10000}}
state: {url: "%s"}
sources: [{name: hr, type: file, path: "%s"}, {name: guests, type: file, path: "%s"}]
mapping: {defaults: {id_attribute: attr.id, username_attribute: attr.login, email_attribute: attr.mail}}
lifecycle: {deactivate: {look_again: 0s}}
schedule: {runs: [{name: quick, every: 1s, sources: [hr]}, {name: yearly, cron: "0 0 1 1 *"}]}
`, s.url, s.sim.AdminToken(), s.store, s.people, other), nil)
	require.NoError(t, err)
	var log logs
	d, err := daemon.Open(t.Context(), c, daemon.Options{Version: "test"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	stop := begin(t, d, &log)
	require.Eventually(t, func() bool { return strings.Count(log.String(), "a scheduled run was made") >= 2 }, soon, often)
	require.NoError(t, stop())
	require.True(t, s.has("ada"))
	require.False(t, s.has("guest"))
}

func TestServe_a_run_that_failed_is_made_again_before_the_next(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	var log logs
	d := s.open(t, &log, "schedule: {runs: [{name: quick, every: 20s}]}")
	well := s.sim.Fail(mmsim.Fault{Status: http.StatusBadGateway})
	stop := begin(t, d, &log)
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "it is tried again") }, 8*soon, often)
	require.False(t, s.has("ada"))
	well()
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "a scheduled run was made") }, 8*soon, often)
	require.True(t, s.has("ada"))
	require.NoError(t, stop())
	tick := regexp.MustCompile(`msg="a scheduled run [^"]*" .*tick=(\S+)`).FindAllStringSubmatch(log.String(), -1)
	require.Equal(t, tick[0][1], tick[1][1], log.String())
}
