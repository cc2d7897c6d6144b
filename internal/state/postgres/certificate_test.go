package postgres_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/pgtest"
	"github.com/mmsync/mmsync/internal/state/postgres"
)

func TestStore_CertificateEnds(t *testing.T) {
	t.Parallel()
	pg := pgtest.Own(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	until := time.Now().Add(3 * time.Hour).UTC().Truncate(time.Second)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, text := range map[string][]byte{"server.crt": public, "server.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		pg.Exec("copy (select unnest(string_to_array('" + strings.TrimSpace(string(text)) + "', E'\\n'))) to program 'umask 077; cat > " + name + "'")
	}
	pg.Exec("alter system set ssl = on")
	pg.Exec("select pg_reload_conf()")
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, public, 0o600))
	ends := func(mode string) (at time.Time, err error) {
		url := strings.Replace(pg.URL(), "sslmode=disable", "sslmode="+mode, 1)
		if strings.HasPrefix(mode, "verify") {
			url += "&sslrootcert=" + ca
		}
		s, err := postgres.Open(t.Context(), url, postgres.Options{})
		if err != nil {
			return at, err
		}
		defer func() { require.NoError(t, s.Close()) }()
		return s.CertificateEnds(), nil
	}
	require.Eventually(t, func() bool { _, err := ends("require"); return err == nil }, time.Minute, 100*time.Millisecond, "TLS is on")
	for mode, want := range map[string]time.Time{"disable": {}, "require": {}, "verify-ca": until, "verify-full": until} {
		at, err := ends(mode)
		require.NoError(t, err, mode)
		require.Equal(t, want, at, mode)
	}
}
