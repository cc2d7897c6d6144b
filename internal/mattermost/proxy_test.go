package mattermost_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

// passer is a proxy that lets only one user through, and counts what it passed on.
func passer(t *testing.T, target, password string) (address string, passed *atomic.Int64) {
	t.Helper()
	to, err := url.Parse(target)
	require.NoError(t, err)
	passed = &atomic.Int64{}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		want := &http.Request{Header: http.Header{}}
		want.SetBasicAuth("mmsync", password)
		if r.Header.Get("Proxy-Authorization") != want.Header.Get("Authorization") {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		passed.Add(1)
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	require.NoError(t, err)
	u.User = url.UserPassword("mmsync", password)
	return u.String(), passed
}

func TestClient_proxyThatChanges(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	server := s.Start(t)
	first, byFirst := passer(t, server, "one")
	second, bySecond := passer(t, server, "two")
	var now atomic.Pointer[string]
	now.Store(&first)
	// Loopback addresses never go through a proxy of the environment; this one is given.
	c := client(t, server, s.AdminToken(), func(o *mattermost.Options) {
		o.Proxy = func() (string, error) {
			if text := *now.Load(); text != "" {
				return text, nil
			}
			return "", errors.New("the file is not there")
		}
	})
	ask := func() {
		t.Helper()
		_, err := c.Me(t.Context())
		require.NoError(t, err)
	}
	ask()
	require.EqualValues(t, 1, byFirst.Load())
	now.Store(&second)
	ask()
	require.EqualValues(t, 1, byFirst.Load())
	require.EqualValues(t, 1, bySecond.Load())
	for _, broken := range []string{"", "proxy:two@host"} {
		now.Store(&broken)
		ask()
	}
	require.EqualValues(t, 3, bySecond.Load())

	_, err := mattermost.New(mattermost.Options{
		BaseURL: server, Token: token("x"), Proxy: func() (string, error) { return "proxy:two@host", nil },
	})
	require.ErrorContains(t, err, "mattermost proxy: not a URL")
	require.NotContains(t, err.Error(), "two")
}
