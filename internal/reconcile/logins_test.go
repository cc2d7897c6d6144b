package reconcile_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// These tests are about logins: whose they are, and which sessions end when they
// are moved.

func TestEngine_Logins_taken(t *testing.T) {
	t.Parallel()
	for name, profile := range map[string]mmsim.Profile{"11.6": mmsim.Profile116, "5.38": mmsim.Profile538} {
		t.Run("login data of somebody who is settled is not free for another, "+name, func(t *testing.T) {
			t.Parallel()
			people := many(450) // the links of so many are not all loaded for the sample's sake
			for i := range people {
				people[i].UID = fmt.Sprintf("person%03d", i)
				people[i].Service, people[i].Login = "saml", people[i].UID+"@idp"
			}
			w := newWorldOf(t, mmsim.Options{Profile: profile}).grown(people)
			require.Zero(t, w.decided(people, wiring{}))
			since := w.bySince()
			has := since[len(since)-1] // the first was touched, and is loaded for that
			w.sim.ResetCalls()
			people = append(people, human{ID: "second", UID: "second", Service: "saml", Login: has + "@idp"})
			rep, err := w.sync(people, wiring{})
			require.NoError(t, err)
			d := decisionOn(t, rep, "second")
			require.Equal(t, plan.Hold, d.Action, "%+v", d)
			require.Contains(t, d.Detail, has)
			require.Empty(t, w.sim.Writes())
			_, made := w.sim.UserByName("second")
			require.False(t, made)
		})
	}
}

func TestEngine_Logins_sessions(t *testing.T) {
	t.Parallel()
	moving := func(o *reconcile.Options) { o.Policy.ChangeAuth, o.Policy.RevokeOnAuth = true, true }
	// The login was moved, and the run died before it ended the sessions.
	setup := func(t *testing.T) (*world, []human) {
		w, people := newWorld(t), few()
		w.rest(people, wiring{change: moving})
		people[0].Service, people[0].Login = "saml", "anna@idp"
		w.diesUnder(people, "/sessions/revoke/all", moving)
		anna, _ := w.sim.UserByName("anna")
		require.Equal(t, "saml", anna.AuthService)
		require.Zero(t, w.revocations("anna"))
		return w, people
	}
	// revoked gives what became of the op that ends anna's sessions.
	revoked := func(t *testing.T, w *world) state.OpRecord {
		t.Helper()
		s := w.store()
		defer s.Close()
		ops, err := s.Ops(t.Context(), state.OpFilter{})
		require.NoError(t, err)
		for _, op := range ops {
			if op.Op.Kind == plan.RevokeSessions {
				return op
			}
		}
		require.Fail(t, "no such op")
		return state.OpRecord{}
	}
	for name, f := range map[string]mmsim.Fault{
		"with a redirect": {Redirect: "https://portal.example.test/"}, "with no": {Status: http.StatusForbidden},
	} {
		t.Run("that the server did not end, but answered "+name+", are ended by the next run", func(t *testing.T) {
			t.Parallel()
			w, people := newWorld(t), few()
			w.rest(people, wiring{change: moving})
			people[0].Service, people[0].Login = "saml", "anna@idp"
			f.Path = "/users/*/sessions/revoke/all"
			over := w.sim.Fail(f)
			rep, err := w.sync(people, wiring{change: moving})
			require.NoError(t, err)
			require.Equal(t, 1, rep.Counts.Failed)
			require.Zero(t, w.revocations("anna"))
			rep, err = w.sync(people, wiring{change: moving})
			require.NoError(t, err)
			require.Contains(t, strings.Join(rep.Problems, "\n"), "could not be ended yet", "a second time")
			over()
			for range 2 {
				_, err := w.sync(people, wiring{change: moving})
				require.NoError(t, err)
				require.Equal(t, 1, w.revocations("anna"))
			}
			require.Equal(t, state.OpDone, revoked(t, w).Status)
		})
	}
	t.Run("that a run died before it ended are ended by the next one, once", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		for range 2 {
			rep, err := w.sync(people, wiring{change: moving})
			require.NoError(t, err)
			require.Equal(t, state.RunDone, rep.Status)
			require.Equal(t, 1, w.revocations("anna"))
		}
		w.checkSessions(t, "died", "anna")
		require.Equal(t, state.OpDone, revoked(t, w).Status)
	})
	t.Run("of an account that is protected by now stay", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		guarded := wiring{change: func(o *reconcile.Options) {
			moving(o)
			o.Protect = []string{"anna"}
		}}
		for range 2 {
			_, err := w.sync(people, guarded)
			require.NoError(t, err)
		}
		require.Zero(t, w.revocations("anna"))
		op := revoked(t, w)
		require.Equal(t, state.OpDropped, op.Status)
		require.Contains(t, op.Error, "protected by now")
	})
	t.Run("of which it is not known whether they were ended hold up nobody, and are ended by the run after", func(t *testing.T) {
		t.Parallel()
		w, people := setup(t)
		people[1].Title = "Director"
		stop := w.sim.Fail(mmsim.Fault{Path: "/users/*/sessions/revoke/all", CutAfter: true})
		rep, err := w.sync(people, wiring{change: moving})
		stop()
		require.NoError(t, err)
		require.Equal(t, state.RunPartial, rep.Status)
		require.Contains(t, strings.Join(rep.Problems, "\n"), "could not be ended yet; the next run tries again")
		require.Equal(t, "Director", w.position("bert"))
		require.Equal(t, state.OpSent, revoked(t, w).Status)
		w.sim.ResetCalls()
		rep, err = w.sync(people, wiring{change: moving})
		require.NoError(t, err)
		require.Equal(t, state.RunDone, rep.Status)
		require.Equal(t, 1, w.revocations("anna"))
		require.Equal(t, state.OpDone, revoked(t, w).Status)
	})
}
