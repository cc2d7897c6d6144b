package reconcile_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// These tests are about what an operator says: it lets exactly what was held
// through, once, and nothing else.

// say speaks about what a run held.
func (w *world) say(with wiring, s reconcile.Say) (state.Verdict, error) {
	w.t.Helper()
	st := w.store()
	defer st.Close()
	s.Reason, s.By = "the department is closed", "ann@host"
	return w.engine(st, nil, with).Say(w.t.Context(), s)
}

func (w *world) approve(run string, people ...string) state.Verdict {
	w.t.Helper()
	v, err := w.say(wiring{}, reconcile.Say{Run: run, Approves: true, People: people})
	require.NoError(w.t, err)
	return v
}

func (w *world) verdict(id string) state.Verdict {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	got, err := s.Verdicts(w.t.Context(), state.VerdictFilter{ID: id})
	require.NoError(w.t, err)
	require.Len(w.t, got, 1)
	return got[0]
}

// gone counts the accounts that are switched off.
func (w *world) gone() (n int) {
	for _, u := range w.sim.Users() {
		if !u.Active() {
			n++
		}
	}
	return n
}

// leavers is a company of n at rest, of which the first have left since, and the
// run that held them all.
func leavers(t *testing.T, n, left int) (*world, []human, reconcile.Report) {
	t.Helper()
	w, people := newWorld(t), many(n)
	w.rest(people, wiring{})
	for i := range left {
		people[i].Left = "yes"
	}
	rep, err := w.sync(people, wiring{})
	require.NoError(t, err)
	require.Equal(t, state.RunWithheld, rep.Status)
	require.Zero(t, w.gone())
	w.sim.ResetCalls()
	return w, people, rep
}

func TestEngine_Say(t *testing.T) {
	t.Parallel()
	t.Run("an approval lets exactly what was held through, once", func(t *testing.T) {
		t.Parallel()
		w, people, held := leavers(t, 80, 60)
		people[70].Left = "yes" // after it was held: nobody spoke about him
		v := w.approve(held.RunID)
		require.Len(t, v.Items, 60)
		require.Empty(t, w.sim.Calls(), "to say it takes the store alone")

		shown := w.plan(people, wiring{})
		require.Equal(t, 61, shown.Plan.Count(plan.Deactivate))
		require.Empty(t, w.sim.Writes())

		rep, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.Equal(t, 61, rep.Counts.Done, "and one more is within the limit")
		require.Equal(t, 61, w.gone())
		v = w.verdict(v.ID)
		require.Equal(t, rep.RunID, v.ClosedBy)
		for _, it := range v.Items {
			require.Equal(t, rep.RunID, it.UsedBy)
		}

		// All come back and leave again: the approval is used up, and what was done by
		// it has used up nothing of the limit.
		for i := range people {
			people[i].Left = ""
		}
		_, err = w.sync(people, wiring{})
		require.NoError(t, err)
		require.Zero(t, w.gone())
		for i := range 60 {
			people[i].Left = "yes"
		}
		again, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.Equal(t, state.RunWithheld, again.Status)
		require.Zero(t, w.gone())
	})
	t.Run("for some of them leaves the others held", func(t *testing.T) {
		t.Parallel()
		w, people, held := leavers(t, 80, 60)
		w.approve(held.RunID, people[3].UID, "corp/"+people[4].ID)
		rep, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.Equal(t, state.RunWithheld, rep.Status)
		require.Equal(t, 2, w.gone())
		require.False(t, w.active(people[3].UID))
		require.False(t, w.active(people[4].UID))
		require.Equal(t, 58, rep.Plan.Count(plan.Hold))
	})
	t.Run("whoever would be changed otherwise by now stays as he is, and is named", func(t *testing.T) {
		t.Parallel()
		w, people, held := leavers(t, 80, 60)
		v := w.approve(held.RunID)
		people[0].Left, people[0].Title = "", "Director"
		rep, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.Equal(t, 59, w.gone())
		require.Equal(t, "Director", w.position(people[0].UID))
		require.Contains(t, strings.Join(rep.Problems, "\n"), people[0].UID)
		require.Contains(t, strings.Join(rep.Problems, "\n"), "is not what would be done by now")
		require.Equal(t, state.RunPartial, rep.Status)
		require.NotZero(t, w.verdict(v.ID).ClosedAt)
	})
	t.Run("what failed is tried again until the approval expires", func(t *testing.T) {
		t.Parallel()
		w, people, held := leavers(t, 80, 60)
		v := w.approve(held.RunID)
		over := w.refuse("active", people[5].UID)
		_, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.Equal(t, 59, w.gone())
		require.Zero(t, w.verdict(v.ID).ClosedAt)
		over()
		_, err = w.sync(people, wiring{})
		require.NoError(t, err)
		require.Equal(t, 60, w.gone())
		require.NotZero(t, w.verdict(v.ID).ClosedAt)
	})
	t.Run("an expired one lets nothing through and is named once", func(t *testing.T) {
		t.Parallel()
		w, people, held := leavers(t, 80, 60)
		v := w.approve(held.RunID)
		late := wiring{wrap: func(s state.Store) state.Store { return later{s, reconcile.ApprovalTTL} }}
		rep, err := w.sync(people, late)
		require.NoError(t, err)
		require.Equal(t, state.RunWithheld, rep.Status)
		require.Contains(t, strings.Join(rep.Problems, "\n"), "approval "+v.ID)
		require.Contains(t, strings.Join(rep.Problems, "\n"), "expired")
		require.Empty(t, w.sim.Writes())
		rep, err = w.sync(people, late)
		require.NoError(t, err)
		require.NotContains(t, strings.Join(rep.Problems, "\n"), "expired")
	})
	for name, with := range map[string]wiring{
		"under another configuration":         {change: func(o *reconcile.Options) { o.PolicyDigest = "another" }},
		"for another server":                  {wrap: func(s state.Store) state.Store { return elsewhere{s} }},
		"when the store's clock was set back": {wrap: func(s state.Store) state.Store { return later{s, -time.Hour} }},
	} {
		t.Run("is not used "+name, func(t *testing.T) {
			t.Parallel()
			w, people, held := leavers(t, 80, 60)
			v := w.approve(held.RunID)
			rep, err := w.sync(people, with)
			require.NoError(t, err)
			require.Equal(t, state.RunWithheld, rep.Status)
			require.Empty(t, w.sim.Writes())
			require.Contains(t, strings.Join(rep.Problems, "\n"), "approval "+v.ID+" of run "+held.RunID+", by ann@host, is not used")
			require.Zero(t, w.verdict(v.ID).ClosedAt)
		})
	}
	t.Run("cannot be said twice, nor by two at once", func(t *testing.T) {
		t.Parallel()
		w, _, held := leavers(t, 80, 60)
		errs := make([]error, 4)
		var wait sync.WaitGroup
		for i := range errs {
			wait.Go(func() { _, errs[i] = w.say(wiring{}, reconcile.Say{Run: held.RunID, Approves: true}) })
		}
		wait.Wait()
		refused := 0
		for _, err := range errs {
			if err != nil {
				require.ErrorIs(t, err, reconcile.ErrRefused)
				require.ErrorContains(t, err, "ann@host")
				refused++
			}
		}
		require.Equal(t, 3, refused)
	})
	t.Run("is refused about nothing, nobody, and with another configuration", func(t *testing.T) {
		t.Parallel()
		w, people, held := leavers(t, 80, 60)
		for text, s := range map[string]reconcile.Say{
			"there is no run":              {Run: "nonesuch"},
			"held nothing back of \"eve\"": {Run: held.RunID, People: []string{people[0].UID, "eve"}},
			"fits":                         {Run: held.RunID[:4]},
		} {
			_, err := w.say(wiring{}, s)
			require.ErrorIs(t, err, reconcile.ErrRefused)
			require.ErrorContains(t, err, text)
		}
		_, err := w.say(wiring{change: func(o *reconcile.Options) { o.PolicyDigest = "another" }}, reconcile.Say{Run: held.RunID})
		require.ErrorIs(t, err, reconcile.ErrRefused)
		require.ErrorContains(t, err, "another configuration")
		quiet, err := w.sync(many(80), wiring{})
		require.NoError(t, err)
		_, err = w.say(wiring{}, reconcile.Say{Run: quiet.RunID})
		require.ErrorContains(t, err, "held nothing back")
	})
	t.Run("a name that fits two people is refused, one by source/anchor is not", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), many(80)
		people[5].UID, people[7].ID = "7", "7"
		w.rest(people, wiring{})
		for i := range 60 {
			people[i].Left = "yes"
		}
		held, err := w.sync(people, wiring{})
		require.NoError(t, err)
		_, err = w.say(wiring{}, reconcile.Say{Run: held.RunID, Approves: true, People: []string{"7"}})
		require.ErrorIs(t, err, reconcile.ErrRefused)
		require.ErrorContains(t, err, `"7" fits corp/`+people[5].ID+" and corp/7: name one of them as source/anchor")
		require.Len(t, w.approve(held.RunID, "corp/7").Items, 1)
		_, err = w.sync(people, wiring{})
		require.NoError(t, err)
		require.Equal(t, 1, w.gone())
		require.False(t, w.active(people[7].UID))
	})
	t.Run("a rejection keeps things as they are until the source wants something else", func(t *testing.T) {
		t.Parallel()
		w, people, held := leavers(t, 80, 60)
		v, err := w.say(wiring{}, reconcile.Say{Run: held.RunID})
		require.NoError(t, err)
		another := wiring{change: func(o *reconcile.Options) { o.PolicyDigest = "another" }}
		for range 2 {
			rep, err := w.sync(people, another)
			require.NoError(t, err)
			require.Equal(t, state.RunDone, rep.Status, "nobody is asked any more: %v", rep.Problems)
			require.Equal(t, plan.Rejected, decisionOn(t, rep, people[0].ID).Reason)
			require.Empty(t, w.sim.Writes())
		}
		people[0].Left = ""
		_, err = w.sync(people, another)
		require.NoError(t, err)
		people[0].Left = "yes"
		_, err = w.sync(people, another)
		require.NoError(t, err)
		require.False(t, w.active(people[0].UID), "that is another leaving")
		require.Equal(t, 1, w.gone())
		require.Zero(t, w.verdict(v.ID).ClosedAt, "the others are still spoken for")
	})
	t.Run("an approval takes the place of a rejection, and the other way round", func(t *testing.T) {
		t.Parallel()
		w, people, held := leavers(t, 80, 60)
		_, err := w.say(wiring{}, reconcile.Say{Run: held.RunID})
		require.NoError(t, err)
		w.approve(held.RunID, people[1].UID)
		_, err = w.sync(people, wiring{})
		require.NoError(t, err)
		require.Equal(t, 1, w.gone())
		require.False(t, w.active(people[1].UID))
	})
	t.Run("a change of an administrator's identity goes once somebody has said so", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), few()
		people[0].Groups = []string{adminsGroup}
		w.rest(people, wiring{})
		people[0].Mail, people[0].Title = "new@example.test", "Director"
		held, err := w.sync(people, wiring{})
		require.NoError(t, err)
		before, _ := w.sim.UserByName("anna")
		require.NotEqual(t, "new@example.test", before.Email)
		w.approve(held.RunID)
		rep, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.Equal(t, state.RunDone, rep.Status, rep.Problems)
		after, _ := w.sim.UserByName("anna")
		require.Equal(t, "new@example.test", after.Email)
	})
}

func TestEngine_Say_plan(t *testing.T) {
	t.Parallel()
	w, people, _ := leavers(t, 80, 60)
	shown := w.plan(people, wiring{})
	v := w.approve(shown.RunID)
	require.Len(t, v.Items, 60, "a plan can be spoken about as well")
	_, err := w.sync(people, wiring{})
	require.NoError(t, err)
	require.Equal(t, 60, w.gone())
}

// A process that dies while it carries out what was approved uses nothing up.
func TestEngine_Say_crash(t *testing.T) {
	t.Parallel()
	w, people, held := leavers(t, 70, 60)
	v := w.approve(held.RunID)
	at, cuts := 1, 0
	for ; w.gone() < 60 || w.verdict(v.ID).ClosedAt.IsZero(); at += 23 {
		c := &crash{at: int64(at), kind: cutKinds()[cuts%4]} // the others let the process live
		_, _ = w.sync(people, wiring{wrap: func(s state.Store) state.Store { return mortal{s, c} }, network: c})
		require.LessOrEqual(t, w.gone(), 60)
		require.Less(t, at, 3000, "it comes to an end")
		cuts++
	}
	require.Greater(t, cuts, 2)
	for i := range 10 {
		require.True(t, w.active(people[60+i].UID), fmt.Sprint(i))
	}
}

// elsewhere is a store whose verdicts were spoken about another server.
type elsewhere struct{ state.Store }

func (e elsewhere) Verdicts(ctx context.Context, f state.VerdictFilter) ([]state.Verdict, error) {
	list, err := e.Store.Verdicts(ctx, f)
	for i := range list {
		list[i].Server = "another"
	}
	return list, err
}

// refuse makes the server say no to one kind of change of one account.
func (w *world) refuse(what, name string) (over func()) {
	w.t.Helper()
	u, ok := w.sim.UserByName(name)
	require.True(w.t, ok)
	return w.sim.Fail(mmsim.Fault{Path: "/users/" + u.ID + "/" + what, Status: http.StatusForbidden})
}
