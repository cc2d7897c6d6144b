package reconcile_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// What an operator said about somebody holds under his new id as well.
func TestEngine_Rekey_goesAlong(t *testing.T) {
	t.Parallel()
	rekey := func(from, to string) func(context.Context, *reconcile.Engine) (reconcile.Report, error) {
		return func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
			return e.Rekey(ctx, byHand, from, to, false, false)
		}
	}
	t.Run("who is off or held by hand stays so, moved one by one or all at once", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), wiring{change: roomy}
		people := []human{{ID: "1", UID: "anna"}, {ID: "2", UID: "bert", Title: "Clerk"}, {ID: "3", UID: "cora"}}
		w.settle(people, with)
		_, err := w.off("anna", with)
		require.NoError(t, err)
		hold := w.hold(who("2"), 0)
		people[0].ID, people[1].ID, people[1].Title = "n1", "n2", "Boss"
		_, err = w.sync(people, with)
		require.NoError(t, err)
		rep, err := w.act(people, with, rekeyBy("username", false))
		require.NoError(t, err)
		require.Equal(t, 1, rep.Counts.Done)
		require.Contains(t, rep.Plan.Decisions[0].Detail, "what operators said about corp/2 goes along")
		rep, err = w.act(people, with, rekey("corp/1", "corp/n1"))
		require.NoError(t, err)
		require.Equal(t, 1, rep.Counts.Done)
		for range 2 {
			_, err = w.sync(people, with)
			require.NoError(t, err)
		}
		require.False(t, w.active("anna"))
		require.Equal(t, "Clerk", w.position("bert"))
		require.Equal(t, 2, w.openStops(), "those under the old ids are ended")
		for _, s := range w.stops() {
			if s.ID == hold.ID {
				require.Equal(t, "the move to corp/n2", s.EndedBy)
			}
		}
		w.release()
		_, err = w.sync(people, with)
		require.NoError(t, err)
		require.Equal(t, "Boss", w.position("bert"))
	})
	t.Run("a move that is cut off before the link goes is done by the next, and holds once", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), wiring{change: roomy}
		people := few()
		w.settle(people, with)
		w.hold(who(people[0].ID), 0)
		old := people[0].ID
		people[0].ID, people[0].Title = "new", "Boss"
		cut := with
		cut.wrap = func(s state.Store) state.Store { return &dying{Store: s} }
		_, err := w.act(people, cut, rekey("corp/"+old, "corp/new"))
		require.ErrorIs(t, err, errDied)
		require.Equal(t, 2, w.openStops())
		_, err = w.act(people, with, rekey("corp/"+old, "corp/new"))
		require.NoError(t, err)
		require.Equal(t, 1, w.openStops())
		_, err = w.sync(people, with)
		require.NoError(t, err)
		require.Equal(t, "Clerk", w.position("anna"))
	})
	t.Run("what was rejected stays rejected, what was approved is not carried over", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		with := wiring{change: func(o *reconcile.Options) { roomy(o); o.Limits.Updates = guard.Limit{} }}
		people := few()
		w.rest(people, wiring{change: roomy})
		people[0].Title, people[1].Title = "Boss", "Boss"
		held, err := w.sync(people, with)
		require.NoError(t, err)
		require.Equal(t, state.RunWithheld, held.Status)
		no, err := w.say(with, reconcile.Say{Run: held.RunID, People: []string{"anna"}})
		require.NoError(t, err)
		w.approve(held.RunID, "bert")
		for i := range 2 {
			old := people[i].ID
			people[i].ID = "new" + old
			_, err = w.act(people, with, rekey("corp/"+old, "corp/new"+old))
			require.NoError(t, err)
		}
		rep, err := w.sync(people, with)
		require.NoError(t, err)
		require.Zero(t, rep.Counts.Done)
		require.NotEmpty(t, w.verdict(no.ID).Items[0].UsedBy)
		why := map[string]plan.Reason{}
		for _, d := range rep.Plan.Decisions {
			why[d.Username] = d.Reason
		}
		require.Equal(t, map[string]plan.Reason{"anna": plan.Rejected, "bert": plan.GuardTripped}, why)
	})
}

// What a guard holds of somebody is held under his new id as well, however much room the
// limit has, and nothing of it stays under the old one.
func TestEngine_Rekey_held(t *testing.T) {
	t.Parallel()
	held := func(w *world) (keys []string) {
		s := w.store()
		defer s.Close()
		list, err := s.Held(w.t.Context())
		require.NoError(w.t, err)
		for _, h := range list {
			keys = append(keys, h.Key.String())
		}
		return keys
	}
	none := wiring{change: func(o *reconcile.Options) { roomy(o); o.Limits.Updates = guard.Limit{} }}
	start := func(t *testing.T) (*world, []human) {
		t.Helper()
		w, people := newWorld(t), few()
		w.rest(people, wiring{change: roomy})
		people[0].Title, people[1].Title = "Boss", "Boss"
		rep, err := w.sync(people, none)
		require.NoError(t, err)
		require.Equal(t, state.RunWithheld, rep.Status)
		require.Equal(t, []string{"corp/1", "corp/2"}, held(w))
		return w, people
	}
	t.Run("moved one by one", func(t *testing.T) {
		t.Parallel()
		w, people := start(t)
		people[0].ID = "n1"
		_, err := w.act(people, none, func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
			return e.Rekey(ctx, byHand, "corp/1", "corp/n1", false, false)
		})
		require.NoError(t, err)
		require.Equal(t, []string{"corp/2", "corp/n1"}, held(w))
		rep, err := w.sync(people, wiring{change: roomy})
		require.NoError(t, err)
		require.Equal(t, state.RunWithheld, rep.Status)
		require.Equal(t, plan.GuardTripped, decisionOn(t, rep, "n1").Reason)
		require.Equal(t, "Clerk", w.position("anna"))
		require.Equal(t, []string{"corp/2", "corp/n1"}, held(w))
		w.approveUnder(rep.RunID, roomy)
		_, err = w.sync(people, wiring{change: roomy})
		require.NoError(t, err)
		require.Equal(t, "Boss", w.position("anna"))
		require.Empty(t, held(w))
	})
	t.Run("moved into another source, out of one that is configured no more", func(t *testing.T) {
		t.Parallel()
		w, people := start(t)
		hr := wiring{change: func(o *reconcile.Options) {
			none.change(o)
			o.Sources = []reconcile.Source{directoryOf(t, "hr", people)}
		}}
		for _, id := range []string{"1", "2"} {
			_, err := w.act(nil, hr, func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
				return e.Rekey(ctx, byHand, "corp/"+id, "hr/"+id, false, false)
			})
			require.NoError(t, err)
		}
		require.Equal(t, []string{"hr/1", "hr/2"}, held(w))
	})
	t.Run("an account that is given up leaves nothing held behind", func(t *testing.T) {
		t.Parallel()
		w, people := start(t)
		hr := wiring{change: func(o *reconcile.Options) {
			none.change(o)
			o.Sources = []reconcile.Source{directoryOf(t, "hr", nil)}
		}}
		_, err := w.act(people, hr, func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
			return e.Purge(ctx, byHand, "corp", 4, false)
		})
		require.NoError(t, err)
		require.Empty(t, held(w))
	})
}

// stillHas is a source that has everybody when asked for him directly.
type stillHas struct{ reconcile.Source }

func (stillHas) Confirm(_ context.Context, anchors []string) (map[string]identity.Presence, error) {
	out := map[string]identity.Presence{}
	for _, a := range anchors {
		out[a] = identity.PresencePresent
	}
	return out, nil
}

func TestEngine_Rekey_asks(t *testing.T) {
	t.Parallel()
	t.Run("whom the source still has keeps his account, though his grace has only begun", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), wiring{change: func(o *reconcile.Options) {
			roomy(o)
			o.Policy.Grace = plan.Grace{Missing: 100 * time.Hour, OutOfScope: 100 * time.Hour}
			o.Sources[0] = stillHas{o.Sources[0]}
		}}
		w.settle([]human{{ID: "o1", UID: "anna"}, {ID: "2", UID: "bert"}}, with)
		_, err := w.act([]human{{ID: "n1", UID: "anna"}, {ID: "2", UID: "bert"}}, with, func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
			return e.Rekey(ctx, byHand, "corp/o1", "corp/n1", false, false)
		})
		require.ErrorIs(t, err, reconcile.ErrRefused)
		require.ErrorContains(t, err, "may still be in use: corp has the entry when asked for it directly")
		require.Contains(t, w.owned(), "corp/o1")
	})
}
