package scim_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/sources/scim"
	"github.com/mmsync/mmsync/internal/state"
)

// post sends a form to the token endpoint and gives the answer.
func (w *world) post(t *testing.T, form url.Values, change ...func(*http.Request)) (int, map[string]any, http.Header) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/oauth/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.RemoteAddr = "192.0.2.7:5000"
	for _, f := range change {
		f(r)
	}
	answer := httptest.NewRecorder()
	w.gate.OAuth().ServeHTTP(answer, r)
	require.Equal(t, "no-store", answer.Header().Get("Cache-Control"))
	var body map[string]any
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &body))
	return answer.Code, body, answer.Header()
}

func credentials(id, secret string) url.Values {
	return url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}
}

func (w *world) fetch(t *testing.T) string {
	t.Helper()
	code, body, _ := w.post(t, credentials("t_a", secret))
	require.Equal(t, http.StatusOK, code, body)
	token, ok := body["access_token"].(string)
	require.True(t, ok)
	return token
}

func TestOAuth_a_short_lived_token_may_what_its_token_may(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.add(secret, state.Token{ID: "t_a", Name: "main", Scopes: []string{"groups", "read"}})
	code, body, _ := w.post(t, credentials("t_a", secret))
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "Bearer", body["token_type"])
	require.InDelta(t, 3600, body["expires_in"], 0)
	require.Equal(t, "groups read", body["scope"])
	require.NotContains(t, body["access_token"], secret[4:])
	got, err := w.gate.Open(request(t, w.fetch(t)))
	require.NoError(t, err)
	require.Equal(t, scim.Client{Source: "okta", Name: "main", Groups: true, TokenID: "t_a"}, got)
}

func TestOAuth_the_secret_may_stand_in_the_header(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.add(secret, state.Token{ID: "t_a", Name: "main"})
	grant := url.Values{"grant_type": {"client_credentials"}}
	code, body, _ := w.post(t, grant, func(r *http.Request) { r.SetBasicAuth("t_a", url.QueryEscape(secret)) })
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "users groups", body["scope"])
	code, body, header := w.post(t, grant, func(r *http.Request) { r.SetBasicAuth("t_a", "wrong") })
	require.Equal(t, http.StatusUnauthorized, code)
	require.Equal(t, "invalid_client", body["error"])
	require.Contains(t, header.Get("WWW-Authenticate"), "Basic")
}

func TestOAuth_what_is_refused(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.add(secret, state.Token{ID: "t_a", Name: "main", Networks: []string{"192.0.2.0/24"}})
	for name, c := range map[string]struct {
		form   url.Values
		change func(*http.Request)
		code   int
		wants  string
	}{
		"another grant":        {url.Values{"grant_type": {"password"}, "client_id": {"t_a"}, "client_secret": {secret}}, nil, 400, "unsupported_grant_type"},
		"no form":              {credentials("t_a", secret), func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, 400, "unsupported_grant_type"},
		"in the address":       {url.Values{"grant_type": {"client_credentials"}}, func(r *http.Request) { r.URL.RawQuery = credentials("t_a", secret).Encode() }, 401, "invalid_client"},
		"too much":             {credentials("t_a", strings.Repeat("x", 20_000)), nil, 400, "invalid_request"},
		"a header not escaped": {url.Values{"grant_type": {"client_credentials"}}, func(r *http.Request) { r.SetBasicAuth("t_a", "%zz") }, 400, "invalid_request"},
		"another token's id":   {credentials("t_b", secret), nil, 401, "invalid_client"},
		"no secret":            {credentials("t_a", ""), nil, 401, "invalid_client"},
		"from another network": {credentials("t_a", secret), func(r *http.Request) { r.RemoteAddr = "198.51.100.1:1" }, 401, "invalid_client"},
		"asked for, not sent":  {credentials("t_a", secret), func(r *http.Request) { r.Method = http.MethodGet }, 405, "invalid_request"},
	} {
		change := c.change
		if change == nil {
			change = func(*http.Request) {}
		}
		code, body, _ := w.post(t, c.form, change)
		require.Equal(t, c.code, code, name)
		require.Equal(t, c.wants, body["error"], name)
	}
	require.NotContains(t, w.log.String(), secret)
}

func TestOAuth_failures_are_throttled_as_elsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for range 10 {
		w.open(t, other)
	}
	code, body, header := w.post(t, credentials("t_a", "wrong"))
	require.Equal(t, http.StatusTooManyRequests, code)
	require.Equal(t, "temporarily_unavailable", body["error"])
	require.Equal(t, "6", header.Get("Retry-After"))
}

func TestAccess_ends_with_its_time_and_with_its_token(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.add(secret, state.Token{ID: "t_a", Name: "main"})
	token := w.fetch(t)
	w.after(time.Hour - time.Second)
	require.Equal(t, 200, w.open(t, token))
	w.after(time.Second)
	require.Equal(t, 401, w.open(t, token), "its time")

	token = w.fetch(t)
	w.change(func(x *state.Token) { x.RevokedAt = w.clock })
	w.after(5 * time.Second)
	require.Equal(t, 401, w.open(t, token), "its token was revoked")

	w.change(func(x *state.Token) { x.RevokedAt, x.ExpiresAt = time.Time{}, w.clock.Add(time.Minute) })
	w.after(5 * time.Second)
	_, body, _ := w.post(t, credentials("t_a", secret))
	require.InDelta(t, 55, body["expires_in"], 0, "its token's own end")
}

func TestAccess_cannot_be_made_or_changed(t *testing.T) {
	t.Parallel()
	seal := bytes.Repeat([]byte{7}, 32)
	w := newWorld(func(o *scim.GateOptions) { o.Seal = seal })
	w.add(secret, state.Token{ID: "t_a", Name: "main"})
	token := w.fetch(t)
	require.Equal(t, 200, w.open(t, token))
	for i := len("mma_"); i < len(token)-1; i += 7 {
		with := byte('A')
		if token[i] == with {
			with = 'B'
		}
		require.NotEqual(t, 200, w.open(t, token[:i]+string(with)+token[i+1:]), i)
	}

	again := newWorld(func(o *scim.GateOptions) { o.Seal, o.Tokens = seal, w.memory })
	require.Equal(t, 200, again.open(t, token), "another process with the same key takes it")
	alone := newWorld(func(o *scim.GateOptions) { o.Tokens = w.memory })
	require.Equal(t, 401, alone.open(t, token), "one with a key of its own does not")
	w.change(func(x *state.Token) { x.Hash[0]++ })
	w.after(5 * time.Second)
	require.Equal(t, 401, w.open(t, token), "nor does one whose token has another secret")
}
