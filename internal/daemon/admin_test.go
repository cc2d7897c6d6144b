package daemon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
	"github.com/mmsync/mmsync/internal/state/sqlite"
)

func TestDaemon_admin_speaks_TLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pairOf(t, dir, "mmsync.example.com")
	bound, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l, err := newListener("admin", bound, tlsOf(dir, "1.3").TLS, http.HandlerFunc(hello), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Serve(ctx) }()
	pem, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(pem))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "mmsync.example.com", MinVersion: tls.VersionTLS13}}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+bound.Addr().String()+"/", nil)
	require.NoError(t, err)
	resp, err := client.Do(r)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, "hello", string(body))
	client.CloseIdleConnections()
	stop()
	require.NoError(t, <-ended)

	c := tlsOf(t.TempDir(), "1.2").TLS
	_, err = newListener("admin", bound, c, http.HandlerFunc(hello), slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "admin.tls")
}

func TestExpiring(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pairOf(t, dir, "mmsync.example.com") // ends in an hour
	s, err := sqlite.Open(t.Context(), "sqlite:"+filepath.Join(dir, "state.db"), sqlite.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	_, err = s.Migrate(t.Context())
	require.NoError(t, err)
	now, err := s.Now(t.Context())
	require.NoError(t, err)
	for i, token := range []state.Token{
		{ID: "t_a", Name: "lasting", ExpiresAt: now.Add(90 * 24 * time.Hour)},
		{ID: "t_b", Name: "soon", ExpiresAt: now.Add(24 * time.Hour)},
		{ID: "t_c", Name: "over", ExpiresAt: now.Add(-time.Hour)},
		{ID: "t_d", Name: "long over", ExpiresAt: now.Add(-90 * 24 * time.Hour)},
		{ID: "t_e", Name: "for ever"},
		{ID: "t_f", Name: "revoked", ExpiresAt: now.Add(time.Hour)},
	} {
		token.Source, token.Hash = "okta", [32]byte{byte(i + 1)}
		require.NoError(t, s.CreateToken(t.Context(), token))
		if token.Name == "revoked" {
			token.RevokedAt = now
			require.NoError(t, s.ChangeToken(t.Context(), token))
		}
	}
	c := &config.Config{SCIM: tlsOf(dir, "1.2")}
	list, err := Expiring(t.Context(), c, s, now)
	require.NoError(t, err)
	var what []string
	for _, e := range list {
		what = append(what, e.What)
	}
	require.Equal(t, []string{"token over of source okta", "certificate of scim.tls", "token soon of source okta"}, what)
	require.Equal(t, "mmsync token rotate soon --source okta", list[2].Next)

	c.Admin.TLS = &config.TLS{CertFile: filepath.Join(dir, "key.pem")}
	_, err = Expiring(t.Context(), c, s, now)
	require.ErrorContains(t, err, "read the certificate of admin.tls: file "+filepath.Join(dir, "key.pem")+" holds no certificate")
}

// However many runs put leavers off since, the last one that did not is found; and what
// they decided is what is shown.
func TestLastSuccess(t *testing.T) {
	t.Parallel()
	s, err := sqlite.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "state.db"), sqlite.Options{Volatile: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	_, err = s.Migrate(t.Context())
	require.NoError(t, err)
	save := func(n int, options string, status state.RunStatus) {
		t.Helper()
		require.NoError(t, s.SaveRun(t.Context(), state.Run{
			ID: fmt.Sprintf("r%04d", n), Kind: "sync", Status: status, Options: options, RequestedAt: time.Now(),
			Sources: []plan.SourceSummary{{Name: "corp", Complete: true}, {Name: "half"}},
		}))
	}
	last := func() (success, whole string) {
		t.Helper()
		list, err := LastSuccess(t.Context(), s, []string{"corp", "half"})
		require.NoError(t, err)
		run, _, err := LastWhole(t.Context(), s)
		require.NoError(t, err)
		require.NotContains(t, list, "half")
		return list["corp"].ID, run.ID
	}
	save(1, "", state.RunDone)
	for n := range manyRuns + 10 {
		save(10+n, `{"put_off":["deactivate"]}`, state.RunDone)
	}
	save(500, `{"part":true}`, state.RunDone)
	save(501, "", state.RunInterrupted)
	success, whole := last()
	require.Equal(t, "r0001", success)
	require.Equal(t, fmt.Sprintf("r%04d", 10+manyRuns+9), whole)
	save(502, "", state.RunPartial)
	success, whole = last()
	require.Equal(t, []string{"r0502", "r0502"}, []string{success, whole})
}
