package reconcile_test

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// witness notes what a Watcher is told.
type witness struct {
	mu    sync.Mutex
	said  []string
	trips []plan.Class
	log   bytes.Buffer
}

func (x *witness) note(words ...string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.said = append(x.said, strings.Join(words, " "))
}

// take empties the witness.
func (x *witness) take() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := x.said
	x.said = nil
	slices.Sort(out)
	return out
}

func (x *witness) wiring(more ...func(*reconcile.Options)) wiring {
	return wiring{change: func(o *reconcile.Options) {
		o.Logger = slog.New(slog.NewTextHandler(&x.log, nil))
		o.Watch = reconcile.Watcher{
			Ran: func(r state.Run, _ []plan.Decision, trips []guard.Trip) {
				for _, t := range trips {
					x.trips = append(x.trips, t.Class)
				}
				if r.FinishedAt.IsZero() {
					x.note("a run that has not ended")
				}
				x.note("ran", r.Kind, string(r.Status))
			},
			Changed: func(a plan.Action, s state.OpStatus) { x.note("changed", string(a), string(s)) },
			Read: func(source string, err error) {
				x.note("read", source, map[bool]string{true: "well", false: "failed"}[err == nil])
			},
		}
		for _, f := range more {
			f(o)
		}
	}}
}

func TestEngine_Watch(t *testing.T) {
	t.Parallel()
	t.Run("is told each reading, change and run once, and the log says a line for each", func(t *testing.T) {
		t.Parallel()
		w, x := newWorld(t), &witness{}
		_, err := w.sync(two(), x.wiring())
		require.NoError(t, err)
		require.Equal(t, []string{"changed create done", "changed create done", "ran sync done", "read corp well"}, x.take())
		require.Equal(t, 2, strings.Count(x.log.String(), "msg=changed"))
		require.Equal(t, 1, strings.Count(x.log.String(), `msg="run ended"`))
		for _, p := range two() {
			require.NotContains(t, x.log.String(), p.UID+"@", "no address above debug")
		}
		w.plan(two(), x.wiring())
		require.Equal(t, []string{"ran plan planned", "read corp well"}, x.take())
	})
	t.Run("is told what failed and what tripped", func(t *testing.T) {
		t.Parallel()
		w, x := newWorld(t), &witness{}
		_, err := w.sync(two(), x.wiring())
		require.NoError(t, err)
		x.take()
		people := two()
		people[0].Title, people[1].Left = "Admiral", "yes"
		w.sim.Fail(mmsim.Fault{Status: 400, Path: "/users/*/patch"})
		_, err = w.sync(people, x.wiring(func(o *reconcile.Options) { o.Limits.Deactivations = guard.Limit{} }))
		require.NoError(t, err)
		require.Equal(t, []string{"changed update failed", "ran sync withheld", "read corp well"}, x.take())
		require.Equal(t, []plan.Class{plan.Deactivations}, x.trips)
		require.Equal(t, 1, strings.Count(x.log.String(), `msg="not changed"`))
	})
	t.Run("is told a source that cannot be read", func(t *testing.T) {
		t.Parallel()
		w, x := newWorld(t), &witness{}
		_, err := w.sync(two(), x.wiring(func(o *reconcile.Options) {
			o.Sources = []reconcile.Source{unreadable{o.Sources[0]}}
		}))
		require.Error(t, err)
		require.Equal(t, []string{"ran sync failed", "read corp failed"}, x.take())
	})
	t.Run("is told a run whose process died, once, by whoever comes after it", func(t *testing.T) {
		t.Parallel()
		w, x := newWorld(t), &witness{}
		_, err := w.sync(two(), x.wiring())
		require.NoError(t, err)
		x.take()
		s := w.store()
		l, err := s.AcquireLease(t.Context(), reconcile.LeaseName, "dead", time.Minute)
		require.NoError(t, err)
		require.NoError(t, s.SaveRun(t.Context(), state.Run{ID: "20260101-000000-aaa", Kind: "sync", Status: state.RunApplying, Token: l.Token, RequestedAt: time.Now(), StartedAt: time.Now()}))
		require.NoError(t, s.ReleaseLease(t.Context(), l))
		require.NoError(t, s.Close())
		_, err = w.sync(two(), x.wiring())
		require.NoError(t, err)
		require.Equal(t, []string{"ran sync done", "ran sync interrupted", "read corp well"}, x.take())
		_, err = w.sync(two(), x.wiring())
		require.NoError(t, err)
		require.Equal(t, []string{"ran sync done", "read corp well"}, x.take())
	})
	t.Run("need not be there", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		_, err := w.sync(two(), wiring{})
		require.NoError(t, err)
	})
}
