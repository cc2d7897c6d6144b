package reconcile_test

import (
	"context"
	"errors"
	"fmt"
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

// staff makes n people whose ids begin with prefix.
func staff(prefix string, n int) []human {
	people := make([]human, n)
	for i := range people {
		uid := fmt.Sprintf("p%05d", i)
		people[i] = human{ID: prefix + uid, UID: uid}
	}
	return people
}

// roomy lets a test begin with many people at once.
func roomy(o *reconcile.Options) {
	o.Limits.Creates, o.Limits.Updates = guard.Limit{Count: 10_000}, guard.Limit{Count: 10_000}
	o.Policy.Grace = plan.Grace{}
	o.Policy.AdoptByAuth = true
}

// act runs one command of an engine on the world.
func (w *world) act(people []human, with wiring, do func(context.Context, *reconcile.Engine) (reconcile.Report, error)) (reconcile.Report, error) {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	return do(w.t.Context(), w.engine(s, people, with))
}

func (w *world) owned() map[string]identity.Link {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	list, err := s.Links(w.t.Context(), state.LinkFilter{})
	require.NoError(w.t, err)
	out := map[string]identity.Link{}
	for _, k := range list {
		out[k.Key.String()] = k
	}
	return out
}

var byHand = reconcile.RunOptions{Trigger: "test", RequestedBy: "test", Reason: "asked them"}

func rekeyBy(f plan.Field, dry bool) func(context.Context, *reconcile.Engine) (reconcile.Report, error) {
	return func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
		return e.RekeyAll(ctx, byHand, "corp", f, false, dry)
	}
}

// A directory that was imported anew, with other ids for everybody, is one event
// and one command.
func TestEngine_RekeyAll(t *testing.T) {
	t.Parallel()
	t.Run("5,400 people under new ids: nobody is made or switched off, one command, an empty plan", func(t *testing.T) {
		t.Parallel()
		n := 5400
		if testing.Short() || underRace {
			n = 300
		}
		w, with := newWorld(t), wiring{change: roomy}
		before := staff("old-", n)
		w.settle(before, with)
		again := staff("new-", n)
		w.sim.ResetCalls()

		rep := w.plan(again, with)
		require.Zero(t, rep.Plan.Count(plan.Create))
		require.Zero(t, rep.Plan.Count(plan.Deactivate))
		require.False(t, rep.Plan.Effective())
		require.False(t, rep.Verdict.Tripped(), "what is held is no flood")
		require.Contains(t, strings.Join(rep.Plan.Warnings, "\n"), "people of corp came back under new ids (same e-mail and username); nobody is created or deactivated because of that; mend it with one command: mmsync link rekey --source corp --by email")
		_, err := w.sync(again, with)
		require.NoError(t, err)

		dry, err := w.act(again, with, rekeyBy("email", true))
		require.NoError(t, err)
		require.Equal(t, n, dry.Plan.Count(plan.Adopt))
		require.Contains(t, w.owned(), "corp/old-p00000", "nothing was moved yet")

		rep, err = w.act(again, with, rekeyBy("email", false))
		require.NoError(t, err)
		require.Equal(t, n, rep.Counts.Done)
		require.Equal(t, state.RunDone, rep.Status)
		require.Empty(t, w.sim.Writes(), "no account is written to")
		links := w.owned()
		require.Len(t, links, n)
		require.NotContains(t, links, "corp/old-p00000")
		require.Contains(t, links, "corp/new-p00000")

		rep, err = w.sync(again, with)
		require.NoError(t, err)
		require.Equal(t, state.RunDone, rep.Status)
		require.Empty(t, rep.Plan.Decisions)
		require.Empty(t, rep.Plan.Warnings)
		require.Empty(t, w.sim.Writes())
	})
	t.Run("who does not agree with exactly one other is left and named", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), wiring{change: roomy}
		before := []human{
			{ID: "o1", UID: "ann"},
			{ID: "o2", UID: "bob"},
			{ID: "o3", UID: "cid"},
			{ID: "o4", UID: "dora"},
			{ID: "o5", UID: "root2", Groups: []string{adminsGroup}},
			{ID: "o6", UID: "eve"},
			{ID: "o7", UID: "finn", Left: "yes"},
			{ID: "stays", UID: "gus"},
		}
		w.settle(before[:6], with)
		before[6].Left = ""
		w.settle(before, with)
		before[6].Left = "yes"
		w.settle(before, with)
		eve, _ := w.sim.UserByName("eve")
		w.sim.SetUser(eve.ID, func(u *mmsim.User) { u.Email, u.UpdateAt = "somebody@else.test", time.Now().UnixMilli() })
		again := []human{
			{ID: "n1", UID: "ann"},
			{ID: "n2", UID: "bob"},
			{ID: "n2b", UID: "bobby", Mail: "bob@example.test"},  // two claim it
			{ID: "n3", UID: "cid", Mail: "cid.new@example.test"}, // no e-mail in common
			{ID: "n5", UID: "root2", Groups: []string{adminsGroup}},
			{ID: "n6", UID: "eve"},
			{ID: "n7", UID: "finn"},
			{ID: "stays", UID: "gus"},
		}
		w.sim.ResetCalls()
		rep, err := w.act(again, with, rekeyBy("email", false))
		require.NoError(t, err)
		require.Equal(t, state.RunPartial, rep.Status)
		require.Equal(t, 1, rep.Counts.Done)
		id := func(name string) string { u, _ := w.sim.UserByName(name); return u.ID }
		require.Equal(t, []string{
			`account "eve" (` + id("eve") + `) of corp/o6, which corp/n6 would get, shows another e-mail by now, which somebody changed in Mattermost; if it is the same person: mmsync link rekey corp/o6 corp/n6 --reason …`,
			`account "finn" (` + id("finn") + `) of corp/o7, which corp/n7 would get, is switched off; if it is the same person: mmsync link rekey corp/o7 corp/n7 --reason …`,
			`account "root2" (` + id("root2") + `) of corp/o5, which corp/n5 would get, holds system_admin system_user; if it is to go all the same, say --privileged`,
			`corp/n2, corp/n2b and corp/o2 have the same e-mail: name them one by one with mmsync link rekey OLD NEW --reason …`,
		}, rep.Problems)
		links := w.owned()
		require.Contains(t, links, "corp/n1")
		for _, k := range []string{"corp/o2", "corp/o3", "corp/o4", "corp/o5", "corp/o6", "corp/o7", "corp/stays"} {
			require.Contains(t, links, k)
		}
		require.Empty(t, w.sim.Writes())
	})
	t.Run("a match key knows people again who changed name and e-mail", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), wiring{change: roomy}
		before := []human{{ID: "o1", UID: "ann", Number: "101"}, {ID: "o2", UID: "bob", Number: "102"}}
		w.settle(before, with)
		again := []human{{ID: "n1", UID: "ann.married", Number: "101"}, {ID: "n2", UID: "robert", Number: "102"}}
		rep := w.plan(again, with)
		require.False(t, rep.Plan.Effective(), "%+v", rep.Plan.Decisions)
		rep, err := w.act(again, with, rekeyBy(plan.FieldMatchKey, false))
		require.NoError(t, err)
		require.Equal(t, 2, rep.Counts.Done)
		w.sim.ResetCalls()
		w.settle(again, with)
		require.Len(t, w.sim.Writes(), 2, "each is renamed with one call")
		_, ok := w.sim.UserByName("ann.married")
		require.True(t, ok)
		require.Equal(t, "101", w.owned()["corp/n1"].Applied.MatchKey)
	})
	t.Run("a read that proves nothing moves nobody", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), wiring{change: roomy}
		w.settle(staff("old-", 30), with)
		_, err := w.act(staff("new-", 3), wiring{change: func(o *reconcile.Options) { roomy(o); o.Limits.MinEntriesPercent = 80 }}, rekeyBy("email", false))
		require.ErrorIs(t, err, reconcile.ErrRefused)
		require.ErrorContains(t, err, "corp was not read whole, so nobody is known to be missing: 3 entries, but 30 in the largest complete read")
		require.Contains(t, w.owned(), "corp/old-p00000")
	})
	t.Run("cut off after any link, a second run finishes", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), wiring{change: roomy}
		w.settle(staff("old-", 6), with)
		again := staff("new-", 6)
		cut := with
		cut.wrap = func(s state.Store) state.Store { return &dying{Store: s, left: 3} }
		_, err := w.act(again, cut, rekeyBy("email", false))
		require.ErrorIs(t, err, errDied)
		links := w.owned()
		require.Len(t, links, 6, "nobody is without a link, nobody has two")
		require.Contains(t, links, "corp/new-p00002")
		require.Contains(t, links, "corp/old-p00003")
		rep, err := w.act(again, with, rekeyBy("email", false))
		require.NoError(t, err)
		require.Equal(t, 3, rep.Counts.Done)
		rep, err = w.sync(again, with)
		require.NoError(t, err)
		require.Empty(t, rep.Plan.Decisions)
	})
}

// dying is a store that a process loses after some closed ops.
type dying struct {
	state.Store
	left int
}

var errDied = errors.New("the process died")

func (d *dying) RecordOp(ctx context.Context, l state.Lease, o state.Outcome) error {
	if d.left--; d.left < 0 {
		return errDied
	}
	return d.Store.RecordOp(ctx, l, o)
}

// stranger puts an account on the server that mmsync never saw.
func (w *world) stranger(u mmsim.User) mmsim.User {
	w.t.Helper()
	if u.Email == "" {
		u.Email = u.Username + "@elsewhere.test"
	}
	u.CreateAt = time.Now().Add(-1000 * time.Hour).UnixMilli()
	w.sim.AddUser(u)
	made, ok := w.sim.UserByName(u.Username)
	require.True(w.t, ok)
	return made
}

func TestEngine_SetLink(t *testing.T) {
	t.Parallel()
	set := func(person, account string, privileged, dry bool) func(context.Context, *reconcile.Engine) (reconcile.Report, error) {
		return func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
			return e.SetLink(ctx, byHand, person, account, privileged, dry)
		}
	}
	t.Run("an account becomes somebody's by word, and the next run patches it", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), wiring{change: roomy}
		was := w.stranger(mmsim.User{Username: "old.ann"})
		people := []human{{ID: "e1", UID: "ann", Title: "Clerk"}}
		rep, err := w.act(people, with, set("ann", "old.ann", false, true))
		require.NoError(t, err)
		require.Equal(t, 1, rep.Plan.Count(plan.Adopt))
		require.Empty(t, w.owned(), "a dry run only shows")
		rep, err = w.act(people, with, set("corp/e1", was.ID, false, false))
		require.NoError(t, err)
		require.Equal(t, 1, rep.Counts.Done)
		require.Equal(t, identity.OriginOperator, w.owned()["corp/e1"].Origin)
		require.Empty(t, w.sim.Writes(), "only ownership changes")
		w.checkHistory(t, "link", "asked them", "link_account")
		rep, err = w.act(people, with, set("e1", "old.ann", false, false))
		require.NoError(t, err)
		require.Empty(t, rep.Plan.Decisions, "it is so already")
		w.settle(people, with)
		now, _ := w.sim.User(was.ID)
		require.Equal(t, []string{"ann", "Clerk"}, []string{now.Username, now.Position})
	})
	t.Run("accounts that must not become somebody's are refused, each with its cause", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), wiring{change: func(o *reconcile.Options) { roomy(o); o.Protect = []string{"breakglass*"} }}
		w.settle([]human{{ID: "e1", UID: "ann"}}, with)
		w.stranger(mmsim.User{Username: "some.bot", IsBot: true, OwnerID: w.sim.AdminID()})
		w.stranger(mmsim.User{Username: "far.away", RemoteID: "another"})
		w.stranger(mmsim.User{Username: "breakglass-1"})
		w.stranger(mmsim.User{Username: "chief", Roles: "system_admin system_user"})
		me, _ := w.sim.User(w.sim.AdminID())
		people := []human{{ID: "e1", UID: "ann"}, {ID: "e2", UID: "bob"}, {ID: "e3", UID: "cid", Left: "yes"}, {ID: "e4", UID: "twin"}, {ID: "e5", UID: "x", Mail: "twin"}}
		w.sim.ResetCalls()
		for _, c := range []struct{ person, account, want string }{
			{"bob", "some.bot", `is protected: it is a bot`},
			{"bob", "far.away", `is protected: it belongs to another server`},
			{"bob", "breakglass-1", `is protected: it matches the protected pattern "breakglass*"`},
			{"bob", me.Username, `is protected: it is the account of mmsync's own token`},
			{"bob", "chief", `holds system_admin system_user; if it is to be this person's all the same, say --privileged`},
			{"bob", "ann", `is that of corp/e1; if this is the same person, mmsync link rekey corp/e1 corp/e2 --reason …`},
			{"ann", "chief", `corp/e1 has account `},
			{"cid", "chief", `corp/e3 has left as corp says`},
			{"nobody", "chief", `no source lists a person "nobody"`},
			{"bob", "nobody", `the server has no account "nobody"`},
			{"twin", "chief", `"twin" fits corp/e4 and corp/e5: name one of them as source/anchor`},
		} {
			_, err := w.act(people, with, set(c.person, c.account, false, false))
			require.ErrorIs(t, err, reconcile.ErrRefused, c.person+" "+c.account)
			require.ErrorContains(t, err, c.want, c.person+" "+c.account)
		}
		require.Len(t, w.owned(), 1)
		rep, err := w.act(people, with, set("bob", "chief", true, false))
		require.NoError(t, err)
		require.Equal(t, 1, rep.Counts.Done)
		require.Empty(t, w.sim.Writes())
	})
}

// checkHistory holds the newest run of a kind to what was asked for and done.
func (w *world) checkHistory(t *testing.T, kind, reason string, ops ...plan.OpKind) {
	t.Helper()
	s := w.store()
	defer s.Close()
	runs, err := s.Runs(t.Context(), state.RunFilter{Kind: kind, Limit: 1})
	require.NoError(t, err)
	require.Len(t, runs, 1)
	require.Equal(t, reason, runs[0].Reason)
	list, err := s.Ops(t.Context(), state.OpFilter{Run: runs[0].ID})
	require.NoError(t, err)
	var kinds []plan.OpKind
	for _, o := range list {
		require.Equal(t, state.OpDone, o.Status)
		kinds = append(kinds, o.Op.Kind)
	}
	require.Equal(t, ops, kinds)
}

func TestEngine_Release(t *testing.T) {
	t.Parallel()
	release := func(people ...string) func(context.Context, *reconcile.Engine) (reconcile.Report, error) {
		return func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
			return e.Release(ctx, byHand, people, false)
		}
	}
	t.Run("the account stays as it is, and the person is neither matched with it nor given another", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), wiring{change: roomy}
		people := []human{{ID: "e1", UID: "ann", Service: "saml", Login: "ann@idp"}, {ID: "e2", UID: "bob"}}
		w.settle(people, with)
		was, _ := w.sim.UserByName("ann")
		w.sim.ResetCalls()
		rep, err := w.act(people, with, release("ann"))
		require.NoError(t, err)
		require.Equal(t, 1, rep.Plan.Count(plan.Forget))
		require.Empty(t, w.sim.Calls(), "neither sources nor the server are asked")
		w.checkHistory(t, "link", "asked them", "unlink_account")
		for range 2 {
			rep, err = w.sync(people, with)
			require.NoError(t, err)
			require.Len(t, rep.Plan.Decisions, 1)
			require.Equal(t, plan.AuthDataTaken, rep.Plan.Decisions[0].Reason)
			require.Contains(t, rep.Plan.Decisions[0].Detail, "which an operator said is not this person's")
		}
		_, err = w.sync(people[1:], with) // he leaves: nobody's account is nobody's
		require.NoError(t, err)
		require.Empty(t, w.sim.Writes())
		now, _ := w.sim.UserByName("ann")
		require.Equal(t, was, now)
		rep, err = w.act(people, with, func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
			return e.SetLink(ctx, byHand, "ann", "ann", false, false)
		})
		require.NoError(t, err)
		require.Equal(t, 1, rep.Counts.Done)
		rep, err = w.sync(people, with)
		require.NoError(t, err)
		require.Empty(t, rep.Plan.Decisions, "the last word counts")
	})
	t.Run("whoever a run was cut off about is not released before it is known what became of it", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), wiring{change: roomy}
		w.settle([]human{{ID: "e1", UID: "ann"}}, with)
		people := []human{{ID: "e1", UID: "ann", Title: "Clerk"}}
		cut := with
		cut.wrap = func(s state.Store) state.Store { return &dying{Store: s} }
		_, err := w.sync(people, cut)
		require.ErrorIs(t, err, errDied)
		_, err = w.act(people, with, release("corp/e1"))
		require.ErrorIs(t, err, reconcile.ErrRefused)
		require.ErrorContains(t, err, "run mmsync sync once, which looks what became of it")
		w.settle(people, with)
		_, err = w.act(people, with, release("corp/e1"))
		require.NoError(t, err)
		require.Empty(t, w.owned())
	})
	t.Run("a name that fits two, or nobody, releases nobody", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), wiring{change: roomy}
		people := []human{{ID: "e1", UID: "e2"}, {ID: "e2", UID: "bob"}}
		w.settle(people, with)
		_, err := w.act(people, with, release("bob", "e2"))
		require.ErrorContains(t, err, `"e2" fits corp/e1 and corp/e2`)
		_, err = w.act(people, with, release("bob", "nobody"))
		require.ErrorContains(t, err, `no link fits "nobody"`)
		require.Len(t, w.owned(), 2)
	})
}

func TestEngine_Purge(t *testing.T) {
	t.Parallel()
	purge := func(name string, expect int, dry bool) func(context.Context, *reconcile.Engine) (reconcile.Report, error) {
		return func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
			return e.Purge(ctx, byHand, name, expect, dry)
		}
	}
	w, with := newWorld(t), wiring{change: roomy}
	people := staff("e-", 5)
	w.settle(people, with)
	w.sim.ResetCalls()
	_, err := w.act(people, with, purge("corp", -1, false))
	require.ErrorContains(t, err, "source corp is in the configuration", "whoever would be met again is not forgotten")
	without := wiring{change: func(o *reconcile.Options) { roomy(o); o.Sources = nil }}
	_, err = w.act(nil, without, purge("corp", 4, false))
	var count *reconcile.CountError
	require.ErrorAs(t, err, &count)
	require.Equal(t, 5, count.Links)
	_, err = w.act(nil, without, purge("crop", -1, false))
	require.ErrorContains(t, err, "there is no link of crop")
	rep, err := w.act(nil, without, purge("corp", 4, true))
	require.NoError(t, err)
	require.Equal(t, 5, rep.Plan.Count(plan.Forget))
	require.Len(t, w.owned(), 5)
	_, err = w.act(nil, without, purge("corp/e-p00000", 1, false))
	require.NoError(t, err)
	require.Len(t, w.owned(), 4)
	_, err = w.act(nil, without, purge("corp", 4, false))
	require.NoError(t, err)
	require.Empty(t, w.owned())
	require.Empty(t, w.sim.Calls())
	w.checkHistory(t, "link", "asked them", "unlink_account", "unlink_account", "unlink_account", "unlink_account")
}

func TestEngine_Ignore(t *testing.T) {
	t.Parallel()
	w, with := newWorld(t), wiring{change: roomy}
	other := w.stranger(mmsim.User{Username: "ann", AuthService: "saml", AuthData: "ann@idp"})
	people := []human{{ID: "e1", UID: "ann", Service: "saml", Login: "ann@idp"}}
	ignore := func(person, account string, undo, dry bool) func(context.Context, *reconcile.Engine) (reconcile.Report, error) {
		return func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
			_, err := e.Ignore(ctx, byHand, person, account, undo, dry)
			return reconcile.Report{}, err
		}
	}
	_, err := w.act(people, with, ignore("ann", "ann", false, true))
	require.NoError(t, err)
	require.True(t, w.plan(people, with).Plan.Effective(), "a dry run only shows")
	_, err = w.act(people, with, ignore("ann", "ann", false, false))
	require.NoError(t, err)
	rep, err := w.sync(people, with)
	require.NoError(t, err)
	require.Equal(t, plan.AuthDataTaken, rep.Plan.Decisions[0].Reason, "not even by login data")
	require.Empty(t, w.owned())
	_, err = w.act(people, with, ignore("corp/e1", "x", true, false))
	require.ErrorIs(t, err, reconcile.ErrRefused)
	_, err = w.act(people, with, ignore("corp/e1", other.ID, true, false))
	require.NoError(t, err)
	w.settle(people, with)
	require.Equal(t, other.ID, w.owned()["corp/e1"].AccountID)
	_, err = w.act(people, with, ignore("ann", "ann", false, false))
	require.ErrorContains(t, err, "mmsync link release corp/e1 --reason … gives it up")
}

// Somebody comes back under another id after his account was switched off.
func TestEngine_Rekey(t *testing.T) {
	t.Parallel()
	rekey := func(from, to string) func(context.Context, *reconcile.Engine) (reconcile.Report, error) {
		return func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
			return e.Rekey(ctx, byHand, from, to, false, false)
		}
	}
	t.Run("he is held with the command that gives him his account, which then comes back", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), wiring{change: roomy}
		w.settle([]human{{ID: "o1", UID: "ann"}, {ID: "x", UID: "una"}}, with)
		w.settle([]human{{ID: "x", UID: "una"}}, with)
		off, _ := w.sim.UserByName("ann")
		require.False(t, off.Active())
		people := []human{{ID: "n1", UID: "ann"}, {ID: "x", UID: "una"}}
		w.sim.ResetCalls()
		rep, err := w.sync(people, with)
		require.NoError(t, err)
		require.Empty(t, w.sim.Writes())
		require.Len(t, rep.Plan.Decisions, 1)
		require.Contains(t, rep.Plan.Decisions[0].Detail, "if it is the same person under a new id: mmsync link rekey corp/o1 corp/n1 --reason …; if it is somebody else: mmsync link free-name")
		rep, err = w.act(people, with, rekey("corp/o1", "corp/n1"))
		require.NoError(t, err)
		require.Contains(t, rep.Plan.Decisions[0].Detail, "goes from corp/o1 to corp/n1 \"ann\" (said by hand; the account is off since mmsync switched it off, and the next sync switches it on)")
		w.settle(people, with)
		on, _ := w.sim.User(off.ID)
		require.True(t, on.Active())
		require.Equal(t, off.ID, w.owned()["corp/n1"].AccountID)
		s := w.store()
		defer s.Close()
		past, err := s.PastLinks(t.Context(), []string{off.ID})
		require.NoError(t, err)
		require.Len(t, past, 2, "that it was another key's is not forgotten")
	})
	t.Run("said to be somebody else, the one of before leaves and the new one waits for the name", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), wiring{change: roomy}
		w.settle([]human{{ID: "o1", UID: "ann"}, {ID: "x", UID: "una"}}, with)
		people := []human{{ID: "n1", UID: "ann"}, {ID: "x", UID: "una"}}
		_, err := w.sync(people, with)
		require.NoError(t, err)
		was, _ := w.sim.UserByName("ann")
		require.True(t, was.Active())
		_, err = w.act(people, with, func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
			_, err := e.Ignore(ctx, byHand, "corp/n1", "ann", false, false)
			return reconcile.Report{}, err
		})
		require.NoError(t, err)
		_, err = w.sync(people, with)
		require.NoError(t, err)
		was, _ = w.sim.UserByName("ann")
		require.False(t, was.Active())
		rep := w.plan(people, with)
		require.Len(t, rep.Plan.Decisions, 1)
		require.Contains(t, rep.Plan.Decisions[0].Detail, "an operator said that it is not this person's: mmsync link free-name")
	})
	t.Run("from a source that is configured no more, but not from one that could not be read", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), wiring{change: roomy}
		w.settle([]human{{ID: "o1", UID: "ann"}}, with)
		people := []human{{ID: "n1", UID: "ann"}}
		renamed := wiring{change: func(o *reconcile.Options) { roomy(o); o.Sources = []reconcile.Source{directoryOf(t, "hr", people)} }}
		w.sim.ResetCalls()
		rep, err := w.sync(people, renamed)
		require.NoError(t, err)
		require.Len(t, rep.Plan.Decisions, 1, "nobody of the old source leaves")
		require.Equal(t, plan.EmailTaken, rep.Plan.Decisions[0].Reason)
		broken := wiring{change: func(o *reconcile.Options) {
			roomy(o)
			o.Sources = []reconcile.Source{directoryOf(t, "hr", people), unreadable{directory(t, people)}}
		}}
		_, err = w.act(people, broken, rekey("corp/o1", "hr/n1"))
		require.ErrorIs(t, err, reconcile.ErrRefused)
		require.ErrorContains(t, err, "source corp could not be read, so that nobody knows whether it still lists corp/o1")
		rep, err = w.act(people, renamed, rekey("corp/o1", "hr/n1"))
		require.NoError(t, err)
		require.Equal(t, 1, rep.Counts.Done)
		rep, err = w.sync(people, renamed)
		require.NoError(t, err)
		require.Empty(t, rep.Plan.Decisions)
		require.Empty(t, w.sim.Writes())
	})
	t.Run("whoever is still there keeps his account", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), wiring{change: roomy}
		w.settle([]human{{ID: "o1", UID: "ann"}}, with)
		people := []human{{ID: "o1", UID: "ann"}, {ID: "n1", UID: "ann2"}, {ID: "n2", UID: "ann3", Left: "yes"}}
		_, err := w.act(people, with, rekey("corp/o1", "corp/n1"))
		require.ErrorIs(t, err, reconcile.ErrRefused)
		require.ErrorContains(t, err, "is still in use: corp lists that person as active")
		_, err = w.act(people[1:], with, rekey("corp/o1", "corp/n2"))
		require.ErrorContains(t, err, "corp/n2 has left as corp says")
		_, err = w.act(people, with, rekey("corp/nobody", "corp/n1"))
		require.ErrorContains(t, err, `no link fits "corp/nobody"`)
		require.Contains(t, w.owned(), "corp/o1")
	})
}
