package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func (a *app) rebuildCmd() *cobra.Command {
	var from, reason string
	cmd := &cobra.Command{
		Use:   "rebuild",
		Short: "make the links anew from an export of the history",
		Long: "Make the links anew in an empty store, from a file that mmsync audit export wrote: all of them or none. The\n" +
			"file's seals have to be those of audit.key_file. Then read mmsync plan; until mmsync state accept-restore, sync\n" +
			"refuses to write. The file is all that proves what was done before: keep it.",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if from == "" {
				return usage(errors.New("name the file that mmsync audit export wrote with --from"))
			}
			if err := needReason(reason); err != nil {
				return err
			}
			file, err := os.Open(from)
			if err != nil {
				return fmt.Errorf("open the export: %w", err)
			}
			defer file.Close()
			d, err := a.open(cmd.Context(), true, a.progress())
			if err != nil {
				return err
			}
			defer closing(d, &err)
			r, err := d.Engine.RebuildLinks(cmd.Context(), reconcile.RunOptions{Trigger: "cli", RequestedBy: whoami(), Reason: reason}, file)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(d.Config.Sources, func(s config.Source) bool { return s.Type == "scim" }) {
				r.Doubts = append(r.Doubts, "what identity providers pushed and the tokens they push with are in no export, only in a backup: make tokens with mmsync token create and have everybody pushed once more")
			}
			return a.printRebuilt(r)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "the `file` that mmsync audit export wrote (required)")
	cmd.Flags().StringVar(&reason, "reason", "", "why, kept in the history (required)")
	return cmd
}

func (a *app) printRebuilt(r reconcile.Rebuilt) error {
	if a.output == "json" {
		doubts := r.Doubts
		if doubts == nil {
			doubts = []string{}
		}
		return a.printJSON(map[string]any{
			"format_version": plan.FormatVersion, "run": r.Run, "links": r.Links, "stops": r.Stops, "refused_matches": r.Refused,
			"already": r.Already, "batch": r.Head.Batch, "seal": r.Head.Seal, "doubts": doubts,
		})
	}
	if r.Already {
		fmt.Fprintf(a.stdout, "nothing to do, the %s of the export are there\n", counted(int64(r.Links), "link"))
		return nil
	}
	fmt.Fprintf(a.stdout, "made %s from an export that ends with batch %d", counted(int64(r.Links), "link"), r.Head.Batch)
	if r.Stops > 0 {
		fmt.Fprintf(a.stdout, "; what operators hold or switched off is in force again: %d", r.Stops)
	}
	if r.Refused > 0 {
		fmt.Fprintf(a.stdout, "; accounts that are not somebody's, as operators said: %d", r.Refused)
	}
	fmt.Fprintln(a.stdout)
	for _, doubt := range r.Doubts {
		fmt.Fprintf(a.stdout, "not as it was: %s\n", safe(doubt))
	}
	fmt.Fprintln(a.stdout, "read mmsync plan; until mmsync state accept-restore --reason … nothing is written to Mattermost")
	return nil
}
