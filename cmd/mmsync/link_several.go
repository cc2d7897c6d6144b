package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/reconcile"
)

func (a *app) linkContributeCmd() *cobra.Command {
	var f ownFlags
	cmd := &cobra.Command{
		Use:   "contribute PERSON ACCOUNT",
		Short: "say that a second source knows somebody",
		Long: "Say by hand that a person of one source is the one whose account another source owns. He only adds to\n" +
			"it: what authority in the configuration gives his source comes from there, and while it has him he is\n" +
			"not switched off for being missing from the other one. No account is written to; the next plan shows\n" +
			"what would then be patched. PERSON is source/anchor, the DN, the username or the e-mail as the source\n" +
			"has it, ACCOUNT the account's id or username. mmsync link release takes it back.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usage(errors.New("name the person and the account"))
			}
			return a.own(cmd.Context(), &f, func(ctx context.Context, e *reconcile.Engine, o reconcile.RunOptions) (reconcile.Report, error) {
				return e.Contribute(ctx, o, args[0], args[1], f.dryRun)
			})
		},
	}
	f.add(cmd)
	return cmd
}

func (a *app) linkHandOverCmd() *cobra.Command {
	var f ownFlags
	var privileged, all bool
	expect := -1
	cmd := &cobra.Command{
		Use:   "hand-over PERSON SOURCE | --all FROM TO",
		Short: "give accounts to another source that knows the people as well",
		Long: "Give the account of a person to another source that contributes to it, with nobody switched off in\n" +
			"between: from then on that source decides whether the person is in, and the one that did goes on to\n" +
			"contribute. PERSON is whose the account is now, by source/anchor, or the account's id or username.\n" +
			"With --all everybody of source FROM whom TO has as well; who is left out is named. Look at --dry-run\n" +
			"first, then say --expect with the number it shows. No account is written to.",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) != 2 && all:
				return usage(errors.New("name the source that gives and the one that gets"))
			case len(args) != 2:
				return usage(errors.New("name the person and the source that gets the account"))
			case !all && cmd.Flags().Changed("expect"):
				return usage(errors.New("--expect goes with --all"))
			case all && !f.dryRun && expect < 0:
				return usage(errors.New("say with --expect how many accounts change hands; --dry-run shows it"))
			}
			return a.own(cmd.Context(), &f, func(ctx context.Context, e *reconcile.Engine, o reconcile.RunOptions) (reconcile.Report, error) {
				if !all {
					return e.HandOver(ctx, o, args[0], args[1], privileged, f.dryRun)
				}
				rep, err := e.HandOverAll(ctx, o, args[0], args[1], expect, privileged, f.dryRun)
				if count, wrong := errors.AsType[*reconcile.CountError](err); wrong {
					err = &exitError{exitFailed, err, fmt.Sprintf("see them with --dry-run; if that is right, say --expect %d", count.Links)}
				}
				return rep, err
			})
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&privileged, "privileged", false, "also accounts with more rights than a user")
	cmd.Flags().BoolVar(&all, "all", false, "everybody whom both sources have")
	cmd.Flags().IntVar(&expect, "expect", -1, "with --all: only if there are exactly this `number`")
	cmd.Flags().Lookup("expect").DefValue = "0" // hides it: without it nothing is handed over
	return cmd
}
