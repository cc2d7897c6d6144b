package slapdtest

import (
	"net/url"
	"os"
	"path/filepath"
	"syscall"
)

// Freeze stops the server's process: the system still takes connections for it, and
// nothing is answered. Thaw or the end of the test lets it go on.
func (s *Server) Freeze() {
	s.t.Helper()
	s.must(s.cmd.Process.Signal(syscall.SIGSTOP))
}

// Thaw lets a frozen server go on.
func (s *Server) Thaw() {
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(syscall.SIGCONT) // it may have ended by itself
	}
}

// socket gives the ldapi:// address to listen on, in a folder of its own: the path of a
// socket may be 107 bytes long, less than that of many a test's folder.
func (s *Server) socket() string {
	s.t.Helper()
	if s.SocketURL == "" {
		dir, err := os.MkdirTemp("", "ldapi")
		s.must(err)
		s.t.Cleanup(func() { _ = os.RemoveAll(dir) })
		s.SocketURL = "ldapi://" + filepath.Join(dir, "s")
	}
	return "ldapi://" + url.PathEscape(s.SocketURL[len("ldapi://"):])
}
