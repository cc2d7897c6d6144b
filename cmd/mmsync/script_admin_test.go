package main

import (
	"io"
	"net/http"
	"regexp"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdAsk: ask STATUS URL [REGEXP] asks until it is answered with the status and a body
// that matches, and prints that.
func cmdAsk(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: ask STATUS URL [REGEXP]")
	}
	want := regexp.MustCompile("")
	if len(args) == 3 {
		want = regexp.MustCompile(args[2])
	}
	var text []byte
	until(ts, func() bool {
		r, err := http.NewRequestWithContext(here(ts).tb.Context(), http.MethodGet, args[1], nil)
		ts.Check(err)
		answer, err := http.DefaultClient.Do(r)
		if err != nil { // nobody listens yet
			return false
		}
		defer answer.Body.Close()
		text, err = io.ReadAll(answer.Body)
		ts.Check(err)
		return strconv.Itoa(answer.StatusCode) == args[0] && want.Match(text)
	})
	_, err := ts.Stdout().Write(text)
	ts.Check(err)
}
