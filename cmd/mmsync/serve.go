package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/daemon"
)

func (a *app) serveCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "take what identity providers push by SCIM, and carry it out, until it is stopped",
		Long: "Take what identity providers push by SCIM 2.0, and carry it out at once, until it is stopped. It listens\n" +
			"where scim.listen says. Clients need a token: mmsync token create. All other commands work beside it: plan,\n" +
			"approve, sync, explain. SIGTERM and Ctrl-C end it when the calls that are being made have ended, with 0.",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			c, err := a.load()
			if err != nil {
				return err
			}
			a.service = true
			log := a.logger(c)
			d, err := daemon.Open(cmd.Context(), c, daemon.Options{Logger: log, Version: version()})
			if err != nil {
				return err
			}
			defer closing(d, &err)
			err = d.Serve(cmd.Context(), daemon.ServeOptions{Logger: log, Listening: func(address string) {
				log.InfoContext(cmd.Context(), "listening", "address", address, "url", c.SCIM.PublicURL+c.SCIM.BasePath)
			}})
			switch {
			case errors.Is(err, daemon.ErrNothingToServe):
				return &exitError{code: exitConfig, err: errors.New("there is nothing to serve: scim.listen is not set"), hint: "write scim: {listen: 127.0.0.1:8443} and a source of type scim, or run mmsync sync from a timer"}
			case err != nil && cmd.Context().Err() == nil:
				return fmt.Errorf("serve: %w", err)
			}
			return nil
		},
	}
}
