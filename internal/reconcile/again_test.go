package reconcile_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/state"
)

// These tests are about what is taken from somebody who writes to his own account
// at the same moment: of two writes the server loses one and answers 200 to both.

// obstinate lets people save their profiles all the time from the moment a plan is
// journaled. The caller calls stop.
func (w *world) obstinate(names []string) (with func(state.Store) state.Store, stop func()) {
	w.t.Helper()
	var all []func()
	with = func(s state.Store) state.Store {
		return journaled{s, func() {
			if len(all) > 0 {
				return
			}
			for _, name := range names {
				u, ok := w.sim.UserByName(name)
				require.True(w.t, ok)
				all = append(all, w.sim.KeepPatching(u.ID, 2*time.Millisecond))
			}
		}}
	}
	return with, func() {
		for _, stop := range all {
			stop()
		}
	}
}

// wide lets a test switch as many off as it likes, and look again at once.
func wide(o *reconcile.Options) {
	plenty := guard.Limit{Count: 1e6, ByHand: true}
	o.Limits = guard.Limits{
		Deactivations: plenty, RoleRemovals: plenty, Creates: plenty, Updates: plenty, Renames: plenty, EmailChanges: plenty,
		AuthChanges: plenty, AdminGrants: plenty, Window: time.Hour,
	}
	o.LookAgain = 5 * time.Millisecond
	o.Policy.UserOwned = identity.AttributesOf(identity.Position)
}

func TestEngine_Again(t *testing.T) {
	t.Parallel()
	const batch = 10
	rounds := 100 / batch
	if underRace || testing.Short() {
		rounds = 2
	}
	for name, c := range map[string]struct {
		change func(*human)
		still  func(mmsim.User) bool
	}{
		"a leaver is off":                          {func(h *human) { h.Left = "yes" }, mmsim.User.Active},
		"who is no administrator any more is none": {func(h *human) { h.Groups = nil }, mmsim.User.IsAdmin},
	} {
		t.Run(name+" at the end of the run, whatever he does meanwhile", func(t *testing.T) {
			t.Parallel()
			lasting, lost := 0, 0
			for round := range rounds {
				for _, looks := range []bool{true, false} {
					w := newWorldOf(t, mmsim.Options{LostConcurrentWrites: true, Seed: uint64(round) + 1})
					people := many(batch)
					for i := range people {
						people[i].Groups = []string{adminsGroup}
					}
					var names []string
					w.settle(people, wiring{change: wide})
					for i := range people {
						c.change(&people[i])
						names = append(names, people[i].UID)
					}
					with, stop := w.obstinate(names)
					_, err := w.sync(people, wiring{wrap: with, change: func(o *reconcile.Options) {
						wide(o)
						if !looks {
							o.LookAgain = 0
						}
					}})
					stop()
					require.NoError(t, err)
					for _, name := range names {
						u, _ := w.sim.UserByName(name)
						switch {
						case looks && c.still(u):
							lasting++
						case c.still(u):
							lost++
						}
					}
				}
			}
			t.Logf("undone at the end of %d runs: %d with a second look, %d without", rounds*batch, lasting, lost)
			require.LessOrEqual(t, lasting, 1, "each of a dozen looks finds half of what was lost undone again")
			require.NotZero(t, lost, "without a second look this would be no test")
		})
	}
}

func TestEngine_Again_mismatch(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path   string
		change func(*human)
		still  func(mmsim.User) bool
	}{
		"a leaving":        {"/users/*/active", func(h *human) { h.Left = "yes" }, mmsim.User.Active},
		"a role's removal": {"/users/*/roles", func(h *human) { h.Groups = nil }, mmsim.User.IsAdmin},
	} {
		t.Run(name+" that the server lost and answered 200 to is tried again in the same run", func(t *testing.T) {
			t.Parallel()
			w, people := newWorld(t), few()
			people[0].Groups = []string{adminsGroup}
			w.rest(people, wiring{})
			c.change(&people[0])
			stop := w.sim.Fail(mmsim.Fault{Method: "PUT", Path: c.path, Count: 1, LostWrite: true})
			defer stop()
			rep, err := w.sync(people, wiring{change: wide})
			require.NoError(t, err)
			require.Equal(t, 1, rep.Counts.Failed)
			require.NotNil(t, rep.Again)
			require.Zero(t, rep.Again.Counts.Failed)
			anna, _ := w.sim.UserByName("anna")
			require.False(t, c.still(anna))
		})
	}
}

func TestEngine_Again_alarm(t *testing.T) {
	t.Parallel()
	// back is somebody who undoes what mmsync takes, so many times.
	back := func(w *world, times int) func(reconcile.Progress) {
		return func(p reconcile.Progress) {
			if times--; strings.HasPrefix(p.Stage, "waiting") && times >= 0 {
				w.touch("anna", 0, func(u *mmsim.User) { u.DeleteAt = 0 })
			}
		}
	}
	setup := func(t *testing.T) (*world, []human) {
		w, people := newWorld(t), few()
		w.rest(people, wiring{})
		people[0].Left = "yes"
		return w, people
	}
	run := func(t *testing.T, w *world, people []human, o reconcile.Options) reconcile.Report {
		t.Helper()
		rep, err := w.sync(people, wiring{change: func(all *reconcile.Options) {
			all.LookAgain, all.Progress = o.LookAgain, o.Progress
		}})
		require.NoError(t, err)
		return rep
	}
	waits := func(times int, w *world) reconcile.Options {
		f := back(w, times)
		n := 0
		return reconcile.Options{LookAgain: 5 * time.Millisecond, Progress: func(p reconcile.Progress) {
			if strings.HasPrefix(p.Stage, "waiting") {
				n++
				f(p)
			}
		}}
	}
	t.Run("nothing is said of what lasts", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		rep := run(t, w, people, waits(0, w))
		require.Equal(t, state.RunDone, rep.Status)
		require.Nil(t, rep.Again)
		require.Empty(t, rep.Problems)
		require.NotZero(t, w.links()["1"].Recheck, "too early to be believed")
		_, err := w.sync(people, long)
		require.NoError(t, err)
		require.Zero(t, w.links()["1"].Recheck)
	})
	t.Run("undone once is taken again without a word", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		rep := run(t, w, people, waits(1, w))
		require.False(t, w.active("anna"))
		require.NotNil(t, rep.Again)
		require.Equal(t, 1, rep.Again.Counts.Done)
		require.Empty(t, rep.Again.Problems)
		require.Equal(t, state.RunDone, rep.Status)
		require.Equal(t, 1, w.links()["1"].Undone)
		_, err := w.sync(people, long)
		require.NoError(t, err)
		require.Zero(t, w.links()["1"].Undone)
	})
	t.Run("undone twice is an alarm, and taken again all the same", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		rep := run(t, w, people, waits(2, w))
		require.False(t, w.active("anna"))
		require.NotNil(t, rep.Again)
		require.Equal(t, 2, rep.Again.Counts.Done)
		require.Len(t, rep.Again.Problems, 1)
		require.Contains(t, rep.Again.Problems[0], "was switched on again after mmsync had taken that away, 2 times in a row: find out who or what does it")
		require.Equal(t, state.RunPartial, rep.Status)
	})
	t.Run("taken again at the second look, an access does not count a second time", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		o := waits(1, w)
		rep, err := w.sync(people, wiring{change: func(all *reconcile.Options) {
			all.LookAgain, all.Progress = o.LookAgain, o.Progress
			all.Limits.Deactivations = guard.Limit{Count: 1}
		}})
		require.NoError(t, err)
		require.False(t, rep.Again.Verdict.Tripped())
		require.False(t, w.active("anna"))
	})
	t.Run("a guard that trips at the second look withholds the run", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), few()
		people[0].Groups = []string{adminsGroup}
		w.rest(people, wiring{})
		people[0].Groups = nil
		again := func(p reconcile.Progress) {
			if strings.HasPrefix(p.Stage, "waiting") {
				w.touch("anna", 0, func(u *mmsim.User) { u.Roles = "system_admin system_user" })
			}
		}
		rep, err := w.sync(people, wiring{change: func(all *reconcile.Options) {
			all.LookAgain, all.Progress = 5*time.Millisecond, again
			all.Limits.RoleRemovals = guard.Limit{Count: 1}
		}})
		require.NoError(t, err)
		require.Equal(t, 1, rep.Counts.Done)
		require.False(t, rep.Verdict.Tripped())
		require.NotNil(t, rep.Again)
		require.True(t, rep.Again.Verdict.Tripped())
		require.Equal(t, state.RunWithheld, rep.Status)
	})
	t.Run("undone between two runs counts as well", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		run(t, w, people, reconcile.Options{})
		for i := range 2 {
			w.touch("anna", time.Second, func(u *mmsim.User) { u.DeleteAt = 0 })
			rep := run(t, w, people, reconcile.Options{})
			require.False(t, w.active("anna"))
			require.Equal(t, 1, rep.Counts.Done)
			require.Len(t, rep.Problems, i)
			require.Equal(t, map[int]state.RunStatus{0: state.RunDone, 1: state.RunPartial}[i], rep.Status)
		}
	})
	t.Run("a role that comes back is an alarm too", func(t *testing.T) {
		t.Parallel()
		w, people := newWorld(t), few()
		people[0].Groups = []string{adminsGroup}
		w.rest(people, wiring{})
		people[0].Groups = nil
		run(t, w, people, reconcile.Options{})
		for i := range 2 {
			w.touch("anna", time.Second, func(u *mmsim.User) { u.Roles = "system_admin system_user" })
			rep := run(t, w, people, reconcile.Options{})
			u, _ := w.sim.UserByName("anna")
			require.False(t, u.IsAdmin())
			require.Len(t, rep.Problems, i)
		}
		require.Equal(t, 2, w.links()["1"].Undone)
	})
	t.Run("the end of a run while it waits is no error", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		rep, err := w.untilWaiting(people, wiring{change: func(o *reconcile.Options) { o.LookAgain = time.Hour }})
		require.NoError(t, err)
		require.Equal(t, state.RunDone, rep.Status)
		require.Nil(t, rep.Again)
		require.False(t, w.active("anna"))
		s := w.store()
		defer s.Close()
		runs, err := s.Runs(context.WithoutCancel(t.Context()), state.RunFilter{ID: rep.RunID})
		require.NoError(t, err)
		require.Equal(t, state.RunDone, runs[0].Status)
	})
	t.Run("nothing that others do is worked on in a second look", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		rep, err := w.sync(people, wiring{change: func(o *reconcile.Options) {
			o.LookAgain = 5 * time.Millisecond
			o.Progress = func(p reconcile.Progress) {
				if strings.HasPrefix(p.Stage, "waiting") {
					w.touch("bert", time.Second, func(u *mmsim.User) { u.Username = "bart" })
				}
			}
		}})
		require.NoError(t, err)
		require.Nil(t, rep.Again)
		_, ok := w.sim.UserByName("bart")
		require.True(t, ok)
	})
}
