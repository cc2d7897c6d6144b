package traps

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"
)

// run is one call of go test: some tests of one package, with or without a rule.
type run struct {
	pkg   string
	tests []string
	edits []edit // none: the source as it is

	verdicts map[string]verdict // by test
	trouble  string             // what kept the tests from being judged
	took     time.Duration
}

// verdict is what became of one test.
type verdict struct {
	action string // "pass", "fail", "skip", or "" if it did not run
	said   string // the words of its first failed assertion
}

// TestTraps switches off one rule after another and demands that its tests fail.
func TestTraps(t *testing.T) {
	t.Parallel()
	if os.Getenv("MMSYNC_TEST_TRAPS") != "1" {
		t.Skip("it builds the program once for each trap: set MMSYNC_TEST_TRAPS=1, or run make traps")
	}
	began := time.Now()
	dir, traps := root(t), chosen(t, readTable(t))
	with, without := runs(traps)
	carryOut(t, dir, with)
	var red []string
	for _, r := range with {
		require.Empty(t, r.trouble, "the tests of %s with every rule in force", r.pkg)
		for _, name := range r.tests {
			if r.verdicts[name].action != "pass" {
				red = append(red, r.pkg+" "+name)
			}
		}
	}
	require.Empty(t, red, "these do not pass, or are not there, with every rule in force")
	carryOut(t, dir, without)

	var faults []string
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "trap\ttest\twithout its rule\n")
	for i := range traps {
		one := &traps[i]
		for _, p := range one.tests {
			said, fault := find(without, p.pkg, one.edits).outcome(p.name)
			fmt.Fprintf(w, "%s\t%s %s\t%s\n", one.name, filepath.Base(p.pkg), p.name, said)
			if fault != "" {
				faults = append(faults, fmt.Sprintf("%s (line %d of the table): %s %s: %s", one.name, one.line, p.pkg, p.name, fault))
			}
		}
	}
	require.NoError(t, w.Flush())
	t.Logf("%d traps, %d builds without a rule, %s\n%s", len(traps), len(without), time.Since(began).Round(time.Second), table.String())
	for _, fault := range faults {
		t.Error(fault)
	}
}

// chosen gives the traps whose names match MMSYNC_TEST_TRAP; all, if it is not set.
func chosen(t *testing.T, traps []trap) []trap {
	t.Helper()
	names, err := regexp.Compile(os.Getenv("MMSYNC_TEST_TRAP"))
	require.NoError(t, err)
	traps = slices.DeleteFunc(traps, func(one trap) bool { return !names.MatchString(one.name) })
	require.NotEmpty(t, traps, "no trap is called %s", names)
	return traps
}

// outcome says how a test failed without the rule, or what is wrong with that.
func (r *run) outcome(test string) (said, fault string) {
	v := r.verdicts[test]
	switch {
	case r.trouble != "":
		return "not judged", "a rule is switched off so that the rest still works, but " + r.trouble
	case v.action != "fail":
		return v.action, "it does not fail without the rule that it is to prove"
	case v.said == "":
		return v.action, "it fails by something else than what it demands"
	}
	return v.action + ": " + v.said, ""
}

// runs gives what is to be run: each package with every rule in force, and each
// package without each rule that its tests prove. Traps with one rule share a run.
func runs(traps []trap) (with, without []*run) {
	add := func(list *[]*run, p proof, edits []edit) {
		r := find(*list, p.pkg, edits)
		if r == nil {
			r = &run{pkg: p.pkg, edits: edits}
			*list = append(*list, r)
		}
		if !slices.Contains(r.tests, p.name) {
			r.tests = append(r.tests, p.name)
		}
	}
	for _, one := range traps {
		for _, p := range one.tests {
			add(&with, p, nil)
			add(&without, p, one.edits)
		}
	}
	return with, without
}

func find(list []*run, pkg string, edits []edit) *run {
	i := slices.IndexFunc(list, func(r *run) bool { return r.pkg == pkg && slices.Equal(r.edits, edits) })
	if i < 0 {
		return nil
	}
	return list[i]
}

// carryOut does the runs, as many at a time as there are processors.
func carryOut(t *testing.T, dir string, list []*run) {
	t.Helper()
	work := make(chan *run)
	var wg sync.WaitGroup
	var over atomic.Int32
	for range runtime.NumCPU() {
		wg.Go(func() {
			for r := range work {
				if err := r.test(t.Context(), dir, t.TempDir()); err != nil {
					r.trouble = err.Error()
				}
				t.Logf("%d of %d in %s: %s %s", over.Add(1), len(list), r.took.Round(time.Second), r.pkg, r.tests[0])
			}
		})
	}
	for _, r := range list {
		work <- r
	}
	close(work)
	wg.Wait()
}

// test runs go test on what is left of the source without the rule.
func (r *run) test(ctx context.Context, dir, scratch string) error {
	began := time.Now()
	defer func() { r.took = time.Since(began) }()
	overlay, err := r.overlay(dir, scratch)
	if err != nil {
		return err
	}
	// What vet says does not matter here, and symbols are not needed.
	cmd := exec.CommandContext(ctx, "go", "test", "-json", "-count=1", "-vet=off", "-timeout=2m", "-ldflags=-s -w",
		"-overlay="+overlay, "-run="+pattern(r.tests), "./"+r.pkg)
	cmd.Dir, cmd.WaitDelay = dir, 10*time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	ended := cmd.Run() // that tests fail is what is looked for; they are read below
	if err := r.judge(stdout.Bytes()); err != nil {
		return err
	}
	if ended != nil && len(r.verdicts) == 0 {
		return fmt.Errorf("go test: %w: %s", ended, stderr.String())
	}
	return nil
}

// overlay writes the files without the rule, and tells the compiler to read them
// in the place of the real ones.
func (r *run) overlay(dir, scratch string) (string, error) {
	files, err := switchedOff(dir, r.edits)
	if err != nil {
		return "", err
	}
	instead := struct{ Replace map[string]string }{map[string]string{}}
	for name, text := range files {
		to := filepath.Join(scratch, strings.ReplaceAll(name, "/", "-"))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return "", err
		}
		instead.Replace[filepath.Join(dir, filepath.FromSlash(name))] = to
	}
	data, err := json.Marshal(instead)
	if err != nil {
		return "", err
	}
	path := filepath.Join(scratch, "overlay.json")
	return path, os.WriteFile(path, data, 0o600)
}

// pattern is what go test -run takes for just these tests.
func pattern(tests []string) string {
	var out []string
	for _, name := range tests {
		parts := strings.Split(shown(name), "/")
		for i, p := range parts {
			parts[i] = "^" + regexp.QuoteMeta(p) + "$"
		}
		out = append(out, strings.Join(parts, "/"))
	}
	return strings.Join(out, "|")
}

// shown is how package testing prints the name of a test.
func shown(name string) string { return strings.ReplaceAll(name, " ", "_") }

// judge reads what go test -json printed. Only an assertion that failed is a
// failure: a panic, a test that never ends, and source that does not compile say
// nothing about a rule.
func (r *run) judge(output []byte) error {
	action, printed := map[string]string{}, map[string]*strings.Builder{}
	var all strings.Builder
	for dec := json.NewDecoder(bytes.NewReader(output)); dec.More(); {
		var e struct{ Action, Test, Output string }
		if err := dec.Decode(&e); err != nil {
			return fmt.Errorf("read the output of go test: %w", err)
		}
		all.WriteString(e.Output)
		switch e.Action {
		case "build-fail":
			return fmt.Errorf("it does not compile:\n%s", all.String())
		case "pass", "fail", "skip":
			action[e.Test] = e.Action
		case "output", "build-output":
			if printed[e.Test] == nil {
				printed[e.Test] = &strings.Builder{}
			}
			printed[e.Test].WriteString(e.Output)
		}
	}
	if text := all.String(); strings.Contains(text, "\npanic: ") || strings.Contains(text, "DATA RACE") {
		return fmt.Errorf("it panics:\n%s", text)
	}
	r.verdicts = map[string]verdict{}
	for _, name := range r.tests {
		v := verdict{action: action[shown(name)]}
		for _, test := range slices.Sorted(maps.Keys(printed)) {
			if own := test == shown(name) || strings.HasPrefix(test, shown(name)+"/"); own && v.said == "" {
				v.said = assertion(printed[test].String())
			}
		}
		r.verdicts[name] = v
	}
	return nil
}

// assertion gives the first line of a failed assertion's own words, and of its
// message; "" if none failed.
func assertion(output string) string {
	if !strings.Contains(output, "Error Trace:") {
		return ""
	}
	var said []string
	for _, label := range []string{"Error:", "Messages:"} {
		if _, after, ok := strings.Cut(output, label); ok {
			line, _, _ := strings.Cut(strings.TrimSpace(after), "\n")
			if r := []rune(strings.Join(strings.Fields(line), " ")); len(r) > 110 {
				said = append(said, string(r[:110])+"…")
			} else {
				said = append(said, string(r))
			}
		}
	}
	return strings.Join(said, " — ")
}
