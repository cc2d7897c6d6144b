package e2e_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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

	p := w.start("sync")
	require.Eventually(t, func() bool { return !w.user(name).Active() }, 20*time.Second, 5*time.Millisecond)
	w.sim.SetUser(w.user(name).ID, func(u *mmsimUser) { u.DeleteAt, u.UpdateAt = 0, time.Now().UnixMilli() })
	r := p.wait().exits(0)
	require.Contains(t, r.stdout, "Looked again")
	require.False(t, w.user(name).Active(), "switched off once more by the same run")
	t.Log(r.stdout + r.stderr)

	w.mmsync("sync").exits(0)
	w.quiet()
	w.mmsync("history").exits(0)
}
