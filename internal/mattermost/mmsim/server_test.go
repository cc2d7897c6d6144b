package mmsim_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

// client asks a server as one account.
type client struct {
	t     testing.TB
	srv   http.Handler
	token string
}

func admin(t testing.TB, s *mmsim.Server) client {
	t.Helper()
	return client{t: t, srv: s, token: s.AdminToken()}
}

// do returns the status and the body; body may be nil, text or a value.
func (c client) do(method, path string, body any) (int, []byte) {
	c.t.Helper()
	rec := c.record(method, path, body)
	return rec.Code, rec.Body.Bytes()
}

func (c client) record(method, path string, body any) *httptest.ResponseRecorder {
	c.t.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = bytes.NewBufferString(b)
	default:
		raw, err := json.Marshal(b)
		require.NoError(c.t, err)
		in = bytes.NewReader(raw)
	}
	req := httptest.NewRequestWithContext(c.t.Context(), method, "/api/v4"+path, in)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	rec := httptest.NewRecorder()
	c.srv.ServeHTTP(rec, req)
	return rec
}

// want asks and requires the status; the body is decoded into the result.
func (c client) want(status int, method, path string, body any) map[string]any {
	c.t.Helper()
	got, raw := c.do(method, path, body)
	require.Equal(c.t, status, got, "%s %s: %s", method, path, raw)
	out := map[string]any{}
	_ = json.Unmarshal(raw, &out) // lists stay empty
	return out
}

func (c client) list(path string) []map[string]any {
	c.t.Helper()
	return c.listOf(http.MethodGet, path, nil)
}

func (c client) listOf(method, path string, body any) []map[string]any {
	c.t.Helper()
	status, raw := c.do(method, path, body)
	require.Equal(c.t, http.StatusOK, status, "%s %s: %s", method, path, raw)
	var out []map[string]any
	require.NoError(c.t, json.Unmarshal(raw, &out))
	return out
}

func names(users []map[string]any) []string {
	out := make([]string, 0, len(users))
	for _, u := range users {
		name, _ := u["username"].(string)
		out = append(out, name)
	}
	return out
}

func TestNew_startsWithOneAdmin(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	me := admin(t, s).want(200, "GET", "/users/me", nil)
	require.Equal(t, s.AdminID(), me["id"])
	require.Equal(t, "system_admin system_user", me["roles"])
	require.Len(t, s.Users(), 1)
}

func TestServer_ListenAndClose(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	url := s.Start(t)
	require.Equal(t, url, s.URL())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/api/v4/system/ping", nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 200, res.StatusCode)
	require.NotEmpty(t, res.Header.Get("X-Request-Id"))
	require.Contains(t, res.Header.Get("X-Version-Id"), "11.6.0.11.6.0.")
	require.NoError(t, s.Close())
	require.NoError(t, s.Close(), "closing twice is fine")
}
