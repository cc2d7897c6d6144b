package reconcile_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// threeDays is the usual grace.
func threeDays(o *reconcile.Options) {
	o.Policy.Grace = plan.Grace{Disabled: 24 * time.Hour, Missing: 72 * time.Hour, OutOfScope: 72 * time.Hour}
}

// age lets everybody who is being missed be missed since longer ago, as if so
// much time had passed since the last run.
func (w *world) age(d time.Duration) {
	w.t.Helper()
	list := w.sightings()
	require.NotEmpty(w.t, list)
	for i := range list {
		list[i].Since, list[i].LastRead = list[i].Since.Add(-d), list[i].LastRead.Add(-d)
	}
	w.putSightings(list)
}

func (w *world) putSightings(list []state.Sighting) {
	w.t.Helper()
	ctx := w.t.Context()
	s := w.store()
	defer s.Close()
	l, err := s.AcquireLease(ctx, "age", "test", time.Minute)
	require.NoError(w.t, err)
	r := state.Run{ID: fmt.Sprintf("age-%d", time.Now().UnixNano()), Kind: "test", Trigger: "test", Status: state.RunDone, Token: l.Token, RequestedAt: time.Now()}
	require.NoError(w.t, s.BeginRun(ctx, l, r, plan.Plan{}, state.SightingChanges{Missed: list}))
}

func (w *world) sightings() []state.Sighting {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	list, err := s.Sightings(w.t.Context(), "corp")
	require.NoError(w.t, err)
	return list
}

func (w *world) active(name string) bool {
	w.t.Helper()
	u, ok := w.sim.UserByName(name)
	require.True(w.t, ok, name)
	return u.Active()
}

func TestEngine_Grace(t *testing.T) {
	t.Parallel()
	all := []human{{ID: "1", UID: "anna"}, {ID: "2", UID: "bert"}, {ID: "3", UID: "cora"}}
	without := all[:2]
	with := wiring{change: threeDays}
	setup := func(t *testing.T) *world {
		w := newWorld(t)
		_, err := w.sync(all, with)
		require.NoError(t, err)
		return w
	}
	run := func(t *testing.T, w *world, people []human) reconcile.Report {
		t.Helper()
		rep, err := w.sync(people, with)
		require.NoError(t, err)
		return rep
	}
	held := func(t *testing.T, rep reconcile.Report) plan.Decision {
		t.Helper()
		require.Len(t, rep.Plan.Decisions, 1)
		require.Equal(t, plan.Hold, rep.Plan.Decisions[0].Action)
		return rep.Plan.Decisions[0]
	}

	t.Run("within it nobody is touched and the plan tells when it ends", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		d := held(t, run(t, w, without))
		require.Equal(t, plan.InGrace, d.Reason)
		require.WithinDuration(t, time.Now().Add(72*time.Hour), *d.Until, time.Minute)
		w.age(71 * time.Hour)
		d = held(t, run(t, w, without))
		require.WithinDuration(t, time.Now().Add(time.Hour), *d.Until, time.Minute)
		require.True(t, w.active("cora"))
	})
	t.Run("when it is over the account is switched off", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		run(t, w, without)
		w.age(73 * time.Hour)
		rep := run(t, w, without)
		require.Equal(t, 1, rep.Plan.Count(plan.Deactivate))
		require.False(t, w.active("cora"))
		require.Empty(t, w.plan(without, with).Plan.Decisions)
	})
	t.Run("one complete read is not enough, however long ago", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		run(t, w, without)
		w.age(73 * time.Hour)
		// The second read comes too soon after the first to be another one.
		s := w.sightings()
		s[0].LastRead = time.Now()
		w.putSightings(s)
		d := held(t, run(t, w, without))
		require.Contains(t, d.Detail, "second complete read")
		require.True(t, w.active("cora"))
	})
	t.Run("a sighting clears it", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		run(t, w, without)
		w.age(71 * time.Hour)
		require.Empty(t, run(t, w, all).Plan.Decisions)
		require.Empty(t, w.sightings())
		d := held(t, run(t, w, without))
		require.WithinDuration(t, time.Now().Add(72*time.Hour), *d.Until, time.Minute)
	})
	t.Run("a plan counts as no read", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		w.plan(without, with)
		require.Empty(t, w.sightings())
		run(t, w, without)
		before := w.sightings()
		w.plan(without, with)
		require.Equal(t, before, w.sightings())
	})
	t.Run("an incomplete read neither starts nor counts, and still clears", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		broken := append(slices.Clone(without), human{ID: "4"}) // no login
		rep := run(t, w, broken)                                // one of three entries cannot be used
		require.False(t, rep.Plan.Sources[0].Complete)
		require.Empty(t, w.sightings())
		run(t, w, without)
		w.age(71 * time.Hour)
		run(t, w, append(slices.Clone(all), broken[2]))
		require.Empty(t, w.sightings())
	})
	t.Run("a disabled person has one of his own", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		off := slices.Clone(all)
		off[2].Left = "yes"
		d := held(t, run(t, w, off))
		require.Equal(t, plan.InGrace, d.Reason)
		w.age(23 * time.Hour)
		held(t, run(t, w, off))
		require.True(t, w.active("cora"))
		w.age(2 * time.Hour)
		run(t, w, off)
		require.False(t, w.active("cora"))
	})
	t.Run("who is back within it never notices", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		run(t, w, without)
		w.sim.ResetCalls()
		require.Empty(t, run(t, w, all).Plan.Decisions)
		require.Empty(t, w.sim.Writes())
	})
}

func TestEngine_AdminSwitchedOff(t *testing.T) {
	t.Parallel()
	people := []human{{ID: "1", UID: "anna"}, {ID: "2", UID: "bert"}}
	gone := []human{{ID: "1", UID: "anna"}, {ID: "2", UID: "bert", Left: "yes"}}
	t.Run("between two runs, after mmsync had done so, stays off", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.settle(people, wiring{})
		w.settle(gone, wiring{})
		u, _ := w.sim.UserByName("bert")
		w.sim.SetUser(u.ID, func(u *mmsim.User) { u.DeleteAt += 1000; u.UpdateAt += 1000 })
		rep, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.Len(t, rep.Plan.Decisions, 1)
		require.Equal(t, plan.DeactivatedOther, rep.Plan.Decisions[0].Reason)
		require.False(t, w.active("bert"))
	})
	t.Run("between plan and call is left alone", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.settle(people, wiring{})
		u, _ := w.sim.UserByName("bert")
		rep, err := w.sync(gone, wiring{wrap: func(s state.Store) state.Store {
			return journaled{s, func() {
				w.sim.SetUser(u.ID, func(u *mmsim.User) { u.DeleteAt, u.UpdateAt = time.Now().UnixMilli(), time.Now().UnixMilli() })
				w.sim.ResetCalls()
			}}
		}})
		require.NoError(t, err)
		require.Equal(t, 1, rep.Counts.Skipped)
		s := w.store()
		links, err := s.Links(t.Context(), state.LinkFilter{Keys: []identity.Key{{Source: "corp", Anchor: "2"}}})
		require.NoError(t, err)
		require.NoError(t, s.Close())
		require.Zero(t, links[0].DeactivatedAt, "mmsync did not switch it off, so it may not switch it on")
		require.Empty(t, w.sim.Writes())
	})
}

// journaled calls then once a plan is in the journal and nothing of it is done.
type journaled struct {
	state.Store
	then func()
}

func (j journaled) BeginRun(ctx context.Context, l state.Lease, r state.Run, p plan.Plan, s state.SightingChanges) error {
	err := j.Store.BeginRun(ctx, l, r, p, s)
	j.then()
	return err
}

func TestEngine_Grace_endsWithASettledPersonsReturn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := []human{{ID: "1", UID: "anna"}, {ID: "2", UID: "bert"}, {ID: "3", UID: "cora"}}
	with := wiring{change: threeDays}
	for _, people := range [][]human{all, all, all[:2], all} { // the second run settles cora
		_, err := w.sync(people, with)
		require.NoError(t, err)
	}
	require.Empty(t, w.sightings())
}
