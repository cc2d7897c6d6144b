package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// off switches somebody off now.
func (w *world) off(query string, with wiring) (reconcile.Report, error) {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	rep, _, err := w.engine(s, few(), with).DeactivateNow(w.t.Context(), operator, query)
	return rep, err
}

// broken is a source that is away.
type broken struct{ reconcile.Source }

func (broken) Snapshot(context.Context, func(identity.Identity) bool) (identity.Snapshot, error) {
	return identity.Snapshot{}, errors.New("connection refused")
}

func TestEngine_DeactivateNow(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T) *world {
		w := newWorld(t)
		w.rest(few(), wiring{})
		w.sim.ResetCalls()
		return w
	}
	t.Run("off at once, and off until the source says so and lets him in again", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		rep, err := w.off("Anna", wiring{})
		require.NoError(t, err)
		require.Equal(t, state.RunDone, rep.Status)
		require.False(t, w.active("anna"))
		d := decisionOn(t, rep, "1")
		require.Equal(t, plan.OperatorOff, d.Reason)
		require.Contains(t, d.Detail, `switched off by root@host`)
		require.Len(t, w.sim.Writes(), 1)
		for range 3 {
			rep, err := w.sync(few(), long)
			require.NoError(t, err)
			require.Equal(t, plan.KeptOff, decisionOn(t, rep, "1").Reason)
			require.Equal(t, state.RunDone, rep.Status, "nobody has to do anything about it in mmsync")
		}
		require.Len(t, w.sim.Writes(), 1, "never repeated")
		require.Equal(t, 1, w.openStops())
		people := few()
		people[0].Left = "yes"
		rep, err = w.sync(people, long)
		require.NoError(t, err)
		require.Zero(t, w.openStops())
		require.Contains(t, w.stops()[0].EndedBy, "the source")
		w.rest(people, long)
		require.False(t, w.active("anna"))
		_, err = w.sync(few(), wiring{})
		require.NoError(t, err)
		require.True(t, w.active("anna"), "back by the usual rules")
	})
	t.Run("a source that lacks the person has to prove it as for any leaver", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		_, err := w.off("anna", wiring{})
		require.NoError(t, err)
		patient := wiring{change: threeDays}
		_, err = w.sync(few()[1:], patient)
		require.NoError(t, err)
		require.Equal(t, 1, w.openStops(), "missed once")
		w.age(73 * time.Hour)
		_, err = w.sync(few()[1:], patient)
		require.NoError(t, err)
		require.Zero(t, w.openStops())
		require.False(t, w.active("anna"))
	})
	t.Run("released, the next run lets him in", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		_, err := w.off("anna", wiring{})
		require.NoError(t, err)
		w.release()
		_, err = w.sync(few(), wiring{})
		require.NoError(t, err)
		require.True(t, w.active("anna"))
	})
	t.Run("switched on by somebody else, he is off again with the next run", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		_, err := w.off("anna", wiring{})
		require.NoError(t, err)
		w.touch("anna", time.Second, func(u *mmsim.User) { u.DeleteAt = 0 })
		_, err = w.sync(few(), wiring{})
		require.NoError(t, err)
		require.False(t, w.active("anna"))
	})
	t.Run("no limit counts him, nor trips", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		none := wiring{change: func(o *reconcile.Options) { o.Limits.Deactivations = guard.Limit{} }}
		rep, err := w.off("anna", none)
		require.NoError(t, err)
		require.False(t, rep.Verdict.Tripped())
		require.Equal(t, w.stops()[0].ID, decisionOn(t, rep, "1").Approval)
		require.False(t, w.active("anna"))
	})
	t.Run("without any source", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		_, err := w.off("anna@example.test", wiring{change: func(o *reconcile.Options) { o.Sources = []reconcile.Source{broken{o.Sources[0]}} }})
		require.NoError(t, err)
		require.False(t, w.active("anna"))
	})
	t.Run("named in other ways", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		for _, query := range []string{w.links()["2"].AccountID, "corp/3", "4", w.links()["1"].Ref} {
			_, err := w.off(query, wiring{})
			require.NoError(t, err, query)
		}
		for _, name := range []string{"anna", "bert", "cora", "dirk"} {
			require.False(t, w.active(name), name)
		}
		require.Len(t, w.sim.Writes(), 4)
	})
	t.Run("twice is once", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		for range 2 {
			_, err := w.off("anna", wiring{})
			require.NoError(t, err)
		}
		require.Len(t, w.stops(), 1)
		require.Len(t, w.sim.Writes(), 1)
	})
	t.Run("while another run is at work it is stored, and the next run does it", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		s := w.store()
		l, err := s.AcquireLease(t.Context(), "reconcile", "other", time.Minute)
		require.NoError(t, err)
		_, err = w.off("anna", wiring{})
		require.ErrorIs(t, err, state.ErrHeld)
		require.True(t, w.active("anna"))
		require.NoError(t, s.ReleaseLease(t.Context(), l))
		require.NoError(t, s.Close())
		rep, err := w.sync(few(), wiring{change: func(o *reconcile.Options) { o.Limits.Deactivations = guard.Limit{} }})
		require.NoError(t, err)
		require.Equal(t, plan.OperatorOff, decisionOn(t, rep, "1").Reason)
		require.Equal(t, state.RunDone, rep.Status, "no limit counts it there either")
		require.False(t, w.active("anna"))
	})
	t.Run("while a call of a run that was cut off may still arrive, it waits for that", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		c := &crash{at: -1}
		people := few()
		people[0].Title = "Director"
		_, err := w.sync(people, wiring{wrap: func(s state.Store) state.Store { return mortal{s, c} }, network: network(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/patch") {
				c.dead.Store(true)
			}
			return c.RoundTrip(r)
		})})
		require.ErrorIs(t, err, errCrash)
		patience := w.patience(people)
		rep, err := w.off("anna", wiring{change: func(o *reconcile.Options) { o.SettleAfter = patience }})
		require.NoError(t, err)
		require.Contains(t, strings.Join(rep.Problems, "\n"), `"anna" is not off yet, and the next run does it: switched off by root@host`)
		require.NotNil(t, rep.Again)
		require.Equal(t, state.RunDone, rep.Status)
		require.False(t, w.active("anna"))
	})
	t.Run("a hold goes before it, and says so", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		w.hold(identity.Key{}, 0)
		rep, err := w.off("anna", wiring{})
		require.NoError(t, err)
		require.Equal(t, state.RunPartial, rep.Status)
		require.Contains(t, strings.Join(rep.Problems, "\n"), "everything is held")
		require.Empty(t, w.sim.Writes())
	})
	t.Run("one that a revert made does not", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		people := few()
		people[0].Title = "Director"
		run, err := w.sync(people, wiring{})
		require.NoError(t, err)
		_, err = w.revert(run.RunID, wiring{})
		require.NoError(t, err)
		rep, err := w.off("anna", wiring{})
		require.NoError(t, err)
		require.Equal(t, state.RunDone, rep.Status)
		require.False(t, w.active("anna"))
	})
	t.Run("a plan of it writes nothing at all", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		s := w.store()
		defer s.Close()
		rep, err := w.engine(s, few(), wiring{}).PlanDeactivation(t.Context(), operator, "anna")
		require.NoError(t, err)
		require.Equal(t, plan.Deactivate, decisionOn(t, rep, "1").Action)
		require.Empty(t, w.sim.Writes())
		require.Empty(t, w.stops())
	})
}

func TestEngine_DeactivateNow_admins(t *testing.T) {
	t.Parallel()
	people := few()
	people[0].Groups = []string{adminsGroup}
	w := newWorld(t)
	w.rest(people, wiring{})
	_, err := w.off("anna", wiring{})
	require.NoError(t, err)
	require.False(t, w.active("anna"))
	u, _ := w.sim.UserByName("anna")
	require.Equal(t, "system_user", u.Roles)
	_, err = w.sync(people, long)
	require.NoError(t, err)
	u, _ = w.sim.UserByName("anna")
	require.Equal(t, "system_user", u.Roles, "and stays without the rights that the source still gives")
}

func TestEngine_DeactivateNow_refused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		query  string
		people func([]human)
		set    func(w *world)
		change func(*reconcile.Options)
		says   string
	}{
		"an account that mmsync does not own": {
			query: "stranger", set: func(w *world) { w.sim.AddUser(mmsim.User{Username: "stranger", Email: "stranger@chat.test"}) },
			says: "mmsync does not own account \"stranger\"",
		},
		"nobody":              {query: "nobody", says: `nobody is known as "nobody"`},
		"a protected account": {query: "anna", change: func(o *reconcile.Options) { o.Protect = []string{"ann*"} }, says: "protected pattern"},
		"a bot":               {query: "anna", set: func(w *world) { w.touch("anna", 0, func(u *mmsim.User) { u.IsBot = true }) }, says: "it is a bot"},
		"the last administrators": {
			query: "anna", people: func(p []human) { p[0].Groups = []string{adminsGroup} },
			change: func(o *reconcile.Options) { o.Policy.NeverBelow = 2 }, says: "at least 2 must remain",
		},
		"an account that is gone": {query: "corp/1", set: func(w *world) { w.sim.RemoveUser(w.links()["1"].AccountID) }, says: "the server has no account"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, people := newWorld(t), few()
			if c.people != nil {
				c.people(people)
			}
			w.rest(people, wiring{})
			if c.set != nil {
				c.set(w)
			}
			before := w.sim.Users()
			w.sim.ResetCalls()
			_, err := w.off(c.query, wiring{change: c.change})
			require.ErrorContains(t, err, c.says)
			require.Empty(t, w.sim.Writes())
			require.Equal(t, before, w.sim.Users())
			require.Zero(t, w.openStops(), "nothing lies in wait for another day")
		})
	}
}

// Cut off at any place, either nothing was said, or the next run does it.
func TestEngine_DeactivateNow_cut(t *testing.T) {
	t.Parallel()
	for _, kind := range []cutKind{beforeWrite, afterWrite, beforeRequest, afterRequest} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			for n := 1 + rand.Int64N(2); ; n += 2 { //nolint:gosec // where to begin; failures name the place
				w := newWorld(t)
				w.rest(few(), wiring{})
				w.sim.ResetCalls()
				c := &crash{at: n, kind: kind}
				_, err := w.off("anna", wiring{wrap: func(s state.Store) state.Store { return mortal{s, c} }, network: c})
				if !c.dead.Load() {
					require.NoError(t, err)
					require.Greater(t, n, int64(5))
					return
				}
				name := fmt.Sprintf("%s %d", kind, n)
				said := w.openStops() > 0
				for range 3 {
					_, err = w.sync(few(), wiring{})
					require.NoError(t, err, name)
				}
				require.Equal(t, !said, w.active("anna"), name)
				require.LessOrEqual(t, len(w.sim.Writes()), 1, name)
				for _, name := range []string{"bert", "cora", "dirk"} {
					require.True(t, w.active(name))
				}
			}
		})
	}
}
