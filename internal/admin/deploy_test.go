package admin_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"
)

const (
	alertsFile    = "../../deploy/prometheus/alerts.yaml"
	dashboardFile = "../../deploy/grafana/mmsync.json"
)

type alertRules struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr string
			For         string
			Labels      map[string]string
			Annotations map[string]string
		}
	}
}

type dashboard struct {
	Panels []struct {
		ID          int
		Title, Type string
		Description string
		Datasource  struct{ UID string }
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct{ Expr, LegendFormat string }
	}
	Templating struct {
		List []struct{ Name, Definition string }
	}
}

// exported gives the labels of each name that can be asked for.
func exported(t *testing.T) map[string][]string {
	t.Helper()
	families, err := filled(t).Gatherer().Gather()
	require.NoError(t, err)
	out := map[string][]string{}
	for _, f := range families {
		labels := []string{"instance", "job"}
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		names := []string{f.GetName()}
		if f.GetMetric()[0].GetHistogram() != nil {
			labels = append(labels, "le")
			names = []string{f.GetName() + "_bucket", f.GetName() + "_sum", f.GetName() + "_count"}
		}
		for _, name := range names {
			out[name] = labels
		}
	}
	return out
}

var (
	selector = regexp.MustCompile(`\b(mmsync_[a-z0-9_]+)(\{[^}]*\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)\s*"[^"]*"`)
	grouped  = regexp.MustCompile(`\bby \(([^)]*)\)`)
	ranges   = regexp.MustCompile(`\b(rate|increase)\((?:[^()\[]*)(\[\d+[smhd]\])?\)`)
	words    = regexp.MustCompile(`[a-zA-Z_][a-zA-Z0-9_]*`)
)

// wrong says what is wrong with an expression, as far as that shows without Prometheus.
func wrong(expr string, known map[string][]string) error {
	var open []rune
	for _, r := range regexp.MustCompile(`"[^"]*"`).ReplaceAllString(expr, `""`) {
		switch r {
		case '(', '[', '{':
			open = append(open, r)
		case ')', ']', '}':
			if len(open) == 0 || strings.IndexRune("([{", open[len(open)-1]) != strings.IndexRune(")]}", r) {
				return fmt.Errorf("%c closes nothing", r)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 || strings.Count(expr, `"`)%2 != 0 {
		return fmt.Errorf("something is not closed")
	}
	found := selector.FindAllStringSubmatch(expr, -1)
	if len(found) == 0 {
		return fmt.Errorf("no metric of mmsync")
	}
	var labels []string
	for _, m := range found {
		have, ok := known[m[1]]
		if !ok {
			return fmt.Errorf("%s is not exported", m[1])
		}
		labels = append(labels, have...)
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(have, l[1]) {
				return fmt.Errorf("%s has no label %s", m[1], l[1])
			}
		}
	}
	for _, g := range grouped.FindAllStringSubmatch(expr, -1) {
		for _, l := range words.FindAllString(g[1], -1) {
			if !slices.Contains(labels, l) {
				return fmt.Errorf("grouped by %s, which nothing in it has", l)
			}
		}
	}
	for _, m := range ranges.FindAllStringSubmatch(expr, -1) {
		if m[2] == "" {
			return fmt.Errorf("%s of something without a range", m[1])
		}
	}
	return nil
}

func TestDeploy_wrong_finds_mistakes(t *testing.T) {
	t.Parallel()
	known := exported(t)
	for expr, want := range map[string]string{
		`sum(mmsync_runs_total`:                                    "not closed",
		`sum(mmsync_runs_total])`:                                  "closes nothing",
		`up == 0`:                                                  "no metric",
		`mmsync_run_total > 1`:                                     "not exported",
		`mmsync_run_duration_seconds > 1`:                          "not exported",
		`mmsync_runs_total{outcome="done"}`:                        "has no label outcome",
		`sum by (guard) (rate(mmsync_runs_total[5m]))`:             "grouped by guard",
		`sum by (kind) (rate(mmsync_runs_total{kind="sync"}))`:     "without a range",
		`sum by (kind) (rate(mmsync_runs_total{kind="sync"}[5m]))`: "",
	} {
		if err := wrong(expr, known); want == "" {
			require.NoError(t, err, expr)
		} else {
			require.ErrorContains(t, err, want, expr)
		}
	}
}

func TestDeploy_alerts(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(alertsFile)
	require.NoError(t, err)
	var rules alertRules
	require.NoError(t, yaml.Load(data, &rules, yaml.WithKnownFields()))
	require.Len(t, rules.Groups, 1)
	known, seen := exported(t), map[string]bool{}
	for _, r := range rules.Groups[0].Rules {
		require.NoError(t, wrong(r.Expr, known), r.Alert)
		require.False(t, seen[r.Alert], r.Alert)
		seen[r.Alert] = true
		require.Contains(t, []string{"warning", "critical"}, r.Labels["severity"], r.Alert)
		for _, a := range []string{"summary", "description"} {
			require.True(t, strings.HasSuffix(r.Annotations[a], "."), "%s: %s is a sentence", r.Alert, a)
		}
	}
	require.Greater(t, len(seen), 8)
	if promtool, err := exec.LookPath("promtool"); err == nil {
		out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", alertsFile).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}

func TestDeploy_dashboard(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(dashboardFile)
	require.NoError(t, err)
	var d dashboard
	require.NoError(t, json.Unmarshal(data, &d))
	known, ids, used := exported(t), map[int]bool{}, map[string]bool{}
	for i, p := range d.Panels {
		require.False(t, ids[p.ID], p.Title)
		ids[p.ID] = true
		require.NotEmpty(t, p.Title)
		require.NotEmpty(t, p.Description, p.Title)
		require.Equal(t, "${datasource}", p.Datasource.UID, p.Title)
		require.NotEmpty(t, p.Targets, p.Title)
		for _, q := range p.Targets {
			require.NoError(t, wrong(q.Expr, known), p.Title)
			for _, m := range selector.FindAllStringSubmatch(q.Expr, -1) {
				used[m[1]] = true
			}
		}
		a := p.GridPos
		require.LessOrEqual(t, a.X+a.W, 24, p.Title)
		for _, o := range d.Panels[:i] {
			b := o.GridPos
			require.False(t, a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H, "%q lies on %q", p.Title, o.Title)
		}
	}
	for name := range known {
		name, isHistogram := strings.CutSuffix(name, "_bucket")
		if isHistogram {
			name += "_bucket"
		}
		if !strings.HasPrefix(name, "mmsync_") || strings.HasSuffix(name, "_sum") || strings.HasSuffix(name, "_count") {
			continue
		}
		require.True(t, used[name], "%s is in no panel", name)
	}
	for _, v := range d.Templating.List {
		if v.Definition != "" {
			require.NoError(t, wrong(v.Definition, known), v.Name)
		}
	}
}
