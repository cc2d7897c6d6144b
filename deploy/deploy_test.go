package deploy_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
)

const envRequire = "MMSYNC_TEST_REQUIRE"

var binary string // built once for all tests

func TestMain(m *testing.M) { os.Exit(tests(m)) }

// tests builds the program, of which the files here have to tell the truth.
func tests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "mmsync-deploy-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "mmsync")
	build := exec.Command("go", "build", "-trimpath", "-tags", "timetzdata", "-o", binary, "./cmd/mmsync") //nolint:noctx // ends with the tests
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build mmsync: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// tool finds a program of the system; without it the test is skipped, or fails if
// MMSYNC_TEST_REQUIRE names it.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv(envRequire), ","), name) {
			t.Fatalf("%s requires %s: %v", envRequire, name, err)
		}
		t.Skipf("no %s: %v", name, err)
	}
	return path
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(data)
}

// output runs a command that has to succeed.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	require.NoError(t, err, "%s %s\n%s", name, strings.Join(args, " "), out)
	return string(out)
}

// commandExists proves that mmsync has a command with these flags, and takes that many
// arguments: with --help it says how it is used, and does nothing.
func commandExists(t *testing.T, args []string) {
	t.Helper()
	require.NotEmpty(t, args)
	out := output(t, binary, append(slices.Clone(args), "--help")...)
	require.Contains(t, out, "mmsync "+args[0], "there is no command %s", args[0])
}

var variable = regexp.MustCompile(`(^|[^$])\$\{(\w+)\}`)

// loads reads a configuration as it stands. The environment is what is given, and so are
// the files; any other is missing, as it would be there.
func loads(t *testing.T, name, text string, env map[string]string, files []string) *config.Config {
	t.Helper()
	for _, m := range variable.FindAllStringSubmatch(text, -1) {
		require.Contains(t, env, m[2], "%s takes a variable that it is not given", name)
	}
	c, err := config.Loader{
		Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		ReadFile: func(file string) ([]byte, error) {
			switch {
			case file == name:
				return []byte(text), nil
			case !slices.Contains(files, file):
				return nil, &os.PathError{Op: "open", Path: file, Err: os.ErrNotExist}
			case strings.Contains(file, "state_url"):
				return []byte("postgres://mmsync:secret@db.example.com/mmsync\n"), nil
			}
			return []byte("twenty-six-letters-of-text\n"), nil
		},
	}.Load(name)
	require.NoError(t, err)
	for _, w := range c.Warnings() {
		t.Logf("%s: %s: %s", name, w.Path, w.Msg)
	}
	return c
}

func port(t *testing.T, address string) int32 {
	t.Helper()
	_, text, err := net.SplitHostPort(address)
	require.NoError(t, err)
	n, err := strconv.ParseInt(text, 10, 32)
	require.NoError(t, err)
	return int32(n)
}
