package e2ereal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

const (
	envURL   = "MMSYNC_TEST_MATTERMOST_URL"
	envToken = "MMSYNC_TEST_MATTERMOST_TOKEN" //nolint:gosec // the name of a variable
	envOK    = "MMSYNC_TEST_MATTERMOST_OK"

	consent = "yes, change accounts there"
)

// server is a Mattermost server as its administrator sees it, without mmsync.
type server struct {
	url, token string
	sim        *mmsim.Server // nil for a real one
}

// servers are those the suite runs on. A real one is refused before anything is
// written to it.
func servers(t *testing.T) map[string]server {
	t.Helper()
	address, token := os.Getenv(envURL), os.Getenv(envToken)
	if address == "" {
		return map[string]server{
			"simulated 11.6": simulated(t, mmsim.Options{Profile: mmsim.Profile116}),
			"simulated 5.38": simulated(t, mmsim.Options{Profile: mmsim.Profile538}),
		}
	}
	require.NotEmpty(t, token, "%s is set and %s is not", envURL, envToken)
	s := server{url: address, token: token}
	require.NoError(t, s.mayBeChanged(t.Context(), os.Getenv(envOK)))
	return map[string]server{"real": s}
}

func simulated(t *testing.T, o mmsim.Options) server {
	t.Helper()
	sim := mmsim.New(o)
	return server{url: sim.Start(t), token: sim.AdminToken(), sim: sim}
}

// mayBeChanged gives the sentence that refuses a server, or nil. The address it
// is reached under proves nothing where a tunnel or a proxy stands between, so
// the address it has for its users has to be on this machine as well.
func (s server) mayBeChanged(ctx context.Context, ok string) error {
	refuse := func(address string) error {
		return fmt.Errorf("%s is not on this machine and this suite makes, changes and switches off accounts: use a throw-away server, or set %s=%q",
			address, envOK, consent)
	}
	if ok != consent && !loopback(s.url) {
		return refuse(s.url)
	}
	status, raw, err := s.ask(ctx, http.MethodGet, "/config/client?format=old", nil)
	if err != nil {
		return err
	}
	var config struct{ Version, SiteURL string }
	if status != http.StatusOK || json.Unmarshal(raw, &config) != nil || config.Version == "" {
		return fmt.Errorf("%s does not answer as a Mattermost server does (status %d): check %s", s.url, status, envURL)
	}
	if ok != consent && config.SiteURL != "" && !loopback(config.SiteURL) {
		return refuse(config.SiteURL)
	}
	return nil
}

func loopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// ask makes one call as the administrator.
func (s server) ask(ctx context.Context, method, path string, body any) (int, []byte, error) {
	return s.askAs(ctx, s.token, method, path, body)
}

func (s server) askAs(ctx context.Context, token, method, path string, body any) (int, []byte, error) {
	status, raw, _, err := s.call(ctx, token, method, path, body)
	return status, raw, err
}

func (s server) call(ctx context.Context, token, method, path string, body any) (int, []byte, http.Header, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return 0, nil, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, s.url+"/api/v4"+path, bytes.NewReader(raw))
	if err != nil {
		return 0, nil, nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	client := http.Client{Timeout: 45 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	raw, err = io.ReadAll(res.Body)
	return res.StatusCode, raw, res.Header, errors.Join(err, res.Body.Close())
}

// want asks and fails the test unless the status is the given one; into may be nil.
func (s server) want(t testing.TB, status int, method, path string, body, into any) {
	t.Helper()
	got, raw, err := s.ask(t.Context(), method, path, body)
	require.NoError(t, err)
	require.Equal(t, status, got, "%s %s: %s", method, path, raw)
	if into != nil {
		require.NoError(t, json.Unmarshal(raw, into))
	}
}

// account is one account as the administrator sees it.
type account struct {
	ID          string `json:"id"`
	Username    string `json:"username"`
	Email       string `json:"email"`
	FirstName   string `json:"first_name"`
	Position    string `json:"position"`
	Roles       string `json:"roles"`
	AuthService string `json:"auth_service"`
	AuthData    string `json:"auth_data"`
	UpdateAt    int64  `json:"update_at"`
	DeleteAt    int64  `json:"delete_at"`
}

// named reads by username, which every server answers from its database.
func (s server) named(t testing.TB, username string) (a account, ok bool) {
	t.Helper()
	status, raw, err := s.ask(t.Context(), http.MethodGet, "/users/username/"+username, nil)
	require.NoError(t, err)
	if status == http.StatusNotFound {
		return account{}, false
	}
	require.Equal(t, http.StatusOK, status, "%s", raw)
	require.NoError(t, json.Unmarshal(raw, &a))
	return a, true
}

// signIn gives the account a password and a session, and returns its token.
func (s server) signIn(t testing.TB, a account) string {
	t.Helper()
	const password = "Suite-Passw0rd-1!"
	s.want(t, http.StatusOK, http.MethodPut, "/users/"+a.ID+"/password", map[string]string{"new_password": password}, nil)
	login := map[string]string{"login_id": a.Username, "password": password}
	status, raw, header, err := s.call(t.Context(), "", http.MethodPost, "/users/login", login)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, "%s", raw)
	return header.Get("Token")
}

// alive tells whether a session's token is taken.
func (s server) alive(t testing.TB, token string) bool {
	t.Helper()
	status, raw, err := s.askAs(t.Context(), token, http.MethodGet, "/users/me", nil)
	require.NoError(t, err)
	require.Contains(t, []int{http.StatusOK, http.StatusUnauthorized}, status, "%s", raw)
	return status == http.StatusOK
}

func TestServer_mayBeChanged(t *testing.T) {
	t.Parallel()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("<!doctype html>"))
	}))
	t.Cleanup(page.Close)
	away := simulated(t, mmsim.Options{Settings: map[string]string{"MM_SERVICESETTINGS_SITEURL": "https://chat.example.com"}})
	for name, tc := range map[string]struct {
		s       server
		ok      string
		refusal string
	}{
		"a server of this machine is fine":       {s: simulated(t, mmsim.Options{})},
		"one for users elsewhere is not":         {s: away, refusal: "https://chat.example.com is not on this machine"},
		"half a sentence does not change that":   {s: away, ok: "yes", refusal: consent},
		"the whole sentence does":                {s: away, ok: consent},
		"one at another address is not asked":    {s: server{url: "http://192.0.2.1:1"}, refusal: "http://192.0.2.1:1 is not on this machine"},
		"a web page is not taken for a server":   {s: server{url: page.URL}, refusal: envURL},
		"a localhost that only sounds so is not": {s: server{url: "http://localhost.example.com"}, refusal: "not on this machine"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := tc.s.mayBeChanged(t.Context(), tc.ok)
			if tc.s.sim != nil {
				require.Empty(t, tc.s.sim.Writes(), "it only looked")
			}
			if tc.refusal == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.refusal)
		})
	}
}
