package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

func (a *app) syncCmd() *cobra.Command {
	var f planFlags
	var dryRun, onlyChanges bool
	var wait time.Duration
	cmd := &cobra.Command{
		Use:     "sync",
		Aliases: []string{"run"},
		Short:   "plan, check the guards, and carry the plan out",
		Long:    "Plan, check the guards, and carry the plan out.\n\nExit code 0: done, everything is as the sources want it. 3: a guard held back what was too much; the rest is done.\n4: done, but something failed, is held for somebody, or could not be considered. 6: another run is at it.",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			ctx := cmd.Context()
			if dryRun {
				rep, err := a.look(ctx, f, "")
				if err != nil {
					return err
				}
				return exit(planCode(rep))
			}
			d, o, p, err := a.begin(ctx, f, false)
			if err != nil {
				return err
			}
			defer closing(d, &err)
			o.Changes = onlyChanges
			var rep reconcile.Report
			if f.revert != "" {
				rep, err = waiting(ctx, func() (reconcile.Report, error) { return d.Engine.Revert(ctx, o, f.revert) }, wait)
			} else {
				rep, err = d.Engine.Ask(ctx, o, wait, a.say)
			}
			p.clear()
			if on, ok := errors.AsType[*reconcile.GoesOnError](err); ok {
				return goesOn(ctx, on)
			}
			if err != nil {
				if rep.Plan.Effective() && !errors.Is(err, reconcile.ErrRefused) { // it had begun to write
					a.say(fmt.Sprintf("run %s ended early: %s done, %d failed; see mmsync history %s", rep.RunID, changes(rep.Counts.Done), rep.Counts.Failed, rep.RunID))
				}
				return err
			}
			if err := a.printSync(rep, f); err != nil {
				return err
			}
			a.sayPinned(rep)
			return exit(syncCode(rep))
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "the same as mmsync plan")
	cmd.Flags().BoolVar(&onlyChanges, "changes", false, "read only what changed, where a source can tell that and its full_sync_period is not over; it sees nothing that was changed in Mattermost")
	cmd.Flags().Bool("yes", false, "accepted and without effect: sync asks nothing")
	cmd.Flags().Var(lasting(&wait, 15*time.Second), "wait-lock", "wait this long for another run to end, or for whoever makes it to begin this one")
	return cmd
}

// goesOn ends a command that was interrupted while another process makes its run.
func goesOn(ctx context.Context, on *reconcile.GoesOnError) error {
	code := exitFailed
	if sig, ok := errors.AsType[signalError](context.Cause(ctx)); ok {
		code = signalOffset + int(sig.signal)
	}
	return &exitError{code, on, "mmsync history " + on.Run + " shows what becomes of it"}
}

func syncCode(r reconcile.Report) int {
	switch r.Status {
	case state.RunWithheld:
		return exitGuard
	case state.RunPartial:
		return exitPartial
	default:
		return exitOK
	}
}

func (a *app) printSync(r reconcile.Report, f planFlags) error {
	a.warnSync(r)
	if r.Again != nil {
		a.warnSync(*r.Again)
	}
	if a.output == "json" {
		return a.printJSON(newRunDocument(r))
	}
	if a.quiet && syncCode(r) == exitOK {
		return nil
	}
	if err := a.printOutcome(r, f, "Run"); err != nil || r.Again == nil {
		return err
	}
	fmt.Fprintln(a.stdout, "\nLooked again at accounts that were just changed:")
	return a.printOutcome(*r.Again, f, "Second look, run")
}

// warnSync says on stderr what kept a run from being carried out whole.
func (a *app) warnSync(r reconcile.Report) {
	a.warn(r)
	const most = 20
	for i, x := range r.Failures {
		if i == most {
			a.say(fmt.Sprintf("… and %d more; see mmsync history %s", len(r.Failures)-most, r.RunID))
			break
		}
		a.say(fmt.Sprintf("%s of %s was not carried out: %s", x.Op, printable(x.Username), x.Error))
	}
}

func (a *app) printOutcome(r reconcile.Report, f planFlags, name string) error {
	r.Plan.Target.Estimate = 0 // it is known now
	if err := a.render(r, plan.Style{Lines: f.limitLines, Redact: f.redact}); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s %s: %s in %s: %s done, %d failed, %d skipped, %d held\n",
		name, r.RunID, r.Status, round(r.Took), changes(r.Counts.Done), r.Counts.Failed, r.Counts.Skipped, r.Counts.Held)
	return nil
}
