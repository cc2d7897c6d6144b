package page

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	startPath    = "/login/oidc"
	callbackPath = "/login/oidc/callback"
)

// flowTime is how long somebody may take at the provider.
const flowTime = 10 * time.Minute

// providerTimeout is how long a provider may take to answer.
const providerTimeout = 15 * time.Second

// OIDC is an identity provider at which people log in.
type OIDC struct {
	Issuer, ClientID string
	// Secret gives the client's secret; nil for a public client.
	Secret func() (string, error)
	Scopes []string // beside openid
	// NameClaim is what people are called by.
	NameClaim          string
	Viewers, Approvers Claim
	// Client makes the calls; nil: one that follows no redirect and has a time limit.
	Client *http.Client
}

// Claim selects people by what the provider says of them.
type Claim struct {
	Name   string
	Values []string
	Any    bool
}

// has tells whether the claims are those of somebody who is selected. A claim is a text
// or a list of texts, and compared exactly.
func (c Claim) has(claims map[string]json.RawMessage) bool {
	if c.Any {
		return true
	}
	raw, ok := claims[c.Name]
	if !ok || c.Name == "" {
		return false
	}
	var list []string
	if json.Unmarshal(raw, &list) != nil {
		var one string
		if json.Unmarshal(raw, &one) != nil {
			return false
		}
		list = []string{one}
	}
	return slices.ContainsFunc(list, func(v string) bool { return slices.Contains(c.Values, v) })
}

// provider asks for the discovery document when somebody logs in first, so that a
// provider that is away keeps nothing else from starting.
type provider struct {
	o        OIDC
	redirect string

	mu    sync.Mutex
	found *oidc.Provider
}

func newProvider(o OIDC, redirect string) *provider {
	if o.Client == nil {
		o.Client = &http.Client{
			Timeout: providerTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse
			},
		}
	}
	return &provider{o: o, redirect: redirect}
}

func (v *provider) discover(ctx context.Context) (*oidc.Provider, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.found != nil {
		return v.found, nil
	}
	// The provider keeps the context to fetch keys with, which outlives the request.
	found, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), v.o.Client), v.o.Issuer)
	if err != nil {
		return nil, fmt.Errorf("ask the identity provider for its addresses: %w", err)
	}
	v.found = found
	return found, nil
}

func (v *provider) config(found *oidc.Provider) (*oauth2.Config, error) {
	c := &oauth2.Config{
		ClientID: v.o.ClientID, Endpoint: found.Endpoint(), RedirectURL: v.redirect, Scopes: append([]string{oidc.ScopeOpenID}, v.o.Scopes...),
	}
	if v.o.Secret != nil {
		secret, err := v.o.Secret()
		if err != nil {
			return nil, fmt.Errorf("read the client's secret: %w", err)
		}
		c.ClientSecret = secret
	}
	return c, nil
}

// flow is what has to come back from the provider, as it is sealed into a cookie.
type flow struct {
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"`
	Next     string    `json:"next"`
	Until    time.Time `json:"until"`
}

// start gives where to send somebody who wants to log in.
func (v *provider) start(ctx context.Context, next string) (string, flow, error) {
	found, err := v.discover(ctx)
	if err != nil {
		return "", flow{}, err
	}
	c, err := v.config(found)
	if err != nil {
		return "", flow{}, err
	}
	f := flow{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Next: next, Until: time.Now().Add(flowTime)}
	return c.AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), f, nil
}

// errNotListed is returned for somebody whom the provider knows and the configuration
// does not name.
var errNotListed = errors.New("not listed")

// end makes a session of what the provider sent back.
func (v *provider) end(ctx context.Context, f flow, state, code string) (session, error) {
	switch {
	case !time.Now().Before(f.Until):
		return session{}, errors.New("the login took longer than ten minutes")
	case state == "" || subtle.ConstantTimeCompare([]byte(state), []byte(f.State)) != 1:
		return session{}, errors.New("the answer is not to the question that was asked")
	case code == "":
		return session{}, errors.New("the answer has no code")
	}
	found, err := v.discover(ctx)
	if err != nil {
		return session{}, err
	}
	c, err := v.config(found)
	if err != nil {
		return session{}, err
	}
	ctx = oidc.ClientContext(ctx, v.o.Client)
	tokens, err := c.Exchange(ctx, code, oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return session{}, fmt.Errorf("exchange the code: %w", err)
	}
	raw, ok := tokens.Extra("id_token").(string)
	if !ok {
		return session{}, errors.New("the provider's answer has no id_token")
	}
	id, err := found.VerifierContext(ctx, &oidc.Config{ClientID: v.o.ClientID}).Verify(ctx, raw)
	if err != nil {
		return session{}, fmt.Errorf("verify the id_token: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(f.Nonce)) != 1 {
		return session{}, errors.New("the id_token is not for this login")
	}
	var claims map[string]json.RawMessage
	if err := id.Claims(&claims); err != nil {
		return session{}, fmt.Errorf("read the claims of the id_token: %w", err)
	}
	s := session{Name: nameOf(claims, v.o.NameClaim, id.Subject), Approve: !v.o.Approvers.Any && v.o.Approvers.has(claims)}
	if !s.Approve && !v.o.Viewers.has(claims) {
		return session{}, errNotListed
	}
	return s, nil
}

// mostName is how many characters of a name are kept.
const mostName = 100

// nameOf is what the history calls somebody by: the claim, and what never changes of
// him beside it, for names can be chosen.
func nameOf(claims map[string]json.RawMessage, claim, subject string) string {
	var name string
	if json.Unmarshal(claims[claim], &name) != nil || name == "" || name == subject {
		return plainName(subject)
	}
	return plainName(name) + " (" + plainName(subject) + ")"
}
