// Package sambatest gives tests a domain controller: Samba's, which speaks Active
// Directory's LDAP with its own schema, links, tombstones and security.
//
// What takes long is done once for each machine and kept below the user's cache
// directory: a domain, and the same people in it as ldaptest plays. A test gets a
// copy that is its own and gone with it. LDAP's ports cannot be moved, so each
// server has a loopback address of its own; that, and the files of a domain
// controller, take root and Linux.
//
// Samba does not do all that Active Directory does: it has no cap on unpaged reads,
// never begins to send values in ranges by itself, knows no WhoAmI, and gives one
// domain controller alone. For that there is ldaptest.
//
// It is support of tests only and knows nothing of mmsync.
package sambatest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mmsync/mmsync/internal/ldaptest"
	"github.com/mmsync/mmsync/internal/slapdtest"
)

// The accounts every Server has. The reader is an ordinary user: it has no right to
// see Deleted Objects, nor to replicate.
const (
	Admin         = "Administrator@ad.test"
	AdminPassword = "Passw0rd!23"
	Reader        = "reader@ad.test"
	Password      = ldaptest.Password // the reader's
	// LockoutThreshold is how many wrong passwords lock an account.
	LockoutThreshold = 3
)

// Options say what the domain holds besides the reader.
type Options struct {
	// People is how many of slapdtest.Roster it has, as ldaptest's Active Directory
	// does: the same names, attributes and groups. A number that was not asked for on
	// this machine yet takes 15 ms for each of them, once.
	People int
}

// Server is one running domain controller. It ends with its test.
type Server struct {
	URL, TLSURL string
	CAFile      string
	t           testing.TB
	dir         string
	address     string
	cmd         *exec.Cmd
	input       io.Closer
	output      bytes.Buffer
	done        chan struct{}
}

// Require skips the test if there can be no domain controller here, with a printed
// reason, and fails it if the environment variable MMSYNC_TEST_REQUIRE names samba.
func Require(t testing.TB) {
	t.Helper()
	err := possible()
	if err == nil {
		return
	}
	if slices.Contains(strings.Split(os.Getenv("MMSYNC_TEST_REQUIRE"), ","), "samba") {
		t.Fatalf("MMSYNC_TEST_REQUIRE names samba: %v", err)
	}
	t.Skipf("needs Samba's domain controller: %v", err)
}

func possible() error {
	if runtime.GOOS != "linux" {
		return errors.New("it takes Linux")
	}
	for _, name := range []string{"samba", "samba-tool", "ldbadd"} {
		if _, err := program(name); err != nil {
			return err
		}
	}
	if os.Geteuid() != 0 {
		return errors.New("it takes root, for the fixed ports of LDAP")
	}
	return nil
}

// program finds a program that may be out of the usual path.
func program(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/samba/sbin", "/usr/local/samba/bin", "/sbin"} {
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s is not installed (Debian: apt-get install samba-ad-dc samba-ad-provision ldb-tools)", name)
}

// Start gives a test its own domain controller; it calls Require first.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	Require(t)
	s := &Server{t: t, done: make(chan struct{})}
	image, err := snapshot(t.Context(), o)
	s.must("prepare a domain", err)
	//nolint:usetesting // its path has to be short: there are sockets in it
	s.dir, err = os.MkdirTemp("", "mmsync-samba-")
	s.must("make a directory", err)
	s.must("copy the domain", run(t.Context(), "cp", "-a", "--reflink=auto", image+"/.", s.dir))
	address, free, err := reserve()
	s.must("find an address", err)
	t.Cleanup(free)
	s.address = address
	s.URL, s.TLSURL = "ldap://"+address+":389", "ldaps://"+address+":636"
	s.CAFile = filepath.Join(s.dir, "ca.pem")
	s.must("make a certificate", slapdtest.WriteCertificates(s.dir, net.ParseIP(address)))
	s.must("write smb.conf", writeConfig(s.dir, address))
	s.run()
	return s
}

func (s *Server) must(what string, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("samba: %s: %v", what, err)
	}
}

// keeper removes the directory when the server ends, and the server ends when its
// input does: by Stop, or because this process is gone, however it went.
const keeper = `dir=$1; shift; "$@"; code=$?; rm -rf "$dir"; exit $code`

func (s *Server) run() {
	s.t.Helper()
	samba, err := program("samba")
	s.must("start", err)
	// No context: it would end the keeper and not what it keeps.
	s.cmd = exec.Command("/bin/sh", "-c", keeper, "keeper", s.dir, samba, "-i", "-M", "single", "-s", configFile(s.dir)) //nolint:gosec,noctx // our own script
	ownGroup(s.cmd)
	s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
	s.input, err = s.cmd.StdinPipe()
	s.must("start", err)
	s.must("start", s.cmd.Start())
	go func() { defer close(s.done); _ = s.cmd.Wait() }() // Stop and answers wait for done
	s.t.Cleanup(s.Stop)
	if err := s.answers(); err != nil {
		s.Stop()
		s.t.Fatalf("samba does not start: %v: %s", err, s.output.Bytes())
	}
}

// Stop ends the server and waits for it. It may be called again.
func (s *Server) Stop() {
	_ = s.input.Close()
	select {
	case <-s.done:
	case <-time.After(10 * time.Second):
		killGroup(s.cmd)
		<-s.done
		_ = os.RemoveAll(s.dir)
	}
}

// answers waits until LDAPS takes connections; the other ports are open by then.
func (s *Server) answers() error {
	deadline := time.After(3 * time.Minute)
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case <-s.done:
			return errors.New("it ended")
		case <-deadline:
			return errors.New("it does not listen")
		case <-tick.C:
			d := net.Dialer{Timeout: time.Second}
			c, err := d.DialContext(context.WithoutCancel(s.t.Context()), "tcp", s.address+":636")
			if err == nil {
				return c.Close()
			}
		}
	}
}
