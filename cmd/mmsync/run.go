package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/daemon"
)

const defaultConfig = "/etc/mmsync/config.yaml"

// app is one invocation: where it prints, what the global flags say.
type app struct {
	stdout, stderr io.Writer
	env            func(string) (string, bool)

	config     string
	output     string
	json       bool
	quiet      bool
	verbose    int
	color      string
	noProgress bool
	logLevel   string
	logFormat  string
	passwords  bool // accounts may be taken from their login service
	deletions  bool // accounts may be deleted for good
	service    bool // nothing but the log says what happens
	timeout    time.Duration

	bar  *progress // what is on the terminal now, nil for nothing
	stop func()    // releases --timeout
}

// run is the whole program but for the process around it.
func run(parent context.Context, args []string, stdout, stderr io.Writer, env func(string) (string, bool)) int {
	a := &app{stdout: stdout, stderr: stderr, env: env, stop: func() {}}
	ctx, stop := notify(parent)
	defer stop()
	root := a.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	defer a.stop()
	if err == nil {
		return exitOK
	}
	end := judge(cmd.Context(), err)
	if end.code == exitFailed && end.hint == "" && broke(cmd, err) {
		end.hint = "mmsync doctor looks at every part by itself and says how to mend it"
	}
	a.complain(end.err, end.hint)
	return end.code
}

// notify ends the context on the first SIGINT or SIGTERM, with the signal as
// its cause; a second one is the system's own again.
func notify(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	var wait sync.WaitGroup
	wait.Go(func() {
		select {
		case s := <-signals:
			signal.Stop(signals)
			if known, ok := s.(syscall.Signal); ok {
				cancel(signalError{known})
			}
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
		wait.Wait()
	}
}

// complain prints an error that reached the top, with its hint on a line of its
// own. Faults of the configuration come with the line they stand on.
func (a *app) complain(err error, hint string) {
	if err.Error() == "" {
		return
	}
	a.bar.clear()
	if len(config.Errors(err)) > 0 {
		// Render fails only if stderr does, and then nothing can be said.
		_ = config.Render(a.stderr, err)
		return
	}
	a.say(err.Error())
	if hint != "" {
		fmt.Fprintf(a.stderr, "mmsync: hint: %s\n", hint)
	}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "mmsync",
		Short:         "keeps Mattermost accounts in step with a directory",
		Long:          "mmsync keeps Mattermost accounts in step with a directory: it creates, patches and\ndeactivates accounts as LDAP, a file or an identity provider says, and never touches one it does not own.\n\nA first run: mmsync check-config, mmsync doctor, mmsync plan, mmsync sync.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
		Version: version(),
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if a.timeout > 0 {
				ctx, cancel := context.WithTimeoutCause(cmd.Context(), a.timeout, timeoutError{a.timeout})
				a.stop = cancel
				cmd.SetContext(ctx)
			}
			return a.checkFlags(cmd)
		},
	}
	root.SetVersionTemplate("mmsync {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &exitError{code: exitUsage, err: aboutFlag(err), hint: "see " + cmd.CommandPath() + " --help"}
	})
	f := root.PersistentFlags()
	f.StringVarP(&a.config, "config", "c", "", "configuration `file` (MMSYNC_CONFIG, "+defaultConfig+")")
	f.StringVarP(&a.output, "output", "o", "table", "`format` of the result: table or json")
	f.BoolVar(&a.json, "json", false, "the same as -o json")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "print no progress and no closing words; sync prints nothing at all if all is well")
	f.CountVarP(&a.verbose, "verbose", "v", "log more; twice for debugging")
	f.StringVar(&a.color, "color", "auto", "colours: auto, always or never")
	f.BoolVar(&a.noProgress, "no-progress", false, "print no progress")
	f.StringVar(&a.logLevel, "log-level", "", "debug, info, warn or error")
	f.StringVar(&a.logFormat, "log-format", "", "auto, text or json")
	f.Var(lasting(&a.timeout, 0), "timeout", "give up after this time (0: never)")
	f.Bool("non-interactive", false, "accepted and without effect: mmsync asks nothing")
	_ = f.MarkHidden("non-interactive") // the flag exists, one line up
	root.AddCommand(a.demoCmd(), a.planCmd(), a.applyCmd(), a.syncCmd(), a.serveCmd(), a.approveCmd(), a.rejectCmd(), a.explainCmd(), a.statusCmd(), a.historyCmd(), a.auditCmd(), a.linkCmd(), a.holdCmd(), a.deactivateCmd(), a.leftoversCmd(), a.migrateAuthCmd(), a.changeLockedCmd(), a.deleteAccountsCmd(), a.tokenCmd(), a.notifyCmd(),
		a.evalCmd(), a.importCmd(), a.checkConfigCmd(), a.doctorCmd(), a.stateCmd(), a.versionCmd())
	finish(root)
	return root
}

// group is a command that only has others below it.
func group(name, short string) *cobra.Command {
	return &cobra.Command{Use: name, Short: short, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
}

// finish adds what cobra makes by itself, in our words, and makes every wrong
// argument a usage error.
func finish(root *cobra.Command) {
	root.InitDefaultVersionFlag()
	root.Flags().Lookup("version").Usage = "print the version"
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range commands(root) {
		if c.Name() == "help" {
			c.Short = "print the help of a command"
			c.Args = asUsage(func(_ *cobra.Command, args []string) error {
				if _, rest, err := root.Find(args); err != nil || len(rest) > 0 {
					return fmt.Errorf("there is no command %q", strings.Join(args, " "))
				}
				return nil
			})
			continue
		}
		if c.Name() == "completion" {
			c.Short = "print the completion script of a shell"
			c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
		c.SuggestionsMinimumDistance = 2
		if c.Args == nil {
			c.Args = cobra.NoArgs
		}
		c.Args = asUsage(c.Args)
	}
}

func commands(c *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		list = append(list, commands(sub)...)
	}
	return list
}

// asUsage turns a refusal of arguments into one sentence of ours.
func asUsage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		if err == nil {
			return nil
		}
		fault := &exitError{code: exitUsage, hint: "see " + cmd.CommandPath() + " --help"}
		name, wanted, _ := strings.Cut(cmd.Use, " ")
		switch {
		case name == "help":
			fault.err, fault.hint = err, "see mmsync --help"
		case cmd.HasSubCommands():
			fault.err = fmt.Errorf("there is no command %q", strings.TrimPrefix(cmd.CommandPath()+" "+args[0], "mmsync "))
			if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
				fault.hint = fmt.Sprintf("did you mean %s %s?", cmd.CommandPath(), like[0])
			}
		case wanted == "":
			fault.err = fmt.Errorf("%s takes no arguments, but got %q", name, args[0])
		case len(args) == 0:
			fault.err = fmt.Errorf("%s needs %s", name, wanted)
		default:
			fault.err = fmt.Errorf("%s takes one argument, but got %d", name, len(args))
			fault.hint = "put it in quotes if it has blanks; " + fault.hint
		}
		return fault
	}
}

func (a *app) checkFlags(cmd *cobra.Command) error {
	if a.json {
		a.output = "json"
	}
	oneOf := func(flag, value string, allowed ...string) error {
		if slices.Contains(allowed, value) {
			return nil
		}
		return usage(fmt.Errorf("--%s is %q, but must be one of %s", flag, value, strings.TrimPrefix(strings.Join(allowed, ", "), ", ")))
	}
	formats := []string{"table", "json"}
	if _, ok := cmd.Annotations[csvOutput]; ok {
		formats = append(formats, "csv")
	}
	return errors.Join(
		oneOf("output", a.output, formats...),
		oneOf("color", a.color, "auto", "always", "never"),
		oneOf("log-level", a.logLevel, "", "debug", "info", "warn", "error"),
		oneOf("log-format", a.logFormat, "", "auto", "text", "json"),
	)
}

// load reads the configuration.
func (a *app) load() (*config.Config, error) {
	path := a.configPath()
	c, err := config.Load(path, a.env)
	if faults := config.Errors(err); len(faults) == 1 && faults[0].Path == "" && errors.Is(faults[0], fs.ErrNotExist) {
		return nil, &exitError{
			code: exitConfig, err: fmt.Errorf("there is no configuration file %s", path),
			hint: "give one with -c FILE, or try mmsync demo, which needs none",
		}
	}
	return c, err
}

func (a *app) configPath() string {
	if a.config != "" {
		return a.config
	}
	if path, ok := a.env("MMSYNC_CONFIG"); ok && path != "" {
		return path
	}
	return defaultConfig
}

// knownSource refuses the name of a source that the configuration does not
// have. "" stands for all.
func knownSource(c *config.Config, name string) error {
	var names []string
	for i := range c.Sources {
		names = append(names, c.Sources[i].Name)
	}
	if name == "" || slices.Contains(names, name) {
		return nil
	}
	return usage(fmt.Errorf("--source is %q, but there is %s", name, strings.Join(names, ", ")))
}

// open loads the configuration and brings it to life. readOnly lets no write
// leave for Mattermost; pilot are groups whose people are marked.
func (a *app) open(ctx context.Context, readOnly bool, p *progress, pilot ...string) (*daemon.Daemon, error) {
	c, err := a.load()
	if err != nil {
		return nil, err
	}
	return daemon.Open(ctx, c, daemon.Options{Logger: a.logger(c), Version: version(), ReadOnly: readOnly, Passwords: a.passwords && !readOnly, Deletions: a.deletions && !readOnly, Pilot: pilot, Progress: p.report})
}

// logger writes to stderr. On a terminal the result is on the screen already,
// so only warnings are added unless more is asked for, or the log is all there is.
func (a *app) logger(c *config.Config) *slog.Logger {
	level, format := slog.LevelInfo, "auto"
	if c != nil {
		_ = level.UnmarshalText([]byte(c.Log.Level)) // validated by config
		format = c.Log.Format
	}
	tty := isTerminal(a.stderr)
	switch {
	case a.logLevel != "":
		_ = level.UnmarshalText([]byte(a.logLevel)) // validated by checkFlags
	case a.verbose > 1:
		level = slog.LevelDebug
	case a.verbose == 1:
		level = slog.LevelInfo
	case a.quiet || tty && !a.service:
		level = max(level, slog.LevelWarn)
	}
	if a.logFormat != "" {
		format = a.logFormat
	}
	if format == "json" || (format == "auto" && !tty) {
		return slog.New(slog.NewJSONHandler(aside{a}, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(tint.NewTextHandler(aside{a}, &tint.Options{Level: level, NoColor: !a.colored(a.stderr)}))
}

// colored follows --color first, then NO_COLOR, TERM=dumb and whether w is a
// terminal.
func (a *app) colored(w io.Writer) bool {
	if a.color != "auto" {
		return a.color == "always"
	}
	if v, ok := a.env("NO_COLOR"); ok && v != "" {
		return false
	}
	if v, _ := a.env("TERM"); v == "dumb" {
		return false
	}
	return isTerminal(w)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
