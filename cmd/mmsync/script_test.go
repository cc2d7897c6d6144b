package main

import (
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mmsync/mmsync/internal/pgtest"
)

var update = flag.Bool("update", false, "rewrite what the scripts compare with")

func TestMain(m *testing.M) {
	// A race is reported when it is seen; the detector's second of waiting at the
	// end of each of many hundred processes finds no more.
	if os.Getenv("GORACE") == "" {
		_ = os.Setenv("GORACE", "atexit_sleep_ms=0") // costs time if it fails
	}
	pgtest.SideBySide(4)
	testscript.Main(m, map[string]func(){"mmsync": main})
}

// TestScript runs the command line as people meet it. Each file of
// testdata/script is one story; what its commands beside mmsync are is said in
// testdata/script/README. A script starts with the configuration and the people
// of testdata/common in its directory, unless it brings its own.
func TestScript(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		Setup:               setup,
		UpdateScripts:       *update,
		RequireUniqueNames:  true,
		RequireExplicitExec: false,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"mattermost": cmdMattermost, "mm-user": cmdUser, "mm-writes": cmdWrites, "mm-add": cmdAdd, "mm-set": cmdSet,
			"mm-login": cmdLogin, "mm-delete": cmdDelete, "mm-in": cmdIn, "mm-leave": cmdLeave,
			"mm-token": cmdToken, "mm-channel": cmdChannel, "mm-fault": cmdFault, "mm-front": cmdFront, "mm-licence": cmdLicence, "mm-well": cmdWell,
			"slapd": cmdSlapd, "ldap-add": cmdLDAPAdd, "ldap-set": cmdLDAPSet, "ldap-delete": cmdLDAPDelete, "fakeldap": cmdFakeLDAP,
			"exits": cmdExits, "json": cmdJSON, "jsonenv": cmdJSONEnv, "norm": cmdNorm, "interrupt": cmdInterrupt, "people": cmdPeople,
			"newer-schema": cmdNewerSchema, "busy-port": cmdBusyPort, "lines": cmdLines, "waitwrites": cmdWaitWrites, "waitrow": cmdWaitRow,
			"holds-text": cmdHoldsText, "pruned": cmdPruned, "free-port": cmdFreePort, "push": cmdPush, "ask": cmdAsk,
			"mm-synced": cmdSynced, "fakead": cmdFakeAD, "fill": cmdFill,
			"sql": cmdSQL, "postgres": cmdPostgres,
		},
	})
}

// world is what one script has started.
type world struct {
	tb      testing.TB
	env     *testscript.Env
	servers map[string]*server
	slapd   directory
}

func setup(env *testscript.Env) error {
	tb, ok := env.T().(testing.TB)
	if !ok {
		return errors.New("scripts are run by go test")
	}
	env.Values["world"] = &world{tb: tb, env: env, servers: map[string]*server{}}
	env.Setenv("MMSYNC_CONFIG", filepath.Join(env.WorkDir, "config.yaml"))
	env.Setenv("MM_URL", "http://127.0.0.1:1") // nothing listens there
	env.Setenv("MM_TOKEN", "not-started")
	env.Setenv("HOSTILE", "x\x1b[2J\u202egnp\a") // clears the screen, reverses, rings
	return filepath.WalkDir("testdata/common", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		to := filepath.Join(env.WorkDir, d.Name())
		if _, err := os.Stat(to); err == nil {
			return nil // the script brings its own
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, data, 0o600)
	})
}

func here(ts *testscript.TestScript) *world {
	w, ok := ts.Value("world").(*world)
	if !ok {
		ts.Fatalf("setup did not run")
	}
	return w
}

// cmdExits: exits CODE COMMAND ARGS...
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var failed *exec.ExitError
		if !errors.As(err, &failed) {
			ts.Fatalf("%v", err)
		}
		got = failed.ExitCode()
	}
	if got != want {
		ts.Fatalf("%s ended with %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// cmdJSON: json FILE [PATH=VALUE]... reads one JSON document and compares values
// in it; len in a path is the length of a list.
func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: json FILE [PATH=VALUE]...")
	}
	var doc any
	d := json.NewDecoder(strings.NewReader(ts.ReadFile(args[0])))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		ts.Fatalf("%s is not JSON: %v", args[0], err)
	}
	if d.More() {
		ts.Fatalf("%s holds more than one document", args[0])
	}
	for _, check := range args[1:] {
		path, want, ok := strings.Cut(check, "=")
		if !ok {
			ts.Fatalf("%q is not PATH=VALUE", check)
		}
		if got := dig(ts, doc, path); got != want {
			ts.Fatalf("%s is %q, want %q", path, got, want)
		}
	}
}

// cmdJSONEnv: jsonenv NAME FILE PATH sets NAME to a value of a JSON document.
func cmdJSONEnv(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: jsonenv NAME FILE PATH")
	}
	var doc any
	if err := json.Unmarshal([]byte(ts.ReadFile(args[1])), &doc); err != nil {
		ts.Fatalf("%s is not JSON: %v", args[1], err)
	}
	ts.Setenv(args[0], dig(ts, doc, args[2]))
}

func dig(ts *testscript.TestScript, v any, path string) string {
	for step := range strings.SplitSeq(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[step]
		case []any:
			if step == "len" {
				return strconv.Itoa(len(x))
			}
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(x) {
				ts.Fatalf("%s: no element %s of %d", path, step, len(x))
			}
			v = x[i]
		default:
			v = nil
		}
	}
	return fmt.Sprint(v)
}

// cmdNorm: norm FILE... prints them with what differs from run to run replaced,
// so that cmp can compare the rest. Of stderr it takes what the program says
// itself, without its log.
func cmdNorm(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: norm FILE...")
	}
	text := ""
	for _, name := range args {
		for line := range strings.Lines(ts.ReadFile(name)) {
			// A slow machine gets to say how far a run has come.
			if name != "stderr" || (!strings.HasPrefix(line, "{") && !strings.Contains(line, " · eta ")) {
				text += line
			}
		}
	}
	for _, name := range []string{"MM_URL", "SECOND_URL", "LDAP_URL", "FIRST_ID", "ENTRY_UUID", "WORK"} {
		if v := ts.Getenv(name); v != "" {
			text = strings.ReplaceAll(text, v, "["+name+"]")
		}
	}
	for _, r := range []struct{ find, put string }{
		{`\b\d{8}-\d{6}-[0-9a-f]{6}\b`, "[run]"},
		{`\b[a-z0-9]{26}\b`, "[id]"},
		{`Plan [0-9a-f]{4}-[0-9a-f]{4}`, "Plan [digest]"},
		{`"[0-9a-f]{64}"`, `"[digest]"`},
		{`\b[0-9a-f]{64}\b`, "[seal]"},
		{`\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?(\.\d+)?Z?`, "[time]"},
		{`\b\d+(\.\d+)?(ms|s)\b`, "[took]"},
		{`\b\d+\.\d s\b`, "[took]"},
		{`\b\d+ (s|min) ago\b`, "[ago]"},
		{`(STARTED|\[ago\]) +(\w|-)`, "$1 $2"},
		{`127(\.\d+){3}:\d+`, "[address]"},
		{`(TOOK|\[took\]) +(\w)`, "$1 $2"},
		{`of (?:"?person\d{3}\b"?|[a-z]+/p\d{3}\b)`, "of [somebody]"},
		{`[\w.-]+@[\w-]+ *$`, "[who]"},
		{`by [\w.-]+@[\w-]+,`, "by [who],"},
		{`by [\w.-]+@[\w-]+ since`, "by [who] since"},
	} {
		text = regexp.MustCompile("(?m)"+r.find).ReplaceAllString(text, r.put)
	}
	_, err := ts.Stdout().Write([]byte(text))
	ts.Check(err)
}

// cmdLines: lines FILE N checks how many lines it has.
func cmdLines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines FILE N")
	}
	if n := strings.Count(ts.ReadFile(args[0]), "\n"); strconv.Itoa(n) != args[1] {
		ts.Fatalf("%s has %d lines, want %s", args[0], n, args[1])
	}
}

// cmdPeople: people FILE N [LEFT] writes a CSV with N people, of whom the first
// LEFT have left. It replaces the file, so that a service beside it reads no half of it.
func cmdPeople(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: people FILE N [LEFT]")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	left := 0
	if len(args) > 2 {
		left, err = strconv.Atoi(args[2])
		ts.Check(err)
	}
	var b strings.Builder
	b.WriteString("id,login,mail,first,last,title,status\n")
	for i := range n {
		status := "here"
		if i < left {
			status = "left"
		}
		fmt.Fprintf(&b, "p%03d,person%03d,person%03d@example.test,Person,Number %d,Clerk,%s\n", i, i, i, i, status)
	}
	file := ts.MkAbs(args[0])
	ts.Check(os.WriteFile(file+".new", []byte(b.String()), 0o600))
	ts.Check(os.Rename(file+".new", file))
}

// cmdInterrupt: interrupt [-term] [-line REGEXP | -writes N] CODE COMMAND ARGS...
// starts the command, waits until its output has the line or Mattermost was
// asked for N changes, sends it SIGINT or SIGTERM, and checks its exit code.
func cmdInterrupt(ts *testscript.TestScript, neg bool, args []string) {
	const use = "usage: interrupt [-term] [-line REGEXP | -writes N] CODE COMMAND ARGS..."
	f := flag.NewFlagSet("interrupt", flag.ContinueOnError)
	term := f.Bool("term", false, "")
	line := f.String("line", "", "")
	writes := f.Int("writes", 0, "")
	if neg || f.Parse(args) != nil || f.NArg() < 2 {
		ts.Fatalf(use)
	}
	want, err := strconv.Atoi(f.Arg(0))
	ts.Check(err)
	path, err := exec.LookPath(f.Arg(1)) // the test's own PATH has it as well
	ts.Check(err)
	signal := os.Interrupt
	if *term {
		signal = sigterm
	}
	w := here(ts)
	cmd := exec.CommandContext(w.tb.Context(), path, f.Args()[2:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, kv := range w.env.Vars {
		name, _, _ := strings.Cut(kv, "=")
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	for _, name := range []string{"MM_URL", "MM_TOKEN", "LDAP_URL"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	var stdout, stderr safeBuffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	ts.Check(cmd.Start())
	re := regexp.MustCompile(*line)
	until(ts, func() bool {
		if *writes > 0 {
			return len(w.server(ts, "").sim.Writes()) >= *writes
		}
		return re.MatchString(stdout.String())
	})
	ts.Check(cmd.Process.Signal(signal))
	_ = cmd.Wait() // judged by its exit code
	_, err = ts.Stdout().Write([]byte(stdout.String()))
	ts.Check(err)
	_, err = ts.Stderr().Write([]byte(stderr.String()))
	ts.Check(err)
	if got := cmd.ProcessState.ExitCode(); got != want {
		ts.Fatalf("it ended with %d, want %d; stdout:\n%s\nstderr:\n%s", got, want, stdout.String(), stderr.String())
	}
}

// cmdWaitWrites: waitwrites N waits until Mattermost was asked for N changes.
func cmdWaitWrites(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitwrites N")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	sim := here(ts).server(ts, "").sim
	until(ts, func() bool { return len(sim.Writes()) >= n })
}

// cmdWaitRow: waitrow FILE QUERY waits until an SQLite store has what QUERY asks for.
func cmdWaitRow(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: waitrow FILE QUERY")
	}
	db := database(ts, args[0])
	defer func() { ts.Check(db.Close()) }()
	until(ts, func() bool {
		var found any
		err := db.QueryRow(args[1]).Scan(&found)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			ts.Logf("waitrow: %v", err) // busy, as a store in use may be
		}
		return err == nil
	})
}

// patience is how long a script waits for what happens at once on an idle machine.
const patience = 2 * time.Minute

func until(ts *testscript.TestScript, done func() bool) {
	for end := time.Now().Add(patience); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			ts.Fatalf("it did not happen within %s", patience)
		}
	}
}

// words splits NAME KEY=VALUE...
func words(ts *testscript.TestScript, args []string, keys ...string) map[string]string {
	out := map[string]string{}
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok || !slices.Contains(keys, key) {
			ts.Fatalf("%q is not one of %s with = and a value", arg, strings.Join(keys, ", "))
		}
		out[key] = value
	}
	return out
}
