package postgres_test

import (
	"context"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/pgtest"
	"github.com/mmsync/mmsync/internal/state"
	"github.com/mmsync/mmsync/internal/state/postgres"
)

// hears gives a store that listens, and what it hears and loses.
func hears(t *testing.T, stateURL, listenURL string) (s *postgres.Store, woken chan struct{}, lost chan error) {
	t.Helper()
	s, err := postgres.Open(t.Context(), stateURL, postgres.Options{Listen: func() (string, error) { return listenURL, nil }})
	require.NoError(t, err)
	_, err = s.Migrate(t.Context())
	require.NoError(t, err)
	woken, lost = make(chan struct{}, 100), make(chan error, 100)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Listen(ctx, func() { woken <- struct{}{} }, func(err error) { lost <- err }) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-done)
		require.NoError(t, s.Close())
	})
	return s, woken, lost
}

// awake waits for a word, and tells whether one came in time.
func awake(woken chan struct{}, within time.Duration) bool {
	select {
	case <-woken:
		return true
	case <-time.After(within):
		return false
	}
}

func somebody() state.DueMark { return state.DueMark{Key: identity.Key{Source: "idp", Anchor: "1"}} }

// whatIsSaid makes somebody due in each way that there is, and asks for a run.
func whatIsSaid(t *testing.T, s *postgres.Store) map[string]func() {
	return map[string]func(){
		"a mark": func() { require.NoError(t, s.MarkDue(t.Context(), []state.DueMark{somebody()})) },
		"a push": func() {
			_, err := s.WriteResource(t.Context(), state.ResourceWrite{
				Resource: state.Resource{Source: "idp", Type: "User", ID: "1", Body: []byte("{}")}, Due: []state.DueMark{somebody()},
			})
			require.NoError(t, err)
		},
		"a request": func() {
			require.NoError(t, s.FileRequest(t.Context(), state.Request{ID: "r", Policy: "p", Asked: "{}"}, time.Minute))
		},
	}
}

func TestListen(t *testing.T) {
	t.Parallel()
	for name, pooled := range map[string]bool{"direct": false, "the store behind a pooler": true} {
		t.Run(name+"/whoever is due, and a run that is asked for, wakes", func(t *testing.T) {
			t.Parallel()
			direct := pgtest.URL(t)
			at := direct
			if pooled {
				at = pgtest.PooledURL(t)
				u, err := url.Parse(direct)
				require.NoError(t, err)
				p, err := url.Parse(at)
				require.NoError(t, err)
				u.Path, u.RawQuery = p.Path, "" // the same database, past the pooler
				direct = u.String()
			}
			_, woken, lost := hears(t, at, direct)
			require.True(t, awake(woken, time.Minute), "it has begun to listen")
			other, err := postgres.Open(t.Context(), at, postgres.Options{Listen: func() (string, error) { return direct, nil }})
			require.NoError(t, err)
			defer other.Close()
			for what, say := range whatIsSaid(t, other) {
				say()
				require.True(t, awake(woken, time.Minute), what)
			}
			require.Empty(t, lost)
		})
	}
	t.Run("what makes nobody due wakes nobody, nor does a store that is not listened to", func(t *testing.T) {
		t.Parallel()
		if os.Getenv(pgtest.EnvURL) != "" {
			t.Skip("others may say something on a server that was named")
		}
		at := pgtest.PooledURL(t) // a database of its own: whoever is in another one is not heard
		u, err := url.Parse(pgtest.URL(t))
		require.NoError(t, err)
		p, err := url.Parse(at)
		require.NoError(t, err)
		u.Path, u.RawQuery = p.Path, ""
		s, woken, _ := hears(t, u.String(), u.String())
		require.True(t, awake(woken, time.Minute))
		_, err = s.WriteResource(t.Context(), state.ResourceWrite{Resource: state.Resource{Source: "idp", Type: "User", ID: "2", Body: []byte("{}")}})
		require.NoError(t, err)
		for _, say := range whatIsSaid(t, open(t, u.String())) {
			say()
		}
		require.False(t, awake(woken, 300*time.Millisecond))
	})
	t.Run("a connection that breaks is made again, and what was said meanwhile is looked for", func(t *testing.T) {
		t.Parallel()
		at := pgtest.URL(t)
		u, err := url.Parse(at)
		require.NoError(t, err)
		q := u.Query()
		name := "ear_" + q.Get("search_path")
		q.Set("application_name", name)
		u.RawQuery = q.Encode()
		s, woken, lost := hears(t, at, u.String())
		require.True(t, awake(woken, time.Minute))
		for range 2 {
			s.Exec(t, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1", name)
			require.Error(t, <-lost)
			require.True(t, awake(woken, time.Minute))
		}
	})
	t.Run("a database that is not there is tried again and again, and named without its password", func(t *testing.T) {
		t.Parallel()
		_, woken, lost := hears(t, pgtest.URL(t), "postgres://who:secret@127.0.0.1:1/nowhere")
		for range 2 {
			err := <-lost
			require.ErrorContains(t, err, "listen to postgres database nowhere on 127.0.0.1:1")
			require.NotContains(t, err.Error(), "secret")
		}
		require.False(t, awake(woken, 10*time.Millisecond))
	})
}
