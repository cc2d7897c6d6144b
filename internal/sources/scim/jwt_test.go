package scim_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/sources/scim"
)

// provider is an issuer with its keys on a server.
type provider struct {
	*httptest.Server
	mu      sync.Mutex
	keys    []any // as JSON
	fetched int
	status  int
	about   string // what it says its issuer is
	jwks    string // where it says its keys are; "" = here
}

func newProvider(t *testing.T, keys ...any) *provider {
	t.Helper()
	p := &provider{keys: keys, status: http.StatusOK}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.fetched++
		if p.status >= 300 && p.status < 400 {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(p.status)
		body := map[string]any{"keys": p.keys}
		if strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration") {
			where := p.jwks
			if where == "" {
				where = p.URL + "/keys"
			}
			body = map[string]any{"issuer": p.about, "jwks_uri": where}
		}
		_ = json.NewEncoder(w).Encode(body)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *provider) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func rsaKey(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	require.NoError(t, err)
	return k
}

func public(id, algorithm string, key any) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key, KeyID: id, Algorithm: algorithm}
}

// sign makes a token; extra are headers.
func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, id string, claims map[string]any, extra map[jose.HeaderKey]any) string {
	t.Helper()
	o := (&jose.SignerOptions{}).WithType("JWT")
	for k, v := range extra {
		o = o.WithHeader(k, v)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: id}}, o)
	require.NoError(t, err)
	body, err := json.Marshal(claims)
	require.NoError(t, err)
	signed, err := s.Sign(body)
	require.NoError(t, err)
	text, err := signed.CompactSerialize()
	require.NoError(t, err)
	return text
}

const issuerName = "https://login.example.com/tenant"

func (w *world) claims(change map[string]any) map[string]any {
	c := map[string]any{
		"iss": issuerName, "aud": "api://mmsync", "exp": w.clock.Add(time.Hour).Unix(), "nbf": w.clock.Unix(), "iat": w.clock.Unix(),
		"tid": "tenant", "azp": "client-1",
	}
	maps.Copy(c, change)
	for k, v := range change {
		if v == nil {
			delete(c, k)
		}
	}
	return c
}

func entra(p *provider) scim.Issuer {
	return scim.Issuer{
		Source: "entra", Issuer: issuerName, Audience: []string{"api://other", "api://mmsync"}, KeysURL: p.URL, Algorithms: []string{"RS256", "ES256"},
		Claims: map[string]string{"tid": "tenant"}, Scopes: []string{"users"},
	}
}

func trusting(list ...scim.Issuer) func(*scim.GateOptions) {
	return func(o *scim.GateOptions) { o.Issuers = list }
}

func TestJWT_a_signed_token_tells_the_source_and_the_client(t *testing.T) {
	t.Parallel()
	key := rsaKey(t, 2048)
	w := newWorld(trusting(entra(newProvider(t, public("a", "RS256", &key.PublicKey)))))
	got, err := w.gate.Open(request(t, sign(t, jose.RS256, key, "a", w.claims(nil), nil)))
	require.NoError(t, err)
	require.Equal(t, scim.Client{Source: "entra", Name: "client-1", Users: true, Write: true, TokenID: "jwt/entra"}, got)
	require.Zero(t, w.reads, "the store is not asked")
}

func TestJWT_every_claim_is_looked_at(t *testing.T) {
	t.Parallel()
	key := rsaKey(t, 2048)
	w := newWorld(trusting(entra(newProvider(t, public("a", "", &key.PublicKey)))))
	at := func(d time.Duration) int64 { return w.clock.Add(d).Unix() }
	for name, c := range map[string]struct {
		change map[string]any
		wants  int
	}{
		"another audience beside it": {map[string]any{"aud": []string{"x", "api://mmsync"}}, 200},
		"expired within the skew":    {map[string]any{"exp": at(-59 * time.Second)}, 200},
		"early within the skew":      {map[string]any{"nbf": at(59 * time.Second)}, 200},
		"no nbf, no iat":             {map[string]any{"nbf": nil, "iat": nil}, 200},
		"expired":                    {map[string]any{"exp": at(-61 * time.Second)}, 401},
		"never expires":              {map[string]any{"exp": nil}, 401},
		"expires as text":            {map[string]any{"exp": "2030-01-01"}, 401},
		"not valid yet":              {map[string]any{"nbf": at(61 * time.Second)}, 401},
		"issued in the future":       {map[string]any{"iat": at(2 * time.Minute)}, 401},
		"another issuer":             {map[string]any{"iss": "https://login.example.com/other"}, 401},
		"an issuer with a slash":     {map[string]any{"iss": issuerName + "/"}, 401},
		"no issuer":                  {map[string]any{"iss": nil}, 401},
		"another audience":           {map[string]any{"aud": "api://mmsync2"}, 401},
		"no audience":                {map[string]any{"aud": nil}, 401},
		"another tenant":             {map[string]any{"tid": "other"}, 401},
		"a list of tenants":          {map[string]any{"tid": []string{"tenant", "other"}}, 401},
		"no tenant":                  {map[string]any{"tid": nil}, 401},
	} {
		r := request(t, sign(t, jose.RS256, key, "a", w.claims(c.change), nil))
		r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", len(name)) // not one that has failed too often
		_, err := w.gate.Open(r)
		require.Equal(t, c.wants, status(t, err), name)
	}
}

func TestJWT_claims_are_compared_as_they_are_written(t *testing.T) {
	t.Parallel()
	key := rsaKey(t, 2048)
	i := entra(newProvider(t, public("a", "", &key.PublicKey)))
	i.Claims = map[string]string{"azpacr": "1", "internal": "true"}
	w := newWorld(trusting(i))
	require.Equal(t, 200, w.open(t, sign(t, jose.RS256, key, "a", w.claims(map[string]any{"azpacr": 1, "internal": true}), nil)))
	require.Equal(t, 200, w.open(t, sign(t, jose.RS256, key, "a", w.claims(map[string]any{"azpacr": "1", "internal": "true"}), nil)))
	require.Equal(t, 401, w.open(t, sign(t, jose.RS256, key, "a", w.claims(map[string]any{"azpacr": "1"}), nil)))
}

// The classic ways to have a token of one's own taken.
func TestJWT_what_a_token_says_about_its_own_key_is_not_believed(t *testing.T) {
	t.Parallel()
	key, mine := rsaKey(t, 2048), rsaKey(t, 2048)
	thief := newProvider(t, public("a", "", &mine.PublicKey))
	w := newWorld(trusting(entra(newProvider(t, public("a", "RS256", &key.PublicKey)))))
	part := func(v any) string {
		data, err := json.Marshal(v)
		require.NoError(t, err)
		return base64.RawURLEncoding.EncodeToString(data)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(t, err)
	good := sign(t, jose.RS256, key, "a", w.claims(nil), nil)
	cut := strings.Split(good, ".")
	for name, token := range map[string]string{
		"none":                 part(map[string]any{"alg": "none"}) + "." + part(w.claims(nil)) + ".",
		"None":                 part(map[string]any{"alg": "None", "kid": "a"}) + "." + part(w.claims(nil)) + ".",
		"HS256 with the key":   sign(t, jose.HS256, der, "a", w.claims(nil), nil),
		"another algorithm":    sign(t, jose.RS512, key, "a", w.claims(nil), nil),
		"a key of one's own":   sign(t, jose.RS256, mine, "a", w.claims(nil), nil),
		"jku":                  sign(t, jose.RS256, mine, "a", w.claims(nil), map[jose.HeaderKey]any{"jku": thief.URL}),
		"x5u":                  sign(t, jose.RS256, mine, "a", w.claims(nil), map[jose.HeaderKey]any{"x5u": thief.URL}),
		"jwk":                  sign(t, jose.RS256, mine, "a", w.claims(nil), map[jose.HeaderKey]any{"jwk": public("a", "RS256", &mine.PublicKey)}),
		"an unknown crit":      sign(t, jose.RS256, key, "a", w.claims(nil), map[jose.HeaderKey]any{"crit": []string{"exp"}, "exp": 1}),
		"other claims":         cut[0] + "." + part(w.claims(map[string]any{"tid": "x"})) + "." + cut[2],
		"no signature":         cut[0] + "." + cut[1] + ".",
		"an empty part":        "..",
		"a JSON serialisation": `{"payload":"` + cut[1] + `","protected":"` + cut[0] + `","signature":"` + cut[2] + `"}`,
	} {
		w.after(time.Minute / 6)
		require.Equal(t, 401, w.open(t, token), name)
	}
	require.Zero(t, thief.fetched)
	require.Equal(t, 200, w.open(t, good))
	require.NotContains(t, w.log.String(), cut[2])
}

func TestJWT_keys_that_cannot_be_public_or_strong_are_not_used(t *testing.T) {
	t.Parallel()
	key, weak := rsaKey(t, 2048), rsaKey(t, 1024) //nolint:gosec // that it is weak is the point
	encrypts := public("e", "", &key.PublicKey)
	encrypts.Use = "enc"
	p := newProvider(t, public("w", "", &weak.PublicKey), public("s", "HS256", []byte("a shared secret of thirty-two bytes")), encrypts,
		map[string]any{"kty": "from the future", "kid": "f"}, public("a", "PS256", &key.PublicKey), public("g", "RS256", &key.PublicKey))
	w := newWorld(trusting(entra(p)))
	require.Equal(t, 200, w.open(t, sign(t, jose.RS256, key, "g", w.claims(nil), nil)), "the set as a whole is good")
	require.Equal(t, 401, w.open(t, sign(t, jose.RS256, weak, "w", w.claims(nil), nil)))
	require.Equal(t, 401, w.open(t, sign(t, jose.RS256, key, "e", w.claims(nil), nil)))
	require.Equal(t, 401, w.open(t, sign(t, jose.RS256, key, "a", w.claims(nil), nil)), "a key for another algorithm")
}

func TestJWT_without_a_key_id_there_must_be_one_key(t *testing.T) {
	t.Parallel()
	one, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	key := rsaKey(t, 2048)
	p := newProvider(t, public("e", "ES256", &one.PublicKey), public("a", "RS256", &key.PublicKey))
	w := newWorld(trusting(entra(p)))
	require.Equal(t, 200, w.open(t, sign(t, jose.ES256, one, "", w.claims(nil), nil)))
	p.set(func() { p.keys = append(p.keys, public("b", "RS256", &rsaKey(t, 2048).PublicKey)) })
	w.after(2 * time.Hour)
	require.Equal(t, 401, w.open(t, sign(t, jose.RS256, key, "", w.claims(nil), nil)))
	require.Equal(t, 200, w.open(t, sign(t, jose.RS256, key, "a", w.claims(nil), nil)))
}

func TestJWT_keys_are_fetched_rarely_whatever_is_sent(t *testing.T) {
	t.Parallel()
	key, next := rsaKey(t, 2048), rsaKey(t, 2048)
	p := newProvider(t, public("a", "", &key.PublicKey))
	w := newWorld(trusting(entra(p)))
	for range 5 {
		require.Equal(t, 200, w.open(t, sign(t, jose.RS256, key, "a", w.claims(nil), nil)))
		require.Equal(t, 401, w.open(t, sign(t, jose.RS256, next, "b", w.claims(nil), nil)))
	}
	require.Equal(t, 1, p.fetched)
	p.set(func() { p.keys = append(p.keys, public("b", "", &next.PublicKey)) })
	w.after(30 * time.Second)
	require.Equal(t, 200, w.open(t, sign(t, jose.RS256, next, "b", w.claims(nil), nil)), "a new key is found after half a minute")
	require.Equal(t, 2, p.fetched)

	p.set(func() { p.keys = p.keys[1:] })
	w.after(time.Hour)
	require.Equal(t, 401, w.open(t, sign(t, jose.RS256, key, "a", w.claims(nil), nil)), "one that is withdrawn goes after an hour")
}

func TestJWT_an_issuer_that_is_away_is_believed_for_four_hours(t *testing.T) {
	t.Parallel()
	key := rsaKey(t, 2048)
	p := newProvider(t, public("a", "", &key.PublicKey))
	p.set(func() { p.status = http.StatusInternalServerError })
	w := newWorld(trusting(entra(p)))
	require.Equal(t, 503, w.open(t, sign(t, jose.RS256, key, "a", w.claims(nil), nil)), "there are no keys yet")
	p.set(func() { p.status = http.StatusOK })
	w.after(time.Minute)
	require.Equal(t, 200, w.open(t, sign(t, jose.RS256, key, "a", w.claims(nil), nil)))
	p.set(func() { p.status = http.StatusFound })
	w.after(4*time.Hour - time.Second)
	require.Equal(t, 200, w.open(t, sign(t, jose.RS256, key, "a", w.claims(nil), nil)))
	w.after(time.Second)
	require.Equal(t, 503, w.open(t, sign(t, jose.RS256, key, "a", w.claims(nil), nil)), "redirects are not followed")
}

func TestJWT_discovery_believes_the_issuer_that_is_configured(t *testing.T) {
	t.Parallel()
	key := rsaKey(t, 2048)
	for name, c := range map[string]struct {
		about, keys string
		wants       int
	}{
		"itself":         {"", "", 200},
		"another issuer": {"https://evil.example.com", "", 503},
		"keys over http": {"", "http://login.example.com/keys", 503},
		"keys in a file": {"", "file:///etc/passwd", 503},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t, public("a", "", &key.PublicKey))
			i := entra(p)
			i.Issuer, i.KeysURL, i.Discovery = p.URL+"/tenant/", "", true
			p.set(func() {
				if p.about, p.jwks = c.about, c.keys; c.about == "" {
					p.about = i.Issuer
				}
			})
			w := newWorld(trusting(i))
			require.Equal(t, c.wants, w.open(t, sign(t, jose.RS256, key, "a", w.claims(map[string]any{"iss": i.Issuer}), nil)))
		})
	}
}

func TestJWT_a_token_that_fits_two_sources_is_taken_for_neither(t *testing.T) {
	t.Parallel()
	key := rsaKey(t, 2048)
	p := newProvider(t, public("a", "", &key.PublicKey))
	one, two := entra(p), entra(p)
	two.Source, two.Claims = "okta", map[string]string{"azp": "client-1"}
	w := newWorld(trusting(one, two))
	require.Equal(t, 401, w.open(t, sign(t, jose.RS256, key, "a", w.claims(nil), nil)))
	got, err := w.gate.Open(request(t, sign(t, jose.RS256, key, "a", w.claims(map[string]any{"tid": "other"}), nil)))
	require.NoError(t, err)
	require.Equal(t, "okta", got.Source)
}

func TestJWT_without_an_issuer_none_is_taken(t *testing.T) {
	t.Parallel()
	w := newWorld()
	require.Equal(t, 401, w.open(t, sign(t, jose.RS256, rsaKey(t, 2048), "a", w.claims(nil), nil)))
	require.Contains(t, w.log.String(), "no form that is known")
}
