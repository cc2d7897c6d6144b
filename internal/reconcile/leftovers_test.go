package reconcile_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// begun does something as soon as a run is journaled.
type begun struct {
	state.Store
	then func()
}

func (b begun) BeginRun(ctx context.Context, l state.Lease, r state.Run, p plan.Plan, s state.SightingChanges) error {
	err := b.Store.BeginRun(ctx, l, r, p, s)
	b.then()
	return err
}

func (w *world) leftovers(query string) reconcile.LeftBehind {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	left, err := w.engine(s, few(), wiring{}).Leftovers(w.t.Context(), query, false)
	require.NoError(w.t, err)
	return left
}

func (w *world) disable(query string, expect int, with wiring) (reconcile.Report, error) {
	w.t.Helper()
	s := w.store()
	defer s.Close()
	rep, _, err := w.engine(s, few(), with).DisableLeftovers(w.t.Context(), operator, query, expect)
	return rep, err
}

func (w *world) tokenWorks(token string) bool {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.url+"/api/v4/users/me", http.NoBody)
	require.NoError(w.t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(w.t, err)
	require.NoError(w.t, resp.Body.Close())
	return resp.StatusCode == http.StatusOK
}

// left is a world in which Anna was switched off and has a token and a bot, which is
// enabled.
func left(t *testing.T, o mmsim.Options) (w *world, id, token, bot string) {
	w = newWorldOf(t, o)
	w.rest(few(), wiring{})
	u, there := w.sim.UserByName("anna")
	require.True(t, there)
	token = w.sim.AddToken(u.ID)
	require.True(t, w.tokenWorks(token))
	_, err := w.off("anna", wiring{})
	require.NoError(t, err)
	bot = w.sim.AddUser(mmsim.User{Username: "deploybot", IsBot: true, OwnerID: u.ID}).ID
	w.sim.ResetCalls()
	return w, u.ID, token, bot
}

func TestEngine_Leftovers(t *testing.T) {
	t.Parallel()
	for name, profile := range map[string]mmsim.Profile{"11.6": mmsim.Profile116, "5.38": mmsim.Profile538} {
		t.Run("a token that was disabled stays dead when its owner comes back, "+name, func(t *testing.T) {
			t.Parallel()
			w, id, token, bot := left(t, mmsim.Options{Profile: profile})
			found := w.leftovers("")
			require.Equal(t, 1, found.Looked)
			require.Len(t, found.People, 1)
			require.Equal(t, 2, found.Disabling())
			require.True(t, found.Gaps(), "the server answers 404 about webhooks")
			require.Empty(t, w.sim.Writes())

			_, err := w.disable("", 1, wiring{})
			var count *reconcile.CountMismatchError
			require.ErrorAs(t, err, &count)
			require.Equal(t, 2, count.Things)
			require.Empty(t, w.sim.Writes())

			rep, err := w.disable("", 2, wiring{})
			require.NoError(t, err)
			require.Equal(t, state.RunDone, rep.Status)
			require.Equal(t, 2, rep.Counts.Done)
			require.Equal(t, plan.LeftBehind, decisionOn(t, rep, "1").Reason)
			require.Len(t, w.sim.Writes(), 2)
			require.Empty(t, w.leftovers("anna").People)
			w.sim.SetUser(id, func(u *mmsim.User) { u.DeleteAt = 0 })
			require.False(t, w.tokenWorks(token))
			u, _ := w.sim.User(bot)
			require.False(t, u.Active())
		})
	}
	t.Run("nothing is taken from somebody who came back since the plan", func(t *testing.T) {
		t.Parallel()
		w, id, token, _ := left(t, mmsim.Options{})
		rep, err := w.disable("anna", -1, wiring{wrap: func(s state.Store) state.Store {
			return begun{s, func() {
				w.sim.SetUser(id, func(u *mmsim.User) { u.DeleteAt, u.UpdateAt = 0, time.Now().UnixMilli() })
			}}
		}})
		require.NoError(t, err)
		require.Equal(t, state.RunPartial, rep.Status)
		require.Equal(t, 2, rep.Counts.Skipped)
		require.Empty(t, w.sim.Writes())
		require.True(t, w.tokenWorks(token))
	})
	t.Run("a call without an answer is closed by the next run, and what it left is done by another", func(t *testing.T) {
		t.Parallel()
		w, _, _, _ := left(t, mmsim.Options{})
		w.sim.Fail(mmsim.Fault{Method: http.MethodPost, Path: "/users/tokens/disable", CutAfter: true})
		rep, err := w.disable("anna", -1, wiring{})
		require.NoError(t, err)
		require.Equal(t, state.RunPartial, rep.Status)
		require.Equal(t, 1, rep.Counts.Failed)
		s := w.store()
		open, err := s.Ops(t.Context(), state.OpFilter{Run: rep.RunID, Statuses: []state.OpStatus{state.OpSent}})
		require.NoError(t, err)
		require.Len(t, open, 1, "it may have been done")
		require.NoError(t, s.Close())
		require.Equal(t, 1, w.leftovers("anna").Disabling(), "it was done; the bot was not come to")

		again, err := w.disable("anna", 1, wiring{})
		require.NoError(t, err)
		require.Equal(t, state.RunDone, again.Status)
		s = w.store()
		defer s.Close()
		ops, err := s.Ops(t.Context(), state.OpFilter{Run: rep.RunID})
		require.NoError(t, err)
		require.Len(t, ops, 2)
		require.Equal(t, state.OpDropped, ops[0].Status)
		require.Contains(t, ops[0].Error, "mmsync leftovers does")
		require.Zero(t, w.leftovers("anna").Disabling())
	})
	t.Run("somebody who is not off has left nothing", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.rest(few(), wiring{})
		w.sim.ResetCalls()
		_, err := w.disable("anna", -1, wiring{})
		require.ErrorIs(t, err, reconcile.ErrRefused)
		require.ErrorContains(t, err, "is not off")
		require.Zero(t, w.leftovers("").Looked)
		rep, err := w.disable("", 0, wiring{})
		require.NoError(t, err)
		require.Equal(t, state.RunDone, rep.Status)
		require.Empty(t, w.sim.Writes())
	})
}

func TestEngine_Working(t *testing.T) {
	t.Parallel()
	w, id, _, bot := left(t, mmsim.Options{})
	working := func(with wiring) ([]reconcile.Leaver, bool) {
		s := w.store()
		defer s.Close()
		list, whole, err := w.engine(s, few(), with).Working(t.Context())
		require.NoError(t, err)
		return list, whole
	}
	list, whole := working(wiring{})
	require.False(t, whole, "the server does not list webhooks")
	require.Len(t, list, 1)
	require.Equal(t, id, list[0].Account.ID)
	require.Len(t, list[0].Things, 1, "the token is dead")
	require.Equal(t, bot, list[0].Things[0].ID)
	for _, c := range w.sim.Calls() {
		require.NotContains(t, c.Path, "/tokens")
	}
	list, _ = working(wiring{change: func(o *reconcile.Options) { o.Protect = []string{"deploy*"} }})
	require.Empty(t, list)
	w.sim.SetUser(bot, func(u *mmsim.User) { u.DeleteAt, u.BotDeleteAt = 1, 1 })
	list, _ = working(wiring{})
	require.Empty(t, list)
}
