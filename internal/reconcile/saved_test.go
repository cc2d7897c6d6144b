package reconcile_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// saved plans for people and gives the file that stands for the plan.
func (w *world) saved(people []human, with wiring) reconcile.SavedPlan {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	e, o := w.engine(s, people, with), reconcile.RunOptions{Trigger: "test", RequestedBy: "ann@host", Keep: true}
	rep, err := e.Plan(w.t.Context(), o)
	require.NoError(w.t, err)
	f, err := e.Saved(w.t.Context(), rep, o)
	require.NoError(w.t, err)
	return f
}

func (w *world) apply(f reconcile.SavedPlan, people []human, with wiring, skip bool) (reconcile.Report, error) {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	return w.engine(s, people, with).Apply(w.t.Context(), f, reconcile.RunOptions{Trigger: "test", RequestedBy: "test"}, skip)
}

func TestEngine_Apply(t *testing.T) {
	t.Parallel()
	// setup is a company of four of whom three have changed, and the plan about that.
	setup := func(t *testing.T) (*world, []human, reconcile.SavedPlan) {
		t.Helper()
		w, people := newWorld(t), few()
		w.rest(people, wiring{})
		people[0].Title, people[1].Left = "Director", "yes"
		people = append(people, human{ID: "9", UID: "nora"})
		f := w.saved(people, wiring{})
		w.sim.ResetCalls()
		return w, people, f
	}
	stale := func(t *testing.T, w *world, err error) *reconcile.StaleError {
		t.Helper()
		var s *reconcile.StaleError
		require.ErrorAs(t, err, &s)
		require.Empty(t, w.sim.Writes(), "nothing is written")
		return s
	}
	t.Run("does what the plan says, and nothing that came up since", func(t *testing.T) {
		t.Parallel()
		w, people, f := setup(t)
		require.Equal(t, map[plan.Action]int{plan.Update: 1, plan.Deactivate: 1, plan.Create: 1}, f.Counts)
		people[2].Title = "Boss"
		rep, err := w.apply(f, people, wiring{}, false)
		require.NoError(t, err)
		require.Equal(t, 3, rep.Counts.Done)
		require.Equal(t, "Director", w.position("anna"))
		require.False(t, w.active("bert"))
		require.True(t, w.active("nora"))
		require.Empty(t, w.position("cora"))
		rep, err = w.sync(people, wiring{})
		require.NoError(t, err)
		require.Equal(t, 1, rep.Counts.Done, "what came up is left to the next run")
		require.Equal(t, "Boss", w.position("cora"))
	})
	t.Run("a second time finds all done", func(t *testing.T) {
		t.Parallel()
		w, people, f := setup(t)
		_, err := w.apply(f, people, wiring{}, false)
		require.NoError(t, err)
		w.sim.ResetCalls()
		rep, err := w.apply(f, people, wiring{}, false)
		require.NoError(t, err)
		require.Zero(t, rep.Counts.Done)
		require.Empty(t, w.sim.Writes())
	})
	t.Run("of which somebody would be changed otherwise by now names him and writes nothing", func(t *testing.T) {
		t.Parallel()
		w, people, f := setup(t)
		people[0].Title, people[0].Mail = "President", "p@example.test"
		_, err := w.apply(f, people, wiring{}, false)
		s := stale(t, w, err)
		require.Len(t, s.Changed, 1)
		require.Contains(t, s.Changed[0], `"anna" (corp/1)`)
		rep, err := w.apply(f, people, wiring{}, true)
		require.NoError(t, err, "the rest goes if that is asked for")
		require.Equal(t, 2, rep.Counts.Done)
		require.Equal(t, "Clerk", w.position("anna"))
		require.Contains(t, strings.Join(rep.Plan.Warnings, "\n"), "anna")
	})
	t.Run("is judged by the guards of today", func(t *testing.T) {
		t.Parallel()
		w, people, f := setup(t)
		rep, err := w.apply(f, people, wiring{change: func(o *reconcile.Options) { o.Limits.Deactivations.Count = 0 }}, false)
		require.NoError(t, err)
		require.Equal(t, state.RunWithheld, rep.Status)
		require.True(t, w.active("bert"))
	})
	for name, edit := range map[string]func(*reconcile.SavedPlan){
		"another run's":  func(f *reconcile.SavedPlan) { f.Run += "0" },
		"another digest": func(f *reconcile.SavedPlan) { f.Digest = strings.Repeat("0", 64) },
		"a later date":   func(f *reconcile.SavedPlan) { f.MadeAt = f.MadeAt.Add(time.Hour) },
		"another server": func(f *reconcile.SavedPlan) { f.Server = "x" },
		"other counts":   func(f *reconcile.SavedPlan) { f.Counts[plan.Deactivate] = 0 },
		"no seal":        func(f *reconcile.SavedPlan) { f.MAC = "" },
	} {
		t.Run("that was edited is refused: "+name, func(t *testing.T) {
			t.Parallel()
			w, people, f := setup(t)
			edit(&f)
			_, err := w.apply(f, people, wiring{}, true)
			require.Contains(t, stale(t, w, err).Why, "was changed after it was written")
		})
	}
	for name, c := range map[string]struct {
		with wiring
		want string
	}{
		"under another configuration":     {wiring{change: func(o *reconcile.Options) { o.PolicyDigest = "another" }}, "another configuration"},
		"too late":                        {wiring{wrap: func(s state.Store) state.Store { return later{s, 25 * time.Hour} }}, "make a new one"},
		"when the clock was set back":     {wiring{wrap: func(s state.Store) state.Store { return later{s, -time.Hour} }}, "set back"},
		"once the store's plan is edited": {wiring{wrap: func(s state.Store) state.Store { return edited{s} }}, "does not have this plan as it was written"},
	} {
		t.Run("is refused "+name, func(t *testing.T) {
			t.Parallel()
			w, people, f := setup(t)
			_, err := w.apply(f, people, c.with, true)
			require.Contains(t, stale(t, w, err).Why, c.want)
		})
	}
	t.Run("of another store is refused", func(t *testing.T) {
		t.Parallel()
		w, people, _ := setup(t)
		_, _, f := setup(t)
		_, err := w.apply(f, people, wiring{}, true)
		require.Contains(t, stale(t, w, err).Why, "another store")
	})
}

// edited is a store in which somebody else is to leave.
type edited struct{ state.Store }

func (e edited) Decisions(ctx context.Context, run string) ([]state.DecisionRecord, error) {
	list, err := e.Store.Decisions(ctx, run)
	for i := range list {
		list[i].Decision.AccountID += "x"
	}
	return list, err
}

func TestRunOptions_Select(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T) (*world, []human) {
		t.Helper()
		w, people := newWorld(t), many(20)
		w.rest(people, wiring{})
		for i := range 5 {
			people[i].Title = "Clerk"
			people[5+i].Left = "yes"
		}
		people = append(people, human{ID: "new", UID: "nora"})
		people[19].UID, people[18].UID = people[18].UID, people[19].UID // they swap names
		return w, people
	}
	run := func(t *testing.T, w *world, people []human, s reconcile.Selection) reconcile.Report {
		t.Helper()
		rep, err := w.run(t.Context(), people, wiring{}, reconcile.RunOptions{}.Select(s))
		require.NoError(t, err)
		return rep
	}
	for name, c := range map[string]struct {
		s    reconcile.Selection
		done int
	}{
		"of everything":            {reconcile.Selection{}, 14},
		"by person":                {reconcile.Selection{People: []string{"person00", "corp/6", "nora"}}, 3},
		"by action":                {reconcile.Selection{Actions: []plan.Action{plan.Deactivate}}, 5},
		"by two actions":           {reconcile.Selection{Actions: []plan.Action{plan.Deactivate, plan.Create}}, 6},
		"by number, leavers first": {reconcile.Selection{Limit: 3}, 3},
		"by another source":        {reconcile.Selection{Sources: []string{"other"}}, 0},
		"half of a swap of names":  {reconcile.Selection{People: []string{"person18"}}, 0},
	} {
		t.Run("takes a part "+name+", and the next run the rest", func(t *testing.T) {
			t.Parallel()
			w, people := setup(t)
			rep := run(t, w, people, c.s)
			require.Equal(t, c.done, rep.Counts.Done)
			if !c.s.IsZero() {
				require.Contains(t, strings.Join(rep.Plan.Warnings, "\n"), "the guards have counted the part alone")
			}
			rest := run(t, w, people, reconcile.Selection{})
			require.Equal(t, 14-c.done, rest.Counts.Done)
			require.Zero(t, run(t, w, people, reconcile.Selection{}).Counts.Done)
		})
	}
	t.Run("takes the people of a group", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		people[1].Groups, people[6].Groups = []string{"CN=Pilots, DC=test"}, []string{"cn=pilots,dc=test", adminsGroup}
		w.pilot = []string{"cn=pilots,dc=test"}
		rep := run(t, w, people, reconcile.Selection{Groups: w.pilot})
		require.Equal(t, 2, rep.Counts.Done)
		require.Equal(t, "Clerk", w.position("person01"))
		require.False(t, w.active("person06"))
		w.pilot = []string{"cn=others,dc=test"}
		rep = run(t, w, people, reconcile.Selection{Groups: w.pilot})
		require.Zero(t, rep.Counts.Done)
		require.Contains(t, strings.Join(rep.Plan.Warnings, "\n"), "is in cn=others,dc=test")
	})
	t.Run("says whom it did not find", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		rep := run(t, w, people, reconcile.Selection{People: []string{"nobody.knows", "person00", "person11"}})
		require.Equal(t, 1, rep.Counts.Done, "the others go on")
		require.Equal(t, state.RunPartial, rep.Status)
		require.Len(t, rep.Problems, 1)
		require.Contains(t, rep.Problems[0], `nobody is known as "nobody.knows"`)
		require.Contains(t, strings.Join(rep.Plan.Warnings, "\n"), `nothing is to be done about "person11"`)
		require.NotContains(t, strings.Join(rep.Plan.Warnings, "\n"), "nobody.knows")
	})
	t.Run("counts those who are held among what it leaves out", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		w.hold(who(people[0].ID), 0)
		s := w.store()
		defer s.Close()
		rep, err := w.engine(s, people, wiring{}).Plan(t.Context(), reconcile.RunOptions{}.Select(reconcile.Selection{People: []string{"nora"}}))
		require.NoError(t, err)
		require.Contains(t, strings.Join(rep.Plan.Warnings, "\n"), "12 other decisions were left out")
	})
}
