package daemon

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/pgtest"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

// clients is how many push at the same time.
const clients = 16

// bench is a daemon over PostgreSQL whose SCIM endpoint is called without a network.
type bench struct {
	d     *Daemon
	h     http.Handler
	token string
	sim   *mmsim.Server
}

// newBench makes one; inline is how long an answer waits for Mattermost.
func newBench(b *testing.B, inline time.Duration) *bench {
	b.Helper()
	sim := mmsim.New(mmsim.Options{})
	c, err := config.Parse(filepath.Join(b.TempDir(), "config.yaml"), fmt.Appendf(nil, `version: 1
mattermost: {url: "%s", token: "%s", rate_limit: {per_second: 10000}}
state: {url: "%s"}
sources: [{name: idp, type: scim}]
scim: {listen: "127.0.0.1:0", inline_timeout: %s, limits: {requests_per_second: 10000, burst: 10000}}
guards: {max_deactivations: {count: 100000}}
`, sim.Start(b), sim.AdminToken(), pgtest.URL(b), inline), nil)
	require.NoError(b, err)
	d, err := Open(b.Context(), c, Options{Version: "bench"})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, d.Close()) })
	_, token, err := reconcile.CreateToken(b.Context(), d.Store, reconcile.RunOptions{RequestedBy: "bench"}, reconcile.NewToken{Source: "idp", Name: "bench"})
	require.NoError(b, err)
	h, err := d.scimHandler(slog.New(slog.DiscardHandler), newQuirks(slog.New(slog.DiscardHandler), d.Metrics))
	require.NoError(b, err)
	return &bench{d, h, token, sim}
}

func (w *bench) ask(method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/scim/v2"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+w.token)
	r.Header.Set("Content-Type", "application/scim+json")
	out := httptest.NewRecorder()
	w.h.ServeHTTP(out, r)
	return out
}

func person(n int64) string {
	return fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"externalId":"x-%d","userName":"p%d@example.org","name":{"givenName":"P","familyName":"Nr %d"},"emails":[{"type":"work","primary":true,"value":"p%d@example.org"}],"active":true}`, n, n, n, n)
}

const switchOff = `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"Replace","path":"active","value":"False"}]}`

// spread has n clients do something b.N times in all, and tells how often a second.
func spread(b *testing.B, n int, do func(i int64)) (perSecond float64) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	start := time.Now()
	for range n {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				do(i)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	return float64(b.N) / time.Since(start).Seconds()
}

// BenchmarkSCIM_write: what is pushed is durable when it is answered. The floor is a
// transaction that inserts one row, of the same store in the same run.
func BenchmarkSCIM_write(b *testing.B) {
	ids := make([]string, 0, 1024)
	b.Run("POST", func(b *testing.B) {
		w := newBench(b, 0)
		rate := spread(b, clients, func(i int64) {
			if out := w.ask(http.MethodPost, "/Users", person(i)); out.Code != http.StatusCreated {
				b.Error(out.Body)
			}
		})
		w.report(b, rate)
	})
	b.Run("PATCH", func(b *testing.B) {
		w := newBench(b, 0)
		ids = ids[:0]
		for i := range int64(b.N) {
			out := w.ask(http.MethodPost, "/Users", person(i))
			ids = append(ids, out.Header().Get("Location"))
		}
		rate := spread(b, clients, func(i int64) {
			at := ids[i-1]
			if out := w.ask(http.MethodPatch, "/Users/"+at[strings.LastIndexByte(at, '/')+1:], switchOff); out.Code != http.StatusOK {
				b.Error(out.Body)
			}
		})
		w.report(b, rate)
	})
}

// report measures the floor and relates a rate to it.
func (w *bench) report(b *testing.B, rate float64) {
	b.Helper()
	floor := w.floor(b)
	b.ReportMetric(rate, "requests/s")
	b.ReportMetric(floor, "floor/s")
	b.ReportMetric(rate/floor, "of-floor")
}

// floor is how often a second the same clients have one row of their own written: the
// note of a token's use.
func (w *bench) floor(b *testing.B) float64 {
	b.Helper()
	tokens := make([]string, clients)
	for i := range tokens {
		t, _, err := reconcile.CreateToken(b.Context(), w.d.Store, reconcile.RunOptions{RequestedBy: "bench"}, reconcile.NewToken{Source: "idp", Name: "floor" + rand.Text()})
		require.NoError(b, err)
		tokens[i] = t.ID
	}
	var wg sync.WaitGroup
	var done atomic.Int64
	at := time.Now().Add(time.Hour)
	start := time.Now()
	for _, id := range tokens {
		wg.Go(func() {
			for n := 0; time.Since(start) < 2*time.Second; n++ {
				if err := w.d.Store.UseToken(b.Context(), id, "floor", at.Add(time.Duration(n)*time.Second)); err != nil {
					b.Error(err)
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(done.Load()) / time.Since(start).Seconds()
}

// BenchmarkSCIM_find: one of 100,000 by userName.
func BenchmarkSCIM_find(b *testing.B) {
	w := newBench(b, 0)
	const people = 100_000
	var next atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for i := next.Add(1); i <= people; i = next.Add(1) {
				if out := w.ask(http.MethodPost, "/Users", person(i)); out.Code != http.StatusCreated {
					b.Error(out.Body)
				}
			}
		})
	}
	wg.Wait()
	find := func(b *testing.B, i int64) {
		out := w.ask(http.MethodGet, fmt.Sprintf("/Users?filter=userName+eq+%%22P%d%%40example.org%%22", 1+i*7919%people), "")
		if !strings.Contains(out.Body.String(), `"totalResults":1`) {
			b.Error(out.Body)
		}
	}
	for _, n := range []int{clients, 4} {
		b.Run(fmt.Sprintf("%d clients", n), func(b *testing.B) {
			took := make([]time.Duration, b.N)
			rate := spread(b, n, func(i int64) {
				from := time.Now()
				find(b, i)
				took[i-1] = time.Since(from)
			})
			slices.Sort(took)
			b.ReportMetric(rate, "requests/s")
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}

// BenchmarkSCIM_leaver: from the request that switches somebody off to the call at
// Mattermost that does, and to the answer of the request, at 20 a second. The server's
// own time for what is asked before is in it.
func BenchmarkSCIM_leaver(b *testing.B) {
	w := newBench(b, 10*time.Second)
	ctx, stop := context.WithCancel(b.Context())
	served := make(chan error, 1)
	go func() { served <- w.d.Engine.ServePushes(ctx) }()
	ids := make([]string, b.N)
	for i := range ids {
		out := w.ask(http.MethodPost, "/Users", person(int64(i)))
		require.Equal(b, http.StatusCreated, out.Code, out.Body)
		at := out.Header().Get("Location")
		ids[i] = at[strings.LastIndexByte(at, '/')+1:]
	}
	w.sim.ResetCalls()
	took, began := make([]time.Duration, b.N), make([]time.Time, b.N)
	b.ResetTimer()
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() {
			from := time.Now()
			began[i] = from
			out := w.ask(http.MethodPatch, "/Users/"+id, switchOff)
			took[i] = time.Since(from)
			if out.Code != http.StatusOK || !strings.Contains(out.Body.String(), `"state":"applied"`) {
				b.Error(out.Body)
			}
		})
		time.Sleep(50 * time.Millisecond)
	}
	wg.Wait()
	b.StopTimer()
	stop()
	require.NoError(b, <-served)
	called := w.calls(b, ids, began)
	b.ReportMetric(float64(called[len(called)/2].Microseconds())/1000, "p50-ms-to-call")
	b.ReportMetric(float64(called[len(called)*99/100].Microseconds())/1000, "p99-ms-to-call")
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// calls gives, in order of length, how long it took until the server was told of each.
func (w *bench) calls(b *testing.B, ids []string, began []time.Time) []time.Duration {
	b.Helper()
	links, err := w.d.Store.Links(b.Context(), state.LinkFilter{})
	require.NoError(b, err)
	account := make(map[string]string, len(links))
	for _, k := range links {
		account[k.Key.Anchor] = k.AccountID
	}
	at := map[string]time.Time{}
	for _, c := range w.sim.Calls() {
		if c.Method == http.MethodPut && strings.HasSuffix(c.Path, "/active") {
			at[strings.Split(c.Path, "/")[4]] = c.At
		}
	}
	out := make([]time.Duration, len(ids))
	for i, id := range ids {
		when, found := at[account[id]]
		require.True(b, found)
		out[i] = when.Sub(began[i])
	}
	slices.Sort(out)
	return out
}
