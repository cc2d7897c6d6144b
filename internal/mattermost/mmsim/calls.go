package mmsim

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// Call is one request the server got.
type Call struct {
	Seq      int // from 1, not reset by [Server.ResetCalls]
	Method   string
	Path     string
	RawQuery string
	Body     []byte // the first bytes, see Options.MaxCallBody
	Status   int    // 0: cut before it was processed
	Cut      bool   // the client got no answer
	At       time.Time
	Node     int    // which server of a cluster was asked: 0, or the number of a [Server.Node] from 1
	As       string // id of the account it was made as, "" for nobody
}

// IsWrite tells whether the call asked for a change. Look-ups that are POSTs,
// logging in and out, and probing are reads.
func (c Call) IsWrite() bool {
	switch c.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	case http.MethodPost:
	default:
		return true
	}
	path := strings.TrimPrefix(c.Path, "/api/v4")
	switch path {
	case "/users/ids", "/users/usernames", "/users/search", "/users/login", "/users/login/type",
		"/users/logout", "/roles/names", "/caches/invalidate", "/ldap/test":
		return false
	}
	return !strings.HasPrefix(path, "/teams/") || !strings.HasSuffix(path, "/members/ids")
}

type callLog struct {
	mu      sync.Mutex
	max     int
	maxBody int
	seq     int
	kept    []Call
	start   int // where the oldest is once the ring is full
	hook    func(Call)
}

func (l *callLog) init(maxCalls, maxBody int) {
	l.max, l.maxBody = maxCalls, maxBody
	if l.max == 0 {
		l.max = 100_000
	}
	if l.maxBody == 0 {
		l.maxBody = 16 << 10
	}
}

func (s *Server) record(c Call) {
	l := &s.calls
	l.mu.Lock()
	l.seq++
	c.Seq = l.seq
	if len(c.Body) > l.maxBody {
		c.Body = append([]byte(nil), c.Body[:l.maxBody]...) // a sub-slice would keep the rest alive
	}
	switch {
	case l.max < 0:
	case len(l.kept) < l.max:
		l.kept = append(l.kept, c)
	default:
		l.kept[l.start] = c
		l.start = (l.start + 1) % l.max
	}
	hook := l.hook
	l.mu.Unlock()
	if hook != nil {
		hook(c)
	}
}

// Calls returns the remembered calls, oldest first.
func (s *Server) Calls() []Call {
	l := &s.calls
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Call, 0, len(l.kept))
	out = append(out, l.kept[l.start:]...)
	return append(out, l.kept[:l.start]...)
}

// Writes returns the remembered calls that asked for a change.
func (s *Server) Writes() []Call {
	var out []Call
	for _, c := range s.Calls() {
		if c.IsWrite() {
			out = append(out, c)
		}
	}
	return out
}

// ResetCalls forgets the calls so far.
func (s *Server) ResetCalls() {
	l := &s.calls
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept, l.start = nil, 0
}

// OnCall sets what is called with each call once its answer is decided and
// before it is written. nil removes it. It runs on the request's goroutine, so
// it may hold the answer back, and may use the server.
func (s *Server) OnCall(hook func(Call)) {
	l := &s.calls
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hook = hook
}
