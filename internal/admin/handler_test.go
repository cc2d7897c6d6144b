package admin_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/admin"
)

// ask asks a handler as a client on this machine does.
func ask(t *testing.T, h http.Handler, method, target string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	r.Host = "127.0.0.1:9095"
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func broken(name string) admin.Probe {
	p := fine(name)
	p.Check = func(context.Context) []admin.Status {
		return []admin.Status{{Part: name, Detail: `It says "<no>"; mmsync doctor --only ` + name}}
	}
	return p
}

// looked is a Health whose parts were looked at.
func looked(t *testing.T, probes ...admin.Probe) *admin.Health {
	t.Helper()
	h := admin.NewHealth(probes)
	looking(t, h)
	require.Eventually(t, func() bool {
		for _, p := range h.Report().Parts {
			if strings.Contains(p.Detail, "not looked at yet") {
				return false
			}
		}
		return true
	}, time.Minute, 5*time.Millisecond)
	return h
}

func TestHandler(t *testing.T) {
	t.Parallel()
	m := admin.NewMetrics("1.2.3")
	well := admin.New(admin.Options{Health: looked(t, fine("store"), fine("token")), Metrics: m, Local: true})
	sick := admin.New(admin.Options{Health: looked(t, fine("store"), broken("token")), Metrics: m, Local: true})

	t.Run("alive whatever is broken", func(t *testing.T) {
		t.Parallel()
		w := ask(t, sick, http.MethodGet, "/healthz")
		require.Equal(t, http.StatusOK, w.Code)
		require.JSONEq(t, `{"format_version": "1.0", "status": "ok"}`, w.Body.String())
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	})
	t.Run("ready has one line for each part", func(t *testing.T) {
		t.Parallel()
		w := ask(t, well, http.MethodGet, "/readyz")
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		w = ask(t, sick, http.MethodGet, "/readyz")
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		var doc struct {
			Ready  bool
			Broken []string
			Parts  []map[string]any
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &doc))
		require.False(t, doc.Ready)
		require.Equal(t, []string{"token"}, doc.Broken)
		require.Len(t, doc.Parts, 2)
		lines := strings.Split(w.Body.String(), "\n")
		require.Contains(t, lines[2], `{"part":"token","ok":false,"needed":true,"since":"`)
		require.Contains(t, lines[2], `"detail":"It says \"<no>\"; mmsync doctor --only token"}`)
	})
	t.Run("a part can be left out, and one that does not exist cannot", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, http.StatusOK, ask(t, sick, http.MethodGet, "/readyz?exclude=token").Code)
		w := ask(t, sick, http.MethodGet, "/readyz?exclude=tokn")
		require.Equal(t, http.StatusBadRequest, w.Code)
		require.Contains(t, w.Body.String(), "the parts are: store, token")
	})
	t.Run("metrics say which parts are well", func(t *testing.T) {
		t.Parallel()
		own := admin.NewMetrics("1.2.3")
		h := looked(t, fine("store"), broken("token"))
		own.Watch(h)
		w := ask(t, admin.New(admin.Options{Health: h, Metrics: own, Local: true}), http.MethodGet, "/metrics")
		require.Equal(t, http.StatusOK, w.Code)
		require.Contains(t, w.Body.String(), "mmsync_part_ok{part=\"store\"} 1\nmmsync_part_ok{part=\"token\"} 0\n")
		require.Contains(t, w.Body.String(), `mmsync_build_info{version="1.2.3"} 1`)
	})
	t.Run("nothing else is answered, and nothing is written", func(t *testing.T) {
		t.Parallel()
		for _, path := range []string{"/", "/debug/pprof/", "/debug/pprof/heap", "/scim/v2/Users"} {
			require.Equal(t, http.StatusNotFound, ask(t, well, http.MethodGet, path).Code, path)
		}
		for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
			require.Equal(t, http.StatusMethodNotAllowed, ask(t, well, http.MethodPost, path).Code, path)
			require.Equal(t, http.StatusOK, ask(t, well, http.MethodHead, path).Code, path)
		}
	})
	t.Run("other paths are the page's, if there is one", func(t *testing.T) {
		t.Parallel()
		page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
		h := admin.New(admin.Options{Health: admin.NewHealth(nil), Metrics: m, Local: true, Page: page, Profiles: true})
		require.Equal(t, http.StatusTeapot, ask(t, h, http.MethodGet, "/runs/1").Code)
		require.Equal(t, http.StatusOK, ask(t, h, http.MethodGet, "/healthz").Code)
		require.Equal(t, http.StatusOK, ask(t, h, http.MethodGet, "/debug/pprof/").Code)
		require.Equal(t, http.StatusNotFound, ask(t, h, http.MethodGet, "/debug/pprof/cmdline").Code, "it may hold what nobody should see")
	})
	t.Run("a browser that was led here is refused", func(t *testing.T) {
		t.Parallel()
		host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
		for _, name := range []string{"127.0.0.1:9095", "localhost", "localhost:9095", "[::1]:9095", "127.0.0.2"} {
			require.Equal(t, http.StatusOK, ask(t, well, http.MethodGet, "/healthz", host(name)).Code, name)
		}
		for _, name := range []string{"evil.example.com", "evil.example.com:9095", "localhost.evil.example.com", "10.0.0.1:9095", ""} {
			require.Equal(t, http.StatusMisdirectedRequest, ask(t, well, http.MethodGet, "/healthz", host(name)).Code, name)
		}
		origin := func(o string) func(*http.Request) {
			return func(r *http.Request) { r.Header.Set("Origin", o) }
		}
		require.Equal(t, http.StatusOK, ask(t, well, http.MethodGet, "/readyz", origin("http://127.0.0.1:9095")).Code)
		for _, o := range []string{"https://evil.example.com", "null", "http://127.0.0.1:8080", "::"} {
			require.Equal(t, http.StatusForbidden, ask(t, well, http.MethodGet, "/readyz", origin(o)).Code, o)
		}
		open := admin.New(admin.Options{Health: admin.NewHealth(nil), Metrics: m})
		require.Equal(t, http.StatusOK, ask(t, open, http.MethodGet, "/healthz", host("mmsync.example.com:9095")).Code, "others may ask where it is meant for them")
	})
}
