package mattermost_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
)

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
