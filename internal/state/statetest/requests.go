package statetest

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/state"
)

func file(t testing.TB, s state.Store, id string, ttl time.Duration) {
	t.Helper()
	require.NoError(t, s.FileRequest(t.Context(), state.Request{ID: id, Policy: "p", Asked: `{"audit":true,"reason":"“why”"}`}, ttl))
}

// waits gives the id of the request that is next; "" if none is.
func waits(t testing.TB, s state.Store, policy string) string {
	t.Helper()
	r, ok, err := s.NextRequest(t.Context(), policy)
	require.NoError(t, err)
	require.Equal(t, ok, r.ID != "")
	return r.ID
}

// take takes a request and tells whether that was possible.
func take(t testing.TB, s state.Store, l state.Lease, id string) bool {
	t.Helper()
	_, ok, err := s.TakeRequest(t.Context(), l, id, "run-"+id)
	require.NoError(t, err)
	return ok
}

func requests(t *testing.T, open Factory) {
	t.Helper()
	open.test(t, "Request/what is asked is read, until it is closed and dropped", requestLife)
	open.test(t, "Request/the oldest of a configuration is next", func(t *testing.T, s state.Store) {
		require.Empty(t, waits(t, s, "p"))
		for _, id := range []string{"c", "a", "b"} {
			file(t, s, id, time.Hour)
		}
		require.NoError(t, s.FileRequest(t.Context(), state.Request{ID: "0", Policy: "other", Asked: "{}"}, time.Hour))
		require.Equal(t, "a", waits(t, s, "p"))
		require.Equal(t, "0", waits(t, s, "other"))
		require.Empty(t, waits(t, s, "P"))
		l := acquire(t, s)
		require.True(t, take(t, s, l, "a"))
		require.Equal(t, "b", waits(t, s, "p"))
	})
	open.test(t, "Request/one that expired, or was taken or dropped, is not taken", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		file(t, s, "short", 50*time.Millisecond)
		require.Eventually(t, func() bool { return waits(t, s, "p") == "" }, time.Minute, 10*time.Millisecond)
		require.False(t, take(t, s, l, "short"))
		_, err := s.RenewRequest(t.Context(), "short", time.Hour)
		require.NoError(t, err)
		require.True(t, take(t, s, l, "short"), "its asker is there again")
		require.False(t, take(t, s, l, "short"))
		file(t, s, "dropped", time.Hour)
		taken, err := s.DropRequest(t.Context(), "dropped")
		require.NoError(t, err)
		require.False(t, taken)
		require.False(t, take(t, s, l, "dropped"))
		require.False(t, take(t, s, l, "never"))
		_, err = s.RenewRequest(t.Context(), "dropped", time.Hour)
		require.ErrorIs(t, err, state.ErrNotFound)
	})
	open.test(t, "Request/of many who take one it is one, and only under the lease", func(t *testing.T, s state.Store) {
		lost, l := succeed(t, s)
		file(t, s, "a", time.Hour)
		for _, old := range []state.Lease{lost, {}} {
			_, ok, err := s.TakeRequest(t.Context(), old, "a", "run")
			require.ErrorIs(t, err, state.ErrFenced)
			require.False(t, ok)
			require.ErrorIs(t, s.ForgetRequests(t.Context(), old, at(0).Add(1000000*time.Hour)), state.ErrFenced)
		}
		var got atomic.Int32
		race(t, func() error {
			_, ok, err := s.TakeRequest(t.Context(), l, "a", "run")
			if ok {
				got.Add(1)
			}
			return err
		})
		require.Equal(t, int32(1), got.Load())
	})
	open.test(t, "Request/only whoever took it closes it, once, and needs no lease by then", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		file(t, s, "a", time.Hour)
		ctx := t.Context()
		require.ErrorIs(t, s.CloseRequest(ctx, "a", 0, "{}"), state.ErrConflict, "it waits")
		require.True(t, take(t, s, l, "a"))
		require.NoError(t, s.ReleaseLease(ctx, l))
		require.ErrorIs(t, s.CloseRequest(ctx, "a", l.Token+1, "{}"), state.ErrConflict)
		require.NoError(t, s.CloseRequest(ctx, "a", l.Token, "{}"))
		require.ErrorIs(t, s.CloseRequest(ctx, "a", l.Token, "{}"), state.ErrConflict)
		require.ErrorIs(t, s.CloseRequest(ctx, "never", l.Token, "{}"), state.ErrNotFound)
	})
	open.test(t, "Request/those nobody asks after are forgotten", func(t *testing.T, s state.Store) {
		l := acquire(t, s)
		file(t, s, "short", time.Millisecond)
		file(t, s, "long", time.Hour)
		now, err := s.Now(t.Context())
		require.NoError(t, err)
		require.NoError(t, s.ForgetRequests(t.Context(), l, now.Add(time.Minute)))
		require.Equal(t, "long", waits(t, s, "p"))
		_, err = s.RenewRequest(t.Context(), "short", time.Hour)
		require.ErrorIs(t, err, state.ErrNotFound)
	})
	open.test(t, "Request/what cannot be kept is refused", func(t *testing.T, s state.Store) {
		for name, spoil := range map[string]func(*state.Request, *time.Duration){
			"no id":     func(r *state.Request, _ *time.Duration) { r.ID = "" },
			"a long id": func(r *state.Request, _ *time.Duration) { r.ID = strings.Repeat("i", state.MaxKeyBytes+1) },
			"no UTF-8":  func(r *state.Request, _ *time.Duration) { r.Asked = "caf\xe9" },
			"no time":   func(_ *state.Request, ttl *time.Duration) { *ttl = 0 },
		} {
			r, ttl := state.Request{ID: "a", Policy: "p", Asked: "{}"}, time.Hour
			spoil(&r, &ttl)
			require.ErrorIs(t, s.FileRequest(t.Context(), r, ttl), state.ErrInvalid, name)
		}
		file(t, s, "a", time.Hour)
		require.ErrorIs(t, s.FileRequest(t.Context(), state.Request{ID: "a"}, time.Hour), state.ErrConflict)
		require.ErrorIs(t, s.CloseRequest(t.Context(), "a", 1, "caf\xe9"), state.ErrInvalid)
	})
}

func requestLife(t *testing.T, s state.Store) {
	ctx := t.Context()
	l := acquire(t, s)
	before, err := s.Now(ctx)
	require.NoError(t, err)
	file(t, s, "a", time.Hour)
	r, ok, err := s.NextRequest(ctx, "p")
	require.NoError(t, err)
	require.True(t, ok)
	require.False(t, r.At.Before(before))
	require.WithinDuration(t, r.At.Add(time.Hour), r.Expires, time.Second)
	want := state.Request{ID: "a", Policy: "p", Asked: `{"audit":true,"reason":"“why”"}`, At: r.At, Expires: r.Expires}
	require.Equal(t, want, r)

	r, err = s.RenewRequest(ctx, "a", 2*time.Hour)
	require.NoError(t, err)
	require.True(t, r.Expires.After(want.Expires))
	want.Expires = r.Expires
	require.Equal(t, want, r)

	r, ok, err = s.TakeRequest(ctx, l, "a", "run1")
	require.NoError(t, err)
	require.True(t, ok)
	want.Token, want.Run = l.Token, "run1"
	require.Equal(t, want, r)
	taken, err := s.DropRequest(ctx, "a")
	require.NoError(t, err)
	require.True(t, taken, "its run is being made")

	outcome := `{"text":"` + strings.Repeat("ä", 1<<20) + `"}`
	require.NoError(t, s.CloseRequest(ctx, "a", l.Token, outcome))
	r, err = s.RenewRequest(ctx, "a", 2*time.Hour)
	require.NoError(t, err)
	require.False(t, r.Closed.Before(before))
	want.Expires, want.Closed, want.Outcome = r.Expires, r.Closed, outcome
	require.Equal(t, want, r)
	taken, err = s.DropRequest(ctx, "a")
	require.NoError(t, err)
	require.False(t, taken)
	_, err = s.RenewRequest(ctx, "a", time.Hour)
	require.ErrorIs(t, err, state.ErrNotFound)
}
