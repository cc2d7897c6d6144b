package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// needReason refuses what has to say why.
func needReason(reason string) error {
	if strings.TrimSpace(reason) == "" {
		return usage(errors.New("say why with --reason, it is kept in the history"))
	}
	return nil
}

// openToSay opens what changes nothing at Mattermost, for something that an operator says
// with a reason.
func (a *app) openToSay(ctx context.Context, reason string) (*daemon.Daemon, reconcile.RunOptions, error) {
	if err := needReason(reason); err != nil {
		return nil, reconcile.RunOptions{}, err
	}
	d, err := a.open(ctx, true, a.progress())
	return d, reconcile.RunOptions{Trigger: "cli", RequestedBy: whoami(), Reason: reason}, err
}

func (a *app) auditForgetCmd() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "forget PERSON",
		Short: "take a person's names and values out of the history",
		Long: "Take a person's names, addresses and values out of the history and the journal. That something was done, to\n" +
			"which account and when stays, and the history verifies. Other ids that mmsync link rekey joined with this one\n" +
			"are forgotten with it. Do not name the person in --reason: that stays too.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			d, word, err := a.openToSay(cmd.Context(), reason)
			if err != nil {
				return err
			}
			defer closing(d, &err)
			f, err := d.Engine.Forget(cmd.Context(), args[0], word)
			if err != nil {
				return err
			}
			others := make([]string, len(f.Others))
			for i, k := range f.Others {
				others[i] = k.String()
			}
			if a.output == "json" {
				return a.printJSON(map[string]any{
					"format_version": plan.FormatVersion, "run": f.Run, "source": f.Key.Source, "anchor": f.Key.Anchor, "other_ids": others, "rows": f.Rows, "rows_elsewhere": f.Elsewhere,
					"rows_of_the_same_name": f.Same, "rows_with_reason": f.Reasons, "linked_account": f.Account,
				})
			}
			fmt.Fprintf(a.stdout, "forgot what %s of the history held of %s\n", counted(int64(f.Rows), "row"), printable(f.Key.String()))
			for _, k := range others {
				fmt.Fprintf(a.stdout, "that is with what it held under %s, another id of the same person\n", printable(k))
			}
			if f.Elsewhere > 0 {
				fmt.Fprintf(a.stdout, "that is with %s about other people or runs that named this one\n", counted(int64(f.Elsewhere), "row"))
			}
			if f.Same > 0 {
				fmt.Fprintf(a.stdout, "the same name or address stays in %s of other people, who have or had it too\n", counted(int64(f.Same), "row"))
			}
			if f.Reasons > 0 {
				fmt.Fprintf(a.stdout, "the name stays in the reason of %s, as an operator gave it: a reason cannot be taken out of what is sealed\n", counted(int64(f.Reasons), "row"))
			}
			if f.Account != "" {
				fmt.Fprintf(a.stdout, "the link to account %s stays, with the account's present name\n", f.Account)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, kept in the history (required)")
	return cmd
}

// leastKept is the shortest time after which rows may be pruned.
const leastKept = 24 * time.Hour

func (a *app) auditPruneCmd() *cobra.Command {
	var reason string
	var olderThan age
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "remove what was sealed long ago",
		Long: "Remove the rows of batches that were sealed longer ago than --older-than, and the runs of the journal that ended\n" +
			"as long ago, but for what something still hangs on. The batches stay, and the history verifies.",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if time.Duration(olderThan) < leastKept {
				return usage(errors.New("say with --older-than how old what is removed must be, such as 400d; at least 1d"))
			}
			d, word, err := a.openToSay(cmd.Context(), reason)
			if err != nil {
				return err
			}
			defer closing(d, &err)
			p, err := d.Engine.PruneAudit(cmd.Context(), time.Duration(olderThan), word)
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.printJSON(map[string]any{"format_version": plan.FormatVersion, "batches": p.Batches, "rows": p.Rows, "runs": p.Runs})
			}
			fmt.Fprintf(a.stdout, "removed %s in %s, and %s of the journal\n", counted(p.Rows, "row"), counted(p.Batches, "batch"), counted(int64(p.Runs), "run"))
			return nil
		},
	}
	cmd.Flags().Var(&olderThan, "older-than", "remove what was sealed or ended longer ago than this, such as 400d (required)")
	cmd.Flags().StringVar(&reason, "reason", "", "why, kept in the history (required)")
	return cmd
}

func (a *app) acceptRestoreCmd() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "accept-restore",
		Short: "go on with a store that was put back from a backup",
		Long: "Go on with a store that was put back from a backup, or whose key is lost. Until then sync refuses to write.\n" +
			"Read mmsync plan first: what was done since the backup was made is not known to the store any more.",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			d, word, err := a.openToSay(cmd.Context(), reason)
			if err != nil {
				return err
			}
			defer closing(d, &err)
			head, err := d.Engine.AcceptRestore(cmd.Context(), word)
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.printJSON(map[string]any{"format_version": plan.FormatVersion, "batch": head.Batch, "seal": head.Seal})
			}
			fmt.Fprintf(a.stdout, "accepted; the history goes on with batch %d\n", head.Batch)
			return nil
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, kept in the history (required)")
	return cmd
}
