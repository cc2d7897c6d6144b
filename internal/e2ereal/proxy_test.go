package e2ereal_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// witness stands between mmsync and the server and writes down what is asked: a
// real server does not tell.
type witness struct {
	url string

	mu    sync.Mutex
	calls []call
	made  []string // ids of the accounts that mmsync made
}

type call struct {
	method, path, query string
	status              int
}

// writes tells whether the call asked for a change.
func (c call) writes() bool {
	if c.method != http.MethodPost {
		return c.method != http.MethodGet
	}
	switch c.path {
	case "/users/ids", "/users/usernames", "/users/search":
		return false
	}
	return true
}

func newWitness(t testing.TB, s server) *witness {
	t.Helper()
	to, err := url.Parse(s.url)
	require.NoError(t, err)
	w := &witness{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			// What is passed on is read here, so it must not come compressed.
			r.Out.Header.Set("Accept-Encoding", "identity")
		},
		ModifyResponse: w.see,
	}
	srv := httptest.NewServer(proxy)
	t.Cleanup(srv.Close)
	w.url = srv.URL
	return w
}

func (w *witness) see(res *http.Response) error {
	_, path, _ := strings.Cut(res.Request.URL.Path, "/api/v4")
	c := call{method: res.Request.Method, path: path, query: res.Request.URL.RawQuery, status: res.StatusCode}
	id := ""
	if c.method == http.MethodPost && c.path == "/users" && c.status == http.StatusCreated {
		raw, err := io.ReadAll(res.Body)
		if err != nil {
			return err
		}
		if err := res.Body.Close(); err != nil {
			return err
		}
		res.Body = io.NopCloser(bytes.NewReader(raw))
		var a account
		if err := json.Unmarshal(raw, &a); err != nil {
			return err
		}
		id = a.ID
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, c)
	if id != "" {
		w.made = append(w.made, id)
	}
	return nil
}

// take returns the calls since the last time, those that asked for a change apart.
func (w *witness) take() (all, writes []call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all, w.calls = w.calls, nil
	for _, c := range all {
		if c.writes() {
			writes = append(writes, c)
		}
	}
	return all, writes
}

// accounts returns the ids of the accounts that were made through it.
func (w *witness) accounts() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.made...)
}
