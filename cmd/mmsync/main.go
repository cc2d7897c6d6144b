// Command mmsync keeps Mattermost accounts in step with a directory.
//
// This package parses flags, prints and chooses exit codes. What happens is
// decided elsewhere: internal/daemon wires it, internal/reconcile runs it.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr, os.LookupEnv))
}
