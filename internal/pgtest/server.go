//go:build unix

package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	owner        = "mmsync" // the server's superuser
	startTimeout = time.Minute
	stopTimeout  = 20 * time.Second
	startTries   = 3 // somebody else may take the free port first
)

// keeper runs the server and outlives it: when its input ends, because stop
// closed it or because this process is gone however it went, it stops the server
// at once, waits for it and removes the directory. A server that ends while there
// is a file "again" is started again, once there is no file "down".
const keeper = `
dir=$1; shift
exec 3<&0
(cat <&3 >/dev/null; : >"$dir/end"; pid=$(cat "$dir/pid"); kill -QUIT $pid; kill -TERM $pid) 2>/dev/null &
watch=$!
while :; do
	"$@" </dev/null >>"$dir/log" 2>&1 3<&- &
	pid=$!
	echo $pid >"$dir/pid"
	[ ! -e "$dir/end" ] || kill -QUIT $pid
	wait $pid
	code=$?
	while [ -e "$dir/down" ] && [ ! -e "$dir/end" ]; do sleep 0.05; done
	[ -e "$dir/again" ] && [ ! -e "$dir/end" ] || break
	rm -f "$dir/again"
done
kill $watch 2>/dev/null
rm -rf "$dir"
exit $code`

// server is a running PostgreSQL and the shell that keeps it.
type server struct {
	url  string
	dir  string
	stop func()
}

// startServer makes a cluster in a temporary directory and runs it on a free
// loopback port, as an unprivileged user if this process is root's.
func startServer(settings ...string) (*server, error) {
	initdb, postgres, err := binaries()
	if err != nil {
		return nil, err
	}
	who, err := unprivileged()
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		s, err := tryServer(initdb, postgres, who, settings)
		if err == nil || try == startTries {
			return s, err
		}
	}
}

func tryServer(initdb, postgres string, who *syscall.Credential, settings []string) (*server, error) {
	dir, err := os.MkdirTemp("", "mmsync-pg-")
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*server, error) { return nil, errors.Join(err, os.RemoveAll(dir)) }
	if who != nil {
		if err := os.Chown(dir, int(who.Uid), int(who.Gid)); err != nil {
			return fail(err)
		}
	}
	data := filepath.Join(dir, "data")
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := makeCluster(ctx, who, initdb, dir, data); err != nil {
		return fail(err)
	}
	port, err := freePort()
	if err != nil {
		return fail(err)
	}
	command := []string{
		postgres, "-D", data, "-p", port, "-k", dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "synchronous_commit=off",
		"-c", "full_page_writes=off", "-c", "max_connections=200", "-c", "shared_buffers=64MB", "-c", "max_wal_size=2GB",
	}
	for _, s := range settings {
		command = append(command, "-c", s)
	}
	return keep(ctx, who, dir, port, command...)
}

// makeCluster prefers a linguistic collation, as most real databases have: under
// C alone, nobody would notice a column that sorts by the database's locale.
func makeCluster(ctx context.Context, who *syscall.Credential, initdb, dir, data string) error {
	common := []string{
		"--pgdata", data, "--username", owner, "--auth", "trust", "--encoding", "UTF8", "--locale", "C",
		"--no-sync", "--no-instructions",
	}
	linguistic := append([]string{"--locale-provider", "icu", "--icu-locale", "en"}, common...) // 15 and later, if built with ICU
	var out []byte
	var err error
	for _, args := range [][]string{linguistic, common} {
		cmd := as(who, exec.CommandContext(ctx, initdb, args...))
		cmd.Dir = dir
		if out, err = cmd.CombinedOutput(); err == nil {
			return nil
		}
	}
	return fmt.Errorf("initdb: %w: %s", err, bytes.TrimSpace(out))
}

// keep starts the server under its keeper and waits until it answers.
func keep(ctx context.Context, who *syscall.Credential, dir, port string, command ...string) (*server, error) {
	//nolint:gosec // our own script; a context would only stop the keeper, not what it keeps
	cmd := as(who, exec.Command("/bin/sh", append([]string{"-c", keeper, "keeper", dir}, command...)...))
	cmd.Dir = "/"
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // a server that was told to quit has no good exit code
	}()
	s := &server{url: fmt.Sprintf("postgres://%s@127.0.0.1:%s/postgres?sslmode=disable", owner, port), dir: dir}
	s.stop = func() {
		_ = input.Close()
		select {
		case <-ended:
		case <-time.After(stopTimeout): // the keeper goes on trying
		}
	}
	if err := answers(ctx, s.url, ended); err != nil {
		log := tail(filepath.Join(dir, "log"))
		s.stop()
		return nil, fmt.Errorf("start postgres: %w: %s", err, log)
	}
	return s, nil
}

// answers waits until a connection is let in.
func answers(ctx context.Context, url string, ended <-chan struct{}) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := pgx.Connect(ctx, url)
		if err == nil {
			return c.Close(ctx)
		}
		select {
		case <-ended:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// binaries finds initdb and postgres of one version, side by side.
func binaries() (initdb, postgres string, err error) {
	var dirs []string
	if p, err := exec.LookPath("postgres"); err == nil {
		dirs = append(dirs, filepath.Dir(p))
	}
	debian, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // only a bad pattern fails
	slices.Reverse(debian)
	dirs = append(dirs, debian...)
	dirs = append(dirs, "/usr/local/bin", "/usr/local/pgsql/bin", "/opt/homebrew/bin")
	for _, dir := range dirs {
		initdb, postgres = filepath.Join(dir, "initdb"), filepath.Join(dir, "postgres")
		if _, err := exec.LookPath(initdb); err != nil {
			continue
		}
		if _, err := exec.LookPath(postgres); err == nil {
			return initdb, postgres, nil
		}
	}
	return "", "", errors.New("initdb and postgres are neither in PATH nor in /usr/lib/postgresql/*/bin: install postgresql or set " + EnvURL)
}

// unprivileged gives whom to run as: postgres refuses to be root.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nobody else than this process's user
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("running as root, and there is no user postgres or nobody to run the server as")
}

// as prepares a command in a process group of its own, so that a Ctrl-C at the
// terminal reaches the tests and not the server under them.
func as(who *syscall.Credential, cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: who}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=America/New_York"} // a zone that is not UTC shows mistakes
	return cmd
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}

// tail gives the end of a log.
func tail(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(b[max(0, len(b)-2000):]))
}
