package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

func (a *app) historyCmd() *cobra.Command {
	var since age
	var failed bool
	var limit int
	cmd := &cobra.Command{
		Use:   "history [RUN]",
		Short: "list runs, or show one with every change it made",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if limit < 0 {
				return usage(errors.New("--limit must not be negative"))
			}
			_, store, err := a.openStore(cmd.Context())
			if err != nil {
				return err
			}
			defer closing(store, &err)
			f := state.RunFilter{Limit: limit, Since: since.since()}
			if failed {
				f.Statuses = []state.RunStatus{state.RunFailed, state.RunPartial, state.RunWithheld, state.RunInterrupted}
			}
			if len(args) == 1 {
				f = state.RunFilter{ID: args[0]}
			}
			runs, err := store.Runs(cmd.Context(), f)
			if err != nil {
				return fmt.Errorf("list runs: %w", err)
			}
			if len(args) == 0 {
				return a.printRuns(runs)
			}
			switch len(runs) {
			case 0:
				return &exitError{code: exitFailed, err: fmt.Errorf("there is no run %q", args[0]), hint: "mmsync history lists them"}
			case 1:
				return a.printRun(cmd, store, runs[0])
			}
			return &exitError{code: exitFailed, err: fmt.Errorf("%q fits %d runs", args[0], len(runs)), hint: "give more of its id"}
		},
	}
	cmd.Flags().Var(&since, "since", "only runs of this last time, such as 24h or 7d")
	cmd.Flags().BoolVar(&failed, "failed", false, "only runs that did not end well")
	cmd.Flags().IntVar(&limit, "limit", 20, "list at most this many (0: all)")
	return cmd
}

type historyDocument struct {
	FormatVersion string     `json:"format_version"`
	Runs          []runEntry `json:"runs"`
}

type runEntry struct {
	ID          string               `json:"id"`
	Kind        string               `json:"kind"`
	Trigger     string               `json:"trigger"`
	RequestedBy string               `json:"requested_by"`
	Reason      string               `json:"reason,omitempty"`
	Status      state.RunStatus      `json:"status"`
	Started     *time.Time           `json:"started"`
	Finished    *time.Time           `json:"finished"`
	Reverts     string               `json:"reverts,omitempty"`
	Digest      string               `json:"digest,omitempty"`
	Counts      state.Counts         `json:"counts"`
	Message     string               `json:"message,omitempty"`
	SealedIn    []int64              `json:"sealed_in,omitempty"` // batches of the audit
	Sources     []plan.SourceSummary `json:"sources,omitempty"`
	Changes     []changeEntry        `json:"changes,omitempty"`
}

type changeEntry struct {
	Op       string        `json:"op"`
	Key      string        `json:"key"`
	Account  string        `json:"account,omitempty"`
	Username string        `json:"username"`
	Action   plan.Action   `json:"action"`
	Reason   plan.Reason   `json:"reason"`
	Kind     plan.OpKind   `json:"kind"`
	Changes  []plan.Change `json:"changes,omitempty"`
	Status   string        `json:"status"`
	Sent     *time.Time    `json:"sent"`
	Closed   *time.Time    `json:"closed"`
	Error    string        `json:"error,omitempty"`
}

func newRunEntry(r state.Run) runEntry {
	return runEntry{
		ID: r.ID, Kind: r.Kind, Trigger: r.Trigger, RequestedBy: r.RequestedBy, Reason: r.Reason, Status: r.Status,
		Started: rfc3339(r.StartedAt), Finished: rfc3339(r.FinishedAt), Reverts: takenBack(r), Digest: r.Digest, Counts: r.Counts, Message: r.Message, Sources: r.Sources,
	}
}

func (a *app) printRuns(runs []state.Run) error {
	if a.output == "json" {
		d := historyDocument{FormatVersion: plan.FormatVersion, Runs: []runEntry{}}
		for _, r := range runs {
			d.Runs = append(d.Runs, newRunEntry(r))
		}
		return a.printJSON(d)
	}
	rows := make([][]string, 0, len(runs))
	for _, r := range runs {
		c := r.Counts
		rows = append(rows, []string{
			r.ID, r.Kind, string(r.Status), when(r.StartedAt), duration(r.StartedAt, r.FinishedAt),
			fmt.Sprint(c.Done), fmt.Sprint(c.Failed), fmt.Sprint(c.Skipped), fmt.Sprint(c.Held), fmt.Sprint(c.Unchanged), r.RequestedBy,
		})
	}
	return a.table([]string{"RUN", "KIND", "STATUS", "STARTED (UTC)", "TOOK", "DONE", "FAILED", "SKIPPED", "HELD", "UNCHANGED", "BY"}, rows)
}

func duration(from, to time.Time) string {
	if from.IsZero() || to.IsZero() {
		return "-"
	}
	return round(to.Sub(from)).String()
}

func (a *app) printRun(cmd *cobra.Command, store state.Store, r state.Run) error {
	ops, err := store.Ops(cmd.Context(), state.OpFilter{Run: r.ID})
	if err != nil {
		return fmt.Errorf("list the changes of run %s: %w", r.ID, err)
	}
	batches, err := sealedIn(cmd, store, r.ID)
	if err != nil {
		return err
	}
	if a.output == "json" {
		e := newRunEntry(r)
		e.SealedIn = batches
		e.Changes = []changeEntry{}
		for _, o := range ops {
			e.Changes = append(e.Changes, changeEntry{
				Op: o.Ref.String(), Key: o.Key.String(), Account: o.AccountID, Username: o.Username, Action: o.Action, Reason: o.Reason,
				Kind: o.Op.Kind, Changes: o.Op.Changes, Status: string(o.Status), Sent: rfc3339(o.SentAt), Closed: rfc3339(o.ClosedAt), Error: o.Error,
			})
		}
		return a.printJSON(historyDocument{FormatVersion: plan.FormatVersion, Runs: []runEntry{e}})
	}
	fmt.Fprintf(a.stdout, "Run       %s (%s by %s, %s)\n", r.ID, r.Kind, safe(r.RequestedBy), safe(r.Trigger))
	if r.Reason != "" {
		fmt.Fprintf(a.stdout, "Reason    %s\n", printable(r.Reason))
	}
	fmt.Fprintf(a.stdout, "Status    %s\nStarted   %s UTC, took %s\n", r.Status, when(r.StartedAt), duration(r.StartedAt, r.FinishedAt))
	fmt.Fprintf(a.stdout, "Counts    %d done, %d failed, %d skipped, %d held, %d unchanged\n", r.Counts.Done, r.Counts.Failed, r.Counts.Skipped, r.Counts.Held, r.Counts.Unchanged)
	if back := takenBack(r); back != "" {
		fmt.Fprintf(a.stdout, "Reverts   %s\n", safe(back))
	}
	if r.Message != "" {
		fmt.Fprintf(a.stdout, "Message   %s\n", strings.ReplaceAll(safe(r.Message), "\n", "\n          "))
	}
	if len(batches) > 0 {
		fmt.Fprintf(a.stdout, "Sealed    in batch %s\n", strings.Trim(fmt.Sprint(batches), "[]"))
	}
	fmt.Fprintln(a.stdout)
	if len(ops) == 0 {
		fmt.Fprintln(a.stdout, "no changes")
		return nil
	}
	rows := make([][]string, 0, len(ops))
	for _, o := range ops {
		rows = append(rows, []string{when(o.ClosedAt), o.Username, string(o.Op.Kind), string(o.Reason), string(o.Status), changesText(o.Op), o.Error})
	}
	return a.table([]string{"AT (UTC)", "USERNAME", "OP", "REASON", "STATUS", "CHANGES", "ERROR"}, rows)
}

// sealedIn gives the batches of the audit that hold what a run did.
func sealedIn(cmd *cobra.Command, store state.Store, run string) ([]int64, error) {
	rows, err := store.AuditRows(cmd.Context(), state.RowFilter{Run: run})
	if err != nil {
		return nil, fmt.Errorf("read where run %s is sealed: %w", run, err)
	}
	var out []int64
	for i := range rows {
		out = append(out, rows[i].Batch)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func changesText(o plan.Op) string {
	var parts []string
	for _, c := range o.Changes {
		if o.Kind == plan.CreateAccount {
			parts = append(parts, fmt.Sprintf("%s %s", c.Field, printable(c.To)))
			continue
		}
		parts = append(parts, fmt.Sprintf("%s %s -> %s", c.Field, printable(c.From), printable(c.To)))
	}
	return strings.Join(parts, ", ")
}
