package e2e_test

import (
	"os"
	"syscall"
)

// peak gives the largest resident set of an ended process, in KiB.
func peak(s *os.ProcessState) int64 {
	if u, ok := s.SysUsage().(*syscall.Rusage); ok {
		return u.Maxrss
	}
	return 0
}
