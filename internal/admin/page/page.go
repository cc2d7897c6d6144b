// Package page is the status page: what runs, what is held and why, and, for whoever
// is logged in as an approver, the two buttons that say yes or no to it. It decides
// nothing and keeps nothing: it reads the store, and what it is told to say it says
// through the same function as the command line. Without a login it shows numbers, and
// nothing about anybody. It works without JavaScript; it listens nowhere by itself.
package page

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/mmsync/mmsync/internal/explain"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/peer"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

// Reader is what the page reads of the store; see state.Store.
type Reader interface {
	Now(ctx context.Context) (time.Time, error)
	HeldLease(ctx context.Context, name string) (l state.Lease, ok bool, err error)
	Runs(ctx context.Context, f state.RunFilter) ([]state.Run, error)
	Decisions(ctx context.Context, run string) ([]state.DecisionRecord, error)
	Ops(ctx context.Context, f state.OpFilter) ([]state.OpRecord, error)
	Reads(ctx context.Context, source string, since time.Time) ([]state.Read, error)
	Verdicts(ctx context.Context, f state.VerdictFilter) ([]state.Verdict, error)
	Stops(ctx context.Context, f state.StopFilter) ([]state.Stop, error)
	Held(ctx context.Context, keys ...identity.Key) ([]state.HeldItem, error)
	Waiting(ctx context.Context, before time.Time, limit int) ([]state.Due, error)
	CountDue(ctx context.Context) (n int, oldest time.Time, err error)
	CountResources(ctx context.Context, f state.ResourceFilter) (int, error)
}

// Approver keeps what an operator says; it is the engine.
type Approver interface {
	Say(ctx context.Context, s reconcile.Say) (state.Verdict, error)
}

// Explainer says all that is known of one person. It may read whole sources, which
// takes as long as that does.
type Explainer interface {
	Explain(ctx context.Context, query string) (explain.Person, error)
}

// Source is one source as the configuration has it.
type Source struct {
	Name, Type string
	// Pushed sources have resources in place of readings.
	Pushed bool
}

// Options are what a Page is made of. Reader, Approver and Explainer are required.
type Options struct {
	Reader    Reader
	Approver  Approver
	Explainer Explainer
	Sources   []Source
	// Listen is host:port that is listened on, PublicURL what people write to get
	// there, without a slash at its end; both may be "".
	Listen, PublicURL string
	// Proxies are believed in what they say of the address of who tries to log in.
	Proxies peer.Proxies
	// Token gives what logs in without an identity provider; nil: nothing does. It is
	// asked at each use, so that another one ends the logins of the one before.
	Token func() (string, error)
	// OIDC is nil if nobody logs in at an identity provider.
	OIDC *OIDC
	// Lifetime is how long a login lasts; 0 = 8 h.
	Lifetime time.Duration
	// SessionKey seals logins; nil: a new one is made.
	SessionKey []byte
	Logger     *slog.Logger
}

// Page is the http.Handler of the status page; it is mounted at /.
type Page struct {
	o       Options
	log     *slog.Logger
	routes  *http.ServeMux
	hosts   map[string]bool
	secure  bool // people come by https
	seal    *seal
	failed  *throttle
	ended   *endings
	oidc    *provider
	looking chan struct{} // who holds it has a person explained
	current standings
}

// explainTimeout is how long the page waits until a person is explained: less than the
// half minute that the listener gives a request, so that there is time to say so.
const explainTimeout = 25 * time.Second

// maxBody is how many bytes a form may have: those of all that one page shows.
const maxBody = 1 << 20

// New makes a Page.
func New(o Options) (*Page, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Lifetime <= 0 {
		o.Lifetime = 8 * time.Hour
	}
	secret := o.SessionKey
	if len(secret) == 0 {
		secret = make([]byte, 32)
		_, _ = rand.Read(secret) // never fails, says crypto/rand
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "mmsync status page", 64)
	if err != nil {
		return nil, fmt.Errorf("derive the keys of logins: %w", err)
	}
	sealed, err := newSeal(key[:32], key[32:])
	if err != nil {
		return nil, fmt.Errorf("set up the seal of logins: %w", err)
	}
	p := &Page{
		o: o, log: o.Logger.With("component", "page"), hosts: map[string]bool{"localhost": true},
		seal: sealed, failed: newThrottle(), ended: newEndings(), looking: make(chan struct{}, 1),
	}
	if host, _, err := net.SplitHostPort(o.Listen); err == nil && host != "" {
		p.hosts[plainHost(host)] = true
	}
	if o.PublicURL != "" {
		u, err := url.Parse(o.PublicURL)
		if err != nil || u.Hostname() == "" {
			return nil, fmt.Errorf("admin.public_url %q is not an address", o.PublicURL)
		}
		p.hosts[plainHost(u.Hostname())] = true
		p.secure = u.Scheme == "https"
	}
	if o.OIDC != nil {
		if o.PublicURL == "" {
			return nil, errors.New("a login by OpenID Connect needs admin.public_url, where the provider sends people back to")
		}
		p.oidc = newProvider(*o.OIDC, o.PublicURL+callbackPath)
	}
	p.routes = p.mux()
	return p, nil
}

func (p *Page) mux() *http.ServeMux {
	m := http.NewServeMux()
	m.HandleFunc("GET /{$}", p.overview)
	m.HandleFunc("GET /runs", p.runs)
	m.HandleFunc("GET /runs/{id}", p.run)
	m.HandleFunc("GET /held", p.held)
	m.HandleFunc("POST /held", p.say)
	m.HandleFunc("GET /conflicts", p.conflicts)
	m.HandleFunc("GET /people", p.people)
	m.HandleFunc("GET /people/{key}", p.person)
	m.HandleFunc("GET /login", p.loginForm)
	m.HandleFunc("POST /login", p.loginByToken)
	m.HandleFunc("GET "+startPath, p.loginStart)
	m.HandleFunc("GET "+callbackPath, p.loginEnd)
	m.HandleFunc("POST /logout", p.logout)
	m.HandleFunc("GET /static/style.css", style)
	m.HandleFunc("/", p.unknown)
	return m
}

// ServeHTTP answers requests for the names it is known by, and no other: a page of a
// stranger that has its name point here is not answered.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if !p.known(r) {
		http.Error(w, "This is not the name of this page. Set admin.public_url to the address that you use.", http.StatusMisdirectedRequest)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		if !p.ours(r) {
			p.fail(w, r, http.StatusForbidden, "The form was sent from somewhere else. Open this page by its own address and try again.")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	}
	p.routes.ServeHTTP(w, r)
}

// questionOf gives the reason by which a decision waits for a word about ownership.
func questionOf(d *plan.Decision) (plan.Reason, string, bool) {
	if d.Action == plan.Hold && reconcile.Question(d.Reason) {
		return d.Reason, d.Detail, true
	}
	for i := range d.Notes {
		if n := &d.Notes[i]; reconcile.Question(n.Reason) {
			return n.Reason, n.Detail, true
		}
	}
	return "", "", false
}

// personPath is where a person is explained.
func personPath(k identity.Key) string { return "/people/" + url.PathEscape(k.String()) }
