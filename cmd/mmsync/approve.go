package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

func (a *app) approveCmd() *cobra.Command {
	var list, dryRun bool
	s := reconcile.Say{Approves: true}
	cmd := &cobra.Command{
		Use:   "approve RUN [PERSON...] | --list",
		Short: "let what a run held back through, exactly that and once",
		Long: "Let what a run held back through: the next sync carries out exactly those changes, each of them only if\n" +
			"nothing about it is different by then, and what was approved counts for no guard. RUN is the run that held\n" +
			"them, as plan, sync and history show it; with PERSON (username, account id, DN, anchor or source/anchor) only\n" +
			"what was held of those. Matches with accounts that exist already are for mmsync link approve.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if list {
				if len(args) > 0 {
					return usage(errors.New("--list takes no run"))
				}
				return a.listVerdicts(cmd)
			}
			return a.speak(cmd, args, s, dryRun)
		},
	}
	cmd.Flags().BoolVar(&list, "list", false, "list what was approved or rejected and is in force")
	cmd.Flags().Var(lasting(&s.TTL, reconcile.ApprovalTTL), "for", "how long it waits for a sync to use it")
	a.speakFlags(cmd, &s, &dryRun)
	return cmd
}

func (a *app) rejectCmd() *cobra.Command {
	var dryRun bool
	var s reconcile.Say
	cmd := &cobra.Command{
		Use:   "reject RUN [PERSON...]",
		Short: "say no to what a run held back",
		Long: "Say no to what a run held back: it stays undone, and nobody is asked again, for as long as the source wants\n" +
			"the same. mmsync approve takes a no back, and the other way round.",
		RunE: func(cmd *cobra.Command, args []string) error { return a.speak(cmd, args, s, dryRun) },
	}
	a.speakFlags(cmd, &s, &dryRun)
	return cmd
}

func (a *app) speakFlags(cmd *cobra.Command, s *reconcile.Say, dryRun *bool) {
	cmd.Flags().StringVar(&s.Reason, "reason", "", "`why`, kept in the history (required)")
	cmd.Flags().BoolVar(dryRun, "dry-run", false, "only show what it would be about")
	cmd.Args = cobra.ArbitraryArgs
}

// speak keeps an operator's word and shows what it is about.
func (a *app) speak(cmd *cobra.Command, args []string, s reconcile.Say, dryRun bool) (err error) {
	switch {
	case len(args) == 0:
		return usage(fmt.Errorf("%s needs the RUN that held something back; mmsync history lists the runs", cmd.Name()))
	case strings.TrimSpace(s.Reason) == "" && !dryRun:
		return usage(errors.New("say why with --reason, it is kept in the history"))
	}
	s.Run, s.People, s.By, s.Try = args[0], args[1:], whoami(), dryRun
	d, err := a.open(cmd.Context(), true, a.progress())
	if err != nil {
		return err
	}
	defer closing(d, &err)
	v, err := d.Engine.Say(cmd.Context(), s)
	if err != nil {
		return err
	}
	if a.output == "json" {
		return a.printJSON(newVerdictDocument(v))
	}
	if err := a.printItems(v.Items); err != nil {
		return err
	}
	did, then := "rejected", "they stay as they are for as long as the source wants the same"
	if s.Approves {
		did, then = "approved", fmt.Sprintf("%s until %s UTC carries out exactly that", whoCarriesOut(d.Config, v.Items), when(v.Expires))
	}
	if dryRun {
		did, then = "would be "+did, "nothing was written"
	}
	fmt.Fprintf(a.stdout, "\n%s of run %s %s: %s\n", tally(v.Items), v.Run, did, then)
	return nil
}

// whoCarriesOut names what carries an approval out: people who are pushed are worked
// on at once by a service that runs.
func whoCarriesOut(c *config.Config, items []state.VerdictItem) string {
	pushed := map[string]bool{}
	for i := range c.Sources {
		pushed[c.Sources[i].Name] = c.Sources[i].SCIM != nil
	}
	if slices.ContainsFunc(items, func(it state.VerdictItem) bool { return pushed[it.Key.Source] }) {
		return "mmsync serve at once, or the next mmsync sync"
	}
	return "the next mmsync sync"
}

// tally counts by action: "150 deactivate, 2 update".
func tally(items []state.VerdictItem) string {
	count := map[plan.Action]int{}
	for _, it := range items {
		count[it.Action]++
	}
	var parts []string
	for _, action := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, fmt.Sprintf("%d %s", count[action], action))
	}
	return strings.Join(parts, ", ")
}

// printItems lists the first of the people that a verdict is about.
func (a *app) printItems(items []state.VerdictItem) error {
	const most = 50
	var rows [][]string
	for i, it := range items {
		if i == most {
			break
		}
		var what []string
		for _, op := range it.Ops {
			what = append(what, string(op.Kind)+" "+changesText(op))
		}
		rows = append(rows, []string{it.Username, string(it.Action), strings.Join(what, "; "), it.Key.String()})
	}
	if err := a.table([]string{"USERNAME", "ACTION", "CHANGES", "KEY"}, rows); err != nil {
		return err
	}
	if len(items) > most {
		fmt.Fprintf(a.stdout, "… and %d more; -o json shows all\n", len(items)-most)
	}
	return nil
}

type verdictsDocument struct {
	FormatVersion string            `json:"format_version"`
	Verdicts      []verdictDocument `json:"verdicts"`
}

type verdictDocument struct {
	FormatVersion string        `json:"format_version,omitempty"`
	ID            string        `json:"id"`
	Run           string        `json:"run"`
	Approves      bool          `json:"approves"`
	Reason        string        `json:"reason"`
	By            string        `json:"by"`
	At            *time.Time    `json:"at"`
	Expires       *time.Time    `json:"expires"`
	Items         []verdictItem `json:"items"`
}

type verdictItem struct {
	Key      string      `json:"key"`
	Account  string      `json:"account,omitempty"`
	Username string      `json:"username"`
	Action   plan.Action `json:"action"`
	Ops      []plan.Op   `json:"ops"`
	UsedBy   string      `json:"used_by,omitempty"`
}

func newVerdictDocument(v state.Verdict) verdictDocument {
	d := verdictDocument{
		FormatVersion: plan.FormatVersion, ID: v.ID, Run: v.Run, Approves: v.Approves, Reason: v.Reason, By: v.MadeBy,
		At: rfc3339(v.MadeAt), Expires: rfc3339(v.Expires), Items: []verdictItem{},
	}
	for _, it := range v.Items {
		d.Items = append(d.Items, verdictItem{it.Key.String(), it.AccountID, it.Username, it.Action, it.Ops, it.UsedBy})
	}
	return d
}

func (a *app) listVerdicts(cmd *cobra.Command) (err error) {
	_, store, err := a.openStore(cmd.Context())
	if err != nil {
		return err
	}
	defer closing(store, &err)
	list, err := store.Verdicts(cmd.Context(), state.VerdictFilter{Open: true})
	if err != nil {
		return fmt.Errorf("list approvals: %w", err)
	}
	if a.output == "json" {
		d := verdictsDocument{FormatVersion: plan.FormatVersion, Verdicts: []verdictDocument{}}
		for _, v := range list {
			one := newVerdictDocument(v)
			one.FormatVersion = ""
			d.Verdicts = append(d.Verdicts, one)
		}
		return a.printJSON(d)
	}
	rows := make([][]string, 0, len(list))
	for _, v := range list {
		word := "rejected"
		if v.Approves {
			word = "approved"
		}
		left := slices.DeleteFunc(slices.Clone(v.Items), func(it state.VerdictItem) bool { return it.UsedBy != "" })
		rows = append(rows, []string{v.ID, word, v.Run, tally(left), when(v.MadeAt), when(v.Expires), v.MadeBy, v.Reason})
	}
	return a.table([]string{"ID", "WORD", "RUN", "LEFT", "SAID (UTC)", "EXPIRES (UTC)", "BY", "REASON"}, rows)
}
