package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// FormatVersion is that of the JSON documents.
const FormatVersion = "1.0"

// Options say what a Handler serves.
type Options struct {
	Health  *Health
	Metrics *Metrics
	// Page answers all other paths; nil answers 404 there.
	Page http.Handler
	// Profiles serves /debug/pprof, which shows what the program is doing.
	Profiles bool
	// Local is true if only this machine can ask. Then the Host of a request must be this
	// machine's as well: a web page that has its own name resolve to 127.0.0.1 is refused.
	Local bool
}

// New makes the handler of the admin listener.
func New(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", alive)
	mux.HandleFunc("GET /readyz", o.ready)
	mux.Handle("GET /metrics", o.Metrics.handler())
	if o.Profiles {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", http.NotFound) // it may hold what nobody should see
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	if o.Page != nil {
		mux.Handle("/", o.Page)
	}
	return o.guarded(mux)
}

// guarded refuses what a browser was led here to ask.
func (o *Options) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		switch origin := r.Header.Get("Origin"); {
		case o.Local && !localHost(r.Host):
			http.Error(w, "this listener is for this machine: ask for it as localhost or 127.0.0.1", http.StatusMisdirectedRequest)
		case origin != "" && !sameHost(origin, r.Host):
			http.Error(w, "a page of another site may not ask here", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func localHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(name, "[]")
	if strings.EqualFold(name, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.IsLoopback()
}

func sameHost(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}

func alive(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, []byte(`{"format_version":"`+FormatVersion+`","status":"ok"}`+"\n"))
}

// ready answers with one line for each part, so that grep is enough. Parts named by
// exclude are left out.
func (o *Options) ready(w http.ResponseWriter, r *http.Request) {
	leaveOut := r.URL.Query()["exclude"]
	known := o.Health.Names()
	for _, name := range leaveOut {
		if !slices.Contains(known, name) {
			http.Error(w, fmt.Sprintf("there is no part %q; the parts are: %s", name, strings.Join(known, ", ")), http.StatusBadRequest)
			return
		}
	}
	rep := o.Health.Report(leaveOut...)
	status := http.StatusOK
	if !rep.Ready {
		status = http.StatusServiceUnavailable
	}
	answer(w, status, rep.document())
}

// document is the report as JSON.
func (r Report) document() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"format_version":%q,"ready":%t,"broken":%s,"parts":[`, FormatVersion, r.Ready, line(r.Broken))
	for i, p := range r.Parts {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n  ")
		b.Write(line(p))
	}
	b.WriteString("\n]}\n")
	return b.Bytes()
}

// line is a value as JSON on one line.
func line(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // text, times and truth values always can be
	return bytes.TrimSpace(b.Bytes())
}

func answer(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // whoever asked may be gone
}
