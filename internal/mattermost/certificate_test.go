package mattermost_test

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
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

// certificateOf makes a certificate for 127.0.0.1 that is its own authority, and a file
// of it.
func certificateOf(t *testing.T, from, until time.Time) (pair tls.Certificate, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, NotBefore: from, NotAfter: until,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	require.NoError(t, err)
	file = filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func TestClient_certificateThatIsNotValid(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	for name, c := range map[string]struct {
		from, until time.Time
		says        string
	}{
		"expired":       {now.Add(-48 * time.Hour), now.Add(-time.Hour), "expired on " + now.Add(-time.Hour).UTC().Format(time.DateTime) + " UTC; renew it"},
		"not yet valid": {now.Add(time.Hour), now.Add(48 * time.Hour), "is valid from " + now.Add(time.Hour).UTC().Format(time.DateTime) + " UTC on; set this machine's clock"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pair, file := certificateOf(t, c.from, c.until)
			s := httptest.NewUnstartedServer(http.NotFoundHandler())
			s.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused handshake is the test
			s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
			s.StartTLS()
			t.Cleanup(s.Close)
			_, err := client(t, s.URL, "x", func(o *mattermost.Options) { o.CAFile = file }).Me(t.Context())
			require.ErrorContains(t, err, "the server's certificate "+c.says)
			require.True(t, mattermost.IsRefused(err), "asking again does not help")
			require.NotContains(t, err.Error(), "mattermost.ca_file")
		})
	}
}

func TestClient_CertificateEnds(t *testing.T) {
	t.Parallel()
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	pair, file := certificateOf(t, time.Now().Add(-time.Hour), until)
	sim := mmsim.New(mmsim.Options{})
	s := httptest.NewUnstartedServer(sim)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	c := client(t, s.URL, sim.AdminToken(), func(o *mattermost.Options) { o.CAFile = file })
	require.Zero(t, c.CertificateEnds())
	_, err := c.Me(t.Context())
	require.NoError(t, err)
	require.Equal(t, until, c.CertificateEnds())
}
