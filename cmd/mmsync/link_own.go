package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// ownFlags are shared by the commands that change who owns what.
type ownFlags struct {
	reason string
	dryRun bool
	wait   time.Duration
	lines  int
	writes bool // the command has a call to make
}

func (f *ownFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.reason, "reason", "", "why, kept in the history (required)")
	fl.BoolVar(&f.dryRun, "dry-run", false, "only show what would change")
	fl.Var(lasting(&f.wait, 15*time.Second), "wait-lock", "wait this long for another run to end")
	fl.IntVar(&f.lines, "limit-lines", 200, "list at most this `number` of people (0: all)")
	cmd.Args = cobra.ArbitraryArgs
}

// options asks for a reason, which a dry run can do without.
func (f *ownFlags) options() (reconcile.RunOptions, error) {
	if !f.dryRun && strings.TrimSpace(f.reason) == "" {
		return reconcile.RunOptions{}, usage(errors.New("say why with --reason, it is kept in the history"))
	}
	if f.lines < 0 {
		return reconcile.RunOptions{}, usage(fmt.Errorf("--limit-lines is %d, but must be 0 or more", f.lines))
	}
	return reconcile.RunOptions{Trigger: "cli", RequestedBy: whoami(), Reason: f.reason}, nil
}

// own carries out one change of ownership and prints what it did.
func (a *app) own(ctx context.Context, f *ownFlags, do func(context.Context, *reconcile.Engine, reconcile.RunOptions) (reconcile.Report, error)) (err error) {
	o, err := f.options()
	if err != nil {
		return err
	}
	p := a.progress()
	d, err := a.open(ctx, !f.writes, p)
	if err != nil {
		return err
	}
	defer closing(d, &err)
	rep, err := waiting(ctx, func() (reconcile.Report, error) { return do(ctx, d.Engine, o) }, f.wait)
	p.clear()
	if err != nil {
		return err
	}
	if err := a.printSync(rep, planFlags{limitLines: f.lines}); err != nil {
		return err
	}
	if rep.Counts.Failed+rep.Counts.Skipped+len(rep.Problems) > 0 {
		return exit(exitPartial)
	}
	return nil
}

func (a *app) linkSetCmd() *cobra.Command {
	var f ownFlags
	var privileged bool
	cmd := &cobra.Command{
		Use:   "set PERSON ACCOUNT",
		Short: "say by hand whose account it is",
		Long: "Say by hand that an account which nobody owns is a person's. Only ownership changes: no account is\n" +
			"written to, and the next plan shows what would then be patched. PERSON is source/anchor, the DN, the\n" +
			"username or the e-mail as the source has it, ACCOUNT the account's id or username.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usage(errors.New("name the person and the account"))
			}
			return a.own(cmd.Context(), &f, func(ctx context.Context, e *reconcile.Engine, o reconcile.RunOptions) (reconcile.Report, error) {
				return e.SetLink(ctx, o, args[0], args[1], privileged, f.dryRun)
			})
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&privileged, "privileged", false, "even if the account has more rights than a user")
	return cmd
}

func (a *app) linkReleaseCmd() *cobra.Command {
	var f ownFlags
	cmd := &cobra.Command{
		Use:   "release PERSON...",
		Short: "give an account up; it stays as it is",
		Long: "Give the accounts of people up: they stay exactly as they are, and mmsync changes them no more, nor\n" +
			"switches them off. While a source lists the person, he is held and gets no other account with the same\n" +
			"values; mmsync link set gives the account back. Neither sources nor Mattermost are asked. PERSON is\n" +
			"source/anchor, the last DN, or the account's id, username or e-mail.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(errors.New("name the people whose accounts are to be given up"))
			}
			return a.own(cmd.Context(), &f, func(ctx context.Context, e *reconcile.Engine, o reconcile.RunOptions) (reconcile.Report, error) {
				return e.Release(ctx, o, args, f.dryRun)
			})
		},
	}
	f.add(cmd)
	return cmd
}

func (a *app) linkPurgeCmd() *cobra.Command {
	var f ownFlags
	var yes bool
	expect := -1
	cmd := &cobra.Command{
		Use:   "purge SOURCE|PERSON",
		Short: "forget the links of a source that is configured no more",
		Long: "Forget all links of a source that was taken out of the configuration, or of one person of it, as\n" +
			"source/anchor. The accounts stay as they are, and nobody switches them off any more. Look at --dry-run\n" +
			"first, then say --expect with the number it shows, or --yes.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage(errors.New("name the source, or one person as source/anchor"))
			}
			if cmd.Flags().Changed("expect") && expect < 0 {
				return usage(fmt.Errorf("--expect is %d, but must be the number of links", expect))
			}
			n := expect
			if !yes && n < 0 {
				n = 0 // nobody has said how many: the refusal does
			}
			err := a.own(cmd.Context(), &f, func(ctx context.Context, e *reconcile.Engine, o reconcile.RunOptions) (reconcile.Report, error) {
				return e.Purge(ctx, o, args[0], n, f.dryRun)
			})
			var count *reconcile.CountError
			if !errors.As(err, &count) {
				return err
			}
			if expect < 0 {
				err = fmt.Errorf("%d links of %s would be forgotten, and nobody would switch their accounts off any more", count.Links, count.Source)
			}
			return &exitError{exitFailed, err, fmt.Sprintf("see them with --dry-run; if that is right, say --expect %d", count.Links)}
		},
	}
	f.add(cmd)
	cmd.Flags().IntVar(&expect, "expect", -1, "forget them only if there are exactly this `number`")
	cmd.Flags().Lookup("expect").DefValue = "0" // hides it: without it nothing is forgotten
	cmd.Flags().BoolVar(&yes, "yes", false, "forget them, however many there are")
	return cmd
}

func (a *app) linkIgnoreCmd() *cobra.Command {
	var f ownFlags
	var list, undo bool
	cmd := &cobra.Command{
		Use:   "ignore PERSON ACCOUNT | --list",
		Short: "say that an account is not a person's",
		Long: "Say that an account is not a person's although both have a value in common, so that plans ask about the\n" +
			"two no more. The person is held while the account has his username or e-mail: change one of the two.\n" +
			"--list shows what was said, --undo takes it back, by source/anchor and the account's id.",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case list && (undo || len(args) > 0):
				return usage(errors.New("--list goes alone"))
			case list:
				return a.listIgnored(cmd.Context())
			case len(args) != 2:
				return usage(errors.New("name the person and the account"))
			}
			return a.ignore(cmd.Context(), &f, args[0], args[1], undo)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&list, "list", false, "show what was said")
	cmd.Flags().BoolVar(&undo, "undo", false, "the account may be the person's after all")
	return cmd
}

// refusedDocument is one account that is not a person's.
type refusedDocument struct {
	Source    string     `json:"source"`
	Anchor    string     `json:"anchor"`
	AccountID string     `json:"account_id"`
	Reason    string     `json:"reason"`
	By        string     `json:"by"`
	At        *time.Time `json:"at"`
}

func newRefusedDocument(m state.RefusedMatch) refusedDocument {
	return refusedDocument{m.Key.Source, m.Key.Anchor, m.AccountID, m.Reason, m.MadeBy, rfc3339(m.MadeAt)}
}

func (a *app) ignore(ctx context.Context, f *ownFlags, person, account string, undo bool) (err error) {
	o, err := f.options()
	if err != nil {
		return err
	}
	p := a.progress()
	d, err := a.open(ctx, true, p)
	if err != nil {
		return err
	}
	defer closing(d, &err)
	var m state.RefusedMatch
	_, err = waiting(ctx, func() (rep reconcile.Report, err error) {
		m, err = d.Engine.Ignore(ctx, o, person, account, undo, f.dryRun)
		return rep, err
	}, f.wait)
	p.clear()
	if err != nil {
		return err
	}
	if a.output == "json" {
		return a.printJSON(map[string]any{"format_version": plan.FormatVersion, "undo": undo, "dry_run": f.dryRun, "match": newRefusedDocument(m)})
	}
	is, then := "is not", "plans ask about the two no more"
	if undo {
		is, then = "may be", "the next plan asks again"
	}
	verb := ""
	if f.dryRun {
		verb = "would be noted: "
	}
	fmt.Fprintf(a.stdout, "%saccount %s %s that of %s; %s\n", verb, printable(m.AccountID), is, printable(m.Key.String()), then)
	return nil
}

func (a *app) listIgnored(ctx context.Context) (err error) {
	_, store, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	defer closing(store, &err)
	list, err := store.RefusedMatches(ctx)
	if err != nil {
		return fmt.Errorf("list refused matches: %w", err)
	}
	out := make([]refusedDocument, len(list))
	rows := make([][]string, len(list))
	for i, m := range list {
		out[i] = newRefusedDocument(m)
		rows[i] = []string{m.Key.String(), m.AccountID, when(m.MadeAt), m.MadeBy, m.Reason}
	}
	if a.output == "json" {
		return a.printJSON(map[string]any{"format_version": plan.FormatVersion, "matches": out})
	}
	return a.table([]string{"PERSON", "IS NOT ACCOUNT", "SINCE (UTC)", "SAID BY", "REASON"}, rows)
}
