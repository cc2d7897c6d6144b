package reconcile_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// These tests are about calls of a run that died, which may still be on their way:
// their accounts wait, and nobody else does.

// patience gives how long the one call that is left open may be on its way: until well
// after a machine as slow as this one is now has planned a run.
func (w *world) patience(people []human) time.Duration {
	w.t.Helper()
	began := time.Now()
	w.plan(people, wiring{change: patient(time.Hour)})
	return time.Since(w.sent()) + time.Second + 8*time.Since(began)
}

func patient(patience time.Duration) func(*reconcile.Options) {
	return func(o *reconcile.Options) { o.SettleAfter, o.LookAgain = patience, time.Millisecond }
}

// dies runs until the first call whose path ends so is about to leave, and dies
// there: the call is marked as sent, and does not leave.
func (w *world) dies(people []human, path string) {
	w.t.Helper()
	w.diesUnder(people, path, func(*reconcile.Options) {})
}

func (w *world) diesUnder(people []human, path string, policy func(*reconcile.Options)) {
	w.t.Helper()
	c := &crash{at: -1}
	cut := network(func(r *http.Request) (*http.Response, error) {
		if r.Method != http.MethodGet && strings.HasSuffix(r.URL.Path, path) {
			c.dead.Store(true)
		}
		return c.RoundTrip(r)
	})
	_, err := w.sync(people, wiring{network: cut, wrap: func(s state.Store) state.Store { return mortal{s, c} }, change: func(o *reconcile.Options) {
		policy(o)
		o.Workers = 1
	}})
	require.ErrorIs(w.t, err, errCrash)
	require.True(w.t, c.dead.Load())
}

// sent gives when the one op that is left open was sent.
func (w *world) sent() time.Time {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	ops, err := s.Ops(w.t.Context(), state.OpFilter{Statuses: []state.OpStatus{state.OpSent}})
	require.NoError(w.t, err)
	require.Len(w.t, ops, 1)
	return ops[0].SentAt
}

func TestEngine_Busy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path   string
		change func(*human)
		done   func(mmsim.User) bool
	}{
		"a leaver":                {"/active", func(h *human) { h.Left = "yes" }, func(u mmsim.User) bool { return !u.Active() }},
		"somebody who moved up":   {"/patch", func(h *human) { h.Title = "Director" }, func(u mmsim.User) bool { return u.Position == "Director" }},
		"a new administrator":     {"/roles", func(h *human) { h.Groups = []string{adminsGroup} }, mmsim.User.IsAdmin},
		"a leaver who comes back": {"/active", func(h *human) { h.Left = "" }, mmsim.User.Active},
	} {
		t.Run(name+" waits for a call that may be on its way, and nobody else does", func(t *testing.T) {
			t.Parallel()
			w, people := newWorld(t), few()
			if name == "a leaver who comes back" {
				people[0].Left = "yes"
			}
			w.settle(few(), wiring{})
			w.settle(people, wiring{})
			c.change(&people[0])
			w.dies(people, c.path)
			anna, _ := w.sim.UserByName("anna")
			require.False(t, c.done(anna))

			people[1].Title = "Boss"
			people[2].Left = "yes"
			people = append(people, human{ID: "9", UID: "nora"})
			sent, patience := w.sent(), w.patience(people)
			with := wiring{change: patient(patience)}
			w.sim.ResetCalls()
			plan1 := w.plan(people, with)
			d := decisionOn(t, plan1, "1")
			require.Equal(t, plan.CallInFlight, d.Reason)
			require.WithinDuration(t, sent.Add(patience), *d.Until, patience/2)
			require.Equal(t, plan.Hold, d.Action)
			require.Empty(t, w.sim.Writes())

			w.sim.ResetCalls()
			rep, err := w.sync(people, with)
			require.NoError(t, err)
			require.Equal(t, 3, rep.Counts.Done, "everybody else")
			require.Equal(t, plan.CallInFlight, decisionOn(t, rep, "1").Reason)
			require.NotNil(t, rep.Again)
			require.Equal(t, 1, rep.Again.Counts.Done)
			require.Equal(t, state.RunDone, rep.Status)
			anna, _ = w.sim.UserByName("anna")
			require.True(t, c.done(anna))
			read, wrote := false, false
			for _, call := range w.sim.Calls() {
				mine := strings.Contains(call.Path, anna.ID)
				read = read || (mine && !call.IsWrite())
				if !call.IsWrite() {
					continue
				}
				if mine {
					require.False(t, call.At.Before(sent.Add(patience)), "%s before the other call can have come", call.Path)
					require.True(t, read, "the account is read first")
					wrote = true
				} else {
					require.False(t, wrote, "%s waited for somebody else's call", call.Path)
				}
			}
			s := w.store()
			defer s.Close()
			open, err := s.Ops(t.Context(), state.OpFilter{Statuses: []state.OpStatus{state.OpPending, state.OpSent}})
			require.NoError(t, err)
			require.Empty(t, open)
		})
	}
	t.Run("a creation that may be on its way is not made a second time", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), few()
		w.settle(people, wiring{})
		people = append(people, human{ID: "9", UID: "nora"})
		w.dies(people, "/users")
		patience := w.patience(people)
		d := decisionOn(t, w.plan(people, wiring{change: patient(patience)}), "9")
		require.Equal(t, plan.CallInFlight, d.Reason)
		var late atomic.Bool
		rep, err := w.sync(people, wiring{change: func(o *reconcile.Options) {
			patient(patience)(o)
			o.Progress = func(p reconcile.Progress) {
				if strings.HasPrefix(p.Stage, "waiting") && late.CompareAndSwap(false, true) { // now it comes
					w.sim.AddUser(mmsim.User{Username: "nora", Email: "nora@example.test"})
				}
			}
		}})
		require.NoError(t, err)
		require.Equal(t, state.RunDone, rep.Status)
		require.Contains(t, w.links(), "9")
		require.Len(t, w.sim.Users(), 6)
	})
	t.Run("a call that comes in the meantime is not made a second time", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), few()
		w.settle(people, wiring{})
		people[0].Left = "yes"
		w.dies(people, "/active")
		at := time.Now().UnixMilli()
		patience := w.patience(people)
		var late atomic.Bool
		w.sim.ResetCalls()
		rep, err := w.sync(people, wiring{change: func(o *reconcile.Options) {
			patient(patience)(o)
			o.Progress = func(p reconcile.Progress) {
				if strings.HasPrefix(p.Stage, "waiting") && late.CompareAndSwap(false, true) {
					w.touch("anna", 0, func(u *mmsim.User) { u.DeleteAt = at })
				}
			}
		}})
		require.NoError(t, err)
		require.Empty(t, w.sim.Writes())
		require.Equal(t, at, w.links()["1"].DeactivatedAt, "it was mmsync's call")
		require.Equal(t, state.RunDone, rep.Status)
		w.settle(few(), wiring{})
		require.True(t, w.active("anna"))
	})
	for name, set := range map[string]struct{ server, store time.Duration }{
		"the server's on":   {server: 2 * time.Hour},
		"the server's back": {server: -2 * time.Hour},
		"the store's back":  {store: -2 * time.Hour},
		"the store's on":    {store: 2 * time.Hour},
	} {
		t.Run("a clock that was set, "+name+", hastens no call and delays none", func(t *testing.T) {
			t.Parallel()
			w, people := newWorld(t), few()
			w.settle(people, wiring{})
			people[0].Left = "yes"
			w.dies(people, "/active")
			sent, patience := w.sent(), w.patience(people)
			w.sim.SetClockOffset(set.server)
			with := wiring{change: patient(patience), wrap: func(s state.Store) state.Store { return later{s, set.store} }}
			d := decisionOn(t, w.plan(people, with), "1")
			require.Equal(t, plan.CallInFlight, d.Reason)
			require.False(t, d.Until.Before(sent.Add(patience+set.store-patience/2)))

			w.sim.ResetCalls()
			ctx, cancel := context.WithTimeout(t.Context(), patience+time.Minute)
			defer cancel()
			met := time.Now()
			rep, err := w.run(ctx, people, with, reconcile.RunOptions{})
			require.NoError(t, err)
			require.NotNil(t, rep.Again, "looked at again before the test's patience ended")
			require.False(t, w.active("anna"))
			for _, call := range w.sim.Writes() {
				at := call.At.Add(-set.server)
				require.False(t, at.Before(sent.Add(patience)), "%s before the other call can have come", call.Path)
				require.Less(t, at.Sub(met), patience+time.Minute, "%s has waited too long", call.Path)
			}
		})
	}
	t.Run("a run that ends while it waits leaves the rest to the next one", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), few()
		w.settle(people, wiring{})
		people[0].Left = "yes"
		w.dies(people, "/active")
		patience := w.patience(people)
		with := wiring{change: patient(patience)}
		rep, err := w.untilWaiting(people, with)
		require.NoError(t, err)
		require.Nil(t, rep.Again)
		require.True(t, w.active("anna"))
		time.Sleep(time.Until(w.sent().Add(patience)))
		_, err = w.sync(people, with)
		require.NoError(t, err)
		require.False(t, w.active("anna"))
	})
}

// untilWaiting runs and ends the run's context when it begins to wait.
func (w *world) untilWaiting(people []human, with wiring) (reconcile.Report, error) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	change := with.change
	with.change = func(o *reconcile.Options) {
		change(o)
		o.Progress = func(p reconcile.Progress) {
			if strings.HasPrefix(p.Stage, "waiting") {
				cancel()
			}
		}
	}
	return w.run(ctx, people, with, reconcile.RunOptions{})
}

// A call that is on its way does not hide what a change of the configuration does, neither
// from the second look of the same run nor from the next.
func TestEngine_Busy_changedRules(t *testing.T) {
	t.Parallel()
	w, people := newWorld(t), few()
	w.settle(people, wiring{})
	people[0].Title = "Boss"
	w.dies(people, "/patch")
	wait := patient(w.patience(people))
	other := wiring{change: func(o *reconcile.Options) { wait(o); o.PolicyDigest = "another filter" }}
	people[0].Left = "yes" // as another disabled_when takes it
	rep, err := w.sync(people, other)
	require.NoError(t, err)
	require.Equal(t, plan.CallInFlight, decisionOn(t, rep, people[0].ID).Reason)
	require.True(t, w.active(people[0].UID), "by the second look")
	rep, err = w.sync(people, other)
	require.NoError(t, err)
	require.True(t, rep.Verdict.Tripped())
	require.True(t, w.active(people[0].UID))
	w.approveUnder(rep.RunID, other.change)
	_, err = w.sync(people, other)
	require.NoError(t, err)
	require.False(t, w.active(people[0].UID))
}
