package reconcile_test

import (
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

// edit changes an account as an administrator or its owner would.
func (w *world) edit(username string, change func(*mmsim.User)) {
	w.t.Helper()
	u, ok := w.sim.UserByName(username)
	require.True(w.t, ok, username)
	w.sim.SetUser(u.ID, change)
}

func TestEngine_Sync_driftReported(t *testing.T) {
	t.Parallel()
	report := wiring{change: func(o *reconcile.Options) { o.Policy.ReportDrift = identity.AttributesOf(identity.Position) }}
	for _, adopted := range []bool{false, true} {
		name := "of an account that mmsync made"
		if adopted {
			name = "of an account that was taken over as it was"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, people := newWorld(t), []human{{ID: "1", UID: "anna", Title: "Clerk", Service: "saml", Login: "anna@idp"}, {ID: "2", UID: "bert"}}
			with := wiring{change: func(o *reconcile.Options) {
				report.change(o)
				o.Policy.AdoptByAuth = true
			}}
			if adopted {
				w.sim.AddUser(mmsim.User{Username: "anna", Email: "anna@example.test", Position: "Clerk", AuthService: "saml", AuthData: "anna@idp", Roles: "system_user"})
			}
			w.rest(people, with)
			w.edit("anna", func(u *mmsim.User) { u.Position = "Queen" })
			calls := len(w.sim.Calls())
			rep, err := w.sync(people, with)
			require.NoError(t, err)
			require.Equal(t, state.RunDone, rep.Status, "an edit that is reported leaves nothing to do")
			d := decisionOn(t, rep, "1")
			require.True(t, d.Reported(), "%+v", d)
			require.Contains(t, d.Notes[0].Detail, `"Queen"`)
			require.Zero(t, w.decided(people, with), "nobody is decided again while nothing changes")
			require.Equal(t, "Queen", w.position("anna"))
			require.Empty(t, writes(w.sim.Calls()[calls:]))

			audit, err := w.run(t.Context(), people, with, reconcile.RunOptions{Audit: true})
			require.NoError(t, err)
			require.True(t, decisionOn(t, audit, "1").Reported(), "an audit names it again")

			w.edit("anna", func(u *mmsim.User) { u.Nickname = "Annie" })
			require.Equal(t, 1, w.decided(people, with), "the account changed")
			people[0].Title = "Head Clerk"
			rep, err = w.sync(people, with)
			require.NoError(t, err)
			require.Equal(t, plan.Differs, decisionOn(t, rep, "1").Reason, "the source says something new")
			require.Equal(t, "Head Clerk", w.position("anna"))

			w.edit("anna", func(u *mmsim.User) { u.Position = "Empress" })
			w.rest(people, with)
			require.Equal(t, "Empress", w.position("anna"))
			w.settle(people, wiring{change: func(o *reconcile.Options) { o.Policy.AdoptByAuth = true }})
			require.Equal(t, "Head Clerk", w.position("anna"), "under restore it is put back")
		})
	}
}

func TestEngine_Sync_driftBesideALockedName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sim.AddUser(mmsim.User{Username: "anna", Email: "anna@example.test", Position: "Clerk", AuthService: "saml", AuthData: "anna@idp", Roles: "system_user"})
	people := []human{{ID: "1", UID: "anna.b", Mail: "anna@example.test", Title: "Clerk", Service: "saml", Login: "anna@idp"}}
	with := wiring{change: func(o *reconcile.Options) {
		o.Policy.ReportDrift, o.Policy.AdoptByAuth = identity.AttributesOf(identity.Position), true
	}}
	w.settle(people, with)
	w.decided(people, with) // what was taken over is seen to be as it is wanted
	w.edit("anna", func(u *mmsim.User) { u.Position = "Queen" })
	rep, err := w.sync(people, with)
	require.NoError(t, err)
	d := decisionOn(t, rep, "1")
	require.Equal(t, plan.LockedByLogin, d.Reason)
	require.Equal(t, plan.DriftReported, d.Notes[len(d.Notes)-1].Reason, "that something else cannot be changed makes an edit no change of the source")
	require.Equal(t, "Queen", w.position("anna"))
}

// writes are the calls that change something.
func writes(calls []mmsim.Call) []mmsim.Call {
	var out []mmsim.Call
	for _, c := range calls {
		if c.IsWrite() {
			out = append(out, c)
		}
	}
	return out
}

func problems(rep reconcile.Report) string { return strings.Join(rep.Problems, "\n") }

func TestEngine_Sync_leaverSwitchedOn(t *testing.T) {
	t.Parallel()
	for name, left := range map[string][]human{
		"who is listed as having left": {{ID: "1", UID: "anna", Left: "yes"}, {ID: "2", UID: "bert"}},
		"who is not listed any more":   {{ID: "2", UID: "bert"}},
	} {
		t.Run(name+" is named the first time and switched off again", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.rest(two(), wiring{})
			w.settle(left, wiring{})
			require.False(t, w.active("anna"))
			at := w.links()["1"]
			require.NotZero(t, at.DeactivatedAt)
			// Long ago: what was taken has been seen to last.
			s := w.store()
			lease, err := s.AcquireLease(t.Context(), "reconcile", "test", time.Minute)
			require.NoError(t, err)
			at.Recheck = time.Time{}
			require.NoError(t, s.PutLinks(t.Context(), lease, []identity.Link{at}))
			require.NoError(t, s.Close())

			w.edit("anna", func(u *mmsim.User) { u.DeleteAt = 0 })
			require.Contains(t, problems(w.plan(left, wiring{})), "was switched on again")
			rep, err := w.sync(left, wiring{})
			require.NoError(t, err)
			require.Equal(t, state.RunPartial, rep.Status)
			require.Contains(t, problems(rep), "account "+at.AccountID+" (corp/1) of somebody who has left, off since ")
			require.Equal(t, plan.Deactivate, decisionOn(t, rep, "1").Action)
			require.False(t, w.active("anna"))
			rep, err = w.sync(left, wiring{})
			require.NoError(t, err)
			require.Empty(t, rep.Problems, "it is said once")
		})
	}
	t.Run("who is in the source again is no news", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.rest(two(), wiring{})
		w.settle(gone(two()), wiring{})
		w.edit("anna", func(u *mmsim.User) { u.DeleteAt = 0 })
		rep, err := w.sync(two(), wiring{})
		require.NoError(t, err)
		require.Empty(t, rep.Problems)
		require.True(t, w.active("anna"))
	})
}
