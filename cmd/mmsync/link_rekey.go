package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func (a *app) linkRekeyCmd() *cobra.Command {
	var f ownFlags
	var source, by string
	var privileged bool
	cmd := &cobra.Command{
		Use:   "rekey OLD NEW | --source SOURCE --by VALUE",
		Short: "give accounts to the same people under new ids",
		Long: "Give the account of somebody whom his source lacks, or says has left, to the same person under a new\n" +
			"id: OLD is source/anchor, or the account's id or username, NEW is source/anchor, the DN or the username\n" +
			"as the source has it now. With --source and --by everybody at once, as after an import of a whole\n" +
			"directory under new ids: where exactly one missing and one new person have the same e-mail, username or\n" +
			"match key. Who is left out is named. Only ownership changes, no account is written to.",
		RunE: func(cmd *cobra.Command, args []string) error {
			bulk := source != "" || by != ""
			if bulk == (len(args) > 0) || (bulk && (source == "" || by == "")) || (!bulk && len(args) != 2) {
				return usage(errors.New("name the old and the new id, or give --source and --by, but not both"))
			}
			if !bulk {
				return a.own(cmd.Context(), &f, func(ctx context.Context, e *reconcile.Engine, o reconcile.RunOptions) (reconcile.Report, error) {
					return e.Rekey(ctx, o, args[0], args[1], privileged, f.dryRun)
				})
			}
			field, err := a.rekeyBy(source, by)
			if err != nil {
				return err
			}
			return a.own(cmd.Context(), &f, func(ctx context.Context, e *reconcile.Engine, o reconcile.RunOptions) (reconcile.Report, error) {
				return e.RekeyAll(ctx, o, source, field, privileged, f.dryRun)
			})
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&source, "source", "", "everybody of this `source` who has another id")
	cmd.Flags().StringVar(&by, "by", "", "by what they are known again: email, username, match_key, or the `attribute` that the source's match_key names")
	cmd.Flags().BoolVar(&privileged, "privileged", false, "also accounts with more rights than a user")
	return cmd
}

// rekeyBy reads by what people are known again. An attribute can be used only if
// its value was kept while they still had their old ids.
func (a *app) rekeyBy(source, by string) (plan.Field, error) {
	c, err := a.load()
	if err != nil {
		return "", err
	}
	if err := knownSource(c, source); err != nil {
		return "", err
	}
	key := ""
	for i := range c.Sources {
		if c.Sources[i].Name == source {
			key = c.Sources[i].MatchKey.Text
		}
	}
	switch {
	case by == string(identity.Email), by == string(identity.Username):
		return plan.Field(by), nil
	case key == "":
		return "", &exitError{
			exitUsage, fmt.Errorf("--by is %q, but source %s has no match_key, so that of those who are missing only e-mail and username are known", by, source),
			"give --by email or --by username; with match_key a later change of ids can be mended by it",
		}
	case by == string(plan.FieldMatchKey), strings.EqualFold("attr."+by, key):
		return plan.FieldMatchKey, nil
	}
	return "", usage(fmt.Errorf("--by is %q, but must be email, username or match_key (%s)", by, key))
}

func (a *app) linkFreeNameCmd() *cobra.Command {
	f := ownFlags{writes: true}
	cmd := &cobra.Command{
		Use:   "free-name USERNAME|EMAIL",
		Short: "free the name or e-mail of somebody who has left",
		Long: "Free the username or the e-mail that the deactivated account of somebody who has left still holds, so\n" +
			"that somebody new can have it: jane becomes jane-left-2026, jane@example.com jane+left-2026@example.com.\n" +
			"Only accounts that mmsync owns and that are off are changed; see it first with --dry-run.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage(errors.New("name the one username or e-mail that is to be free"))
			}
			return a.own(cmd.Context(), &f, func(ctx context.Context, e *reconcile.Engine, o reconcile.RunOptions) (reconcile.Report, error) {
				return e.FreeName(ctx, o, args[0], f.dryRun)
			})
		},
	}
	f.add(cmd)
	return cmd
}
