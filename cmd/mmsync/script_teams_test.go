package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// asAdmin asks the server of a script as its administrator, behind mmsync's back.
func asAdmin(ts *testscript.TestScript, method, path string, answer any) {
	sim := here(ts).server(ts, "").sim
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, sim.URL()+"/api/v4"+path, http.NoBody)
	ts.Check(err)
	req.Header.Set("Authorization", "Bearer "+sim.AdminToken())
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		ts.Fatalf("%s %s: %d", method, path, resp.StatusCode)
	}
	ts.Check(json.NewDecoder(resp.Body).Decode(answer))
}

// spacePath gives the path of a team, or of a channel named as team/channel.
func spacePath(ts *testscript.TestScript, space string) string {
	team, channel, isChannel := strings.Cut(space, "/")
	path, kind := "/teams/name/"+team, "/teams/"
	if isChannel {
		path, kind = path+"/channels/name/"+channel, "/channels/"
	}
	var b struct{ ID string }
	asAdmin(ts, http.MethodGet, path, &b)
	return kind + b.ID
}

// cmdIn: mm-in TEAM[/CHANNEL] prints who is in it, less mmsync's own account.
func cmdIn(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: mm-in TEAM[/CHANNEL]")
	}
	var list []struct {
		UserID string `json:"user_id"`
		Admin  bool   `json:"scheme_admin"`
	}
	asAdmin(ts, http.MethodGet, spacePath(ts, args[0])+"/members?per_page=200", &list)
	sim := here(ts).server(ts, "").sim
	var names []string
	for _, m := range list {
		u, _ := sim.User(m.UserID)
		switch {
		case m.UserID == sim.AdminID():
		case m.Admin:
			names = append(names, u.Username+" admin")
		default:
			names = append(names, u.Username)
		}
	}
	slices.Sort(names)
	fmt.Fprintln(ts.Stdout(), strings.Join(names, ", "))
}

// cmdLeave: mm-leave NAME TEAM[/CHANNEL] plays somebody who leaves.
func cmdLeave(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mm-leave NAME TEAM[/CHANNEL]")
	}
	var b map[string]any
	asAdmin(ts, http.MethodDelete, spacePath(ts, args[1])+"/members/"+account(ts, args[0]).ID, &b)
	here(ts).server(ts, "").seen = len(here(ts).server(ts, "").sim.Writes())
}
