package statetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

func verdict(id string, approves bool, people ...int) state.Verdict {
	v := state.Verdict{
		ID: id, Run: "01a", Approves: approves, Reason: "the department is closed", MadeBy: "ann@host", Server: "srv", Policy: "sha256:2",
		MadeAt: at(1), Expires: at(100),
	}
	for _, n := range people {
		d := deactivation(n)
		v.Items = append(v.Items, state.VerdictItem{Key: d.Key, AccountID: d.AccountID, Username: d.Username, Action: d.Action, Ops: d.Ops})
	}
	return v
}

func say(t testing.TB, s state.Store, list ...state.Verdict) {
	t.Helper()
	for _, v := range list {
		require.NoError(t, s.AddVerdict(t.Context(), v))
	}
}

func said(t testing.TB, s state.Store, f state.VerdictFilter) []state.Verdict {
	t.Helper()
	got, err := s.Verdicts(t.Context(), f)
	require.NoError(t, err)
	return got
}

func verdicts(t *testing.T, open Factory) {
	t.Helper()
	open.test(t, "Verdicts/come back as they were, oldest first", func(t *testing.T, s state.Store) {
		require.Empty(t, said(t, s, state.VerdictFilter{}))
		first, second, other := verdict("b", true, 1, 2), verdict("a", false, 3), verdict("c", true, 4)
		second.MadeAt, second.Expires, other.MadeAt, other.Run = at(2), time.Time{}, at(3), "01b"
		say(t, s, first, second, other)
		require.Equal(t, []state.Verdict{first, second, other}, said(t, s, state.VerdictFilter{}))
		require.Equal(t, []state.Verdict{first, second}, said(t, s, state.VerdictFilter{Run: "01a"}))
		require.Equal(t, []state.Verdict{second}, said(t, s, state.VerdictFilter{ID: "a"}))
		got := said(t, s, state.VerdictFilter{Keys: []identity.Key{key(2)}})
		require.Len(t, got, 3)
		require.Equal(t, first.Items[1:], got[0].Items)
		require.Equal(t, state.ItemRef{Verdict: "b", Position: 1}, got[0].Ref(0))
		require.Empty(t, got[1].Items)
		require.Equal(t, state.ItemRef{Verdict: "b", Position: 1}, first.Ref(1))
	})
	open.test(t, "AddVerdict/refuses a second one of a kind about somebody, and names the first", func(t *testing.T, s state.Store) {
		say(t, s, verdict("a", true, 1, 2))
		err := s.AddVerdict(t.Context(), verdict("b", true, 2, 3))
		require.ErrorIs(t, err, state.ErrConflict)
		require.ErrorContains(t, err, "approval a")
		require.ErrorContains(t, err, "ann@host")
		require.ErrorIs(t, s.AddVerdict(t.Context(), verdict("a", true, 9)), state.ErrConflict, "nor one with the same id")
		require.Len(t, said(t, s, state.VerdictFilter{}), 1)
	})
	open.test(t, "AddVerdict/takes people over from one of the other kind", func(t *testing.T, s state.Store) {
		say(t, s, verdict("a", true, 1, 2), verdict("b", false, 2))
		got := said(t, s, state.VerdictFilter{ID: "a"})[0]
		require.Equal(t, []string{"", "b"}, []string{got.Items[0].UsedBy, got.Items[1].UsedBy})
		require.Zero(t, got.ClosedAt, "one person is left in it")
		again := verdict("c", false, 1)
		again.MadeAt = at(5)
		say(t, s, again)
		got = said(t, s, state.VerdictFilter{ID: "a"})[0]
		require.Equal(t, at(5), got.ClosedAt)
		require.Equal(t, "c", got.ClosedBy)
	})
	open.test(t, "AddVerdict/does not mind one that has expired", func(t *testing.T, s state.Store) {
		old, next := verdict("a", true, 1), verdict("b", true, 1)
		next.MadeAt = old.Expires
		say(t, s, old, next)
	})
	open.test(t, "AddVerdict/refuses what cannot be kept", func(t *testing.T, s state.Store) {
		for name, change := range map[string]func(*state.Verdict){
			"nobody": func(v *state.Verdict) { v.Items = nil }, "twice": func(v *state.Verdict) { v.Items = append(v.Items, v.Items[0]) },
			"no ops": func(v *state.Verdict) { v.Items[0].Ops = nil }, "no time": func(v *state.Verdict) { v.MadeAt = time.Time{} },
			"no id": func(v *state.Verdict) { v.ID = "" }, "text": func(v *state.Verdict) { v.Reason = "\xff" },
		} {
			v := verdict("a", true, 1)
			change(&v)
			require.ErrorIs(t, s.AddVerdict(t.Context(), v), state.ErrInvalid, name)
		}
		require.Empty(t, said(t, s, state.VerdictFilter{}))
	})
	open.test(t, "AddVerdict/of several at once about one person takes one", func(t *testing.T, s state.Store) {
		var wait sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wait.Go(func() { errs[i] = s.AddVerdict(t.Context(), verdict(fmt.Sprint("v", i), true, 1)) })
		}
		wait.Wait()
		ok := 0
		for _, err := range errs {
			if err == nil {
				ok++
				continue
			}
			require.ErrorIs(t, err, state.ErrConflict)
		}
		require.Equal(t, 1, ok)
	})
	open.test(t, "UseVerdicts/notes what a run made of them, once", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		say(t, s, verdict("a", true, 1, 2), verdict("b", false, 3))
		require.NoError(t, s.UseVerdicts(t.Context(), l, "01z", []state.ItemRef{{Verdict: "a", Position: 1}}, []string{"a"}, at(7)))
		require.NoError(t, s.UseVerdicts(t.Context(), l, "02z", []state.ItemRef{{Verdict: "a", Position: 1}}, []string{"a"}, at(8)))
		got := said(t, s, state.VerdictFilter{ID: "a"})[0]
		require.Equal(t, []string{"", "01z"}, []string{got.Items[0].UsedBy, got.Items[1].UsedBy})
		require.Equal(t, at(7), got.ClosedAt)
		require.Equal(t, "01z", got.ClosedBy)
		require.Len(t, said(t, s, state.VerdictFilter{Open: true}), 1, "the other is in force")
		say(t, s, verdict("c", true, 1, 2))
	})
	open.test(t, "UseVerdicts/refuses a lost lease", func(t *testing.T, s state.Store) {
		lost, _ := succeed(t, s)
		say(t, s, verdict("a", true, 1))
		require.ErrorIs(t, s.UseVerdicts(t.Context(), lost, "01z", nil, []string{"a"}, at(7)), state.ErrFenced)
		require.Len(t, said(t, s, state.VerdictFilter{Open: true}), 1)
	})
	open.test(t, "SavePlan/keeps decisions with their ops, beside no journal", func(t *testing.T, s state.Store) {
		r := run("01p", state.Lease{})
		r.Kind, r.Status = "plan", state.RunPlanned
		list := thePlan().Decisions
		require.NoError(t, s.SavePlan(t.Context(), r, list))
		got, err := s.Decisions(t.Context(), r.ID)
		require.NoError(t, err)
		require.Len(t, got, len(list))
		for i := range list {
			require.Equal(t, list[i], got[i].Decision)
		}
		ops, err := s.Ops(t.Context(), state.OpFilter{Run: r.ID})
		require.NoError(t, err)
		require.Empty(t, ops)
		require.ErrorIs(t, s.SavePlan(t.Context(), r, list), state.ErrConflict)
		bad := []plan.Decision{{}}
		r.ID = "02p"
		require.ErrorIs(t, s.SavePlan(t.Context(), r, bad), state.ErrInvalid)
	})
}
