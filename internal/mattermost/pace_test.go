package mattermost_test

import (
	"net/http"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

// pace makes calls from four sides for so long and gives when they were answered, and
// when with 429.
func pace(t *testing.T, c *mattermost.Client, s *mmsim.Server, lasts time.Duration) (answered, refused []time.Duration) {
	t.Helper()
	began := time.Now()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for time.Since(began) < lasts {
				if _, err := c.Me(t.Context()); err != nil {
					t.Errorf("after %s: %v", time.Since(began), err)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, call := range s.Calls() {
		at := call.At.Sub(began)
		if call.Status == http.StatusTooManyRequests {
			refused = append(refused, at)
		} else {
			answered = append(answered, at)
		}
	}
	return answered, refused
}

// A server that takes ten requests a second, and is asked for fifty, is served at its pace
// from the second second on, whatever it lets through at once.
func TestClient_serversOwnLimit(t *testing.T) {
	t.Parallel()
	check := func(t *testing.T, burst int, answered, refused []time.Duration, lasts time.Duration) {
		t.Helper()
		t.Logf("burst %d: %d answered in %s, refused at %v", burst, len(answered), lasts, refused)
		least := lasts.Seconds() // the server tells how full its bucket is in whole seconds, which a small one says little by
		if burst >= 10 {
			least *= 5
		}
		require.Greater(t, float64(len(answered)), least, "at half of what it takes")
	}
	for _, burst := range []int{1, 5, 10, 100} {
		t.Run("for five minutes", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := &line{sim: mmsim.New(mmsim.Options{RateLimit: &mmsim.RateLimit{PerSec: 10, MaxBurst: burst}}), calls: map[string]int{}, most: map[string]int{}, slow: 5 * time.Millisecond}
				c := client(t, "http://127.0.0.1:1", l.sim.AdminToken(), func(o *mattermost.Options) { o.HTTPTransport, o.RatePerSecond = l, 50 })
				answered, refused := pace(t, c, l.sim, 5*time.Minute)
				for _, at := range refused {
					require.Less(t, at, time.Second)
				}
				check(t, burst, answered, refused, 5*time.Minute)
			})
		})
	}
	t.Run("by the clock on the wall", func(t *testing.T) {
		t.Parallel()
		if testing.Short() {
			t.Skip("takes 8 s")
		}
		lasts := 8 * time.Second
		if os.Getenv("MMSYNC_TEST_EVERY") != "" {
			lasts = 5 * time.Minute
		}
		s := mmsim.New(mmsim.Options{RateLimit: &mmsim.RateLimit{PerSec: 10, MaxBurst: 10}})
		c := client(t, s.Start(t), s.AdminToken(), func(o *mattermost.Options) { o.RatePerSecond = 50 })
		answered, refused := pace(t, c, s, lasts)
		require.LessOrEqual(t, len(refused), len(answered)/10, "whenever a busy machine lets a side begin")
		check(t, 10, answered, refused, lasts)
	})
}
