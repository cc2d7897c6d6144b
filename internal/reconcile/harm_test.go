package reconcile_test

import (
	"context"
	"net/http"
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

// These tests are about what happens beside mmsync while it works: other people
// who write to the server or set it back, and processes that die.

type network func(*http.Request) (*http.Response, error)

func (f network) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func two() []human { return []human{{ID: "1", UID: "anna"}, {ID: "2", UID: "bert"}} }

func gone(people []human) []human {
	people[0].Left = "yes"
	return people
}

func decisionOn(t *testing.T, rep reconcile.Report, anchor string) plan.Decision {
	t.Helper()
	for _, d := range rep.Plan.Decisions {
		if d.Key.Anchor == anchor {
			return d
		}
	}
	require.Failf(t, "no decision", "about %s in %+v", anchor, rep.Plan.Decisions)
	return plan.Decision{}
}

func TestEngine_Sync_doesNotTakeOverWhatWasRefused(t *testing.T) {
	t.Parallel()
	for name, login := range map[string]string{"by another login": "gitlab", "by password": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			made := false
			net := network(func(r *http.Request) (*http.Response, error) {
				if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/users") && !made {
					made = true
					w.sim.AddUser(mmsim.User{Username: "anna", Email: "anna@example.test", AuthService: login, AuthData: login, Roles: "system_user"})
				}
				return http.DefaultTransport.RoundTrip(r)
			})
			rep, err := w.sync(two()[:1], wiring{network: net})
			require.NoError(t, err)
			require.Equal(t, 1, rep.Counts.Failed)
			require.Equal(t, state.RunPartial, rep.Status)
			s := w.store()
			defer s.Close()
			links, err := s.Links(t.Context(), state.LinkFilter{})
			require.NoError(t, err)
			require.Empty(t, links, "the account is somebody else's")
		})
	}
}

func TestEngine_Sync_noticesAnAccountThatWasRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 3 {
		_, err := w.sync(two(), wiring{})
		require.NoError(t, err)
	}
	u, ok := w.sim.UserByName("anna")
	require.True(t, ok)
	w.sim.RemoveUser(u.ID)
	s := w.store()
	rep, err := w.engine(s, two(), wiring{}).Sync(t.Context(), reconcile.RunOptions{Trigger: "test", Audit: true})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.Equal(t, plan.AccountMissing, decisionOn(t, rep, "1").Reason)
}

func TestEngine_Sync_protectsNobodyWhoRenamedHimself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	guarded := wiring{change: func(o *reconcile.Options) {
		o.Protect, o.Policy.ReservedNames = []string{"svc-*"}, []string{"svc-*"}
	}}
	_, err := w.sync(two(), guarded)
	require.NoError(t, err)
	u, _ := w.sim.UserByName("anna")
	w.sim.SetUser(u.ID, func(u *mmsim.User) { u.Username = "svc-anna" })
	_, err = w.sync(gone(two()), guarded)
	require.NoError(t, err)
	require.False(t, w.active("svc-anna"), "a leaver is off, whatever he calls himself")
}

func TestEngine_Sync_doesNotUndoAnotherDeactivation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.sync(two(), wiring{})
	require.NoError(t, err)
	_, err = w.sync(gone(two()), wiring{})
	require.NoError(t, err)
	u, _ := w.sim.UserByName("anna")
	rep, err := w.sync(two(), wiring{wrap: func(s state.Store) state.Store {
		return afterPlanning{s, func() { w.sim.SetUser(u.ID, func(u *mmsim.User) { u.DeleteAt += 5000 }) }}
	}})
	require.NoError(t, err)
	require.Equal(t, 1, rep.Counts.Skipped)
	require.False(t, w.active("anna"), "an administrator switched it off again after the plan was made")
}

// afterPlanning is the real store with something happening once the plan is
// journaled.
type afterPlanning struct {
	state.Store
	happen func()
}

func (s afterPlanning) BeginRun(ctx context.Context, l state.Lease, r state.Run, p plan.Plan, c state.SightingChanges) error {
	s.happen()
	return s.Store.BeginRun(ctx, l, r, p, c)
}

func TestEngine_Sync_noticesAServerThatWasSetBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	short := wiring{change: func(o *reconcile.Options) { o.SinceOverlap = time.Millisecond }}
	// The marks count in the server's seconds; its clock is moved instead of waiting.
	for i := range 2 {
		w.sim.SetClockOffset(time.Duration(i) * 10 * time.Second)
		_, err := w.sync(two(), short)
		require.NoError(t, err)
	}
	backup := w.sim.SnapshotState()
	for i := range 3 {
		w.sim.SetClockOffset(time.Duration(i+2) * 10 * time.Second)
		_, err := w.sync(gone(two()), short)
		require.NoError(t, err)
	}
	require.False(t, w.active("anna"))
	w.sim.RestoreState(backup)
	w.sim.SetClockOffset(time.Minute)
	rep, err := w.sync(gone(two()), short)
	require.NoError(t, err)
	require.Equal(t, state.RunPartial, rep.Status)
	require.Contains(t, strings.Join(rep.Problems, "\n"), "set back")
	require.True(t, w.active("anna"), "nothing is taken from anybody while it is not known what this server is")
	require.Equal(t, plan.ServerSetBack, rep.Plan.Decisions[0].Reason)
	_, err = w.sync(gone(two()), short)
	require.NoError(t, err)
	require.False(t, w.active("anna"), "the leaver who came back with the backup is off again")
}

func TestEngine_Sync_settlesNothingAgainstAnotherServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.sync(two(), wiring{})
	require.NoError(t, err)
	c := &crash{kind: afterRequest, at: -1}
	cut := network(func(r *http.Request) (*http.Response, error) {
		if c.dead.Load() {
			return nil, errCrash
		}
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err == nil && strings.HasSuffix(r.URL.Path, "/active") {
			c.dead.Store(true)
			_ = answer.Body.Close()
			return nil, errCrash
		}
		return answer, err
	})
	_, err = w.sync(gone(two()), wiring{network: cut, wrap: func(s state.Store) state.Store { return mortal{s, c} }})
	require.Error(t, err)
	other := newWorld(t)
	other.db = w.db
	_, err = other.sync(gone(two()), wiring{})
	require.ErrorIs(t, err, reconcile.ErrBinding)
	_, err = w.sync(gone(two()), wiring{})
	require.NoError(t, err)
	_, err = w.sync(two(), wiring{})
	require.NoError(t, err)
	require.True(t, w.active("anna"), "mmsync knows that it was mmsync that switched it off")
}

func TestEngine_Sync_closesRunsThatDiedWhileReading(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := &crash{at: 6, kind: beforeRequest}
	_, err := w.sync(two(), wiring{network: c, wrap: func(s state.Store) state.Store { return mortal{s, c} }})
	require.Error(t, err)
	_, err = w.sync(two(), wiring{})
	require.NoError(t, err)
	s := w.store()
	defer s.Close()
	runs, err := s.Runs(t.Context(), state.RunFilter{})
	require.NoError(t, err)
	require.Len(t, runs, 2)
	require.Equal(t, state.RunDone, runs[0].Status)
	require.Equal(t, state.RunInterrupted, runs[1].Status)
}

func TestEngine_Approve(t *testing.T) {
	t.Parallel()
	t.Run("an account that two people match is left to a clearer word", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.sim.AddUser(mmsim.User{Username: "anna", Email: "shared@example.test", Roles: "system_user"})
		people := []human{{ID: "1", UID: "other", Mail: "shared@example.test"}, {ID: "2", UID: "anna", Mail: "a2@example.test"}}
		s := w.store()
		defer s.Close()
		rep, err := w.engine(s, people, wiring{}).Approve(t.Context(), reconcile.RunOptions{Trigger: "test"}, nil)
		require.NoError(t, err)
		require.Len(t, rep.Problems, 1)
		require.Contains(t, rep.Problems[0], "is contested by corp/1 and corp/2: name the one it belongs to as source/anchor")
		require.Empty(t, rep.Plan.Decisions)
		for what, names := range map[string][]string{"contested by corp/1 and corp/2": {"anna"}, `no held match fits "typo"`: {"corp/2", "typo"}, "both corp/1 and corp/2": {"corp/1", "corp/2"}} {
			_, err = w.engine(s, people, wiring{}).Approve(t.Context(), reconcile.RunOptions{Trigger: "test"}, names)
			require.ErrorIs(t, err, reconcile.ErrRefused)
			require.ErrorContains(t, err, what)
		}
		require.Empty(t, w.owned())
		rep, err = w.engine(s, people, wiring{}).Approve(t.Context(), reconcile.RunOptions{Trigger: "test"}, []string{"corp/2"})
		require.NoError(t, err)
		require.Equal(t, 1, rep.Counts.Done)
		links, err := s.Links(t.Context(), state.LinkFilter{})
		require.NoError(t, err)
		require.Len(t, links, 1)
		require.Equal(t, "2", links[0].Key.Anchor)
		require.Equal(t, identity.OriginOperator, links[0].Origin)
		require.Empty(t, w.sim.Writes(), "a link changes no account")
	})
}
