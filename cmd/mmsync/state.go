package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func (a *app) stateCmd() *cobra.Command {
	cmd := group("state", "the store: what mmsync keeps between runs")
	cmd.AddCommand(&cobra.Command{
		Use:   "migrate",
		Short: "bring the store's schema up to date",
		Long:  "Bring the store's schema up to date. It goes forward only; back the store up first.",
		RunE:  a.withStore(a.migrate),
	}, &cobra.Command{
		Use:   "status",
		Short: "say which schema version the store has",
		RunE:  a.withStore(a.stateStatus),
	})
	cmd.AddCommand(a.rebindCmd(), a.backupCmd(), a.restoreCmd(), a.rebuildCmd(), a.acceptRestoreCmd())
	return cmd
}

func (a *app) rebindCmd() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "rebind mattermost|source/NAME",
		Short: "let the store be used with another server or directory",
		Long: "Let the store be used with another server or directory than it was made with. The links stay: be sure\n" +
			"that the same people stand behind the same ids, and look at mmsync plan before the next sync.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			d, word, err := a.openToSay(cmd.Context(), reason)
			if err != nil {
				return err
			}
			defer closing(d, &err)
			was, err := d.Engine.Rebind(cmd.Context(), args[0], word)
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.printJSON(map[string]any{"format_version": plan.FormatVersion, "name": was.Name, "was": was.ID, "note": was.Note})
			}
			fmt.Fprintf(a.stdout, "%s is no longer bound to %s (%s); the next sync binds it to what it meets\n", was.Name, printable(was.ID), printable(was.Note))
			return nil
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, kept in the history (required)")
	return cmd
}

func (a *app) withStore(do func(*cobra.Command, daemon.Store) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) (err error) {
		c, err := a.load()
		if err != nil {
			return err
		}
		store, err := daemon.OpenStore(cmd.Context(), c)
		if err != nil {
			return err
		}
		defer closing(store, &err)
		return do(cmd, store)
	}
}

func (a *app) migrate(cmd *cobra.Command, s daemon.Store) error {
	applied, err := s.Migrate(cmd.Context())
	if err != nil {
		return fmt.Errorf("migrate the store: %w", err)
	}
	if a.output == "json" {
		if applied == nil {
			applied = []string{}
		}
		return a.printJSON(map[string]any{"format_version": plan.FormatVersion, "applied": applied})
	}
	for _, name := range applied {
		fmt.Fprintf(a.stdout, "applied %s\n", name)
	}
	if len(applied) == 0 {
		fmt.Fprintln(a.stdout, "nothing to do, the schema is up to date")
	}
	return nil
}

func (a *app) stateStatus(cmd *cobra.Command, s daemon.Store) error {
	current, wanted, err := s.Schema(cmd.Context())
	if err != nil {
		return fmt.Errorf("read the store's schema version: %w", err)
	}
	if a.output == "json" {
		if err := a.printJSON(map[string]any{"format_version": plan.FormatVersion, "schema": current, "wanted": wanted, "ready": current == wanted}); err != nil {
			return err
		}
	} else if current == 0 {
		fmt.Fprintln(a.stdout, "the store is empty; the first plan or sync sets it up, as mmsync state migrate does")
	} else {
		fmt.Fprintf(a.stdout, "schema version %d, this program wants %d\n", current, wanted)
	}
	if current == wanted || current == 0 {
		return nil
	}
	hint := "run mmsync state migrate"
	if current > wanted {
		hint = "the store was made by a newer mmsync; run that one"
	}
	return &exitError{code: exitConfig, err: errors.New("the store's schema does not fit this program"), hint: hint}
}
