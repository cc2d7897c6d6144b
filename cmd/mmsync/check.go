package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
			if err == nil {
				err = daemon.Check(c)
			}
			if a.output == "json" && !effective {
				return a.printChecked(c, err)
			}
			if err != nil {
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
			var names []string
			for i := range c.Sources {
				names = append(names, c.Sources[i].Name)
			}
			for _, w := range c.Warnings() {
				if err := config.Render(a.stderr, w); err != nil {
					return fmt.Errorf("print a warning: %w", err)
				}
			}
			fmt.Fprintf(a.stdout, "%s is well (sources: %s). Nothing outside was looked at; mmsync doctor does that.\n", a.configPath(), strings.Join(names, ", "))
			return nil
		},
	}
	cmd.Flags().BoolVar(&effective, "print-effective", false, "print it with all defaults, secrets masked")
	return cmd
}

// checkDocument is the JSON form of check-config.
type checkDocument struct {
	FormatVersion string  `json:"format_version"`
	File          string  `json:"file"`
	OK            bool    `json:"ok"`
	Faults        []fault `json:"faults"`
	// Warnings are about what is allowed but may not do what was meant.
	Warnings []fault `json:"warnings"`
}

type fault struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // 0: the file as a whole
	Column  int    `json:"column"`
	Path    string `json:"path"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// printChecked prints the faults as the result. An error without any, such as a
// file that is not there, stays an error.
func (a *app) printChecked(c *config.Config, err error) error {
	d := checkDocument{FormatVersion: plan.FormatVersion, File: a.configPath(), OK: err == nil, Faults: faults(config.Errors(err)), Warnings: []fault{}}
	if err == nil {
		d.Warnings = faults(c.Warnings())
	}
	if err != nil && len(d.Faults) == 0 {
		return err
	}
	if err := a.printJSON(d); err != nil {
		return err
	}
	if err != nil {
		return exit(exitConfig)
	}
	return nil
}

func faults(list []*config.Error) []fault {
	out := make([]fault, len(list))
	for i, e := range list {
		out[i] = fault{e.File, e.Line, e.Col, e.Path, e.Msg, e.Hint}
	}
	return out
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
			report, err := a.examine(ctx, c, only)
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
	cmd.Flags().StringSliceVar(&only, "only", nil, "only these `parts`: config, state, mattermost, or a source's name")
	return cmd
}

func (a *app) examine(ctx context.Context, c *config.Config, only []string) ([]section, error) {
	known := []string{"config", "state", "mattermost"}
	for i := range c.Sources {
		known = append(known, c.Sources[i].Name)
	}
	for _, name := range only {
		if !slices.Contains(known, name) {
			return nil, usage(fmt.Errorf("--only names %q, but there is %s", name, strings.Join(known, ", ")))
		}
	}
	wanted := func(part string) bool { return len(only) == 0 || slices.Contains(only, part) }
	var report []section
	if wanted("config") {
		report = append(report, section{"config", configFindings(c)})
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

// configFindings repeats the configuration's warnings, and flags secret files
// that others on this machine can read.
func configFindings(c *config.Config) []identity.Finding {
	out := []identity.Finding{{Part: "file", Level: identity.LevelOK, Text: c.File + " is well"}}
	for _, w := range c.Warnings() {
		out = append(out, identity.Finding{Part: w.Path, Level: identity.LevelWarn, Text: w.Msg, Mend: w.Hint})
	}
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
	if path, ok := daemon.StoreFile(c); ok {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return missingStore(path)
		}
	}
	store, err := daemon.OpenStore(ctx, c)
	if err != nil {
		return fail(err, "check state.url and that the database is up")
	}
	current, wanted, err := store.Schema(ctx)
	var history []identity.Finding
	if err == nil && current == wanted {
		history = append(daemon.ExamineHistory(ctx, c, store), daemon.ExamineTokens(ctx, c, store)...)
	}
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
	return append([]identity.Finding{{Part: "store", Level: identity.LevelOK, Text: fmt.Sprintf("reachable, schema version %d", current)}}, history...)
}

// missingStore looks at where a file would be, without making one: it would then
// belong to whoever asked, and mmsync's own user could not write it.
func missingStore(path string) []identity.Finding {
	dir, err := os.Stat(filepath.Dir(path))
	switch {
	case err != nil:
		return []identity.Finding{{Part: "store", Level: identity.LevelFail, Text: fmt.Sprintf("the folder of %s cannot be looked at: %v", path, err), Mend: "make it, and give it to mmsync's user"}}
	case !dir.IsDir():
		return []identity.Finding{{Part: "store", Level: identity.LevelFail, Text: filepath.Dir(path) + " is no folder", Mend: "correct state.url"}}
	}
	return []identity.Finding{{Part: "store", Level: identity.LevelOK, Text: path + " does not exist yet; the first plan or sync makes it"}}
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
				indent := strings.Repeat(" ", len("  FAIL  ")+width+2)
				fmt.Fprintf(a.stdout, "%sto mend: %s\n", indent, strings.ReplaceAll(safe(f.Mend), "\n", "\n"+indent))
			}
		}
	}
}
