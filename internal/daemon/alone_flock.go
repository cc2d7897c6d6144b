//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// serveAlone makes sure that one process at most serves from a file. The lock stands
// beside it, and dies with the process; its file stays, for whoever removed it could
// remove that of somebody else. Commands do not take it.
func serveAlone(file string) (io.Closer, error) {
	name := file + ".serve"
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock beside the state: %w", err)
	}
	switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, errors.Join(fmt.Errorf("%w works on %s already: a SQLite file is for one of them; stop the other one, or keep the state in PostgreSQL", ErrAnotherServe, file), f.Close())
	case err != nil:
		return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), f.Close())
	}
	return f, nil
}
