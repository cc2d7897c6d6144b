package admin_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/admin"
)

// looking runs a Health until the test ends.
func looking(t *testing.T, h *admin.Health) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); h.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
}

func part(t *testing.T, r admin.Report, name string) admin.Part {
	t.Helper()
	i := slices.IndexFunc(r.Parts, func(p admin.Part) bool { return p.Part == name })
	require.GreaterOrEqual(t, i, 0, name)
	return r.Parts[i]
}

func fine(name string) admin.Probe {
	return admin.Probe{
		Parts: []string{name}, Every: 2 * time.Second, Within: time.Second,
		Check: func(context.Context) []admin.Status { return []admin.Status{{Part: name, OK: true, Detail: "Well."}} },
	}
}

func TestHealth_Report(t *testing.T) {
	t.Parallel()
	t.Run("nothing is ready before it was looked at", func(t *testing.T) {
		t.Parallel()
		r := admin.NewHealth([]admin.Probe{fine("one")}).Report()
		require.False(t, r.Ready)
		require.Equal(t, []string{"one"}, r.Broken)
		require.Contains(t, r.Parts[0].Detail, "not looked at yet")
	})
	t.Run("what breaks is named, since when, and what depends on it says so", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var broken atomic.Bool
			h := admin.NewHealth([]admin.Probe{{
				Parts: []string{"store", "schema"}, Every: 2 * time.Second, Within: time.Second,
				Check: func(context.Context) []admin.Status {
					if broken.Load() {
						return []admin.Status{{Part: "store", Detail: "away"}, {Part: "schema", Detail: "not known", Because: "store"}}
					}
					return []admin.Status{{Part: "store", OK: true}, {Part: "schema", OK: true}}
				},
			}, fine("other")})
			looking(t, h)
			time.Sleep(time.Second)
			start := time.Now()
			require.True(t, h.Report().Ready)
			require.Empty(t, h.Report().Broken)
			time.Sleep(time.Minute)
			broken.Store(true)
			at := time.Now()
			time.Sleep(2 * time.Second)
			r := h.Report()
			require.False(t, r.Ready)
			require.Equal(t, []string{"store"}, r.Broken)
			require.Equal(t, "store", part(t, r, "schema").Because)
			require.WithinDuration(t, at, part(t, r, "store").Since, 2*time.Second)
			require.WithinDuration(t, start, part(t, r, "other").Since, 2*time.Second, "what is as it was keeps its time")
			require.True(t, h.Report("store", "schema").Ready, "left out")
			broken.Store(false)
			time.Sleep(2 * time.Second)
			require.True(t, h.Report().Ready)
		})
	})
	t.Run("a look that hangs is named, and the others go on", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			looks := 0
			other := fine("other")
			check := other.Check
			other.Check = func(ctx context.Context) []admin.Status { looks++; return check(ctx) }
			h := admin.NewHealth([]admin.Probe{{
				Parts: []string{"hangs", "behind"}, Every: 2 * time.Second, Within: time.Second, Hangs: "mend it",
				Check: func(context.Context) []admin.Status { // heeds nothing
					<-release
					return []admin.Status{{Part: "hangs", OK: true}, {Part: "behind", OK: true}}
				},
			}, other})
			looking(t, h)
			time.Sleep(1500 * time.Millisecond)
			r := h.Report()
			require.Equal(t, []string{"hangs"}, r.Broken)
			require.Equal(t, "It has not answered for 2s; mend it", part(t, r, "hangs").Detail)
			require.Equal(t, "hangs", part(t, r, "behind").Because)
			require.True(t, part(t, r, "other").OK)
			time.Sleep(time.Minute)
			require.Greater(t, looks, 25)
			close(release)
			synctest.Wait()
			require.True(t, h.Report().Ready)
		})
	})
	t.Run("a part that is not needed is shown, and does not count", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			h := admin.NewHealth([]admin.Probe{{
				Parts: []string{"pushes"}, Optional: []string{"pushes"}, Every: 2 * time.Second, Within: time.Second,
				Check: func(context.Context) []admin.Status { return []admin.Status{{Part: "pushes", Detail: "wait"}} },
			}})
			looking(t, h)
			synctest.Wait()
			r := h.Report()
			require.True(t, r.Ready)
			require.Equal(t, []string{"pushes"}, r.Broken)
			require.False(t, r.Parts[0].Needed)
		})
	})
}
