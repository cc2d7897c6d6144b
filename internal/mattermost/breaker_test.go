package mattermost_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

// line is a network whose far end is a simulated server, and that can be cut.
type line struct {
	sim *mmsim.Server

	mu    sync.Mutex
	cut   bool           // no connection
	deaf  bool           // all but the ping is answered with 502
	slow  time.Duration  // of each answer
	files time.Duration  // how long the server waits for its files when it is asked how it is
	pings []time.Time    // when the server was asked how it is
	calls map[string]int // what else was sent, by state of the line
	busy  int            // calls at the moment
	most  map[string]int // at once
	phase string
}

func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	ping := strings.HasSuffix(r.URL.Path, "/system/ping")
	if ping {
		l.pings = append(l.pings, time.Now())
	} else {
		l.calls[l.phase]++
		l.busy++
		l.most[l.phase] = max(l.most[l.phase], l.busy)
		defer func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.busy--
		}()
	}
	cut, deaf, slow, files := l.cut, l.deaf, l.slow, l.files
	l.mu.Unlock()
	time.Sleep(slow)
	if ping && files > 0 {
		select {
		case <-time.After(files):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	switch {
	case cut:
		return nil, errors.New("connection refused")
	case deaf && !ping:
		w := httptest.NewRecorder()
		w.WriteHeader(http.StatusBadGateway)
		return w.Result(), nil
	}
	w := httptest.NewRecorder()
	l.sim.ServeHTTP(w, r)
	return w.Result(), nil
}

func (l *line) set(phase string, f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.phase = phase
	f()
}

func (l *line) count(phase string) (calls, most int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls[phase], l.most[phase]
}

func (l *line) asked() []time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]time.Time(nil), l.pings...)
}

// overLine makes a client at one end of a line.
func overLine(t *testing.T, rideOut time.Duration) (*line, *mattermost.Client) {
	t.Helper()
	l := &line{sim: mmsim.New(mmsim.Options{}), calls: map[string]int{}, most: map[string]int{}, phase: "well"}
	c := client(t, "http://127.0.0.1:1", l.sim.AdminToken(), func(o *mattermost.Options) {
		o.HTTPTransport, o.RideOut, o.RetryWait = l, rideOut, 250*time.Millisecond
	})
	return l, c
}

func TestClient_Breaker(t *testing.T) {
	t.Parallel()
	t.Run("while the server is away calls wait, it is asked ever more rarely, and one call goes first when it is back", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			l, c := overLine(t, time.Hour)
			_, err := c.Me(t.Context())
			require.NoError(t, err)
			isOpen, _, _ := c.Breaker()
			require.False(t, isOpen)

			l.set("away", func() { l.cut = true })
			gone := time.Now()
			var wg sync.WaitGroup
			failed := make([]error, 8)
			for i := range failed {
				wg.Go(func() { _, failed[i] = c.Me(t.Context()) })
			}
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			isOpen, since, why := c.Breaker()
			require.True(t, isOpen)
			require.WithinDuration(t, gone, since, 5*time.Second)
			require.Contains(t, why, "connection refused")
			calls, _ := l.count("away")
			require.LessOrEqual(t, calls, 12, "what left until it was known, and nothing after")
			pings := l.asked()
			require.GreaterOrEqual(t, len(pings), 15)
			require.LessOrEqual(t, len(pings), 35)
			require.Less(t, pings[1].Sub(pings[0]), 1500*time.Millisecond)
			last := len(pings) - 1
			require.Greater(t, pings[last].Sub(pings[last-1]), 20*time.Second)
			require.LessOrEqual(t, pings[last].Sub(pings[last-1]), 40*time.Second)

			l.set("back", func() { l.cut, l.slow = false, time.Second })
			begun := len(pings)
			for len(l.asked()) == begun {
				time.Sleep(100 * time.Millisecond)
			}
			time.Sleep(1500 * time.Millisecond) // in the middle of the trial
			_, most := l.count("back")
			require.Equal(t, 1, most)
			wg.Wait()
			for _, err := range failed {
				require.NoError(t, err)
			}
			isOpen, since, why = c.Breaker()
			require.False(t, isOpen, "%s %s", since, why)
			calls, most = l.count("back")
			require.Equal(t, 8, calls)
			require.Greater(t, most, 1)
		})
	})
	t.Run("a server that waits for its files before it says how it is, is not away for it", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			l, c := overLine(t, time.Hour)
			l.set("away", func() { l.cut = true })
			done := make(chan error, 1)
			go func() {
				_, err := c.Me(t.Context())
				if err != nil {
					_, err = c.Me(t.Context())
				}
				done <- err
			}()
			time.Sleep(time.Minute)
			isOpen, _, _ := c.Breaker()
			require.True(t, isOpen)
			l.set("back", func() { l.cut, l.files = false, 30*time.Second })
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			isOpen, _, why := c.Breaker()
			require.False(t, isOpen, why)
			require.NoError(t, <-done)
		})
	})
	t.Run("a server that fails the trial is waited for again", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			l, c := overLine(t, time.Hour)
			l.set("away", func() { l.cut = true })
			done := make(chan error, 1)
			go func() {
				for t.Context().Err() == nil {
					if _, err := c.Me(t.Context()); err == nil {
						done <- nil
						return
					}
				}
			}()
			time.Sleep(20 * time.Second)
			l.set("half", func() { l.cut, l.deaf = false, true })
			time.Sleep(2 * time.Minute)
			isOpen, _, _ := c.Breaker()
			require.True(t, isOpen)
			calls, most := l.count("half")
			require.Equal(t, 1, most)
			require.Less(t, calls, 15, "one for each question, at most")
			l.set("back", func() { l.deaf = false })
			require.NoError(t, <-done)
		})
	})
	t.Run("calls that fail while the server is well keep nobody back, until it is certain", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			l, c := overLine(t, 0)
			l.set("half", func() { l.deaf = true })
			for range 3 { // of four tries each
				_, err := c.Me(t.Context())
				require.True(t, mattermost.IsTransient(err))
			}
			isOpen, _, _ := c.Breaker()
			require.False(t, isOpen)
			_, err := c.Me(t.Context())
			require.True(t, mattermost.IsTransient(err))
			isOpen, _, why := c.Breaker()
			require.True(t, isOpen)
			require.Contains(t, why, "502")
		})
	})
	t.Run("without patience a call fails at once, sends nothing, and says since when", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			l, c := overLine(t, 0)
			target := mattermost.NewTarget(c, mattermost.TargetOptions{})
			l.set("away", func() { l.cut = true })
			require.Error(t, target.Healthy(t.Context()))
			start, sent := time.Now(), len(l.asked())
			err := c.SetActive(t.Context(), someID, false)
			require.True(t, mattermost.IsTransient(err))
			require.NotErrorIs(t, err, mattermost.ErrOutcomeUnknown)
			require.ErrorContains(t, err, "Mattermost has been away since 2000-01-01 00:00:0")
			require.ErrorContains(t, err, "connection refused")
			require.Zero(t, time.Since(start))
			require.Len(t, l.asked(), sent)
			require.Error(t, target.Reachable(t.Context()))

			l.set("back", func() { l.cut = false })
			_, err = target.Facts(t.Context()) // whoever begins anew asks
			require.NoError(t, err)
			require.NoError(t, target.Reachable(t.Context()))
		})
	})
	t.Run("patience ends", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			l, c := overLine(t, time.Minute)
			target := mattermost.NewTarget(c, mattermost.TargetOptions{})
			l.set("away", func() { l.cut = true })
			start := time.Now()
			require.ErrorContains(t, target.Await(t.Context()), "has been away since")
			require.WithinRange(t, time.Now(), start.Add(time.Minute), start.Add(80*time.Second))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			require.Error(t, target.Await(ctx))
		})
	})
	t.Run("a 429 and a refusal are answers", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		s.Fail(mmsim.Fault{Path: "/users/me", Status: http.StatusForbidden, ErrorID: "api.context.mfa_required.app_error"})
		for range 20 {
			_, err := target.Client().Me(t.Context())
			require.Error(t, err)
		}
		isOpen, _, _ := target.Breaker()
		require.False(t, isOpen)
	})
}
