package mattermost_test

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// token gives a fixed token.
func token(s string) func() (string, error) { return func() (string, error) { return s, nil } }

// profiles are the two servers that were recorded.
func profiles() map[string]mmsim.Profile {
	return map[string]mmsim.Profile{"11.6": mmsim.Profile116, "5.38": mmsim.Profile538}
}

// writes are all that the client can change.
func writes() map[string]func(context.Context, *mattermost.Client) error {
	return map[string]func(context.Context, *mattermost.Client) error{
		"create": func(ctx context.Context, c *mattermost.Client) error {
			_, err := c.Create(ctx, mattermost.NewUser{Profile: identity.Profile{Username: "ada", Email: "a@b"}, Password: "x"})
			return err
		},
		"patch": func(ctx context.Context, c *mattermost.Client) error {
			_, err := c.Patch(ctx, someID, identity.Profile{Nickname: "x"}, identity.AttributesOf(identity.Nickname))
			return err
		},
		"set active":           func(ctx context.Context, c *mattermost.Client) error { return c.SetActive(ctx, someID, false) },
		"deactivate by delete": func(ctx context.Context, c *mattermost.Client) error { return c.DeactivateByDelete(ctx, someID) },
		"set roles": func(ctx context.Context, c *mattermost.Client) error {
			return c.SetRoles(ctx, someID, identity.Roles{"system_user"})
		},
		"promote": func(ctx context.Context, c *mattermost.Client) error { return c.Promote(ctx, someID) },
		"demote":  func(ctx context.Context, c *mattermost.Client) error { return c.Demote(ctx, someID) },
		"set auth": func(ctx context.Context, c *mattermost.Client) error {
			return c.SetAuth(ctx, someID, identity.Auth{Service: "saml", Data: "x"})
		},
		"revoke sessions": func(ctx context.Context, c *mattermost.Client) error { return c.RevokeSessions(ctx, someID) },
		"reset link":      func(ctx context.Context, c *mattermost.Client) error { return c.SendPasswordReset(ctx, "a@b") },
	}
}

// taken names the value that an answer of the server says somebody else holds.
func taken(err error) string {
	var e *mattermost.APIError
	if !errors.As(err, &e) {
		return ""
	}
	return e.Taken()
}

// through is a transport made of a function.
type through func(*http.Request) (*http.Response, error)

func (f through) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type answered struct {
	status int
	body   string
}

// raw asks the simulator as its admin for what the client cannot or would not.
func raw(t *testing.T, s *mmsim.Server, method, path, body string) answered {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL()+"/api/v4"+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+s.AdminToken())
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answered{resp.StatusCode, string(b)}
}

// client makes a client without a rate to speak of.
func client(t *testing.T, url, tok string, change ...func(*mattermost.Options)) *mattermost.Client {
	t.Helper()
	o := mattermost.Options{BaseURL: url, Token: token(tok), RatePerSecond: 1e6, RetryWait: time.Millisecond, ProxyURL: "direct"}
	for _, f := range change {
		f(&o)
	}
	c, err := mattermost.New(o)
	require.NoError(t, err)
	t.Cleanup(c.CloseIdle)
	return c
}

// simulated starts a server and a Target that talks to it as its admin.
func simulated(t *testing.T, o mmsim.Options) (*mmsim.Server, *mattermost.Target) {
	t.Helper()
	s := mmsim.New(o)
	c := client(t, s.Start(t), s.AdminToken())
	return s, mattermost.NewTarget(c, mattermost.TargetOptions{})
}

// scripted starts a server that answers by f.
func scripted(t *testing.T, f http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s
}

// scriptedTLS is the same with a certificate that nobody trusts.
func scriptedTLS(t *testing.T, f http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(f)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused handshake is the test
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// writePEM writes the server's certificate to a file.
func writePEM(t *testing.T, s *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	require.NoError(t, os.WriteFile(path, block, 0o600))
	return path
}

// answerJSON writes an answer as Mattermost does.
func answerJSON(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Version-Id", "11.6.0.11.6.0.abc.false")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // a client that went away is the test's own doing
}

func change(field, from, to string) plan.Change {
	return plan.Change{Field: plan.Field(field), From: from, To: to}
}

func op(kind plan.OpKind, changes ...plan.Change) plan.Op {
	return plan.Op{Kind: kind, Changes: changes}
}

// create is the op that makes name an account with login service saml.
func create(name string) plan.Op {
	return op(plan.CreateAccount, change("username", "", name), change("email", "", name+"@example.test"),
		change("auth_service", "", "saml"), change("auth_data", "", "id-"+name))
}

func mustApply(t *testing.T, target *mattermost.Target, id string, o plan.Op) identity.Account {
	t.Helper()
	a, err := target.Apply(t.Context(), id, o, mattermost.ApplyOptions{EmailVerified: true})
	require.NoError(t, err)
	return a
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
