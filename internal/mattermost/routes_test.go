package mattermost_test

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
)

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
		"a switch-off by DELETE":         {"DELETE", s.URL + "/api/v4/users/" + someID, false, true},
		"the same, read-only":            {"DELETE", s.URL + "/api/v4/users/" + someID, true, false},
		"a deletion for good":            {"DELETE", s.URL + "/api/v4/users/" + someID + "?permanent=true", false, false},
		"one that says no":               {"DELETE", s.URL + "/api/v4/users/" + someID + "?permanent=false", false, false},
		"one hidden from Go's parser":    {"DELETE", s.URL + "/api/v4/users/" + someID + "?x;permanent=true", false, false},
		"one in broken escapes":          {"DELETE", s.URL + "/api/v4/users/" + someID + "?permanent%=true", false, false},
		"an empty query on a deletion":   {"DELETE", s.URL + "/api/v4/users/" + someID + "?", false, false},
		"a deletion below an account":    {"DELETE", s.URL + "/api/v4/users/" + someID + "/image", false, false},
		"a deletion of a bot's record":   {"DELETE", s.URL + "/api/v4/bots/" + someID, false, false},
		"a semicolon in a read":          {"GET", s.URL + "/api/v4/users?page=1;active=true", false, false},
		"a full replacement":             {"PUT", s.URL + "/api/v4/users/" + someID, false, false},
		"a password":                     {"PUT", s.URL + "/api/v4/users/" + someID + "/password", false, false},
		"a parameter not in the table":   {"GET", s.URL + "/api/v4/users?active=true", false, false},
		"a parameter twice":              {"GET", s.URL + "/api/v4/users?page=1&page=2", false, false},
		"an id that is none":             {"GET", s.URL + "/api/v4/users/abc", false, false},
		"a path that climbs":             {"GET", s.URL + "/api/v4/users/email/..", false, false},
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
	t.Run("a client that may not set passwords says so", func(t *testing.T) {
		t.Parallel()
		err := client(t, s.URL, secret).SetPassword(t.Context(), someID, "nobody-Kn0ws-1t")
		require.ErrorIs(t, err, mattermost.ErrNotAllowed)
		require.ErrorContains(t, err, "sets a password")
		require.True(t, mattermost.IsRefused(err))
	})
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
		if r.Method == http.MethodGet && r.URL.Path == "/api/v4/teams" { // one team, whose commands are then asked for
			answerJSON(w, 200, `[{"id":"`+someID+`","name":"ops"}]`)
			return
		}
		if r.URL.Path == "/api/v4/config" { // a limit that makes it worth asking how full teams are
			answerJSON(w, 200, `{"TeamSettings":{"MaxUsersPerTeam":50}}`)
			return
		}
		if strings.Contains(r.URL.Path, "/members") && (r.Method != http.MethodGet || strings.HasSuffix(r.URL.Path, "/"+someID)) { // whoever was asked about is in
			answerJSON(w, 200, `{"user_id":"`+someID+`","scheme_admin":true}`)
			return
		}
		if r.Method == http.MethodPost && (strings.HasSuffix(r.URL.Path, "/ids") || strings.HasSuffix(r.URL.Path, "/usernames")) ||
			r.Method == http.MethodGet && slices.ContainsFunc([]string{"/users", "/bots", "/tokens", "/sessions", "/incoming", "/outgoing", "/commands", "/apps", "/fields", "/members", "/channel_members"}, func(end string) bool { return strings.HasSuffix(r.URL.Path, end) }) {
			answerJSON(w, 200, "[]")
			return
		}
		answerJSON(w, 200, user(someID, "ada"))
	})
	c, ctx := client(t, s.URL, secret, func(o *mattermost.Options) { o.Passwords, o.Deletions = true, true }), t.Context()
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
	_, err = c.BotOwners(ctx)
	note(err)
	_, err = c.HasTokens(ctx, someID)
	note(err)
	_, err = c.LastActive(ctx, someID)
	note(err)
	_, _, err = c.Users(ctx, 0, "system_admin")
	note(err)
	_, err = c.Me(ctx)
	note(err)
	_, err = mattermost.NewTarget(c, mattermost.TargetOptions{}).Account(ctx, someID)
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
	note(c.DeactivateByDelete(ctx, otherID))
	note(c.DeleteForGood(ctx, otherID))
	note(c.SetRoles(ctx, someID, identity.Roles{"system_user"}))
	note(c.Promote(ctx, someID))
	note(c.Demote(ctx, someID))
	note(c.SetAuth(ctx, someID, identity.Auth{Service: "saml", Data: "x"}))
	note(c.RevokeSessions(ctx, someID))
	note(c.SetPassword(ctx, someID, "nobody-Kn0ws-1t"))
	_, err = c.CustomFields(ctx)
	note(err)
	_, err = c.Custom(ctx, someID)
	note(err)
	note(c.SetCustom(ctx, someID, map[string]string{otherID: "x"}))
	note(c.SetImage(ctx, someID, []byte("picture")))
	note(c.DisableToken(ctx, someID, otherID))
	note(c.DisableBot(ctx, otherID))
	_, err = mattermost.NewTarget(c, mattermost.TargetOptions{}).Leftovers(ctx, []string{someID})
	note(err)
	note(spaces(ctx, mattermost.NewTarget(c, mattermost.TargetOptions{})))
	note(c.SendPasswordReset(ctx, "a@b"))
	note(c.Post(ctx, "ops/identity", "hello"))
	note(c.DirectMessage(ctx, otherID, "hello"))
	require.NoError(t, errors.Join(errs...))

	for _, rt := range mattermost.Routes() {
		require.NotEmpty(t, rt.Purpose)
		require.True(t, used[rt.String()], "no method uses %s", rt)
		for _, p := range rt.Query {
			require.True(t, used[rt.String()+"?"+p], "no method sends %s to %s", p, rt)
		}
	}
}
