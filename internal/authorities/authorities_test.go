package authorities_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/authorities"
	"github.com/mmsync/mmsync/internal/certtest"
)

func TestFile_Pool(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ca.pem")
	f := authorities.In(path)
	_, err := f.Pool()
	require.ErrorIs(t, err, os.ErrNotExist)
	certtest.Put(t, path, []byte("not a certificate"))
	_, err = f.Pool()
	require.ErrorContains(t, err, "holds no PEM certificate")

	one := certtest.Valid(t)
	certtest.Put(t, path, one.PEM)
	first, err := f.Pool()
	require.NoError(t, err)
	again, err := f.Pool()
	require.NoError(t, err)
	require.Same(t, first, again, "as long as the file is the same")

	certtest.Put(t, path, one.PEM[:20])
	kept, err := f.Pool()
	require.NoError(t, err)
	require.Same(t, first, kept, "half a file takes nothing away")
	require.NoError(t, os.Remove(path))
	kept, err = f.Pool()
	require.NoError(t, err)
	require.Same(t, first, kept, "nor does none")

	certtest.Put(t, path, append(certtest.Valid(t).PEM, one.PEM...))
	next, err := f.Pool()
	require.NoError(t, err)
	require.False(t, next.Equal(first))

	none, err := authorities.In("").Pool()
	require.NoError(t, err)
	require.Nil(t, none, "which stands for the system's")
}

func TestTransport(t *testing.T) {
	t.Parallel()
	old, fresh := certtest.Valid(t), certtest.Valid(t)
	s := certtest.Serve(t, http.NotFoundHandler(), old)
	file := old.File(t)
	made := 0
	tr, err := authorities.NewTransport(authorities.In(file), func(pool *x509.CertPool) *http.Transport {
		made++
		return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	})
	require.NoError(t, err)
	t.Cleanup(tr.CloseIdleConnections)
	ask := func() error {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
		require.NoError(t, err)
		resp, err := (&http.Client{Transport: tr}).Do(r)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	require.NoError(t, ask())
	require.NoError(t, ask())
	require.Equal(t, 1, made)
	s.Exchange(fresh)
	require.ErrorContains(t, ask(), "unknown authority")
	certtest.Put(t, file, fresh.PEM)
	require.NoError(t, ask())
	require.Equal(t, 2, made)
}
