package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdChannel: mm-channel TEAM NAME makes a team with a channel in it.
func cmdChannel(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mm-channel TEAM NAME")
	}
	sim := here(ts).server(ts, "").sim
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	made := func(path string, body map[string]string) string {
		text, err := json.Marshal(body)
		ts.Check(err)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, sim.URL()+"/api/v4"+path, strings.NewReader(string(text)))
		ts.Check(err)
		req.Header.Set("Authorization", "Bearer "+sim.AdminToken())
		resp, err := http.DefaultClient.Do(req)
		ts.Check(err)
		defer resp.Body.Close()
		var b struct{ ID string }
		ts.Check(json.NewDecoder(resp.Body).Decode(&b))
		if resp.StatusCode != http.StatusCreated {
			ts.Fatalf("POST %s: %d", path, resp.StatusCode)
		}
		return b.ID
	}
	team := made("/teams", map[string]string{"name": args[0], "display_name": args[0], "type": "O"})
	made("/channels", map[string]string{"team_id": team, "name": args[1], "display_name": args[1], "type": "P"})
}
