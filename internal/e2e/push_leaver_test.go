package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/slapdtest"
)

// It measures what comes before somebody, so that nothing of this package runs beside it.
func TestPush_LeaverFirst(t *testing.T) { //nolint:paralleltest // see above
	// first is how many changes of others may come before somebody who leaves is off: what
	// is made meanwhile on a busy machine, and far less than what there is to do.
	const first = 500
	leave := func(t *testing.T, w *world, idp *provider, id string, n int) {
		t.Helper()
		began, before := time.Now(), len(w.sim.Writes())
		idp.patch(id, object{"active": false})
		within(t, 5*time.Second, "he is off", func() bool { return !w.user(fmt.Sprintf("p%04d", n)).Active() })
		off := w.user(fmt.Sprintf("p%04d", n)).ID + "/active"
		at := slices.IndexFunc(w.sim.Writes()[before:], func(c mmsim.Call) bool { return strings.HasSuffix(c.Path, off) })
		t.Logf("off after %s and %d changes of others", time.Since(began).Round(time.Millisecond), at)
		require.Less(t, at, first)
	}
	for _, st := range stores() { //nolint:paralleltest // see above
		t.Run(st.name+"/who leaves is off at once while a run changes thousands", func(t *testing.T) {
			people := many(3000, 6000)
			w := newWorld(t, st, settings{scim: []string{"idp"}, file: true, limits: "  max_updates: {count: 100000}\n  max_creates: {count: 100000}\n"})
			w.feed(slapdtest.Roster(people))
			idp := w.provider("idp").to(w.serve())
			db := w.observed()
			ids := []string{idp.create(0), idp.create(1), idp.create(2)}
			w.calm(db, 10*time.Second)
			w.sim.ResetCalls()
			reached := make(chan struct{}, people)
			w.sim.OnCall(func(c mmsim.Call) {
				if creation(c) {
					reached <- struct{}{}
				}
			})
			run := w.start("sync", "-q", "--wait-lock", "60s")
			for i, id := range ids { // near its beginning, and later
				for range people / 30 * (i + 1) {
					select {
					case <-reached:
					case <-time.After(60 * time.Second):
						require.Fail(t, "the run does not go on", run.stderr.String())
					}
				}
				leave(t, w, idp, id, i)
			}
			w.sim.OnCall(nil)
			require.Less(t, len(w.sim.Writes()), people, "the run was over before")
			run.kill() // the rest of it proves nothing more
			run.wait()
		})
		t.Run(st.name+"/who leaves is off at once while thousands of pushes wait", func(t *testing.T) {
			people := many(1000, 6000)
			w := newWorld(t, st, settings{scim: []string{"idp"}, inline: "0s", limits: "  max_updates: {count: 100000}\n  max_creates: {count: 100000}\n"})
			idp := w.provider("idp").to(w.serve())
			first := idp.create(0)
			w.calm(w.observed(), 10*time.Second)
			// A slow server: what is pushed piles up.
			slow := w.sim.Fail(mmsim.Fault{Method: http.MethodPost, Path: "/users", Latency: time.Second})
			defer slow()
			side(people, 16, func(n int) { idp.create(n + 1) })
			db := w.observed()
			waiting, _, err := db.CountDue(t.Context())
			require.NoError(t, err)
			t.Logf("%d wait", waiting)
			require.Greater(t, waiting, people/4)
			leave(t, w, idp, first, 0)
			w.mmsync("link", "approve", "--all", "-q").exits(0) // whatever waits, a command has its turn
			for _, u := range w.pushed(people / 2) {
				if u != nil && u.Active() {
					n := 0
					_, err := fmt.Sscanf(u.Username, "p%04d", &n)
					require.NoError(t, err)
					leave(t, w, idp, idp.find(n), n)
					break
				}
			}
		})
	}
}
