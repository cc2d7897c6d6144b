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
		Short: "make the scheduled runs and take what is pushed by SCIM, until it is stopped",
		Long: "Make the runs that schedule.runs asks for, and take what identity providers push by SCIM 2.0 and carry it out\n" +
			"at once, until it is stopped. It listens where scim.listen says. Clients need a token: mmsync token create. All\n" +
			"other commands work beside it: plan, approve, sync, explain. SIGTERM and Ctrl-C end it when the calls that are\n" +
			"being made have ended, within shutdown_timeout, with 0.",
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
				return &exitError{code: exitConfig, err: errors.New("there is nothing to serve: neither schedule.runs nor scim.listen is set"), hint: "write schedule: {runs: [{name: quarter-hourly, every: 15m}]}, or scim: {listen: 127.0.0.1:8443} and a source of type scim"}
			case err != nil: // a signal alone is none
				return &exitError{code: exitFailed, err: fmt.Errorf("serve: %w", err)}
			}
			return nil
		},
	}
}
