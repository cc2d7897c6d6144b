// Command mmsync keeps Mattermost accounts in step with a directory.
//
// This package parses flags, prints and chooses exit codes. What happens is
// decided elsewhere: internal/daemon wires it, internal/reconcile runs it.
package main

import (
	"context"
	"os"
	"runtime/debug"
)

func main() {
	// A run holds on to most of what it reads until it ends, so that the usual
	// heap of twice the living data would be memory for nothing. GOGC wins.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr, os.LookupEnv))
}
