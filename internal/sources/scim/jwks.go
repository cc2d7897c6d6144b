package scim

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// How long keys are believed. Issuers publish a new key well before they sign with
// it; a token with one that is not known has them fetched at most every keySetRetry.
const (
	keySetFresh = time.Hour
	// As long, if they cannot be fetched anew: an issuer that is away for a while stops no
	// push, and who keeps a withdrawn key alive by blocking the address has it for no day.
	// A push that comes later is answered 503, and its sender keeps it.
	keySetStale = 4 * time.Hour
	keySetRetry = 30 * time.Second
	maxKeySet   = 1 << 20 // bytes
)

// fetcher gets a JSON document.
type fetcher func(ctx context.Context, address string, into any) error

// keySet is an issuer's keys (RFC 7517), fetched when they are needed.
type keySet struct {
	fetch    fetcher
	now      func() time.Time
	url      string
	discover string // the issuer who tells url; "" = url is known

	mu     sync.Mutex
	keys   []jose.JSONWebKey
	read   time.Time // when they were fetched
	tried  time.Time // when that was tried last
	failed error     // how that ended
}

// find gives the keys with an id that can be used with an algorithm. Without an id
// there must be one such key alone. The error says that there are no keys to look at.
func (s *keySet) find(ctx context.Context, id, algorithm string) ([]any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if now.Sub(s.read) >= keySetFresh {
		s.refresh(ctx)
	}
	found := s.match(id, algorithm)
	if len(found) == 0 {
		s.refresh(ctx)
		found = s.match(id, algorithm)
	}
	if s.read.IsZero() || now.Sub(s.read) >= keySetStale {
		return nil, fmt.Errorf("get the keys of a tokens' issuer: %w", s.failed)
	}
	if id == "" && len(found) > 1 {
		return nil, refusal("it does not name its key, and its issuer has several")
	}
	return found, nil
}

func (s *keySet) match(id, algorithm string) []any {
	var out []any
	for _, k := range s.keys {
		if (id == "" || k.KeyID == id) && (k.Algorithm == "" || k.Algorithm == algorithm) {
			out = append(out, k.Key)
		}
	}
	return out
}

// refresh fetches the keys, unless that was tried just now. Those at hand stay if it
// fails.
func (s *keySet) refresh(ctx context.Context) {
	now := s.now()
	if !s.tried.IsZero() && now.Sub(s.tried) < keySetRetry {
		return
	}
	s.tried = now
	// The answer is for all, not only for the request that needs it first.
	keys, err := s.get(context.WithoutCancel(ctx))
	if s.failed = err; err == nil {
		s.keys, s.read = keys, now
	}
}

func (s *keySet) get(ctx context.Context) ([]jose.JSONWebKey, error) {
	from := s.url
	if s.discover != "" {
		var about struct {
			Issuer string `json:"issuer"`
			Keys   string `json:"jwks_uri"`
		}
		// OpenID Connect Discovery 1.0 section 4.
		if err := s.fetch(ctx, strings.TrimSuffix(s.discover, "/")+"/.well-known/openid-configuration", &about); err != nil {
			return nil, err
		}
		if about.Issuer != s.discover { // section 4.3
			return nil, fmt.Errorf("%s says that the issuer is %s", s.discover, short(about.Issuer))
		}
		from = about.Keys
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := s.fetch(ctx, from, &set); err != nil {
		return nil, err
	}
	var keys []jose.JSONWebKey
	for _, data := range set.Keys {
		// One that cannot be read is passed over, RFC 7517 section 5.
		var k jose.JSONWebKey
		if err := json.Unmarshal(data, &k); err == nil && signs(k) {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s has no key that signs", from)
	}
	return keys, nil
}

// signs tells whether a key is a public one for signatures. A shared secret in the
// set would be one that everybody knows.
func signs(k jose.JSONWebKey) bool {
	if r, ok := k.Key.(*rsa.PublicKey); ok && r.N.BitLen() < 2048 { // RFC 7518 section 3.3
		return false
	}
	return k.Valid() && k.IsPublic() && (k.Use == "" || k.Use == "sig")
}

// keyClient fetches over https, or from this machine, and goes where it was sent and
// nowhere else.
func keyClient(c *http.Client) fetcher {
	own := http.Client{Timeout: 10 * time.Second}
	if c != nil {
		own = *c
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return func(ctx context.Context, address string, into any) (err error) {
		defer func() {
			if err != nil {
				err = fmt.Errorf("fetch %s: %w", address, err)
			}
		}()
		if u, err := url.Parse(address); err != nil || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
			return errors.New("it is neither https nor on this machine")
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
		if err != nil {
			return err
		}
		req.Header.Set("Accept", "application/json")
		res, err := own.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("it answers %s", res.Status)
		}
		data, err := io.ReadAll(io.LimitReader(res.Body, maxKeySet))
		if err != nil {
			return err
		}
		return json.Unmarshal(data, into)
	}
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && a.IsLoopback()
}
