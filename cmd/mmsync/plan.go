package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// noMinEntries stands for --min-source-entries not given.
const noMinEntries = -1

// planFlags are shared by plan and sync.
type planFlags struct {
	audit            bool
	limitLines       int
	redact           bool
	maxDeactivations string
	maxRoleRemovals  string
	maxReactivations string
	maxRecreations   string
	maxCreates       string
	maxUpdates       string
	minEntries       float64
	reason           string
	sources          []string
	people           []string
	groups           []string
	only             []string
	limit            int
	revert           string
}

func (f *planFlags) add(cmd *cobra.Command) {
	cmd.PreRunE = func(*cobra.Command, []string) error { // before anything is read
		_, err := f.options(guard.Limits{})
		return err
	}
	fl := cmd.Flags()
	fl.BoolVar(&f.audit, "audit", false, "walk all accounts of the server, not only the linked ones")
	fl.IntVar(&f.limitLines, "limit-lines", 200, "list at most this `number` of people (0: all)")
	fl.BoolVar(&f.redact, "redact", false, "leave names and values out of the listing")
	fl.StringVar(&f.maxDeactivations, "max-deactivations", "", "allow this `number` of deactivations, or N%, in this run")
	fl.StringVar(&f.maxRoleRemovals, "max-role-removals", "", "let this `number` of accounts, or N%, lose a role in this run")
	fl.StringVar(&f.maxReactivations, "max-reactivations", "", "let this `number` of accounts, or N%, be switched on again in this run")
	fl.StringVar(&f.maxRecreations, "max-recreations", "", "let this `number` of accounts that are gone, or N%, be made anew in this run")
	fl.StringVar(&f.maxCreates, "max-creates", "", "allow this `number` of new accounts, or N%, in this run")
	fl.StringVar(&f.maxUpdates, "max-updates", "", "let this `number` of accounts, or N%, be updated in this run")
	fl.Float64Var(&f.minEntries, "min-source-entries", noMinEntries, "accept a source with this `percentage` of its largest read, in this run (0: any)")
	fl.Lookup("min-source-entries").DefValue = "0" // hides it: the default is the configuration's
	fl.StringVar(&f.revert, "revert", "", "take back what this `run` did, as far as the accounts still show it; no source is read")
	fl.StringVar(&f.reason, "reason", "", "`why`, kept in the history")
	fl.StringSliceVar(&f.sources, "source", nil, "a pilot: only people of this `source`")
	fl.StringArrayVar(&f.people, "user", nil, "a pilot: only this `person` (username, account id, DN, anchor, source/anchor)")
	fl.StringArrayVar(&f.groups, "group", nil, "a pilot: only people of this `group`, by its DN or stable id")
	fl.StringSliceVar(&f.only, "only", nil, "a pilot: only these `actions`: "+strings.Join(actionNames(), ", ")+"; adopt alone links and changes nothing else")
	fl.IntVar(&f.limit, "limit", 0, "a pilot: at most this `number` of people, leavers first (0: all)")
}

// actionNames are the actions that can be selected.
func actionNames() []string {
	var out []string
	for _, action := range plan.Actions() {
		if action != plan.Delete && action != plan.Hold && action != plan.NoOp {
			out = append(out, string(action))
		}
	}
	return out
}

// selection reads the flags of a pilot.
func (f *planFlags) selection() (reconcile.Selection, error) {
	s := reconcile.Selection{Sources: f.sources, People: f.people, Groups: f.groups, Limit: f.limit}
	if f.limit < 0 {
		return s, usage(fmt.Errorf("--limit is %d, but must be 0 or more", f.limit))
	}
	for _, name := range f.only {
		if !slices.Contains(actionNames(), name) {
			return s, usage(fmt.Errorf("--only is %q, but must be one or more of %s", name, strings.Join(actionNames(), ", ")))
		}
		s.Actions = append(s.Actions, plan.Action(name))
	}
	return s, nil
}

func (f *planFlags) options(base guard.Limits) (reconcile.RunOptions, error) {
	o := reconcile.RunOptions{Trigger: "cli", RequestedBy: whoami(), Reason: f.reason, Audit: f.audit}
	if f.limitLines < 0 {
		return o, usage(fmt.Errorf("--limit-lines is %d, but must be 0 or more", f.limitLines))
	}
	if f.revert != "" && (f.audit || f.minEntries != noMinEntries) {
		return o, usage(errors.New("--revert reads no source and walks no server, so that --audit and --min-source-entries mean nothing with it"))
	}
	if f.revert != "" && len(f.sources)+len(f.people)+len(f.groups)+len(f.only)+f.limit != 0 {
		return o, usage(errors.New("--revert takes back all that a run did, so that --source, --user, --group, --only and --limit cannot narrow it; hold those who are to stay as they are with mmsync hold --user"))
	}
	l, changed := base, false
	for _, x := range []struct {
		name, value string
		limit       *guard.Limit
	}{
		{"max-deactivations", f.maxDeactivations, &l.Deactivations},
		{"max-role-removals", f.maxRoleRemovals, &l.RoleRemovals},
		{"max-reactivations", f.maxReactivations, &l.Reactivations},
		{"max-recreations", f.maxRecreations, &l.Recreations},
		{"max-creates", f.maxCreates, &l.Creates},
		{"max-updates", f.maxUpdates, &l.Updates},
	} {
		if x.value == "" {
			continue
		}
		limit, ok := parseLimit(x.value)
		if !ok {
			return o, usage(fmt.Errorf("--%s is %q, but must be a number such as 20, or a percentage such as 5%%", x.name, x.value))
		}
		*x.limit, changed = limit, true
	}
	if f.minEntries != noMinEntries {
		if !(f.minEntries >= 0 && f.minEntries <= 100) { // not a number is neither
			return o, usage(fmt.Errorf("--min-source-entries is %g, but must be a percentage from 0 to 100", f.minEntries))
		}
		l.MinEntriesPercent, changed = f.minEntries, true
	}
	if changed {
		o.Limits = &l
	}
	s, err := f.selection()
	return o.Select(s), err
}

// parseLimit reads "20" or "5%". What is asked for by hand counts for small
// populations as well.
func parseLimit(s string) (guard.Limit, bool) {
	if number, ok := strings.CutSuffix(s, "%"); ok {
		n, err := strconv.ParseFloat(number, 64)
		return guard.Limit{Percent: n, ByHand: true}, err == nil && n >= 0 && n <= 100
	}
	n, err := strconv.Atoi(s)
	return guard.Limit{Count: n, ByHand: true}, err == nil && n >= 0
}

func whoami() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return name + "@" + host
}

func (a *app) planCmd() *cobra.Command {
	var f planFlags
	var exitZero, expectNone, detailed bool
	var out string
	cmd := &cobra.Command{
		Use:     "plan",
		Aliases: []string{"diff"},
		Short:   "show what sync would do; writes nothing to Mattermost",
		Long:    "Show what sync would do, and change nothing.\n\nExit code 0: nothing to do, though somebody may be held. 2: changes are pending. 3: a guard holds some of them back.\n4: nothing to do, but a source could not be read whole, or nobody is known by a name that was given.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.revert != "" && out != "" {
				return usage(errors.New("--out saves what a sync would do, and --revert is none; mmsync sync --revert carries it out"))
			}
			if err := checkPlanPlace(out); err != nil { // before anything is read
				return err
			}
			rep, err := a.look(cmd.Context(), f, out)
			if err != nil {
				return err
			}
			n := planCode(rep)
			if n == exitChanges && exitZero {
				n = exitOK
			}
			if expectNone && rep.Plan.Effective() {
				n = exitChanges
			}
			return exit(n)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&out, "out", "", "save the plan in this `file`, for mmsync apply")
	cmd.Flags().BoolVar(&exitZero, "exit-zero", false, "exit with 0 instead of 2 when changes are pending")
	cmd.Flags().BoolVar(&expectNone, "expect-no-changes", false, "exit with 2 when changes are pending, whatever else is said")
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "accepted and without effect: plan always has detailed exit codes")
	_ = cmd.Flags().MarkHidden("detailed-exitcode") // the flag exists, three lines up
	return cmd
}

// begin opens what the configuration names and reads what the flags ask of a
// run. readOnly lets no write leave for Mattermost.
func (a *app) begin(ctx context.Context, f planFlags, readOnly bool) (*daemon.Daemon, reconcile.RunOptions, *progress, error) {
	p := a.progress()
	d, err := a.open(ctx, readOnly, p, f.groups...)
	if err != nil {
		return nil, reconcile.RunOptions{}, nil, err
	}
	o, err := f.options(d.Limits())
	for _, name := range f.sources {
		err = errors.Join(err, knownSource(d.Config, name))
	}
	if err != nil {
		closing(d, &err)
		return nil, o, nil, err
	}
	return d, o, p, nil
}

// look shows what a run would do: plan, and sync --dry-run. With out it saves that.
func (a *app) look(ctx context.Context, f planFlags, out string) (rep reconcile.Report, err error) {
	d, o, p, err := a.begin(ctx, f, true)
	if err != nil {
		return rep, err
	}
	defer closing(d, &err)
	o.Keep = out != ""
	if f.revert != "" {
		rep, err = d.Engine.PlanRevert(ctx, o, f.revert)
	} else {
		rep, err = d.Engine.Plan(ctx, o)
	}
	p.clear()
	if err != nil {
		return rep, err
	}
	if out != "" {
		saved, err := d.Engine.Saved(ctx, rep, o)
		if err != nil {
			return rep, err
		}
		if err := writePlan(out, saved); err != nil {
			return rep, cmp.Or(a.printPlan(rep, f, ""), err)
		}
	}
	return rep, a.printPlan(rep, f, out)
}

func planCode(r reconcile.Report) int {
	switch {
	case r.Verdict.Tripped():
		return exitGuard
	case r.Plan.Effective():
		return exitChanges
	case degraded(r):
		return exitPartial
	}
	return exitOK
}

func degraded(r reconcile.Report) bool {
	for _, s := range r.Plan.Sources {
		if s.Doubtful() {
			return true
		}
	}
	return len(r.Problems) > 0
}

// auditStale is the age from which a plan says how old the last audit is: runs that
// write make one each night.
const auditStale = 48 * time.Hour

func (a *app) printPlan(r reconcile.Report, f planFlags, out string) error {
	a.warn(r)
	if r.AuditAge > auditStale {
		a.say(fmt.Sprintf("the whole server was last looked over %d days ago: what was made or changed by hand since may not show; mmsync plan --audit looks", int(r.AuditAge/(24*time.Hour))))
	}
	if a.output == "json" {
		return a.printJSON(newRunDocument(r))
	}
	if err := a.render(r, plan.Style{Lines: f.limitLines, Redact: f.redact}); err != nil {
		return err
	}
	switch {
	case a.quiet:
	case r.Plan.Effective() && out != "":
		fmt.Fprintf(a.stdout, "To carry out exactly this: mmsync apply %s\n", printable(out))
	case r.Plan.Effective() && !r.Verdict.Tripped():
		how := "mmsync sync"
		if f.revert != "" {
			how += " --revert " + f.revert
		}
		pilot := f.pilot()
		if pilot != "" && f.redact { // it has names
			break
		}
		fmt.Fprintln(a.stdout, "To carry it out:", how+pilot)
	}
	return nil
}

// pilot gives the flags of a pilot as they can be typed again, with a space before
// each; "" if there are none.
func (f *planFlags) pilot() string {
	var b strings.Builder
	for _, x := range []struct {
		name   string
		values []string
	}{{"source", f.sources}, {"user", f.people}, {"group", f.groups}, {"only", f.only}} {
		for _, v := range x.values {
			b.WriteString(" --" + x.name + " " + plan.Shell(v))
		}
	}
	if f.limit > 0 {
		b.WriteString(" --limit " + strconv.Itoa(f.limit))
	}
	return b.String()
}

// render prints a plan and, if it does anything, how near to the limits it is.
func (a *app) render(r reconcile.Report, s plan.Style) error {
	s.Color = a.colored(a.stdout)
	if err := plan.Render(a.stdout, r.Plan, s); err != nil {
		return err
	}
	if r.Guards != "" && (r.Plan.Effective() || r.Verdict.Tripped()) {
		fmt.Fprintln(a.stdout, r.Guards)
	}
	if r.Census != nil && r.Census.First {
		fmt.Fprint(a.stdout, censusText(r.Census))
	}
	return nil
}

// warn says on stderr what a reader of the plan must know beside it.
func (a *app) warn(r reconcile.Report) {
	const most = 10
	for i, p := range r.Problems {
		if i == most {
			a.say(fmt.Sprintf("… and %d more problems", len(r.Problems)-most))
			break
		}
		a.say(p)
	}
	for _, t := range r.Verdict.Trips {
		a.say(t.Message)
	}
}
