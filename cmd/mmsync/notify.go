package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func (a *app) notifyCmd() *cobra.Command {
	cmd := group("notify", "who is told what needs somebody")
	cmd.AddCommand(a.notifyTestCmd())
	return cmd
}

func (a *app) notifyTestCmd() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "test [SINK...]",
		Short: "send a test to the sinks of the configuration, and tell what became of each",
		Long: "Send a test to the sinks that notices.sinks lists, or to those that are named, and tell what became of each.\n" +
			"That one was taken does not prove that somebody reads it: look whether it arrived. It ends with 1 if any was not taken.\n" +
			"A sink of type manager writes to people: it is tried with --to USERNAME alone, such as your own.",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, names []string) error {
			c, err := a.load()
			if err != nil {
				return err
			}
			if err := knownSinks(c, names); err != nil {
				return err
			}
			list, err := daemon.TryNotices(cmd.Context(), c, daemon.Options{Logger: a.logger(c), Version: version()}, to, names...)
			if err != nil {
				return err
			}
			return a.printTried(list)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "the `username` that sinks of type manager write the test to")
	return cmd
}

// knownSinks refuses names of sinks that the configuration does not have.
func knownSinks(c *config.Config, names []string) error {
	var known []string
	for i := range c.Notices.Sinks {
		known = append(known, c.Notices.Sinks[i].Name)
	}
	if len(known) == 0 {
		return &exitError{code: exitConfig, err: errors.New("nobody is told anything: notices.sinks is not set"), hint: "config.example.yaml shows a sink of each type"}
	}
	for _, n := range names {
		if !slices.Contains(known, n) {
			return usage(fmt.Errorf("there is no sink %q, but there is %s", n, strings.Join(known, ", ")))
		}
	}
	return nil
}

type triedDocument struct {
	FormatVersion string     `json:"format_version"`
	Sinks         []triedOne `json:"sinks"`
}

type triedOne struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Taken bool   `json:"taken"`
	Took  int64  `json:"took_ms"`
	Error string `json:"error,omitempty"`
	// Untried says why nothing was sent.
	Untried string `json:"untried,omitempty"`
}

func (a *app) printTried(list []daemon.Tried) error {
	d := triedDocument{FormatVersion: plan.FormatVersion, Sinks: []triedOne{}}
	rows, code := [][]string{}, exitOK
	for _, t := range list {
		one, said := triedOne{Name: t.Sink, Type: t.Type, Taken: t.Err == nil && t.Untried == "", Untried: t.Untried, Took: t.Took.Milliseconds()}, "taken, in "+t.Took.Round(time.Millisecond).String()
		if t.Err != nil {
			one.Error, said, code = t.Err.Error(), "not taken: "+t.Err.Error(), exitFailed
		}
		if t.Untried != "" {
			said = "not tried: " + t.Untried
		}
		d.Sinks, rows = append(d.Sinks, one), append(rows, []string{t.Sink, t.Type, said})
	}
	var err error
	if a.output == "json" {
		err = a.printJSON(d)
	} else if !a.quiet || code != exitOK {
		err = a.table([]string{"SINK", "TYPE", "TEST"}, rows)
	}
	if err != nil {
		return err
	}
	return exit(code)
}
