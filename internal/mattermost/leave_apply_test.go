package mattermost_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

func TestTarget_Apply_context(t *testing.T) {
	t.Parallel()
	off := op(plan.SetActive, change("active", "true", "false"))
	leavingDuring := func(s *mmsim.Server, path string) func(context.Context) context.Context {
		return func(ctx context.Context) context.Context {
			ctx, cancel := context.WithCancel(ctx)
			s.Fail(mmsim.Fault{Path: path, Match: func(*http.Request) bool { cancel(); return true }, Latency: 20 * time.Millisecond})
			return ctx
		}
	}
	t.Run("a lost lease during the pause after 429 leaves the leaver out", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		a := mustApply(t, target, "", create("ada"))
		mustApply(t, target, a.ID, off)
		s.ResetCalls()
		ctx, cancel := context.WithCancel(t.Context())
		s.Fail(mmsim.Fault{Path: "/users/*/active", Match: func(*http.Request) bool { cancel(); return true }, Status: 429, RetryAfter: 60, Count: 1})
		_, err := target.Apply(ctx, a.ID, op(plan.SetActive, change("active", "false", "true")), mattermost.ApplyOptions{})
		requireUnsent(t, err, context.Canceled)
		require.Len(t, s.Writes(), 1)
		u, _ := s.User(a.ID)
		require.NotZero(t, u.DeleteAt)
	})
	for name, c := range map[string]struct {
		path string
		op   plan.Op
	}{
		"deactivation": {"/users/*/active", off},
		"roles":        {"/users/*/roles", op(plan.SetRoles, change("roles", "system_user", "system_admin system_user"))},
		"login":        {"/users/*/auth", op(plan.SetAuth, change("auth_service", "saml", "openid"), change("auth_data", "id-ada", "sub"))},
		"sessions":     {"/users/*/sessions/revoke/all", op(plan.RevokeSessions)},
		"profile":      {"/users/*/patch", op(plan.PatchProfile, change("nickname", "", "Ada"))},
	} {
		t.Run("in flight, it is ended and read back: "+name, func(t *testing.T) {
			t.Parallel()
			s, target := simulated(t, mmsim.Options{})
			a := mustApply(t, target, "", create("ada"))
			ctx := leavingDuring(s, c.path)(t.Context())
			got, err := target.Apply(ctx, a.ID, c.op, mattermost.ApplyOptions{})
			require.NoError(t, err)
			require.Error(t, ctx.Err())
			require.Equal(t, a.ID, got.ID)
		})
	}
	t.Run("a creation whose answer is lost is looked for", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		require.NoError(t, target.Healthy(t.Context()))
		ctx, cancel := context.WithCancel(t.Context())
		s.Fail(mmsim.Fault{Method: http.MethodPost, Path: "/users", Match: func(*http.Request) bool { cancel(); return true }, CutAfter: true})
		a, err := target.Apply(ctx, "", create("ada"), mattermost.ApplyOptions{})
		require.NoError(t, err)
		require.Equal(t, "ada", a.Username)
	})
	t.Run("a courtesy is a write of its own and does not start any more", func(t *testing.T) {
		t.Parallel()
		s, target := simulated(t, mmsim.Options{})
		ctx := leavingDuring(s, "/users")(t.Context())
		o := op(plan.CreateAccount, change("username", "", "bob"), change("email", "", "bob@example.test"))
		a, err := target.Apply(ctx, "", o, mattermost.ApplyOptions{Welcome: mattermost.WelcomeResetLink})
		var step *mattermost.StepError
		require.ErrorAs(t, err, &step)
		require.ErrorContains(t, err, "not sent")
		require.Equal(t, "bob", a.Username)
		require.Len(t, s.Writes(), 1)
	})
	t.Run("settling goes on, and has its own end", func(t *testing.T) {
		t.Parallel()
		for name, c := range map[string]struct {
			read func(r *http.Request) (*http.Response, error)
			want any
			most time.Duration
		}{
			"the change never shows":     {func(*http.Request) (*http.Response, error) { return reply(200, user(someID, "ada")) }, new(*mattermost.MismatchError), 61 * time.Second},
			"the server is silent":       {func(r *http.Request) (*http.Response, error) { return after(r, time.Hour, done) }, new(*mattermost.UnverifiedError), 121 * time.Second},
			"the server has no time":     {func(*http.Request) (*http.Response, error) { return reply(429, "", "Retry-After", "60") }, new(*mattermost.UnverifiedError), 121 * time.Second},
			"the server is not reliable": {func(*http.Request) (*http.Response, error) { return reply(502, "") }, new(*mattermost.UnverifiedError), time.Second},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					w := &wire{answer: func(n int32, r *http.Request) (*http.Response, error) {
						if n == 1 {
							cancel()
							return done()
						}
						return c.read(r)
					}}
					started := time.Now()
					target := mattermost.NewTarget(wired(t, w), mattermost.TargetOptions{SettleFor: time.Minute})
					_, err := target.Apply(ctx, someID, off, mattermost.ApplyOptions{})
					require.ErrorAs(t, err, c.want)
					require.LessOrEqual(t, time.Since(started), c.most)
					require.Greater(t, w.asked.Load(), int32(1))
				})
			})
		}
	})
}
