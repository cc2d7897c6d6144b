// Package licencetest stands before a simulated Mattermost server, which like the
// recorded ones has no licence, and adds what a licence for guests does by the server's
// source: the licence says so, and demote leaves system_guest alone. Nothing of it was
// recorded, so it is no part of the simulation. It is for tests only.
package licencetest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// Front is a server with a licence.
type Front struct {
	// URL is where it answers, until the test ends.
	URL string
	// None: the licence has ended. Off: demote finds the guest feature off.
	None, Off atomic.Bool

	proxy *httputil.ReverseProxy
}

// Before starts a Front before the server at an address.
func Before(t testing.TB, address string) *Front {
	t.Helper()
	to, err := url.Parse(address)
	require.NoError(t, err)
	f := &Front{proxy: &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}}
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	f.URL = s.URL
	return f
}

// ServeHTTP answers what the licence changes, and hands on the rest.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, body string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
	id, demotes := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/api/v4/users/"), "/demote")
	switch {
	case strings.HasSuffix(r.URL.Path, "/license/client") && !f.None.Load():
		answer(200, `{"IsLicensed":"true","GuestAccounts":"true","CustomPermissionsSchemes":"true"}`)
	case demotes && f.None.Load():
		answer(501, `{"id":"api.team.demote_user_to_guest.license.error","status_code":501}`)
	case demotes && f.Off.Load():
		answer(501, `{"id":"api.team.demote_user_to_guest.disabled.error","status_code":501}`)
	case demotes:
		body := []byte(`{"roles":"system_guest"}`)
		r.Method, r.URL.Path, r.ContentLength = http.MethodPut, "/api/v4/users/"+id+"/roles", int64(len(body))
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Content-Length", fmt.Sprint(len(body)))
		f.proxy.ServeHTTP(w, r)
	default:
		f.proxy.ServeHTTP(w, r)
	}
}
