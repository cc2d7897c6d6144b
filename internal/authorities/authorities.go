// Package authorities reads a file of certificate authorities, again whenever it was
// changed, so that an authority can be replaced under a program that runs for months. It
// verifies nothing itself and knows nobody who does.
package authorities

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"
)

// File is a PEM file of authorities that are trusted besides the system's. It is safe
// for use by many goroutines; a nil *File stands for the system's alone.
type File struct {
	path string

	mu   sync.Mutex
	read stamp
	text []byte
	pool *x509.CertPool
}

// stamp tells one state of a file from another.
type stamp struct {
	modified time.Time
	size     int64
	// sure tells that the file was not written a moment ago: a clock of file systems may
	// not tell another writing from that one.
	sure bool
}

// young is how old a writing is that another may look like.
const young = 2 * time.Second

// In gives the File of a path, nil for "". Nothing is read yet.
func In(path string) *File {
	if path == "" {
		return nil
	}
	return &File{path: path}
}

// Pool gives the authorities as they are now: the same pool until the file was changed,
// nil for a nil File. A file that cannot be used, such as one that is just being replaced,
// leaves those before in force; it is an error if there are none.
func (f *File) Pool() (*x509.CertPool, error) {
	if f == nil {
		return nil, nil //nolint:nilnil // nil is what stands for the system's
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.load()
	if err != nil && f.pool == nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	return f.pool, nil
}

// load is called with the lock held.
func (f *File) load() error {
	info, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	now := stamp{info.ModTime(), info.Size(), time.Since(info.ModTime()) > young}
	if f.pool != nil && now.sure && now == f.read {
		return nil
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	if f.pool != nil && bytes.Equal(text, f.text) {
		f.read = now
		return nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil { // there is none on this system
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return fmt.Errorf("%s holds no PEM certificate", f.path)
	}
	f.pool, f.text, f.read = pool, text, now
	return nil
}

// Transport makes requests by a transport that trusts what a File holds.
type Transport struct {
	file *File
	make func(*x509.CertPool) *http.Transport

	mu   sync.Mutex
	pool *x509.CertPool
	now  *http.Transport
}

// NewTransport has transports made with the authorities of a File: one now, another when
// the file was changed. It fails if the file cannot be used.
func NewTransport(f *File, made func(*x509.CertPool) *http.Transport) (*Transport, error) {
	pool, err := f.Pool()
	if err != nil {
		return nil, err
	}
	return &Transport{file: f, make: made, pool: pool, now: made(pool)}, nil
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.current().RoundTrip(r)
}

// current gives the transport to use. A request that is under way at the one before goes
// on there.
func (t *Transport) current() *http.Transport {
	pool, err := t.file.Pool()
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil && pool != t.pool {
		t.now.CloseIdleConnections()
		t.pool, t.now = pool, t.make(pool)
	}
	return t.now
}

// CloseIdleConnections closes connections that are not in use.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now.CloseIdleConnections()
}
