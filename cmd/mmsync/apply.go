package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/reconcile"
)

func (a *app) applyCmd() *cobra.Command {
	var f planFlags
	var skip bool
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "apply FILE",
		Short: "carry out a plan that mmsync plan --out saved",
		Long: "Carry out a saved plan: everything is read once more, and of what would be done now exactly that is done which\n" +
			"the plan says. What is so already is passed over, what came up since is left to the next run, and the guards\n" +
			"judge it as they judge any run.\n\n" +
			"Exit code 0: done. 3: a guard held back what was too much. 4: done, but something failed or is held.\n" +
			"5: the plan is too old, was edited, is of another store or configuration, or somebody in it would be changed\n" +
			"otherwise by now; nothing was written.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			ctx := cmd.Context()
			saved, err := readPlan(args[0])
			if err != nil {
				return err
			}
			d, o, p, err := a.begin(ctx, f, false)
			if err != nil {
				return err
			}
			defer closing(d, &err)
			rep, err := waiting(ctx, func() (reconcile.Report, error) { return d.Engine.Apply(ctx, saved, o, skip) }, wait)
			p.clear()
			if err != nil {
				return err
			}
			if err := a.printSync(rep, f); err != nil {
				return err
			}
			return exit(syncCode(rep))
		},
	}
	cmd.Flags().BoolVar(&skip, "skip-stale", false, "leave out whoever would be changed otherwise by now, and carry out the rest")
	cmd.Flags().IntVar(&f.limitLines, "limit-lines", 200, "list at most this `number` of people (0: all)")
	cmd.Flags().BoolVar(&f.redact, "redact", false, "leave names and values out of the listing")
	cmd.Flags().StringVar(&f.reason, "reason", "", "`why`, kept in the history")
	cmd.Flags().Var(lasting(&wait, 15*time.Second), "wait-lock", "wait this long for another run to end")
	f.minEntries = noMinEntries
	return cmd
}

// largestPlan is more than any file that mmsync writes.
const largestPlan = 1 << 20

func readPlan(path string) (reconcile.SavedPlan, error) {
	var saved reconcile.SavedPlan
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return saved, &exitError{exitFailed, fmt.Errorf("there is no plan file %s", path), "make one with mmsync plan --out FILE"}
	case err != nil:
		return saved, unreadablePlan(err)
	case info.Size() > largestPlan:
		return saved, &exitError{exitStale, fmt.Errorf("%s is no plan file: it has %d bytes", path, info.Size()), "make one with mmsync plan --out FILE"}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return saved, unreadablePlan(err)
	}
	if err := json.Unmarshal(data, &saved); err != nil || saved.Run == "" {
		return saved, &exitError{exitStale, fmt.Errorf("%s is no plan file that mmsync plan --out wrote, or was changed since", path), "make one with mmsync plan --out FILE"}
	}
	return saved, nil
}

func unreadablePlan(err error) error {
	return &exitError{exitFailed, fmt.Errorf("read the plan file: %w", err), "name the file that mmsync plan --out wrote, as the user who wrote it"}
}

// checkPlanPlace refuses a file that no plan can be saved as. "" is none.
func checkPlanPlace(path string) error {
	if path == "" {
		return nil
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), planPattern)
	if err == nil {
		err = errors.Join(tmp.Close(), os.Remove(tmp.Name()))
	}
	if info, stat := os.Stat(path); err == nil && stat == nil && info.IsDir() {
		err = errors.New("it is a folder")
	}
	return notSaved(path, err)
}

// notSaved says that a plan could not be saved; nil for no error.
func notSaved(path string, err error) error {
	if err == nil {
		return nil
	}
	if at, ok := errors.AsType[*fs.PathError](err); ok { // it names a file that is gone by then
		err = at.Err
	}
	return &exitError{
		exitFailed, fmt.Errorf("the plan cannot be saved as %s: %w", printable(path), err),
		"name a file with --out in a folder that is there and that you may write to",
	}
}

const planPattern = ".mmsync-plan-*"

// writePlan puts the file down whole or not at all, for its owner alone.
func writePlan(path string, saved reconcile.SavedPlan) error {
	data, err := json.MarshalIndent(saved, "", "  ")
	if err != nil {
		return fmt.Errorf("write the plan file: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), planPattern) // 0600
	if err != nil {
		return notSaved(path, err)
	}
	_, err = tmp.Write(append(data, '\n'))
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return notSaved(path, errors.Join(err, os.Remove(tmp.Name())))
	}
	return nil
}
