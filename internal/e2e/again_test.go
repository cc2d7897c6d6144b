package e2e_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/slapdtest"
)

// What an administrator sees when somebody he let go is let in again while the
// run is still there to notice.
func TestSecondLook(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sqliteStore(), settings{file: true, again: "2s"})
	people := slapdtest.Roster(5)[2:]
	w.feed(people)
	w.mmsync("sync").exits(0)
	w.quiet()
	name := people[0].UID
	people[0].Disabled = true
	w.feed(people)

	// Only as it is read back: what is undone before is seen at once.
	id := w.user(name).ID
	var off, undone atomic.Bool
	w.sim.OnCall(func(c mmsim.Call) {
		switch {
		case !strings.Contains(c.Path, "/users/"+id):
		case c.IsWrite():
			off.Store(true)
		case off.Load() && c.Status == http.StatusOK && undone.CompareAndSwap(false, true):
			w.sim.SetUser(id, func(u *mmsim.User) { u.DeleteAt, u.UpdateAt = 0, time.Now().UnixMilli() })
		}
	})
	r := w.mmsync("sync").exits(0)
	require.True(t, undone.Load())
	require.Contains(t, r.stdout, "Looked again")
	require.False(t, w.user(name).Active(), "switched off once more by the same run")
	t.Log(r.stdout + r.stderr)

	w.mmsync("sync").exits(0)
	w.quiet()
	w.mmsync("history").exits(0)
}
