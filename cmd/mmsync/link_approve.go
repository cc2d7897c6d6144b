package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func (a *app) linkApproveCmd() *cobra.Command {
	var all, dryRun bool
	var reason string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "approve PERSON... | --all",
		Short: "say that held matches are the same people",
		Long: "Say that an existing account is the person that plan matched it with. Only ownership changes: no\n" +
			"account is written to, and the next plan shows what would then be patched. PERSON is the username,\n" +
			"the account's id, the DN or source/anchor as plan and explain show them. --all takes every held match\n" +
			"but those of accounts with more rights than a user; name those one by one.",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if all == (len(args) > 0) {
				return usage(errors.New("name the people to link, or give --all, but not both"))
			}
			ctx := cmd.Context()
			p := a.progress()
			d, err := a.open(ctx, true, p)
			if err != nil {
				return err
			}
			defer closing(d, &err)
			found := map[string]bool{}
			pick := func(x plan.Decision) bool { return x.Reason == plan.MatchNeedsWord }
			if !all {
				pick = pickNamed(args, found)
			}
			o := reconcile.RunOptions{Trigger: "cli", RequestedBy: whoami(), Reason: reason}
			run := func() (reconcile.Report, error) { return d.Engine.Approve(ctx, o, pick) }
			if dryRun {
				run = func() (reconcile.Report, error) { return d.Engine.PlanApproval(ctx, o, pick) }
			}
			rep, err := waiting(ctx, run, wait)
			p.clear()
			if err != nil {
				return err
			}
			rep.Guards = "" // a link switches nobody off
			if err := a.printSync(rep, planFlags{}); err != nil {
				return err
			}
			for _, q := range args {
				if !found[q] {
					return &exitError{exitFailed, fmt.Errorf("no held match fits %q", q), "mmsync plan lists those there are"}
				}
			}
			if rep.Counts.Failed+rep.Counts.Skipped > 0 {
				return exit(exitPartial)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "every held match of an ordinary account")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only show what would be linked")
	cmd.Flags().StringVar(&reason, "reason", "", "why, kept in the history")
	cmd.Flags().DurationVar(&wait, "wait-lock", 15*time.Second, "wait this long for another run to end")
	cmd.Args = cobra.ArbitraryArgs
	return cmd
}

// pickNamed takes the decisions about the people of a list, and notes who of
// them there was.
func pickNamed(people []string, found map[string]bool) func(plan.Decision) bool {
	return func(d plan.Decision) bool {
		hit := false
		for _, q := range people {
			if reconcile.Named(d, q) {
				found[q], hit = true, true
			}
		}
		return hit
	}
}
