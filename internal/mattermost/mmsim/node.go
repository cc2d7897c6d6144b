package mmsim

import (
	"net/http"
	"slices"
	"time"
)

// Node is a further server of a cluster: it answers at an address of its own
// from the same database, configuration, faults and log of calls, and has its
// own memory of accounts.
type Node struct {
	s      *Server
	number int // 0 is the Server itself
	port   listener
}

// Node makes the server a cluster of one more. From then on each of them goes on
// answering reads by id, for lag after a change that came in at another one, with
// the account as it was; what reads the database (lists, names, e-mails) shows the
// change at once. All nodes have the lag of the last one made.
//
// No recording shows a cluster: this is what a memory of accounts per node does
// when word of a change travels slowly.
func (s *Server) Node(lag time.Duration) *Node {
	s.mu.Lock()
	s.nodes++
	s.nodeLag = lag.Milliseconds()
	n := &Node{s: s, number: s.nodes}
	s.mu.Unlock()
	s.trackHistory()
	return n
}

// ServeHTTP answers one request as [Server.ServeHTTP] does.
func (n *Node) ServeHTTP(w http.ResponseWriter, r *http.Request) { n.s.serve(w, r, n.number) }

// Start listens on a free loopback port until the test ends and returns the
// base URL.
func (n *Node) Start(t TB) string {
	t.Helper()
	url, err := n.port.listen("", n, func(string) {})
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return url
}

// Close stops listening as [Server.Close] does.
func (n *Node) Close() error { return n.port.close() }

// behind returns what a node still remembers of an account that another one has
// changed. It needs the lock, reading is enough.
func (s *Server) behind(q *request, id string) *User {
	var remembered *User
	for _, one := range slices.Backward(s.history[id]) {
		if one.node == q.node || one.until <= q.now-s.nodeLag || one.row == nil {
			break // its own change, word has come, or it never knew the account
		}
		remembered = one.row
	}
	return remembered
}
