package main

import (
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mmsync/mmsync/internal/pgtest"
)

// cmdPostgres: postgres NAME sets NAME to the URL of an empty database.
func cmdPostgres(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: postgres NAME")
	}
	ts.Setenv(args[0], pgtest.URL(here(ts).tb))
}
