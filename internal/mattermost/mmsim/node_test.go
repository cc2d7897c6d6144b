package mmsim_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

func TestNode_memoriesLagOneAnother(t *testing.T) {
	t.Parallel()
	clock := time.UnixMilli(1_790_000_000_000)
	s := mmsim.New(mmsim.Options{Now: func() time.Time { return clock }})
	n := s.Node(time.Minute)
	one, two := admin(t, s), client{t: t, srv: n, token: s.AdminToken()}
	u := person(s, "ann")
	clock = clock.Add(time.Hour)
	nick := func(c client) any { return c.want(200, "GET", "/users/"+u.ID, nil)["nickname"] }

	one.want(200, "PUT", "/users/"+u.ID+"/patch", map[string]any{"nickname": "a"})
	require.Equal(t, "a", nick(one))
	require.Empty(t, nick(two), "the other one remembers")
	require.Empty(t, two.listOf("POST", "/users/ids", []string{u.ID})[0]["nickname"])
	require.Equal(t, "a", two.want(200, "GET", "/users/username/ann", nil)["nickname"], "names are read from the database")
	require.Equal(t, "a", two.want(200, "GET", "/users/email/ann@example.test", nil)["nickname"])

	clock = clock.Add(30 * time.Second)
	two.want(200, "PUT", "/users/"+u.ID+"/patch", map[string]any{"position": "p"})
	require.Equal(t, "a", nick(two), "its own write brings its memory up to date")
	require.Empty(t, one.want(200, "GET", "/users/"+u.ID, nil)["position"], "and leaves the first one behind")
	clock = clock.Add(time.Minute)
	require.Equal(t, "p", one.want(200, "GET", "/users/"+u.ID, nil)["position"])

	made := two.want(201, "POST", "/users", map[string]any{
		"username": "bea", "email": "bea@example.test", "auth_service": "saml", "auth_data": "b",
	})
	id, _ := made["id"].(string)
	one.want(200, "GET", "/users/"+id, nil) // what is in no memory is read from the database
}

func TestNode_hasAnAddressOfItsOwn(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	n := s.Node(time.Second)
	first, second := s.Start(t), n.Start(t)
	require.NotEqual(t, first, second)
	for i, url := range []string{first, second} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/api/v4/users/me", nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+s.AdminToken())
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, 200, res.StatusCode)
		require.Equal(t, i, s.Calls()[i].Node)
	}
	require.NoError(t, n.Close())
	require.NoError(t, n.Close(), "closing twice is fine")
}
