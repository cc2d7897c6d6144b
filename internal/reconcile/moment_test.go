package reconcile_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

func TestEngine_duplicateLeaverWithoutAccountIsNobody(t *testing.T) {
	t.Parallel()
	w, people := newWorld(t), few()
	w.settle(people, wiring{})
	left := human{ID: "9", UID: "zoe", Left: "yes"}
	rep, err := w.sync(append(people, left, left), wiring{})
	require.NoError(t, err)
	require.Empty(t, rep.Plan.Decisions)
}

func TestEngine_SetBack_isNotAMoment(t *testing.T) {
	t.Parallel()
	w, people := newWorld(t), few()
	w.rest(people, wiring{})
	people[1].Title = "Chief"
	_, err := w.sync(people, wiring{})
	require.NoError(t, err)
	u, _ := w.sim.UserByName("bert")
	w.sim.SetUser(u.ID, func(u *mmsim.User) { u.Position = ""; u.UpdateAt -= 2 }) // his own save, stamped 2 ms earlier, written later
	people[2].Left = "yes"
	_, err = w.sync(people, wiring{})
	require.NoError(t, err)
	require.False(t, w.active("cora"), "somebody else's lost write keeps no leaver in")
}

func TestEngine_SecondLook_isNotDoneByARunThatFailed(t *testing.T) {
	t.Parallel()
	w, people := newWorld(t), few()
	w.settle(people, wiring{})
	people[1].Left = "yes"
	waits := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-waits
		time.Sleep(50 * time.Millisecond)
		ctx, cancel := context.WithCancel(t.Context())
		s := w.store()
		defer s.Close()
		e := w.engine(s, people, wiring{change: func(o *reconcile.Options) {
			o.TargetURL = w.url
			o.Progress = func(p reconcile.Progress) {
				if strings.HasPrefix(p.Stage, "reading") {
					cancel() // Ctrl-C before anything is decided
				}
			}
		}})
		_, _ = e.Sync(ctx, reconcile.RunOptions{Trigger: "test"}) // stopped, as it should be
	}()
	once := false
	rep, err := w.sync(people, wiring{change: func(o *reconcile.Options) {
		o.LookAgain = 600 * time.Millisecond
		o.Progress = func(p reconcile.Progress) {
			if strings.HasPrefix(p.Stage, "waiting") && !once {
				once = true
				close(waits)
				// what the server loses meanwhile
				u, _ := w.sim.UserByName("bert")
				w.sim.SetUser(u.ID, func(u *mmsim.User) { u.DeleteAt = 0; u.UpdateAt = time.Now().UnixMilli() })
			}
		}
	}})
	<-done
	require.NoError(t, err)
	require.False(t, w.active("bert") && rep.Status == state.RunDone, "done is said, and the leaver is on")
}
