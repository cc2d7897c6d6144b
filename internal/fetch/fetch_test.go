package fetch_test

import (
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/fetch"
)

// served is a server that gives pictures, good and bad, and the options that fit it.
func served(t *testing.T) (*httptest.Server, fetch.Options, *atomic.Int64) {
	t.Helper()
	asked := new(atomic.Int64)
	mux := http.NewServeMux()
	give := func(path, kind, body string, status int) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		})
	}
	give("/good.png", "image/png", "picture", http.StatusOK)
	give("/large.png", "image/png", strings.Repeat("x", 101), http.StatusOK)
	give("/page", "text/html", "<html>", http.StatusOK)
	give("/none", "image/png", "", http.StatusNotFound)
	mux.HandleFunc("/stream.png", func(w http.ResponseWriter, _ *http.Request) { // of no declared length
		w.Header().Set("Content-Type", "image/png")
		for range 20 {
			_, _ = w.Write([]byte("0123456789"))
			_ = http.NewResponseController(w).Flush()
		}
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/good.png", http.StatusFound) })
	mux.HandleFunc("/slow.png", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	return srv, fetch.Options{Hosts: []string{strings.TrimPrefix(srv.URL, "https://")}, Private: true, MaxBytes: 100, Timeout: time.Minute, Roots: roots}, asked
}

func TestFetcher_Picture(t *testing.T) {
	t.Parallel()
	srv, o, _ := served(t)
	f := fetch.New(o)
	defer f.Close()
	o.Timeout = time.Second
	soon := fetch.New(o)
	defer soon.Close()
	data, err := f.Picture(t.Context(), srv.URL+"/good.png?token=secret")
	require.NoError(t, err)
	require.Equal(t, "picture", string(data))
	for path, why := range map[string]string{
		"/large.png":  "more bytes than the 100",
		"/stream.png": "more bytes than the 100",
		"/page":       "not called a JPEG",
		"/none":       "answers with 404",
		"/moved":      "redirect (302), which is not followed",
		"/slow.png":   "was not reached",
	} {
		f := f
		if path == "/slow.png" {
			f = soon
		}
		_, err := f.Picture(t.Context(), srv.URL+path+"?token=secret")
		require.ErrorContains(t, err, why, path)
		require.NotContains(t, err.Error(), "secret", path)
	}
}

func TestFetcher_Picture_asks_nobody_who_is_not_named(t *testing.T) {
	t.Parallel()
	srv, o, asked := served(t)
	f := fetch.New(o)
	defer f.Close()
	host := strings.TrimPrefix(srv.URL, "https://")
	for _, address := range []string{
		"http://" + host + "/good.png", "https://user:pass@" + host + "/good.png", "ftp://" + host, "https:///good.png",
		"https://127.0.0.1/good.png", "https://localhost.example.com/", "https://" + host + ".example.com/", "file:///etc/passwd", "https://[::1]/",
		"https://example.com#@" + host + "/good.png",
	} {
		_, err := f.Picture(t.Context(), address)
		require.Error(t, err, address)
	}
	require.Zero(t, asked.Load())
}

// What a name stands for may change after it was looked at, so it is the address that
// is dialled which counts.
func TestFetcher_Picture_dials_public_addresses_alone(t *testing.T) {
	t.Parallel()
	srv, o, asked := served(t)
	o.Private = false
	f := fetch.New(o)
	defer f.Close()
	_, err := f.Picture(t.Context(), srv.URL+"/good.png")
	require.ErrorContains(t, err, "is not a public one")
	require.Zero(t, asked.Load())

	named := strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	o.Hosts = append(o.Hosts, strings.TrimPrefix(named, "https://"))
	f = fetch.New(o)
	defer f.Close()
	_, err = f.Picture(t.Context(), named+"/good.png")
	require.ErrorContains(t, err, "is not a public one")
	require.Zero(t, asked.Load())
}
