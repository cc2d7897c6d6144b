package admin_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/admin"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// filled has a value in each metric.
func filled(t *testing.T) *admin.Metrics {
	t.Helper()
	m := admin.NewMetrics("test")
	m.Watch(admin.NewHealth([]admin.Probe{fine("store")}))
	start := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	run := state.Run{
		Kind: "sync", Status: state.RunPartial, StartedAt: start, FinishedAt: start.Add(3 * time.Second),
		Counts: state.Counts{Planned: map[plan.Action]int{plan.Create: 2, plan.Hold: 3}, Unchanged: 40},
	}
	m.Ran(run, []plan.Decision{
		{Action: plan.Hold, Reason: plan.UsernameTaken}, {Action: plan.Hold, Reason: plan.UsernameTaken}, {Action: plan.Hold, Reason: plan.GuardTripped}, {Action: plan.Create},
	}, nil)
	part := run
	part.Options, part.Status = `{"part":true}`, state.RunDone
	m.Ran(part, nil, nil)
	m.Ran(state.Run{Kind: "sync", Status: state.RunWithheld, Options: `{"part":true}`}, nil, []plan.Class{plan.Deactivations})
	m.Ran(state.Run{Kind: "plan", Status: state.RunPlanned}, nil, []plan.Class{plan.Deactivations})
	m.Ran(state.Run{Kind: "rebind", Status: state.RunDone}, nil, nil)
	m.Changed(plan.Create, state.OpDone)
	m.Changed(plan.Create, state.OpSent)
	m.Read("corp", nil)
	m.Read("corp", errors.New("away"))
	m.Quirk("okta", "request.opCase")
	m.Asked(false, 200, time.Second)
	m.Asked(true, 0, time.Second)
	m.Asked(true, 429, time.Second)
	m.LastSuccess("corp", start)
	m.Links("corp", 12)
	m.Certificates(func() map[string]time.Time { return map[string]time.Time{"scim.tls": start, "mattermost": start} })
	m.Queue(2, time.Now().Add(-time.Hour))
	m.Leading(true)
	h := m.Requests(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	for _, method := range []string{http.MethodGet, http.MethodPatch, "BREW"} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), method, "/scim/v2/Users/anna", nil))
	}
	return m
}

func TestMetrics_lint(t *testing.T) {
	t.Parallel()
	problems, err := testutil.GatherAndLint(filled(t).Gatherer())
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestMetrics_values(t *testing.T) {
	t.Parallel()
	m := filled(t)
	require.NoError(t, testutil.GatherAndCompare(m.Gatherer(), strings.NewReader(`
# HELP mmsync_guard_trips_total Limits that plans of this process went over.
# TYPE mmsync_guard_trips_total counter
mmsync_guard_trips_total{guard="deactivations"} 1
# HELP mmsync_held People of whom something is held since the last whole plan.
# TYPE mmsync_held gauge
mmsync_held{reason="guard_tripped"} 1
mmsync_held{reason="username_taken"} 2
# HELP mmsync_last_success_timestamp_seconds When the last run began that read this source completely and ended well.
# TYPE mmsync_last_success_timestamp_seconds gauge
mmsync_last_success_timestamp_seconds{source="corp"} 1.772600767e+09
# HELP mmsync_leader 1 while this process has the lease, and so the right to write.
# TYPE mmsync_leader gauge
mmsync_leader 1
# HELP mmsync_links Accounts that belong to people of a source.
# TYPE mmsync_links gauge
mmsync_links{source="corp"} 12
# HELP mmsync_mattermost_requests_total Requests to Mattermost, by what they are for and class of status.
# TYPE mmsync_mattermost_requests_total counter
mmsync_mattermost_requests_total{class="2xx",kind="read"} 1
mmsync_mattermost_requests_total{class="429",kind="write"} 1
mmsync_mattermost_requests_total{class="none",kind="write"} 1
# HELP mmsync_plan_actions People by what the last whole plan decided about them.
# TYPE mmsync_plan_actions gauge
mmsync_plan_actions{action="adopt"} 0
mmsync_plan_actions{action="create"} 2
mmsync_plan_actions{action="deactivate"} 0
mmsync_plan_actions{action="forget"} 0
mmsync_plan_actions{action="hold"} 3
mmsync_plan_actions{action="make"} 0
mmsync_plan_actions{action="none"} 40
mmsync_plan_actions{action="reactivate"} 0
mmsync_plan_actions{action="update"} 0
# HELP mmsync_queue_depth People who were pushed and are to be worked on.
# TYPE mmsync_queue_depth gauge
mmsync_queue_depth 2
# HELP mmsync_scim_requests_total Requests to the SCIM listener, by method and class of status.
# TYPE mmsync_scim_requests_total counter
mmsync_scim_requests_total{class="2xx",method="GET"} 1
mmsync_scim_requests_total{class="2xx",method="other"} 1
mmsync_scim_requests_total{class="4xx",method="PATCH"} 1
# HELP mmsync_source_reads_total Readings of sources by this process.
# TYPE mmsync_source_reads_total counter
mmsync_source_reads_total{result="failed",source="corp"} 1
mmsync_source_reads_total{result="ok",source="corp"} 1
`), "mmsync_guard_trips_total", "mmsync_held", "mmsync_last_success_timestamp_seconds", "mmsync_leader", "mmsync_links",
		"mmsync_mattermost_requests_total", "mmsync_plan_actions", "mmsync_queue_depth", "mmsync_scim_requests_total", "mmsync_source_reads_total"))
	w := ask(t, admin.New(admin.Options{Health: admin.NewHealth(nil), Metrics: m, Local: true}), http.MethodGet, "/metrics")
	for _, line := range []string{
		`mmsync_changes_total{action="create",result="done"} 1`,
		`mmsync_changes_total{action="create",result="unknown"} 1`,
		`mmsync_changes_total{action="deactivate",result="failed"} 0`, // so that the first one is an increase
		`mmsync_runs_total{kind="other",result="done"} 1`,
		`mmsync_runs_total{kind="plan",result="planned"} 1`,
		`mmsync_runs_total{kind="push",result="withheld"} 0`,
		`mmsync_runs_total{kind="sync",result="done"} 1`,
		`mmsync_runs_total{kind="sync",result="partial"} 1`,
		`mmsync_runs_total{kind="sync",result="withheld"} 1`,
	} {
		require.Contains(t, w.Body.String(), line+"\n")
	}
	families, err := m.Gatherer().Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "mmsync_queue_oldest_seconds" {
			require.InDelta(t, 3600, f.GetMetric()[0].GetGauge().GetValue(), 60)
			return
		}
	}
	require.Fail(t, "there is no mmsync_queue_oldest_seconds")
}
