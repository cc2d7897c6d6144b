package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func (a *app) changeLockedCmd() *cobra.Command {
	var f planFlags
	var wait time.Duration
	expect := -1
	cmd := &cobra.Command{
		Use:   "change-locked",
		Short: "change names and e-mails that the server keeps locked under somebody's login",
		Long: "Change what the server keeps locked under the login that people have: the username of whoever logs in by a\n" +
			"service, the e-mail under ldap, e-mail and name under the OAuth services; and switch accounts on again that\n" +
			"the server keeps to its own LDAP sync, and that mmsync had switched off. The account is given another login\n" +
			"for a moment, changed, and given its own back. Whoever tries to log in just then cannot. If it is cut off,\n" +
			"the next run of mmsync gives the login back. Without --expect it only shows what it would do.\n\n" +
			"Exit code 0: done, or nothing to do. 2: shown, and to be carried out. 4: done, but somebody was not changed;\n" +
			"the lines say why. 6: another run is at it.",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			ctx, carryOut := cmd.Context(), cmd.Flags().Changed("expect")
			if carryOut {
				if expect < 0 {
					return usage(errors.New("--expect is the number of people to change"))
				}
				if err := needsReason(cmd, f.reason); err != nil {
					return err
				}
			}
			a.passwords = carryOut
			d, o, p, err := a.begin(ctx, f, !carryOut)
			if err != nil {
				return err
			}
			defer closing(d, &err)
			s := reconcile.Selection{Sources: f.sources, People: f.people, Groups: f.groups}
			if !carryOut {
				rep, err := d.Engine.PlanLocked(ctx, o, s)
				p.clear()
				if err != nil {
					return err
				}
				return a.printLocked(rep, f)
			}
			rep, err := waiting(ctx, func() (reconcile.Report, error) { return d.Engine.ChangeLocked(ctx, o, s, expect) }, wait)
			p.clear()
			var count *reconcile.ChangeMismatchError
			switch {
			case errors.As(err, &count):
				return &exitError{exitFailed, err, fmt.Sprintf("see them without --expect; if that is right, say --expect %d", count.People)}
			case err != nil:
				return err
			}
			if err := a.printSync(rep, f); err != nil {
				return err
			}
			return exit(syncCode(rep))
		},
	}
	f.addPeople(cmd)
	fl := cmd.Flags()
	fl.IntVar(&expect, "expect", -1, "carry it out, if exactly this `number` of people are to be changed")
	fl.Lookup("expect").DefValue = "0" // hides it: without it nothing is changed
	fl.Var(lasting(&wait, 15*time.Second), "wait-lock", "wait this long for another run to end")
	return cmd
}

func (a *app) printLocked(rep reconcile.Report, f planFlags) error {
	a.warn(rep)
	if a.output == "json" {
		if err := a.printJSON(newRunDocument(rep)); err != nil {
			return err
		}
		return exit(planCode(rep))
	}
	if err := a.render(rep, plan.Style{Lines: f.limitLines, Redact: f.redact}); err != nil {
		return err
	}
	n := 0
	for i := range rep.Plan.Decisions {
		if len(rep.Plan.Decisions[i].Ops) > 0 {
			n++
		}
	}
	if n > 0 && !a.quiet {
		who := f.pilot()
		if f.redact { // it has names
			who = ""
		}
		fmt.Fprintf(a.stdout, "To carry it out: mmsync change-locked%s --expect %d --reason …\n", who, n)
	}
	return exit(planCode(rep))
}
