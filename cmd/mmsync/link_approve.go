package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/reconcile"
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
			"the account's id, the DN or source/anchor as plan and explain show them. If one of them fits nobody, or\n" +
			"two people, nobody is linked; of two who claim one account, name one as source/anchor. --all takes every\n" +
			"held match but those of accounts with more rights than a user; name those one by one.",
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
			o := reconcile.RunOptions{Trigger: "cli", RequestedBy: whoami(), Reason: reason}
			run := func() (reconcile.Report, error) { return d.Engine.Approve(ctx, o, args) }
			if dryRun {
				run = func() (reconcile.Report, error) { return d.Engine.PlanApproval(ctx, o, args) }
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
			if rep.Counts.Failed+rep.Counts.Skipped+len(rep.Problems) > 0 {
				return exit(exitPartial)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "every held match of an ordinary account")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only show what would be linked")
	cmd.Flags().StringVar(&reason, "reason", "", "why, kept in the history")
	cmd.Flags().Var(lasting(&wait, 15*time.Second), "wait-lock", "wait this long for another run to end")
	cmd.Args = cobra.ArbitraryArgs
	return cmd
}
