package reconcile_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// A server that had 6,000 accounts before mmsync: 5,400 people with the login data
// of the directory, 40 more who have only a name in common, and 560 that no source
// lists. Somebody reads the plan, approves it and lets the links be made, before the
// first run that may write to an account.
func TestEngine_existingServer(t *testing.T) {
	t.Parallel()
	adoptable, doubles, per := 5400, 40, 140
	if testing.Short() || underRace {
		adoptable, doubles, per = 300, 8, 10
	}
	w, with := newWorld(t), wiring{change: roomy}
	w.unseen = true
	long := time.Now().Add(-1000 * time.Hour).UnixMilli()
	var people []human
	for i := range adoptable {
		uid := fmt.Sprintf("p%05d", i)
		people = append(people, human{ID: "e" + uid, UID: uid, Service: "saml", Login: uid + "@idp"})
		w.sim.AddUser(mmsim.User{Username: uid, Email: uid + "@example.test", AuthService: "saml", AuthData: uid + "@idp", CreateAt: long})
	}
	for i := range doubles {
		uid := fmt.Sprintf("d%05d", i)
		people = append(people, human{ID: "e" + uid, UID: uid, Service: "saml", Login: uid + "@idp"})
		w.sim.AddUser(mmsim.User{Username: uid, Email: uid + "@private.test", CreateAt: long})
	}
	for i := range per {
		w.sim.AddUser(mmsim.User{Username: fmt.Sprintf("bot%05d", i), IsBot: true, OwnerID: w.sim.AdminID(), CreateAt: long})
		w.sim.AddUser(mmsim.User{Username: fmt.Sprintf("guest%05d", i), Email: fmt.Sprintf("guest%05d@else.test", i), Roles: "system_guest", CreateAt: long})
		w.sim.AddUser(mmsim.User{Username: fmt.Sprintf("temp%05d", i), Email: fmt.Sprintf("temp%05d@else.test", i), CreateAt: long})
		w.sim.AddUser(mmsim.User{Username: fmt.Sprintf("gone%05d", i), Email: fmt.Sprintf("gone%05d@else.test", i), CreateAt: long, DeleteAt: long + 1})
	}
	before := w.sim.Users()
	w.sim.ResetCalls()

	rep := w.plan(people, with)
	require.Equal(t, guard.FirstRun, rep.Verdict.Trips[0].Class)
	require.Equal(t, adoptable, rep.Verdict.Trips[0].Planned)
	require.Equal(t, &reconcile.Census{
		Accounts: len(before), Adopted: map[plan.Reason]int{plan.SameAuthData: adoptable}, Asked: map[plan.Reason]int{plan.MatchNeedsWord: doubles},
		Unmanaged: map[reconcile.Kind]int{
			reconcile.KindAsked: doubles, reconcile.KindPerson: per, reconcile.KindGuest: per, reconcile.KindDeactivated: per, reconcile.KindBot: per, reconcile.KindProtected: 1,
		},
		First: true,
	}, rep.Census)
	var list []reconcile.Unmanaged
	var asked []reconcile.Conflict
	_, err := w.act(people, with, func(ctx context.Context, e *reconcile.Engine) (rep reconcile.Report, err error) {
		if rep, list, err = e.Unmanaged(ctx, byHand); err != nil {
			return rep, err
		}
		rep, asked, err = e.Conflicts(ctx, byHand)
		return rep, err
	})
	require.NoError(t, err)
	require.Len(t, list, doubles+4*per+1, "who is to be adopted is not among them")
	require.Len(t, asked, doubles)
	for _, u := range list {
		require.NotEmpty(t, u.Next, "%s %s", u.Kind, u.Account.Username)
	}
	for _, c := range asked {
		require.Equal(t, c.Username, c.Account.Username)
		require.Contains(t, c.Next, "mmsync link approve corp/e"+c.Username)
		require.Contains(t, c.Next, "mmsync link ignore corp/e"+c.Username+" "+c.Account.ID)
	}

	adopt := reconcile.Selection{Actions: []plan.Action{plan.Adopt}}
	early := w.part(people, with, adopt)
	require.Equal(t, state.RunWithheld, early.Status)
	require.Empty(t, w.owned(), "nobody agreed to it yet")
	v := w.approve(rep.RunID)
	require.Len(t, v.Items, adoptable)

	done := w.part(people, with, adopt)
	require.Equal(t, state.RunDone, done.Status, done.Problems)
	require.Equal(t, adoptable, done.Counts.Done)
	require.Len(t, w.owned(), adoptable)
	require.NotZero(t, w.verdict(v.ID).ClosedAt)
	whole, err := w.sync(people, with)
	require.NoError(t, err)
	require.False(t, whole.Verdict.Tripped(), "what is left are questions: %s", whole.Verdict.Message())
	require.Zero(t, whole.Counts.Done)
	require.Empty(t, w.sim.Writes(), "whose account it is needs no call")
	require.Equal(t, before, w.sim.Users())
}

func (w *world) conflicts(t *testing.T, people []human, with wiring) []reconcile.Conflict {
	t.Helper()
	var list []reconcile.Conflict
	_, err := w.act(people, with, func(ctx context.Context, e *reconcile.Engine) (rep reconcile.Report, err error) {
		rep, list, err = e.Conflicts(ctx, byHand)
		return rep, err
	})
	require.NoError(t, err)
	return list
}

// Each question about ownership has a row with both sides and the next step.
func TestEngine_Conflicts(t *testing.T) {
	t.Parallel()
	w, with := newWorld(t), wiring{change: roomy}
	before := []human{
		{ID: "back", UID: "ann"},
		{ID: "gone", UID: "bob"},
		{ID: "off", UID: "cid"},
		{ID: "keeps", UID: "dora"},
		{ID: "wants", UID: "emil"},
		{ID: "1", UID: "u1"},
		{ID: "2", UID: "u2"},
		{ID: "3", UID: "u3"},
		{ID: "4", UID: "u4"},
		{ID: "5", UID: "u5"},
	}
	w.settle(before, with)
	w.settle(append([]human{{ID: "back", UID: "ann", Left: "yes"}}, before[1:]...), with)
	cid, _ := w.sim.UserByName("cid")
	w.sim.SetUser(cid.ID, func(u *mmsim.User) { u.DeleteAt, u.UpdateAt = time.Now().UnixMilli(), time.Now().UnixMilli() })
	bob, _ := w.sim.UserByName("bob")
	chief := w.stranger(mmsim.User{Username: "chief", Roles: "system_admin system_user"})
	fay := w.stranger(mmsim.User{Username: "fay"})
	people := append([]human{
		{ID: "back", UID: "ann", Left: "yes"},
		{ID: "ann2", UID: "ann", Mail: "ann2@example.test"}, // a leaver's name
		{ID: "bob2", UID: "bob"},                            // instead of gone
		{ID: "off", UID: "cid"},
		{ID: "keeps", UID: "dora"},
		{ID: "wants", UID: "dora", Mail: "emil@example.test"},
		{ID: "adm", UID: "chief"},
		{ID: "fay", UID: "fay"},
		{ID: "twin1", UID: "twin", Mail: "t1@example.test"},
		{ID: "twin2", UID: "twin", Mail: "t2@example.test"},
	}, before[5:]...)
	w.sim.ResetCalls()
	type row struct {
		reason       plan.Reason
		key, account string
		other        string
		next         string
	}
	var got []row
	for _, c := range w.conflicts(t, people, with) {
		r := row{reason: c.Reason, key: c.Key.Anchor, other: c.Other.Anchor, next: c.Next}
		if c.Account != nil {
			r.account = c.Account.Username
		}
		got = append(got, r)
	}
	require.ElementsMatch(t, []row{
		{plan.UsernameTaken, "ann2", "ann", "back", "the same person: mmsync link rekey corp/back corp/ann2 --reason …; somebody else: mmsync link free-name ann --reason …"},
		{plan.EmailTaken, "bob2", "bob", "gone", "the same person: mmsync link rekey corp/gone corp/bob2 --reason …; somebody else: mmsync link ignore corp/bob2 " + bob.ID + " --reason …"},
		{plan.DeactivatedOther, "off", "cid", "", plan.DeactivatedOther.Explain().Next + " If mmsync is to leave the account alone: mmsync link release corp/off --reason …"},
		{plan.Contested, "wants", "emil", "keeps", plan.Contested.Explain().Next},
		{plan.MatchPrivileged, "adm", "chief", "", "the same person: mmsync link approve corp/adm; somebody else: mmsync link ignore corp/adm " + chief.ID + " --reason …"},
		{plan.MatchNeedsWord, "fay", "fay", "", "the same person: mmsync link approve corp/fay; somebody else: mmsync link ignore corp/fay " + fay.ID + " --reason …"},
		{plan.Contested, "twin1", "", "twin2", plan.Contested.Explain().Next},
		{plan.Contested, "twin2", "", "twin1", plan.Contested.Explain().Next},
	}, got)
	require.Empty(t, w.sim.Writes())
}

func TestEngine_FreeName(t *testing.T) {
	t.Parallel()
	free := func(value string) func(context.Context, *reconcile.Engine) (reconcile.Report, error) {
		return func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
			return e.FreeName(ctx, byHand, value, false)
		}
	}
	year := time.Now().UTC().Format("2006")
	t.Run("a leaver's account gives its name up, and the next run gives it to the new person", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), wiring{change: roomy}
		w.settle([]human{{ID: "o", UID: "ann"}, {ID: "x", UID: "una"}}, with)
		w.settle([]human{{ID: "x", UID: "una"}}, with)
		w.stranger(mmsim.User{Username: "ann-left-" + year})
		people := []human{{ID: "n", UID: "ann"}, {ID: "x", UID: "una"}}
		w.sim.ResetCalls()
		for _, value := range []string{"ann", "ann@example.test"} {
			rep, err := w.act(people, with, free(value))
			require.NoError(t, err)
			require.Equal(t, 1, rep.Counts.Done)
		}
		require.Len(t, w.sim.Writes(), 2)
		w.settle(people, with)
		was, ok := w.sim.UserByName("ann-left-" + year + "-2")
		require.True(t, ok, "a name that is taken is passed over")
		require.False(t, was.Active())
		require.Equal(t, "ann+left-"+year+"@example.test", was.Email)
		is, ok := w.sim.UserByName("ann")
		require.True(t, ok)
		require.True(t, is.Active())
		require.NotEqual(t, was.ID, is.ID)
		w.checkHistory(t, "link", "asked them", "patch_profile")
		require.Equal(t, was.ID, w.owned()["corp/o"].AccountID, "it stays the leaver's")
	})
	t.Run("a long name is cut to what the server takes", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), wiring{change: roomy}
		long := strings.Repeat("a", 60)
		w.settle([]human{{ID: "o", UID: long, Mail: "o@example.test"}}, with)
		w.settle([]human{{ID: "o", UID: long, Mail: "o@example.test", Left: "yes"}}, with)
		rep, err := w.act([]human{{ID: "o", UID: long, Mail: "o@example.test", Left: "yes"}}, with, free(long))
		require.NoError(t, err)
		require.Equal(t, 1, rep.Counts.Done)
		_, ok := w.sim.UserByName(strings.Repeat("a", 54) + "-left-" + year)
		require.True(t, ok)
	})
	t.Run("nobody else gives a name up", func(t *testing.T) {
		t.Parallel()
		w, with := newWorld(t), wiring{change: func(o *reconcile.Options) { roomy(o); o.Protect = []string{"keep*"} }}
		all := []human{{ID: "a", UID: "active"}, {ID: "s", UID: "sam", Service: "saml", Login: "sam@idp"}, {ID: "r", UID: "root2", Groups: []string{adminsGroup}}}
		w.settle(all, with)
		w.stranger(mmsim.User{Username: "stranger", DeleteAt: 5})
		gone := []human{all[0], {ID: "s", UID: "sam", Service: "saml", Login: "sam@idp", Left: "yes"}, {ID: "r", UID: "root2", Left: "yes"}}
		w.settle(gone, with)
		sam, _ := w.sim.UserByName("root2")
		w.sim.SetUser(sam.ID, func(u *mmsim.User) { u.Roles, u.UpdateAt = "system_user custom_role", time.Now().UnixMilli() })
		w.sim.ResetCalls()
		for value, want := range map[string]string{
			"active":      "is active: only somebody who has left gives his name up",
			"stranger":    "is not mmsync's; change its username in Mattermost",
			"sam":         "logs in by saml, which owns the username on the server",
			"root2":       "holds custom_role system_user; change it in Mattermost",
			"nobody":      `no account of the server has the username "nobody", so it is free`,
			"x@nowhere.x": `no account of the server has the email "x@nowhere.x", so it is free`,
		} {
			_, err := w.act(gone, with, free(value))
			require.ErrorIs(t, err, reconcile.ErrRefused, value)
			require.ErrorContains(t, err, want)
		}
		_, err := w.act(nil, wiring{change: func(o *reconcile.Options) {
			roomy(o)
			o.Sources = []reconcile.Source{directoryOf(t, "hr", gone)}
		}}, free("sam"))
		require.ErrorIs(t, err, reconcile.ErrRefused)
		require.ErrorContains(t, err, "is that of corp/s, and source corp was not read")
		require.Empty(t, w.sim.Writes())
	})
}

// Links go out and come back the same, all or none.
func TestEngine_ImportLinks(t *testing.T) {
	t.Parallel()
	export := func(t *testing.T, w *world) string {
		t.Helper()
		s := w.store()
		defer s.Close()
		var b bytes.Buffer
		_, err := reconcile.ExportLinks(t.Context(), s, &b)
		require.NoError(t, err)
		return b.String()
	}
	take := func(text string, dry bool) func(context.Context, *reconcile.Engine) (reconcile.Report, error) {
		return func(ctx context.Context, e *reconcile.Engine) (reconcile.Report, error) {
			return e.ImportLinks(ctx, byHand, strings.NewReader(text), false, dry)
		}
	}
	people := []human{{ID: "e1", UID: "ann", Title: `"quoted" <b>`, Number: "1"}, {ID: "e2", UID: "bob"}, {ID: "e3", UID: "cid", Service: "saml", Login: "cid@idp"}}
	start := func(t *testing.T) (*world, wiring, string) {
		t.Helper()
		w, with := newWorld(t), wiring{change: roomy}
		w.settle(people, with)
		w.settle([]human{people[0], {ID: "e2", UID: "bob", Left: "yes"}, people[2]}, with)
		return w, with, export(t, w)
	}
	t.Run("into an empty store, byte for byte, and a leaver may still come back", func(t *testing.T) {
		t.Parallel()
		w, with, text := start(t)
		w.db = emptyStore(w.t)
		rep, err := w.act(people, with, take(text, true))
		require.NoError(t, err)
		require.Equal(t, 3, rep.Plan.Count(plan.Adopt))
		require.Empty(t, w.owned())
		w.sim.ResetCalls()
		_, err = w.act(people, with, take(text, false))
		require.NoError(t, err)
		require.Empty(t, w.sim.Writes())
		require.Equal(t, text, export(t, w))
		rep, err = w.act(people, with, take(text, false))
		require.NoError(t, err)
		require.Empty(t, rep.Plan.Decisions, "what is there and the same is passed over")
		w.settle(people, with)
		bob, _ := w.sim.UserByName("bob")
		require.True(t, bob.Active())
	})
	t.Run("all or none, and everything that is wrong is named", func(t *testing.T) {
		t.Parallel()
		w, with, text := start(t)
		links := w.owned()
		w.db = emptyStore(w.t)
		ann := links["corp/e1"].AccountID
		w.sim.RemoveUser(ann)
		bot := w.stranger(mmsim.User{Username: "some.bot", IsBot: true, OwnerID: w.sim.AdminID()})
		text = strings.ReplaceAll(text, links["corp/e3"].AccountID, bot.ID)
		_, err := w.act(people, with, take(text, false))
		var faults *reconcile.ImportError
		require.ErrorAs(t, err, &faults)
		require.Equal(t, []string{
			"account " + ann + " of corp/e1 is not on the server",
			`account "some.bot" (` + bot.ID + `) of corp/e3 is protected: it is a bot`,
		}, faults.Faults)
		require.Empty(t, w.owned())
	})
	t.Run("a link that is there and different is named, and stays", func(t *testing.T) {
		t.Parallel()
		w, with, text := start(t)
		links := w.owned()
		other := strings.ReplaceAll(text, `"anchor":"e1"`, `"anchor":"e9"`)
		_, err := w.act(people, with, take(other, false))
		require.ErrorContains(t, err, `of corp/e9 is that of corp/e1 here`)
		swapped := strings.NewReplacer(links["corp/e1"].AccountID, links["corp/e2"].AccountID, links["corp/e2"].AccountID, links["corp/e1"].AccountID).Replace(text)
		_, err = w.act(people, with, take(swapped, false))
		require.ErrorContains(t, err, "corp/e1 has account "+links["corp/e1"].AccountID+" here, and "+links["corp/e2"].AccountID+" in the file")
		require.Equal(t, text, export(t, w))
	})
	t.Run("a file that is not whole, not ours or of another server is refused", func(t *testing.T) {
		t.Parallel()
		w, with, text := start(t)
		w.db = emptyStore(w.t)
		lines := strings.SplitAfter(text, "\n")
		for name, c := range map[string]struct{ text, want string }{
			"cut":            {strings.Join(lines[:3], ""), "the file says that it holds 3 links, and holds 2"},
			"cut in a line":  {text[:len(text)-20], "line 4:"},
			"nothing":        {"", "the file says that it holds 0 links"},
			"something else": {"id,login\n", "the first line does not say that these are links of mmsync"},
			"edited":         {strings.Replace(text, `"part":"owner"`, `"prat":"owner"`, 1), "line 2:"},
			"a key twice":    {strings.Replace(text, `"anchor":"e2"`, `"anchor":"e1"`, 1), "is in the list twice"},
			"another server": {strings.Replace(text, `"server":"`, `"server":"x`, 1), "the links are of server"},
			"a later format": {strings.Replace(text, `"format_version":"`, `"format_version":"9`, 1), "the file has format"},
		} {
			rep, err := w.act(people, with, take(c.text, false))
			if name == "nothing" { // an empty file is no list of no links
				require.Error(t, err)
				continue
			}
			require.ErrorIs(t, err, reconcile.ErrRefused, name)
			require.ErrorContains(t, err, c.want, name)
			require.Empty(t, rep.Plan.Decisions, name)
			require.Empty(t, w.owned(), name)
		}
	})
}
