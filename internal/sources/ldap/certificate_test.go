package ldap_test

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/certtest"
	"github.com/mmsync/mmsync/internal/slapdtest"
	"github.com/mmsync/mmsync/internal/sources/ldap"
)

func TestSource_Snapshot_certificateThatIsNotValid(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	for name, c := range map[string]struct {
		from, until time.Time
		says        string
	}{
		"expired":       {now.Add(-48 * time.Hour), now.Add(-time.Hour), "the certificate expired on " + now.Add(-time.Hour).UTC().Format(time.DateTime) + " UTC; renew the server's certificate"},
		"not yet valid": {now.Add(time.Hour), now.Add(48 * time.Hour), "the certificate is valid from " + now.Add(time.Hour).UTC().Format(time.DateTime) + " UTC on; set this machine's clock"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pair := certtest.New(t, c.from, c.until)
			l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair.Certificate}, MinVersion: tls.VersionTLS12})
			require.NoError(t, err)
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = conn.Read(make([]byte, 1)) // the handshake, which the client ends
					_ = conn.Close()
				}
			}()
			t.Cleanup(func() { _ = l.Close(); <-done })
			_, err = newSource(t, "ldaps://"+l.Addr().String(), func(o *ldap.Options) { o.CAFile, o.Timeout = pair.File(t), 5*time.Second }).Snapshot(t.Context(), nil)
			require.ErrorContains(t, err, c.says)
		})
	}
}

// A server that takes the password and then says nothing has shown nobody.
func TestSource_Snapshot_hangsAfterBind(t *testing.T) {
	t.Parallel()
	srv := slapdtest.Start(t, slapdtest.Options{Users: 60})
	proxy := slapdtest.NewProxy(t, srv.URL)
	proxy.HangAfter(20) // the answer to the bind is 14 bytes
	began := time.Now()
	_, err := newSource(t, proxy.URL, func(o *ldap.Options) { o.Timeout = 3 * time.Second }).Snapshot(t.Context(), nil)
	require.ErrorContains(t, err, "read base_dn")
	require.ErrorContains(t, err, "no answer for 3s")
	require.Less(t, time.Since(began), 30*time.Second)
}

// A password that was changed in its file is used for the next reading.
func TestSource_Snapshot_changedPassword(t *testing.T) {
	t.Parallel()
	srv := slapdtest.Start(t, slapdtest.Options{Users: 5})
	file := filepath.Join(t.TempDir(), "password")
	put := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }
	s := newSource(t, srv.URL, func(o *ldap.Options) {
		o.BindPassword = func() (string, error) {
			b, err := os.ReadFile(file)
			return string(b), err
		}
	})
	put("old")
	_, err := s.Snapshot(t.Context(), nil)
	require.ErrorContains(t, err, "bind as")
	put(slapdtest.ReaderPassword)
	snap, err := s.Snapshot(t.Context(), nil)
	require.NoError(t, err)
	require.True(t, snap.Complete)
}

// An authority that was replaced is trusted from the next reading on.
func TestSource_Snapshot_changedAuthority(t *testing.T) {
	t.Parallel()
	srv := slapdtest.Start(t, slapdtest.Options{Users: 5})
	stranger, err := os.ReadFile(srv.StrangerCAFile())
	require.NoError(t, err)
	own, err := os.ReadFile(srv.CAFile)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "ca.pem")
	certtest.Put(t, file, stranger)
	s := newSource(t, srv.TLSURL, func(o *ldap.Options) { o.CAFile = file })
	_, err = s.Snapshot(t.Context(), nil)
	require.ErrorContains(t, err, "unknown authority")
	certtest.Put(t, file, append(stranger, own...))
	snap, err := s.Snapshot(t.Context(), nil)
	require.NoError(t, err)
	require.True(t, snap.Complete)
	certtest.Put(t, file, []byte("half of a fi"))
	_, err = s.Snapshot(t.Context(), nil)
	require.NoError(t, err, "what was there before is in force")
}
