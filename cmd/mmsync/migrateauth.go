package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func (a *app) migrateAuthCmd() *cobra.Command {
	cmd := group("migrate-auth", "move existing accounts to the login that auth.policy wants, in batches")
	cmd.Long = "Move existing accounts to the login that auth.policy wants, and change nothing else of them: plan shows who\n" +
		"is moved and who has to stay, apply carries the plan out in batches, resume goes on where apply or a batch\n" +
		"ended, rollback gives the logins of a batch back."
	cmd.AddCommand(a.migratePlanCmd(), a.migrateApplyCmd(false), a.migrateApplyCmd(true), a.migrateRollbackCmd())
	return cmd
}

// loginsAllowed are the words of --from and --to.
func loginsAllowed() []string {
	return []string{"ldap", "saml", "gitlab", "google", "office365", "openid"}
}

func (a *app) migratePlanCmd() *cobra.Command {
	var f planFlags
	var from, to string
	size := defaultBatch
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "show whose login would be moved, and who has to stay; writes nothing to Mattermost",
		Long: "Show whose login would be moved, from which to which, and who has to stay and why. The plan is kept for 24 h:\n" +
			"naming it to apply is your word for exactly the moves that it shows.\n\n" +
			"Exit code 0: nobody is to be moved. 2: moves are pending. 4: nobody, but a source could not be read whole.",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if from != "" && from != reconcile.ByPassword && !slices.Contains(loginsAllowed(), from) {
				return usage(fmt.Errorf("--from is %q, but must be one of %s, %s", from, reconcile.ByPassword, strings.Join(loginsAllowed(), ", ")))
			}
			if to != "" && !slices.Contains(loginsAllowed(), to) {
				return usage(fmt.Errorf("--to is %q, but must be one of %s; back to a password goes mmsync migrate-auth rollback", to, strings.Join(loginsAllowed(), ", ")))
			}
			if size < 1 {
				return usage(fmt.Errorf("--batch-size is %d, but must be 1 or more", size))
			}
			d, o, p, err := a.begin(cmd.Context(), f, true)
			if err != nil {
				return err
			}
			defer closing(d, &err)
			rep, err := d.Engine.PlanMigration(cmd.Context(), o, reconcile.Migration{
				From: from, To: to, Selection: reconcile.Selection{Sources: f.sources, People: f.people, Groups: f.groups},
			})
			p.clear()
			if err != nil {
				return err
			}
			if err := a.printMigration(rep, f, size, d); err != nil {
				return err
			}
			return exit(planCode(rep))
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&from, "from", "", "only people who log in by this `service`: email (a password), "+strings.Join(loginsAllowed(), ", "))
	fl.StringVar(&to, "to", "", "only people who are to log in by this `service`")
	fl.IntVar(&size, "batch-size", size, "show how many batches of this `number` of people it would be")
	f.addPeople(cmd)
	return cmd
}

// defaultBatch is a batch that an administrator can look over, and call about.
const defaultBatch = 100

// addListing adds what shapes a listing, for commands that are no plan or sync.
func (f *planFlags) addListing(cmd *cobra.Command) {
	f.minEntries = noMinEntries
	fl := cmd.Flags()
	fl.IntVar(&f.limitLines, "limit-lines", 200, "list at most this `number` of people (0: all)")
	fl.BoolVar(&f.redact, "redact", false, "leave names and values out of the listing")
	fl.StringVar(&f.reason, "reason", "", "`why`, kept in the history")
}

// addPeople adds who it is about as well.
func (f *planFlags) addPeople(cmd *cobra.Command) {
	f.addListing(cmd)
	fl := cmd.Flags()
	fl.StringSliceVar(&f.sources, "source", nil, "only people of this `source`")
	fl.StringArrayVar(&f.people, "user", nil, "only this `person` (username, account id, DN, anchor, source/anchor)")
	fl.StringArrayVar(&f.groups, "group", nil, "only people of this `group`, by its DN or stable id")
}

func (a *app) migrateApplyCmd(resume bool) *cobra.Command {
	var f planFlags
	var wait time.Duration
	var batches int
	size := defaultBatch
	cmd := &cobra.Command{
		Use:   "apply PLAN",
		Short: "carry a migration's plan out, in batches",
		Long: "Carry out a plan that mmsync migrate-auth plan made, by the id that it printed. Each batch is a run of its own:\n" +
			"everything is read once more, and exactly those are moved whom the plan moves in just that way. Whoever would\n" +
			"be moved otherwise by now, or cannot be any more, is left out and named.",
		Args: cobra.ExactArgs(1),
	}
	if resume {
		cmd.Use, cmd.Short = "resume [PLAN]", "go on with the migration that was begun last"
		cmd.Long = "Go on with the migration that was begun last, or with that of PLAN, where it ended: after --batches, a failure,\n" +
			"or the death of the process. What was moved stays; what may still be on its way is waited for."
		cmd.Args = cobra.MaximumNArgs(1)
	}
	cmd.Long += "\n\nExit code 0: everybody of the plan is moved. 2: the batches are done, and others are left. 4: somebody was\n" +
		"not moved; the lines say why. 5: the plan is too old, or of another configuration. 6: another run is at it."
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		switch {
		case size < 1:
			return usage(fmt.Errorf("--batch-size is %d, but must be 1 or more", size))
		case batches < 0:
			return usage(fmt.Errorf("--batches is %d, but must be 0 or more", batches))
		}
		if err := needsReason(cmd, f.reason); err != nil {
			return err
		}
		d, o, p, err := a.begin(cmd.Context(), f, false)
		if err != nil {
			return err
		}
		defer closing(d, &err)
		id := ""
		if len(args) > 0 {
			id = args[0]
		}
		m, err := d.Engine.Migration(cmd.Context(), id)
		if err != nil {
			return err
		}
		if resume && len(m.Done) == 0 {
			return fmt.Errorf("%w: nothing of plan %s was carried out yet; begin with mmsync migrate-auth apply %s", reconcile.ErrRefused, m.Plan.ID, m.Plan.ID)
		}
		return a.moveBatches(cmd, d, o, p, m, f, migration{size: size, batches: batches, wait: wait})
	}
	fl := cmd.Flags()
	fl.IntVar(&size, "batch-size", size, "move at most this `number` of people in one batch")
	fl.IntVar(&batches, "batches", 0, "end after this `number` of batches (0: when nobody is left)")
	f.addListing(cmd)
	fl.Var(lasting(&wait, 15*time.Second), "wait-lock", "wait this long for another run to end")
	return cmd
}

// migration is how a plan is carried out.
type migration struct {
	size, batches int
	wait          time.Duration
}

// inFlight is how long a migration waits at most for a call of a batch that was cut
// off: as long as one can take.
const inFlight = 2 * time.Minute

// moveBatches carries out batch after batch, until nobody is left or most of one
// failed. Those for whom a call of a batch that was cut off is on its way are waited
// for, after all others.
func (a *app) moveBatches(cmd *cobra.Command, d *daemon.Daemon, o reconcile.RunOptions, p *progress, m *reconcile.Migrating, f planFlags, how migration) error {
	ctx, patience := cmd.Context(), time.Now().Add(inFlight)
	documents := []migrationDocument{}
	code := exitOK
	for batches := 0; how.batches == 0 || batches < how.batches; {
		left := 0
		rep, err := waiting(ctx, func() (rep reconcile.Report, err error) {
			rep, left, err = d.Engine.MigrateBatch(ctx, o, m, how.size)
			return rep, err
		}, how.wait)
		p.clear()
		if err != nil {
			if rep.RunID != "" && rep.Plan.Effective() {
				a.say(fmt.Sprintf("batch %d (run %s) ended early; to go on: mmsync migrate-auth resume --reason …", len(m.Done), rep.RunID))
			}
			return err
		}
		moving, under := rep.Plan.Count(plan.Update), underway(rep)
		if moving == 0 && under > 0 && time.Now().Before(patience) {
			a.say(fmt.Sprintf("a call of a batch that was cut off may still reach the accounts of %d people; waiting for that", under))
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(lookUnderway):
			}
			continue
		}
		if moving == 0 && len(documents) > 0 && rep.Plan.Count(plan.Hold) == 0 {
			break // the batch before was the last
		}
		batches++
		if moving > 0 {
			patience = time.Now().Add(inFlight)
		}
		doc := newMigrationDocument(rep, how.size)
		doc.Batch, doc.Left = len(m.Done), left-moving
		documents = append(documents, doc)
		if a.output == "json" {
			a.warnSync(rep)
		} else if err := a.printBatch(rep, f, len(m.Done), left-moving); err != nil {
			return err
		}
		if n := syncCode(rep); n != exitOK {
			code = n
		}
		last := moving == 0 || left == moving && under == 0 && len(rep.Failures) == 0
		switch {
		case last && rep.Plan.Count(plan.Hold) > 0 && code == exitOK: // somebody of the plan could not be moved
			code = exitPartial
		case last:
		case len(rep.Failures) > moving/2:
			a.say("most of this batch failed, so no other was begun; when the cause is gone: mmsync migrate-auth resume --reason …")
			last = true
		case batches == how.batches && code == exitOK:
			code = exitChanges
		}
		if last {
			break
		}
	}
	return a.endMigration(documents, code)
}

// underway counts those for whom a call of a batch that was cut off is on its way.
func underway(r reconcile.Report) int {
	n := 0
	for i := range r.Plan.Decisions {
		if r.Plan.Decisions[i].Reason == plan.CallInFlight {
			n++
		}
	}
	return n
}

// lookUnderway is how often it is looked whether such a call has ended.
const lookUnderway = 5 * time.Second

func (a *app) endMigration(documents []migrationDocument, code int) error {
	if a.output == "json" {
		if err := a.printJSON(migrationRuns{plan.FormatVersion, documents}); err != nil {
			return err
		}
	}
	return exit(code)
}

func (a *app) printBatch(rep reconcile.Report, f planFlags, number, left int) error {
	a.warnSync(rep)
	if a.quiet && syncCode(rep) == exitOK {
		return nil
	}
	if err := a.printOutcome(rep, f, fmt.Sprintf("Batch %d, run", number)); err != nil {
		return err
	}
	if rep.Plan.Count(plan.Update) > 0 && !a.quiet {
		fmt.Fprintf(a.stdout, "%s left to move. To give this batch back: mmsync migrate-auth rollback --batch %d\n", people(left), number)
	}
	return nil
}

func people(n int) string {
	if n == 1 {
		return "1 person is"
	}
	return fmt.Sprintf("%d people are", n)
}
