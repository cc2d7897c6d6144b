package daemon

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
)

// listening serves h until the test ends, or stop is called, which gives what Serve
// ended with.
func listening(t *testing.T, c config.SCIM, h http.HandlerFunc, change ...func(*Listener)) (address string, stop func() error) {
	t.Helper()
	c.Listen = "127.0.0.1:0"
	l, err := Listen(t.Context(), &c, h, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	for _, f := range change {
		f(l)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Serve(ctx) }()
	stopped := false
	stop = func() error {
		cancel()
		stopped = true
		return <-ended
	}
	t.Cleanup(func() {
		if !stopped {
			_ = stop()
		}
	})
	return l.Addr().String(), stop
}

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }

// pairOf writes a certificate with a name, and its key.
func pairOf(t *testing.T, dir, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	for file, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: secret}} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600))
	}
}

func tlsOf(dir, version string) config.SCIM {
	return config.SCIM{TLS: &config.TLS{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"), MinVersion: version}}
}

func TestListener_a_client_that_sends_slowly_is_cut_off(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sends  string
		change func(*Listener)
	}{
		"header": {"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", func(l *Listener) { l.server.ReadHeaderTimeout = 50 * time.Millisecond }},
		"body":   {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12", func(l *Listener) { l.server.ReadTimeout = 50 * time.Millisecond }},
		"idle":   {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", func(l *Listener) { l.server.IdleTimeout = 50 * time.Millisecond }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, _ := listening(t, config.SCIM{}, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }, c.change)
			conn, err := net.Dial("tcp", address)
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, c.sends)
			if err == nil {
				require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
				_, err = io.Copy(io.Discard, conn)
			}
			// What comes after the server hung up is answered with a reset.
			if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
				require.NoError(t, err, "the server hangs up")
			}
		})
	}
}

func TestListener_is_bounded_as_it_is_made(t *testing.T) {
	t.Parallel()
	l, err := Listen(t.Context(), &config.SCIM{Listen: "127.0.0.1:0"}, http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer l.Close()
	for _, d := range []time.Duration{l.server.ReadHeaderTimeout, l.server.ReadTimeout, l.server.WriteTimeout, l.server.IdleTimeout} {
		require.Positive(t, d)
	}
	require.Greater(t, l.server.WriteTimeout, l.server.ReadTimeout+handlerTimeout, "the handler's own answer comes before the end of the connection")
	require.Equal(t, 64<<10, l.server.MaxHeaderBytes)
}

func TestListener_too_long_a_header_is_refused(t *testing.T) {
	t.Parallel()
	address, _ := listening(t, config.SCIM{}, hello)
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	go func() {
		_, _ = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", 100_000))
	}()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, res.StatusCode)
}

func TestListener_a_handler_sees_when_its_time_is_over(t *testing.T) {
	t.Parallel()
	var left time.Duration
	var bound bool
	bounded(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var end time.Time
		end, bound = r.Context().Deadline()
		left = time.Until(end)
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	require.True(t, bound)
	require.InDelta(t, handlerTimeout.Seconds(), left.Seconds(), 5)
}

func TestListener_requests_at_work_are_finished_when_it_ends(t *testing.T) {
	t.Parallel()
	began, goOn := make(chan struct{}), make(chan struct{})
	address, stop := listening(t, config.SCIM{}, func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-goOn
		hello(w, r)
	})
	answer := make(chan string, 1)
	go func() {
		res, err := http.Get("http://" + address)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		answer <- string(text)
	}()
	<-began
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	time.Sleep(50 * time.Millisecond)
	close(goOn)
	require.NoError(t, <-ended)
	require.Equal(t, "hello", <-answer)
	_, err := net.DialTimeout("tcp", address, time.Second)
	require.Error(t, err)
}

func TestListener_one_that_does_not_end_is_cut_off(t *testing.T) {
	t.Parallel()
	began, ended := make(chan struct{}), make(chan struct{})
	address, stop := listening(t, config.SCIM{}, func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(ended)
	}, func(l *Listener) { l.drain = 50 * time.Millisecond })
	go func() {
		if res, err := http.Get("http://" + address); err == nil {
			_ = res.Body.Close()
		}
	}()
	<-began
	require.NoError(t, stop(), "that is no fault of the service")
	<-ended
}

func TestListener_a_busy_address_is_said(t *testing.T) {
	t.Parallel()
	address, _ := listening(t, config.SCIM{}, hello)
	_, err := Listen(t.Context(), &config.SCIM{Listen: address}, http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "listen on scim.listen: another program has "+address+" already; stop it")
	require.ErrorContains(t, err, "or set scim.listen to another address")
}

func TestListener_plain_http_is_for_this_machine_and_trusted_proxies(t *testing.T) {
	t.Parallel()
	h := nearby([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}, http.HandlerFunc(hello))
	for peer, want := range map[string]int{
		"127.0.0.1:1": 200, "[::1]:1": 200, "10.0.0.9:1": 200, "[::ffff:10.0.0.9]:1": 200, "10.0.1.9:1": 403, "192.0.2.1:1": 403, "@": 403,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = peer
		r.Header.Set("X-Forwarded-For", "127.0.0.1")
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r)
		require.Equal(t, want, answer.Code, peer)
	}
}

func TestListener_TLS_has_a_least_version(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pairOf(t, dir, "sync.example.com")
	dial := func(address string, most uint16) error {
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MaxVersion: most, MinVersion: tls.VersionTLS10}) //nolint:gosec // the version is what is tried
		if err != nil {
			return err
		}
		return conn.Close()
	}
	old, _ := listening(t, tlsOf(dir, "1.2"), hello)
	require.NoError(t, dial(old, tls.VersionTLS12))
	require.Error(t, dial(old, tls.VersionTLS11))
	recent, _ := listening(t, tlsOf(dir, "1.3"), hello)
	require.NoError(t, dial(recent, tls.VersionTLS13))
	require.Error(t, dial(recent, tls.VersionTLS12))
	res, err := http.Get("http://" + old)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusBadRequest, res.StatusCode, "no plain http beside it, and no redirect")
}

func TestListener_a_certificate_is_read_again_when_it_changes(t *testing.T) {
	t.Parallel()
	dir, log := t.TempDir(), &bytes.Buffer{}
	pairOf(t, dir, "one.example.com")
	now := time.Now()
	c := &certificate{
		cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), log: slog.New(slog.NewTextHandler(log, nil)), now: func() time.Time { return now },
	}
	name := func() string {
		pair, err := c.get(nil)
		require.NoError(t, err)
		return pair.Leaf.DNSNames[0]
	}
	require.Equal(t, "one.example.com", name())
	key, err := os.ReadFile(c.key)
	require.NoError(t, err)

	pairOf(t, dir, "two.example.com")
	require.NoError(t, os.WriteFile(c.key, key, 0o600))
	require.Equal(t, "one.example.com", name(), "it is looked at every ten seconds")
	now = now.Add(certificateAge)
	require.Equal(t, "one.example.com", name(), "a certificate without its key is not taken")
	require.Contains(t, log.String(), "the one before stays")

	pairOf(t, dir, "three.example.com")
	now = now.Add(certificateAge)
	require.Equal(t, "three.example.com", name())
	require.NoError(t, os.Remove(c.cert))
	now = now.Add(certificateAge)
	require.Equal(t, "three.example.com", name(), "one that is gone")
	require.NotContains(t, log.String(), "PRIVATE")
}

func TestListener_no_certificate_no_listener(t *testing.T) {
	t.Parallel()
	c := tlsOf(t.TempDir(), "1.2")
	c.Listen = "127.0.0.1:0"
	_, err := Listen(t.Context(), &c, http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "scim.tls")
	require.ErrorIs(t, err, os.ErrNotExist)
}
