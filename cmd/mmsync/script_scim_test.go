package main

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mmsync/mmsync/internal/addrtest"
)

// cmdFreePort: free-port NAME sets NAME to an address that nobody listens on.
func cmdFreePort(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: free-port NAME")
	}
	address, err := addrtest.Free()
	ts.Check(err)
	ts.Setenv(args[0], address)
}

// cmdPush: push STATUS METHOD PATH [BODY] asks SCIM_URL with SCIM_TOKEN and prints
// the body that is answered. BODY may be a file; in either $NAME is replaced. It
// waits until somebody listens.
func cmdPush(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: push STATUS METHOD PATH [BODY]")
	}
	body := ""
	if len(args) == 4 {
		body = args[3]
		if _, err := os.Stat(ts.MkAbs(body)); err == nil {
			body = os.Expand(ts.ReadFile(body), ts.Getenv)
		}
	}
	var text []byte
	status := 0
	until(ts, func() bool {
		r, err := http.NewRequestWithContext(here(ts).tb.Context(), args[1], ts.Getenv("SCIM_URL")+args[2], strings.NewReader(body))
		ts.Check(err)
		r.Header.Set("Authorization", "Bearer "+ts.Getenv("SCIM_TOKEN"))
		r.Header.Set("Content-Type", "application/scim+json")
		answer, err := http.DefaultClient.Do(r)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return false
		}
		ts.Check(err)
		defer answer.Body.Close()
		status = answer.StatusCode
		text, err = io.ReadAll(answer.Body)
		ts.Check(err)
		return true
	})
	_, err := ts.Stdout().Write(text)
	ts.Check(err)
	if strconv.Itoa(status) != args[0] {
		ts.Fatalf("%s %s is answered with %d, want %s: %s", args[1], args[2], status, args[0], text)
	}
}
