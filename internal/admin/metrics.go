package admin

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Metrics counts what a process does, and keeps what was last read of the store. Its
// methods may be called from any goroutine.
type Metrics struct {
	registry *prometheus.Registry
	health   healthCollector
	shown    certificateCollector

	runs, changes, trips, reads     *prometheus.CounterVec
	requests, quirks, asked         *prometheus.CounterVec
	runTime, requestTime, askedTime *prometheus.HistogramVec
	planned, lastSuccess, held      *prometheus.GaugeVec
	links                           *prometheus.GaugeVec
	queueDepth, leading             prometheus.Gauge

	mu     sync.Mutex
	oldest time.Time // of those who wait; zero if nobody does
}

const namespace = "mmsync"

// NewMetrics makes an empty registry. Version is that of the program.
func NewMetrics(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.counters()
	m.gauges(version)
	m.begin()
	m.registry.MustRegister(&m.health, &m.shown, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *Metrics) counters() {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
		m.registry.MustRegister(h)
		return h
	}
	m.runs = counter("runs_total", "Runs of this process that ended, by kind and result.", "kind", "result")
	m.changes = counter("changes_total", "Changes that this process tried, by the action they are part of and their result.", "action", "result")
	m.trips = counter("guard_trips_total", "Limits that plans of this process went over.", "guard")
	m.reads = counter("source_reads_total", "Readings of sources by this process.", "source", "result")
	m.requests = counter("scim_requests_total", "Requests to the SCIM listener, by method and class of status.", "method", "class")
	m.quirks = counter("scim_quirks_total", "Requests that deviated from the RFCs and were put up with.", "source", "quirk")
	m.asked = counter("mattermost_requests_total", "Requests to Mattermost, by what they are for and class of status.", "kind", "class")
	m.runTime = histogram("run_duration_seconds", "How long runs took that ended.", []float64{.1, .5, 1, 5, 10, 30, 60, 300, 900, 3600}, "kind")
	m.requestTime = histogram("scim_request_duration_seconds", "How long answers of the SCIM listener took.", []float64{.005, .01, .025, .05, .1, .25, .5, 1, 3, 10, 30}, "method")
	m.askedTime = histogram("mattermost_request_duration_seconds", "How long Mattermost took to answer.", []float64{.005, .01, .025, .05, .1, .25, .5, 1, 3, 10, 30, 45}, "kind")
}

// begin gives what is alerted on a value of 0: the first of something would not show as
// an increase otherwise.
func (m *Metrics) begin() {
	for _, kind := range []string{"sync", "push"} {
		for _, s := range []state.RunStatus{state.RunDone, state.RunPartial, state.RunWithheld, state.RunFailed, state.RunInterrupted} {
			m.runs.WithLabelValues(kind, string(s))
		}
	}
	for _, a := range plan.Actions() {
		if a == plan.Hold || a == plan.NoOp {
			continue
		}
		for _, s := range []state.OpStatus{state.OpDone, state.OpFailed, state.OpSkipped, state.OpSent} {
			m.changes.WithLabelValues(string(a), result(s))
		}
	}
}

// result is how the outcome of a change is called.
func result(s state.OpStatus) string {
	if s == state.OpSent {
		return "unknown"
	}
	return string(s)
}

func (m *Metrics) gauges(version string) {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
		m.registry.MustRegister(g)
		return g
	}
	m.planned = gauge("plan_actions", "People by what the last whole plan decided about them.", "action")
	m.lastSuccess = gauge("last_success_timestamp_seconds", "When the last run began that read this source completely and ended well.", "source")
	m.links = gauge("links", "Accounts that belong to people of a source.", "source")
	m.held = gauge("held", "People of whom something is held since the last whole plan.", "reason")
	m.queueDepth = gauge("queue_depth", "People who were pushed and are to be worked on.").WithLabelValues()
	m.leading = gauge("leader", "1 while this process has the lease, and so the right to write.").WithLabelValues()
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace, Name: "queue_oldest_seconds", Help: "How long the one has been waiting who was pushed first of those who are to be worked on.",
	}, m.waited))
	gauge("build_info", "The version that runs; the value is always 1.", "version").WithLabelValues(version).Set(1)
}

func (m *Metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Gatherer gives what is counted.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Watch shows each part of h in mmsync_part_ok.
func (m *Metrics) Watch(h *Health) { m.health.use(h) }

// whole tells the runs that read all sources and decide about everybody.
func whole(r state.Run) bool { return r.Kind == "sync" && !strings.Contains(r.Options, `"part":true`) }

// Ran counts a run that ended, with the classes of the limits it went over.
func (m *Metrics) Ran(r state.Run, decisions []plan.Decision, tripped []plan.Class) {
	kind := among(r.Kind, "plan", "sync", "push")
	m.runs.WithLabelValues(kind, string(r.Status)).Inc()
	if !r.StartedAt.IsZero() && r.FinishedAt.After(r.StartedAt) {
		m.runTime.WithLabelValues(kind).Observe(r.FinishedAt.Sub(r.StartedAt).Seconds())
	}
	if r.Kind != "plan" { // a plan is asked for, and changes nothing
		for _, c := range tripped {
			m.trips.WithLabelValues(string(c)).Inc()
		}
	}
	if whole(r) && (r.Status == state.RunDone || r.Status == state.RunPartial || r.Status == state.RunWithheld) {
		m.Planned(r, decisions)
	}
}

// Planned shows what a run decided.
func (m *Metrics) Planned(r state.Run, decisions []plan.Decision) {
	for _, a := range plan.Actions() {
		if a == plan.Delete { // no plan for everybody does that
			continue
		}
		n := r.Counts.Planned[a]
		if a == plan.NoOp {
			n = r.Counts.Unchanged
		}
		m.planned.WithLabelValues(string(a)).Set(float64(n))
	}
	held := map[plan.Reason]int{}
	for i := range decisions {
		if decisions[i].Action == plan.Hold {
			held[decisions[i].Reason]++
		}
	}
	m.held.Reset()
	for reason, n := range held {
		m.held.WithLabelValues(string(reason)).Set(float64(n))
	}
}

// Changed counts an op that was closed, or sent and not answered.
func (m *Metrics) Changed(a plan.Action, s state.OpStatus) {
	m.changes.WithLabelValues(string(a), result(s)).Inc()
}

// Read counts a reading of a source.
func (m *Metrics) Read(source string, err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.reads.WithLabelValues(source, result).Inc()
}

// Quirk counts a deviation that was put up with.
func (m *Metrics) Quirk(source, name string) { m.quirks.WithLabelValues(source, name).Inc() }

// Asked counts a request to Mattermost; status 0 is no answer.
func (m *Metrics) Asked(write bool, status int, took time.Duration) {
	kind := "read"
	if write {
		kind = "write"
	}
	m.asked.WithLabelValues(kind, class(status)).Inc()
	m.askedTime.WithLabelValues(kind).Observe(took.Seconds())
}

// LastSuccess shows when a source last had a run that ended well.
func (m *Metrics) LastSuccess(source string, at time.Time) {
	m.lastSuccess.WithLabelValues(source).Set(float64(at.UnixMilli()) / 1000)
}

// Links shows how many accounts belong to people of a source.
func (m *Metrics) Links(source string, n int) { m.links.WithLabelValues(source).Set(float64(n)) }

// Queue shows how many wait, and since when by this process's clock.
func (m *Metrics) Queue(n int, oldest time.Time) {
	m.queueDepth.Set(float64(n))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.oldest = oldest
}

func (m *Metrics) waited() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.oldest.IsZero() {
		return 0
	}
	return max(0, time.Since(m.oldest).Seconds())
}

// Leading shows whether this process has the lease.
func (m *Metrics) Leading(does bool) {
	m.leading.Set(0)
	if does {
		m.leading.Set(1)
	}
}

// Requests counts what next answers.
func (m *Metrics) Requests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			method := among(r.Method, http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete)
			m.requests.WithLabelValues(method, class(seen.status)).Inc()
			m.requestTime.WithLabelValues(method).Observe(time.Since(start).Seconds())
		}()
		next.ServeHTTP(seen, r)
	})
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter

	status int
}

func (s *statusWriter) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the writer below.
func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// among keeps a label within a closed set.
func among(word string, set ...string) string {
	if slices.Contains(set, word) {
		return word
	}
	return "other"
}

// class is what of a status is counted: 429 is apart, for it says to slow down.
func class(status int) string {
	switch {
	case status == 0:
		return "none"
	case status == http.StatusTooManyRequests:
		return "429"
	case status < 100 || status > 599:
		return "other"
	}
	return strconv.Itoa(status/100) + "xx"
}

// healthCollector shows what Health knows at the moment it is asked.
type healthCollector struct {
	mu sync.Mutex
	h  *Health
}

func (c *healthCollector) use(h *Health) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.h = h
}

func partDesc() *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_part_ok", "1 for each part of /readyz that is well, 0 for each that is not.", []string{"part"}, nil)
}

// Describe implements prometheus.Collector.
func (c *healthCollector) Describe(out chan<- *prometheus.Desc) { out <- partDesc() }

// Collect implements prometheus.Collector.
func (c *healthCollector) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	h := c.h
	c.mu.Unlock()
	if h == nil {
		return
	}
	for _, p := range h.Report().Parts {
		value := 0.0
		if p.OK {
			value = 1
		}
		out <- prometheus.MustNewConstMetric(partDesc(), prometheus.GaugeValue, value, p.Part)
	}
}
