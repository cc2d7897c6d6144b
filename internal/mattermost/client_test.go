package mattermost_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
)

const (
	someID  = "abcdefghijklmnopqrstuvwxyz"
	otherID = "zyxwvutsrqponmlkjihgfedcba"
	secret  = "s3cr3t-token-value"

	healthy   = `{"status":"OK","database_status":"OK","filestore_status":"OK"}`
	unhealthy = `{"status":"UNHEALTHY","database_status":"UNHEALTHY","filestore_status":"OK"}`
)

func user(id, name string) string {
	return fmt.Sprintf(`{"id":%q,"create_at":1,"update_at":2,"delete_at":0,"username":%q,"auth_service":"",`+
		`"email":"%s@example.test","roles":"system_user","locale":"en"}`, id, name, name)
}

func TestNew(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o    mattermost.Options
		want string
	}{
		"a URL without scheme is refused":        {mattermost.Options{BaseURL: "chat.example.com"}, "not an http(s) URL"},
		"another scheme is refused":              {mattermost.Options{BaseURL: "ftp://chat.example.com"}, "not an http(s) URL"},
		"a user in the URL is refused unshown":   {mattermost.Options{BaseURL: "https://u:hidden@chat.example.com"}, "no user, query or fragment"},
		"a query is refused":                     {mattermost.Options{BaseURL: "https://chat.example.com/?x=1"}, "no user, query or fragment"},
		"the API's own path is refused":          {mattermost.Options{BaseURL: "https://chat.example.com/api/v4"}, "leave /api/v4 away"},
		"plain http off loopback is refused":     {mattermost.Options{BaseURL: "http://chat.example.com"}, "would send the administrator's token unprotected"},
		"no token is refused":                    {mattermost.Options{BaseURL: "https://chat.example.com"}, "set mattermost.token_file"},
		"a negative rate is refused":             {mattermost.Options{BaseURL: "https://chat.example.com", Token: token("x"), RatePerSecond: -1}, "cannot be negative"},
		"a missing CA file is named":             {mattermost.Options{BaseURL: "https://chat.example.com", Token: token("x"), CAFile: "/nonexistent/ca.pem"}, "/nonexistent/ca.pem"},
		"a CA file without certificates":         {mattermost.Options{BaseURL: "https://chat.example.com", Token: token("x"), CAFile: "doc.go"}, "holds no PEM certificate"},
		"an unreadable proxy is refused unshown": {mattermost.Options{BaseURL: "https://chat.example.com", Token: token("x"), ProxyURL: "http://u:hidden@%zz"}, "mattermost proxy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := mattermost.New(c.o)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "hidden")
		})
	}
	for _, u := range []string{"http://localhost:8065", "http://127.0.0.1:8065/", "http://[::1]:8065", "https://chat.example.com/sub/"} {
		_, err := mattermost.New(mattermost.Options{BaseURL: u, Token: token("x")})
		require.NoError(t, err, u)
	}
	_, err := mattermost.New(mattermost.Options{BaseURL: "http://chat.example.com", Token: token("x"), AllowHTTP: true})
	require.NoError(t, err)
}

func TestClient_request(t *testing.T) {
	t.Parallel()
	t.Run("a base URL with a path keeps it, and the token goes into the header only", func(t *testing.T) {
		t.Parallel()
		var got *http.Request
		s := scripted(t, func(w http.ResponseWriter, r *http.Request) { got = r; answerJSON(w, 200, user(someID, "ada")) })
		a, err := client(t, s.URL+"/team/chat/", secret+"\n").UserByEmail(t.Context(), "ada+x@example.test")
		require.NoError(t, err)
		require.Equal(t, "ada", a.Username)
		require.Equal(t, "/team/chat/api/v4/users/email/ada+x@example.test", got.URL.Path)
		require.Equal(t, "Bearer "+secret, got.Header.Get("Authorization"))
		require.NotContains(t, got.URL.String(), secret)
	})
	t.Run("gzip is asked for and read", func(t *testing.T) {
		t.Parallel()
		s := scripted(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "gzip" {
				answerJSON(w, 500, `{}`)
				return
			}
			w.Header().Set("Content-Encoding", "gzip")
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			_, _ = z.Write([]byte("[" + user(someID, "ada") + "]"))
			_ = z.Close()
			answerJSON(w, 200, b.String())
		})
		list, _, err := client(t, s.URL, secret).UsersByIDs(t.Context(), []string{someID}, 0)
		require.NoError(t, err)
		require.Len(t, list, 1)
	})
	t.Run("version and date of the answer are kept", func(t *testing.T) {
		t.Parallel()
		at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
		s := scripted(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", at.Format(http.TimeFormat))
			answerJSON(w, 200, "[]")
		})
		c := client(t, s.URL, secret)
		require.True(t, c.Version().IsZero())
		_, date, err := c.UsersByIDs(t.Context(), []string{someID}, 0)
		require.NoError(t, err)
		require.Equal(t, at, date)
		require.Equal(t, "11.6.0", c.Version().String())
	})
	t.Run("the debug log holds routes and ids, no value", func(t *testing.T) {
		t.Parallel()
		var b bytes.Buffer
		s := scripted(t, func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, 200, user(someID, "ada")) })
		c := client(t, s.URL, secret, func(o *mattermost.Options) {
			o.Logger = slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))
		})
		_, err := c.UserByEmail(t.Context(), "ada@example.test")
		require.NoError(t, err)
		_, err = c.UserByID(t.Context(), someID)
		require.NoError(t, err)
		require.Contains(t, b.String(), "/api/v4/users/email/{email}")
		require.Contains(t, b.String(), "/api/v4/users/"+someID)
		require.NotContains(t, b.String(), "ada")
		require.NotContains(t, b.String(), secret)
	})
	for name, f := range map[string]func() (string, error){
		"an empty token":    token(" \n"),
		"a two-line token":  token("a\nb"),
		"an unreadable one": func() (string, error) { return "", errors.New("no such file") },
	} {
		t.Run(name+" sends nothing", func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			s := scripted(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
			c := client(t, s.URL, "", func(o *mattermost.Options) { o.Token = f })
			_, err := c.Me(t.Context())
			require.ErrorContains(t, err, "read token")
			require.Zero(t, asked.Load())
		})
	}
}

func TestClient_answer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status       int
		kind, body   string
		location     string
		want         string
		transient    bool
		refused      bool
		wantRequests int32
	}{
		"a web page is not an answer of the API": {200, "text/html; charset=utf-8", "<html>", "", "the web app or a proxy answered", false, true, 1},
		"a redirect is named and not followed":   {301, "text/html", "", "https://elsewhere.example.com/x", "301 redirect to https://elsewhere.example.com", false, true, 1},
		"a 404 page is not a missing account":    {404, "text/html", "<html>", "", "check mattermost.url", false, true, 1},
		"an unknown route is not one either":     {404, "application/json", `{"id":"api.context.404.app_error"}`, "", "check mattermost.url", false, true, 1},
		"no user in the answer":                  {200, "application/json", `{"status":"OK"}`, "", "a user without id", true, false, 4},
		"a cut answer is asked again":            {200, "application/json", `{"id":"abc`, "", "unexpected EOF", true, false, 4},
		"a proxy's 502 is asked again":           {502, "text/html", "<html>secret-body</html>", "", "502 bad gateway", true, false, 4},
		"501 means not licensed":                 {501, "application/json", `{"id":"api.license_error"}`, "", "501 api.license_error", false, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			s := scripted(t, func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				w.Header().Set("Content-Type", c.kind)
				if c.location != "" {
					w.Header().Set("Location", c.location)
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			_, err := client(t, s.URL, secret).UserByID(t.Context(), someID)
			require.ErrorContains(t, err, c.want)
			require.Equal(t, c.transient, mattermost.IsTransient(err), "transient")
			require.Equal(t, c.refused, mattermost.IsRefused(err), "refused")
			require.False(t, mattermost.IsNotFound(err))
			require.Equal(t, c.wantRequests, asked.Load())
			require.NotContains(t, err.Error(), "secret-body")
			require.NotContains(t, err.Error(), secret)
		})
	}
	t.Run("what follows a list is an error", func(t *testing.T) {
		t.Parallel()
		s := scripted(t, func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, 200, `[]{"id":"some.error"}`) })
		_, _, err := client(t, s.URL, secret).UsersByIDs(t.Context(), []string{someID}, 0)
		require.ErrorContains(t, err, "something follows the list")
	})
	t.Run("an answer without end is given up", func(t *testing.T) {
		t.Parallel()
		s := scripted(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"nickname":"`)
			for range 80 {
				if _, err := w.Write(bytes.Repeat([]byte("x"), 64<<10)); err != nil {
					return
				}
			}
		})
		_, err := client(t, s.URL, secret).UserByID(t.Context(), someID)
		require.ErrorContains(t, err, "larger than any answer should be")
		require.False(t, mattermost.IsTransient(err))
	})
	t.Run("no answer in time", func(t *testing.T) {
		t.Parallel()
		release := make(chan struct{})
		s := scripted(t, func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		})
		defer close(release)
		c := client(t, s.URL, secret, func(o *mattermost.Options) { o.Timeout = 2 * time.Second })
		_, err := c.Patch(t.Context(), someID, identity.Profile{Nickname: "x"}, identity.AttributesOf(identity.Nickname))
		require.ErrorIs(t, err, mattermost.ErrOutcomeUnknown)
		require.ErrorContains(t, err, "no answer within 2s: outcome unknown")
	})
	t.Run("an e-mail is not in the error of its look-up", func(t *testing.T) {
		t.Parallel()
		c := client(t, "http://127.0.0.1:1", secret)
		_, err := c.UserByEmail(within(t, 5*time.Second), "ada@example.test")
		require.Error(t, err)
		require.NotContains(t, err.Error(), "ada")
		require.True(t, mattermost.IsTransient(err))
	})
	t.Run("an unknown authority is named with the setting that mends it", func(t *testing.T) {
		t.Parallel()
		s := scriptedTLS(t, func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, 200, user(someID, "ada")) })
		_, err := client(t, s.URL, secret).UserByID(t.Context(), someID)
		require.ErrorContains(t, err, "set mattermost.ca_file")
		_, err = client(t, s.URL, secret, func(o *mattermost.Options) { o.CAFile = writePEM(t, s) }).UserByID(t.Context(), someID)
		require.NoError(t, err)
	})
}

func TestClient_concurrencyIsBounded(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int32
	s := scripted(t, func(w http.ResponseWriter, _ *http.Request) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		time.Sleep(time.Millisecond)
		now.Add(-1)
		answerJSON(w, 200, user(someID, "ada"))
	})
	c := client(t, s.URL, secret)
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() { _, _ = c.UserByID(t.Context(), someID) })
	}
	wg.Wait()
	require.LessOrEqual(t, most.Load(), int32(4))
}

func TestClient_proxy(t *testing.T) {
	t.Parallel()
	var through atomic.Bool
	p := scripted(t, func(w http.ResponseWriter, r *http.Request) {
		through.Store(r.URL.Host == "chat.example.test")
		answerJSON(w, 200, user(someID, "ada"))
	})
	c := client(t, "http://chat.example.test", secret, func(o *mattermost.Options) { o.ProxyURL, o.AllowHTTP = p.URL, true })
	_, err := c.UserByID(t.Context(), someID)
	require.NoError(t, err)
	require.True(t, through.Load())
}
