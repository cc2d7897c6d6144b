package reconcile_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/state"
)

// A run has read somebody's link and is about to write it, for he has moved in the
// source; a push switches him off meanwhile. What the push noted must stay: without it
// mmsync would not know that it was itself who switched him off.
func TestEngine_Push_staleLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.service(newClient(), wiring{})
	p.push(pushedID(1, nil))
	p.stop()

	read, pushed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	between := network(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/users/usernames") {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			if bytes.Contains(body, []byte("p0003")) {
				once.Do(func() { close(read); <-pushed })
			}
		}
		return http.DefaultTransport.RoundTrip(r)
	})
	moved, joined := pushedID(1, func(id *identity.Identity) { id.Ref = "/moved" }), pushedID(3, nil)
	p.client.people[moved.Key.Anchor], p.client.people[joined.Key.Anchor] = moved, joined
	p = w.service(p.client, wiring{network: between})
	done := make(chan error, 1)
	go func() {
		_, err := p.engine.Sync(p.ctx, reconcile.RunOptions{Trigger: "test", RequestedBy: "test"})
		done <- err
	}()
	<-read
	p.push(pushedID(1, leaver))
	close(pushed)
	require.NoError(t, <-done)

	u, _ := p.account(1)
	require.NotZero(t, u.DeleteAt)
	links, err := p.store.Links(t.Context(), state.LinkFilter{Keys: []identity.Key{moved.Key}})
	require.NoError(t, err)
	require.Len(t, links, 1)
	require.Equal(t, u.DeleteAt, links[0].DeactivatedAt)
	p.push(pushedID(1, nil))
	u, _ = p.account(1)
	require.Zero(t, u.DeleteAt, "who comes back is let in")
}
