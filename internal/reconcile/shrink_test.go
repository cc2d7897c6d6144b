package reconcile_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// later is a store some time on.
type later struct {
	state.Store
	by time.Duration
}

func (l later) Now(ctx context.Context) (time.Time, error) {
	now, err := l.Store.Now(ctx)
	return now.Add(l.by), err
}

// unread is a store whose list of reads was lost.
type unread struct{ state.Store }

func (unread) Reads(context.Context, string, time.Time) ([]state.Read, error) { return nil, nil }

func many(n int) []human {
	out := make([]human, n)
	for i := range out {
		out[i] = human{ID: fmt.Sprint(i), UID: fmt.Sprintf("person%02d", i)}
	}
	return out
}

func TestEngine_Shrink(t *testing.T) {
	t.Parallel()
	strict := func(o *reconcile.Options) { o.Limits.MinEntriesPercent = 80 }
	at := func(by time.Duration) wiring {
		return wiring{change: strict, wrap: func(s state.Store) state.Store { return later{s, by} }}
	}
	withheld := func(t *testing.T, w *world, with wiring, people []human) guard.Trip {
		t.Helper()
		rep, err := w.sync(people, with)
		require.NoError(t, err)
		require.Len(t, rep.Verdict.Trips, 1)
		require.Equal(t, guard.SourceShrink, rep.Verdict.Trips[0].Class)
		require.Zero(t, rep.Plan.Count(plan.Deactivate))
		require.True(t, w.active("person09"))
		return rep.Verdict.Trips[0]
	}
	const day = 24 * time.Hour
	setup := func(t *testing.T) *world {
		w := newWorld(t)
		_, err := w.sync(many(10), at(0))
		require.NoError(t, err)
		return w
	}
	t.Run("is judged by the last complete read, however long ago mmsync last ran", func(t *testing.T) {
		t.Parallel()
		before := time.Now()
		w := setup(t)
		read := before.UTC().Format(time.DateOnly) + "|" + time.Now().UTC().Format(time.DateOnly)
		trip := withheld(t, w, at(30*day), many(2))
		require.Equal(t, 10, trip.Base)
		require.Regexp(t, "2 entries now, 10 in the last complete read, ("+read+")", trip.Message)
	})
	t.Run("does not become the measure by lasting", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		for i := range 12 {
			withheld(t, w, at(time.Duration(i)*day), many(2))
		}
	})
	t.Run("is judged by the links where no read was ever complete", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		trip := withheld(t, w, wiring{change: strict, wrap: func(s state.Store) state.Store { return unread{s} }}, many(2))
		require.Contains(t, trip.Message, "2 entries now, 10 active accounts linked to it")
	})
	t.Run("that is right is let through once, and again when the grace is over", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		patient := func(by time.Duration, percent float64) wiring {
			with := at(by)
			with.change = func(o *reconcile.Options) {
				threeDays(o)
				o.Limits.MinEntriesPercent = percent
			}
			return with
		}
		trip := withheld(t, w, patient(day, 80), many(2))
		require.Contains(t, trip.Message, "again when the grace is over")
		rep, err := w.sync(many(2), patient(day, 0))
		require.NoError(t, err)
		require.False(t, rep.Verdict.Tripped())
		require.Zero(t, rep.Plan.Count(plan.Deactivate))
		withheld(t, w, patient(4*day+time.Hour, 80), many(2))
		rep, err = w.sync(many(2), patient(4*day+time.Hour, 0))
		require.NoError(t, err)
		require.Equal(t, 8, rep.Plan.Count(plan.Deactivate))
		require.False(t, w.active("person09"))
		// From a week later on the smaller size is the usual one.
		rep, err = w.sync(many(2), patient(12*day, 80))
		require.NoError(t, err)
		require.False(t, rep.Verdict.Tripped())
	})
}

func TestEngine_RoleRemovals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := many(7)
	for i := range people[:6] {
		people[i].Groups = []string{adminsGroup}
	}
	w.settle(people, wiring{})
	for i := range people {
		people[i].Groups, people[i].Title = nil, "x" // the group hides its members
	}
	rep, err := w.sync(people, wiring{})
	require.NoError(t, err)
	require.Equal(t, state.RunWithheld, rep.Status)
	require.Equal(t, plan.RoleRemovals, rep.Verdict.Trips[0].Class)
	for i := range people {
		u, ok := w.sim.UserByName(people[i].UID)
		require.True(t, ok)
		require.Equal(t, "x", u.Position, "the rest goes on")
		require.Equal(t, i < 6, u.Roles == "system_admin system_user" || u.Roles == "system_user system_admin", u.Roles)
	}
}
