package reconcile_test

import (
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

// These tests are about runs that worked on a part of their plan: they prove nothing
// about the rest.

func (w *world) part(people []human, with wiring, s reconcile.Selection) reconcile.Report {
	w.t.Helper()
	rep, err := w.run(w.t.Context(), people, with, reconcile.RunOptions{}.Select(s))
	require.NoError(w.t, err)
	return rep
}

func TestEngine_Part_firstRun(t *testing.T) {
	t.Parallel()
	fresh := func(t *testing.T) (*world, []human) {
		t.Helper()
		w := newWorld(t)
		w.unseen = true
		w.stranger(mmsim.User{Username: "somebody"})
		return w, many(5)
	}
	held := func(t *testing.T, w *world, people []human) reconcile.Report {
		t.Helper()
		rep, err := w.sync(people, wiring{change: roomy})
		require.NoError(t, err)
		require.Equal(t, state.RunWithheld, rep.Status)
		require.Zero(t, rep.Counts.Done, "nobody agreed to these")
		return rep
	}
	t.Run("is not over by a pilot that found nobody", func(t *testing.T) {
		t.Parallel()
		w, people := fresh(t)
		w.part(people, wiring{change: roomy}, reconcile.Selection{People: []string{"nobody"}})
		w.part(people, wiring{change: roomy}, reconcile.Selection{Actions: []plan.Action{plan.Adopt}})
		held(t, w, people)
	})
	t.Run("is not over by a saved plan that does nothing", func(t *testing.T) {
		t.Parallel()
		w, people := fresh(t)
		f := w.saved(people, wiring{change: roomy})
		_, err := w.apply(f, people, wiring{change: roomy}, false)
		require.NoError(t, err)
		held(t, w, people)
	})
	t.Run("is agreed to for those alone whom somebody approved, adopted people among them", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.unseen = true
		people := adoptees(w, 5, "Clerk")
		rep := held(t, w, people)
		w.approve(rep.RunID, people[0].UID)
		rep, err := w.sync(people, wiring{change: roomy})
		require.NoError(t, err)
		require.Equal(t, 2, rep.Counts.Done, "the link and the patch of one")
		held(t, w, people)
	})
	t.Run("is over once everybody who was held was approved", func(t *testing.T) {
		t.Parallel()
		w, people := fresh(t)
		w.approve(held(t, w, people).RunID)
		rep, err := w.sync(people, wiring{change: roomy})
		require.NoError(t, err)
		require.Equal(t, state.RunDone, rep.Status, rep.Problems)
		people = append(people, human{ID: "9", UID: "nora"})
		rep, err = w.sync(people, wiring{change: roomy})
		require.NoError(t, err)
		require.Equal(t, 1, rep.Counts.Done)
	})
}

func TestEngine_Part_configuration(t *testing.T) {
	t.Parallel()
	other := func(o *reconcile.Options) { o.PolicyDigest = "another filter" }
	for name, first := range map[string]func(w *world, people []human){
		"a pilot": func(w *world, people []human) {
			w.part(people, wiring{change: other}, reconcile.Selection{People: []string{"nobody"}})
		},
		"a read that was not whole": func(w *world, people []human) {
			_, err := w.sync(people[:2], wiring{change: func(o *reconcile.Options) { other(o); o.Limits.MinEntriesPercent = 80 }})
			require.NoError(w.t, err)
		},
		"a run under a hold": func(w *world, people []human) {
			s := w.store()
			defer s.Close()
			_, err := reconcile.Hold(w.t.Context(), s, operator, identity.Key{}, 0)
			require.NoError(w.t, err)
			_, err = w.sync(people, wiring{change: other})
			require.NoError(w.t, err)
			_, err = reconcile.ReleaseHold(w.t.Context(), s, operator, func(state.Stop) bool { return true })
			require.NoError(w.t, err)
		},
	} {
		t.Run("that changed is asked about after "+name+" as well", func(t *testing.T) {
			t.Parallel()
			w, people := newWorld(t), many(40)
			w.rest(people, wiring{})
			for i := range 7 {
				people[i].Left = "yes" // a disabled_when that says so
			}
			first(w, people)
			rep, err := w.sync(people, wiring{change: other})
			require.NoError(t, err)
			require.Equal(t, state.RunWithheld, rep.Status)
			require.Zero(t, w.gone())
			w.approveUnder(rep.RunID, other)
			_, err = w.sync(people, wiring{change: other})
			require.NoError(t, err)
			require.Equal(t, 7, w.gone())
		})
	}
}

func (w *world) approveUnder(run string, change func(*reconcile.Options)) {
	w.t.Helper()
	_, err := w.say(wiring{change: change}, reconcile.Say{Run: run, Approves: true})
	require.NoError(w.t, err)
}

// A call that was cut off is for a run that works on everybody to look after.
func TestEngine_Part_secondLook(t *testing.T) {
	t.Parallel()
	w, people := newWorld(t), few()
	w.rest(people, wiring{})
	people[0].Left = "yes"
	w.dies(people, "/active")
	people[1].Title = "Director"
	patience := w.patience(people)
	rep := w.part(people, wiring{change: patient(patience)}, reconcile.Selection{People: []string{"bert"}})
	require.Equal(t, 1, rep.Counts.Done)
	require.Nil(t, rep.Again)
	require.True(t, w.active("anna"), "nobody selected her")
	time.Sleep(time.Until(w.sent().Add(patience)))
	w.settle(people, wiring{})
	require.False(t, w.active("anna"))
}

func TestEngine_Part_setBack(t *testing.T) {
	t.Parallel()
	w, people := newWorld(t), few()
	w.rest(people, wiring{})
	backup := w.sim.SnapshotState()
	w.sim.SetClockOffset(time.Minute)
	people[0].Left = "yes"
	_, err := w.sync(people, wiring{})
	require.NoError(t, err)
	w.sim.RestoreState(backup)
	rep := w.part(people, wiring{}, reconcile.Selection{People: []string{"nobody"}})
	require.Equal(t, 1, setBackSentences(rep))
	next, err := w.sync(people, wiring{})
	require.NoError(t, err)
	require.Equal(t, 1, setBackSentences(next), "a pilot does not end it")
	require.True(t, w.active("anna"))
	w.settle(people, wiring{})
	require.False(t, w.active("anna"))
}

func TestEngine_Part_onlyAdopt(t *testing.T) {
	t.Parallel()
	adopt := reconcile.Selection{Actions: []plan.Action{plan.Adopt}}
	start := func(t *testing.T) (*world, []human, wiring) {
		t.Helper()
		w := newWorld(t)
		w.unseen = true
		return w, adoptees(w, 5, "Clerk"), wiring{change: roomy}
	}
	t.Run("that was approved links, writes nothing, and is used up", func(t *testing.T) {
		t.Parallel()
		w, people, with := start(t)
		held := w.part(people, with, adopt)
		require.Equal(t, state.RunWithheld, held.Status)
		v := w.approve(held.RunID)
		rep := w.part(people, with, adopt)
		require.Equal(t, state.RunDone, rep.Status, rep.Problems)
		require.Equal(t, 5, rep.Counts.Done)
		require.Empty(t, w.sim.Writes())
		require.NotZero(t, w.verdict(v.ID).ClosedAt)
	})
	t.Run("of an approval of more leaves the rest of it open", func(t *testing.T) {
		t.Parallel()
		w, people, with := start(t)
		held, err := w.sync(people, with)
		require.NoError(t, err)
		v := w.approve(held.RunID)
		rep := w.part(people, with, adopt)
		require.Equal(t, 5, rep.Counts.Done)
		require.Empty(t, w.sim.Writes())
		require.Zero(t, w.verdict(v.ID).ClosedAt)
		_, err = w.sync(people, with)
		require.NoError(t, err)
		require.Equal(t, "Clerk", w.position(people[0].UID))
		require.NotZero(t, w.verdict(v.ID).ClosedAt)
	})
	t.Run("that was saved is carried out as it was", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		people, with := adoptees(w, 5, "Clerk"), wiring{change: roomy}
		s := w.store()
		defer s.Close()
		e := w.engine(s, people, with)
		o := reconcile.RunOptions{Trigger: "test", RequestedBy: "ann@host", Keep: true}.Select(adopt)
		shown, err := e.Plan(t.Context(), o)
		require.NoError(t, err)
		f, err := e.Saved(t.Context(), shown, o)
		require.NoError(t, err)
		rep, err := w.apply(f, people, with, false)
		require.NoError(t, err)
		require.Equal(t, 5, rep.Counts.Done)
		require.Empty(t, w.sim.Writes())
	})
}

// What waited for a word and what a guard held may come as one patch by the time it
// is carried out.
func TestEngine_Say_mixed(t *testing.T) {
	t.Parallel()
	w, people := newWorld(t), many(60)
	for i := range people {
		people[i].Title = "Clerk"
	}
	people[0].Groups = []string{adminsGroup}
	w.rest(people, wiring{})
	for i := range 40 {
		people[i].Title = ""
	}
	people[0].Mail = "new@example.test"
	held, err := w.sync(people, wiring{})
	require.NoError(t, err)
	v := w.approve(held.RunID)
	_, err = w.sync(people, wiring{})
	require.NoError(t, err)
	require.Empty(t, w.position(people[0].UID))
	u, _ := w.sim.UserByName(people[0].UID)
	require.Equal(t, "new@example.test", u.Email)
	require.NotZero(t, w.verdict(v.ID).ClosedAt)
}

// An approval that nobody can use any more ends, whatever else is wrong with it.
func TestEngine_Say_expiredElsewhere(t *testing.T) {
	t.Parallel()
	w, people, held := leavers(t, 80, 60)
	v := w.approve(held.RunID)
	late := wiring{
		wrap: func(s state.Store) state.Store { return later{s, 720 * time.Hour} },
		change: func(o *reconcile.Options) {
			o.PolicyDigest = "another"
			o.Limits.Deactivations = guard.Limit{Count: 500}
		},
	}
	rep, err := w.sync(people, late)
	require.NoError(t, err)
	require.Contains(t, strings.Join(rep.Problems, "\n"), "expired")
	require.NotZero(t, w.verdict(v.ID).ClosedAt)
}

// A group or a field that vanished is not taken from its people one by one.
func TestEngine_Part_losses(t *testing.T) {
	t.Parallel()
	t.Run("of a whole group are held in a pilot of one of its people", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), many(20)
		for i := range 3 {
			people[i].Groups = []string{adminsGroup}
		}
		w.rest(people, wiring{})
		for i := range 3 {
			people[i].Groups = nil
		}
		people[9].Title = "Clerk"
		w.sim.ResetCalls()
		for i := range 3 {
			rep := w.part(people, wiring{}, reconcile.Selection{People: []string{people[i].UID}})
			require.Equal(t, state.RunWithheld, rep.Status)
			require.Contains(t, rep.Verdict.Message(), "a whole group of corp would lose its role: 3 ")
		}
		require.Empty(t, w.sim.Writes())
		rep := w.part(people, wiring{}, reconcile.Selection{People: []string{people[9].UID}})
		require.False(t, rep.Verdict.Tripped(), "he loses nothing")
		require.Equal(t, 1, rep.Counts.Done)
	})
	t.Run("of a role that somebody else still gets are not those of a whole group", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), many(20)
		for i := range 3 {
			people[i].Groups = []string{adminsGroup}
		}
		w.rest(people, wiring{})
		for i := range 3 {
			people[i].Groups = nil
		}
		people[9].Groups = []string{adminsGroup}
		var three []string
		for i := range 3 {
			three = append(three, people[i].UID)
		}
		rep := w.part(people, wiring{}, reconcile.Selection{People: three})
		require.False(t, rep.Verdict.Tripped(), rep.Verdict.Message())
		require.Equal(t, 3, rep.Counts.Done)
	})
	t.Run("of a field that many lose are held in a pilot of one", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), many(60)
		for i := range people {
			people[i].Title = "Clerk"
		}
		w.rest(people, wiring{})
		for i := range 40 {
			people[i].Title = ""
		}
		w.sim.ResetCalls()
		rep := w.part(people, wiring{}, reconcile.Selection{Actions: []plan.Action{plan.Update}, Limit: 1})
		require.Equal(t, plan.AttributeLoss("position"), rep.Verdict.Trips[0].Class)
		require.Equal(t, 40, rep.Verdict.Trips[0].Planned)
		require.Empty(t, w.sim.Writes())
	})
	t.Run("that were held before are not told of where the pilot has nobody of them", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), many(60)
		for i := range people {
			people[i].Title = "Clerk"
		}
		w.rest(people, wiring{})
		for i := range 40 {
			people[i].Title = ""
		}
		held, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.Equal(t, state.RunWithheld, held.Status)
		for i := range 40 {
			people[i].Title = "Clerk"
		}
		people[3].Title, people[50].Title = "", ""
		rep := w.part(people, wiring{}, reconcile.Selection{People: []string{people[50].UID}})
		require.False(t, rep.Verdict.Tripped(), rep.Verdict.Message())
		require.Equal(t, 1, rep.Counts.Done)
	})
	t.Run("by number are counted in the part alone", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), many(80)
		w.rest(people, wiring{})
		for i := range 60 {
			people[i].Left = "yes"
		}
		rep := w.part(people, wiring{}, reconcile.Selection{People: []string{people[0].UID}})
		require.False(t, rep.Verdict.Tripped(), rep.Verdict.Message())
		require.False(t, w.active(people[0].UID))
	})
}
