package mattermost

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mmsync/mmsync/internal/authorities"
)

// Options say which server to talk to and how. BaseURL and Token are required.
type Options struct {
	// BaseURL is the site URL, below which /api/v4 is found; it may have a path.
	BaseURL string
	// Token is asked before each call, so that a token file can be replaced while
	// mmsync runs. Another one than before is tried first, and taken if it works and
	// is the same account's.
	Token func() (string, error)
	// TokenChanged, if set, is told when the server does not accept the token any more,
	// when it does again, and when another one was taken or not. It must not block, nor
	// call the client.
	TokenChanged func(TokenState)
	// CAFile is a PEM file of authorities trusted besides the system's. It may be replaced
	// while mmsync runs.
	CAFile string
	// RootCAs, if set, stands in for the system's authorities and CAFile.
	RootCAs *x509.CertPool
	// ProxyURL is "" for the environment's proxy, "direct" for none.
	ProxyURL string
	// Proxy, if set, is asked for the proxy before each request in the place of
	// ProxyURL; one that cannot be read leaves the one before in force.
	Proxy func() (string, error)
	// AllowHTTP permits plain http to a host that is not loopback; the token
	// then crosses the network unprotected.
	AllowHTTP bool
	// Timeout is for one request and its answer. Default 45 s; the server gives
	// up on its database after 30.
	Timeout time.Duration
	// RatePerSecond is the most requests a second. Default 50.
	RatePerSecond float64
	// MaxInFlight is the most requests at a time. Default 4; more only adds
	// waiting on the server's side.
	MaxInFlight int
	// RetryWait is the pause before a failed read is first repeated; it doubles
	// twice. Default 250 ms.
	RetryWait time.Duration
	// RideOut is how long after the server went away calls wait for it to come back
	// before they fail; 0 lets them fail at once.
	RideOut time.Duration
	// ReadOnly lets no write leave.
	ReadOnly bool
	// Passwords lets a client that writes set passwords, which a service never does:
	// only a command that takes accounts from their login service.
	Passwords bool
	// Deletions lets a client that writes delete accounts for good, which a service never
	// does: only the command for that.
	Deletions bool
	// Beside, if set, makes a client that only asks how the server is while another one
	// works with it: what it asks counts against the other's rate, which stands in the
	// place of RatePerSecond, but does not wait for it. See [ErrNoTurn].
	Beside *Client
	// UserAgent defaults to "mmsync".
	UserAgent string
	// Logger gets one debug line a request: route, ids, status, duration. nil
	// means none.
	Logger *slog.Logger
	// Requested, if not nil, is told each request that was made: whether it writes, the
	// status of its answer, 0 without one, and how long that took.
	Requested func(write bool, status int, took time.Duration)
	// HTTPTransport stands in for the network in tests; CAFile, RootCAs and
	// ProxyURL then mean nothing. Unless it is an *http.Transport, a write counts
	// as having left when it is handed over.
	HTTPTransport http.RoundTripper
}

// Client makes the requests of [Routes] to one server. It is safe for use by
// many goroutines, which share its rate and its places in flight.
//
// A read ends with its context. The context of a write governs it until its
// request leaves, which is when it has a connection: once the context is done,
// neither a wait (for the account, the rate, a place, the end of a 429, a
// connection) nor a repeat is followed by a request, and the error is a
// [CallError] with Sent false. A request that has left is not cut by its
// context: its answer is waited for, for Options.Timeout at most.
type Client struct {
	base      *url.URL
	token     credential
	http      *http.Client
	timeout   time.Duration
	retryWait time.Duration
	userAgent string
	log       *slog.Logger
	limit     *limiter
	looks     bool // made beside another one
	slots     chan struct{}
	breaker   *breaker
	accounts  keyed
	readOnly  bool
	requested func(write bool, status int, took time.Duration)

	// What answers told in passing.
	versionID     atomic.Pointer[string]  // X-Version-Id
	configVersion atomic.Pointer[Version] // what config/client says; nil: not asked
	authData      atomic.Int32            // authShown, authHidden
	ldapLocked    atomic.Bool             // an ldap account was refused to be (de)activated
	listLimit     atomic.Int64            // bytes of a list that the server takes; 0: not known to be less than usual
	noFiles       atomic.Bool             // the server was found to have nowhere to keep files
	clock         serverClock
	certificate   atomic.Pointer[time.Time] // when the one it shows ends
}

// New makes a client. Nothing is sent yet.
func New(o Options) (*Client, error) {
	base, err := parseBase(o.BaseURL, o.AllowHTTP)
	if err != nil {
		return nil, err
	}
	if o.Token == nil {
		return nil, errors.New("mattermost token: none configured; set mattermost.token_file")
	}
	if o.RatePerSecond < 0 || o.MaxInFlight < 0 || o.Timeout < 0 || o.RetryWait < 0 || o.RideOut < 0 {
		return nil, errors.New("mattermost: rate, requests in flight, timeout, retry wait and ride-out cannot be negative")
	}
	next := o.HTTPTransport
	if next == nil {
		if next, err = newTransport(o); err != nil {
			return nil, err
		}
	}
	c := &Client{
		base:      base,
		timeout:   orDefault(o.Timeout, 45*time.Second),
		retryWait: orDefault(o.RetryWait, 250*time.Millisecond),
		userAgent: orDefault(o.UserAgent, "mmsync"),
		log:       o.Logger,
		limit:     newLimiter(orDefault(o.RatePerSecond, 50)),
		slots:     make(chan struct{}, orDefault(o.MaxInFlight, 4)),
		readOnly:  o.ReadOnly,
		requested: o.Requested,
	}
	c.token.source, c.token.told = o.Token, func(TokenState) {}
	if o.TokenChanged != nil {
		c.token.told = o.TokenChanged
	}
	if o.Beside != nil {
		c.limit, c.looks, c.readOnly = o.Beside.limit, true, true
	}
	c.breaker = newBreaker(o.RideOut, c.health, c.sayAway)
	c.http = &http.Client{
		Transport: &fence{next: next, base: base, routes: Routes(), readOnly: c.readOnly, passwords: o.Passwords, deletions: o.Deletions},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // reported by the caller, never followed
		},
	}
	return c, nil
}

// BaseURL is the configured URL without a trailing slash.
func (c *Client) BaseURL() string { return c.base.String() }

// CloseIdle closes connections that are not in use.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

// CloseIdleConnections passes the wish on to the real transport.
func (f *fence) CloseIdleConnections() {
	if n, ok := f.next.(interface{ CloseIdleConnections() }); ok {
		n.CloseIdleConnections()
	}
}

func parseBase(s string, allowHTTP bool) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(s, "/"))
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, errors.New("mattermost url: not an http(s) URL; set mattermost.url to the site URL, like https://chat.example.com")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("mattermost url: it may hold no user, query or fragment")
	}
	if strings.HasSuffix(u.Path, apiPrefix) {
		return nil, fmt.Errorf("mattermost url: leave %s away, mmsync adds it", apiPrefix)
	}
	if u.Scheme == "http" && !allowHTTP && !loopback(u.Hostname()) {
		return nil, fmt.Errorf("mattermost url: plain http to %s would send the administrator's token unprotected; "+
			"use https, or set mattermost.allow_http if the network in between is safe", u.Hostname())
	}
	return u, nil
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func newTransport(o Options) (http.RoundTripper, error) {
	proxy := http.ProxyFromEnvironment
	switch {
	case o.Proxy != nil:
		p := &proxySource{read: o.Proxy}
		if _, err := p.get(nil); err != nil {
			return nil, err
		}
		proxy = p.get
	case o.ProxyURL == "":
	case o.ProxyURL == "direct":
		proxy = nil
	default:
		u, err := parseProxy(o.ProxyURL)
		if err != nil {
			return nil, err
		}
		proxy = http.ProxyURL(u)
	}
	made := func(roots *x509.CertPool) *http.Transport { return transport(o, proxy, roots) }
	if o.RootCAs != nil || o.CAFile == "" {
		return made(o.RootCAs), nil
	}
	t, err := authorities.NewTransport(authorities.In(o.CAFile), made)
	if err != nil {
		return nil, fmt.Errorf("mattermost %w", err)
	}
	return t, nil
}

func transport(o Options, proxy func(*http.Request) (*url.URL, error), roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		Proxy:               proxy,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 10 * time.Second,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: orDefault(o.MaxInFlight, 4),
		// The server closes idle connections after 60 s; a write must not meet that.
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// serverClock keeps the last Date header beside the local monotonic time at
// which it came, so that the server's time can be told at any moment.
type serverClock struct {
	mu   sync.Mutex
	date time.Time
	at   time.Time
}

func (s *serverClock) set(date time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.date, s.at = date, time.Now()
}

// now is the server's time, to about a second; zero before the first answer.
func (s *serverClock) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.date.IsZero() {
		return time.Time{}
	}
	return s.date.Add(time.Since(s.at))
}

// place waits for a place in flight.
func (c *Client) place(ctx context.Context) (leave func(), err error) {
	select {
	case c.slots <- struct{}{}:
		return func() { <-c.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
