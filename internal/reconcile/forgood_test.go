package reconcile_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// These tests are about accounts that are deleted for good: that exactly those go whom
// nobody has any more, whatever happens meanwhile.

const deletionAllowed = "MM_SERVICESETTINGS_ENABLEAPIUSERDELETION"

// leftForGood are people of whom the first is there, and the others have left; hugo is only
// disabled.
func leftForGood() (before, after []human) {
	before = []human{
		{ID: "1", UID: "anna"}, {ID: "2", UID: "bert"}, {ID: "3", UID: "cora"}, {ID: "4", UID: "dirk"}, {ID: "5", UID: "hugo"},
	}
	after = []human{before[0], before[4]}
	after[1].Left = "yes"
	return before, after
}

// deletes is a wiring of a command that deletes for good who has been off for a moment.
func deletes(change ...func(*reconcile.Options)) wiring {
	return wiring{
		deletions: true,
		change: func(o *reconcile.Options) {
			o.ForGood = reconcile.ForGood{Enabled: true, After: time.Millisecond, Most: 20}
			for _, c := range change {
				c(o)
			}
		},
	}
}

// goneWorld is at rest after people have left.
func goneWorld(t *testing.T) (w *world, after []human) {
	t.Helper()
	w = newWorldOf(t, mmsim.Options{Settings: map[string]string{deletionAllowed: "true"}})
	before, after := leftForGood()
	w.settle(before, wiring{})
	w.settle(after, wiring{})
	w.age(time.Hour)
	w.sim.ResetCalls()
	return w, after
}

func (w *world) planForGood(people []human, with wiring, who ...string) (reconcile.Report, error) {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	return w.engine(s, people, with).PlanForGood(w.t.Context(), operator, reconcile.Selection{People: who})
}

func (w *world) deleteForGood(people []human, with wiring, id string, expect int) (reconcile.Report, error) {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	return w.engine(s, people, with).DeleteForGood(w.t.Context(), operator, id, expect)
}

// deletions are the calls that delete for good.
func (w *world) deletions() (n int) {
	for _, c := range w.sim.Writes() {
		if c.Method == http.MethodDelete && c.RawQuery != "" {
			n++
		}
	}
	return n
}

// there tells who of the leavers has an account.
func (w *world) there() string {
	var out []string
	for _, name := range []string{"anna", "bert", "cora", "dirk", "hugo"} {
		if _, ok := w.sim.UserByName(name); ok {
			out = append(out, name)
		}
	}
	return strings.Join(out, " ")
}

func (w *world) linked(k identity.Key) bool {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	links, err := s.Links(w.t.Context(), state.LinkFilter{Keys: []identity.Key{k}})
	require.NoError(w.t, err)
	return len(links) > 0
}

//nolint:paralleltest // one step after another
func TestEngine_DeleteForGood(t *testing.T) {
	t.Parallel()
	w, people := goneWorld(t)
	var look reconcile.Report

	t.Run("a look writes nothing, and says who goes and who stays", func(t *testing.T) {
		var err error
		look, err = w.planForGood(people, deletes())
		require.NoError(t, err)
		require.Empty(t, w.sim.Writes())
		require.Equal(t, 3, look.Plan.Count(plan.Delete), "%+v", look.Plan.Decisions)
		hugo := decisionOn(t, look, "5")
		require.Equal(t, plan.NotDeleted, hugo.Reason)
		require.Equal(t, "corp still has the person, as disabled", hugo.Detail)
		require.Len(t, look.Plan.Decisions, 4, "anna is none of them")
	})
	t.Run("another number than the plan has is refused", func(t *testing.T) {
		_, err := w.deleteForGood(people, deletes(), look.RunID, 4)
		var count *reconcile.DeletionMismatchError
		require.ErrorAs(t, err, &count)
		require.Equal(t, 3, count.Accounts)
		require.ErrorIs(t, err, reconcile.ErrRefused)
		require.Empty(t, w.sim.Writes())
	})
	t.Run("no other run's id stands for a plan", func(t *testing.T) {
		_, err := w.deleteForGood(people, deletes(), w.plan(people, wiring{}).RunID, 3)
		require.ErrorContains(t, err, "is no plan of mmsync delete-accounts plan")
	})
	t.Run("who came back since the plan was made keeps his account", func(t *testing.T) {
		back := append([]human{{ID: "2", UID: "bert"}}, people...)
		rep, err := w.deleteForGood(back, deletes(), look.RunID, 3)
		require.NoError(t, err)
		require.Equal(t, "anna bert hugo", w.there())
		require.Equal(t, 2, w.deletions())
		require.Equal(t, "corp has the person as active", decisionOn(t, rep, "2").Detail)
		require.True(t, w.linked(who("2")))
		require.False(t, w.linked(who("3")))
	})
	t.Run("a sync changes nothing of it", func(t *testing.T) {
		w.sim.ResetCalls()
		require.False(t, w.plan(people, wiring{}).Plan.Effective())
		_, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.Empty(t, w.sim.Writes())
	})
	t.Run("the same command takes up what is left, and no more after that", func(t *testing.T) {
		_, err := w.deleteForGood(people, deletes(), look.RunID, 3)
		require.NoError(t, err)
		require.Equal(t, "anna bert hugo", w.there(), "he was there a moment ago, and one read proves nothing")
		w.age(time.Hour)
		_, err = w.deleteForGood(people, deletes(), look.RunID, 3)
		require.NoError(t, err)
		require.Equal(t, "anna hugo", w.there())
		w.sim.ResetCalls()
		rep, err := w.deleteForGood(people, deletes(), look.RunID, 3)
		require.NoError(t, err)
		require.Empty(t, w.sim.Writes())
		require.Empty(t, rep.Plan.Decisions)
	})
	t.Run("nothing takes it back", func(t *testing.T) {
		s := w.store()
		defer s.Close()
		runs, err := s.Runs(t.Context(), state.RunFilter{Kind: "delete_accounts"})
		require.NoError(t, err)
		_, err = w.engine(s, people, deletes()).PlanRevert(t.Context(), operator, runs[len(runs)-1].ID)
		require.ErrorContains(t, err, "deleted accounts for good, and nothing brings them back")
	})
	t.Run("who returns gets a new account", func(t *testing.T) {
		w.settle(append([]human{{ID: "3", UID: "cora"}}, people...), wiring{})
		cora := w.named("cora")
		require.True(t, cora.Active())
		require.True(t, w.linked(who("3")))
	})
}

// TestEngine_DeleteForGood_refused has one reason each for which nobody is deleted.
func TestEngine_DeleteForGood_refused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		with wiring
		say  string
	}{
		"the configuration does not let it": {
			deletes(func(o *reconcile.Options) { o.ForGood.Enabled = false }), "lifecycle.permanent_delete.enabled is false; set it to true",
		},
		"a clock was set": {
			wiring{wrap: func(s state.Store) state.Store { return later{s, time.Hour} }, change: deletes().change}, "did not go on alike since the last run",
		},
		"the source has somebody of whom it cannot be told who he is": {
			deletes(func(o *reconcile.Options) { o.Sources[0] = unclear{o.Sources[0]} }), "source corp has 1 entry that cannot be used",
		},
		"the source cannot be read": {
			deletes(func(o *reconcile.Options) { o.Sources = append(o.Sources, away{o.Sources[0]}) }), "source away was not read whole",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, people := goneWorld(t)
			_, err := w.planForGood(people, c.with)
			require.ErrorIs(t, err, reconcile.ErrRefused)
			require.ErrorContains(t, err, c.say)
			require.Empty(t, w.sim.Writes())
		})
	}
	t.Run("the server does not let it", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		_, people := leftForGood()
		w.settle(people, wiring{})
		w.sim.ResetCalls()
		_, err := w.planForGood(people, deletes())
		require.ErrorIs(t, err, reconcile.ErrRefused)
		require.ErrorContains(t, err, "ServiceSettings.EnableAPIUserDeletion is false there; set it to true in Mattermost's configuration")
		require.Empty(t, w.sim.Writes())
	})
	t.Run("the server does not say that it does not let it", func(t *testing.T) {
		t.Parallel()
		w, people := goneWorld(t)
		look, err := w.planForGood(people, deletes())
		require.NoError(t, err)
		over := w.sim.Fail(mmsim.Fault{Method: http.MethodDelete, Status: http.StatusUnauthorized, ErrorID: "api.user.delete_user.not_enabled.for_admin.app_error"})
		rep, err := w.deleteForGood(people, deletes(func(o *reconcile.Options) { o.Workers = 1 }), look.RunID, 3)
		require.ErrorIs(t, err, reconcile.ErrRefused)
		require.ErrorContains(t, err, "ServiceSettings.EnableAPIUserDeletion")
		require.Equal(t, 1, w.deletions(), "the others are not tried")
		require.Equal(t, state.RunFailed, rep.Status)
		over()
		_, err = w.deleteForGood(people, deletes(), look.RunID, 3)
		require.NoError(t, err)
		require.Equal(t, "anna hugo", w.there())
	})
	t.Run("no run deletes, whatever the configuration says", func(t *testing.T) {
		t.Parallel()
		w, people := goneWorld(t)
		_, err := w.sync(people, deletes())
		require.NoError(t, err)
		require.Equal(t, "anna bert cora dirk hugo", w.there())
		require.Zero(t, w.deletions())
	})
}

// TestEngine_DeleteForGood_kept has what speaks for a single account.
func TestEngine_DeleteForGood_kept(t *testing.T) {
	t.Parallel()
	set := func(name string, f func(*mmsim.User)) func(*world) {
		return func(w *world) { w.sim.SetUser(w.named(name).ID, f) }
	}
	for name, c := range map[string]struct {
		change func(*world)
		with   func(*reconcile.Options)
		people []human
		reason plan.Reason
		say    string
	}{
		"not off for long enough": {
			with: func(o *reconcile.Options) { o.ForGood.After = 2 * time.Hour }, reason: plan.InGrace, say: "off since",
		},
		"switched on again": {
			change: set("bert", func(u *mmsim.User) { u.DeleteAt = 0 }), reason: plan.NotDeleted, say: "the account is active",
		},
		"switched off again by somebody else": {
			change: set("bert", func(u *mmsim.User) { u.DeleteAt++ }), reason: plan.NotDeleted, say: "and not by mmsync",
		},
		"an administrator's": {
			change: set("bert", func(u *mmsim.User) { u.Roles = "system_user system_manager" }), reason: plan.NotDeleted, say: "holds system_manager",
		},
		"protected": {
			with: func(o *reconcile.Options) { o.Protect = []string{"bert"} }, reason: plan.NotDeleted, say: `the account is protected: it matches the protected pattern "bert"`,
		},
		"somebody wants the name": {
			people: []human{{ID: "77", UID: "bert", Mail: "bert@example.test"}}, reason: plan.NotDeleted, say: "is active and wants the username and e-mail of the account",
		},
		"somebody who is not there yet is to have the name": {
			people: []human{{ID: "77", UID: "bert", Mail: "bert@example.test", Left: "yes"}}, reason: plan.NotDeleted, say: "is there, not active, and wants the username and e-mail of the account",
		},
		"on hold": {
			change: func(w *world) { w.hold(who("2"), 0) }, reason: plan.OnHold, say: "held",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, people := goneWorld(t)
			look, err := w.planForGood(people, deletes())
			require.NoError(t, err)
			if c.change != nil {
				c.change(w)
			}
			w.sim.ResetCalls()
			with := deletes()
			if c.with != nil {
				with = deletes(c.with)
			}
			rep, err := w.planForGood(append(people, c.people...), with, "corp/2")
			require.NoError(t, err)
			d := decisionOn(t, rep, "2")
			require.Equal(t, plan.Hold, d.Action)
			require.Equal(t, c.reason, d.Reason)
			require.Contains(t, d.Detail, c.say)
			_, err = w.deleteForGood(append(people, c.people...), with, look.RunID, 3)
			require.NoError(t, err)
			require.Contains(t, w.there(), "bert")
		})
	}
	t.Run("seen to be switched on just before the call", func(t *testing.T) {
		t.Parallel()
		w, people := goneWorld(t)
		look, err := w.planForGood(people, deletes())
		require.NoError(t, err)
		w.sim.ResetCalls()
		with := deletes(func(o *reconcile.Options) { o.Workers = 1 })
		first := true
		with.network = network(func(r *http.Request) (*http.Response, error) {
			if first && r.Method == http.MethodDelete {
				first = false
				for _, name := range []string{"cora", "dirk"} {
					w.sim.SetUser(w.named(name).ID, func(u *mmsim.User) { u.DeleteAt = 0 })
				}
			}
			return http.DefaultTransport.RoundTrip(r)
		})
		rep, err := w.deleteForGood(people, with, look.RunID, 3)
		require.NoError(t, err)
		require.Equal(t, "anna cora dirk hugo", w.there())
		require.Equal(t, 2, rep.Counts.Skipped)
		require.Equal(t, 1, w.deletions())
	})
	t.Run("back in the source just before the call", func(t *testing.T) {
		t.Parallel()
		w, people := goneWorld(t)
		look, err := w.planForGood(people, deletes())
		require.NoError(t, err)
		w.sim.ResetCalls()
		rep, err := w.deleteForGood(people, deletes(func(o *reconcile.Options) {
			o.Workers, o.Sources[0] = 1, &returning{Source: o.Sources[0], anchor: "3"}
		}), look.RunID, 3)
		require.NoError(t, err)
		require.Equal(t, "anna cora hugo", w.there())
		require.Len(t, rep.Failures, 1)
		require.Equal(t, "corp does not say any more that the person is gone", rep.Failures[0].Error)
		require.Equal(t, 2, w.deletions())
	})
	t.Run("more than may go within the window wait, the longest off go first", func(t *testing.T) {
		t.Parallel()
		w, people := goneWorld(t)
		two := deletes(func(o *reconcile.Options) { o.ForGood.Most = 2 })
		look, err := w.planForGood(people, two)
		require.NoError(t, err)
		require.Equal(t, 2, look.Plan.Count(plan.Delete))
		require.Contains(t, look.Plan.Warnings[0], "1 more wait")
		_, err = w.deleteForGood(people, two, look.RunID, 2)
		require.NoError(t, err)
		rep, err := w.planForGood(people, two)
		require.NoError(t, err)
		require.Zero(t, rep.Plan.Count(plan.Delete), "two were deleted of late")
		require.Equal(t, 2, w.deletions())
	})
}

// returning is a source in which somebody is back once it was asked about him.
type returning struct {
	reconcile.Source
	anchor string
	asked  bool
}

func (r *returning) Confirm(ctx context.Context, anchors []string) (map[string]identity.Presence, error) {
	out, err := r.Source.Confirm(ctx, anchors)
	if slices.Contains(anchors, r.anchor) && r.asked {
		out[r.anchor] = identity.PresencePresent
	}
	r.asked = r.asked || slices.Contains(anchors, r.anchor)
	return out, err
}

// unclear is a source with an entry that nobody can make anything of.
type unclear struct{ reconcile.Source }

func (u unclear) Snapshot(ctx context.Context, known func(identity.Identity) bool) (identity.Snapshot, error) {
	s, err := u.Source.Snapshot(ctx, known)
	s.Identities = append(s.Identities, identity.Identity{Key: identity.Key{Source: s.Source, Anchor: "99"}, Active: true, Fault: "username: is empty"})
	return s, err
}

// away is a source that cannot be read.
type away struct{ reconcile.Source }

func (away) Name() string { return "away" }

func (away) Snapshot(context.Context, func(identity.Identity) bool) (identity.Snapshot, error) {
	return identity.Snapshot{}, os.ErrDeadlineExceeded
}

// TestEngine_DeleteForGood_half has a server that begins to delete an account and does not
// finish: it is off anew then, and mmsync's own to go on with, or to switch on.
func TestEngine_DeleteForGood_half(t *testing.T) {
	t.Parallel()
	// begin has the first deletion of bert's account fail in the middle.
	begin := func(t *testing.T, cut bool) (w *world, people []human, id string) {
		t.Helper()
		w, people = goneWorld(t)
		time.Sleep(time.Second) // since when he has been off tells from when it was begun
		look, err := w.planForGood(people, deletes())
		require.NoError(t, err)
		w.sim.ResetCalls()
		first, bert := true, w.named("bert").ID
		with := deletes(func(o *reconcile.Options) { o.Workers, o.SettleAfter = 1, 20*time.Millisecond })
		with.network = network(func(r *http.Request) (*http.Response, error) {
			if !first || r.Method != http.MethodDelete || !strings.Contains(r.URL.Path, bert) {
				return http.DefaultTransport.RoundTrip(r)
			}
			first = false
			w.sim.SetUser(bert, func(u *mmsim.User) { u.DeleteAt = time.Now().UnixMilli() })
			if cut {
				return nil, os.ErrDeadlineExceeded
			}
			w.sim.Fail(mmsim.Fault{Method: http.MethodDelete, Path: "/users/" + bert, Count: 1, Status: http.StatusInternalServerError, ErrorID: "app.user.permanent_delete.app_error"})
			return http.DefaultTransport.RoundTrip(r)
		})
		rep, err := w.deleteForGood(people, with, look.RunID, 3)
		require.NoError(t, err)
		require.Equal(t, "anna bert hugo", w.there())
		require.Equal(t, 1, rep.Counts.Failed)
		time.Sleep(50 * time.Millisecond) // the call cannot be on its way any more
		return w, people, look.RunID
	}
	settled := func(t *testing.T, w *world, people []human) {
		t.Helper()
		_, err := w.sync(people, wiring{})
		require.NoError(t, err)
		s := w.store()
		defer s.Close()
		ops, err := s.Ops(t.Context(), state.OpFilter{Key: who("2"), Statuses: []state.OpStatus{state.OpFailed}})
		require.NoError(t, err)
		require.Len(t, ops, 1)
		require.Contains(t, ops[0].Error, "the server began to delete the account and did not finish")
	}
	for _, cut := range []bool{false, true} {
		t.Run(fmt.Sprint("the same command goes on, answer lost: ", cut), func(t *testing.T) {
			t.Parallel()
			w, people, id := begin(t, cut)
			few := deletes(func(o *reconcile.Options) { o.ForGood.Most = 3 })
			rep, err := w.planForGood(people, few)
			require.NoError(t, err)
			require.Zero(t, rep.Plan.Count(plan.Delete), "what was begun counts as well: %+v", rep.Plan.Decisions)
			long := deletes(func(o *reconcile.Options) { o.ForGood.After = time.Second })
			_, err = w.deleteForGood(people, long, id, 3)
			require.NoError(t, err)
			require.Equal(t, "anna hugo", w.there(), "he was off for long enough before")
			require.False(t, w.linked(who("2")))
		})
	}
	t.Run("who comes back is let in", func(t *testing.T) {
		t.Parallel()
		w, people, _ := begin(t, false)
		settled(t, w, people)
		w.settle(append([]human{{ID: "2", UID: "bert"}}, people...), wiring{})
		require.True(t, w.named("bert").Active())
	})
	t.Run("what somebody else switches off anew is nobody's to delete", func(t *testing.T) {
		t.Parallel()
		w, people, id := begin(t, false)
		settled(t, w, people)
		w.sim.SetUser(w.named("bert").ID, func(u *mmsim.User) { u.DeleteAt += 5000 })
		_, err := w.deleteForGood(people, deletes(), id, 3)
		require.NoError(t, err)
		require.Contains(t, w.there(), "bert")
	})
}

// TestEngine_DeleteForGood_crash cuts a run at every store write and every request, one
// after another. The same command then goes on; nobody else is ever deleted, and who is
// deleted is deleted once, with his link.
func TestEngine_DeleteForGood_crash(t *testing.T) {
	t.Parallel()
	for _, kind := range cutKinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			start, people, id := goneCopies(t)
			for n, apart := 1, step(3); ; n += apart {
				w, name := start(), fmt.Sprintf("%s %d", kind, n)
				hit := w.cutDeletion(t, people, id, kind, n)
				require.Contains(t, w.there(), "anna", name)
				require.Contains(t, w.there(), "hugo", name)
				if n%2 == 0 { // any run settles what may have been done
					_, err := w.sync(people, wiring{})
					require.NoError(t, err, name)
				}
				for range 30 { // a call that may still arrive is waited for
					_, err := w.deleteForGood(people, deletes(), id, 3)
					require.NoError(t, err, name)
					if w.there() == "anna hugo" {
						break
					}
					time.Sleep(30 * time.Millisecond)
				}
				require.Equal(t, "anna hugo", w.there(), name)
				for _, k := range []string{"2", "3", "4"} {
					require.False(t, w.linked(who(k)), name)
				}
				require.True(t, w.linked(who("1")) && w.linked(who("5")), name)
				require.False(t, w.plan(people, wiring{}).Plan.Effective(), name)
				w.checkDetours(t, name)
				if !hit {
					require.Greater(t, n, 12, "places to cut at")
					return
				}
			}
		})
	}
}

// goneCopies is a world with a plan, of which copies can be spoilt.
func goneCopies(t *testing.T) (start func() *world, people []human, id string) {
	t.Helper()
	w := newWorldOf(t, mmsim.Options{Settings: map[string]string{deletionAllowed: "true"}})
	w.db = emptyFile(t)
	before, people := leftForGood()
	w.settle(before, wiring{})
	w.settle(people, wiring{})
	w.age(time.Hour)
	look, err := w.planForGood(people, deletes())
	require.NoError(t, err)
	require.Equal(t, 3, look.Plan.Count(plan.Delete))
	w.migrated = true
	st := w.sim.SnapshotState()
	return func() *world {
		one := *w
		one.began = time.Now()
		one.sim.RestoreState(st)
		one.sim.ResetCalls()
		one.db = emptyFile(t)
		copyFile(t, w.db, one.db)
		return &one
	}, people, look.RunID
}

// cutDeletion deletes and is cut at the n-th place; it tells whether there was such a
// place.
func (w *world) cutDeletion(t *testing.T, people []human, id string, kind cutKind, n int) bool {
	t.Helper()
	with := deletes(func(o *reconcile.Options) { o.Workers = 1 })
	if kind == lostRequest || kind == lostAnswer {
		over := w.sim.Fail(mmsim.Fault{Skip: n - 1, Count: 1, CutBefore: kind == lostRequest, CutAfter: kind == lostAnswer})
		_, err := w.deleteForGood(people, with, id, 3)
		over()
		hit := len(w.sim.Calls()) >= n
		if !hit {
			require.NoError(t, err)
		}
		return hit
	}
	c := &crash{at: int64(n), kind: kind}
	with.network, with.wrap = c, func(s state.Store) state.Store { return mortal{s, c} }
	_, err := w.deleteForGood(people, with, id, 3)
	if !c.dead.Load() {
		require.NoError(t, err)
	}
	return c.dead.Load()
}
