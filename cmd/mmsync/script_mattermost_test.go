package main

import (
	"bytes"
	"database/sql"
	"flag"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

const sigterm = syscall.SIGTERM

// server is one simulated Mattermost of a script.
type server struct {
	sim    *mmsim.Server
	seen   int // writes shown by mm-writes
	faults []func()
}

func (w *world) server(ts *testscript.TestScript, name string) *server {
	s := w.servers[name]
	if s == nil {
		ts.Fatalf("no Mattermost %q was started", name)
	}
	return s
}

// settings collects -set NAME=VALUE.
type settings map[string]string

func (s settings) String() string { return fmt.Sprint(map[string]string(s)) }

func (s settings) Set(v string) error {
	name, value, _ := strings.Cut(v, "=")
	s[name] = value
	return nil
}

// cmdMattermost: mattermost [-second] [-seats N] [-old] [-set MM_NAME=VALUE]...
// [-logins KEY,...] starts a server with one human administrator and sets MM_URL and MM_TOKEN,
// with -second SECOND_URL and SECOND_TOKEN.
func cmdMattermost(ts *testscript.TestScript, neg bool, args []string) {
	f := flag.NewFlagSet("mattermost", flag.ContinueOnError)
	second := f.Bool("second", false, "")
	seats := f.Int("seats", 0, "")
	old := f.Bool("old", false, "")
	logins := f.String("logins", "", "")
	set := settings{}
	f.Var(set, "set", "")
	if neg || f.Parse(args) != nil || f.NArg() > 0 {
		ts.Fatalf("usage: mattermost [-second] [-seats N] [-old] [-set MM_NAME=VALUE]...")
	}
	o := mmsim.Options{SeatLimit: *seats, Settings: set}
	if *logins != "" {
		o.Logins = strings.Split(*logins, ",")
	}
	if *old {
		o.Profile = mmsim.Profile538
	}
	w := here(ts)
	sim := mmsim.New(o)
	url := sim.Start(w.tb)
	name, prefix := "", "MM"
	if *second {
		name, prefix = "second", "SECOND"
	}
	w.servers[name] = &server{sim: sim}
	ts.Setenv(prefix+"_URL", url)
	ts.Setenv(prefix+"_TOKEN", sim.AdminToken())
}

// cmdUser: mm-user NAME prints the account; with ! there must be none. Without
// a name all are printed.
func cmdUser(ts *testscript.TestScript, neg bool, args []string) {
	sim := here(ts).server(ts, "").sim
	users := sim.Users()
	if len(args) == 1 {
		u, ok := sim.UserByName(args[0])
		if ok == neg {
			ts.Fatalf("account %s: there is one: %t", args[0], ok)
		}
		if neg {
			return
		}
		users = []mmsim.User{u}
	}
	for _, u := range users {
		state := "active"
		if !u.Active() {
			state = "off"
		}
		fmt.Fprintf(ts.Stdout(), "%s %s %s %q %q %s\n", u.Username, state, u.Email, u.FirstName+" "+u.LastName, u.Position, u.Roles)
	}
}

// cmdLogin: mm-login NAME prints how the account logs in.
func cmdLogin(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: mm-login NAME")
	}
	u := account(ts, args[0])
	if u.AuthService == "" {
		fmt.Fprintln(ts.Stdout(), "password")
		return
	}
	fmt.Fprintln(ts.Stdout(), u.AuthService, u.AuthData)
}

// cmdDelete: mm-delete NAME removes the account for good, as an administrator
// can.
func cmdDelete(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: mm-delete NAME")
	}
	here(ts).server(ts, "").sim.RemoveUser(account(ts, args[0]).ID)
}

func account(ts *testscript.TestScript, name string) mmsim.User {
	u, ok := here(ts).server(ts, "").sim.UserByName(name)
	if !ok {
		ts.Fatalf("there is no account %s", name)
	}
	return u
}

// cmdWrites: mm-writes prints the calls that asked for a change since the last
// time; with ! there must be none. With N there must be that many.
func cmdWrites(ts *testscript.TestScript, neg bool, args []string) {
	s := here(ts).server(ts, "")
	all := s.sim.Writes()
	calls := all[s.seen:]
	s.seen = len(all)
	var b strings.Builder
	for _, c := range calls {
		fmt.Fprintf(&b, "%s %s %d\n", c.Method, strings.TrimPrefix(c.Path, "/api/v4"), c.Status)
	}
	if neg && len(calls) > 0 {
		ts.Fatalf("Mattermost was asked for changes:\n%s", b.String())
	}
	if len(args) == 1 && args[0] != strconv.Itoa(len(calls)) {
		ts.Fatalf("Mattermost was asked for %d changes, want %s:\n%s", len(calls), args[0], b.String())
	}
	fmt.Fprint(ts.Stdout(), b.String())
}

// cmdAdd: mm-add NAME [email=…] [first=…] [last=…] [position=…] [roles=…] [state=off] [bot=yes|OWNER] [login=SERVICE:DATA]
// puts an account there behind mmsync's back.
func cmdAdd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: mm-add NAME [KEY=VALUE]...")
	}
	v := words(ts, args[1:], "email", "first", "last", "position", "roles", "state", "bot", "login")
	u := mmsim.User{
		Username: args[0], Email: v["email"], FirstName: v["first"], LastName: v["last"], Position: v["position"],
		Roles: v["roles"], IsBot: v["bot"] != "",
	}
	if u.Email == "" {
		u.Email = args[0] + "@elsewhere.test"
	}
	sim := here(ts).server(ts, "").sim
	if u.IsBot {
		u.OwnerID = sim.AdminID()
		if owner, ok := sim.UserByName(v["bot"]); ok {
			u.OwnerID = owner.ID
		}
	}
	if v["state"] == "off" {
		u.DeleteAt = time.Now().UnixMilli()
	}
	u.AuthService, u.AuthData, _ = strings.Cut(v["login"], ":")
	sim.AddUser(u)
}

// cmdSet: mm-set NAME KEY=VALUE... changes an account as somebody in Mattermost
// would: its update_at moves.
func cmdSet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: mm-set NAME KEY=VALUE...")
	}
	sim, u := here(ts).server(ts, "").sim, account(ts, args[0])
	v := words(ts, args[1:], "position", "roles", "state", "last", "off")
	sim.SetUser(u.ID, func(u *mmsim.User) {
		if p, ok := v["position"]; ok {
			u.Position = p
		}
		if l, ok := v["last"]; ok {
			u.LastName = l
		}
		if r, ok := v["roles"]; ok {
			u.Roles = r
		}
		switch v["state"] {
		case "off":
			u.DeleteAt = time.Now().UnixMilli()
		case "on":
			u.DeleteAt = 0
		}
		if v["off"] != "" { // since when
			at, err := time.Parse(time.RFC3339, v["off"])
			ts.Check(err)
			u.DeleteAt = at.UnixMilli()
		}
		u.UpdateAt = time.Now().UnixMilli()
	})
}

// cmdToken: mm-token NAME sets MM_TOKEN to a token of that account.
func cmdToken(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: mm-token NAME")
	}
	ts.Setenv("MM_TOKEN", here(ts).server(ts, "").sim.AddToken(account(ts, args[0]).ID))
}

// cmdFault: mm-fault KIND[=VALUE] [method=M] [path=PATTERN] [skip=N] [count=N]
// with the kinds html, redirect=URL, status=N, cut, lost, away, slow=DURATION.
func cmdFault(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: mm-fault KIND[=VALUE] [KEY=VALUE]...")
	}
	v := words(ts, args[1:], "method", "path", "skip", "count")
	number := func(s string) int {
		if s == "" {
			return 0
		}
		n, err := strconv.Atoi(s)
		ts.Check(err)
		return n
	}
	s := here(ts).server(ts, "")
	f := mmsim.Fault{Method: v["method"], Path: v["path"], Skip: number(v["skip"]), Count: number(v["count"])}
	switch kind, value, _ := strings.Cut(args[0], "="); kind {
	case "html":
		f.HTML = true
	case "redirect":
		f.Redirect = value
	case "status":
		f.Status = number(value)
	case "cut":
		f.CutBefore = true
	case "lost":
		f.CutAfter = true
	case "away":
		f.DatabaseAway = true
	case "slow":
		d, err := time.ParseDuration(value)
		ts.Check(err)
		f.Latency = d
	case "stuck":
		until := make(chan struct{})
		f.Until = until
		s.faults = append(s.faults, func() { close(until) })
	default:
		ts.Fatalf("there is no fault %s", kind)
	}
	s.faults = append(s.faults, s.sim.Fail(f))
}

// cmdWell: mm-well ends all faults.
func cmdWell(ts *testscript.TestScript, _ bool, _ []string) {
	s := here(ts).server(ts, "")
	for _, end := range s.faults {
		end()
	}
	s.faults = nil
}

// cmdNewerSchema: newer-schema FILE makes an SQLite store look like that of a
// later version of mmsync.
func cmdNewerSchema(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: newer-schema FILE")
	}
	db, err := sql.Open("sqlite", ts.MkAbs(args[0])) // the store's own driver
	ts.Check(err)
	defer func() { ts.Check(db.Close()) }()
	_, err = db.Exec(`insert into goose_db_version (version_id, is_applied) values (9999, 1)`)
	ts.Check(err)
}

// cmdBusyPort: busy-port NAME listens on a port and sets NAME to its address.
func cmdBusyPort(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: busy-port NAME")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() }) // nothing was accepted
	ts.Setenv(args[0], l.Addr().String())
}

// safeBuffer is a buffer that may be read while a process writes to it.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
