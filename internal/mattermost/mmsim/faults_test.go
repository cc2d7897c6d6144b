package mmsim_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

// send goes over a real connection, which only there can be cut. It does not
// follow redirects and uses no connection twice: the transport would repeat a
// request by itself when a used one is cut.
func send(t *testing.T, s *mmsim.Server, method, path, body string) (int, http.Header, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL()+"/api/v4"+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+s.AdminToken())
	c := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := c.Do(req)
	if err != nil {
		return 0, nil, err
	}
	require.NoError(t, res.Body.Close())
	return res.StatusCode, res.Header, nil
}

func person(s *mmsim.Server, name string) mmsim.User {
	return s.AddUser(mmsim.User{Username: name, Email: name + "@example.test", Password: "Passw0rd-ok-1!"})
}

func TestFault_cutBeforeDoesNothing(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	s.Start(t)
	u := person(s, "ann")
	s.Fail(mmsim.Fault{Method: http.MethodPut, Path: "/users/*/patch", CutBefore: true, Count: 1})
	_, _, err := send(t, s, "PUT", "/users/"+u.ID+"/patch", `{"nickname":"a"}`)
	require.Error(t, err)
	now, _ := s.User(u.ID)
	require.Empty(t, now.Nickname)
	require.True(t, s.Calls()[0].Cut)
	require.Zero(t, s.Calls()[0].Status)

	status, _, err := send(t, s, "PUT", "/users/"+u.ID+"/patch", `{"nickname":"a"}`)
	require.NoError(t, err, "the fault was for one request")
	require.Equal(t, 200, status)
}

func TestFault_cutAfterHasDoneIt(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	s.Start(t)
	s.Fail(mmsim.Fault{Method: http.MethodPost, Path: "/users", CutAfter: true})
	_, _, err := send(t, s, "POST", "/users", `{"username":"ann","email":"ann@example.test","password":"Passw0rd-ok-1!"}`)
	require.Error(t, err)
	_, made := s.UserByName("ann")
	require.True(t, made)
	call := s.Calls()[0]
	require.True(t, call.Cut)
	require.Equal(t, 201, call.Status)
}

func TestFault_lostWriteAnswersAsUsual(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	u := person(s, "ann")
	cancel := s.Fail(mmsim.Fault{LostWrite: true})
	got := admin(t, s).want(200, "PUT", "/users/"+u.ID+"/patch", map[string]any{"nickname": "a"})
	require.Equal(t, "a", got["nickname"])
	now, _ := s.User(u.ID)
	require.Empty(t, now.Nickname)
	cancel()
	admin(t, s).want(200, "PUT", "/users/"+u.ID+"/patch", map[string]any{"nickname": "a"})
	now, _ = s.User(u.ID)
	require.Equal(t, "a", now.Nickname)
}

func TestFault_status(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	s.Fail(mmsim.Fault{Status: 429, Count: 1})
	rec := admin(t, s).record("GET", "/users/me", nil)
	require.Equal(t, 429, rec.Code)
	require.Equal(t, "limit exceeded\n", rec.Body.String())
	require.Contains(t, rec.Header().Get("Content-Type"), "text/plain")
	require.Equal(t, "1", rec.Header().Get("Retry-After"))
	require.Empty(t, rec.Header().Get("X-Request-Id"))

	s.Fail(mmsim.Fault{Status: 503, ErrorID: "api.context.server_busy.app_error", Count: 1})
	body := admin(t, s).want(503, "GET", "/users/me", nil)
	require.Equal(t, "api.context.server_busy.app_error", body["id"])
	admin(t, s).want(200, "GET", "/users/me", nil)
}

func TestFault_redirectAndHTML(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	s.Start(t)
	s.Fail(mmsim.Fault{Redirect: "http://elsewhere.test/", Count: 1})
	status, header, err := send(t, s, "GET", "/users/me", "")
	require.NoError(t, err)
	require.Equal(t, 302, status)
	require.Equal(t, "http://elsewhere.test/", header.Get("Location"))

	s.Fail(mmsim.Fault{HTML: true, Count: 1})
	rec := admin(t, s).record("GET", "/users/me", nil)
	require.Equal(t, 200, rec.Code)
	require.Contains(t, rec.Header().Get("Content-Type"), "text/html")
}

func TestFault_latencyEndsWithTheClient(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	url := s.Start(t)
	s.Fail(mmsim.Fault{Latency: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v4/system/ping", nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	if err == nil {
		require.NoError(t, res.Body.Close())
	}
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestFault_matchers(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	c := admin(t, s)
	s.Fail(mmsim.Fault{Regexp: regexp.MustCompile(`^/users/me$`), Skip: 1, Count: 1, Status: 500})
	c.want(200, "GET", "/users/me", nil)
	c.want(500, "GET", "/users/me", nil)
	c.want(200, "GET", "/users/me", nil)

	cancel := s.Fail(mmsim.Fault{Probability: 0.5, Seed: 7, Status: 500})
	failed := 0
	for range 200 {
		if status, _ := c.do("GET", "/users/me", nil); status == 500 {
			failed++
		}
	}
	require.InDelta(t, 100, failed, 40)
	cancel()
	c.want(200, "GET", "/users/me", nil)
	require.Panics(t, func() { s.Fail(mmsim.Fault{Path: "["}) })
}

func TestFault_databaseAway(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	u := person(s, "ann")
	c := admin(t, s)
	c.want(200, "GET", "/users/me", nil) // now the token is known without the database
	uncached := client{t: t, srv: s, token: s.AddToken(u.ID)}
	cancel := s.Fail(mmsim.Fault{DatabaseAway: true})

	for _, tc := range []struct {
		method, path, body string
		status             int
		id                 string
	}{
		{"GET", "/users", "", 500, ""},
		{"GET", "/users/username/ann", "", 500, ""},
		{"GET", "/users/email/ann@example.test", "", 500, "app.user.missing_account.const"},
		{"GET", "/users/me", "", 500, ""},
		{"GET", "/users/" + u.ID, "", 500, ""},
		{"POST", "/users", `{}`, 500, "app.limits.get_app_limits.user_count.store_error"},
		{"PUT", "/users/" + u.ID + "/patch", `{"nickname":"n"}`, 403, "api.context.permissions.app_error"},
		{"PUT", "/users/" + u.ID + "/active", `{"active":false}`, 500, ""},
		{"PUT", "/users/" + u.ID + "/auth", `{"auth_service":"saml","auth_data":"x"}`, 500, ""},
		{"PUT", "/users/" + u.ID + "/roles", `{"roles":"system_user system_admin"}`, 500, ""},
		{"POST", "/users/login", `{"login_id":"ann","password":"Passw0rd-ok-1!"}`, 401, ""},
		{"GET", "/system/ping", "", 200, ""},
		{"GET", "/system/ping?get_server_status=true", "", 500, ""},
	} {
		got := c.want(tc.status, tc.method, tc.path, tc.body)
		if tc.id != "" {
			require.Equal(t, tc.id, got["id"])
		}
	}
	require.Equal(t, "UNHEALTHY", c.want(500, "GET", "/system/ping?get_server_status=true", nil)["database_status"])
	uncached.want(401, "GET", "/users/me", nil)
	cancel()
	uncached.want(200, "GET", "/users/me", nil)
	now, _ := s.User(u.ID)
	require.Equal(t, u, now, "nothing of it was done")
}

func TestFault_usersLocked(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	s.Start(t)
	u := person(s, "ann")
	const hang = 60 * time.Millisecond
	cancel := s.Fail(mmsim.Fault{UsersLocked: hang})
	started := time.Now()
	body := admin(t, s).want(403, "PUT", "/users/"+u.ID+"/patch", map[string]any{"nickname": "a"})
	require.GreaterOrEqual(t, time.Since(started), hang)
	require.Equal(t, "api.context.permissions.app_error", body["id"], "it says permissions and means the table")
	admin(t, s).want(200, "GET", "/users/"+u.ID, nil)
	cancel()
	now, _ := s.User(u.ID)
	require.Empty(t, now.Nickname)
	admin(t, s).want(200, "PUT", "/users/"+u.ID+"/patch", map[string]any{"nickname": "a"})
}

func TestFault_usersLockedEndsWithTheClient(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	url := s.Start(t)
	u := person(s, "ann")
	s.Fail(mmsim.Fault{UsersLocked: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, url+"/api/v4/users/"+u.ID+"/patch", strings.NewReader("{}"))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+s.AdminToken())
	res, err := http.DefaultClient.Do(req)
	if err == nil {
		require.NoError(t, res.Body.Close())
	}
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestFault_cacheLag(t *testing.T) {
	t.Parallel()
	clock := time.UnixMilli(1_790_000_000_000)
	s := mmsim.New(mmsim.Options{Now: func() time.Time { return clock }})
	u := person(s, "ann")
	s.Fail(mmsim.Fault{CacheLag: time.Minute})
	c := admin(t, s)
	clock = clock.Add(time.Second)
	c.want(200, "PUT", "/users/"+u.ID+"/patch", map[string]any{"nickname": "a"})
	clock = clock.Add(30 * time.Second)
	require.Empty(t, c.want(200, "GET", "/users/"+u.ID, nil)["nickname"])
	require.Equal(t, "a", c.want(200, "GET", "/users/username/ann", nil)["nickname"], "look-ups read the database")
	clock = clock.Add(31 * time.Second)
	require.Equal(t, "a", c.want(200, "GET", "/users/"+u.ID, nil)["nickname"])
}

func TestServer_clockOffset(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_790_000_000_000)
	s := mmsim.New(mmsim.Options{Now: func() time.Time { return at }})
	s.SetClockOffset(-24 * time.Hour)
	rec := admin(t, s).record("POST", "/users", map[string]any{
		"username": "ann", "email": "ann@example.test", "password": "Passw0rd-ok-1!",
	})
	require.Equal(t, at.Add(-24*time.Hour).UTC().Format(http.TimeFormat), rec.Header().Get("Date"))
	u, _ := s.UserByName("ann")
	require.Equal(t, at.Add(-24*time.Hour).UnixMilli(), u.CreateAt)
}

func TestServer_restoreState(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	u := person(s, "ann")
	c := admin(t, s)
	before := s.SnapshotState()
	c.want(200, "PUT", "/users/"+u.ID+"/patch", map[string]any{"username": "bea"})
	person(s, "cleo")
	s.RestoreState(before)
	require.Equal(t, []string{"admin", "ann"}, names(c.list("/users")))
	c.want(200, "PUT", "/users/"+u.ID+"/patch", map[string]any{"username": "dora"})
	s.RestoreState(before)
	require.Equal(t, []string{"admin", "ann"}, names(c.list("/users")), "a snapshot is not used up")
}

func TestServer_setBackByADay(t *testing.T) {
	t.Parallel()
	clock := time.UnixMilli(1_790_000_000_000)
	s := mmsim.New(mmsim.Options{Now: func() time.Time { return clock }})
	ann, bea := person(s, "ann"), person(s, "bea")
	c := admin(t, s)
	backup := s.SnapshotState()
	clock = clock.Add(24 * time.Hour)
	c.want(200, "PUT", "/users/"+ann.ID+"/active", map[string]any{"active": false})
	cleo := person(s, "cleo")
	mark := clock.UnixMilli()
	s.RestoreState(backup)

	rec := c.record("GET", "/users/"+ann.ID, nil)
	require.Equal(t, clock.UTC().Format(http.TimeFormat), rec.Header().Get("Date"), "the clock has not gone back with the rows")
	require.Contains(t, rec.Body.String(), `"delete_at":0`)
	ids := []string{ann.ID, bea.ID, cleo.ID}
	require.Empty(t, c.listOf("POST", fmt.Sprintf("/users/ids?since=%d", mark-1), ids), "since hides that anything happened")
	require.Len(t, c.listOf("POST", "/users/ids", ids), 2)
	c.want(404, "GET", "/users/"+cleo.ID, nil)
	c.want(404, "GET", "/users/username/cleo", nil)
	for _, u := range c.listOf("POST", "/users/ids", ids) {
		require.Less(t, u["update_at"], float64(mark))
	}
}

func TestServer_restartKeepsDatabaseAndConfig(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	c := admin(t, s)
	c.want(200, "PUT", "/config/patch", map[string]any{"ServiceSettings": map[string]any{"EnableAPIUserDeletion": true}})
	s.Restart(map[string]string{"MM_SERVICESETTINGS_ENABLEUSERACCESSTOKENS": "false"})
	c.want(401, "GET", "/users/me", nil)
	s.Restart(nil)
	conf := c.want(200, "GET", "/config", nil)
	service, _ := conf["ServiceSettings"].(map[string]any)
	require.Equal(t, true, service["EnableAPIUserDeletion"])
}

func TestServer_rateLimit(t *testing.T) {
	t.Parallel()
	clock := time.UnixMilli(1_790_000_000_000)
	s := mmsim.New(mmsim.Options{
		Now: func() time.Time { return clock }, RateLimit: &mmsim.RateLimit{PerSec: 2, MaxBurst: 5},
	})
	c := client{t: t, srv: s}
	for left := 5; left >= 0; left-- {
		rec := c.record("GET", "/system/ping", nil)
		require.Equal(t, 200, rec.Code)
		require.Equal(t, "6", rec.Header().Get("X-RateLimit-Limit"))
	}
	rec := c.record("GET", "/system/ping", nil)
	require.Equal(t, 429, rec.Code)
	require.Equal(t, "3", rec.Header().Get("X-RateLimit-Reset"))
	clock = clock.Add(1200 * time.Millisecond)
	require.Equal(t, 200, c.record("GET", "/system/ping", nil).Code)
	require.Equal(t, 200, c.record("GET", "/system/ping", nil).Code)
	require.Equal(t, 429, c.record("GET", "/system/ping", nil).Code)
}
