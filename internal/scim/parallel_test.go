package scim_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim"
)

// TestQuirk_X22_http: clients that write one resource at once lose nothing.
func TestQuirk_X22_http(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const clients = 64
	var all sync.WaitGroup
	answers := make([]*reply, 2*clients)
	patch := `{"schemas":["` + patchOp + `"],"Operations":[%s]}`
	for i := range clients {
		all.Go(func() {
			answers[2*i] = send(t, w.h, http.MethodPatch, "/Groups/g1", fmt.Sprintf(patch, fmt.Sprintf(`{"op":"Add","path":"members","value":[{"value":"m%d"}]}`, i)))
		})
		all.Go(func() {
			answers[2*i+1] = send(t, w.h, http.MethodPatch, "/Users/u1", fmt.Sprintf(patch, fmt.Sprintf(`{"op":"Add","path":"emails","value":[{"value":"m%d@example.org"}]}`, i)))
		})
	}
	all.Wait()
	for i, a := range answers {
		a.is([]int{204, 200}[i%2])
	}
	members := w.members("g1")
	emails, _ := w.get("/Users/u1").is(200)["emails"].([]any)
	require.Len(t, members, clients+2)
	require.Len(t, emails, clients+1)
	for i := range clients {
		require.Contains(t, members, fmt.Sprintf("m%d", i))
	}
	require.Equal(t, 2*clients, w.mem.count("Replace"), "nobody had to try twice")
}

// TestChange_retried: what another instance wrote meanwhile is read again.
func TestChange_retried(t *testing.T) {
	t.Parallel()
	meddle := func(w *world, times int) {
		n := 0
		w.mem.before = func(_ context.Context, method string) error {
			if method != "Replace" {
				return nil
			}
			if n++; n <= times {
				w.mem.mu.Lock()
				defer w.mem.mu.Unlock()
				r := w.mem.of["Group"]["g1"]
				r.Version = fmt.Sprintf("meddled%d", n)
				members, _ := r.Attributes["members"].([]any)
				r.Attributes = scim.Object{"displayName": "Harbour Crew", "members": append(slices.Clip(members), scim.Object{"value": fmt.Sprintf("other%d", n)})}
				w.mem.of["Group"]["g1"] = r
			}
			return nil
		}
	}
	add := `{"op":"add","path":"members","value":[{"value":"u3"}]}`
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		meddle(w, 10)
		w.patch("/Groups/g1", add).is(204)
		require.Len(t, w.members("g1"), 13)
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		meddle(w, 1000)
		a := w.patch("/Groups/g1", add)
		a.fails(503, "")
		require.NotEmpty(t, a.header.Get("Retry-After"))
		require.Equal(t, 20, w.mem.count("Replace"))
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		tag := w.get("/Groups/g1").header.Get("ETag")
		meddle(w, 1)
		w.do(http.MethodPatch, "/Groups/g1", `{"schemas":["`+patchOp+`"],"Operations":[`+add+`]}`, "If-Match: "+tag).fails(412, "")
	})
}

// TestChange_waits: who waits for another's write waits no longer than for anything.
func TestChange_waits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.mem.before = func(ctx context.Context, method string) error {
			if method == "Replace" {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() { w.patch("/Users/u1", `{"op":"add","path":"title","value":"x"}`).fails(503, "") })
		}
		all.Wait()
	})
}
