package scim

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	protocol "github.com/mmsync/mmsync/internal/scim"
	"github.com/mmsync/mmsync/internal/state"
)

// accessPrefix begins a short-lived token. Behind it stands, in base64url: when it
// expires (8 bytes, seconds since 1970), an HMAC-SHA256 (32 bytes) and the id of the
// token it came from. Nothing of it is kept: it is valid as long as that token is.
const accessPrefix = "mma_"

const sealAt, idAt = 8, 8 + sha256.Size

// access makes a token that expires when the one it comes from does, or before.
func (g *Gate) access(t state.Token) (token string, lifetime time.Duration) {
	now := g.o.Now()
	lifetime = g.o.Lifetime
	if !t.ExpiresAt.IsZero() {
		lifetime = min(lifetime, t.ExpiresAt.Sub(now))
	}
	body := binary.BigEndian.AppendUint64(nil, uint64(now.Add(lifetime).Unix())) //nolint:gosec // not before 1970
	body = append(body, g.seal(t, body)...)
	return accessPrefix + base64.RawURLEncoding.EncodeToString(append(body, t.ID...)), lifetime
}

// seal binds an expiry to a token and its secret. It takes the key as well as the
// digest from the store to make one.
func (g *Gate) seal(t state.Token, expires []byte) []byte {
	mac := hmac.New(sha256.New, g.o.Seal)
	_, _ = mac.Write(expires) // never fails, by its contract
	_, _ = mac.Write(t.Hash[:])
	_, _ = mac.Write([]byte(t.ID))
	return mac.Sum(nil)
}

// byAccess lets in who has a short-lived token.
func (g *Gate) byAccess(ctx context.Context, token string, from netip.Addr) (Client, error) {
	data, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, accessPrefix))
	if err != nil || len(data) <= idAt {
		return Client{}, refusal("it has no form that is known here")
	}
	t, found, err := g.ring.byID(ctx, string(data[idAt:]))
	if err != nil {
		return Client{}, err
	}
	if !found || !hmac.Equal(data[sealAt:idAt], g.seal(t, data[:sealAt])) {
		return Client{}, refusal("a short-lived token was not made here")
	}
	if expires := time.Unix(int64(binary.BigEndian.Uint64(data)), 0); !g.o.Now().Before(expires) { //nolint:gosec // it is sealed
		return Client{}, refusal("a short-lived token from token " + t.ID + " expired")
	}
	return g.enter(ctx, t, from)
}

// OAuth is the token endpoint for clients that fetch short-lived tokens: the client
// credentials grant, RFC 6749 section 4.4, with a token's id as client_id and its
// secret as client_secret.
func (g *Gate) OAuth() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store") // section 5.1
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			answer(w, http.StatusMethodNotAllowed, oauthError{"invalid_request", "the token endpoint takes POST"})
			return
		}
		id, secret, fault := clientCredentials(w, r)
		if fault != nil {
			answer(w, http.StatusBadRequest, *fault)
			return
		}
		t, err := g.credentials(r, id, secret)
		if err != nil {
			deny(w, r, err)
			return
		}
		token, lifetime := g.access(t)
		answer(w, http.StatusOK, map[string]any{
			"access_token": token, "token_type": "Bearer", "expires_in": int(lifetime.Seconds()), "scope": strings.Join(scopes(t), " "),
		})
	})
}

// scopes are those of a token, written out.
func scopes(t state.Token) []string {
	c, out := Client{}.grant(t.Scopes), []string(nil)
	for _, s := range []struct {
		name string
		has  bool
	}{{"users", c.Users}, {"groups", c.Groups}, {"read", !c.Write}} {
		if s.has {
			out = append(out, s.name)
		}
	}
	return out
}

// credentials finds the token whose id and secret a client sent.
func (g *Gate) credentials(r *http.Request, id, secret string) (state.Token, error) {
	from := g.o.TrustedProxies.Client(r)
	t, found, err := g.ring.find(r.Context(), secret)
	if err == nil && (!found || t.ID != id) {
		err = refusal("no token has this id and secret")
	}
	var c Client
	if err == nil {
		c, err = g.enter(r.Context(), t, from)
	}
	if err != nil {
		return t, g.refuse(r.Context(), from, err)
	}
	return t, g.Spend(c, 1)
}

// clientCredentials reads the request, RFC 6749 sections 2.3.1 and 4.4.2. Nothing is
// taken from the address.
func clientCredentials(w http.ResponseWriter, r *http.Request) (id, secret string, fault *oauthError) {
	r.Body = http.MaxBytesReader(w, r.Body, maxCredential)
	if err := r.ParseForm(); err != nil {
		return "", "", &oauthError{"invalid_request", "the body must be a form"}
	}
	if grant := r.PostForm.Get("grant_type"); grant != "client_credentials" {
		return "", "", &oauthError{"unsupported_grant_type", "grant_type must be client_credentials"}
	}
	if user, password, ok := r.BasicAuth(); ok {
		id, err1 := url.QueryUnescape(user)
		secret, err2 := url.QueryUnescape(password)
		if errors.Join(err1, err2) != nil {
			return "", "", &oauthError{"invalid_request", "the header Authorization is not form-encoded"}
		}
		return id, secret, nil
	}
	return r.PostForm.Get("client_id"), r.PostForm.Get("client_secret"), nil
}

// oauthError is the answer of RFC 6749 section 5.2.
type oauthError struct {
	Code        string `json:"error"`
	Description string `json:"error_description"`
}

// deny answers a *protocol.Error in the words of OAuth.
func deny(w http.ResponseWriter, r *http.Request, err error) {
	refused, ok := errors.AsType[*protocol.Error](err)
	if !ok {
		refused = &protocol.Error{Status: http.StatusInternalServerError}
	}
	code := "temporarily_unavailable"
	if refused.Status == http.StatusUnauthorized {
		code = "invalid_client"
		if r.Header.Get("Authorization") != "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="scim"`)
		}
	}
	if refused.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(refused.RetryAfter.Seconds()))))
	}
	answer(w, refused.Status, oauthError{code, refused.Detail})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone if this fails
}
