package postgres

import (
	"crypto/x509"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/certtest"
)

func TestParse_authoritiesAreReadBeforeEachConnection(t *testing.T) {
	t.Parallel()
	old, fresh := certtest.Valid(t), certtest.Valid(t)
	file := old.File(t)
	cfg, err := parse("postgres://u:p@127.0.0.1:1,127.0.0.1:2/db?sslmode=verify-full&pool_max_conns=4&sslrootcert="+file, Options{})
	require.NoError(t, err)
	trusts := func(text []byte, why string) {
		t.Helper()
		want := x509.NewCertPool()
		require.True(t, want.AppendCertsFromPEM(text))
		c := cfg.ConnConfig.Copy()
		require.NoError(t, cfg.BeforeConnect(t.Context(), c))
		require.True(t, c.TLSConfig.RootCAs.Equal(want), why)
		require.Len(t, c.Fallbacks, 1)
		require.True(t, c.Fallbacks[0].TLSConfig.RootCAs.Equal(want), why)
	}
	trusts(old.PEM, "at first")
	certtest.Put(t, file, fresh.PEM)
	trusts(fresh.PEM, "after the file was replaced")
	certtest.Put(t, file, nil)
	trusts(old.PEM, "while the file cannot be used")
}
