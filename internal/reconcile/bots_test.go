package reconcile_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func TestEngine_Plan_bots(t *testing.T) {
	t.Parallel()
	asked := func(w *world) (n int) {
		for _, c := range w.sim.Calls() {
			if strings.Contains(c.Path, "/bots") {
				n++
			}
		}
		return n
	}
	begin := func(t *testing.T) (*world, []human, mmsim.User) {
		t.Helper()
		w, people := newWorld(t), two()
		w.settle(people, wiring{})
		owner, ok := w.sim.UserByName(people[0].UID)
		require.True(t, ok)
		w.sim.AddUser(mmsim.User{Username: "deploybot", IsBot: true, OwnerID: owner.ID})
		w.sim.ResetCalls()
		return w, people, owner
	}
	t.Run("those that stop with a leaver are named before, and are asked about only then", func(t *testing.T) {
		t.Parallel()
		w, people, owner := begin(t)
		require.Empty(t, w.plan(people, wiring{}).Plan.Bots)
		require.Zero(t, asked(w))
		people[0].Left = "yes"
		want := []plan.StoppingBot{{Username: "deploybot", Owner: owner.Username, OwnerID: owner.ID}}
		require.Equal(t, want, w.plan(people, wiring{}).Plan.Bots)
		require.Equal(t, 2, asked(w), "one page, and the empty one that ends it")
		rep, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.Equal(t, want, rep.Plan.Bots)
		bot, ok := w.sim.UserByName("deploybot")
		require.True(t, ok)
		require.NotZero(t, bot.BotDeleteAt, "as the plan said")
	})
	t.Run("that they cannot be read is said, and nobody keeps access by it", func(t *testing.T) {
		t.Parallel()
		w, people, owner := begin(t)
		people[0].Left = "yes"
		w.sim.Fail(mmsim.Fault{Method: "GET", Path: "/bots", Status: 403, ErrorID: "api.context.permissions.app_error"})
		rep, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.True(t, slices.ContainsFunc(rep.Plan.Warnings, func(s string) bool {
			return strings.HasPrefix(s, "which bots stop with their owner is not known: list bots")
		}))
		now, _ := w.sim.User(owner.ID)
		require.False(t, now.Active())
	})
	t.Run("a server that leaves them on is no news", func(t *testing.T) {
		t.Parallel()
		w, people, _ := begin(t)
		w.sim.Restart(map[string]string{"MM_SERVICESETTINGS_DISABLEBOTSWHENOWNERISDEACTIVATED": "false"})
		people[0].Left = "yes"
		rep := w.plan(people, wiring{})
		require.Empty(t, rep.Plan.Bots)
		require.Empty(t, rep.Plan.Warnings)
	})
}
