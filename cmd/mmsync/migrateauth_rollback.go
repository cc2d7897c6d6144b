package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func (a *app) migrateRollbackCmd() *cobra.Command {
	var f planFlags
	var wait time.Duration
	var batch int
	var reset bool
	expect := -1
	cmd := &cobra.Command{
		Use:   "rollback [RUN]",
		Short: "give the logins of a batch back, and say what cannot come back",
		Long: "Give the logins back that a batch moved: of the migration that was begun last, by --batch, or of any, by the id\n" +
			"of its run. Without --expect it only shows what it would do. A password cannot come back, because nobody has it:\n" +
			"whoever had one keeps the login that he has now. With --reset-link he is taken from it, and the server mails him\n" +
			"a link to set a new password. Whoever was moved is held from then on, so that nothing moves him again.\n\n" +
			"Exit code 0: done. 2: shown, and to be carried out. 4: done, but not everything could come back; the lines say\n" +
			"what. 6: another run is at it.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			changed := cmd.Flags().Changed("expect")
			switch {
			case (len(args) > 0) == (batch != 0):
				return usage(errors.New("rollback needs either RUN or --batch"))
			case batch < 0:
				return usage(fmt.Errorf("--batch is %d, but must be 1 or more", batch))
			case changed && expect < 0:
				return usage(errors.New("--expect is the number of logins to give back"))
			}
			if changed {
				if err := needsReason(cmd, f.reason); err != nil {
					return err
				}
			}
			return a.rollback(cmd, f, args, batch, reconcile.Rollback{ToPassword: reset, Expect: expect}, changed, wait)
		},
	}
	fl := cmd.Flags()
	fl.IntVar(&batch, "batch", 0, "the `number` of the batch, of the migration that was begun last")
	fl.BoolVar(&reset, "reset-link", false, "take back those, too, who logged in by a password, and have the server mail each a link to set a new one")
	fl.IntVar(&expect, "expect", -1, "carry it out, if there are exactly this `number` of logins to give back")
	fl.Lookup("expect").DefValue = "0" // hides it: without it nothing is changed
	f.addListing(cmd)
	fl.Var(lasting(&wait, 15*time.Second), "wait-lock", "wait this long for another run to end")
	return cmd
}

func (a *app) rollback(cmd *cobra.Command, f planFlags, args []string, batch int, b reconcile.Rollback, carryOut bool, wait time.Duration) (err error) {
	ctx := cmd.Context()
	a.passwords = b.ToPassword
	d, o, p, err := a.begin(ctx, f, !carryOut)
	if err != nil {
		return err
	}
	defer closing(d, &err)
	if len(args) > 0 {
		b.Run = args[0]
	} else {
		m, err := d.Engine.Migration(ctx, "")
		if err != nil {
			return err
		}
		at := slices.IndexFunc(m.Done, func(x reconcile.Batch) bool { return x.Number == batch })
		if at < 0 {
			return fmt.Errorf("%w: the migration of plan %s has no batch %d, but %d; mmsync history lists the runs of others", reconcile.ErrRefused, m.Plan.ID, batch, len(m.Done))
		}
		b.Run = m.Done[at].Run.ID
	}
	if !carryOut {
		rep, err := d.Engine.PlanRollback(ctx, o, b)
		p.clear()
		if err != nil {
			return err
		}
		return a.printRollback(rep, f, b)
	}
	rep, err := waiting(ctx, func() (reconcile.Report, error) { return d.Engine.RollBack(ctx, o, b) }, wait)
	p.clear()
	var count *reconcile.LoginMismatchError
	switch {
	case errors.As(err, &count):
		return &exitError{exitFailed, err, fmt.Sprintf("see them without --expect; if that is right, say --expect %d", count.Logins)}
	case err != nil:
		return err
	}
	if err := a.printSync(rep, f); err != nil {
		return err
	}
	a.sayPinned(rep)
	return exit(syncCode(rep))
}

func (a *app) printRollback(rep reconcile.Report, f planFlags, b reconcile.Rollback) error {
	a.warn(rep)
	logins := 0
	for i := range rep.Plan.Decisions {
		if slices.ContainsFunc(rep.Plan.Decisions[i].Ops, plan.Op.MovesLogin) {
			logins++
		}
	}
	if a.output == "json" {
		if err := a.printJSON(newMigrationDocument(rep, defaultBatch)); err != nil {
			return err
		}
		return exit(planCode(rep))
	}
	if err := a.render(rep, plan.Style{Lines: f.limitLines, Redact: f.redact}); err != nil {
		return err
	}
	if logins > 0 && !a.quiet {
		flag := ""
		if b.ToPassword {
			flag = " --reset-link"
		}
		fmt.Fprintf(a.stdout, "To carry it out: mmsync migrate-auth rollback %s%s --expect %d --reason …\n", b.Run, flag, logins)
	}
	if !b.ToPassword && strings.Contains(strings.Join(rep.Problems, "\n"), "login by password cannot come back") && !a.quiet {
		fmt.Fprintf(a.stdout, "To take those back as well who had a password, and mail each a link to set a new one: mmsync migrate-auth rollback %s --reset-link\n", b.Run)
	}
	return exit(planCode(rep))
}
