package reconcile_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// newcomers are people with anchors from the given one on.
func newcomers(from, n int) []human {
	var out []human
	for i := from; i < from+n; i++ {
		out = append(out, human{ID: fmt.Sprintf("%04d", i), UID: fmt.Sprintf("p%04d", i)})
	}
	return out
}

// What the server says of one person says nothing about those behind.
func TestRefusals(t *testing.T) {
	t.Parallel()
	t.Run("thirty whose names are those of groups do not keep the next from an account", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		people := newcomers(1, 30)
		var names []string
		for _, p := range people {
			names = append(names, p.UID)
		}
		w.sim.SetGroupNames(names...)
		rep, err := w.sync(append(people, human{ID: "9999", UID: "zoe"}), wiring{})
		require.NoError(t, err)
		require.True(t, w.active("zoe"))
		require.Equal(t, state.RunPartial, rep.Status)
		require.Equal(t, 30, rep.Counts.Failed)
		require.Contains(t, rep.Failures[0].Error, "the name of a group in Mattermost")
	})
	t.Run("people outside the server's domains are held, not tried", func(t *testing.T) {
		t.Parallel()
		w := newWorldOf(t, mmsim.Options{Settings: map[string]string{"MM_TEAMSETTINGS_RESTRICTCREATIONTODOMAINS": "@example.test, example.org"}})
		people := append(newcomers(1, 30), human{ID: "9998", UID: "yve", Service: "saml", Login: "yve"}, human{ID: "9999", UID: "zoe"})
		for i := range people[:31] {
			people[i].Mail = people[i].UID + "@contractor.test"
		}
		_, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.True(t, w.active("yve"))
		require.True(t, w.active("zoe"))
		w.sim.ResetCalls()
		rep, err := w.sync(people, wiring{})
		require.NoError(t, err)
		require.Empty(t, w.sim.Writes())
		require.Equal(t, plan.ServerDomain, decisionOn(t, rep, "0001").Reason)
		w.sim.Restart(map[string]string{"MM_TEAMSETTINGS_RESTRICTCREATIONTODOMAINS": ""})
		rep, err = w.sync(people, wiring{})
		require.NoError(t, err)
		require.Equal(t, 30, rep.Counts.Done)
	})
	t.Run("the same refusal that nobody foresaw for everybody ends the run", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.sim.Fail(mmsim.Fault{Method: http.MethodPost, Path: "/users", Status: http.StatusBadRequest, ErrorID: "app.new.rule.app_error"})
		rep, err := w.sync(newcomers(1, 60), wiring{})
		require.ErrorContains(t, err, "calls in a row failed")
		require.Less(t, rep.Counts.Failed, 40)
	})
	t.Run("a mapping that nobody's account can be made by ends it in the end", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.sim.Fail(mmsim.Fault{Method: http.MethodPost, Path: "/users", Status: http.StatusBadRequest, ErrorID: "model.user.is_valid.username.app_error"})
		rep, err := w.sync(newcomers(1, 400), wiring{})
		require.ErrorContains(t, err, "250 calls in a row failed")
		require.Less(t, rep.Counts.Failed, 300)
	})
	t.Run("refusals that are each another's do not", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		for i := range 30 {
			w.sim.Fail(mmsim.Fault{
				Method: http.MethodPost, Path: "/users", Count: 1, Status: http.StatusBadRequest, ErrorID: fmt.Sprintf("app.rule%d.app_error", i),
			})
		}
		rep, err := w.sync(newcomers(1, 40), wiring{})
		require.NoError(t, err)
		require.Equal(t, 30, rep.Counts.Failed)
		require.Equal(t, 10, rep.Counts.Done)
	})
	t.Run("a full server ends it, and so does one that fails to store anything", func(t *testing.T) {
		t.Parallel()
		for status, id := range map[int]string{
			http.StatusBadRequest: "api.user.create_user.user_limits.exceeded", http.StatusInternalServerError: "app.user.save.app_error",
		} {
			w := newWorld(t)
			w.sim.Fail(mmsim.Fault{Method: http.MethodPost, Path: "/users", Status: status, ErrorID: id})
			_, err := w.sync(newcomers(1, 60), wiring{})
			require.ErrorContains(t, err, "calls in a row failed", id)
		}
	})
}

// proxied is a network with a proxy whose clock, by which it writes the Date, is that
// much ahead of the server's.
type proxied time.Duration

func (p proxied) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		resp.Header.Set("Date", time.Now().Add(time.Duration(p)).UTC().Format(http.TimeFormat))
	}
	return resp, err
}

func TestLostAnswers_proxyWithAClockAhead(t *testing.T) {
	t.Parallel()
	w, people := newWorld(t), few()
	with := wiring{network: proxied(20 * time.Second)}
	w.settle(people, with)
	people[0].Left = "yes"
	people = append(people, human{ID: "9", UID: "ina", Service: "saml", Login: "ina"})
	w.sim.Fail(mmsim.Fault{Method: http.MethodPut, Path: "/users/*/active", Count: 1, CutAfter: true})
	w.sim.Fail(mmsim.Fault{Method: http.MethodPost, Path: "/users", Count: 1, CutAfter: true})
	w.sim.ResetCalls()
	rep, err := w.sync(people, with)
	require.NoError(t, err)
	require.Zero(t, rep.Counts.Failed, "%v", rep.Failures)
	require.Len(t, w.sim.Writes(), 2)
	off, _ := w.sim.UserByName("anna")
	require.Equal(t, off.DeleteAt, w.links()["1"].DeactivatedAt, "it was mmsync's call")
	require.NotEmpty(t, w.links()["9"].AccountID)
	w.settle(few(), with)
	require.True(t, w.active("anna"))
}
