package mattermost_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

// made makes something at a simulated server as its administrator, and gives its id.
func made(t *testing.T, s *mmsim.Server, path string, body any) string {
	t.Helper()
	text, err := json.Marshal(body)
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/api/v4"+path, bytes.NewReader(text))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+s.AdminToken())
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, 201, resp.StatusCode)
	var b struct{ ID string }
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&b))
	return b.ID
}

func TestClient_Post(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	c := client(t, s.Start(t), s.AdminToken())
	team := made(t, s, "/teams", map[string]string{"name": "ops", "display_name": "Ops", "type": "O"})
	channel := made(t, s, "/channels", map[string]string{"team_id": team, "name": "identity", "display_name": "I", "type": "P"})
	posts := func() []string {
		var out []string
		for _, call := range s.Calls() {
			if call.Path == "/api/v4/posts" && call.Status == 201 {
				out = append(out, string(call.Body))
			}
		}
		return out
	}
	require.NoError(t, c.Post(t.Context(), "ops/identity", "a *word*"))
	require.NoError(t, c.Post(t.Context(), channel, "by id"))
	require.Equal(t, []string{
		`{"channel_id":"` + channel + `","message":"a *word*"}`, `{"channel_id":"` + channel + `","message":"by id"}`,
	}, posts())

	for name, x := range map[string]struct{ channel, message string }{
		"nothing to say":        {"ops/identity", ""},
		"neither name nor id":   {"identity", "x"},
		"a path that climbs":    {"../users", "x"},
		"another path":          {"ops/identity/members", "x"},
		"a name no channel has": {"ops/Identity!", "x"},
	} {
		err := c.Post(t.Context(), x.channel, x.message)
		require.True(t, mattermost.IsRefused(err), "%s: %v", name, err)
	}
	require.True(t, mattermost.IsNotFound(c.Post(t.Context(), "ops/nowhere", "x")))
	err := c.Post(t.Context(), strings.Repeat("z", 26), "x")
	require.ErrorContains(t, err, "403")
	require.Len(t, posts(), 2)
}

func TestClient_DirectMessage(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	url := s.Start(t)
	ada := s.AddUser(mmsim.User{Username: "ada", Email: "ada@example.test"}).ID
	posts := func() (channels, messages []string) {
		for _, call := range s.Calls() {
			if call.Path == "/api/v4/posts" && call.Status == 201 {
				var b struct {
					Channel string `json:"channel_id"`
					Message string
				}
				require.NoError(t, json.Unmarshal(call.Body, &b))
				channels, messages = append(channels, b.Channel), append(messages, b.Message)
			}
		}
		return channels, messages
	}
	asked := func(path string) (n int) {
		for _, call := range s.Calls() {
			if call.Path == "/api/v4"+path {
				n++
			}
		}
		return n
	}
	c := client(t, url, s.AdminToken())
	require.NoError(t, c.DirectMessage(t.Context(), ada, "one"))
	require.NoError(t, c.DirectMessage(t.Context(), ada, "two"))
	channels, messages := posts()
	require.Equal(t, []string{"one", "two"}, messages)
	require.Equal(t, channels[0], channels[1], "there is one channel between two people")
	require.Equal(t, 1, asked("/users/me"), "whose the token is does not change")

	for name, x := range map[string]struct{ to, message string }{
		"nothing to say":     {ada, ""},
		"no id":              {"ada", "x"},
		"mmsync itself":      {s.AdminID(), "x"},
		"nobody that exists": {strings.Repeat("z", 26), "x"},
	} {
		err := c.DirectMessage(t.Context(), x.to, x.message)
		require.True(t, mattermost.IsRefused(err), "%s: %v", name, err)
	}
	_, messages = posts()
	require.Len(t, messages, 2)
}

// A lost answer to the channel costs nothing: it is the same one the next time. One to the
// message itself leaves open whether it is there.
func TestClient_DirectMessage_lost_answers(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		path  string
		posts int
	}{
		"of the channel": {"/channels/direct", 1},
		"of the message": {"/posts", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := mmsim.New(mmsim.Options{})
			c := client(t, s.Start(t), s.AdminToken())
			ada := s.AddUser(mmsim.User{Username: "ada", Email: "ada@example.test"}).ID
			s.Fail(mmsim.Fault{Path: x.path, CutAfter: true, Count: 1})
			require.ErrorIs(t, c.DirectMessage(t.Context(), ada, "gone"), mattermost.ErrOutcomeUnknown)
			require.NoError(t, c.DirectMessage(t.Context(), ada, "gone"))
			posts, channels := 0, map[string]bool{}
			for _, call := range s.Calls() {
				if call.Path == "/api/v4/posts" {
					posts++
					channels[string(call.Body)] = true
				}
			}
			require.Equal(t, x.posts, posts)
			require.Len(t, channels, 1)
		})
	}
}
