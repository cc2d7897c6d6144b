package reconcile_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

// Whose account is whose does not change while an operator holds everything, the source
// or the person, except that mmsync may give accounts up.
func TestEngine_underHold(t *testing.T) {
	t.Parallel()
	everything, corp := identity.Key{}, identity.Key{Source: "corp"}
	people := []human{{ID: "1", UID: "anna"}, {ID: "2", UID: "bert"}}
	type deed func(context.Context, *reconcile.Engine) (reconcile.Report, error)
	kinds := map[string]struct {
		person identity.Key // whose own hold refuses it as well; zero if that goes along
		setup  func(w *world, with wiring) (now []human, do deed)
	}{
		"set": {who("3"), func(w *world, _ wiring) ([]human, deed) {
			stray := w.stranger(mmsim.User{Username: "stray"})
			return append(people, human{ID: "3", UID: "cora"}), func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
				return e.SetLink(ctx, byHand, "corp/3", stray.ID, false, false)
			}
		}},
		"approve": {who("3"), func(w *world, _ wiring) ([]human, deed) {
			w.stranger(mmsim.User{Username: "cora"})
			return append(people, human{ID: "3", UID: "cora"}), func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
				return e.Approve(ctx, byHand, []string{"corp/3"})
			}
		}},
		"ignore": {who("3"), func(w *world, _ wiring) ([]human, deed) {
			stray := w.stranger(mmsim.User{Username: "cora"})
			return append(people, human{ID: "3", UID: "cora"}), func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
				_, err := e.Ignore(ctx, byHand, "corp/3", stray.ID, false, false)
				return reconcile.Report{}, err
			}
		}},
		"ignore --undo": {who("3"), func(w *world, with wiring) ([]human, deed) {
			stray := w.stranger(mmsim.User{Username: "cora"})
			more := append(people, human{ID: "3", UID: "cora"})
			ignore := func(undo bool) deed {
				return func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
					_, err := e.Ignore(ctx, byHand, "corp/3", stray.ID, undo, false)
					return reconcile.Report{}, err
				}
			}
			_, err := w.act(more, with, ignore(false))
			require.NoError(w.t, err)
			return more, ignore(true)
		}},
		"purge": {who("2"), func(w *world, _ wiring) ([]human, deed) {
			return nil, func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
				return e.Purge(ctx, byHand, "corp", 2, false)
			}
		}},
		"import": {who("2"), func(w *world, _ wiring) ([]human, deed) {
			s := w.store()
			defer s.Close()
			var b bytes.Buffer
			_, err := reconcile.ExportLinks(w.t.Context(), s, &b)
			require.NoError(w.t, err)
			w.db = emptyStore(w.t)
			return people, func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
				return e.ImportLinks(ctx, byHand, bytes.NewReader(b.Bytes()), false, false)
			}
		}},
		"rekey": {identity.Key{}, func(w *world, _ wiring) ([]human, deed) {
			return []human{people[0], {ID: "n2", UID: "bert"}}, func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
				return e.Rekey(ctx, byHand, "corp/2", "corp/n2", false, false)
			}
		}},
		"rekey --by": {identity.Key{}, func(w *world, _ wiring) ([]human, deed) {
			return []human{people[0], {ID: "n2", UID: "bert"}}, rekeyBy("username", false)
		}},
		"free-name": {who("2"), func(w *world, with wiring) ([]human, deed) {
			left := []human{people[0], {ID: "2", UID: "bert", Left: "yes"}}
			w.settle(left, with)
			return left, func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
				return e.FreeName(ctx, byHand, "bert", false)
			}
		}},
	}
	for name, kind := range kinds {
		for _, about := range []identity.Key{everything, corp, kind.person} {
			if about == kind.person && about.IsZero() {
				continue // tested as everything
			}
			t.Run(name+" is refused while "+about.String()+" is held, and works afterwards", func(t *testing.T) {
				t.Parallel()
				w, with := newWorld(t), wiring{change: roomy}
				w.settle(people, with)
				now, do := kind.setup(w, with)
				if name == "purge" {
					with.change = func(o *reconcile.Options) { roomy(o); o.Sources = []reconcile.Source{directoryOf(t, "hr", nil)} }
				}
				h := w.hold(about, 0)
				links := w.owned()
				w.sim.ResetCalls()
				_, err := w.act(now, with, do)
				require.ErrorIs(t, err, reconcile.ErrRefused)
				require.ErrorContains(t, err, "held by root@host since ")
				require.ErrorContains(t, err, "to go on: mmsync hold release "+h.ID+" --reason …")
				require.Equal(t, links, w.owned())
				require.Empty(t, w.sim.Writes())
				w.release()
				_, err = w.act(now, with, do)
				require.NoError(t, err)
			})
		}
	}
	t.Run("release gives accounts up all the same", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), wiring{change: roomy}
		w.settle(people, with)
		w.hold(everything, 0)
		w.hold(who("2"), 0)
		_, err := w.act(people, with, func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
			return e.Release(ctx, byHand, []string{"bert"}, false)
		})
		require.NoError(t, err)
		require.NotContains(t, w.owned(), "corp/2")
	})
	t.Run("approve --all leaves out who is held, and says so", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), wiring{change: roomy}
		w.settle(people, with)
		w.stranger(mmsim.User{Username: "cora"})
		w.stranger(mmsim.User{Username: "dirk"})
		more := append(people, human{ID: "3", UID: "cora"}, human{ID: "4", UID: "dirk"})
		h := w.hold(who("3"), 0)
		rep, err := w.act(more, with, func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
			return e.Approve(ctx, byHand, nil)
		})
		require.NoError(t, err)
		require.Equal(t, state.RunPartial, rep.Status)
		require.Contains(t, rep.Problems[0], "not linked: corp/3: held by root@host since ")
		require.Contains(t, rep.Problems[0], "mmsync hold release "+h.ID)
		require.Contains(t, w.owned(), "corp/4")
		require.NotContains(t, w.owned(), "corp/3")
	})
}
