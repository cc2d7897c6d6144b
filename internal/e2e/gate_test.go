package e2e_test

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/addrtest"
)

// gate stands before a server. While it is shut, nobody is let in and whoever was in is
// out: the server is away, as far as a client can see.
type gate struct {
	t       testing.TB
	address string // its own
	target  string

	mu   sync.Mutex
	l    net.Listener
	open map[net.Conn]bool
	work sync.WaitGroup
}

// gated gives a URL that leads through a gate to where the given one leads.
func gated(t testing.TB, target string) (*gate, string) {
	t.Helper()
	u, err := url.Parse(target)
	require.NoError(t, err)
	g := &gate{t: t, target: u.Host, open: map[net.Conn]bool{}}
	g.unlock(addrtest.Host() + ":0")
	t.Cleanup(g.shut)
	u.Host = g.address
	return g, u.String()
}

func (g *gate) unlock(address string) {
	l, err := net.Listen("tcp", address)
	require.NoError(g.t, err)
	g.mu.Lock()
	g.l, g.address = l, l.Addr().String()
	g.mu.Unlock()
	g.work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			g.work.Go(func() { g.pass(c) })
		}
	})
}

// again lets clients in again.
func (g *gate) again() { g.unlock(g.address) }

// shut throws everybody out and waits until they are.
func (g *gate) shut() {
	g.mu.Lock()
	_ = g.l.Close()
	for c := range g.open {
		_ = c.Close()
	}
	g.mu.Unlock()
	g.work.Wait()
}

func (g *gate) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", g.target)
	if err != nil {
		return
	}
	defer server.Close()
	g.mu.Lock()
	g.open[client], g.open[server] = true, true
	g.mu.Unlock()
	up := make(chan struct{})
	go func() {
		defer close(up)
		_, _ = io.Copy(server, client) // ends when either side closes
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
	_ = client.Close()
	<-up
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.open, client)
	delete(g.open, server)
}
