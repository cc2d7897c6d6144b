package notice

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
)

func value(s string) func() (string, error) { return func() (string, error) { return s, nil } }

func sample() Notice {
	return Notice{
		Kind: ApprovalNeeded, Key: "approval_needed/x", Severity: Warn, Text: "@all: changes of <corp> wait.", Next: "Read them.", Command: "mmsync plan",
		Link: "https://sync.example.com", Count: 2, People: []string{"k.lee"}, At: now,
	}
}

// hook answers one request with a status and keeps it.
type hook struct {
	mu     sync.Mutex
	status int
	header http.Header
	body   []byte
	asked  int
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.header, h.asked = r.Header.Clone(), h.asked+1
	h.body, _ = io.ReadAll(r.Body)
	if h.status/100 == 3 {
		w.Header().Set("Location", "/elsewhere")
	}
	w.WriteHeader(h.status)
}

func TestWebhook_Send(t *testing.T) {
	t.Parallel()
	h := &hook{status: 204}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	w := NewWebhook(WebhookOptions{URL: value(s.URL + "/hook?token=canary"), Secret: value("s3cret"), UserAgent: "mmsync/test"})
	require.NoError(t, w.Send(t.Context(), sample()))
	require.Equal(t, "application/json", h.header.Get("Content-Type"))
	require.Equal(t, "mmsync/test", h.header.Get("User-Agent"))
	at := h.header.Get(HeaderTimestamp)
	require.Equal(t, "sha256="+Signature("s3cret", at, h.body), h.header.Get(HeaderSignature))
	require.NotEqual(t, Signature("s3cret", at, append(bytes.Clone(h.body), ' ')), Signature("s3cret", at, h.body))
	var got map[string]any
	require.NoError(t, json.Unmarshal(h.body, &got))
	require.Equal(t, map[string]any{
		"format_version": "1.0", "state": "lasts", "kind": "approval_needed", "key": "approval_needed/x", "severity": "warn", "cause": "@all: changes of <corp> wait.",
		"next": "Read them.", "command": "mmsync plan", "link": "https://sync.example.com", "count": 2.0, "at": "2026-03-04T05:06:07Z",
		"text": "mmsync warn: approval_needed\n@" + blank + "all: changes of ‹corp› wait.\nRead them.\n`mmsync plan`\nhttps://sync.example.com",
	}, got)
	require.NotContains(t, string(h.body), "k.lee", "nobody's name leaves by a webhook")

	over := sample()
	over.Over = true
	require.NoError(t, w.Send(t.Context(), over))
	got = nil
	require.NoError(t, json.Unmarshal(h.body, &got))
	require.Equal(t, "over", got["state"])
	require.NotContains(t, got, "command")

	unsigned := NewWebhook(WebhookOptions{URL: value(s.URL)})
	require.NoError(t, unsigned.Send(t.Context(), sample()))
	require.Empty(t, h.header.Get(HeaderSignature))
}

// The vector was computed with: printf '1700000000.{}' | openssl dgst -sha256 -hmac key.
func TestSignature(t *testing.T) {
	t.Parallel()
	require.Equal(t, "9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae", Signature("key", "1700000000", []byte("{}")))
}

func TestWebhook_refuses(t *testing.T) {
	t.Parallel()
	h := &hook{status: 500}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	const canary = "canary-4711"
	w := NewWebhook(WebhookOptions{URL: value(s.URL + "/" + canary)})
	require.ErrorContains(t, w.Send(t.Context(), sample()), "answered 500")
	h.status = 302
	require.ErrorContains(t, w.Send(t.Context(), sample()), "redirect")
	require.Equal(t, 2, h.asked, "it is not followed")
	s.Close()
	for name, address := range map[string]string{
		"nobody there":   s.URL + "/" + canary,
		"plain http":     "http://hooks.example.com/" + canary,
		"another scheme": "ftp://hooks.example.com/" + canary,
		"no address":     "%" + canary,
	} {
		err := NewWebhook(WebhookOptions{URL: value(address)}).Send(t.Context(), sample())
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), canary, name)
	}
	lost := errors.New("no such file")
	err := NewWebhook(WebhookOptions{URL: func() (string, error) { return "", lost }}).Send(t.Context(), sample())
	require.ErrorIs(t, err, lost)
	err = NewWebhook(WebhookOptions{URL: value("http://127.0.0.1:1"), Secret: func() (string, error) { return "", lost }}).Send(t.Context(), sample())
	require.ErrorIs(t, err, lost)
}

// channel makes a team and a channel at a simulated server.
func channel(t *testing.T, s *mmsim.Server) {
	t.Helper()
	made := func(path string, body map[string]string) string {
		text, err := json.Marshal(body)
		require.NoError(t, err)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/api/v4"+path, bytes.NewReader(text))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+s.AdminToken())
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		var b struct{ ID string }
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&b))
		return b.ID
	}
	team := made("/teams", map[string]string{"name": "ops", "display_name": "Ops", "type": "O"})
	made("/channels", map[string]string{"team_id": team, "name": "identity", "display_name": "Identity", "type": "P"})
}

func TestChannel_Send(t *testing.T) {
	t.Parallel()
	s := mmsim.New(mmsim.Options{})
	c, err := mattermost.New(mattermost.Options{BaseURL: s.Start(t), Token: value(s.AdminToken()), RetryWait: time.Millisecond, ProxyURL: "direct"})
	require.NoError(t, err)
	t.Cleanup(c.CloseIdle)
	channel(t, s)
	require.NoError(t, (&Channel{Poster: c, Name: "ops/identity"}).Send(t.Context(), sample()))
	calls := s.Calls()
	var post struct{ Message string }
	require.NoError(t, json.Unmarshal(calls[len(calls)-1].Body, &post))
	require.Equal(t, "mmsync warn: approval_needed\n@"+blank+"all: changes of ‹corp› wait.\nAmong them: `k.lee`\nRead them.\n`mmsync plan`\nhttps://sync.example.com", post.Message)
	require.ErrorContains(t, (&Channel{Poster: c, Name: "ops/nowhere"}).Send(t.Context(), sample()), "post the notice to channel ops/nowhere")
	require.NotContains(t, post.Message, "@all")
}
