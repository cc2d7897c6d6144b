package mattermost_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
)

// wire is a network in virtual time. It gives each request its number, from 1.
type wire struct {
	asked  atomic.Int32
	answer func(n int32, r *http.Request) (*http.Response, error)
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) { return w.answer(w.asked.Add(1), r) }

func reply(status int, body string, header ...string) (*http.Response, error) {
	h := http.Header{"Content-Type": {"application/json"}, "X-Version-Id": {"11.6.0.11.6.0.abc.false"}}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
}

// after answers when d has passed, unless the request is given up before.
func after(r *http.Request, d time.Duration, f func() (*http.Response, error)) (*http.Response, error) {
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case <-time.After(d):
		return f()
	}
}

func done() (*http.Response, error) { return reply(200, `{"status":"OK"}`) }

// wired makes a client of a network in virtual time.
func wired(t *testing.T, w *wire, change ...func(*mattermost.Options)) *mattermost.Client {
	t.Helper()
	return client(t, "https://chat.example.test", secret, append(change, func(o *mattermost.Options) { o.HTTPTransport = w })...)
}

func requireUnsent(t *testing.T, err error, cause error) {
	t.Helper()
	var call *mattermost.CallError
	require.ErrorAs(t, err, &call)
	require.False(t, call.Sent)
	require.ErrorIs(t, err, cause)
	require.ErrorContains(t, err, "not sent")
	require.NotErrorIs(t, err, mattermost.ErrOutcomeUnknown)
	require.True(t, mattermost.IsTransient(err))
}

func TestClient_write_untilItLeavesItIsItsCallers(t *testing.T) {
	t.Parallel()
	t.Run("a pause after 429 that outlasts the caller sends nothing more", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := &wire{answer: func(n int32, _ *http.Request) (*http.Response, error) {
				if n == 1 {
					return reply(429, "", "Retry-After", "60")
				}
				return done()
			}}
			c := wired(t, w)
			started := time.Now()
			err := c.SetActive(within(t, 30*time.Second), someID, true)
			requireUnsent(t, err, context.DeadlineExceeded)
			require.EqualError(t, err, "PUT /api/v4/users/"+someID+"/active: not sent again: context deadline exceeded; the try before: 429 too many requests")
			require.Equal(t, 30*time.Second, time.Since(started))
			time.Sleep(10 * time.Minute)
			require.EqualValues(t, 1, w.asked.Load())
		})
	})
	t.Run("a pause after 429 that ends in time is followed by the repeat", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := &wire{answer: func(n int32, _ *http.Request) (*http.Response, error) {
				if n == 1 {
					return reply(429, "", "Retry-After", "10")
				}
				return done()
			}}
			require.NoError(t, wired(t, w).SetActive(within(t, 30*time.Second), someID, true))
			require.EqualValues(t, 2, w.asked.Load())
		})
	})
	t.Run("a caller that leaves between a 429 and its repeat", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			w := &wire{answer: func(int32, *http.Request) (*http.Response, error) {
				cancel(errors.New("the lease is lost"))
				return reply(429, "", "Retry-After", "1")
			}}
			err := wired(t, w).SetActive(ctx, someID, true)
			requireUnsent(t, err, context.Canceled)
			require.ErrorContains(t, err, "the lease is lost", "why is told")
			require.EqualValues(t, 1, w.asked.Load())
		})
	})
	t.Run("no connection, and a caller that leaves before the repeat", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		c := client(t, "http://127.0.0.1:1", secret, func(o *mattermost.Options) {
			o.RetryWait = time.Hour
			o.HTTPTransport = &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				defer time.AfterFunc(2*time.Second, cancel) // once the refusal has been heard
				return (&net.Dialer{}).DialContext(ctx, network, address)
			}}
		})
		err := c.SetActive(ctx, someID, true)
		requireUnsent(t, err, context.Canceled)
		require.ErrorContains(t, err, "connection refused")
	})
	t.Run("waiting for the rate", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := &wire{answer: func(int32, *http.Request) (*http.Response, error) { return done() }}
			c := wired(t, w, func(o *mattermost.Options) { o.RatePerSecond = 0.01 })
			err := c.RevokeSessions(within(t, 10*time.Second), someID)
			requireUnsent(t, err, context.DeadlineExceeded)
			time.Sleep(time.Hour)
			require.Zero(t, w.asked.Load())
		})
	})
	t.Run("waiting for somebody else's 429 to pass", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := &wire{answer: func(int32, *http.Request) (*http.Response, error) { return reply(429, "", "Retry-After", "60") }}
			c := wired(t, w)
			_, err := c.UserByID(within(t, time.Second), otherID)
			require.Error(t, err)
			requireUnsent(t, c.SetActive(within(t, 10*time.Second), someID, false), context.DeadlineExceeded)
			require.EqualValues(t, 1, w.asked.Load())
		})
	})
	t.Run("waiting for a place, or for the account", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := &wire{answer: func(_ int32, r *http.Request) (*http.Response, error) { return after(r, 20*time.Second, done) }}
			c := wired(t, w, func(o *mattermost.Options) { o.MaxInFlight = 1 })
			var wg sync.WaitGroup
			wg.Go(func() { _ = c.RevokeSessions(t.Context(), someID) })
			synctest.Wait()
			time.Sleep(time.Second)
			for _, id := range []string{someID, otherID} {
				requireUnsent(t, c.SetActive(within(t, time.Second), id, true), context.DeadlineExceeded)
			}
			wg.Wait()
			require.EqualValues(t, 1, w.asked.Load())
		})
	})
	t.Run("a denial is not asked about by writing again", func(t *testing.T) {
		t.Parallel()
		for name, at := range map[string]int32{"before the ping": 1, "after the ping": 2} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					w := &wire{answer: func(n int32, r *http.Request) (*http.Response, error) {
						if n == at {
							cancel()
						}
						if strings.HasSuffix(r.URL.Path, "/ping") {
							return reply(200, healthy)
						}
						return reply(401, `{"id":"api.context.session_expired.app_error"}`)
					}}
					requireUnsent(t, wired(t, w).SetActive(ctx, someID, true), context.Canceled)
					require.Equal(t, at, w.asked.Load())
				})
			})
		}
	})
}

// While something holds the table of accounts, the server waits for its query
// timeout of 30 s, says 403, and is well when it is asked.
func TestClient_write_aSlowDenialIsNone(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int{"403": 403, "401": 401} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var patched atomic.Int32
				c := wired(t, &wire{answer: func(_ int32, r *http.Request) (*http.Response, error) {
					if r.Method == http.MethodGet {
						return reply(200, healthy)
					}
					patched.Add(1)
					return after(r, 30*time.Second, func() (*http.Response, error) { return reply(status, `{"id":"api.context.permissions.app_error"}`) })
				}})
				_, err := c.Patch(t.Context(), someID, identity.Profile{Nickname: "x"}, identity.AttributesOf(identity.Nickname))
				require.True(t, mattermost.IsTransient(err), "%v", err)
				require.False(t, mattermost.IsRefused(err) || mattermost.IsForbidden(err) || mattermost.IsUnauthorized(err), "%v", err)
				require.NotErrorIs(t, err, mattermost.ErrOutcomeUnknown)
				require.EqualValues(t, 1, patched.Load(), "it is not made to wait again")
			})
		})
	}
}

func TestClient_write_onceItLeftItIsNotCut(t *testing.T) {
	t.Parallel()
	t.Run("the answer is waited for and used", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := &wire{answer: func(_ int32, r *http.Request) (*http.Response, error) { return after(r, 40*time.Second, done) }}
			started := time.Now()
			require.NoError(t, wired(t, w).SetActive(within(t, time.Second), someID, false))
			require.GreaterOrEqual(t, time.Since(started), 40*time.Second)
			require.EqualValues(t, 1, w.asked.Load())
		})
	})
	t.Run("no longer than the client's own time, and then nobody knows", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := &wire{answer: func(_ int32, r *http.Request) (*http.Response, error) { return after(r, time.Hour, done) }}
			started := time.Now()
			err := wired(t, w).SetActive(within(t, time.Second), someID, false)
			require.ErrorIs(t, err, mattermost.ErrOutcomeUnknown)
			require.ErrorContains(t, err, "no answer within 45s")
			require.InDelta(t, 45, time.Since(started).Seconds(), 0.1)
			require.EqualValues(t, 1, w.asked.Load())
		})
	})
	t.Run("an answer that does not end", func(t *testing.T) {
		t.Parallel()
		s := scripted(t, func(w http.ResponseWriter, r *http.Request) {
			answerJSON(w, 200, `{"id":`)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})
		c := client(t, s.URL, secret, func(o *mattermost.Options) { o.Timeout = 3 * time.Second })
		_, err := c.Patch(within(t, 2*time.Second), someID, identity.Profile{Nickname: "x"}, identity.AttributesOf(identity.Nickname))
		require.ErrorIs(t, err, mattermost.ErrOutcomeUnknown)
		require.ErrorContains(t, err, "the answer did not end within 3s")
	})
	t.Run("a read is its caller's to the end", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := &wire{answer: func(_ int32, r *http.Request) (*http.Response, error) { return after(r, 40*time.Second, done) }}
			started := time.Now()
			_, err := wired(t, w).UserByID(within(t, time.Second), someID)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, time.Second, time.Since(started))
		})
	})
}

// last is a server that speaks HTTP/1 or HTTP/2, and a client whose caller may
// go at the very last moment: when the token is read.
func last(t *testing.T, h2 bool, answer http.HandlerFunc) (*mattermost.Client, *httptest.Server, *atomic.Pointer[context.CancelFunc]) {
	t.Helper()
	s := httptest.NewUnstartedServer(answer)
	s.EnableHTTP2 = h2
	if h2 {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	var gone atomic.Pointer[context.CancelFunc]
	c := client(t, s.URL, secret, func(o *mattermost.Options) {
		if h2 {
			o.CAFile = writePEM(t, s)
		}
		o.Token = func() (string, error) {
			if cancel := gone.Load(); cancel != nil {
				(*cancel)()
			}
			return secret, nil
		}
	})
	return c, s, &gone
}

func TestClient_write_atTheLastMoment(t *testing.T) {
	t.Parallel()
	for name, h2 := range map[string]bool{"HTTP/1": false, "HTTP/2": true} {
		t.Run(name+": with a connection at hand, nothing leaves and nobody else is cut", func(t *testing.T) {
			t.Parallel()
			var wrote, other atomic.Int32
			release := make(chan struct{})
			goOn := sync.OnceFunc(func() { close(release) })
			defer goOn()
			c, _, gone := last(t, h2, func(w http.ResponseWriter, r *http.Request) {
				if h2 != (r.ProtoMajor == 2) {
					t.Errorf("HTTP/%d is not what this is about", r.ProtoMajor)
				}
				if !strings.Contains(r.URL.Path, otherID) {
					wrote.Add(1)
				} else if other.Add(1) == 2 {
					<-release
				}
				answerJSON(w, 200, `{"status":"OK"}`)
			})
			require.NoError(t, c.RevokeSessions(t.Context(), otherID))
			var wg sync.WaitGroup
			var beside error
			wg.Go(func() { beside = c.RevokeSessions(t.Context(), otherID) })
			require.Eventually(t, func() bool { return other.Load() == 2 }, time.Minute, time.Millisecond)
			for range 5 {
				ctx, cancel := context.WithCancel(t.Context())
				gone.Store(&cancel)
				requireUnsent(t, c.SetActive(ctx, someID, true), context.Canceled)
				ctx, cancel = context.WithCancel(t.Context())
				gone.Store(&cancel)
				requireUnsent(t, c.RevokeSessions(ctx, someID), context.Canceled)
			}
			goOn()
			wg.Wait()
			require.NoError(t, beside)
			gone.Store(nil)
			require.NoError(t, c.RevokeSessions(t.Context(), otherID), "there are connections all the same")
			require.Zero(t, wrote.Load())
		})
		t.Run(name+": in flight, the answer is used", func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			c, _, _ := last(t, h2, func(w http.ResponseWriter, r *http.Request) {
				cancel()
				select {
				case <-r.Context().Done():
				case <-time.After(50 * time.Millisecond):
					answerJSON(w, 200, user(someID, "ada"))
				}
			})
			a, err := c.Patch(ctx, someID, identity.Profile{Nickname: "x"}, identity.AttributesOf(identity.Nickname))
			require.NoError(t, err)
			require.Equal(t, "ada", a.Username)
		})
	}
	t.Run("connecting is not yet leaving", func(t *testing.T) {
		t.Parallel()
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { // it takes the connection and says nothing in the handshake
			if conn, err := l.Accept(); err == nil {
				cancel()
				<-over
				_ = conn.Close()
			}
		})
		err = client(t, "https://"+l.Addr().String(), secret).SetActive(ctx, someID, true)
		_ = l.Close()
		close(over)
		wg.Wait()
		requireUnsent(t, err, context.Canceled)
	})
}
