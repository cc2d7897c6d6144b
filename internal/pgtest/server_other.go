//go:build !unix

package pgtest

import "errors"

type server struct {
	url  string
	stop func()
}

func startServer(...string) (*server, error) {
	return nil, errors.New("starting a server needs a Unix: set " + EnvURL)
}
