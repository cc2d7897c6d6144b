package reconcile_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

// export writes what mmsync audit export does; without kept, as it was before links
// were part of it.
func (w *world) export(v reconcile.Vault, kept bool) string {
	w.t.Helper()
	batches, rows := w.history()
	key, err := v.Key(false)
	require.NoError(w.t, err)
	var b bytes.Buffer
	out := audit.NewWriter(&b, nil)
	if kept {
		out = audit.NewWriter(&b, &key)
	}
	require.NoError(w.t, out.Begin())
	next := 0
	for _, batch := range batches {
		require.NoError(w.t, out.Batch(batch))
		for ; next < len(rows) && rows[next].Batch == batch.ID; next++ {
			require.NoError(w.t, out.Row(rows[next]))
		}
	}
	if kept {
		s := w.store()
		defer s.Close()
		require.NoError(w.t, reconcile.Keep(w.t.Context(), s, out.Keep))
		require.NoError(w.t, out.End(audit.HeadOf(batches[len(batches)-1])))
	}
	return b.String()
}

// lost is the same server with a store that is empty.
func (w *world) lost(postgres bool) *world {
	w.t.Helper()
	next := *w
	next.migrated, next.agreed, next.db = false, false, setting{postgres: postgres}.store(w.t)
	return &next
}

func (w *world) rebuild(v reconcile.Vault, text string) (reconcile.Rebuilt, error) {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	return w.engine(s, nil, sealing(v)).RebuildLinks(w.t.Context(), byHand, strings.NewReader(text))
}

func (w *world) accept(v reconcile.Vault) {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	_, err := w.engine(s, nil, sealing(v)).AcceptRestore(w.t.Context(), byHand)
	require.NoError(w.t, err)
}

// linkLines gives all that is kept of a link, which is what an export of them holds.
func (w *world) linkLines() string {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	var b strings.Builder
	_, err := reconcile.ExportLinks(w.t.Context(), s, &b)
	require.NoError(w.t, err)
	return b.String()
}

// story is some weeks of a company in which everything happens that changes links.
type story struct {
	w      *world
	with   wiring
	rng    *rand.Rand
	people []human
	next   int
}

func (s *story) hire() {
	s.next++
	s.people = append(s.people, human{ID: fmt.Sprintf("e%d", s.next), UID: fmt.Sprintf("user%d", s.next), Number: fmt.Sprint(1000 + s.next), Title: "Clerk"})
}

func (s *story) day() {
	s.hire()
	at := s.rng.IntN(len(s.people))
	p := &s.people[at]
	switch s.rng.IntN(8) {
	case 0:
		p.Left = "yes"
	case 1:
		p.Left = ""
	case 2:
		p.Title = fmt.Sprintf("Rank %d", s.next)
	case 3:
		s.next++
		p.UID = fmt.Sprintf("user%d", s.next)
	case 4:
		p.Groups = []string{adminsGroup}
	case 5: // comes back under another id
		if p.Left != "" {
			break
		}
		s.sync()
		old := p.ID
		p.ID += "-new"
		_, err := s.w.act(s.people, s.with, func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
			return e.Rekey(ctx, byHand, "corp/"+old, "corp/"+p.ID, true, false)
		})
		require.NoError(s.w.t, err)
	case 6: // given up, and given back or not
		s.sync()
		key, account := "corp/"+p.ID, ""
		if account = s.w.owned()[key].AccountID; account == "" || p.Left != "" {
			break
		}
		_, err := s.w.act(s.people, s.with, func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
			return e.Release(ctx, byHand, []string{key}, false)
		})
		require.NoError(s.w.t, err)
		if s.rng.IntN(2) == 0 {
			_, err = s.w.act(s.people, s.with, func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
				return e.SetLink(ctx, byHand, key, account, true, false)
			})
			require.NoError(s.w.t, err)
		}
	case 7:
		s.people = slices.Delete(s.people, at, at+1)
	}
	s.sync()
}

func (s *story) sync() {
	s.w.t.Helper()
	_, err := s.w.sync(s.people, s.with)
	require.NoError(s.w.t, err)
}

func tell(t *testing.T, seed uint64) (*story, reconcile.Vault) {
	t.Helper()
	v := vault(t)
	s := &story{w: newWorld(t), rng: rand.New(rand.NewPCG(seed, 1))}
	s.with = wiring{change: func(o *reconcile.Options) { roomy(o); o.Vault = v }}
	for range 6 {
		s.hire()
	}
	for range 14 {
		s.day()
	}
	s.sync()
	return s, v
}

// Whatever has happened, the links that are rebuilt from an export are those there
// were, in either store, and plan what the lost store would plan.
func TestEngine_RebuildLinks_asTheyWere(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		postgres := seed == 0
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			if testing.Short() && seed > 1 {
				t.Skip("two seeds are enough for a quick look")
			}
			s, v := tell(t, seed)
			before, planned := s.w.linkLines(), s.w.plan(s.people, s.with)
			w := s.w.lost(postgres)
			got, err := w.rebuild(v, s.w.export(v, true))
			require.NoError(t, err)
			require.Empty(t, got.Doubts)
			require.Equal(t, strings.Count(before, "\n")-1, got.Links)
			require.Equal(t, before, w.linkLines())

			s.w.sim.ResetCalls()
			_, err = w.sync(s.people, s.with)
			require.ErrorIs(t, err, reconcile.ErrRefused, "until somebody accepts it")
			require.Empty(t, s.w.sim.Writes())
			w.accept(v)
			after := w.plan(s.people, s.with)
			require.False(t, planned.Plan.Effective())
			require.False(t, after.Plan.Effective())
			require.Equal(t, heldOf(planned), heldOf(after), "who is held is held as before")
			_, err = w.sync(s.people, s.with)
			require.NoError(t, err)
			require.Empty(t, s.w.sim.Writes())
		})
	}
}

func heldOf(r reconcile.Report) (out []string) {
	for i := range r.Plan.Decisions {
		d := &r.Plan.Decisions[i]
		out = append(out, fmt.Sprint(d.Key, d.Action, d.Reason))
	}
	return out
}

// An export that holds the history alone gives ownership all the same.
func TestEngine_RebuildLinks_ofTheHistoryAlone(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s, v := tell(t, seed)
			was := s.w.owned()
			w := s.w.lost(false)
			got, err := w.rebuild(v, s.w.export(v, false))
			require.NoError(t, err)
			require.Len(t, got.Doubts, 1)
			require.Contains(t, got.Doubts[0], "the export holds the history alone")
			is := w.owned()
			require.Len(t, is, len(was))
			for k, l := range was {
				r := is[k]
				require.Equal(t, []any{l.AccountID, l.Part, l.Origin, l.DeactivatedAt, l.Applied.Active, l.Applied.Roles},
					[]any{r.AccountID, r.Part, r.Origin, r.DeactivatedAt, r.Applied.Active, r.Applied.Roles}, k)
				require.WithinDuration(t, l.CreatedAt, r.CreatedAt, time.Minute, k)
			}
		})
	}
}

func TestEngine_RebuildLinks(t *testing.T) {
	t.Parallel()
	// left is a world in which Bert was switched off, and an export of it.
	left := func(t *testing.T) (*world, reconcile.Vault, []human, string) {
		t.Helper()
		w, v := newWorld(t), vault(t)
		people := two()
		_, err := w.sync(people, sealing(v))
		require.NoError(t, err)
		people[1].Left = "yes"
		_, err = w.sync(people, sealing(v))
		require.NoError(t, err)
		return w, v, people, w.export(v, true)
	}
	t.Run("a store that has links is refused, and twice the same is done once", func(t *testing.T) {
		t.Parallel()
		w, v, _, text := left(t)
		next := w.lost(false)
		_, err := next.rebuild(v, text)
		require.NoError(t, err)
		before := next.linkLines()
		got, err := next.rebuild(v, text)
		require.NoError(t, err)
		require.True(t, got.Already)
		require.Equal(t, before, next.linkLines())
		other := newWorld(t)
		_, err = other.sync(two()[:1], wiring{})
		require.NoError(t, err)
		_, err = other.rebuild(v, text)
		require.ErrorIs(t, err, reconcile.ErrRefused)
		require.ErrorContains(t, err, "the store has 1 links, and only an empty one is rebuilt")
	})
	t.Run("an export that was edited, cut or sealed with another key is refused by its line, and nothing is written", func(t *testing.T) {
		t.Parallel()
		w, v, _, text := left(t)
		lines := strings.SplitAfter(text, "\n")
		n := len(lines) - 1
		for name, c := range map[string]struct {
			text string
			v    reconcile.Vault
			want string
		}{
			"a row edited":   {strings.Replace(text, `create_account`, `adopt_account`, 1), v, "line 3 of the export: it was edited: row 1 of batch 1"},
			"a link edited":  {strings.Replace(text, `\"origin\":\"created\"`, `\"origin\":\"operator\"`, 1), v, fmt.Sprintf("line %d of the export: it was edited", n)},
			"the end cut":    {strings.Join(lines[:n-1], ""), v, fmt.Sprintf("line %d is the last, and does not end it", n-1)},
			"no export":      {"id,login\n", v, "line 1: this is no export"},
			"another's key":  {text, func() reconcile.Vault { o := vault(t); _, err := o.Key(true); require.NoError(t, err); return o }(), "was not sealed with this key"},
			"no key at hand": {text, vault(t), "nothing proves that the export was not edited"},
		} {
			next := w.lost(false)
			_, err := next.rebuild(c.v, c.text)
			require.ErrorIs(t, err, reconcile.ErrRefused, name)
			require.ErrorContains(t, err, c.want, name)
			require.Empty(t, next.owned(), name)
		}
	})
	t.Run("whom an operator switched off stays off, and what was refused stays refused", func(t *testing.T) {
		t.Parallel()
		w, v := newWorld(t), vault(t)
		_, err := w.sync(two(), sealing(v))
		require.NoError(t, err)
		_, err = w.act(two(), sealing(v), func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
			rep, _, err := e.DeactivateNow(ctx, byHand, "corp/1")
			return rep, err
		})
		require.NoError(t, err)
		_, err = w.act(two(), sealing(v), func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
			return e.Release(ctx, byHand, []string{"corp/2"}, false)
		})
		require.NoError(t, err)
		next := w.lost(false)
		got, err := next.rebuild(v, w.export(v, true))
		require.NoError(t, err)
		require.Equal(t, []int{1, 1, 1}, []int{got.Links, got.Stops, got.Refused})
		next.accept(v)
		w.sim.ResetCalls()
		_, err = next.sync(two(), sealing(v))
		require.NoError(t, err)
		require.Empty(t, w.sim.Writes())
	})
	t.Run("one that died in between is done again", func(t *testing.T) {
		t.Parallel()
		w, v, people, text := left(t)
		before := w.linkLines()
		next := w.lost(false)
		s := next.store()
		with := sealing(v)
		with.wrap = func(s state.Store) state.Store { return noLinks{s} }
		_, err := next.engine(s, nil, with).RebuildLinks(t.Context(), byHand, strings.NewReader(text))
		require.ErrorIs(t, err, errDied)
		require.NoError(t, s.Close())
		w.sim.ResetCalls()
		_, err = next.sync(people, sealing(v))
		require.ErrorIs(t, err, reconcile.ErrRefused, "an empty store would make everybody anew")
		_, err = next.rebuild(v, text)
		require.NoError(t, err)
		require.Equal(t, before, next.linkLines())
	})
	t.Run("of a person who was forgotten only ownership is known, and he is named", func(t *testing.T) {
		t.Parallel()
		for _, kept := range []bool{true, false} {
			w, v, people, _ := left(t)
			s := w.store()
			_, err := w.engine(s, nil, sealing(v)).Forget(t.Context(), "corp/2", byHand)
			require.NoError(t, err)
			require.NoError(t, s.Close())
			text := w.export(v, kept)
			name := people[1].UID
			require.NotContains(t, text, name)
			next := w.lost(false)
			got, err := next.rebuild(v, text)
			require.NoError(t, err)
			require.Contains(t, strings.Join(got.Doubts, "\n"), map[bool]string{true: "corp/2: the person was forgotten", false: "corp/2: values were forgotten"}[kept])
			link := next.owned()["corp/2"]
			require.Equal(t, w.owned()["corp/2"].AccountID, link.AccountID)
			require.False(t, link.Applied.Active)
		}
	})
	t.Run("of a history whose beginning was pruned the export of the links is whole, and the rows alone are not", func(t *testing.T) {
		t.Parallel()
		w, v, _, _ := left(t)
		key, err := v.Key(false)
		require.NoError(t, err)
		batches, _ := w.history()
		s := w.store()
		l, err := s.AcquireLease(t.Context(), "test", "test", time.Minute)
		require.NoError(t, err)
		require.NoError(t, s.PruneAudit(t.Context(), l, []audit.Batch{key.Prune(batches[0], time.Now())}))
		require.NoError(t, s.Close())
		whole, part := w.lost(false), w.lost(false)
		got, err := whole.rebuild(v, w.export(v, true))
		require.NoError(t, err)
		require.Empty(t, got.Doubts)
		require.Equal(t, w.linkLines(), whole.linkLines())
		got, err = part.rebuild(v, w.export(v, false))
		require.NoError(t, err)
		require.Contains(t, got.Doubts[0], "the rows of 1 batches are not in the export")
		require.Contains(t, part.owned(), "corp/2", "of a call it is known whose account it was")
		require.NotContains(t, part.owned(), "corp/1")
	})
	t.Run("a store of another server is refused", func(t *testing.T) {
		t.Parallel()
		_, v, _, text := left(t)
		other := newWorld(t)
		_, err := other.sync(nil, wiring{})
		require.NoError(t, err)
		_, err = other.rebuild(v, text)
		require.ErrorIs(t, err, reconcile.ErrRefused)
		require.ErrorContains(t, err, "this store belongs to mattermost")
		require.Empty(t, other.owned())
	})
}

// noLinks dies where links are written.
type noLinks struct{ state.Store }

func (noLinks) PutLinks(context.Context, state.Lease, []identity.Link) error { return errDied }
