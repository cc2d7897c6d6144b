package mmsim_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

func TestCalls_recorded(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	u := person(s, "ann")
	c := admin(t, s)
	c.want(200, "PUT", "/users/"+u.ID+"/patch", map[string]any{"nickname": "a"})
	c.list("/users?per_page=5")
	client{t: t, srv: s}.want(401, "GET", "/users/me", nil)
	calls := s.Calls()
	require.Len(t, calls, 3)
	require.Equal(t, "/api/v4/users/"+u.ID+"/patch", calls[0].Path)
	require.JSONEq(t, `{"nickname":"a"}`, string(calls[0].Body))
	require.Equal(t, s.AdminID(), calls[0].As)
	require.Equal(t, "per_page=5", calls[1].RawQuery)
	require.Equal(t, 401, calls[2].Status)
	require.Equal(t, []int{1, 2, 3}, []int{calls[0].Seq, calls[1].Seq, calls[2].Seq})
	require.Len(t, s.Writes(), 1)
	s.ResetCalls()
	require.Empty(t, s.Calls())
}

func TestCalls_areBounded(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{MaxCalls: 3, MaxCallBody: 10})
	c := admin(t, s)
	for range 5 {
		c.do("POST", "/users/ids", `["`+strings.Repeat("z", 26)+`"]`)
	}
	calls := s.Calls()
	require.Len(t, calls, 3)
	require.Equal(t, 3, calls[0].Seq)
	require.Equal(t, 5, calls[2].Seq)
	require.Len(t, calls[0].Body, 10)

	off := mmsim.New(mmsim.Options{MaxCalls: -1})
	admin(t, off).want(200, "GET", "/users/me", nil)
	require.Empty(t, off.Calls())
}

func TestCalls_hookSeesTheDecidedAnswer(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	u := person(s, "ann")
	var seen []mmsim.Call
	s.OnCall(func(c mmsim.Call) {
		now, _ := s.User(u.ID)
		require.False(t, now.Active(), "it runs after the change and may use the server")
		seen = append(seen, c)
	})
	admin(t, s).want(200, "DELETE", "/users/"+u.ID, nil)
	require.Len(t, seen, 1)
	require.Equal(t, 200, seen[0].Status)
	s.OnCall(nil)
	admin(t, s).want(200, "GET", "/users/me", nil)
	require.Len(t, seen, 1)
}

func TestCall_IsWrite(t *testing.T) {
	t.Parallel()
	for call, want := range map[string]bool{
		"GET /users": false, "POST /users": true, "POST /users/ids": false, "POST /users/usernames": false,
		"POST /users/search": false, "POST /users/login": false, "POST /users/logout": false,
		"PUT /users/x/patch": true, "DELETE /users/x": true, "POST /users/x/sessions/revoke/all": true,
		"POST /teams/x/members": true, "POST /teams/x/members/ids": false, "POST /roles/names": false,
		"PUT /config/patch": true, "POST /caches/invalidate": false,
	} {
		method, path, _ := strings.Cut(call, " ")
		require.Equal(t, want, mmsim.Call{Method: method, Path: "/api/v4" + path}.IsWrite(), call)
	}
}
