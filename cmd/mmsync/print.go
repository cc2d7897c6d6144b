package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/mmsync/mmsync/internal/explain"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// runDocument is the JSON form of plan and sync.
type runDocument struct {
	FormatVersion string          `json:"format_version"`
	Run           string          `json:"run"`
	Status        state.RunStatus `json:"status"`
	Plan          plan.Plan       `json:"plan"`
	Guards        []guard.Trip    `json:"guards"`
	Problems      []string        `json:"problems"`
	Counts        state.Counts    `json:"counts"`
	Failures      []failure       `json:"failures"`
	Seconds       float64         `json:"seconds"`
	// Decided counts those about whom something had to be decided.
	Decided int `json:"decided"`
	// Pinned is how many people a revert holds from now on.
	Pinned int `json:"pinned,omitempty"`
	// Census sums up all accounts of the server, if the run walked it.
	Census *reconcile.Census `json:"census,omitempty"`
	// Again is what a second look at accounts found and did.
	Again *runDocument `json:"again,omitempty"`
}

type failure struct {
	Source   string      `json:"source"`
	Anchor   string      `json:"anchor"`
	Username string      `json:"username"`
	Op       plan.OpKind `json:"op"`
	Error    string      `json:"error"`
}

func newRunDocument(r reconcile.Report) runDocument {
	d := runDocument{
		FormatVersion: plan.FormatVersion, Run: r.RunID, Status: r.Status, Plan: r.Plan, Guards: r.Verdict.Trips,
		Problems: r.Problems, Counts: r.Counts, Failures: []failure{}, Seconds: r.Took.Seconds(), Decided: r.Decided, Pinned: r.Pinned, Census: r.Census,
	}
	if r.Again != nil {
		again := newRunDocument(*r.Again)
		d.Again = &again
	}
	if d.Guards == nil {
		d.Guards = []guard.Trip{}
	}
	if d.Problems == nil {
		d.Problems = []string{}
	}
	for _, f := range r.Failures {
		d.Failures = append(d.Failures, failure{f.Key.Source, f.Key.Anchor, f.Username, f.Op, f.Error})
	}
	return d
}

func (a *app) printJSON(v any) error {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	if err == nil {
		_, err = io.WriteString(a.stdout, plan.EscapeJSON(b.String()))
	}
	if err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	return nil
}

// table prints rows in columns, with a head if there is one; every cell is made safe for a terminal.
func (a *app) table(head []string, rows [][]string) error {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	if len(head) > 0 {
		fmt.Fprintln(w, strings.Join(head, "\t"))
	}
	for _, r := range rows {
		safe := make([]string, len(r))
		for i, c := range r {
			safe[i] = cell(c)
		}
		fmt.Fprintln(w, strings.Join(safe, "\t"))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("lay out the result: %w", err)
	}
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(a.stdout, strings.TrimRight(line, " \n")); err != nil {
			return fmt.Errorf("print the result: %w", err)
		}
	}
	return nil
}

// cell quotes only what a terminal would carry out or what would break the column:
// a value that was quoted before is not quoted twice.
func cell(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) < 0 {
		return s
	}
	return printable(s)
}

// printable shows control characters, escapes and direction marks instead of
// sending them to the terminal.
func printable(s string) string { return explain.Printable(s) }

// safe shows the same characters as escapes within a sentence, and leaves its
// quotes and lines alone.
func safe(s string) string { return explain.Safe(s) }

// say prints a sentence on stderr, each of its lines with the program's name.
func (a *app) say(sentence string) {
	for line := range strings.SplitSeq(safe(sentence), "\n") {
		fmt.Fprintf(a.stderr, "mmsync: %s\n", line)
	}
}

func changes(n int) string {
	if n == 1 {
		return "1 change"
	}
	return strconv.Itoa(n) + " changes"
}

// round leaves of a duration what a person reads.
func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}

func when(t time.Time) string { return explain.When(t) }

// rfc3339 is nil for a time that has not come.
func rfc3339(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	u := t.UTC()
	return &u
}
