package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

// Exit codes. Each means one thing, so that a cron job or a monitor can tell
// them apart.
const (
	exitOK       = 0
	exitFailed   = 1   // failed before or during work, or refused
	exitChanges  = 2   // plan: changes are pending
	exitGuard    = 3   // a guard tripped; nothing of that kind was written
	exitPartial  = 4   // finished, with some items failed, held or not considered
	exitStale    = 5   // any apply, resume: the saved plan is not what would be done now, or is another store's
	exitLocked   = 6   // another run holds the lease
	exitOverdue  = 8   // status: a source had no good run for too long
	exitUsage    = 64  // the command line is wrong
	exitConfig   = 78  // the configuration, or the store it names, is wrong
	exitSIGINT   = 130 // interrupted; state is consistent, the next run goes on
	exitSIGTERM  = 143
	signalOffset = 128
)

// exitError carries a code and, if it is not empty, a message and a hint on
// its own line. An exitError without a message prints nothing: what it means
// was said already.
type exitError struct {
	code int
	err  error
	hint string
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// exit ends a command whose output has already said everything.
func exit(code int) error {
	if code == exitOK {
		return nil
	}
	return &exitError{code: code}
}

func usage(err error) error { return &exitError{code: exitUsage, err: err} }

// signalError is the cause of a context that a signal ended. It counts as
// context.Canceled, so that a run it cut short is recorded as interrupted.
type signalError struct{ signal syscall.Signal }

func (e signalError) Error() string {
	if e.signal == syscall.SIGTERM {
		return "interrupted by SIGTERM"
	}
	return "interrupted"
}

func (e signalError) Is(target error) bool { return target == context.Canceled }

// timeoutError is the cause of a context that --timeout ended.
type timeoutError struct{ after time.Duration }

func (e timeoutError) Error() string { return "gave up after --timeout " + e.after.String() }

const goOn = "everything that was done is recorded; the next mmsync sync goes on from there"

// judge gives what an error that reached the top ends with: the exit code, what
// to print, and a hint.
func judge(ctx context.Context, err error) *exitError {
	var known *exitError
	var sig signalError
	var late timeoutError
	var denied interface{ Unauthorized() bool }
	var stale *reconcile.StaleError
	switch cause := context.Cause(ctx); {
	case errors.As(err, &known):
		return &exitError{known.code, err, known.hint}
	case errors.As(cause, &sig):
		return &exitError{signalOffset + int(sig.signal), sig, goOn}
	case errors.As(cause, &late):
		return &exitError{exitFailed, late, goOn}
	case len(config.Errors(err)) > 0, errors.Is(err, reconcile.ErrBinding), errors.Is(err, state.ErrSchema):
		return &exitError{exitConfig, err, ""}
	case errors.Is(err, daemon.ErrStore):
		return &exitError{exitFailed, err, "look at state.url: its database must be up, and the folder of a sqlite file must exist; mmsync doctor --only state"}
	case errors.As(err, &stale):
		return &exitError{exitStale, err, ""}
	case errors.Is(err, state.ErrHeld):
		return &exitError{exitLocked, errHeld, "wait for it to end, or give --wait-lock more time; mmsync history shows what runs"}
	case errors.As(err, &denied) && denied.Unauthorized():
		return &exitError{exitFailed, err, "the server does not accept the token; mmsync doctor --only mattermost says how to get another one"}
	}
	return &exitError{exitFailed, err, ""}
}

var errHeld = errors.New("another run of mmsync is at work on this store")

// broke tells an error of something outside: neither a refusal, which says its
// next step itself, nor a question about nobody.
func broke(cmd *cobra.Command, err error) bool {
	var nobody reconcile.UnknownPersonError
	return slices.Contains([]string{"plan", "sync", "explain", "approve", "apply", "deactivate", "leftovers"}, cmd.Name()) &&
		!errors.Is(err, reconcile.ErrRefused) && !errors.As(err, &nobody)
}

// closing ends what a command opened. That it could not be closed is said, but
// does not hide what was said before.
func closing(c io.Closer, err *error) {
	failed := c.Close()
	if failed == nil {
		return
	}
	failed = fmt.Errorf("close the store: %w", failed)
	if *err == nil || (*err).Error() == "" {
		*err = failed
		return
	}
	*err = errors.Join(*err, failed)
}
