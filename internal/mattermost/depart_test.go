package mattermost

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// These are about the moment between having a connection and writing to it,
// which no caller from outside can be sure to hit.

// departing sends one write whose caller has seen its context's end by the time
// that the transport asks for a connection or gets it: at says when.
func departing(t *testing.T, c *Client, method string, at func(cancel context.CancelFunc) *httptrace.ClientTrace) (*departure, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sending, out, end := c.depart(ctx, true)
	defer end()
	// Of two traces the one set later is called first.
	q := &call{method: method, path: "/users/" + strings.Repeat("a", 26) + "/active", write: true}
	var body []byte
	if method == http.MethodPut {
		body = []byte(`{"active":true}`)
	} else {
		q.path = "/users/" + strings.Repeat("a", 26) + "/sessions/revoke/all"
	}
	req, err := c.request(httptrace.WithClientTrace(sending, at(cancel)), q, body, "x")
	require.NoError(t, err)
	resp, err := c.http.Do(req)
	if err == nil {
		require.NoError(t, resp.Body.Close())
		return out, nil
	}
	return out, c.noAnswer(ctx, q, err, out)
}

func TestClient_depart(t *testing.T) {
	t.Parallel()
	for name, h2 := range map[string]bool{"HTTP/1": false, "HTTP/2": true} {
		// warm gives a client that has an idle connection, and counts requests.
		warm := func(t *testing.T) (*Client, *atomic.Int32) {
			t.Helper()
			var asked atomic.Int32
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write([]byte(`{"database_status":"OK"}`))
			}))
			s.EnableHTTP2 = h2
			s.StartTLS()
			t.Cleanup(s.Close)
			roots := x509.NewCertPool()
			roots.AddCert(s.Certificate())
			c, err := New(Options{
				BaseURL: s.URL, Token: func() (string, error) { return "token", nil }, RatePerSecond: 1e6, ProxyURL: "direct", RootCAs: roots,
			})
			require.NoError(t, err)
			t.Cleanup(c.CloseIdle)
			_, err = c.Ping(t.Context())
			require.NoError(t, err)
			asked.Store(0)
			return c, &asked
		}
		for _, method := range []string{http.MethodPut, http.MethodPost} {
			t.Run(name+": a caller that goes when the connection comes sends nothing: "+method, func(t *testing.T) {
				t.Parallel()
				c, asked := warm(t)
				for range 5 {
					out, err := departing(t, c, method, func(cancel context.CancelFunc) *httptrace.ClientTrace {
						return &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { cancel() }}
					})
					require.True(t, out.stayed())
					require.True(t, keptBack(err))
				}
				require.Zero(t, asked.Load())
				_, err := c.Ping(t.Context())
				require.NoError(t, err)
			})
			t.Run(name+": a caller that goes when the request is written does not cut it: "+method, func(t *testing.T) {
				t.Parallel()
				c, asked := warm(t)
				out, err := departing(t, c, method, func(cancel context.CancelFunc) *httptrace.ClientTrace {
					return &httptrace.ClientTrace{WroteHeaders: cancel}
				})
				require.NoError(t, err)
				require.True(t, out.left())
				require.EqualValues(t, 1, asked.Load())
			})
		}
	}
	for name, goes := range map[string]bool{"whose caller goes meanwhile does not try another": true, "tries another": false} {
		t.Run("a write that met a closed connection "+name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write([]byte(`{"database_status":"OK"}`))
			}))
			t.Cleanup(s.Close)
			c, err := New(Options{BaseURL: s.URL, Token: func() (string, error) { return "token", nil }, RatePerSecond: 1e6, ProxyURL: "direct", Timeout: 10 * time.Second})
			require.NoError(t, err)
			t.Cleanup(c.CloseIdle)
			_, err = c.Ping(t.Context())
			require.NoError(t, err)
			asked.Store(0)
			var wanted, got int
			out, err := departing(t, c, http.MethodPut, func(cancel context.CancelFunc) *httptrace.ClientTrace {
				return &httptrace.ClientTrace{
					GetConn: func(string) {
						if wanted++; wanted == 2 && goes {
							cancel()
						}
					},
					GotConn: func(i httptrace.GotConnInfo) {
						if got++; got == 1 {
							_ = i.Conn.Close()
						}
					},
				}
			})
			require.Equal(t, 2, wanted)
			require.Equal(t, goes, out.stayed())
			require.Equal(t, goes, keptBack(err))
			require.Equal(t, goes, err != nil)
			require.EqualValues(t, map[bool]int{true: 0, false: 1}[goes], asked.Load())
		})
	}
}
