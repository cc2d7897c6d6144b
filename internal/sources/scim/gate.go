package scim

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/peer"
	protocol "github.com/mmsync/mmsync/internal/scim"
	"github.com/mmsync/mmsync/internal/state"
)

// maxCredential bounds what is looked at; tokens of providers with many groups in
// them have some KiB.
const maxCredential = 16 << 10

// Tokens is what the gate needs of a store.
type Tokens interface {
	// Tokens gives all tokens of all sources for "".
	Tokens(ctx context.Context, source string) ([]state.Token, error)
	UseToken(ctx context.Context, id, from string, at time.Time) error
}

// GateOptions say who is let in.
type GateOptions struct {
	Tokens Tokens
	// Sources are those that a token can be for.
	Sources []string
	// Issuers are those whose signed tokens are taken.
	Issuers []Issuer
	// TrustedProxies are believed in what they say of the client's address.
	TrustedProxies peer.Proxies
	// PerSecond bounds the requests of one token, of which Burst may come at once;
	// 0 = no bound.
	PerSecond, Burst int
	// Seal is the key of short-lived tokens. Processes that are to take each other's
	// share it, and it does not belong into the store. Empty: a random one.
	Seal []byte
	// Lifetime is that of short-lived tokens; 0 = an hour.
	Lifetime time.Duration
	// Client fetches keys; nil = one that gives up after 10 s. Redirects are not
	// followed in either.
	Client *http.Client
	Logger *slog.Logger     // nil = none
	Now    func() time.Time // nil = time.Now
}

// Gate tells who sends a request. Its methods may be called from many goroutines,
// and what it remembers is bounded.
type Gate struct {
	o        GateOptions
	ring     *keyring
	issuers  []*issuer
	failures *buckets // by client address
	requests *buckets // by token
}

// Client is who sent a request.
type Client struct {
	Source string
	// Name is the token's, or what its issuer calls the client.
	Name string
	// Users and Groups say what it may see, Write whether it may change that.
	Users, Groups, Write bool
	// TokenID is the token's, or "jwt/" and the source.
	TokenID string
}

// NewGate makes a Gate. Nothing is read or fetched before the first request.
func NewGate(o GateOptions) *Gate {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Lifetime == 0 {
		o.Lifetime = time.Hour
	}
	if len(o.Seal) == 0 {
		o.Seal = make([]byte, 32)
		_, _ = rand.Read(o.Seal) // never fails, by its contract
	}
	g := &Gate{o: o, ring: newKeyring(o.Tokens, o.Now)}
	// Ten failures at once, then one in six seconds.
	g.failures = newBuckets(1.0/6, 10)
	g.requests = newBuckets(float64(o.PerSecond), float64(max(o.Burst, 1)))
	fetch := keyClient(o.Client)
	for _, i := range o.Issuers {
		g.issuers = append(g.issuers, newIssuer(i, fetch, o.Now))
	}
	return g
}

// Open tells who sends a request. The error is a *protocol.Error: 401 if nobody who
// is known does, 429 if that happens too often from one address or a client sends
// too much, 503 if it cannot be told now. A good token is taken whatever else comes
// from its address, which may be a proxy's: it has 256 random bits or a signature,
// and is not found by trying.
func (g *Gate) Open(r *http.Request) (Client, error) {
	from := g.o.TrustedProxies.Client(r)
	credential, err := bearer(r.Header)
	if err != nil {
		return Client{}, err // nothing was tried
	}
	var c Client
	switch {
	case strings.HasPrefix(credential, state.TokenPrefix):
		c, err = g.bySecret(r.Context(), credential, from)
	case strings.HasPrefix(credential, accessPrefix):
		c, err = g.byAccess(r.Context(), credential, from)
	case strings.Count(credential, ".") == 2 && len(g.issuers) > 0:
		c, err = g.bySignature(r.Context(), credential)
	default:
		err = refusal("it has no form that is known here")
	}
	if err != nil {
		return Client{}, g.refuse(r.Context(), from, err)
	}
	return c, g.Spend(c, 1)
}

// Spend counts operations against what a client may send; 429 if that is used up.
// One request of many operations is let in if one is, and those after it wait for all
// of them.
func (g *Gate) Spend(c Client, operations int) error {
	if g.o.PerSecond == 0 {
		return nil
	}
	if wait := g.requests.take(c.TokenID, operations, g.o.Now()); wait > 0 {
		return &protocol.Error{Status: http.StatusTooManyRequests, Detail: "too many requests with this token", RetryAfter: wait}
	}
	return nil
}

// May tells whether a client may see resources of a type, and change them; the error
// is a *protocol.Error of status 403, RFC 7644 section 3.12.
func (c Client) May(resourceType string, write bool) error {
	lacks := ""
	switch {
	case resourceType == "User" && !c.Users:
		lacks = "see users"
	case resourceType == "Group" && !c.Groups:
		lacks = "see groups"
	case write && !c.Write:
		lacks = "change anything"
	default:
		return nil
	}
	return &protocol.Error{Status: http.StatusForbidden, Detail: "this token may not " + lacks}
}

// grant gives what scopes allow. Without users or groups it is both.
func (c Client) grant(scopes []string) Client {
	c.Users, c.Groups = slices.Contains(scopes, "users"), slices.Contains(scopes, "groups")
	if !c.Users && !c.Groups {
		c.Users, c.Groups = true, true
	}
	c.Write = !slices.Contains(scopes, "read")
	return c
}

// refusal is why a credential is not taken, for the log: who has none learns no more
// than that.
type refusal string

func (r refusal) Error() string { return string(r) }

// refuse makes the answer for a credential that was not taken.
func (g *Gate) refuse(ctx context.Context, from netip.Addr, err error) error {
	why, refused := err.(refusal) //nolint:errorlint // it is never wrapped
	wait := g.failures.take(peer.Network(from), 1, g.o.Now())
	switch {
	case !refused && wait == 0:
		g.o.Logger.ErrorContext(ctx, "who sends a request cannot be told", "error", err)
		fallthrough
	case !refused:
		return &protocol.Error{Status: http.StatusServiceUnavailable, Detail: "tokens cannot be looked at for now", RetryAfter: 5 * time.Second}
	case wait > 0:
		return &protocol.Error{Status: http.StatusTooManyRequests, Detail: "too many failures to authenticate", RetryAfter: wait}
	}
	g.o.Logger.WarnContext(ctx, "a token was not taken", "address", from.String(), "reason", string(why))
	return &protocol.Error{Status: http.StatusUnauthorized, Detail: "the token is not known here, or not valid any more"}
}

// bySecret lets in who has a token's secret.
func (g *Gate) bySecret(ctx context.Context, secret string, from netip.Addr) (Client, error) {
	t, found, err := g.ring.find(ctx, secret)
	if err != nil {
		return Client{}, err
	}
	if !found {
		return Client{}, refusal("no token has this secret")
	}
	return g.enter(ctx, t, from)
}

// enter lets in who holds a token, directly or by one that came from it.
func (g *Gate) enter(ctx context.Context, t state.Token, from netip.Addr) (Client, error) {
	now := g.o.Now()
	name := fmt.Sprintf("token %s (%q of source %s) ", t.ID, t.Name, t.Source)
	switch {
	case !t.RevokedAt.IsZero():
		return Client{}, refusal(name + "was revoked")
	case !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt):
		return Client{}, refusal(name + "expired")
	case !slices.Contains(g.o.Sources, t.Source):
		return Client{}, refusal(name + "is for a source that is not of type scim any more")
	case !within(t.Networks, from):
		return Client{}, refusal(name + "is not taken from this address")
	}
	if g.ring.unnoted(t, now) {
		if err := g.o.Tokens.UseToken(ctx, t.ID, from.String(), now); err != nil {
			g.o.Logger.WarnContext(ctx, "the use of a token could not be noted", "token", t.ID, "error", err)
		}
	}
	return Client{Source: t.Source, Name: t.Name, TokenID: t.ID}.grant(t.Scopes), nil
}

// bearer takes the credential out of the header, RFC 6750 section 2.1. One in the
// query or the body is none.
func bearer(h http.Header) (string, error) {
	values := h.Values("Authorization")
	if len(values) == 0 {
		return "", &protocol.Error{Status: http.StatusUnauthorized, Detail: "a bearer token is required"}
	}
	scheme, credential, _ := strings.Cut(values[0], " ")
	credential = strings.TrimSpace(credential)
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || credential == "" || len(credential) > maxCredential {
		return "", &protocol.Error{Status: http.StatusUnauthorized, Detail: "the header Authorization must be the word Bearer and one token"}
	}
	return credential, nil
}

// within tells whether an address is in one of the prefixes, or there are none. One
// that cannot be read has nobody in it.
func within(prefixes []string, a netip.Addr) bool {
	return len(prefixes) == 0 || slices.ContainsFunc(prefixes, func(text string) bool {
		p, err := netip.ParsePrefix(text)
		return err == nil && p.Contains(a)
	})
}
