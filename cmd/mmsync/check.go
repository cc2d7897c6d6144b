package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func (a *app) checkConfigCmd() *cobra.Command {
	var effective bool
	cmd := &cobra.Command{
		Use:   "check-config [FILE]",
		Short: "check the configuration without reaching for anything outside",
		Long:  "Check the configuration file, offline: every fault at once, each with line, column and a hint.\nExit code 78 if there is any.",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				a.config = args[0]
			}
			c, err := a.load()
			if err != nil {
				return err
			}
			if err := daemon.Check(c); err != nil {
				return err
			}
			if effective {
				text, err := c.Effective()
				if err != nil {
					return fmt.Errorf("print the effective configuration: %w", err)
				}
				_, err = a.stdout.Write(text)
				return err
			}
			if a.output == "json" {
				return a.printJSON(map[string]any{"format_version": plan.FormatVersion, "file": a.configPath(), "ok": true})
			}
			fmt.Fprintf(a.stdout, "%s is well: %d source(s), store and server are not looked at; mmsync doctor does that\n", a.configPath(), len(c.Sources))
			return nil
		},
	}
	cmd.Flags().BoolVar(&effective, "print-effective", false, "print it with all defaults, secrets masked")
	return cmd
}

// section is one part of doctor's report.
type section struct {
	Name     string             `json:"name"`
	Findings []identity.Finding `json:"findings"`
}

func (a *app) doctorCmd() *cobra.Command {
	var only []string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "check everything mmsync talks to, and say how to mend it",
		Long:  "Check everything mmsync talks to, one line for each part, and say how to mend what is not well.\nExit code 1 if anything fails.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			c, err := a.load()
			if err != nil {
				return err
			}
			report, err := a.examine(ctx, c, func(part string) bool { return len(only) == 0 || slices.Contains(only, part) })
			if err != nil {
				return err
			}
			if a.output == "json" {
				if err := a.printJSON(map[string]any{"format_version": plan.FormatVersion, "sections": report}); err != nil {
					return err
				}
			} else {
				a.printFindings(report)
			}
			for _, s := range report {
				if slices.ContainsFunc(s.Findings, func(f identity.Finding) bool { return f.Level == identity.LevelFail }) {
					return exit(exitFailed)
				}
			}
			return nil
		},
	}
	cmd.Flags().StringSliceVar(&only, "only", nil, "only these parts: config, state, mattermost, or a source's name")
	return cmd
}

func (a *app) examine(ctx context.Context, c *config.Config, wanted func(string) bool) ([]section, error) {
	var report []section
	if wanted("config") {
		report = append(report, section{"config", secretFindings(c)})
	}
	if wanted("state") {
		report = append(report, section{"state", storeFindings(ctx, c)})
	}
	parts, err := daemon.Examine(c, daemon.Options{Logger: a.logger(c), Version: version(), ReadOnly: true})
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		if wanted(p.Name) {
			report = append(report, section{p.Name, p.Check(ctx)})
		}
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
	}
	return report, nil
}

// secretFindings flags secret files that others on this machine can read.
func secretFindings(c *config.Config) []identity.Finding {
	out := []identity.Finding{{Part: "file", Level: identity.LevelOK, Text: c.File + " is well"}}
	for _, s := range c.SecretFiles() {
		info, err := os.Stat(s.File)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			out = append(out, identity.Finding{Part: s.Path, Level: identity.LevelFail, Text: s.File + " does not exist", Mend: "create it, or correct the path"})
		case err != nil:
			out = append(out, identity.Finding{Part: s.Path, Level: identity.LevelFail, Text: fmt.Sprintf("cannot look at %s: %v", s.File, err), Mend: "let mmsync's user read it"})
		case info.Mode().Perm()&0o077 != 0:
			out = append(out, identity.Finding{
				Part: s.Path, Level: identity.LevelWarn,
				Text: fmt.Sprintf("%s can be read by others (mode %04o)", s.File, info.Mode().Perm()), Mend: "chmod 0600 " + s.File,
			})
		default:
			out = append(out, identity.Finding{Part: s.Path, Level: identity.LevelOK, Text: s.File + " is readable by its owner alone"})
		}
	}
	return out
}

func storeFindings(ctx context.Context, c *config.Config) []identity.Finding {
	fail := func(err error, mend string) []identity.Finding {
		return []identity.Finding{{Part: "store", Level: identity.LevelFail, Text: err.Error(), Mend: mend}}
	}
	store, err := daemon.OpenStore(ctx, c)
	if err != nil {
		return fail(err, "check state.url and that the database is up")
	}
	current, wanted, err := store.Schema(ctx)
	switch err = errors.Join(err, store.Close()); {
	case err != nil:
		return fail(err, "check state.url and the rights of its user")
	case current == 0:
		return []identity.Finding{{Part: "store", Level: identity.LevelOK, Text: "reachable and empty; the first plan or sync sets it up"}}
	case current < wanted:
		return fail(fmt.Errorf("its schema is version %d, this program wants %d", current, wanted), "mmsync state migrate")
	case current > wanted:
		return fail(fmt.Errorf("its schema is version %d, this program knows only %d", current, wanted), "run the newer mmsync that made it")
	}
	return []identity.Finding{{Part: "store", Level: identity.LevelOK, Text: fmt.Sprintf("reachable, schema version %d", current)}}
}

func (a *app) printFindings(report []section) {
	sign := map[identity.Level]string{identity.LevelOK: "ok  ", identity.LevelWarn: "warn", identity.LevelFail: "FAIL"}
	color := map[identity.Level]string{identity.LevelOK: "32", identity.LevelWarn: "33", identity.LevelFail: "31"}
	for _, s := range report {
		fmt.Fprintf(a.stdout, "%s\n", s.Name)
		width := 0
		for _, f := range s.Findings {
			width = max(width, utf8.RuneCountInString(f.Part))
		}
		for _, f := range s.Findings {
			mark := sign[f.Level]
			if a.colored(a.stdout) {
				mark = "\x1b[" + color[f.Level] + "m" + mark + "\x1b[0m"
			}
			fmt.Fprintf(a.stdout, "  %s  %-*s  %s\n", mark, width, f.Part, safe(f.Text))
			if f.Mend != "" {
				fmt.Fprintf(a.stdout, "        %-*s  to mend: %s\n", width, "", safe(f.Mend))
			}
		}
	}
}
