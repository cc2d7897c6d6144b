package mattermost_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// calling changes what a simulated server calls itself: its X-Version-Id and the
// version in config/client; "" takes it away.
type calling struct {
	next           http.RoundTripper
	header, config string
}

func (v calling) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := v.next.RoundTrip(r)
	if err != nil {
		return resp, err
	}
	resp.Header.Del("X-Version-Id")
	if v.header != "" {
		resp.Header.Set("X-Version-Id", v.header)
	}
	if !strings.HasSuffix(r.URL.Path, "/config/client") {
		return resp, nil
	}
	conf := map[string]string{}
	err = json.NewDecoder(resp.Body).Decode(&conf)
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	delete(conf, "Version")
	if v.config != "" {
		conf["Version"] = v.config
	}
	body, err := json.Marshal(conf)
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return resp, err
}

// callingItself is simulated, with a server that calls itself so.
func callingItself(t *testing.T, header, config string, o mmsim.Options) (*mmsim.Server, *mattermost.Target) {
	t.Helper()
	s := mmsim.New(o)
	c := client(t, s.Start(t), s.AdminToken(), func(o *mattermost.Options) {
		o.HTTPTransport = calling{http.DefaultTransport, header, config}
	})
	return s, mattermost.NewTarget(c, mattermost.TargetOptions{})
}

const (
	trying   = "the first call of each kind is read back, and a kind that does not do what it should is stopped"
	fallback = "the server's X-Version-Id is missing or cannot be read, so that its version is taken from config/client (11.6.0); " +
		"does a proxy remove or change the header?"
	nameless = "the server tells its version neither in X-Version-Id nor in config/client, so that mmsync assumes the least: " + trying
)

func TestTarget_Facts_version(t *testing.T) {
	t.Parallel()
	old := mmsim.Options{Profile: mmsim.Profile538}
	for name, c := range map[string]struct {
		header, config string
		o              mmsim.Options
		version        string
		locked, shown  bool
		announced      string
	}{
		"the oldest":                           {"5.26.0.x.y.false", "5.26.0", old, "5.26.0", false, false, ""},
		"the last that leaves ldap alone":      {"10.1.9.x.y.true", "10.1.9", old, "10.1.9", false, false, ""},
		"the first that keeps ldap to itself":  {"10.2.0.x.y.true", "10.2.0", old, "10.2.0", true, false, ""},
		"auth data is seen, not concluded":     {"10.11.0.x.y.true", "10.11.0", mmsim.Options{}, "10.11.0", true, true, ""},
		"hidden auth data, too":                {"11.3.0.x.y.true", "11.3.0", old, "11.3.0", true, false, ""},
		"the newest recorded":                  {"11.6.4.x.y.false", "11.6.4", mmsim.Options{}, "11.6.4", true, true, ""},
		"a newer one is announced":             {"11.9.1.x.y.false", "11.9.1", mmsim.Options{}, "11.9.1", true, true, "the server is 11.9, newer than the newest one mmsync was held to (11.6): " + trying},
		"a major nobody knows, too":            {"12.0.0.x.y.false", "12.0.0", mmsim.Options{}, "12.0.0", true, true, "the server is 12.0, newer than the newest one mmsync was held to (11.6): " + trying},
		"the header counts":                    {"11.6.0.x.y.false", "9.0.0", mmsim.Options{}, "11.6.0", true, true, ""},
		"no header: config/client":             {"", "11.6.0", mmsim.Options{}, "11.6.0", true, true, fallback},
		"a garbled header: config/client":      {"dev-build", "11.6.0", mmsim.Options{}, "11.6.0", true, true, fallback},
		"a header of noughts: config/client":   {"0.0.0.x.y.true", "11.6.0", mmsim.Options{}, "11.6.0", true, true, fallback},
		"neither: auth data is shown":          {"", "", mmsim.Options{}, "unknown", true, true, nameless},
		"neither: no auth data, and no limits": {"x.y", "dev", old, "unknown", false, false, nameless},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, target := callingItself(t, c.header, c.config, c.o)
			require.Empty(t, target.Announce(), "nothing is known yet")
			f, err := target.Facts(t.Context())
			require.NoError(t, err)
			require.Equal(t, c.version, f.Version)
			require.Equal(t, c.locked, f.LDAPLocked)
			require.Equal(t, c.shown, f.AuthDataVisible)
			require.Equal(t, c.announced, target.Announce())
		})
	}
	t.Run("no version, no auth data, but limits: ldap is taken for locked", func(t *testing.T) {
		t.Parallel()
		s, target := callingItself(t, "", "", old)
		_, err := target.Facts(t.Context())
		require.NoError(t, err)
		require.True(t, mattermost.LocksLDAP(target, true), "it may be 9.5, and it may be 10.11")
		require.False(t, mattermost.LocksLDAP(target, false), "it is older than 9.5")
		s.Fail(mmsim.Fault{Path: "/limits/server", Status: 403, ErrorID: "api.context.permissions.app_error"})
		_, err = target.Facts(t.Context())
		require.Error(t, err, "a limit that cannot be read is not no limit")
	})
	t.Run("below the oldest it fails with one sentence, and doctor says the same", func(t *testing.T) {
		t.Parallel()
		s, target := callingItself(t, "5.25.7.x.y.false", "5.25.7", old)
		const sentence = "the server is Mattermost 5.25.7, older than the oldest one mmsync works with (5.26); upgrade the server"
		_, err := target.Facts(t.Context())
		require.EqualError(t, err, sentence)
		require.True(t, mattermost.IsRefused(err))
		list := target.Check(t.Context())
		last := list[len(list)-1]
		require.Equal(t, identity.LevelFail, last.Level)
		require.Equal(t, sentence, last.Text)
		require.NotEmpty(t, last.Mend)
		require.Empty(t, s.Writes())
	})
	t.Run("doctor announces", func(t *testing.T) {
		t.Parallel()
		for header, want := range map[string]string{"11.9.0.x.y.false": "newer than the newest one", "": "is taken from config/client"} {
			_, target := callingItself(t, header, "11.6.0", mmsim.Options{})
			text := show(target.Check(t.Context()))
			require.Contains(t, text, "warn  version: ")
			require.Contains(t, text, want)
		}
		_, target := callingItself(t, "", "", mmsim.Options{})
		require.Contains(t, show(target.Check(t.Context())), nameless)
	})
}

func TestTarget_Apply_untriedRelease(t *testing.T) {
	t.Parallel()
	patch := func(to string) plan.Op { return op(plan.PatchProfile, change("nickname", "", to)) }
	newer := func(t *testing.T) (*mmsim.Server, *mattermost.Target) {
		t.Helper()
		s, target := callingItself(t, "11.9.0.x.y.false", "11.9.0", mmsim.Options{})
		_, err := target.Facts(t.Context())
		require.NoError(t, err)
		return s, target
	}
	t.Run("the first call of a kind is read back, the next is not", func(t *testing.T) {
		t.Parallel()
		s, target := newer(t)
		a := mustApply(t, target, "", create("ada"))
		s.ResetCalls()
		mustApply(t, target, a.ID, patch("x"))
		require.Len(t, s.Calls(), 2)
		mustApply(t, target, a.ID, patch("y"))
		require.Len(t, s.Calls(), 3)
	})
	t.Run("a success that is none stops the kind, and no other", func(t *testing.T) {
		t.Parallel()
		s, target := newer(t)
		a := mustApply(t, target, "", create("ada"))
		cancel := s.Fail(mmsim.Fault{Path: "/users/*/patch", LostWrite: true})
		_, err := target.Apply(t.Context(), a.ID, patch("x"), mattermost.ApplyOptions{})
		var m *mattermost.MismatchError
		require.ErrorAs(t, err, &m, "the answer to the patch looks well, the account does not")
		require.Equal(t, "nickname", m.Field)
		cancel()
		s.ResetCalls()
		_, err = target.Apply(t.Context(), a.ID, patch("x"), mattermost.ApplyOptions{})
		var stopped *mattermost.StoppedError
		require.ErrorAs(t, err, &stopped)
		require.True(t, mattermost.IsRefused(err))
		require.NotErrorIs(t, err, mattermost.ErrOutcomeUnknown)
		require.ErrorContains(t, err, "patch_profile is stopped on this server, whose release (11.9.0) mmsync was not held to")
		require.Empty(t, s.Calls(), "nothing is sent any more")
		mustApply(t, target, a.ID, op(plan.SetActive, change("active", "true", "false")))
	})
	t.Run("a refusal proves nothing either way", func(t *testing.T) {
		t.Parallel()
		s, target := newer(t)
		a := mustApply(t, target, "", create("ada"))
		_, err := target.Apply(t.Context(), a.ID, op(plan.PatchProfile, change("username", "ada", "bob")), mattermost.ApplyOptions{})
		require.True(t, mattermost.IsAttributeLocked(err), "%v", err)
		s.ResetCalls()
		mustApply(t, target, a.ID, patch("x"))
		require.Len(t, s.Calls(), 2, "this is the first that was done")
	})
	t.Run("every kind passes its trial on a server that works", func(t *testing.T) {
		t.Parallel()
		_, target := newer(t)
		pw := mustApply(t, target, "", op(plan.CreateAccount, change("username", "", "bob"), change("email", "", "bob@example.test"), change("locale", "", "de"),
			change("roles", "", "system_user"), change("active", "", "true")))
		for _, o := range []plan.Op{
			patch("x"),
			op(plan.SetRoles, change("roles", "system_user", "system_admin system_user")),
			op(plan.SetAuth, change("auth_service", "", "saml"), change("auth_data", "", "d")),
			op(plan.RevokeSessions, change("active", "true", "false")),
			op(plan.SetActive, change("active", "true", "false")),
			op(plan.SetActive, change("active", "false", "true")),
			byDelete(),
		} {
			mustApply(t, target, pw.ID, o)
		}
	})
	t.Run("an account that cannot be read back proves nothing, and is done all the same", func(t *testing.T) {
		t.Parallel()
		s, target := newer(t)
		cancel := s.Fail(mmsim.Fault{Method: http.MethodGet, Path: "/users/*", Status: 404, ErrorID: "app.user.missing_account.const"})
		a := mustApply(t, target, "", create("ada"))
		cancel()
		s.ResetCalls()
		mustApply(t, target, "", create("bob"))
		require.Len(t, s.Calls(), 2, "so the next is read back")
		mustApply(t, target, a.ID, patch("x"))
	})
	t.Run("the others wait for the first", func(t *testing.T) {
		t.Parallel()
		s, target := newer(t)
		a, b := mustApply(t, target, "", create("ada")), mustApply(t, target, "", create("bob"))
		s.Fail(mmsim.Fault{Path: "/users/*/patch", LostWrite: true, Count: 1})
		s.ResetCalls()
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() {
				_, errs[i] = target.Apply(t.Context(), []string{a.ID, b.ID}[i%2], patch("x"), mattermost.ApplyOptions{})
			})
		}
		wg.Wait()
		require.Len(t, s.Writes(), 1, "one was enough to see it")
		for _, err := range errs {
			require.Error(t, err)
		}
	})
}
