package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func (a *app) auditRotateCmd() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "rotate-key",
		Short: "seal with a new key from now on",
		Long: "Make a new key that seals the history from now on. The old one seals that, and is kept beside it with a number\n" +
			"behind its name, for without it what it sealed cannot be verified any more. Copy both to a safe place, and to\n" +
			"every machine that shares the store.",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			d, word, err := a.openToSay(cmd.Context(), reason)
			if err != nil {
				return err
			}
			defer closing(d, &err)
			keys, err := d.Engine.RotateKey(cmd.Context(), word)
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.printJSON(map[string]any{"format_version": plan.FormatVersion, "from": keys.From, "to": keys.To})
			}
			fmt.Fprintf(a.stdout, "the key %s seals from now on; %s is kept beside it\n", keys.To, keys.From)
			return nil
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, kept in the history (required)")
	return cmd
}
