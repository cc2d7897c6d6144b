package daemon_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/pgtest"
	"github.com/mmsync/mmsync/internal/slapdtest"
)

// mended checks that all is well again in time.
func (w *watched) mended(t *testing.T) {
	t.Helper()
	_, took := w.until(t, nil)
	require.LessOrEqual(t, took, slack*5*time.Second, "and well again as soon")
}

// directory is a source of the configuration that reads a directory; more are further
// keys.
func directory(url, password string, more ...string) string {
	return fmt.Sprintf(`  - name: corp
    type: ldap
    connection_url: ["%s"]
    bind_username: %s
    bind_password_file: %s
    base_dn: %s
    user_filter: (objectClass=inetOrgPerson)
    self_editable: []
    disabled_when: ""
%s`, url, slapdtest.ReaderDN, password, slapdtest.BaseDN, strings.Join(more, ""))
}

// secretFile holds a secret that can be replaced.
func secretFile(t *testing.T, secret string) (name string, replace func(string)) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "secret")
	replace = func(s string) { require.NoError(t, os.WriteFile(name, []byte(s), 0o600)) }
	replace(secret)
	return name, replace
}

func TestServe_readyz_names_a_directory_within_5s(t *testing.T) {
	t.Parallel()
	t.Run("that hangs, is away, and takes another password", func(t *testing.T) {
		t.Parallel()
		server := slapdtest.Start(t, slapdtest.Options{Users: 3})
		file, replace := secretFile(t, slapdtest.ReaderPassword)
		w := watch(t, "", directory(server.URL, file))
		server.Freeze()
		w.names(t, "source corp", "no answer within ") // as much as was left of two seconds
		server.Thaw()
		w.mended(t)
		server.Modify(slapdtest.ReaderDN, "userPassword", "another")
		w.names(t, "source corp", "name or password are wrong (code 49)")
		replace("another")
		w.mended(t)
		server.Stop()
		w.names(t, "source corp", "connection refused")
		server.Restart(slapdtest.Options{})
		w.mended(t)
	})
	t.Run("that is busy, and refuses", func(t *testing.T) {
		t.Parallel()
		server := slapdtest.NewFake(t, slapdtest.FakePeople(3), slapdtest.Faults{})
		file, replace := secretFile(t, "right")
		w := watch(t, "", directory(server.URL, file))
		for code, says := range map[int]string{51: "busy or shutting down (code 51)", 52: "busy or shutting down (code 52)", 53: "refuses the request (code 53)"} {
			server.Set(slapdtest.Faults{BindCode: code})
			w.names(t, "source corp", says)
			server.Set(slapdtest.Faults{})
			w.mended(t)
		}
		server.Set(slapdtest.Faults{BindCode: 49})
		w.names(t, "source corp", "code 49")
		before := len(server.Calls())
		time.Sleep(3 * time.Second)
		require.Len(t, server.Calls(), before, "nobody is locked out by being looked at")
		server.Set(slapdtest.Faults{})
		replace("another")
		w.mended(t)
	})
	t.Run("and asks it little", func(t *testing.T) {
		t.Parallel()
		server := slapdtest.NewFake(t, slapdtest.FakePeople(3), slapdtest.Faults{})
		file, _ := secretFile(t, "right")
		_ = watch(t, "", directory(server.URL, file))
		before, began := len(server.Calls()), time.Now()
		time.Sleep(5 * time.Second)
		calls := server.Calls()[before:]
		require.LessOrEqual(t, len(calls), 2*(int(time.Since(began)/(2400*time.Millisecond))+1))
		require.NotEmpty(t, calls)
		for _, c := range calls {
			require.True(t, slices.Contains([]string{"bind " + slapdtest.ReaderDN, "search base " + slapdtest.BaseDN}, c), c)
		}
	})
	t.Run("whose certificate expires", func(t *testing.T) {
		t.Parallel()
		server := slapdtest.Start(t, slapdtest.Options{Users: 3})
		file, _ := secretFile(t, slapdtest.ReaderPassword)
		front := newFront(t, strings.TrimPrefix(server.URL, "ldap://"))
		w := watch(t, "", directory("ldaps://"+front.address, file, "    ca_file: "+front.authorities+"\n"))
		_, metrics := w.get(t, "/metrics")
		require.Regexp(t, `mmsync_certificate_expiry_timestamp_seconds\{of="source corp"\} \d`, metrics)
		front.expires(t)
		w.names(t, "source corp", "the certificate expired on")
		front.renew()
		w.mended(t)
	})
}

func TestServe_readyz_names_Mattermost_within_5s(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault mmsim.Fault
		says  string
	}{
		"that is behind a proxy with a page of its own": {mmsim.Fault{HTML: true}, "Mattermost cannot be used"},
		"that is behind a proxy without it":             {mmsim.Fault{Status: http.StatusBadGateway}, "502"},
		"that cuts connections":                         {mmsim.Fault{CutBefore: true}, "Mattermost cannot be used"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := watch(t, "", "")
			well := w.sim.Fail(c.fault)
			w.names(t, "mattermost", c.says)
			require.Eventually(t, func() bool { away, _, _ := w.d.Target.Breaker(); return away }, slack*5*time.Second, 50*time.Millisecond, "whoever works knows it without a call")
			well()
			w.mended(t)
			away, _, _ := w.d.Target.Breaker()
			require.False(t, away)
		})
	}
	t.Run("whose token is dead, and lives", func(t *testing.T) {
		t.Parallel()
		w := watch(t, "", "")
		w.sim.SetUser(w.sim.AdminID(), func(u *mmsim.User) { u.DeleteAt = time.Now().UnixMilli() })
		w.names(t, "token", "does not accept the token")
		require.Eventually(t, func() bool { return w.d.Target.Token().Dead }, slack*5*time.Second, 50*time.Millisecond, "whoever works knows it without a call")
		w.sim.SetUser(w.sim.AdminID(), func(u *mmsim.User) { u.DeleteAt = 0 })
		w.mended(t)
		require.Eventually(t, func() bool { return !w.d.Target.Token().Dead }, slack*5*time.Second, 50*time.Millisecond)
	})
	t.Run("whose certificate expires", func(t *testing.T) {
		t.Parallel()
		var front *front
		w := watchAt(t, "", "", func(url string) (reached, more string) {
			front = newFront(t, strings.TrimPrefix(url, "http://"))
			return "https://" + front.address, ", ca_file: " + front.authorities
		})
		front.expires(t)
		w.names(t, "mattermost", "the server's certificate expired on")
		front.renew()
		w.mended(t)
	})
}

func TestServe_readyz_names_a_PostgreSQL_that_restarts(t *testing.T) {
	t.Parallel()
	pg := pgtest.Own(t)
	w := watch(t, pg.URL(), "")
	pg.Stop()
	w.names(t, "store", "mmsync doctor --only state")
	pg.Start()
	w.mended(t)
	pg.Exec("alter system set default_transaction_read_only = on")
	pg.Exec("select pg_reload_conf()")
	w.names(t, "store", "the database only reads")
	pg.Exec("alter system reset default_transaction_read_only")
	pg.Exec("select pg_reload_conf()")
	w.mended(t)
}

// front speaks TLS before a server that does not.
type front struct {
	address, authorities string // a file with those of both certificates

	mu      sync.Mutex
	shown   tls.Certificate
	renewed tls.Certificate
	ends    time.Time
}

// newFront makes one whose certificate expires soon after a service has begun. How long a
// service takes for that here is seen by beginning one.
func newFront(t *testing.T, target string) *front {
	t.Helper()
	began := time.Now()
	_ = watch(t, "", "")
	now := time.Now()
	f := &front{ends: now.Add(10*time.Second + 10*now.Sub(began)).Truncate(time.Second), authorities: filepath.Join(t.TempDir(), "authorities.pem")}
	var first, second []byte
	f.shown, first = selfSigned(t, 1, now.Add(-time.Hour), f.ends)
	f.renewed, second = selfSigned(t, 2, now.Add(-time.Hour), now.Add(time.Hour))
	require.NoError(t, os.WriteFile(f.authorities, append(first, second...), 0o600))
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		shown := f.shown
		return &shown, nil
	}})
	require.NoError(t, err)
	f.address = l.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { pipe(c, target) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return f
}

// pipe ends when either side does.
func pipe(c net.Conn, target string) {
	defer c.Close()
	s, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer s.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(s, c)
		_ = s.Close()
	}()
	_, _ = io.Copy(c, s)
	_ = c.Close()
	<-done
}

// expires waits for the end of the certificate that is shown.
func (f *front) expires(t *testing.T) {
	t.Helper()
	left := time.Until(f.ends)
	require.Positive(t, left, "the machine is too slow for this test")
	time.Sleep(left)
}

func (f *front) renew() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shown = f.renewed
}

func selfSigned(t *testing.T, serial int64, from, until time.Time) (pair tls.Certificate, text []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: fmt.Sprint("front ", serial)}, NotBefore: from, NotAfter: until,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
