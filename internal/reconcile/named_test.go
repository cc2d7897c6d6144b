package reconcile_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile"
)

// What is meant for one person is done to nobody while the word fits two.
func TestEngine_Named(t *testing.T) {
	t.Parallel()
	// namesakes are two sources that both have an anchor 7, which is a username too.
	namesakes := func(t *testing.T) (*world, []human, wiring) {
		t.Helper()
		w := newWorld(t)
		people := []human{{ID: "1", UID: "anna"}, {ID: "2", UID: "7"}, {ID: "7", UID: "cora"}}
		with := wiring{change: func(o *reconcile.Options) {
			o.Sources = append(o.Sources, directoryOf(t, "hr", []human{{ID: "7", UID: "dirk"}}))
		}}
		w.rest(people, with)
		w.sim.ResetCalls()
		return w, people, with
	}
	const both = `"7" fits corp/2 and corp/7 and hr/7: name one of them as source/anchor`
	pilot := func(w *world, people []human, with wiring, s reconcile.Selection) (reconcile.Report, error) {
		return w.run(w.t.Context(), people, with, reconcile.RunOptions{}.Select(s))
	}
	t.Run("a pilot of a word that fits two is refused, whether or not anything is to be done about both", func(t *testing.T) {
		t.Parallel()
		w, people, with := namesakes(t)
		people[2].Title = "Director"
		_, err := pilot(w, people, with, reconcile.Selection{People: []string{"anna", "7"}})
		require.ErrorIs(t, err, reconcile.ErrRefused)
		require.ErrorContains(t, err, both)
		require.Empty(t, w.sim.Writes())
		s := w.store()
		defer s.Close()
		_, err = w.engine(s, people, with).Plan(t.Context(), reconcile.RunOptions{Trigger: "test"}.Select(reconcile.Selection{People: []string{"7"}}))
		require.ErrorContains(t, err, both)
	})
	t.Run("a pilot of source/anchor, or of one source, takes the one", func(t *testing.T) {
		t.Parallel()
		w, people, with := namesakes(t)
		people[0].Title, people[1].Title, people[2].Title = "Director", "Director", "Director"
		rep, err := pilot(w, people, with, reconcile.Selection{People: []string{"corp/7"}})
		require.NoError(t, err)
		require.Equal(t, 1, rep.Counts.Done)
		require.Equal(t, "Director", w.position("cora"))
		rep, err = pilot(w, people, with, reconcile.Selection{Sources: []string{"hr"}, People: []string{"7"}})
		require.NoError(t, err)
		require.Zero(t, rep.Counts.Done)
		require.Contains(t, rep.Plan.Warnings, `nothing is to be done about "7"`)
		require.Empty(t, w.position("7"))
	})
	t.Run("a pilot finds somebody by the name that he is still to get", func(t *testing.T) {
		t.Parallel()
		w, people, with := namesakes(t)
		people[0].UID = "annabel"
		rep, err := pilot(w, people, with, reconcile.Selection{People: []string{"annabel"}})
		require.NoError(t, err)
		require.Equal(t, 1, rep.Counts.Done)
	})
	t.Run("explain is refused where two fit equally well, and else tells of the others", func(t *testing.T) {
		t.Parallel()
		w, people, with := namesakes(t)
		explain := func(q string) (x reconcile.Explanation, err error) {
			s := w.store()
			defer s.Close()
			return w.engine(s, people, with).Explain(t.Context(), q)
		}
		_, err := explain("7")
		require.ErrorIs(t, err, reconcile.ErrRefused)
		require.ErrorContains(t, err, `"7" fits corp/7 and hr/7: name one of them as source/anchor`)
		x, err := explain("hr/7")
		require.NoError(t, err)
		require.Equal(t, identity.Key{Source: "hr", Anchor: "7"}, x.Key)
	})
	t.Run("neither is anybody held or switched off, nor an account given up or taken back", func(t *testing.T) {
		t.Parallel()
		w, people, with := namesakes(t)
		s := w.store()
		defer s.Close()
		_, err := reconcile.FindPerson(t.Context(), s, "7")
		require.ErrorContains(t, err, both)
		k, err := reconcile.FindPerson(t.Context(), s, "corp/7")
		require.NoError(t, err)
		require.Equal(t, who("7"), k.Key)
		_, err = w.off("7", with)
		require.ErrorContains(t, err, both)
		act := func(f func(context.Context, *reconcile.Engine) error) error {
			_, err := w.act(people, with, func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
				return reconcile.Report{}, f(ctx, e)
			})
			return err
		}
		require.ErrorContains(t, act(func(ctx context.Context, e *reconcile.Engine) error {
			_, err := e.Release(ctx, byHand, []string{"7"}, false)
			return err
		}), both)
		stray := w.owned()["corp/1"].AccountID
		for _, key := range []string{"corp/7", "hr/7"} {
			require.NoError(t, act(func(ctx context.Context, e *reconcile.Engine) error {
				_, err := e.Ignore(ctx, byHand, key, stray, false, false)
				return err
			}))
		}
		require.ErrorContains(t, act(func(ctx context.Context, e *reconcile.Engine) error {
			_, err := e.Ignore(ctx, byHand, "7", stray, true, false)
			return err
		}), `"7" fits corp/7 and hr/7`)
		require.Empty(t, w.sim.Writes())
		require.True(t, w.active("cora") && w.active("7") && w.active("dirk"))
	})
}
