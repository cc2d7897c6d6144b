package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/reconcile"
)

func (a *app) linkExportCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "export",
		Short: "write all links as JSON lines",
		Long: "Write all links to the standard output as JSON lines, for mmsync link import. Names and addresses of\n" +
			"people are among it.",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			_, store, err := a.openStore(cmd.Context())
			if err != nil {
				return err
			}
			defer closing(store, &err)
			_, err = reconcile.ExportLinks(cmd.Context(), store, a.stdout)
			return err
		},
	}
}

func (a *app) linkImportCmd() *cobra.Command {
	var f ownFlags
	var privileged bool
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "take the links of a file that link export wrote",
		Long: "Take all links of a file that mmsync link export wrote, or none. Each account has to be on the server, and\n" +
			"nobody's yet; the server has to be the one the links are of. A link that is there and the same is passed\n" +
			"over, one that is there and different is refused, and so is an account of which mmsync link ignore said\n" +
			"that it is not that person's. Only ownership changes.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage(errors.New("name the one file to import"))
			}
			file, err := os.Open(args[0])
			if err != nil {
				return fmt.Errorf("open the links: %w", err)
			}
			defer file.Close()
			return a.own(cmd.Context(), &f, func(ctx context.Context, e *reconcile.Engine, o reconcile.RunOptions) (reconcile.Report, error) {
				if _, err := file.Seek(0, 0); err != nil {
					return reconcile.Report{}, fmt.Errorf("read the links again: %w", err)
				}
				return e.ImportLinks(ctx, o, file, privileged, f.dryRun)
			})
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&privileged, "privileged", false, "even if accounts have more rights than a user")
	return cmd
}
