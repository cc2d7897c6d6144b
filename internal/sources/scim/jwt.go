package scim

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// clockSkew is how far an issuer's clock may be off.
const clockSkew = time.Minute

// Issuer says which signed tokens (RFC 7519) are taken for a source.
type Issuer struct {
	Source string
	// Issuer is what iss must be, exactly.
	Issuer string
	// Audience lists what aud may be; one suffices.
	Audience []string
	// KeysURL is where the issuer's keys are, or with Discovery the issuer's own
	// address, which is asked for it. The address is https or on loopback.
	KeysURL   string
	Discovery bool
	// Algorithms a token may be signed with. None of them works with a shared secret.
	Algorithms []string
	// Claims must be in a token with exactly these values.
	Claims map[string]string
	// Scopes are what such a client may do.
	Scopes []string
}

type issuer struct {
	Issuer
	algorithms []jose.SignatureAlgorithm
	keys       *keySet
	now        func() time.Time
}

func newIssuer(i Issuer, f fetcher, now func() time.Time) *issuer {
	out := &issuer{Issuer: i, keys: &keySet{fetch: f, now: now, url: i.KeysURL}, now: now}
	if i.Discovery {
		out.keys.url, out.keys.discover = "", i.Issuer
	}
	for _, a := range i.Algorithms {
		if !strings.HasPrefix(a, "HS") && a != "none" {
			out.algorithms = append(out.algorithms, jose.SignatureAlgorithm(a))
		}
	}
	return out
}

// bySignature lets in who has a token signed by an issuer. It must fit exactly one.
func (g *Gate) bySignature(ctx context.Context, token string) (Client, error) {
	var fits []*issuer
	var claims map[string]any
	why, asked := error(refusal("its issuer is none that is configured")), false
	for _, i := range g.issuers {
		found, err := i.verify(ctx, token)
		switch {
		case err == nil:
			fits, claims = append(fits, i), found
		case !errors.Is(err, errOtherIssuer) && !asked:
			why, asked = err, true
		}
	}
	switch len(fits) {
	case 0:
		return Client{}, why
	case 1:
		i := fits[0]
		return Client{Source: i.Source, Name: clientName(claims), TokenID: "jwt/" + i.Source}.grant(i.Scopes), nil
	}
	return Client{}, refusal(fmt.Sprintf("it fits the sources %s and %s: audience or claims must tell them apart", fits[0].Source, fits[1].Source))
}

var errOtherIssuer = errors.New("the token is another issuer's")

// verify gives the claims of a token that is the issuer's and valid. The error is a
// refusal, errOtherIssuer, or says that the keys could not be had.
//
// Keys come from the configured place alone: what the token's own header says of
// them (jku, x5u, jwk, x5c) is not looked at.
func (i *issuer) verify(ctx context.Context, token string) (map[string]any, error) {
	parsed, err := jwt.ParseSigned(token, i.algorithms)
	if err != nil {
		return nil, refusal("it is no token signed with " + strings.Join(i.Algorithms, ", "))
	}
	var claimed jwt.Claims
	if err := parsed.UnsafeClaimsWithoutVerification(&claimed); err != nil {
		return nil, refusal("its claims cannot be read")
	}
	if claimed.Issuer != i.Issuer.Issuer {
		return nil, errOtherIssuer
	}
	header := parsed.Headers[0]
	keys, err := i.keys.find(ctx, header.KeyID, header.Algorithm)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		var c jwt.Claims
		var all map[string]any
		if err := parsed.Claims(k, &c, &all); err != nil {
			continue
		}
		return all, i.check(c, all)
	}
	return nil, refusal("none of its issuer's keys has signed it, key id " + short(header.KeyID))
}

// check judges claims whose signature is good.
func (i *issuer) check(c jwt.Claims, all map[string]any) error {
	err := c.ValidateWithLeeway(jwt.Expected{Issuer: i.Issuer.Issuer, AnyAudience: i.Audience, Time: i.now()}, clockSkew)
	switch {
	case errors.Is(err, jwt.ErrInvalidAudience):
		return refusal("its audience is " + short(strings.Join(c.Audience, " ")))
	case err != nil:
		return refusal(strings.TrimPrefix(err.Error(), "go-jose/go-jose/jwt: "))
	case c.Expiry == nil:
		return refusal("it never expires")
	case len(i.Audience) == 0:
		return refusal("no audience is configured")
	}
	for _, name := range slices.Sorted(maps.Keys(i.Claims)) {
		if got, ok := claimText(all[name]); !ok || got != i.Claims[name] {
			return refusal("its claim " + name + " is " + short(got))
		}
	}
	return nil
}

// claimText writes a claim with one value as it would stand in the configuration.
func claimText(v any) (string, bool) {
	switch x := v.(type) {
	case string:
		return x, true
	case bool:
		return strconv.FormatBool(x), true
	case json.Number:
		return x.String(), true
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64), true
	}
	return "", false
}

// clientName is what an issuer calls the client: RFC 9068 says client_id, OpenID azp,
// Entra appid.
func clientName(all map[string]any) string {
	name := func(claim string) string {
		s, _ := claimText(all[claim])
		return s
	}
	n := cmp.Or(name("azp"), name("client_id"), name("appid"), name("sub"), "unnamed")
	if r := []rune(n); len(r) > 64 {
		n = string(r[:64])
	}
	return n
}

// short quotes what somebody sent, for the log.
func short(s string) string {
	if r := []rune(s); len(r) > 80 {
		s = string(r[:80]) + "…"
	}
	return strconv.Quote(s)
}
