// Package certtest makes certificates for tests. It is support of tests only and knows
// nothing of mmsync.
package certtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Pair is a certificate for 127.0.0.1 that is its own authority.
type Pair struct {
	tls.Certificate
	// PEM is the certificate as a file has it.
	PEM []byte
}

// New makes a Pair that is valid for so long.
func New(t testing.TB, from, until time.Time) Pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: rand.Text()}, NotBefore: from, NotAfter: until,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	require.NoError(t, err)
	return Pair{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// Valid makes a Pair that is valid now.
func Valid(t testing.TB) Pair {
	t.Helper()
	return New(t, time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour))
}

// File writes the certificate to a file of its own.
func (p Pair) File(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	Put(t, path, p.PEM)
	return path
}

// Put replaces a file at once, as whoever rotates certificates does.
func Put(t testing.TB, path string, text []byte) {
	t.Helper()
	next := path + ".next"
	require.NoError(t, os.WriteFile(next, text, 0o600))
	require.NoError(t, os.Rename(next, path))
}

// Server is a server at 127.0.0.1 whose certificate can be exchanged.
type Server struct {
	*httptest.Server

	now atomic.Pointer[tls.Certificate]
}

// Serve starts a server that has a certificate; it ends with its test.
func Serve(t testing.TB, h http.Handler, p Pair) *Server {
	t.Helper()
	s := &Server{Server: httptest.NewUnstartedServer(h)}
	s.now.Store(&p.Certificate)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that are refused are what is tested
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*s.now.Load()}}, nil
	}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// Exchange has it show another certificate from now on, and ends the connections that
// there are.
func (s *Server) Exchange(p Pair) {
	s.now.Store(&p.Certificate)
	s.CloseClientConnections()
}
