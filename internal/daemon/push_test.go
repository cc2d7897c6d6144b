package daemon_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/pgtest"
	"github.com/mmsync/mmsync/internal/reconcile"
)

// served is a service in this process, where the race detector sees it.
type served struct {
	base, token string
	http        *http.Client
}

func serve(t *testing.T, store string) served {
	t.Helper()
	dir := t.TempDir()
	if store == "" {
		store = "sqlite:" + filepath.Join(dir, "state.db")
	}
	sim := mmsim.New(mmsim.Options{})
	c, err := config.Parse(filepath.Join(dir, "config.yaml"), fmt.Appendf(nil, `version: 1
mattermost: {url: "%s", token: "%s", rate_limit: {per_second: 10000}}
state: {url: "%s"}
sources: [{name: idp, type: scim}]
scim: {listen: "127.0.0.1:0", inline_timeout: 0s, limits: {requests_per_second: 10000, burst: 10000}}
roles: [{role: system_user_manager, source: idp, groups: [helpdesk], grant: allow}]
`, sim.Start(t), sim.AdminToken(), store), nil)
	require.NoError(t, err)
	d, err := daemon.Open(t.Context(), c, daemon.Options{Version: "test"})
	require.NoError(t, err)
	_, token, err := reconcile.CreateToken(t.Context(), d.Store, reconcile.RunOptions{RequestedBy: "test"}, reconcile.NewToken{Source: "idp", Name: "test"})
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Serve(ctx, daemon.ServeOptions{Listener: l}) }()
	pool := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(func() {
		pool.CloseIdleConnections()
		stop()
		require.NoError(t, <-done)
		require.NoError(t, d.Close())
	})
	return served{base: "http://" + l.Addr().String() + "/scim/v2", token: token, http: &http.Client{Transport: pool}}
}

// do sends a request; it may be called from any goroutine.
func (s served) do(t *testing.T, method, path, match string, body any) (status int, etag string, out map[string]any) {
	b, err := json.Marshal(body)
	if err != nil {
		t.Error(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, s.base+path, bytes.NewReader(b))
	if err != nil {
		t.Error(err)
		return 0, "", nil
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Content-Type", "application/scim+json")
	if match != "" {
		r.Header.Set("If-Match", match)
	}
	resp, err := s.http.Do(r)
	if err != nil {
		t.Error(err)
		return 0, "", nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &out); err != nil {
			t.Errorf("%s %s: %v: %q", method, path, err, text)
		}
	}
	return resp.StatusCode, resp.Header.Get("ETag"), out
}

// add adds elements to a list of a resource. With careful set it reads first, and
// begins anew if somebody else was faster.
func (s served) add(t *testing.T, path, attr string, careful bool, elements ...any) {
	body := map[string]any{
		"schemas":    []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
		"Operations": []any{map[string]any{"op": "add", "path": attr, "value": elements}},
	}
	for {
		match := ""
		if careful {
			_, match, _ = s.do(t, http.MethodGet, path+"?attributes=id", "", nil)
		}
		status, _, out := s.do(t, http.MethodPatch, path, match, body)
		switch {
		case status == http.StatusPreconditionFailed && careful:
			continue
		case status/100 != 2:
			t.Errorf("add to %s: %d %v", path, status, out)
		}
		return
	}
}

func TestServe_parallel(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]func(*testing.T) string{
		"sqlite":   func(*testing.T) string { return "" },
		"postgres": func(t *testing.T) string { return pgtest.URL(t) },
	} {
		t.Run(name+"/of 64 clients who change one group and one user at once, none loses anything", func(t *testing.T) {
			t.Parallel()
			const clients, each = 64, 1
			s := serve(t, store(t))
			status, _, user := s.do(t, http.MethodPost, "/Users", "", map[string]any{
				"schemas":  []string{"urn:ietf:params:scim:schemas:core:2.0:User"},
				"userName": "ada@example.test", "emails": []any{map[string]any{"value": "ada@example.test", "primary": true}},
			})
			require.Equal(t, http.StatusCreated, status, user)
			status, _, group := s.do(t, http.MethodPost, "/Groups", "", map[string]any{
				"schemas":     []string{"urn:ietf:params:scim:schemas:core:2.0:Group"},
				"displayName": "Help desk", "externalId": "helpdesk",
			})
			require.Equal(t, http.StatusCreated, status, group)
			u, g := fmt.Sprintf("/Users/%s", user["id"]), fmt.Sprintf("/Groups/%s", group["id"])

			var wg sync.WaitGroup
			for c := range clients {
				wg.Go(func() {
					for i := range each {
						// A few of them look before, which costs each of them many tries.
						s.add(t, g, "members", c%16 == 0, map[string]any{"value": fmt.Sprintf("member-%d-%d", c, i)})
						s.add(t, u, "phoneNumbers", c%16 == 0, map[string]any{"value": fmt.Sprintf("+49 %d %d", c, i), "type": "work"})
					}
				})
			}
			wg.Wait()

			values := func(list any) map[string]bool {
				out := map[string]bool{}
				elements, _ := list.([]any)
				for _, e := range elements {
					o, _ := e.(map[string]any)
					v, _ := o["value"].(string)
					out[v] = true
				}
				require.Len(t, out, len(elements), "nothing is there twice")
				return out
			}
			_, _, group = s.do(t, http.MethodGet, g, "", nil)
			_, _, user = s.do(t, http.MethodGet, u, "", nil)
			members, phones := values(group["members"]), values(user["phoneNumbers"])
			require.Len(t, members, clients*each)
			require.Len(t, phones, clients*each)
			for c := range clients {
				for i := range each {
					require.True(t, members[fmt.Sprintf("member-%d-%d", c, i)])
					require.True(t, phones[fmt.Sprintf("+49 %d %d", c, i)])
				}
			}
		})
	}
}
