package reconcile_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

var operator = reconcile.RunOptions{Trigger: "test", RequestedBy: "root@host", Reason: "works council"}

func who(anchor string) identity.Key { return identity.Key{Source: "corp", Anchor: anchor} }

// hold lets an operator hold everybody, a source or a person.
func (w *world) hold(about identity.Key, lasts time.Duration) state.Stop {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	h, err := reconcile.Hold(w.t.Context(), s, operator, about, lasts)
	require.NoError(w.t, err)
	return h
}

// release ends all that operators hold or switched off.
func (w *world) release() []state.Stop {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	list, err := reconcile.ReleaseHold(w.t.Context(), s, operator, func(state.Stop) bool { return true })
	require.NoError(w.t, err)
	return list
}

// stops gives all stops, ended ones too.
func (w *world) stops() []state.Stop {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	list, err := s.Stops(w.t.Context(), state.StopFilter{})
	require.NoError(w.t, err)
	return list
}

func (w *world) openStops() int {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	list, err := s.Stops(w.t.Context(), state.StopFilter{Open: true})
	require.NoError(w.t, err)
	return len(list)
}

// changed is few in which something is to be done about everybody but dirk.
func changed() []human {
	people := few()
	people[0].Title = "Director"
	people[1].UID = "berta"
	people[2].Left = "yes"
	return append(people, human{ID: "5", UID: "emil"})
}

func TestHold(t *testing.T) {
	t.Parallel()
	t.Run("everything: planned and journaled, and nothing is written until it is released", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.rest(few(), wiring{})
		h := w.hold(identity.Key{}, 0)
		w.sim.ResetCalls()
		for range 2 {
			rep, err := w.sync(changed(), wiring{})
			require.NoError(t, err)
			require.Empty(t, w.sim.Writes())
			require.Equal(t, state.RunPartial, rep.Status)
			said := strings.Join(rep.Problems, "\n")
			require.Contains(t, said, "everything is held by root@host since ")
			require.Contains(t, said, `because "works council"`)
			require.Contains(t, said, "mmsync hold release "+h.ID)
			require.Contains(t, said, `1 person who has left keeps access, because an operator holds what would end it: "cora"`)
			for _, anchor := range []string{"1", "2", "3", "5"} {
				d := decisionOn(t, rep, anchor)
				require.Equal(t, plan.OnHold, d.Reason)
				require.NotEmpty(t, d.Withheld)
			}
			s := w.store()
			journal, err := s.Decisions(t.Context(), rep.RunID)
			require.NoError(t, err)
			require.NoError(t, s.Close())
			require.Len(t, journal, 4)
		}
		rep := w.plan(changed(), wiring{})
		require.False(t, rep.Plan.Effective())
		require.Contains(t, strings.Join(rep.Problems, "\n"), h.ID)
		require.Len(t, w.release(), 1)
		rep, err := w.sync(changed(), wiring{})
		require.NoError(t, err)
		require.Equal(t, 4, rep.Counts.Done)
		require.False(t, w.active("cora"))
	})
	t.Run("one that holds where nothing is to be done is said all the same", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.rest(few(), wiring{})
		w.hold(identity.Key{Source: "corp"}, time.Hour)
		rep, err := w.sync(few(), wiring{})
		require.NoError(t, err)
		require.Equal(t, state.RunPartial, rep.Status)
		require.Contains(t, rep.Problems[0], "source corp is held by root@host")
		require.Contains(t, rep.Problems[0], " until ")
	})
	t.Run("another source: everybody goes on", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.rest(few(), wiring{})
		w.hold(identity.Key{Source: "hr"}, 0)
		rep, err := w.sync(changed(), wiring{})
		require.NoError(t, err)
		require.Equal(t, 4, rep.Counts.Done)
	})
	t.Run("a person: all others go on, and his hold's end is not overlooked", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.rest(few(), wiring{})
		before, ok := w.sim.UserByName("anna")
		require.True(t, ok)
		w.hold(who("1"), 0)
		w.hold(who("5"), 0) // has no account
		w.hold(who("4"), 0) // differs in nothing
		for range 3 {
			_, err := w.sync(changed(), wiring{})
			require.NoError(t, err)
			now, _ := w.sim.UserByName("anna")
			require.Equal(t, before, now)
			_, there := w.sim.UserByName("emil")
			require.False(t, there)
		}
		require.False(t, w.active("cora"))
		w.release()
		w.rest(changed(), long)
		u, _ := w.sim.UserByName("anna")
		require.Equal(t, "Director", u.Position)
		_, there := w.sim.UserByName("emil")
		require.True(t, there)
	})
	t.Run("its time ends it, by the store's clock", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.rest(few(), wiring{})
		w.hold(identity.Key{}, time.Hour)
		after := func(d time.Duration) wiring {
			return wiring{wrap: func(s state.Store) state.Store { return later{s, d} }}
		}
		rep, err := w.sync(changed(), after(59*time.Minute))
		require.NoError(t, err)
		require.Zero(t, rep.Counts.Done)
		rep, err = w.sync(changed(), after(61*time.Minute))
		require.NoError(t, err)
		require.Equal(t, 4, rep.Counts.Done)
		require.Equal(t, "its time", w.stops()[0].EndedBy)
	})
	t.Run("no link is approved either", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.sim.AddUser(mmsim.User{Username: "anna", Email: "anna@example.test"})
		h := w.hold(who("1"), 0)
		s := w.store()
		defer s.Close()
		rep, err := w.engine(s, few()[:1], wiring{}).Approve(t.Context(), operator, nil)
		require.NoError(t, err)
		require.Equal(t, state.RunPartial, rep.Status)
		require.Contains(t, strings.Join(rep.Problems, "\n"), h.ID)
		require.Empty(t, w.links())
	})
}

func TestHold_duringARun(t *testing.T) {
	t.Parallel()
	// made makes a hold when the server gets the n-th write.
	made := func(w *world, n int64, f func() state.Stop) (network, *atomic.Int64, *state.Stop) {
		var writes atomic.Int64
		var h state.Stop
		return func(r *http.Request) (*http.Response, error) {
			if r.Method != http.MethodGet && !strings.HasSuffix(r.URL.Path, "/ids") && !strings.HasSuffix(r.URL.Path, "/usernames") && writes.Add(1) == n {
				h = f()
			}
			return http.DefaultTransport.RoundTrip(r)
		}, &writes, &h
	}
	t.Run("everything: the call in flight is the last", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), crowd()[:40]
		cut, writes, h := made(w, 8, func() state.Stop { return w.hold(identity.Key{}, 0) })
		rep, err := w.sync(people, wiring{network: cut, change: func(o *reconcile.Options) { o.Workers = 1 }})
		require.NoError(t, err)
		require.EqualValues(t, 8, writes.Load())
		require.Equal(t, 8, rep.Counts.Done)
		require.Equal(t, 32, rep.Counts.Skipped)
		require.Equal(t, state.RunPartial, rep.Status)
		require.Contains(t, rep.Failures[0].Error, "everything is held by root@host")
		require.Contains(t, rep.Failures[0].Error, "mmsync hold release "+h.ID)
		require.Contains(t, strings.Join(rep.Problems, "\n"), "32 calls were not sent: everything is held by root@host")
		s := w.store()
		ops, err := s.Ops(t.Context(), state.OpFilter{Run: rep.RunID, Statuses: []state.OpStatus{state.OpSkipped}})
		require.NoError(t, err)
		require.NoError(t, s.Close())
		require.Len(t, ops, 32)
		rep, err = w.sync(people, wiring{})
		require.NoError(t, err)
		require.Zero(t, rep.Counts.Done)
		w.release()
		rep, err = w.sync(people, wiring{})
		require.NoError(t, err)
		require.Equal(t, 32, rep.Counts.Done)
	})
	t.Run("a person: he alone is passed over", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), few()
		cut, _, _ := made(w, 1, func() state.Stop { return w.hold(who("3"), 0) })
		rep, err := w.sync(people, wiring{network: cut, change: func(o *reconcile.Options) { o.Workers = 1 }})
		require.NoError(t, err)
		require.Equal(t, 3, rep.Counts.Done)
		_, there := w.sim.UserByName("cora")
		require.False(t, there)
	})
	t.Run("a call that waits for the server's rate does not leave any more", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), few()[:1]
		stop := w.sim.Fail(mmsim.Fault{Method: http.MethodPost, Path: "/users", Status: http.StatusTooManyRequests, RetryAfter: 30})
		defer stop()
		cut, writes, _ := made(w, 1, func() state.Stop { return w.hold(identity.Key{}, 0) })
		began := time.Now()
		rep, err := w.sync(people, wiring{network: cut})
		require.NoError(t, err)
		require.Equal(t, 1, rep.Counts.Skipped)
		require.Contains(t, rep.Failures[0].Error, "everything is held")
		require.LessOrEqual(t, writes.Load(), int64(2))
		require.Less(t, time.Since(began), 30*time.Second)
	})
	t.Run("one that is released goes on, and one that expires", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), few()
		cut, _, _ := made(w, 1, func() state.Stop { h := w.hold(identity.Key{}, 0); w.release(); return h })
		rep, err := w.sync(people, wiring{network: cut, change: func(o *reconcile.Options) { o.Workers = 1 }})
		require.NoError(t, err)
		require.Equal(t, 4, rep.Counts.Done)
		w = newWorld(t)
		cut, _, _ = made(w, 1, func() state.Stop { return w.hold(identity.Key{}, time.Hour) })
		rep, err = w.sync(people, wiring{network: cut, change: func(o *reconcile.Options) { o.Workers = 1 }, wrap: func(s state.Store) state.Store { return later{s, 2 * time.Hour} }})
		require.NoError(t, err)
		require.Equal(t, 4, rep.Counts.Done)
	})
	t.Run("somebody who is to be off is not let in by a run that planned it before", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), few()
		cut, _, _ := made(w, 1, func() state.Stop {
			s := w.store()
			defer s.Close()
			now, err := s.Now(t.Context())
			require.NoError(t, err)
			off := state.Stop{ID: "off", Kind: state.StopOff, Key: who("4"), MadeAt: now}
			require.NoError(t, s.PutStops(t.Context(), []state.Stop{off}))
			return off
		})
		rep, err := w.sync(people, wiring{network: cut, change: func(o *reconcile.Options) { o.Workers = 1 }})
		require.NoError(t, err)
		require.Equal(t, 1, rep.Counts.Skipped)
		_, there := w.sim.UserByName("dirk")
		require.False(t, there)
	})
}

func TestHold_history(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hold(identity.Key{}, time.Hour)
	require.Len(t, w.release(), 1)
	require.Empty(t, w.release(), "there is nothing left to end")
	s := w.store()
	defer s.Close()
	runs, err := s.Runs(t.Context(), state.RunFilter{})
	require.NoError(t, err)
	require.Len(t, runs, 2)
	require.Equal(t, []string{"release", "hold"}, []string{runs[0].Kind, runs[1].Kind})
	require.Equal(t, h.ID, runs[1].ID)
	for _, r := range runs {
		require.Equal(t, "root@host", r.RequestedBy)
		require.Equal(t, "works council", r.Reason)
		require.Contains(t, r.Message, h.ID)
		require.False(t, r.FinishedAt.IsZero())
	}
}
