package scim

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// Options are what a Handler is made of. Types, Open and BaseURL are required.
type Options struct {
	// Types are the resource types served, in the order in which the root lists them.
	Types []*ResourceType
	// Open tells who asks and what is theirs. It is called once for every request,
	// before anything else is looked at. An *Error refuses (401, 403, 429; see
	// RetryAfter), other errors are answered as a Backend's are.
	Open func(r *http.Request) (Session, error)
	// BaseURL is what clients reach this Handler by, absolute: all locations are
	// built from it, whatever Host a request names.
	BaseURL string
	// Prefix is the path below which the Handler is mounted if nobody has cut it off.
	Prefix string
	// Lenient are the deviations put up with, unless a Session has its own.
	Lenient Lenient
	// Noted is told once per request of each deviation that it made use of; may be nil.
	Noted func(session string, q Quirk)
	// Done is told of each request when it has been answered, and before that of each
	// operation of a bulk; may be nil.
	Done func(ctx context.Context, o Outcome)
	// Logger is told of each request, without personal data; nil: nobody is.
	Logger *slog.Logger
	Limits Limits
	// CursorKey seals cursors, so that they outlive a restart and are good with every
	// instance that has the same key. Zero: a random one.
	CursorKey [32]byte
	// QuietPatch names the types whose PATCH is answered with 204 and no body unless
	// attributes are asked for or excluded, RFC 7644 section 3.5.2; nil: "Group", for a group's
	// members may be many.
	QuietPatch []string
	// QuietAbove keeps those answers from being quiet about a resource none of whose
	// lists is longer than that; 0: all are quiet.
	QuietAbove int
	// ChangePassword says in ServiceProviderConfig that passwords may be set.
	ChangePassword bool
	// DocumentationURI is shown in ServiceProviderConfig; may be empty.
	DocumentationURI string
	// Authentication is shown in ServiceProviderConfig, RFC 7643 section 5; nil: bearer
	// tokens.
	Authentication []AuthenticationScheme
}

// AuthenticationScheme is one way to authenticate, RFC 7643 section 5.
type AuthenticationScheme struct {
	Type, Name, Description   string
	SpecURI, DocumentationURI string // may be empty
	Primary                   bool
}

// Session is who asks and what they may do.
type Session struct {
	Backend Backend
	// Name is of the client, in logs, in limits, and what cursors are bound to.
	Name string
	// Read and Write tell whether resources of a type, by name, may be; nil: all.
	Read, Write func(resourceType string) bool
	// Lenient, if not nil, stands in the place of the Handler's.
	Lenient Lenient
}

// Outcome is what became of one request. It has no personal data.
type Outcome struct {
	Session string // "" if it was refused one
	Method  string
	Route   string // as in /Users/{id}; "" if there is none such
	// ID is of the resource that was read or written, if there is one.
	ID       string
	Status   int
	Duration time.Duration
	Quirks   []Quirk  // ordered
	Changed  []string // names of attributes, of a write
	// Bulk tells an operation of a bulk request, whose Outcome follows.
	Bulk bool
}

// Handler serves the SCIM protocol, RFC 7644.
type Handler struct {
	o       Options
	base    string
	prefix  string
	log     *slog.Logger
	limits  Limits
	sealer  cipher.AEAD
	locks   *locks
	buckets *buckets
	docs    discovery
}

// New makes a Handler; an error says which option is wrong.
func New(o Options) (*Handler, error) {
	if o.Open == nil {
		return nil, errors.New("nobody opens sessions")
	}
	if err := checkTypes(o.Types); err != nil {
		return nil, err
	}
	base, err := checkBase(o.BaseURL)
	if err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.QuietPatch == nil {
		o.QuietPatch = []string{"Group"}
	}
	sealer, err := newSealer(o.CursorKey)
	if err != nil {
		return nil, fmt.Errorf("cursor key: %w", err)
	}
	l := o.Limits.withDefaults()
	h := &Handler{
		o: o, base: base, prefix: strings.TrimRight(o.Prefix, "/"), log: o.Logger, limits: l,
		sealer: sealer, locks: newLocks(), buckets: newBuckets(l.Rate, l.Burst),
	}
	h.docs = h.describe()
	return h, nil
}

func checkTypes(types []*ResourceType) error {
	if len(types) == 0 {
		return errors.New("no resource types")
	}
	taken := map[string]bool{"me": true, "bulk": true, ".search": true, "schemas": true, "resourcetypes": true, "serviceproviderconfig": true}
	for _, t := range types {
		name, ok := strings.CutPrefix(t.Endpoint, "/")
		if !ok || name == "" || url.PathEscape(name) != name || t.Name == "" || t.Schema == nil {
			return fmt.Errorf("resource type %q with endpoint %q: it needs a name, a schema and an endpoint of one segment", t.Name, t.Endpoint)
		}
		key := strings.ToLower(name)
		if taken[key] {
			return fmt.Errorf("resource type %q: endpoint %q is taken", t.Name, t.Endpoint)
		}
		taken[key] = true
	}
	return nil
}

func checkBase(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", fmt.Errorf("base URL: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("base URL %q: it has to be http or https with a host, and no user, query or fragment", u.Redacted())
	}
	return strings.TrimRight(text, "/"), nil
}

// ServeHTTP answers one request. Whatever is asked, the answer is SCIM.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	c := &call{h: h, method: r.Method, header: r.Header, lenient: h.o.Lenient}
	a := h.answer(r.Context(), c, func() (answer, error) { return h.serve(w, r, c) })
	h.write(w, r, a)
	h.record(r.Context(), c, a, time.Since(began))
}

// answer serves a request, or one operation of a bulk; an error or a panic on the
// way is an answer too.
func (h *Handler) answer(ctx context.Context, c *call, serve func() (answer, error)) (a answer) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
			panic(p)
		}
		h.log.ErrorContext(ctx, "panic while serving", "route", c.route.template(), "session", c.session.Name,
			"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		a = fault(&Error{Status: http.StatusInternalServerError, Detail: "internal error"})
	}()
	a, err := serve()
	if err != nil {
		a = h.refuse(ctx, c, err)
	}
	return a
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request, c *call) (answer, error) {
	c.route = h.find(r.URL.EscapedPath())
	s, err := h.o.Open(r)
	if err != nil {
		return answer{}, err
	}
	c.session = s
	if s.Lenient != nil {
		c.lenient = s.Lenient
	}
	if wait := h.buckets.take(s.Name, time.Now()); wait > 0 {
		return answer{}, RetryAfter(&Error{Status: http.StatusTooManyRequests, Detail: "too many requests: come again later"}, wait)
	}
	if c.method == http.MethodHead {
		c.method = http.MethodGet
	}
	if err := c.allowed(); err != nil {
		return answer{}, err
	}
	if c.params, err = parseParams(r.URL.RawQuery); err != nil {
		return answer{}, err
	}
	var body Object
	if c.method == http.MethodPost || c.method == http.MethodPut || c.method == http.MethodPatch {
		if body, err = h.readBody(w, r, c); err != nil {
			return answer{}, err
		}
	}
	limit := h.limits.Request
	if c.route.kind == kindBulk {
		limit = h.limits.Bulk
	}
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	return h.dispatch(ctx, c, body)
}

// dispatch calls what serves the route; allowed has already judged the method.
func (h *Handler) dispatch(ctx context.Context, c *call, body Object) (answer, error) {
	switch c.route.kind {
	case kindRoot:
		return h.list(ctx, c, h.o.Types)
	case kindRootSearch:
		return h.search(ctx, c, h.o.Types, body)
	case kindBulk:
		return h.bulk(ctx, c, body)
	case kindType:
		if c.method == http.MethodPost {
			return h.create(ctx, c, c.route.t, body)
		}
		return h.list(ctx, c, []*ResourceType{c.route.t})
	case kindTypeSearch:
		return h.search(ctx, c, []*ResourceType{c.route.t}, body)
	case kindResource:
		return h.resource(ctx, c, c.route.t, c.route.id, body)
	default:
		return h.discover(c)
	}
}

// resource serves one resource, for a request of its own as for one inside a bulk.
func (h *Handler) resource(ctx context.Context, c *call, t *ResourceType, id string, body Object) (answer, error) {
	switch c.method {
	case http.MethodPut:
		return h.replace(ctx, c, t, id, body)
	case http.MethodPatch:
		return h.patch(ctx, c, t, id, body)
	case http.MethodDelete:
		return h.remove(ctx, c, t, id)
	default:
		return h.read(ctx, c, t, id)
	}
}

// record tells the logger and whoever else wants to know what became of a request.
func (h *Handler) record(ctx context.Context, c *call, a answer, took time.Duration) {
	o := c.outcome(a, took)
	if h.o.Noted != nil {
		for _, q := range c.quirks {
			h.o.Noted(o.Session, q)
		}
	}
	level := slog.LevelInfo
	if a.status >= 500 && a.status != http.StatusNotImplemented {
		level = slog.LevelError
	}
	h.log.LogAttrs(ctx, level, "request served", slog.String("method", o.Method), slog.String("route", o.Route),
		slog.String("id", o.ID), slog.Int("status", o.Status), slog.Duration("duration", took),
		slog.String("session", o.Session), slog.Any("quirks", o.Quirks))
	if h.o.Done != nil {
		h.o.Done(ctx, o)
	}
}

func (c *call) outcome(a answer, took time.Duration) Outcome {
	slices.Sort(c.quirks)
	return Outcome{
		Session: c.session.Name, Method: knownMethod(c.method), Route: c.route.template(), ID: c.touched,
		Status: a.status, Duration: took, Quirks: c.quirks, Changed: c.changed,
	}
}

// knownMethod keeps what a client made up out of logs and metrics.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}
