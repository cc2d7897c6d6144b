package mattermost_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
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
		c := client(t, s.URL, secret, func(o *mattermost.Options) { o.Timeout = 20 * time.Millisecond })
		_, err := c.Patch(t.Context(), someID, identity.Profile{Nickname: "x"}, identity.AttributesOf(identity.Nickname))
		require.ErrorIs(t, err, mattermost.ErrOutcomeUnknown)
		require.ErrorContains(t, err, "no answer within 20ms: outcome unknown")
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

func TestClient_write(t *testing.T) {
	t.Parallel()
	patch := func(ctx context.Context, c *mattermost.Client) error {
		_, err := c.Patch(ctx, someID, identity.Profile{Nickname: "x"}, identity.AttributesOf(identity.Nickname))
		return err
	}
	for name, c := range map[string]struct {
		answer  func(w http.ResponseWriter)
		unknown bool
		asked   int32
	}{
		"cut without an answer": {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, true, 1},
		"cut in the answer": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "1000")
			answerJSON(w, 200, `{"id":`)
		}, true, 1},
		"a proxy that gave up":     {func(w http.ResponseWriter) { w.WriteHeader(504) }, true, 1},
		"a failure of the server":  {func(w http.ResponseWriter) { answerJSON(w, 500, `{"id":"app.user.update.finding.app_error"}`) }, true, 1},
		"a refusal":                {func(w http.ResponseWriter) { answerJSON(w, 400, `{"id":"model.user.is_valid.nickname.app_error"}`) }, false, 1},
		"a page instead of an API": {func(w http.ResponseWriter) { w.Header().Set("Content-Type", "text/html") }, false, 1},
	} {
		t.Run(name+" is never repeated", func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			s := scripted(t, func(w http.ResponseWriter, _ *http.Request) { asked.Add(1); c.answer(w) })
			err := patch(t.Context(), client(t, s.URL, secret))
			require.Error(t, err)
			require.Equal(t, c.unknown, errors.Is(err, mattermost.ErrOutcomeUnknown))
			var u interface{ OutcomeUnknown() bool }
			require.ErrorAs(t, err, &u)
			require.Equal(t, c.unknown, u.OutcomeUnknown())
			require.Equal(t, c.asked, asked.Load())
		})
	}
	t.Run("a server that is not there leaves no doubt", func(t *testing.T) {
		t.Parallel()
		err := patch(t.Context(), client(t, "http://127.0.0.1:1", secret))
		require.NotErrorIs(t, err, mattermost.ErrOutcomeUnknown)
		require.True(t, mattermost.IsTransient(err))
	})
	t.Run("one at a time for each account", func(t *testing.T) {
		t.Parallel()
		var now, most, others atomic.Int32
		s := scripted(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, someID) {
				if n := now.Add(1); n > most.Load() {
					most.Store(n)
				}
				time.Sleep(2 * time.Millisecond)
				now.Add(-1)
				answerJSON(w, 200, user(someID, "ada"))
				return
			}
			others.Add(1)
			answerJSON(w, 200, user(otherID, "bob"))
		})
		c := client(t, s.URL, secret)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { _ = patch(t.Context(), c) })
			wg.Go(func() {
				_, _ = c.Patch(t.Context(), otherID, identity.Profile{Nickname: "x"}, identity.AttributesOf(identity.Nickname))
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, most.Load())
		require.EqualValues(t, 10, others.Load())
	})
	t.Run("waiting for one's turn ends with the context", func(t *testing.T) {
		t.Parallel()
		arrived, release := make(chan struct{}), make(chan struct{})
		s := scripted(t, func(w http.ResponseWriter, _ *http.Request) {
			close(arrived)
			<-release
			answerJSON(w, 200, user(someID, "ada"))
		})
		c := client(t, s.URL, secret)
		var wg sync.WaitGroup
		wg.Go(func() { _ = patch(t.Context(), c) })
		<-arrived
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := patch(ctx, c)
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, mattermost.ErrOutcomeUnknown, "it never left")
		close(release)
		wg.Wait()
	})
}

func TestClient_refusesToSend(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	s := scripted(t, func(w http.ResponseWriter, _ *http.Request) { asked.Add(1); answerJSON(w, 200, user(someID, "ada")) })
	c := client(t, s.URL, secret)
	ctx := t.Context()
	create := func(n mattermost.NewUser) error { _, err := c.Create(ctx, n); return err }
	patch := func(p identity.Profile, f ...identity.Attribute) error {
		_, err := c.Patch(ctx, someID, p, identity.AttributesOf(f...))
		return err
	}
	named := identity.Profile{Username: "ada", Email: "ada@example.test"}
	for name, err := range map[string]error{
		"an empty set of roles":               c.SetRoles(ctx, someID, nil),
		"admin without user":                  c.SetRoles(ctx, someID, identity.Roles{"system_admin"}),
		"a role that is no word":              c.SetRoles(ctx, someID, identity.Roles{"system_user", "a,b"}),
		"a login service called email":        c.SetAuth(ctx, someID, identity.Auth{Service: "email", Data: "x"}),
		"a login service without data":        c.SetAuth(ctx, someID, identity.Auth{Service: "saml"}),
		"data without a login service":        c.SetAuth(ctx, someID, identity.Auth{Data: "x"}),
		"auth data of 129 bytes":              c.SetAuth(ctx, someID, identity.Auth{Service: "saml", Data: strings.Repeat("x", 129)}),
		"an empty patch":                      patch(identity.Profile{}),
		"a patch that empties the username":   patch(identity.Profile{}, identity.Username),
		"a patch that empties the e-mail":     patch(identity.Profile{}, identity.Email),
		"a creation without username":         create(mattermost.NewUser{Profile: identity.Profile{Email: "a@b"}, Password: "x"}),
		"a creation without e-mail":           create(mattermost.NewUser{Profile: identity.Profile{Username: "a"}, Password: "x"}),
		"a creation nobody could log in to":   create(mattermost.NewUser{Profile: named}),
		"a creation with service and no data": create(mattermost.NewUser{Profile: named, Auth: identity.Auth{Service: "saml"}}),
		"a creation as magic link guest":      create(mattermost.NewUser{Profile: named, Auth: identity.Auth{Service: "magic_link", Data: "x"}}),
		"a creation with both":                create(mattermost.NewUser{Profile: named, Auth: identity.Auth{Service: "saml", Data: "x"}, Password: "x"}),
		"an id that is none":                  c.SetActive(ctx, "me", false),
		"a path in an id":                     c.RevokeSessions(ctx, "../../../"+someID),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r *mattermost.RequestError
			require.ErrorAs(t, err, &r)
			require.True(t, mattermost.IsRefused(err))
		})
	}
	require.Zero(t, asked.Load())
}

func TestClient_patchSendsOnlyWhatIsNamed(t *testing.T) {
	t.Parallel()
	var body map[string]any
	s := scripted(t, func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(&body)
		answerJSON(w, 200, user(someID, "ada"))
	})
	p := identity.Profile{Username: "ada", Nickname: "", Position: "x"}
	_, err := client(t, s.URL, secret).Patch(t.Context(), someID, p, identity.AttributesOf(identity.Nickname, identity.Position))
	require.NoError(t, err)
	require.Equal(t, map[string]any{"nickname": "", "position": "x"}, body)
}

func TestClient_denials(t *testing.T) {
	t.Parallel()
	const expired = `{"id":"api.context.session_expired.app_error","status_code":401}`
	const forbidden = `{"id":"api.context.permissions.app_error","status_code":403}`
	script := func(t *testing.T, pings []string, answers []func(http.ResponseWriter)) (*mattermost.Client, *atomic.Int32) {
		t.Helper()
		var asked, pinged atomic.Int32
		s := scripted(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/system/ping") {
				body := pings[min(int(pinged.Add(1)), len(pings))-1]
				status := 200
				if body == unhealthy {
					status = 500
				}
				answerJSON(w, status, body)
				return
			}
			answers[min(int(asked.Add(1)), len(answers))-1](w)
		})
		return client(t, s.URL, secret), &asked
	}
	no := func(status int, body string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { answerJSON(w, status, body) }
	}
	yes := no(200, user(someID, "ada"))

	t.Run("401 twice with a healthy server is a dead token", func(t *testing.T) {
		t.Parallel()
		c, asked := script(t, []string{healthy}, []func(http.ResponseWriter){no(401, expired)})
		_, err := c.Me(t.Context())
		require.True(t, mattermost.IsUnauthorized(err))
		require.False(t, mattermost.IsTransient(err))
		require.EqualValues(t, 2, asked.Load())
	})
	t.Run("401 while the database is away proves nothing", func(t *testing.T) {
		t.Parallel()
		c, _ := script(t, []string{unhealthy}, []func(http.ResponseWriter){no(401, expired)})
		_, err := c.Me(t.Context())
		require.True(t, mattermost.IsTransient(err))
		require.False(t, mattermost.IsUnauthorized(err))
		require.False(t, mattermost.IsRefused(err))
		require.ErrorContains(t, err, "database seems to be away")
	})
	t.Run("401 once is forgotten", func(t *testing.T) {
		t.Parallel()
		c, _ := script(t, []string{healthy}, []func(http.ResponseWriter){no(401, expired), yes})
		_, err := c.Me(t.Context())
		require.NoError(t, err)
	})
	t.Run("a database that comes back is asked again", func(t *testing.T) {
		t.Parallel()
		c, asked := script(t, []string{unhealthy, healthy}, []func(http.ResponseWriter){no(401, expired), yes})
		_, err := c.Me(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 2, asked.Load())
	})
	t.Run("403 to a write while the database is away is passing and has done nothing", func(t *testing.T) {
		t.Parallel()
		c, asked := script(t, []string{unhealthy}, []func(http.ResponseWriter){no(403, forbidden)})
		_, err := c.Patch(t.Context(), someID, identity.Profile{Nickname: "x"}, identity.AttributesOf(identity.Nickname))
		require.True(t, mattermost.IsTransient(err))
		require.NotErrorIs(t, err, mattermost.ErrOutcomeUnknown)
		require.EqualValues(t, 1, asked.Load())
	})
	t.Run("403 twice with a healthy server is a missing permission", func(t *testing.T) {
		t.Parallel()
		c, asked := script(t, []string{healthy}, []func(http.ResponseWriter){no(403, forbidden)})
		err := c.SetActive(t.Context(), someID, false)
		require.True(t, mattermost.IsForbidden(err))
		require.True(t, mattermost.IsRefused(err))
		require.EqualValues(t, 2, asked.Load())
	})
	t.Run("a refusal that names its cause is believed at once", func(t *testing.T) {
		t.Parallel()
		c, asked := script(t, []string{unhealthy}, []func(http.ResponseWriter){
			no(403, `{"id":"api.user.update_active.cannot_modify_status_when_user_is_managed_by_ldap.app_error"}`),
		})
		err := c.SetActive(t.Context(), someID, false)
		require.True(t, mattermost.IsLDAPManaged(err))
		require.True(t, mattermost.IsRefused(err))
		require.EqualValues(t, 1, asked.Load())
	})
	t.Run("broken file storage is not a broken database", func(t *testing.T) {
		t.Parallel()
		var asked atomic.Int32
		s := scripted(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/system/ping") {
				answerJSON(w, 500, `{"status":"UNHEALTHY","database_status":"OK","filestore_status":"UNHEALTHY"}`)
				return
			}
			asked.Add(1)
			answerJSON(w, 401, expired)
		})
		_, err := client(t, s.URL, secret).Me(t.Context())
		require.True(t, mattermost.IsUnauthorized(err))
	})
}

func TestClient_fence(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	s := scripted(t, func(w http.ResponseWriter, _ *http.Request) { asked.Add(1); answerJSON(w, 200, `{}`) })
	base, err := url.Parse(s.URL)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		method, url string
		readOnly    bool
		ok          bool
	}{
		"a read in the table":            {"GET", s.URL + "/api/v4/users/" + someID, false, true},
		"a write in the table":           {"PUT", s.URL + "/api/v4/users/" + someID + "/patch", false, true},
		"a look-up by POST, read-only":   {"POST", s.URL + "/api/v4/users/ids", true, true},
		"a look-up by names, read-only":  {"POST", s.URL + "/api/v4/users/usernames", true, true},
		"a creation, read-only":          {"POST", s.URL + "/api/v4/users", true, false},
		"a patch, read-only":             {"PUT", s.URL + "/api/v4/users/" + someID + "/patch", true, false},
		"a reset mail, read-only":        {"POST", s.URL + "/api/v4/users/password/reset/send", true, false},
		"a deletion":                     {"DELETE", s.URL + "/api/v4/users/" + someID, false, false},
		"a permanent deletion":           {"DELETE", s.URL + "/api/v4/users/" + someID + "?permanent=true", false, false},
		"a full replacement":             {"PUT", s.URL + "/api/v4/users/" + someID, false, false},
		"a password":                     {"PUT", s.URL + "/api/v4/users/" + someID + "/password", false, false},
		"a parameter not in the table":   {"GET", s.URL + "/api/v4/users?active=true", false, false},
		"a parameter twice":              {"GET", s.URL + "/api/v4/users?page=1&page=2", false, false},
		"an id that is none":             {"GET", s.URL + "/api/v4/users/abc", false, false},
		"a path that climbs":             {"GET", s.URL + "/api/v4/users/username/..", false, false},
		"a path outside the API":         {"GET", s.URL + "/plugins/x", false, false},
		"another host":                   {"GET", "http://127.0.0.2:1/api/v4/users/me", false, false},
		"another scheme":                 {"GET", strings.Replace(s.URL, "http:", "https:", 1) + "/api/v4/users/me", false, false},
		"an older API":                   {"GET", s.URL + "/api/v3/users/me", false, false},
		"another method on a known path": {"DELETE", s.URL + "/api/v4/users/me", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := mattermost.NewFence(http.DefaultTransport, base, c.readOnly)
			req, err := http.NewRequestWithContext(t.Context(), c.method, c.url, strings.NewReader("x"))
			require.NoError(t, err)
			resp, err := f.RoundTrip(req)
			if c.ok {
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				return
			}
			require.ErrorIs(t, err, mattermost.ErrNotAllowed)
		})
	}
	t.Run("a read-only client says so", func(t *testing.T) {
		t.Parallel()
		c := client(t, s.URL, secret, func(o *mattermost.Options) { o.ReadOnly = true })
		err := c.SetActive(t.Context(), someID, false)
		require.ErrorIs(t, err, mattermost.ErrNotAllowed)
		require.ErrorContains(t, err, "this client only reads")
		require.True(t, mattermost.IsRefused(err))
		require.NotErrorIs(t, err, mattermost.ErrOutcomeUnknown)
	})
}

// TestRoutes/agree: what the client's methods send is exactly the table.
func TestRoutes_agreeWithTheClient(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	used := map[string]bool{}
	s := scripted(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		for _, rt := range mattermost.Routes() {
			if rt.Method == r.Method && mattermost.Matches(rt, strings.TrimPrefix(r.URL.EscapedPath(), "/api/v4")) {
				for _, p := range rt.Query {
					if r.URL.Query().Has(p) {
						used[rt.String()+"?"+p] = true
					}
				}
				used[rt.String()] = true
				break
			}
		}
		if r.Method == http.MethodPost && (strings.HasSuffix(r.URL.Path, "/ids") || strings.HasSuffix(r.URL.Path, "/usernames")) ||
			r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/users") {
			answerJSON(w, 200, "[]")
			return
		}
		answerJSON(w, 200, user(someID, "ada"))
	})
	c, ctx := client(t, s.URL, secret), t.Context()
	var errs []error
	note := func(err error) { errs = append(errs, err) }
	_, err := c.Ping(ctx)
	note(err)
	_, err = c.ClientConfig(ctx)
	note(err)
	_, err = c.Settings(ctx)
	note(err)
	_, err = c.License(ctx)
	note(err)
	_, err = c.Limits(ctx)
	note(err)
	_, err = c.BotOwner(ctx, someID)
	note(err)
	_, _, err = c.Users(ctx, 0, "system_admin")
	note(err)
	_, err = c.ActiveCount(ctx)
	note(err)
	_, err = c.Me(ctx)
	note(err)
	_, err = c.UserByID(ctx, someID)
	note(err)
	_, err = c.UserByUsername(ctx, "Ada")
	note(err)
	_, err = c.UserByEmail(ctx, "ada@example.test")
	note(err)
	_, _, err = c.UsersByIDs(ctx, []string{someID}, 1)
	note(err)
	_, err = c.UsersByUsernames(ctx, []string{"ada"})
	note(err)
	_, err = c.Create(ctx, mattermost.NewUser{Profile: identity.Profile{Username: "ada", Email: "a@b"}, Password: "x"})
	note(err)
	_, err = c.Patch(ctx, someID, identity.Profile{Nickname: "x"}, identity.AttributesOf(identity.Nickname))
	note(err)
	note(c.SetActive(ctx, someID, false))
	note(c.SetRoles(ctx, someID, identity.Roles{"system_user"}))
	note(c.SetAuth(ctx, someID, identity.Auth{Service: "saml", Data: "x"}))
	note(c.RevokeSessions(ctx, someID))
	note(c.VerifyEmail(ctx, someID))
	note(c.SendPasswordReset(ctx, "a@b"))
	require.NoError(t, errors.Join(errs...))

	for _, rt := range mattermost.Routes() {
		require.NotEmpty(t, rt.Purpose)
		require.True(t, used[rt.String()], "no method uses %s", rt)
		for _, p := range rt.Query {
			require.True(t, used[rt.String()+"?"+p], "no method sends %s to %s", p, rt)
		}
	}
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
