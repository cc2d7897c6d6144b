package notice

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

var update = flag.Bool("update", false, "rewrite golden files")

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

func limits() Limits {
	return Limits{
		LeaverHeldAfter: 15 * time.Minute, RunsFailed: 3, SourceStale: 26 * time.Hour, IDPSilent: 72 * time.Hour, SeatsLeft: 10, ExpiringWithin: 14 * 24 * time.Hour,
		LeftBehind: true, Leavers: true,
	}
}

func off() []plan.Op {
	return []plan.Op{{Kind: plan.SetActive, Changes: []plan.Change{{Field: plan.FieldActive, From: "true", To: "false"}}}}
}

func renames() []plan.Op {
	return []plan.Op{{Kind: plan.PatchProfile, Changes: []plan.Change{{Field: "username", From: "a", To: "b"}}}}
}

func of(source string, n int) identity.Key {
	return identity.Key{Source: source, Anchor: fmt.Sprintf("anchor-%d", n)}
}

func run(id string, s state.RunStatus, at time.Time) state.Run {
	return state.Run{ID: id, Kind: "sync", Status: s, PlannedAt: at, FinishedAt: at}
}

// Each case is a file: what a person who is told of it reads.
func TestConditions_texts(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]Snapshot{
		"nothing": {},
		"guard": {Held: []state.HeldItem{
			{Key: of("corp", 1), Run: "run7", Ops: off()}, {Key: of("corp", 2), Run: "run7", Ops: renames()}, {Key: of("okta", 1), Run: "run8", Ops: off()}, {Key: of("okta", 2), Run: "run9", Ops: off()},
		}},
		"guard-shrink":    {Runs: []state.Run{run("run7", state.RunWithheld, ago(time.Hour))}},
		"approval":        {Run: "run7", Asked: map[plan.Reason]int{plan.NeedsApproval: 1, plan.MatchNeedsWord: 12, plan.MatchPrivileged: 2}},
		"approval-pushed": {Asked: map[plan.Reason]int{plan.NeedsApproval: 2, plan.MatchNeedsWord: 0}},
		"leavers":         {Leavers: []Leaver{{"corp", "k.lee"}, {"corp", ""}, {"corp", "a.kahn"}, {"okta", "m.rossi"}}},
		"runs": {Runs: []state.Run{
			run("run9", state.RunFailed, ago(time.Minute)), run("run8", state.RunFailed, ago(time.Hour)), run("run7", state.RunFailed, ago(2*time.Hour)), run("run6", state.RunDone, ago(3*time.Hour)),
		}},
		"sources": {Sources: []Source{
			{Name: "corp", Read: ago(time.Hour), Complete: ago(30 * time.Hour), Since: ago(29 * time.Hour)},
			{Name: "fine", Read: ago(time.Hour), Complete: ago(time.Hour)},
			{Name: "never-read", Since: ago(27 * time.Hour)},
			{Name: "not-read-yet", Since: ago(25 * time.Hour)},
			{Name: "never-whole", Read: ago(time.Hour), Since: ago(27 * time.Hour)},
			{Name: "not-whole-lately", Read: ago(time.Hour), Complete: ago(5 * time.Hour), Since: ago(4 * time.Hour)},
			{Name: "okta", Pushed: true, Request: ago(73 * time.Hour)},
			{Name: "entra", Pushed: true, Request: ago(71 * time.Hour)},
			{Name: "signed", Pushed: true},
		}},
		"ends": {Ends: []End{
			{Key: "token/t_a", What: "the SCIM token main of source okta", At: now.Add(13 * 24 * time.Hour), Next: "Make another.", Command: "mmsync token rotate main --source okta --reason …"},
			{Key: "token/t_b", What: "the SCIM token old of source okta", At: ago(time.Hour), Next: "Make another."},
			{Key: "token/t_c", What: "the SCIM token new of source okta", At: now.Add(15 * 24 * time.Hour)},
			{Key: "certificate/scim.tls", What: "the certificate of scim.tls", At: now.Add(47 * time.Hour), Next: "Renew it."},
		}},
		"taken-back": {Undone: []Leaver{{"corp", "k.lee"}, {"corp", ""}, {"okta", "m.rossi"}}},
		"left-behind": {LeftKnown: true, Left: []LeftBehind{
			{Leaver{"corp", "k.lee"}, "a1", plan.LeftIncoming},
			{Leaver{"corp", "k.lee"}, "a1", plan.LeftIncoming},
			{Leaver{"corp", "a.kahn"}, "a2", plan.LeftBot},
			{Leaver{"okta", "m.rossi"}, "a3", plan.LeftCommand},
		}},
		"left": {LeftKnown: true, LeftLooked: ago(30 * time.Minute), Left: []LeftBehind{
			{Leaver{"corp", "k.lee"}, "a1", plan.LeftIncoming}, {Leaver{"corp", "k.lee"}, "a1", plan.LeftBot},
		}, Departed: []Departed{
			{Leaver: Leaver{"corp", "k.lee"}, Account: "a1", Name: "Kim Lee", At: ago(time.Hour), Manager: "boss"},
			{Leaver: Leaver{"corp", "a.kahn"}, Account: "a2", At: ago(time.Hour)},
			{Leaver: Leaver{"okta", ""}, Account: "a3", At: ago(time.Minute)},
		}},
		"restored":   {History: History{Restored: true}},
		"key-gone":   {History: History{Refused: true, Unsealed: ago(time.Hour)}},
		"unsealed":   {History: History{Unsealed: ago(time.Hour)}},
		"token-dead": {Server: &Server{TokenDead: true}},
		"seats":      {Server: &Server{SeatsLeft: 9}},
		"no-seats":   {Server: &Server{SeatsLeft: 0}},
		"seats-fine": {Server: &Server{SeatsLeft: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.Now = now
			var b strings.Builder
			for _, n := range Conditions(s, limits()) {
				require.Equal(t, now, n.At)
				require.Contains(t, Kinds(), n.Kind)
				require.True(t, strings.HasPrefix(n.Key, string(n.Kind)))
				fmt.Fprintf(&b, "%s  %s  %s", n.Severity, n.Kind, n.Key)
				if n.Count > 0 {
					fmt.Fprintf(&b, "  (%d)", n.Count)
				}
				fmt.Fprintf(&b, "\n  %s\n  %s\n  $ %s\n", n.Text, n.Next, n.Command)
				if len(n.People) > 0 {
					fmt.Fprintf(&b, "  people: %s\n", strings.Join(n.People, ", "))
				}
			}
			golden(t, "conditions-"+name, b.String())
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func TestConditions_what_is_switched_off_is_not_told(t *testing.T) {
	t.Parallel()
	s := Snapshot{
		Now: now, Runs: []state.Run{run("r", state.RunFailed, now), run("q", state.RunFailed, now), run("p", state.RunFailed, now)},
		Leavers: []Leaver{{"corp", "x"}}, Server: &Server{SeatsLeft: 1},
		Sources: []Source{{Name: "a", Read: ago(1000 * time.Hour), Complete: ago(1000 * time.Hour)}, {Name: "b", Pushed: true, Request: ago(1000 * time.Hour)}},
		Ends:    []End{{Key: "x", At: now}},
	}
	require.Len(t, Conditions(s, limits()), 6)
	require.Empty(t, Conditions(s, Limits{}))
}

// A holder that is killed again and again gets as little done as one whose runs fail.
func TestConditions_a_run_that_was_cut_off_failed(t *testing.T) {
	t.Parallel()
	list := []state.Run{run("c", state.RunInterrupted, now), run("b", state.RunFailed, now), run("a", state.RunInterrupted, now)}
	got := failing(Snapshot{Now: now, Runs: list}, limits())
	require.Len(t, got, 1)
	require.Contains(t, got[0].Text, "The last 3 runs failed or were cut off, the first of them")
}

func TestConditions_a_run_that_did_not_fail_ends_the_row(t *testing.T) {
	t.Parallel()
	for _, s := range []state.RunStatus{state.RunDone, state.RunPartial, state.RunWithheld} {
		list := []state.Run{run("d", state.RunFailed, now), run("c", state.RunFailed, now), run("b", s, now), run("a", state.RunFailed, now)}
		require.Empty(t, failing(Snapshot{Now: now, Runs: list}, limits()), s)
		require.Len(t, failing(Snapshot{Now: now, Runs: list}, Limits{RunsFailed: 2}), 1, s)
	}
}

func TestKey_fits_a_store(t *testing.T) {
	t.Parallel()
	k := key(SourceStale, strings.Repeat("ä", state.MaxKeyBytes))
	require.NoError(t, state.CheckTold([]state.Told{{Sink: "s", Key: k, Since: now, At: now}}, nil))
}

func TestConditions_each_schedule_fails_by_itself(t *testing.T) {
	t.Parallel()
	by := func(schedule string, r state.Run) state.Run {
		r.RequestedBy = "schedule " + schedule
		return r
	}
	var list []state.Run
	for i := range 3 { // the newest comes first
		list = append(list, by("hourly", run(fmt.Sprint("h", i), state.RunDone, now)), by("nightly", run(fmt.Sprint("n", i), state.RunFailed, now)))
	}
	got := Conditions(Snapshot{Now: now, Runs: list}, Limits{RunsFailed: 3})
	require.Len(t, got, 1)
	require.Equal(t, "runs_failing/schedule nightly", got[0].Key)
	require.Contains(t, got[0].Text, "The last 3 runs by schedule nightly failed")
	require.Contains(t, got[0].Command, "n0")
	require.Empty(t, Conditions(Snapshot{Now: now, Runs: list}, Limits{RunsFailed: 4}))
}
