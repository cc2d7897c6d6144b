package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

type denied struct{}

func (denied) Error() string      { return "401" }
func (denied) Unauthorized() bool { return true }

func TestJudge(t *testing.T) {
	t.Parallel()
	ended := func(cause error) context.Context {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		return ctx
	}
	sick := errors.New("read facts of the server: no answer")
	for name, c := range map[string]struct {
		ctx  context.Context //nolint:containedctx // a row of a table
		err  error
		code int
		said string
		hint string
	}{
		"changes pending say nothing more":      {t.Context(), exit(exitChanges), 2, "", ""},
		"a wrong command line":                  {t.Context(), usage(errors.New("--x is 1")), 64, "--x is 1", ""},
		"a usage error in a context that ended": {ended(signalError{syscall.SIGINT}), usage(errors.New("--x is 1")), 64, "--x is 1", ""},
		"Ctrl-C, whatever it broke":             {ended(signalError{syscall.SIGINT}), sick, 130, "interrupted", "goes on from there"},
		"a service manager's signal":            {ended(signalError{syscall.SIGTERM}), sick, 143, "interrupted by SIGTERM", "goes on from there"},
		"--timeout":                             {ended(timeoutError{time.Minute}), sick, 1, "gave up after --timeout 1m0s", "goes on from there"},
		"a fault of the configuration":          {t.Context(), fmt.Errorf("x: %w", &config.Error{File: "c.yaml", Line: 1, Col: 1, Msg: "bad"}), 78, "bad", ""},
		"another server than the store's":       {t.Context(), fmt.Errorf("%w: other", reconcile.ErrBinding), 78, "other", ""},
		"a store of another version":            {t.Context(), fmt.Errorf("run that one: %w", state.ErrSchema), 78, "run that one", ""},
		"a store that cannot be opened":         {t.Context(), fmt.Errorf("%w: refused", daemon.ErrStore), 1, "refused", "look at state.url"},
		"another run at work":                   {t.Context(), fmt.Errorf("take the lease: %w", state.ErrHeld), 6, "another run", "--wait-lock"},
		"a token that is not accepted":          {t.Context(), fmt.Errorf("read: %w", denied{}), 1, "401", "does not accept the token"},
		"anything else":                         {t.Context(), sick, 1, "no answer", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			end := judge(c.ctx, c.err)
			require.Equal(t, c.code, end.code)
			require.Contains(t, end.err.Error(), c.said)
			require.Contains(t, end.hint, c.hint)
			require.Equal(t, c.hint == "", end.hint == "")
		})
	}
}

// A run that a signal cut short is recorded as interrupted, not as failed.
func TestSignalError_isCanceled(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, signalError{syscall.SIGINT}, context.Canceled)
	require.NotErrorIs(t, timeoutError{time.Second}, context.Canceled)
}

type closer struct{ err error }

func (c closer) Close() error { return c.err }

func TestClosing(t *testing.T) {
	t.Parallel()
	lost := errors.New("disk full")
	for name, c := range map[string]struct {
		before, closed error
		code           int
		said           []string
	}{
		"all well":                              {nil, nil, 0, nil},
		"an exit code stays":                    {exit(exitChanges), nil, 2, nil},
		"a store that cannot be closed is said": {nil, lost, 1, []string{"close the store: disk full"}},
		"and is worse than pending changes":     {exit(exitChanges), lost, 1, []string{"close the store: disk full"}},
		"it does not hide what came before":     {usage(errors.New("first")), lost, 64, []string{"first", "close the store: disk full"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := c.before
			closing(closer{c.closed}, &err)
			if c.code == 0 {
				require.NoError(t, err)
				return
			}
			end := judge(t.Context(), err)
			require.Equal(t, c.code, end.code)
			var out bytes.Buffer
			(&app{stderr: &out}).complain(end.err, end.hint)
			var want strings.Builder
			for _, line := range c.said {
				want.WriteString("mmsync: " + line + "\n")
			}
			require.Equal(t, want.String(), out.String())
		})
	}
}
