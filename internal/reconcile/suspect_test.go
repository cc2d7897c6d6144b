package reconcile_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// A guard trips in the run, and somebody of the same class has a call on its way.
func TestEngine_SecondLook_leavesRolesToAGuardThatTripped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := many(12)
	for i := range people {
		people[i].Groups = []string{adminsGroup}
	}
	w.settle(people, wiring{})
	one := append([]human{}, people...)
	one[0].Groups = nil
	w.dies(one, "/roles")
	all := append([]human{}, people...)
	for i := range all {
		all[i].Groups = nil // the group is empty: twelve would lose the role, five may
	}
	_, err := w.sync(all, wiring{change: func(o *reconcile.Options) { o.SettleAfter = 300 * time.Millisecond }})
	require.NoError(t, err)
	n := 0
	for _, c := range w.sim.Writes() {
		if strings.HasSuffix(c.Path, "/roles") {
			n++
		}
	}
	lost := 0
	for _, p := range all {
		u, _ := w.sim.UserByName(p.UID)
		if !u.IsAdmin() {
			lost++
		}
	}
	require.Zero(t, lost, "the guard tripped: nobody of the class is written")
}

func TestEngine_Observe_comparesWhomItSuspected(t *testing.T) {
	t.Parallel()
	w, people := newWorld(t), few()
	w.rest(people, wiring{})
	node := w.sim.Node(60 * time.Second)
	other := node.Start(t)
	people[1].Title = "Chief"
	w.rest(people, wiring{})
	time.Sleep(5 * time.Millisecond)
	w.touch("bert", 0, func(u *mmsim.User) { u.Position = "Emperor" })
	w.url = other
	rep, err := w.sync(people, wiring{})
	require.NoError(t, err)
	require.Equal(t, 1, rep.Decided)
}

func TestEngine_Sync_stopsOnlyTheKindOfCallThatDoesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := many(40)
	w.settle(people, wiring{})
	newer := network(func(r *http.Request) (*http.Response, error) {
		res, err := http.DefaultTransport.RoundTrip(r)
		if err == nil && res.Header.Get("X-Version-Id") != "" {
			res.Header.Set("X-Version-Id", "11.9.0.x.y.false")
		}
		return res, err
	})
	w.sim.Fail(mmsim.Fault{Path: "/users/*/patch", LostWrite: true})
	for i := range people {
		people[i].Title = "Chief"
	}
	people = append(people, human{ID: "new", UID: "nora"})
	rep, err := w.sync(people, wiring{network: newer})
	for i, f := range rep.Failures {
		if i < 3 {
			t.Log(f)
		}
	}
	_, ok := w.sim.UserByName("nora")
	require.True(t, ok, "the creation is another class")
	require.NoError(t, err)
}

var _ = plan.Hold
