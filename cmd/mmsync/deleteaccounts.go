package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func (a *app) deleteAccountsCmd() *cobra.Command {
	cmd := group("delete-accounts", "delete accounts of people who left long ago, for good")
	cmd.Long = "Delete accounts of people who left long ago, for good, with what they wrote and uploaded. Nothing brings\n" +
		"them back, and no run of mmsync ever does it. plan shows whose accounts would go, apply deletes exactly those.\n" +
		"Both need lifecycle.permanent_delete.enabled, and a server whose ServiceSettings.EnableAPIUserDeletion is on.\n\n" +
		"Only an account goes that is linked, that mmsync itself switched off and nobody switched on since, that has been\n" +
		"off for lifecycle.permanent_delete.after, and whose person every source, read whole, has no more. One with more\n" +
		"rights than a user stays, and so does a protected one, or one whose name somebody in a source wants."
	cmd.AddCommand(a.deletePlanCmd(), a.deleteApplyCmd())
	return cmd
}

func (a *app) deletePlanCmd() *cobra.Command {
	var f planFlags
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "show whose accounts would be deleted for good; writes nothing to Mattermost",
		Long: "Show whose accounts would be deleted for good and, of the others who left that long ago, who keeps his and why;\n" +
			"with --user, of each who is named. The plan is kept for 24 h: naming it to apply is your word for exactly those.\n\n" +
			"Exit code 0: nobody. 2: accounts would be deleted.",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			d, o, p, err := a.begin(cmd.Context(), f, true)
			if err != nil {
				return err
			}
			defer closing(d, &err)
			rep, err := d.Engine.PlanForGood(cmd.Context(), o, reconcile.Selection{Sources: f.sources, People: f.people})
			p.clear()
			if err != nil {
				return err
			}
			return a.printDeletions(rep, f)
		},
	}
	f.addListing(cmd)
	fl := cmd.Flags()
	fl.StringSliceVar(&f.sources, "source", nil, "only people of this `source`")
	fl.StringArrayVar(&f.people, "user", nil, "only this `person` (username, account id, DN, anchor, source/anchor)")
	return cmd
}

func (a *app) printDeletions(rep reconcile.Report, f planFlags) error {
	a.warn(rep)
	if a.output == "json" {
		if err := a.printJSON(newRunDocument(rep)); err != nil {
			return err
		}
		return exit(planCode(rep))
	}
	rep.Guards = "" // none counts these
	if err := a.render(rep, plan.Style{Lines: f.limitLines, Redact: f.redact}); err != nil {
		return err
	}
	if n := rep.Plan.Count(plan.Delete); n > 0 && !a.quiet {
		fmt.Fprintf(a.stdout, "To delete them for good, which nothing takes back: mmsync delete-accounts apply %s --expect %d --reason …\n", rep.RunID, n)
	}
	return exit(planCode(rep))
}

func (a *app) deleteApplyCmd() *cobra.Command {
	var f planFlags
	var wait time.Duration
	expect := -1
	cmd := &cobra.Command{
		Use:   "apply PLAN",
		Short: "delete the accounts of a plan, for good",
		Long: "Delete the accounts that a plan of mmsync delete-accounts plan names, by the id that it printed. Everything is\n" +
			"read once more, and each account is looked at again just before it is deleted: who came back keeps his, and\n" +
			"is named. If it is cut off, the same command goes on. A person who returns afterwards gets a new account.\n\n" +
			"Exit code 0: the accounts of the plan are gone. 4: somebody keeps his; the lines say why. 5: the plan is too\n" +
			"old, or of another configuration. 6: another run is at it.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if !cmd.Flags().Changed("expect") || expect < 1 {
				return usage(errors.New("needs --expect, the number of accounts that the plan deletes: mmsync delete-accounts plan says it"))
			}
			if err := needsReason(cmd, f.reason); err != nil {
				return err
			}
			a.deletions = true
			d, o, p, err := a.begin(cmd.Context(), f, false)
			if err != nil {
				return err
			}
			defer closing(d, &err)
			rep, err := waiting(cmd.Context(), func() (reconcile.Report, error) {
				return d.Engine.DeleteForGood(cmd.Context(), o, args[0], expect)
			}, wait)
			p.clear()
			var count *reconcile.DeletionMismatchError
			switch {
			case errors.As(err, &count):
				return &exitError{exitFailed, err, fmt.Sprintf("mmsync delete-accounts plan shows who they are; if that is right, say --expect %d", count.Accounts)}
			case err != nil:
				return err
			}
			rep.Guards = ""
			if err := a.printSync(rep, f); err != nil {
				return err
			}
			code := syncCode(rep)
			if code == exitOK && (rep.Plan.Count(plan.Hold) > 0 || len(rep.Plan.Warnings) > 0) {
				code = exitPartial
			}
			return exit(code)
		},
	}
	f.addListing(cmd)
	fl := cmd.Flags()
	fl.IntVar(&expect, "expect", -1, "delete them, if the plan has exactly this `number` of accounts")
	fl.Lookup("expect").DefValue = "0" // hides it: without it nothing is deleted
	fl.Var(lasting(&wait, 15*time.Second), "wait-lock", "wait this long for another run to end")
	return cmd
}
