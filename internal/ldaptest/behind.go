package ldaptest

import (
	"maps"
	"slices"
)

// Behind starts a further server that holds what this one holds now, and gets nothing of
// what comes until CatchUp: a replica that lags. In Active Directory it is another domain
// controller. It must not be changed by itself.
func (s *Server) Behind() *Server {
	s.t.Helper()
	s.mu.Lock()
	index := s.replicas
	s.replicas++
	s.mu.Unlock()
	own := &directory{}
	s.d.mu.Lock()
	self := s.d.replica(index, s.o)
	own.become(s.d)
	s.d.mu.Unlock()
	out := &Server{Kind: s.Kind, t: s.t, o: s.o, d: own, ahead: s.d, self: self}
	out.listen()
	return out
}

// CatchUp gives a server that lags all that the one it was made of holds by now.
func (s *Server) CatchUp() {
	before, now := &directory{}, &directory{}
	s.ahead.mu.Lock()
	now.become(s.ahead)
	s.ahead.mu.Unlock()
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	before.become(s.d)
	s.d.become(now)
	s.before = before
}

// FallBack gives a server that lags again what it held before it caught up last.
func (s *Server) FallBack() {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	s.d.become(s.before)
}

// become makes a directory a copy of another one, with its history.
func (d *directory) become(from *directory) {
	d.kind, d.base, d.recycle, d.now, d.contexts = from.kind, from.base, from.recycle, from.now, slices.Clone(from.contexts)
	d.known, d.seq, d.rid, d.logFrom = maps.Clone(from.known), from.seq, from.rid, from.logFrom
	d.back, d.backAt = nil, -1
	twins := make(map[*node]*node, len(from.list))
	twin := func(n *node) *node {
		if twins[n] == nil {
			twins[n] = n.copied()
		}
		return twins[n]
	}
	d.list, d.byKey, d.log = make([]*node, len(from.list)), make(map[string]*node, len(from.byKey)), slices.Clone(from.log)
	for i, n := range from.list {
		d.list[i] = twin(n)
	}
	for key, n := range from.byKey {
		d.byKey[key] = twin(n)
	}
	for i := range d.log {
		d.log[i].n = twin(d.log[i].n)
	}
}

func (n *node) copied() *node {
	out := *n
	out.attrs = make(map[string]*attribute, len(n.attrs))
	for key, a := range n.attrs {
		out.attrs[key] = &attribute{a.name, slices.Clone(a.values), a.changed}
	}
	return &out
}
