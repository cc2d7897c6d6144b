package slapdtest

import (
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy stands between a client and a server and can cut the line.
type Proxy struct {
	URL    string // ldap:// address of the proxy
	target string
	limit  atomic.Int64 // bytes towards the client before the cut; 0 is none
	hang   atomic.Bool  // go silent instead of cutting
	l      net.Listener
	work   sync.WaitGroup
	mu     sync.Mutex
	open   map[net.Conn]bool
	closed bool
	count  atomic.Int64
}

// NewProxy starts a proxy before an ldap:// URL; it ends with the test.
func NewProxy(t testing.TB, url string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{URL: "ldap://" + l.Addr().String(), target: strings.TrimPrefix(url, "ldap://"), l: l, open: map[net.Conn]bool{}}
	p.work.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// CutAfter closes every later connection once the server has sent n bytes on
// it; 0 stops cutting.
func (p *Proxy) CutAfter(n int64) { p.hang.Store(false); p.limit.Store(n) }

// HangAfter keeps every later connection open but silent after n bytes.
func (p *Proxy) HangAfter(n int64) { p.hang.Store(true); p.limit.Store(n) }

// Connections counts the connections taken so far.
func (p *Proxy) Connections() int { return int(p.count.Load()) }

func (p *Proxy) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		p.count.Add(1)
		p.work.Go(func() { p.serve(c) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	if !p.track(client, server) {
		return
	}
	defer p.forget(client, server)
	up := make(chan struct{})
	go func() {
		defer close(up)
		_, _ = io.Copy(server, client) // ends when either side closes
		_ = server.Close()
	}()
	if n := p.limit.Load(); n > 0 {
		_, _ = io.CopyN(client, server, n)
		if p.hang.Load() {
			<-up // until the client gives up
		}
	} else {
		_, _ = io.Copy(client, server)
	}
	_ = client.Close()
	_ = server.Close()
	<-up
}

func (p *Proxy) track(list ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range list {
		p.open[c] = true
	}
	return !p.closed
}

func (p *Proxy) forget(list ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range list {
		delete(p.open, c)
	}
}

func (p *Proxy) close() {
	_ = p.l.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.open {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.work.Wait()
}
