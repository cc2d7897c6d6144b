package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func (a *app) evalCmd() *cobra.Command {
	var query, source string
	cmd := &cobra.Command{
		Use:   "eval EXPRESSION --user USER",
		Short: "try a mapping expression on a person of a source",
		Long:  "Try a mapping expression on a person of a source, found by username, e-mail, DN or anchor.\n\n  mmsync eval 'lower(attr.mail)' --user jane.doe",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if query == "" {
				return &exitError{code: exitUsage, err: errors.New("eval needs a person to try the expression on"), hint: "name one with --user: a username, an e-mail, a DN or an anchor"}
			}
			ctx := cmd.Context()
			c, err := a.load()
			if err != nil {
				return err
			}
			if err := knownSource(c, source); err != nil {
				return err
			}
			got, found, err := daemon.Eval(ctx, c, a.logger(c), source, query, args[0])
			if err != nil {
				return err
			}
			if !found {
				where := "any source"
				if source != "" {
					where = "source " + source
				}
				return fmt.Errorf("nobody in %s fits %q; give a username, an e-mail, a DN or an anchor", where, query)
			}
			for _, name := range got.Absent {
				a.say(fmt.Sprintf("hint: %s has no %s, which counts as empty; it has %s", got.Ref, name, strings.Join(got.Names, ", ")))
			}
			if a.output == "json" {
				return a.printJSON(map[string]any{"format_version": plan.FormatVersion, "source": got.Source, "ref": got.Ref, "value": got.Value})
			}
			fmt.Fprintln(a.stdout, printable(got.Value))
			return nil
		},
	}
	cmd.Flags().StringVar(&query, "user", "", "the `person` to try it on; must be given")
	cmd.Flags().StringVar(&source, "source", "", "look only in this `source`")
	return cmd
}
