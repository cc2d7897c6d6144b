//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package daemon

import "io"

// serveAlone does nothing where there is no lock that dies with its process: that one
// process at most serves from a file is up to whoever starts it there.
func serveAlone(string) (io.Closer, error) { return io.NopCloser(nil), nil }
