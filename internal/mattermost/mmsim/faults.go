package mmsim

import (
	"math/rand/v2"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// Fault is something that goes wrong with the requests it matches. Latency and
// Until go with any effect or alone; of the others one is set. The first fault that
// matches a request and is not used up takes it.
type Fault struct {
	// What it matches; empty is everything.
	Method string
	Path   string // as for path.Match, without /api/v4: "/users/*/patch"
	Regexp *regexp.Regexp
	Match  func(*http.Request) bool

	Skip        int     // the first Skip matches pass
	Count       int     // how many it then takes; 0: all
	Probability float64 // of each match; 0: always
	Seed        uint64  // for Probability

	Latency time.Duration
	Until   <-chan struct{} // nothing is done or answered before this is closed

	Status       int    // answers with this: 429 as the real limiter, else an error body
	ErrorID      string // the error id for Status
	RetryAfter   int    // seconds, for 429; 0: the recorded 1
	CutBefore    bool   // the connection is closed, nothing was done
	CutAfter     bool   // it was done, then the connection is closed without an answer
	LostWrite    bool   // the usual answer, but the database stays as it was
	DatabaseAway bool   // answers as the server does while its database is away
	// UsersLocked plays a locked table of users: a PATCH hangs this long (a real
	// server gave up after its query timeout of 30 s) and is then refused as if
	// by permissions, 403. What else such a lock holds up was not recorded.
	UsersLocked time.Duration
	HTML        bool   // 200 and a web page: a captive portal, a wrong URL
	Redirect    string // 302 to this URL
	// CacheLag lets reads by id answer with rows this old. Only changes made
	// while such a fault is set can be unseen.
	CacheLag time.Duration
	// MemberLag lets whatever reads one membership of a team or channel, or depends on
	// it, see it this old: a read replica that lags. Only changes made while such a fault
	// is set can be unseen. Not in the recording: see seenTeamMember.
	MemberLag time.Duration
	// RowsMove has the first row of a channel's list of members go to its end once a page
	// was answered, as PostgreSQL puts a row that was changed where it finds room: the
	// list is read without an order (SqlChannelStore.GetMembers, 5.38 to 11). Not in the
	// recording.
	RowsMove bool
}

type faultSet struct {
	mu   sync.Mutex
	list []*armed
}

type armed struct {
	Fault
	seen, taken int
	rnd         *rand.Rand
}

// Fail sets a fault until cancel is called. It panics on a Path that is not a
// pattern: that is a mistake in the test.
func (s *Server) Fail(f Fault) (cancel func()) {
	if _, err := path.Match(f.Path, ""); err != nil {
		panic("mmsim: fault path " + strconv.Quote(f.Path) + ": " + err.Error())
	}
	a := &armed{Fault: f, rnd: rand.New(rand.NewPCG(f.Seed, f.Seed))} //nolint:gosec // repeatable on purpose
	s.faults.mu.Lock()
	s.faults.list = append(s.faults.list, a)
	s.faults.mu.Unlock()
	s.trackHistory()
	return func() {
		s.faults.mu.Lock()
		for i, one := range s.faults.list {
			if one == a {
				s.faults.list = append(s.faults.list[:i:i], s.faults.list[i+1:]...)
				break
			}
		}
		s.faults.mu.Unlock()
		s.trackHistory()
	}
}

func (f *faultSet) match(r *http.Request) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.list {
		if a.takes(r) {
			return &a.Fault
		}
	}
	return nil
}

func (a *armed) takes(r *http.Request) bool {
	if a.Method != "" && a.Method != r.Method {
		return false
	}
	short := r.URL.Path
	if len(short) > len(apiPrefix) && short[:len(apiPrefix)] == apiPrefix {
		short = short[len(apiPrefix)-1:]
	}
	if a.Path != "" {
		if ok, _ := path.Match(a.Path, short); !ok { // Fail has checked the pattern
			return false
		}
	}
	if a.Regexp != nil && !a.Regexp.MatchString(short) {
		return false
	}
	if a.Match != nil && !a.Match(r) {
		return false
	}
	if a.Count > 0 && a.taken >= a.Count {
		return false
	}
	if a.seen++; a.seen <= a.Skip {
		return false
	}
	if a.Probability > 0 && a.rnd.Float64() >= a.Probability {
		return false
	}
	a.taken++
	return true
}

// instead is the answer of a fault that keeps a request from the server.
func (f *Fault) instead() (reply, bool) {
	switch {
	case f.HTML:
		return reply{
			status: http.StatusOK, kind: "text/html; charset=utf-8", bare: true,
			body: []byte("<!doctype html><html><body>Sign in to the network</body></html>\n"),
		}, true
	case f.Redirect != "":
		return reply{
			status: http.StatusFound, kind: "text/html; charset=utf-8", bare: true,
			body:  []byte("<a href=\"" + f.Redirect + "\">Found</a>.\n"),
			extra: http.Header{"Location": {f.Redirect}},
		}, true
	case f.Status == http.StatusTooManyRequests:
		return limitExceeded(limitHeaders(max(f.RetryAfter, 1))), true
	case f.Status != 0:
		id := f.ErrorID
		if id == "" {
			id = "mmsim.fault.app_error"
		}
		return fail(f.Status, id), true
	}
	return reply{}, false
}

// limitExceeded is the recorded refusal: plain text, not the error body.
func limitExceeded(headers http.Header) reply {
	return reply{
		status: http.StatusTooManyRequests, kind: "text/plain; charset=utf-8", bare: true,
		body: []byte("limit exceeded\n"), extra: headers,
	}
}

// limitHeaders are the recorded ones; the reset, when the bucket is whole
// again, is later than what Retry-After says.
func limitHeaders(retryAfter int) http.Header {
	return http.Header{
		"Retry-After":           {strconv.Itoa(retryAfter)},
		"X-Ratelimit-Limit":     {"6"},
		"X-Ratelimit-Remaining": {"0"},
		"X-Ratelimit-Reset":     {strconv.Itoa(retryAfter + 2)},
	}
}

// awayReply is what 11.6 said while its database was away. It misleads: a
// PATCH is "no permission", an e-mail look-up fails with the not-found id.
func awayReply(rt *route, q *request) reply {
	const broken = http.StatusInternalServerError
	switch {
	case rt.path == "system/ping":
		if !q.flag("get_server_status") {
			return ok(http.StatusOK, pingBody())
		}
		body := pingBody()
		body["database_status"] = "UNHEALTHY"
		body["filestore_status"] = "OK"
		body["status"] = "UNHEALTHY"
		return ok(broken, body)
	case rt.path == "users/login":
		return fail(http.StatusUnauthorized, errCredentials)
	case rt.path == "users/{id}/patch":
		return forbidden()
	case rt.path == "users/email/{email}":
		return fail(broken, errMissingUser)
	case rt.path == "users/username/{username}":
		return fail(broken, "app.user.get_by_username.app_error")
	case rt.path == "users" && rt.method == http.MethodPost:
		return fail(broken, "app.limits.get_app_limits.user_count.store_error")
	case rt.path == "users" && rt.method == http.MethodGet:
		return fail(broken, "app.user.get_profiles.app_error")
	case rt.path == "users/{id}/auth":
		return fail(broken, "app.user.update_auth_data.app_error")
	case rt.path == "users/{id}" && rt.method == http.MethodGet:
		return fail(broken, "app.terms_of_service.get.no_rows.app_error")
	}
	return fail(broken, "app.user.get.app_error")
}
