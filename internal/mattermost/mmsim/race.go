package mmsim

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// raceKind says how a request writes an account.
type raceKind int

const (
	raceNone   raceKind = iota // it does not, or nothing was seen to get lost by it
	racePatch                  // reads the row, writes the whole row
	raceActive                 // the same
	raceRoles                  // the same
	raceAuth                   // writes its own columns: it can be undone and undoes nothing
)

// lossRates are the shares of pairs, sent together, in which the first and in
// which the second of the two was lost; in the rest both stayed. Out of 100
// rounds each on a real 11.6, and on 5.38 where that was tried. A pair that was
// never tried loses one as two patches do: both write the row they had read. The
// first kind is the greater one.
func lossRates(p Profile, a, b raceKind) (first, second float64) {
	const either = 0.97 / 2
	switch {
	case a == raceAuth:
		return 0.28, 0
	case a == raceActive && b == racePatch:
		if p == Profile538 {
			return 0.39, 0.30
		}
		return 0.56, 0.30
	case a == raceRoles && b == racePatch:
		return 0.32, 0.33
	}
	return either, either
}

// openWrite is a request that has read an account's row and not written yet.
type openWrite struct {
	kind  raceKind
	row   *User         // as it was when the request came in
	met   chan struct{} // closed when another request for the account came in
	done  chan struct{} // closed when this one has written
	after *openWrite    // set with met: who writes first
	stale bool          // set with met: it writes the row it had read
}

// races are the open writes by account, each until it has met another one.
type races struct {
	mu   sync.Mutex
	open map[string]*openWrite
	rnd  *rand.Rand
}

func newRaces(seed uint64) *races {
	if seed == 0 {
		var raw [8]byte
		_, _ = crand.Read(raw[:]) // never fails
		seed = binary.LittleEndian.Uint64(raw[:])
	}
	return &races{open: map[string]*openWrite{}, rnd: rand.New(rand.NewPCG(seed, seed))} //nolint:gosec // repeatable on purpose
}

// enter opens a write. Two that meet are told at once how their race ends.
func (r *races) enter(p Profile, id string, w *openWrite) {
	r.mu.Lock()
	defer r.mu.Unlock()
	other := r.open[id]
	if other == nil {
		r.open[id] = w
		return
	}
	delete(r.open, id)
	a, b := other, w
	if a.kind < b.kind {
		a, b = b, a // so that the same draws end alike whichever came in first
	}
	lostA, lostB := lossRates(p, a.kind, b.kind)
	switch drawn := r.rnd.Float64(); {
	case drawn < lostA:
		b.after, b.stale = a, true
	case drawn < lostA+lostB:
		a.after, a.stale = b, true
	default:
		b.after = a
	}
	close(other.met)
	close(w.met)
}

// leave closes a write that has met nobody in its time. It reports false when it
// has met one after all.
func (r *races) leave(id string, w *openWrite) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[id] != w {
		return false
	}
	delete(r.open, id)
	return true
}

// race plays what two whole-row writes of one account do to each other: q waits
// for a second one, and where the draw says so it keeps the row it has read for
// writing it over the other's change. The caller calls done once it has written.
func (s *Server) race(rt *route, q *request) (done func()) {
	id := q.params["id"]
	s.mu.RLock()
	row := s.db.users[id]
	s.mu.RUnlock()
	w := &openWrite{kind: rt.race, row: row, met: make(chan struct{}), done: make(chan struct{})}
	s.races.enter(s.profile, id, w)
	window := time.NewTimer(s.opts.WriteWindow)
	defer window.Stop()
	select {
	case <-w.met:
	case <-window.C:
		if s.races.leave(id, w) {
			return func() {}
		}
		<-w.met
	}
	if w.after != nil {
		<-w.after.done
	}
	if w.stale {
		q.stale = w.row
	}
	return func() { close(w.done) }
}

// KeepPatching plays a person who saves his own profile again and again: a
// PATCH of his position every pause, with a session of his own. Once he is
// deactivated he is refused, and when he is active again he signs in again. stop
// ends him and waits for his last answer; it is fine twice.
func (s *Server) KeepPatching(id string, pause time.Duration) (stop func()) {
	ending, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(max(pause, time.Millisecond))
		defer tick.Stop()
		token := ""
		for n := 0; ; n++ {
			select {
			case <-ending:
				return
			case <-tick.C:
			}
			if token == "" {
				token = s.signInBehind(id)
			}
			if token != "" && s.patchAs(token, n) == http.StatusUnauthorized {
				token = ""
			}
		}
	}()
	var once sync.Once
	return func() {
		once.Do(func() { close(ending) })
		<-ended
	}
}

// signInBehind makes a session without a password and returns its token, "" for
// an account that is not there or not active.
func (s *Server) signInBehind(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.db.users[id]; u == nil || !u.Active() {
		return ""
	}
	return s.newSession(id).token
}

// patchAs sends the n-th patch of somebody to himself and returns its status, 0
// when a fault cut it off.
func (s *Server) patchAs(token string, n int) (status int) {
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // net/http compares it so too
			panic(p)
		}
	}()
	body := strings.NewReader(`{"position":"saved ` + strconv.Itoa(n) + ` times"}`)
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPut, apiPrefix+"users/me/patch", body)
	if err != nil {
		return 0
	}
	req.Header.Set("Authorization", "Bearer "+token)
	w := &statusOnly{header: http.Header{}}
	s.ServeHTTP(w, req)
	return w.status
}

// statusOnly is a client that reads the status line and no further.
type statusOnly struct {
	header http.Header
	status int
}

func (w *statusOnly) Header() http.Header { return w.header }

func (w *statusOnly) WriteHeader(status int) { w.status = status }

func (w *statusOnly) Write(p []byte) (int, error) { return len(p), nil }
