package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every flag that takes a time takes days, as the configuration does.
func TestFlags_timesTakeDays(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, c := range commands(newRoot()) {
		for _, name := range []string{"since", "for", "fail-older-than", "timeout", "wait-lock", "older-than", "expires", "overlap"} {
			f := c.Flag(name)
			if f == nil || f.Value.Type() != "duration" {
				continue
			}
			seen++
			require.NoError(t, f.Value.Set("1d12h"), "%s --%s", c.CommandPath(), name)
			require.Equal(t, "36h0m0s", f.Value.String())
			require.ErrorContains(t, f.Value.Set("-1h"), "it cannot be negative")
			require.NoError(t, f.Value.Set("0"))
			require.Equal(t, "0", f.Value.String(), "the help leaves out that there is no default")
		}
	}
	require.Greater(t, seen, 50)
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, name := range files {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		if !strings.HasSuffix(name, "_test.go") {
			require.NotContains(t, string(text), "DurationVar(", "%s has a flag that takes no days: use lasting", name)
		}
	}
}

func TestAboutFlag(t *testing.T) {
	t.Parallel()
	_, number := strconv.Atoi("x")
	other := errors.New("unknown flag: --x")
	require.Equal(t, other, aboutFlag(other))
	require.EqualError(t, aboutFlag(wrapped{`invalid argument "x" for "--limit" flag: ` + number.Error(), number}),
		`invalid argument "x" for "--limit" flag: write a whole number such as 20`)
}

type wrapped struct {
	text string
	err  error
}

func (w wrapped) Error() string { return w.text }
func (w wrapped) Unwrap() error { return w.err }
