//go:build unix

package sambatest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// lock waits for a file that one process alone has at a time.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f, syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil // which unlocks it
}

func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// reserve takes a loopback address that no other server of this machine's tests
// has, until it is freed or this process ends.
func reserve() (address string, free func(), err error) {
	for i := 1; i < 255; i++ {
		address := fmt.Sprintf("127.0.89.%d", i)
		f, err := os.OpenFile(filepath.Join(os.TempDir(), "mmsync-samba-"+address+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return "", nil, err
		}
		if flock(f, syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			return address, func() { _ = f.Close() }, nil
		}
		_ = f.Close()
	}
	return "", nil, errors.New("all loopback addresses of tests are taken")
}

func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func killGroup(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
