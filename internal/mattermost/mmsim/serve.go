package mmsim

import (
	"compress/gzip"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"
)

// webApp is what a path outside /api gets: a wrong base URL looks like success.
const webApp = "<!doctype html><html><head><meta http-equiv=\"Content-Security-Policy\" " +
	"content=\"script-src 'self'\"></head><body>mm</body></html>\n"

// ServeHTTP answers one request. A cut connection is a panic with
// [http.ErrAbortHandler], which net/http turns into a closed connection.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.serve(w, r, 0) }

func (s *Server) serve(w http.ResponseWriter, r *http.Request, node int) {
	s.mu.RLock()
	at := s.now()
	s.mu.RUnlock()

	body, tooLarge, err := s.readBody(r)
	if err != nil {
		panic(http.ErrAbortHandler) // the client went away in the middle of its body
	}
	call := Call{Method: r.Method, Path: r.URL.Path, RawQuery: r.URL.RawQuery, Body: body, At: at, Node: node}
	hit := s.faults.match(r)
	if hit != nil && (!sleep(r, hit.Latency) || !wait(r, hit.Until)) {
		panic(http.ErrAbortHandler) // the client went away meanwhile
	}
	if hit != nil && hit.CutBefore {
		call.Cut = true
		s.record(call)
		panic(http.ErrAbortHandler)
	}

	q := &request{Request: r, body: body, tooLarge: tooLarge, lenient: s.profile == Profile538, node: node}
	rep, as := s.answer(q, hit)
	call.Status, call.As, call.Cut = rep.status, as, rep.cut
	s.record(call)
	if rep.cut {
		panic(http.ErrAbortHandler)
	}
	s.write(w, r, rep)
}

// answer decides a request and says who asked it.
func (s *Server) answer(q *request, hit *Fault) (reply, string) {
	limited, limits := s.charge()
	if limited {
		return limitExceeded(limits), ""
	}
	if hit != nil {
		if rep, final := hit.instead(); final {
			return rep, ""
		}
	}
	if !strings.HasPrefix(q.URL.Path, "/api/") {
		return reply{status: http.StatusOK, body: []byte(webApp), kind: "text/html; charset=utf-8", bare: true}, ""
	}
	rep := s.dispatch(q, hit)
	if rep.extra == nil {
		rep.extra = limits
	}
	as := ""
	if q.asker != nil {
		as = q.asker.ID
	}
	return rep, as
}

func (s *Server) dispatch(q *request, hit *Fault) reply {
	rt, params := s.routes.find(q.Method, q.URL.Path)
	if rt == nil {
		return s.noRoute()
	}
	q.params, q.query = params, q.URL.Query()
	away := hit != nil && hit.DatabaseAway
	s.signIn(q, away)
	if q.session == nil && !rt.public {
		return expired()
	}
	if !resolve(params, q.asker) {
		return badURL()
	}
	if away {
		return awayReply(rt, q)
	}
	if hit != nil {
		q.lag, q.memberLag = hit.CacheLag.Milliseconds(), hit.MemberLag.Milliseconds()
		q.rowsMove = hit.RowsMove
		if hit.UsersLocked > 0 && rt.path == "users/{id}/patch" {
			if !sleep(q.Request, hit.UsersLocked) {
				panic(http.ErrAbortHandler) // nothing was written, and nobody waits for the answer
			}
			return forbidden()
		}
	}
	var rep reply
	switch {
	case rt.write:
		rep = s.runWrite(rt, q, hit != nil && hit.LostWrite)
	default:
		s.mu.RLock()
		q.now = s.millis()
		rep = rt.handle(s, q)
		s.mu.RUnlock()
	}
	if hit != nil && hit.CutAfter {
		rep.cut = true
	}
	return rep
}

// resolve checks the ids of a path; "me" is an account's id where an account's
// id is asked for.
func resolve(params map[string]string, asker *User) bool {
	for name, value := range params {
		switch name {
		case "id", "user":
			if value == "me" && asker != nil {
				params[name] = asker.ID
				continue
			}
		case "bot", "team", "channel":
		default:
			continue
		}
		if !isID(value) {
			return false
		}
	}
	return true
}

func (s *Server) runWrite(rt *route, q *request, lost bool) reply {
	if rt.hashes && s.opts.PasswordCost > 0 && strings.Contains(string(q.body), "password") {
		time.Sleep(s.opts.PasswordCost)
	}
	if s.opts.LostConcurrentWrites && rt.race != raceNone {
		done := s.race(rt, q)
		defer done()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q.now = s.millis()
	s.keepPlaces(q.now)
	s.writer = q.node
	defer func() { s.writer = outside }()
	if !lost {
		return rt.handle(s, q)
	}
	kept := s.db.clone()
	rep := rt.handle(s, q)
	s.db = kept
	return rep
}

// row returns the account a write starts from: the current one or, when lost
// writes are played, the one that was read when the request came in.
func (s *Server) row(q *request, id string) *User {
	if q.stale != nil && q.stale.ID == id && s.db.users[id] != nil {
		return q.stale
	}
	return s.db.users[id]
}

func sleep(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

func wait(r *http.Request, until <-chan struct{}) bool {
	if until == nil {
		return true
	}
	select {
	case <-until:
		return r.Context().Err() == nil // of two that are ready, select takes either
	case <-r.Context().Done():
		return false
	}
}

var zippers = sync.Pool{New: func() any { //nolint:gochecknoglobals // a pool is only worth having when shared
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is a valid one
	return z
}}

func (s *Server) write(w http.ResponseWriter, r *http.Request, rep reply) {
	s.mu.RLock()
	at, version := s.now(), s.versionID
	s.mu.RUnlock()
	h := w.Header()
	h.Set("Date", at.UTC().Format(http.TimeFormat))
	h.Set("Vary", "Accept-Encoding")
	requestID := ""
	if !rep.bare {
		requestID = s.ids.id()
		h.Set("X-Request-Id", requestID)
		h.Set("X-Version-Id", version)
	}
	maps.Copy(h, rep.extra)
	if rep.id != "" && rep.body == nil {
		rep.body = errorBody(rep.status, rep.id, requestID)
	}
	if rep.kind == "" {
		rep.kind = "application/json"
	}
	h.Set("Content-Type", rep.kind)
	if rep.token != "" {
		h.Set("Token", rep.token)
	}
	if rep.etag != "" {
		h.Set("Etag", rep.etag)
		if r.Header.Get("If-None-Match") == rep.etag {
			h.Del("Content-Type")
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	if len(rep.body) < 1400 || !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.WriteHeader(rep.status)
		_, _ = w.Write(rep.body) // a client that left is none of the server's business
		return
	}
	h.Set("Content-Encoding", "gzip")
	w.WriteHeader(rep.status)
	z, _ := zippers.Get().(*gzip.Writer)
	z.Reset(w)
	_, _ = z.Write(rep.body)
	_ = z.Close()
	zippers.Put(z)
}
