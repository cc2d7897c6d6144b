//go:build !unix

package pgtest

import (
	"errors"
	"testing"
)

type server struct {
	url  string
	stop func()
}

func startServer(...string) (*server, error) {
	return nil, errors.New("starting a server needs a Unix: set " + EnvURL)
}

// PooledURL skips: pgbouncer is run on unix only.
func PooledURL(t testing.TB) string {
	t.Helper()
	t.Skip("no pgbouncer on this system")
	return ""
}

func stopPooler() {}
