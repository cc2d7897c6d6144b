package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/slapdtest"
)

// MMSYNC_TEST_429=5m is the whole of it.
func TestServersLimit(t *testing.T) {
	t.Parallel()
	slapdtest.Require(t)
	length := 15 * time.Second
	if text := os.Getenv("MMSYNC_TEST_429"); text != "" {
		var err error
		length, err = time.ParseDuration(text)
		require.NoError(t, err)
	}
	for _, c := range []struct {
		name     string
		store    store
		services int
	}{
		{"a service that runs, is pushed to, looks, tells and shows", sqliteStore(), 1},
		{"three of them", postgresStore(), 3},
	} {
		t.Run(c.name+" never go over a server's ten a second, and all is done", func(t *testing.T) {
			t.Parallel()
			const people = 48
			dir := slapdtest.Start(t, slapdtest.Options{Users: people})
			w := newWorld(t, c.store, settings{
				ldap: dir.URL, scim: []string{"idp"}, guards: "{count: 100000, percent: 100}",
				server: mmsim.Options{RateLimit: &mmsim.RateLimit{PerSec: 10, MaxBurst: 10}},
				limits: "  max_updates: {count: 1000000}\n  max_creates: {count: 1000000}\n",
				sections: "admin: {listen: \"127.0.0.1:0\"}\nschedule: {runs: [{name: often, every: 5s}]}\n" +
					"notices: {sinks: [{name: ops, type: mattermost, channel: ops/identity}]}\n",
			})
			w.channel("ops", "identity")
			w.knowForeign()                                                                                       // whoever made the channel was changed by it
			w.mmsync("token", "create", "--source", "idp", "--name", "ending", "--expires", "24h", "-q").exits(0) // which is told
			time.Sleep(time.Second)                                                                               // the server's bucket is full again
			w.sim.ResetCalls()
			began := time.Now()
			f := &fleet{w: w, down: make([]bool, c.services)}
			for range c.services {
				f.services = append(f.services, w.serve())
			}
			listening := time.Now()
			push := &crowd{f: f, p: w.provider("idp"), wishes: make([]wish, people)}
			ctx, end := context.WithTimeout(t.Context(), length)
			defer end()
			var work sync.WaitGroup
			var fault error
			work.Go(func() { fault = push.push(ctx, 3) })
			roster, titles := slapdtest.Roster(people), map[string]string{}
			for i := 0; ctx.Err() == nil; i++ {
				if p := roster[i%people]; !p.Disabled {
					titles[p.UID] = fmt.Sprintf("Keeper %d", i)
					dir.Modify(p.DN, "title", titles[p.UID])
				}
				for _, s := range f.services {
					s.requirePage()
				}
				time.Sleep(time.Second)
			}
			work.Wait()
			require.NoError(t, fault)
			w.calm(w.observed(), time.Minute)
			within(t, time.Minute, "what stands in the directory is at the server", func() bool {
				for uid, title := range titles {
					if u, ok := w.sim.UserByName(uid); !ok || u.Position != title {
						return false
					}
				}
				return true
			})
			within(t, time.Minute, "the channel is told", func() bool {
				return slices.ContainsFunc(w.sim.Calls(), func(c mmsim.Call) bool { return c.Path == "/api/v4/posts" && c.Status == http.StatusCreated })
			})
			for _, s := range f.services {
				s.end()
			}
			push.requireDone(t, w)
			w.requirePaced(began, listening, 10)
		})
	}
}

// requirePaced fails unless the server refused next to nothing from two seconds after all
// were listening on, and tells how often it was called.
func (w *world) requirePaced(began, listening time.Time, perSecond int) {
	w.t.Helper()
	calls := w.sim.Calls()
	most, looks, late := 0, 0, 0
	var refused []time.Duration
	for i, c := range calls {
		from := c.At.Sub(began)
		if c.Status == http.StatusTooManyRequests {
			refused = append(refused, from.Round(time.Millisecond))
			if c.At.Sub(listening) > 2*time.Second {
				late++
			}
		}
		if strings.HasSuffix(c.Path, "/system/ping") || strings.HasSuffix(c.Path, "/users/me") {
			looks++
		}
		first, _ := slices.BinarySearchFunc(calls[:i], c.At.Add(-time.Second), func(c mmsim.Call, at time.Time) int { return c.At.Compare(at) })
		most = max(most, i+1-first)
	}
	lasted := calls[len(calls)-1].At.Sub(began)
	w.t.Logf("%d calls in %s, %.1f a second, %d within one second at the most; %d asked how the server is; refused at %v",
		len(calls), lasted.Round(time.Second), float64(len(calls))/lasted.Seconds(), most, looks, refused)
	require.LessOrEqual(w.t, late, 3, "calls refused once all had begun: %v", refused)
	require.LessOrEqual(w.t, float64(len(calls)), float64(perSecond)*(lasted.Seconds()+1))
}

// channel makes a team with a channel in it.
func (w *world) channel(team, name string) {
	w.t.Helper()
	made := func(path string, body object) string {
		text, err := json.Marshal(body)
		require.NoError(w.t, err)
		r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.sim.URL()+"/api/v4"+path, strings.NewReader(string(text)))
		require.NoError(w.t, err)
		r.Header.Set("Authorization", "Bearer "+w.sim.AdminToken())
		resp, err := http.DefaultClient.Do(r)
		require.NoError(w.t, err)
		defer resp.Body.Close()
		require.Equal(w.t, http.StatusCreated, resp.StatusCode, path)
		var b struct{ ID string }
		require.NoError(w.t, json.NewDecoder(resp.Body).Decode(&b))
		return b.ID
	}
	id := made("/teams", object{"name": team, "display_name": team, "type": "O"})
	made("/channels", object{"team_id": id, "name": name, "display_name": name, "type": "P"})
}
