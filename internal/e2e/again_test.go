package e2e_test

import (
	"slices"
	"strings"
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

	p := w.start("sync")
	// Only once it was read back: what is undone before is seen at once.
	off := "/users/" + w.user(name).ID
	require.Eventually(t, func() bool {
		calls := w.sim.Calls()
		at := slices.IndexFunc(calls, func(c mmsim.Call) bool { return c.IsWrite() && strings.Contains(c.Path, off) })
		return at >= 0 && slices.ContainsFunc(calls[at+1:], func(c mmsim.Call) bool { return c.Status == 200 && strings.HasSuffix(c.Path, off) })
	}, 20*time.Second, 5*time.Millisecond)
	w.sim.SetUser(w.user(name).ID, func(u *mmsim.User) { u.DeleteAt, u.UpdateAt = 0, time.Now().UnixMilli() })
	r := p.wait().exits(0)
	require.Contains(t, r.stdout, "Looked again")
	require.False(t, w.user(name).Active(), "switched off once more by the same run")
	t.Log(r.stdout + r.stderr)

	w.mmsync("sync").exits(0)
	w.quiet()
	w.mmsync("history").exits(0)
}
