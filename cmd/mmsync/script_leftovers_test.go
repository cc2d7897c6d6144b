package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mmsync/mmsync/internal/licencetest"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

// cmdFront: mm-front FILE puts something before the server that answers the reads of
// FILE, a JSON object from paths to answers, as Mattermost describes them, and sets
// MM_URL to it: of webhooks, slash commands and OAuth apps nothing was recorded, so the
// simulated server does not know them. A number is an error's status. {{NAME}} is the id of
// an account.
func cmdFront(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: mm-front FILE")
	}
	sim := here(ts).server(ts, "").sim
	var answers map[string]json.RawMessage
	if err := json.Unmarshal([]byte(ts.ReadFile(args[0])), &answers); err != nil {
		ts.Fatalf("%s: %v", args[0], err)
	}
	behind, err := url.Parse(ts.Getenv("MM_URL"))
	ts.Check(err)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(behind) }}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, known := answers[strings.TrimPrefix(r.URL.Path, "/api/v4")]
		if !known || r.Method != http.MethodGet {
			proxy.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		status := 0
		switch page := r.URL.Query().Get("page"); {
		case json.Unmarshal(answer, &status) == nil:
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"id":"api.switched_off","status_code":%d}`, status)
		case page != "" && page != "0":
			fmt.Fprint(w, "[]")
		default:
			fmt.Fprint(w, filled(sim, string(answer)))
		}
	}))
	ts.Defer(front.Close)
	ts.Setenv("MM_URL", front.URL)
}

func filled(sim *mmsim.Server, text string) string {
	return regexp.MustCompile(`\{\{([a-z]+)\}\}`).ReplaceAllStringFunc(text, func(s string) string {
		u, _ := sim.UserByName(strings.Trim(s, "{}"))
		return u.ID
	})
}

// cmdLicence: mm-licence puts a licence for guests before the server, and sets MM_URL to it.
func cmdLicence(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: mm-licence, after mattermost")
	}
	ts.Setenv("MM_URL", licencetest.Before(here(ts).tb, ts.Getenv("MM_URL")).URL)
}
