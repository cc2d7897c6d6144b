package mattermost

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/mmsync/mmsync/internal/authorities"
)

// Whoever takes over from a process that lost its lease waits for what that one
// may have sent. So nothing may leave late, and what left must be heard out.

const (
	waiting int32 = iota // for a connection
	left                 // it has one and is being written
	stayed               // its caller's time was over first
)

// departure watches over one request on its way out.
type departure struct{ at atomic.Int32 }

func (d *departure) left() bool   { return d.at.Load() == left }
func (d *departure) stayed() bool { return d.at.Load() == stayed }

// depart makes the context that a request runs under, for the client's time-out
// at most. A read ends with its caller's context. A write does so until it has
// a connection to leave by; from then on its caller's context does not end it.
func (c *Client) depart(ctx context.Context, write bool) (context.Context, *departure, context.CancelFunc) {
	d := &departure{}
	if !write {
		sending, cancel := context.WithTimeout(ctx, c.timeout)
		return httptrace.WithClientTrace(sending, &httptrace.ClientTrace{
			GotConn: func(httptrace.GotConnInfo) { d.at.Store(left) },
		}), d, cancel
	}
	sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
	stay := func() {
		if d.at.CompareAndSwap(waiting, stayed) {
			cancel()
		}
	}
	if !c.tracing() {
		d.at.Store(left)
		return sending, d, cancel
	}
	unwatch := context.AfterFunc(ctx, stay)
	traced := httptrace.WithClientTrace(sending, &httptrace.ClientTrace{
		// Asked for a second time, the first connection turned out to be closed
		// before anything was written to it: in no other case does net/http repeat
		// a request of these methods.
		GetConn: func(string) {
			d.at.CompareAndSwap(left, waiting)
			if ctx.Err() != nil {
				stay()
			}
		},
		GotConn: func(got httptrace.GotConnInfo) {
			if ctx.Err() != nil {
				stay()
			}
			if d.at.CompareAndSwap(waiting, left) || d.left() {
				return
			}
			// HTTP/2 looks at the context once more before it writes; HTTP/1 does
			// not, but there the connection is nobody else's.
			cancel()
			if !shared(got.Conn) {
				_ = got.Conn.Close() // so that nothing can be written to it
			}
		},
	})
	return traced, d, func() {
		unwatch()
		cancel()
	}
}

// tracing tells whether the transport is net/http's, which reports when a
// request gets its connection. With any other, a request counts as sent as soon
// as it is handed over.
func (c *Client) tracing() bool {
	switch c.http.Transport.(*fence).next.(type) {
	case *http.Transport, *authorities.Transport: // which hands over to one
		return true
	}
	return false
}

// shared tells a connection that carries other requests at the same time.
func shared(conn net.Conn) bool {
	t, ok := conn.(*tls.Conn)
	return ok && t.ConnectionState().NegotiatedProtocol == "h2"
}
