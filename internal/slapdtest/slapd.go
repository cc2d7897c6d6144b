// Package slapdtest gives tests a directory server: a real slapd on a free
// loopback port with invented people in it, a proxy that cuts connections, and
// a small fake for faults that slapd cannot be made to show. Package ldaptest has
// more of those, and plays other products.
//
// It is support of tests only and knows nothing of mmsync.
package slapdtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The fixed names of the tree every Server holds.
const (
	BaseDN         = "dc=example,dc=test"
	PeopleDN       = "ou=people," + BaseDN
	GroupsDN       = "ou=groups," + BaseDN
	ReaderDN       = "cn=reader," + BaseDN
	ReaderPassword = "reader-pw"
	AdminDN        = "cn=admin," + BaseDN
	AdminPassword  = "admin-pw"
)

// Options say what the server holds and how it behaves towards the reader.
type Options struct {
	Users int    // how many of Roster it holds
	LDIF  string // further entries, below BaseDN
	// SizeLimit ends an unpaged search of the reader; 0 is none.
	SizeLimit int
	// PageLimit is the largest page the reader may ask for; 0 is 1000.
	PageLimit int
	// PagedTotal ends a paged search of the reader; 0 is none.
	PagedTotal int
	NoPaging   bool // paging is forbidden to the reader
	// ACL are access rules (slapd.access(5), without the word access) that come
	// before "everybody who is bound may read all".
	ACL []string
	// SyncProvider answers RFC 4533. What happened to single entries is kept in
	// memory for the last 1000 changes, so that Restart forgets it.
	SyncProvider bool
	// Written is when the entries were written last; zero is now.
	Written time.Time
	// DynamicGroups fills member of a groupOfURLs while it is read, from its
	// memberURL. Without it such groups can be there all the same.
	DynamicGroups bool
	// AskCertificate makes the server ask clients for a certificate of its authority.
	AskCertificate bool
	NoTLS          bool     // no certificate: StartTLS is refused and TLSURL empty
	Config         []string // further global lines of slapd.conf(5)
}

// Server is one running slapd. It ends with its test.
type Server struct {
	URL, TLSURL       string
	SocketURL         string // ldapi:// address
	CAFile            string
	BaseDN            string
	ReaderDN, AdminDN string
	ReaderPassword    string
	AdminPassword     string
	t                 testing.TB
	dir               string
	opts              Options
	port, tlsPort     int
	cmd               *exec.Cmd
	output            *bytes.Buffer
	done              chan struct{}
}

// Require skips the test if slapd is not installed, with a printed reason, and
// fails it if the environment variable MMSYNC_TEST_REQUIRE names slapd.
func Require(t testing.TB) {
	t.Helper()
	_, err := program("slapd")
	if err == nil {
		return
	}
	if slices.Contains(strings.Split(os.Getenv("MMSYNC_TEST_REQUIRE"), ","), "slapd") {
		t.Fatalf("MMSYNC_TEST_REQUIRE names slapd: %v", err)
	}
	t.Skipf("needs OpenLDAP's server: %v", err)
}

// program finds a program that distributions keep out of the usual path.
func program(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/lib/openldap", "/usr/libexec", "/usr/local/sbin", "/usr/local/libexec", "/sbin"} {
		if p := filepath.Join(dir, name); executable(p) {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s is not installed (Debian: apt-get install slapd)", name)
}

func executable(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}

// Start loads and starts a server; it calls Require first.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	Require(t)
	s := &Server{
		BaseDN: BaseDN, ReaderDN: ReaderDN, AdminDN: AdminDN, ReaderPassword: ReaderPassword, AdminPassword: AdminPassword,
		t: t, dir: t.TempDir(), opts: o,
	}
	s.must(os.Mkdir(filepath.Join(s.dir, "db"), 0o700))
	s.must(WriteCertificates(s.dir))
	s.CAFile = filepath.Join(s.dir, "ca.pem")
	s.writeConfig()
	s.load(written(Tree(Roster(o.Users))+"\n"+o.LDIF, o.Written))
	s.run()
	t.Cleanup(s.Stop)
	return s
}

// written stamps all entries of an LDIF.
func written(ldif string, at time.Time) string {
	if at.IsZero() {
		return ldif
	}
	entries := strings.Split(ldif, "\n\n")
	for i, e := range entries {
		if e = strings.TrimSpace(e); e != "" {
			entries[i] = e + "\nmodifyTimestamp: " + at.UTC().Format("20060102150405Z")
		}
	}
	return strings.Join(entries, "\n\n") + "\n"
}

// Restart ends the server and starts it again with other options on the same
// ports and data; Users and LDIF do not count.
func (s *Server) Restart(o Options) {
	s.t.Helper()
	s.Stop()
	s.opts = o
	s.writeConfig()
	s.run()
}

// Stop ends the server and waits for it. It may be called again.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	s.Thaw()
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case <-s.done:
	case <-time.After(10 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	s.cmd = nil
}

func (s *Server) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("slapd: %v", err)
	}
}

func (s *Server) load(ldif string) {
	s.t.Helper()
	slapadd, err := program("slapadd")
	s.must(err)
	file := filepath.Join(s.dir, "load.ldif")
	s.must(os.WriteFile(file, []byte(ldif), 0o600))
	out, err := exec.CommandContext(context.Background(), slapadd, "-q", "-f", s.config(), "-l", file).CombinedOutput()
	if err != nil {
		s.t.Fatalf("slapadd: %v: %s", err, out)
	}
}

func (s *Server) config() string { return filepath.Join(s.dir, "slapd.conf") }

// run starts slapd in the foreground, so that it is a child to signal and wait
// for, on the ports it had before or on new ones.
func (s *Server) run() {
	s.t.Helper()
	slapd, err := program("slapd")
	s.must(err)
	known := s.port != 0 // where it was is where it has to be again
	for try := 0; ; try++ {
		if s.port == 0 {
			s.port, s.tlsPort = freePort(s.t), freePort(s.t)
		}
		s.URL, s.TLSURL = fmt.Sprintf("ldap://127.0.0.1:%d", s.port), ""
		listen := s.URL + "/ " + s.socket()
		if !s.opts.NoTLS {
			s.TLSURL = fmt.Sprintf("ldaps://127.0.0.1:%d", s.tlsPort)
			listen += " " + s.TLSURL + "/"
		}
		s.output, s.done = &bytes.Buffer{}, make(chan struct{})
		cmd := exec.CommandContext(context.Background(), slapd, "-d", "0", "-f", s.config(), "-h", listen)
		cmd.Stdout, cmd.Stderr = s.output, s.output
		s.must(cmd.Start())
		s.cmd = cmd
		done := s.done
		go func() { defer close(done); _ = cmd.Wait() }() // Stop and answers wait for done
		if s.answers() {
			return
		}
		s.Stop()
		if try == map[bool]int{false: 3, true: 20}[known] {
			s.t.Fatalf("slapd does not start: %s", s.output)
		}
		// Somebody else took it in between.
		if known {
			time.Sleep(time.Second)
		} else {
			s.port = 0
		}
	}
}

// answers waits until the server accepts a connection or has ended. It is asked at its
// socket, where nobody else can answer, and listens nowhere unless it does everywhere.
func (s *Server) answers() bool {
	deadline := time.After(20 * time.Second)
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		select {
		case <-s.done:
			return false
		case <-deadline:
			return false
		case <-tick.C:
			c, err := net.DialTimeout("unix", strings.TrimPrefix(s.SocketURL, "ldapi://"), time.Second)
			if err == nil {
				_ = c.Close()
				return true
			}
			if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ENOENT) {
				return false
			}
		}
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("listening on %s gave no TCP address", l.Addr())
	}
	return at.Port
}
