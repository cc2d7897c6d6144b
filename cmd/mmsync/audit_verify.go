package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/audit"
	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

func (a *app) auditVerifyCmd() *cobra.Command {
	var file, head string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "say whether somebody changed the history",
		Long: "Say whether somebody changed the history since it was sealed.\n\nExit code 0: it is whole, though mmsync itself may have pruned it or forgotten people. 1: it was edited, cut or\n" +
			"sealed anew without the key, or an earlier key is not at hand; the answer names the first place.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var scope audit.Scope
			if head != "" {
				scope.Head = new(audit.Head)
				if err := scope.Head.Seal.UnmarshalText([]byte(head)); err != nil || len(scope.Head.Seal) != 32 {
					return usage(fmt.Errorf("--head is %q, but must be the 64 digits that a run's log line gives as audit_seal", head))
				}
			}
			if file != "" {
				return a.verifyFile(file, scope)
			}
			return a.withReady(func(ctx context.Context, s daemon.Store, v reconcile.Vault) error {
				return a.verifyStore(ctx, s, v, scope)
			})(cmd, nil)
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "verify this `file`, which mmsync audit export wrote, instead of the store")
	cmd.Flags().StringVar(&head, "head", "", "the `seal` of a batch that has to be there, from a run's log line")
	return cmd
}

func (a *app) verifyStore(ctx context.Context, s daemon.Store, v reconcile.Vault, scope audit.Scope) error {
	if scope.Head == nil {
		known, ok, err := v.Head() // before the batches, or it could be ahead of them
		if err != nil {
			return err
		}
		if ok {
			scope.Head = &known
		}
	}
	const tries = 5
	for try := 1; ; try++ {
		r, moved, err := verifyOnce(ctx, s, v, scope)
		if err != nil {
			return err
		}
		if r.Verdict.Whole() || !moved || try == tries {
			return a.printVerdict(r, v.Path())
		}
	}
}

// verifyOnce tells as well whether a run sealed or pruned something meanwhile, which
// looks like a change of somebody's.
func verifyOnce(ctx context.Context, s daemon.Store, v reconcile.Vault, scope audit.Scope) (r audit.Report, moved bool, err error) {
	batches, err := s.AuditBatches(ctx, state.BatchFilter{})
	if err != nil {
		return r, false, fmt.Errorf("list the batches of the history: %w", err)
	}
	var key audit.Key
	if len(batches) > 0 || scope.Head != nil {
		if key, err = v.Key(false); err != nil {
			return r, false, err
		}
	}
	if r, err = audit.Verify(key, batches, rowsOf(ctx, s, batches, true), scope); err != nil || r.Verdict.Whole() {
		return r, false, err
	}
	again, err := s.AuditBatches(ctx, state.BatchFilter{})
	if err != nil {
		return r, false, fmt.Errorf("list the batches of the history: %w", err)
	}
	return r, !slices.EqualFunc(batches, again, func(a, b audit.Batch) bool { return a.ID == b.ID && a.PrunedAt.Equal(b.PrunedAt) }), nil
}

func (a *app) verifyFile(file string, scope audit.Scope) error {
	c, err := a.load()
	if err != nil {
		return err
	}
	v := daemon.Vault(c)
	key, err := v.Key(false)
	if err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("open the export: %w", err)
	}
	defer f.Close()
	e, err := audit.Read(f)
	if err != nil {
		return err
	}
	r, err := e.Check(key, scope.Head)
	if err != nil {
		return err
	}
	return a.printVerdict(r, v.Path())
}

func (a *app) printVerdict(r audit.Report, key string) error {
	if a.output == "json" {
		if r.Findings == nil {
			r.Findings = []audit.Finding{}
		}
		err := a.printJSON(struct {
			FormatVersion string `json:"format_version"`
			Whole         bool   `json:"whole"`
			audit.Report
		}{plan.FormatVersion, r.Verdict.Whole(), r})
		if err != nil {
			return err
		}
	} else {
		for _, line := range verdict(r, key) {
			fmt.Fprintln(a.stdout, safe(line))
		}
	}
	if r.Verdict.Whole() {
		return nil
	}
	return exit(exitFailed)
}

// verdict says what became of the history, where, and what to do.
func verdict(r audit.Report, key string) []string {
	if r.Verdict.Whole() {
		return whole(r)
	}
	f := r.Findings[0]
	where := fmt.Sprintf("batch %d", f.Batch)
	if f.Row > 0 {
		where = fmt.Sprintf("row %d of batch %d", f.Row, f.Batch)
	}
	if f.Run != "" {
		where += fmt.Sprintf(" (sealed by run %s)", f.Run)
	}
	if f.Batch == 0 {
		where = "the beginning"
	}
	lines := []string{fmt.Sprintf("The history was %s: %s %s.", f.Verdict, where, f.Text)}
	if f.Verdict == audit.Unproven {
		lines[0] = fmt.Sprintf("Part of the history is not verified: %s, %s.", where, f.Text)
	}
	if n := len(r.Findings) - 1; n > 0 {
		lines = append(lines, fmt.Sprintf("That is the first of %d places; mmsync audit verify -o json names them.", n+1))
	}
	switch f.Verdict {
	case audit.Edited:
		lines = append(lines, "Somebody changed it who does not have the key. Find out who can write to the store, and read there what it said in an export or a backup.")
	case audit.Cut:
		lines = append(lines, "Somebody removed a part of it, or an older copy of the store was put back. Compare it with an export or a backup; after a restore, see mmsync plan, then mmsync state accept-restore.")
	case audit.Unproven:
		lines = append(lines, fmt.Sprintf("What comes after stands as it was sealed. Put the earlier key back beside %s, as %s.1 or with a higher number the later it was in use.", key, key))
	default:
		lines = append(lines, fmt.Sprintf("Somebody sealed it anew without the key, or %s is not the key it was sealed with. Compare that file with your copy of it, then the history with an export or a backup.", key))
	}
	return lines
}

func whole(r audit.Report) []string {
	if r.Last == 0 {
		return []string{"The history is empty: nothing was sealed yet."}
	}
	text := fmt.Sprintf("The history is whole: %s in batches %d to %d stand as they were sealed", counted(r.Rows, "row"), r.First, r.Last)
	if r.Pruned > 0 {
		text += "; mmsync pruned the rows of " + counted(r.Pruned, "batch")
	}
	if r.Forgotten > 0 {
		text += "; mmsync forgot the values of " + counted(r.Forgotten, "row")
	}
	return []string{text + ".", fmt.Sprintf("It ends with the seal %s.", r.Seal)}
}

func counted(n int64, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case what == "batch":
		what += "e"
	}
	return fmt.Sprintf("%d %ss", n, what)
}
