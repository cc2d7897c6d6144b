package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(mainWithProgram(m)) }

func mainWithProgram(m *testing.M) int {
	dir, err := os.MkdirTemp("", "mmsync-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	program.path = filepath.Join(dir, "mmsync")
	pgtest.SideBySide(8)
	return pgtest.Main(m)
}

var program struct {
	once sync.Once
	path string
	err  error
}

// envProgram names a finished program to test, such as a release, instead of
// one built from this checkout.
const envProgram = "MMSYNC_TEST_PROGRAM"

// binary builds the program, once.
func binary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv(envProgram); path != "" {
		return path
	}
	program.once.Do(func() {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program.path, "../../cmd/mmsync")
		if out, err := cmd.CombinedOutput(); err != nil {
			program.err = fmt.Errorf("go build: %w: %s", err, out)
		}
	})
	require.NoError(t, program.err)
	return program.path
}

// result is what one run of the program left.
type result struct {
	t              testing.TB
	args           []string
	code           int
	stdout, stderr string
}

// exits fails the test unless the program ended with the given code.
func (r result) exits(code int) result {
	r.t.Helper()
	require.Equal(r.t, code, r.code, "exit code of mmsync %q\nstdout:\n%s\nstderr:\n%s", r.args, tail(r.stdout), tail(r.stderr))
	return r
}

// says fails the test unless stderr holds the text.
func (r result) says(text string) result {
	r.t.Helper()
	require.Contains(r.t, r.stderr, text, "stderr of mmsync %q", r.args)
	return r
}

func tail(s string) string {
	const most = 3000
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}

// process is one run of the program that has not ended yet.
type process struct {
	t              testing.TB
	cmd            *exec.Cmd
	stdout, stderr spool
	ended          <-chan struct{} // of a service
}

// spool is what a program has written so far.
type spool struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *spool) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *spool) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// start starts the program in the world's directory.
func (w *world) start(args ...string) *process {
	w.t.Helper()
	p := &process{t: w.t}
	p.cmd = exec.CommandContext(w.t.Context(), binary(w.t), append(args, "-c", w.config, "--no-progress")...)
	p.cmd.Env = append(os.Environ(), "MMSYNC_E2E_TOKEN="+w.sim.AdminToken(), "NO_COLOR=1")
	p.cmd.Dir = w.dir
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	require.NoError(w.t, p.cmd.Start())
	return p
}

// kill ends the program as a power failure would. It may be called from any
// goroutine, before wait.
func (p *process) kill() { _ = p.cmd.Process.Kill() } // it may have ended by itself

// wait waits for the end; a killed program has the code -1.
func (p *process) wait() result {
	p.t.Helper()
	err := p.cmd.Wait()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		require.NoError(p.t, err)
	}
	return result{
		t: p.t, args: p.cmd.Args[1:], code: p.cmd.ProcessState.ExitCode(),
		stdout: p.stdout.String(), stderr: p.stderr.String(),
	}
}

// mmsync runs the program to its end.
func (w *world) mmsync(args ...string) result {
	w.t.Helper()
	return w.start(args...).wait()
}
