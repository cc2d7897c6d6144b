package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

func (a *app) deactivateCmd() *cobra.Command {
	var now, dryRun bool
	var reason string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "deactivate USER",
		Short: "switch one person off at once, whatever the source says",
		Long: "Switch one person off at once, and keep him off until the source says so as well. No limit of the guards\n" +
			"counts it; accounts that are protected, that mmsync does not own, bots and the last administrators are\n" +
			"refused. No source is read. USER is a username, e-mail, DN, account id or source/anchor.\n\n" +
			"Exit code 0: the person is off. 1: refused, or something broke. 4: not everything could be done; the lines\n" +
			"say what, and the next run tries again. 6: another run is at it; it is stored, and the next run does it.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if !now {
				return usage(errors.New("deactivate needs --now: there is no other way than at once; whoever may leave in the usual way is switched off by mmsync sync, as soon as the source says so"))
			}
			if err := needsReason(cmd, reason); err != nil {
				return err
			}
			ctx := cmd.Context()
			p := a.progress()
			d, err := a.open(ctx, dryRun, p)
			if err != nil {
				return err
			}
			defer closing(d, &err)
			var off state.Stop
			o := reconcile.RunOptions{Trigger: "cli", RequestedBy: whoami(), Reason: reason}
			run := func() (rep reconcile.Report, err error) {
				rep, off, err = d.Engine.DeactivateNow(ctx, o, args[0])
				return rep, err
			}
			if dryRun {
				run = func() (reconcile.Report, error) { return d.Engine.PlanDeactivation(ctx, o, args[0]) }
			}
			rep, err := waiting(ctx, run, wait)
			p.clear()
			if errors.Is(err, state.ErrHeld) {
				return &exitError{exitLocked, fmt.Errorf("another run of mmsync is at work; it is stored that %s is to be off (%s), and the next run does it", args[0], off.ID), "run mmsync sync as soon as the other has ended, or this command again with more --wait-lock; mmsync history shows what runs"}
			}
			if err != nil {
				return err
			}
			if err := a.printDeactivation(rep, off); err != nil || dryRun {
				return err
			}
			return exit(syncCode(rep))
		},
	}
	fl := cmd.Flags()
	fl.BoolVar(&now, "now", false, "at once; needed, so that nobody is switched off by mistake")
	fl.BoolVar(&dryRun, "dry-run", false, "only show what would be done")
	fl.StringVar(&reason, "reason", "", "`why`, kept in the history")
	fl.Var(lasting(&wait, 15*time.Second), "wait-lock", "wait this long for another run to end")
	return cmd
}

type deactivationDocument struct {
	runDocument
	// Stop is what keeps the person off; absent in a dry run.
	Stop *stopDocument `json:"stop,omitempty"`
}

func (a *app) printDeactivation(rep reconcile.Report, off state.Stop) error {
	if a.output == "json" {
		a.warnSync(rep)
		d := deactivationDocument{runDocument: newRunDocument(rep)}
		if off.ID != "" {
			s := newStopDocument(off, nil)
			d.Stop = &s
		}
		return a.printJSON(d)
	}
	if err := a.printSync(rep, planFlags{}); err != nil || off.ID == "" || a.quiet {
		return err
	}
	fmt.Fprintf(a.stdout, "Off until the source says so as well. To let the person in again: mmsync hold release %s --reason …\n", off.ID)
	return nil
}
