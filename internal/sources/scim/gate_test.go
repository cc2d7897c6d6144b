package scim_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	protocol "github.com/mmsync/mmsync/internal/scim"
	"github.com/mmsync/mmsync/internal/sources/scim"
	"github.com/mmsync/mmsync/internal/state"
)

// memory is a store of tokens.
type memory struct {
	mu     sync.Mutex
	tokens []state.Token
	used   []string
	reads  int
	down   error
}

func (m *memory) Tokens(context.Context, string) ([]state.Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	return append([]state.Token(nil), m.tokens...), m.down
}

func (m *memory) UseToken(_ context.Context, id, from string, _ time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used = append(m.used, id+" "+from)
	return m.down
}

func (m *memory) add(secret string, t state.Token) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t.Hash = sha256.Sum256([]byte(secret))
	if t.Source == "" {
		t.Source = "okta"
	}
	m.tokens = append(m.tokens, t)
}

func (m *memory) change(f func(*state.Token)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.tokens[0])
}

// world is a gate with its store, clock and log.
type world struct {
	*memory
	gate  *scim.Gate
	clock time.Time
	log   bytes.Buffer
}

func newWorld(options ...func(*scim.GateOptions)) *world {
	w := &world{memory: &memory{}, clock: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)}
	o := scim.GateOptions{
		Tokens: w.memory, Sources: []string{"okta", "entra"}, Logger: slog.New(slog.NewTextHandler(&w.log, nil)),
		Now: func() time.Time { return w.clock },
	}
	for _, f := range options {
		f(&o)
	}
	w.gate = scim.NewGate(o)
	return w
}

func (w *world) after(d time.Duration) { w.clock = w.clock.Add(d) }

func request(t *testing.T, token string) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/scim/v2/Users", nil)
	r.RemoteAddr = "192.0.2.7:5000"
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

func status(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return http.StatusOK
	}
	e, ok := errors.AsType[*protocol.Error](err)
	require.True(t, ok, "%v", err)
	require.NotEmpty(t, e.Detail)
	return e.Status
}

func (w *world) open(t *testing.T, token string) int {
	t.Helper()
	_, err := w.gate.Open(request(t, token))
	return status(t, err)
}

const secret, other = "mms_the-secret", "mms_the-other-secret"

func TestGate_a_token_tells_the_source_and_what_may_be_done(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		scopes               []string
		users, groups, write bool
	}{
		"all":                 {nil, true, true, true},
		"users":               {[]string{"users"}, true, false, true},
		"groups, not written": {[]string{"groups", "read"}, false, true, false},
		"all, not written":    {[]string{"read"}, true, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.add(other, state.Token{ID: "t_b", Source: "entra", Name: "other"})
			w.add(secret, state.Token{ID: "t_a", Name: "main", Scopes: c.scopes})
			got, err := w.gate.Open(request(t, secret))
			require.NoError(t, err)
			require.Equal(t, scim.Client{Source: "okta", Name: "main", Users: c.users, Groups: c.groups, Write: c.write, TokenID: "t_a"}, got)
			require.Equal(t, c.users, got.May("User", false) == nil)
			require.Equal(t, c.groups, got.May("Group", false) == nil)
			require.Equal(t, c.users && c.write, got.May("User", true) == nil)
			if !c.write {
				require.Equal(t, http.StatusForbidden, status(t, got.May("Group", true)))
			}
		})
	}
}

func TestGate_who_has_no_good_token_gets_401(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.add(secret, state.Token{ID: "t_a", Name: "main"})
	w.add("mms_gone", state.Token{ID: "t_b", Source: "gone", Name: "gone"})
	for _, token := range []string{"", "x", "mms_", secret + "x", strings.ToUpper(secret), "mms_gone", strings.Repeat("x", 20_000), "a.b.c", "mma_AAAA"} {
		require.Equal(t, http.StatusUnauthorized, w.open(t, token), token)
	}
	for _, header := range [][]string{{secret}, {"Basic " + secret}, {"Bearer"}, {"Bearer " + secret, "Bearer " + secret}} {
		r := request(t, "")
		r.Header["Authorization"] = header
		_, err := w.gate.Open(r)
		require.Equal(t, http.StatusUnauthorized, status(t, err), header)
	}
	r := request(t, "")
	r.URL.RawQuery = "access_token=" + secret
	_, err := w.gate.Open(r)
	require.Equal(t, http.StatusUnauthorized, status(t, err), "not in the address")
	r = request(t, "")
	r.Header.Set("Authorization", "bEARER   "+secret)
	_, err = w.gate.Open(r)
	require.NoError(t, err, "the scheme has no case, RFC 9110 section 11.1")
}

func TestGate_the_log_says_why_and_holds_no_secret(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.add(secret, state.Token{ID: "t_a", Name: "main", RevokedAt: w.clock})
	require.Equal(t, http.StatusUnauthorized, w.open(t, secret))
	require.Equal(t, http.StatusUnauthorized, w.open(t, other))
	require.Contains(t, w.log.String(), "was revoked")
	require.Contains(t, w.log.String(), "address=192.0.2.7")
	require.NotContains(t, w.log.String(), secret)
	require.NotContains(t, w.log.String(), other)
}

func TestGate_a_new_token_is_known_within_a_second_and_a_revoked_one_dies_within_five(t *testing.T) {
	t.Parallel()
	w := newWorld()
	require.Equal(t, http.StatusUnauthorized, w.open(t, secret))
	w.add(secret, state.Token{ID: "t_a", Name: "main"})
	require.Equal(t, http.StatusUnauthorized, w.open(t, secret), "the store is asked once a second at most")
	require.Equal(t, 1, w.reads)
	w.after(time.Second)
	require.Equal(t, http.StatusOK, w.open(t, secret))
	require.Equal(t, 2, w.reads)

	w.change(func(x *state.Token) { x.RevokedAt = w.clock })
	w.after(5 * time.Second)
	require.Equal(t, http.StatusUnauthorized, w.open(t, secret))
	w.change(func(x *state.Token) { x.RevokedAt, x.ExpiresAt = time.Time{}, w.clock.Add(5*time.Second+1) })
	w.after(5 * time.Second)
	require.Equal(t, http.StatusOK, w.open(t, secret))
	w.after(1)
	require.Equal(t, http.StatusUnauthorized, w.open(t, secret), "at the moment it expires")
}

func TestGate_a_store_that_does_not_answer_lets_nobody_in(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.add(secret, state.Token{ID: "t_a", Name: "main"})
	require.Equal(t, http.StatusOK, w.open(t, secret))
	w.down = errors.New("gone")
	require.Equal(t, http.StatusOK, w.open(t, secret), "what was read just now counts")
	w.after(5 * time.Second)
	for range 10 {
		_, err := w.gate.Open(request(t, secret))
		require.Equal(t, http.StatusServiceUnavailable, status(t, err))
		require.NotContains(t, err.Error(), "gone")
	}
	require.Equal(t, 2, w.reads, "requests do not queue up for it")
	w.after(time.Second)
	w.down = nil
	require.Equal(t, http.StatusOK, w.open(t, secret))
}

func TestGate_a_token_is_taken_from_its_networks_alone(t *testing.T) {
	t.Parallel()
	w := newWorld(func(o *scim.GateOptions) {
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	})
	w.add(secret, state.Token{ID: "t_a", Name: "main", Networks: []string{"198.51.100.0/24", "2001:db8::/32"}})
	for _, c := range []struct {
		peer  string
		hops  []string
		wants int
	}{
		{"198.51.100.9:1", nil, 200},
		{"[::ffff:198.51.100.9]:1", nil, 200},
		{"[2001:db8::1%eth0]:1", nil, 200},
		{"192.0.2.1:1", nil, 401},
		{"192.0.2.1:1", []string{"198.51.100.9"}, 401},                             // whoever is no proxy may say what he likes
		{"10.0.0.1:1", []string{"198.51.100.9"}, 200},                              // one proxy
		{"10.0.0.1:1", []string{"198.51.100.9, 10.0.0.2", "10.0.0.3"}, 200},        // three, in two headers
		{"10.0.0.1:1", []string{"198.51.100.9, 192.0.2.1"}, 401},                   // what is left of the client he wrote himself
		{"10.0.0.1:1", []string{"192.0.2.1, 198.51.100.9:4711"}, 200},              // with a port
		{"10.0.0.1:1", []string{"[2001:db8::1]:4711"}, 200},                        // and so
		{"[fd00::1]:1", []string{"2001:db8::1"}, 200},                              //
		{"10.0.0.1:1", []string{"198.51.100.9, unknown"}, 401},                     // nobody knows who that was
		{"10.0.0.1:1", []string{"198.51.100.9,,"}, 401},                            //
		{"10.0.0.1:1", nil, 401},                                                   // the proxy itself
		{"@", nil, 401},                                                            // a socket without an address
		{"10.0.0.1:1", []string{strings.Repeat("10.0.0.1,", 200) + "10.9.9"}, 401}, //
	} {
		r := request(t, secret)
		r.RemoteAddr = c.peer
		r.Header["X-Forwarded-For"] = c.hops
		w.after(time.Minute)
		_, err := w.gate.Open(r)
		require.Equal(t, c.wants, status(t, err), "%s %v", c.peer, c.hops)
	}
}

func TestGate_its_use_is_noted_once_a_minute(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.add(secret, state.Token{ID: "t_a", Name: "main"})
	w.add(other, state.Token{ID: "t_b", Name: "other", UsedAt: w.clock.Add(-30 * time.Second)})
	for range 3 {
		w.open(t, secret)
		w.open(t, other)
		w.after(20 * time.Second)
	}
	require.Equal(t, []string{"t_a 192.0.2.7", "t_b 192.0.2.7"}, w.used)
	w.down = errors.New("gone")
	w.after(40 * time.Second)
	w.down = nil
	require.Equal(t, http.StatusOK, w.open(t, secret))
	require.Len(t, w.used, 3)
}

func TestGate_failures_from_one_address_are_answered_ever_less(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.add(secret, state.Token{ID: "t_a", Name: "main"})
	for range 10 {
		require.Equal(t, http.StatusUnauthorized, w.open(t, other))
	}
	_, err := w.gate.Open(request(t, other))
	require.Equal(t, http.StatusTooManyRequests, status(t, err))
	e, _ := errors.AsType[*protocol.Error](err)
	require.Positive(t, e.RetryAfter)
	lines := strings.Count(w.log.String(), "\n")
	require.Equal(t, http.StatusTooManyRequests, w.open(t, other))
	require.Equal(t, lines, strings.Count(w.log.String(), "\n"), "nor do they fill the log")
	require.Equal(t, http.StatusOK, w.open(t, secret), "a good token is taken all the same")
	r := request(t, other)
	r.RemoteAddr = "192.0.2.8:1"
	_, err = w.gate.Open(r)
	require.Equal(t, http.StatusUnauthorized, status(t, err), "other addresses are judged apart")
	w.after(e.RetryAfter)
	require.Equal(t, http.StatusUnauthorized, w.open(t, other), "after that time one is")
}

func TestGate_an_IPv6_client_has_one_network_not_2_64_addresses(t *testing.T) {
	t.Parallel()
	w := newWorld()
	last := 0
	for i := range 11 {
		r := request(t, other)
		r.RemoteAddr = fmt.Sprintf("[2001:db8::%x]:1", i+1)
		_, err := w.gate.Open(r)
		last = status(t, err)
	}
	require.Equal(t, http.StatusTooManyRequests, last)
}

func TestGate_requests_are_bounded_by_token(t *testing.T) {
	t.Parallel()
	w := newWorld(func(o *scim.GateOptions) { o.PerSecond, o.Burst = 10, 20 })
	w.add(secret, state.Token{ID: "t_a", Name: "main"})
	w.add(other, state.Token{ID: "t_b", Name: "other"})
	for range 20 {
		require.Equal(t, http.StatusOK, w.open(t, secret))
	}
	require.Equal(t, http.StatusTooManyRequests, w.open(t, secret))
	c, err := w.gate.Open(request(t, other))
	require.NoError(t, err)
	require.NoError(t, w.gate.Spend(c, 50), "a bulk of many is let in")
	w.after(time.Second)
	require.Equal(t, http.StatusOK, w.open(t, secret))
	_, err = w.gate.Open(request(t, other))
	require.Equal(t, http.StatusTooManyRequests, status(t, err), "and is paid for afterwards")
	e, _ := errors.AsType[*protocol.Error](err)
	w.after(e.RetryAfter)
	require.Equal(t, http.StatusOK, w.open(t, other))
}

func TestGate_many_at_once(t *testing.T) {
	t.Parallel()
	w := newWorld(func(o *scim.GateOptions) { o.PerSecond, o.Burst = 1000, 1000 })
	w.add(secret, state.Token{ID: "t_a", Name: "main"})
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for range 50 {
				token := secret
				if i%2 == 0 {
					token = other
				}
				r := request(t, token)
				r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", i)
				_, _ = w.gate.Open(r)
			}
		})
	}
	wait.Wait()
	require.Equal(t, 1, w.reads)
}
