package daemon

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/state"
)

func TestPage_login_by_token(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte(pageToken+"\n"), 0o600))
	w := newPage(t, "token_file: "+file, staff(2, 0)...)
	v := w.visitor(t)
	a := v.do(t, http.MethodPost, "/login", url.Values{"token": {pageToken[1:]}})
	require.Equal(t, http.StatusUnauthorized, a.status)
	require.NotContains(t, a.body, pageToken[1:], "what was typed is not shown again")
	require.Contains(t, v.get(t, "/people").at.Path, "/login")
	for _, next := range []string{"https://evil.example/", "//evil.example", `/\evil.example`, "/\tx", ""} {
		v := w.visitor(t)
		v.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		a := v.do(t, http.MethodPost, "/login", url.Values{"token": {pageToken}, "next": {next}})
		require.Equal(t, http.StatusSeeOther, a.status)
		require.Equal(t, "/", a.header.Get("Location"), next)
		c := a.header.Get("Set-Cookie")
		require.Contains(t, c, "HttpOnly")
		require.Contains(t, c, "SameSite=Lax")
		require.Contains(t, c, "Path=/")
		require.NotContains(t, c, "Domain")
		require.NotContains(t, c, pageToken)
	}

	v.login(t)
	require.Equal(t, http.StatusOK, v.get(t, "/people").status)
	require.Contains(t, v.get(t, "/").body, "admin token, may approve")
	u, err := url.Parse(w.server.URL)
	require.NoError(t, err)
	kept := v.http.Jar.Cookies(u)
	v.do(t, http.MethodPost, "/logout", url.Values{"form": {v.form(t)}})
	require.Equal(t, "/login", v.get(t, "/people").at.Path)
	v.http.Jar.SetCookies(u, kept)
	require.Equal(t, "/login", v.get(t, "/people").at.Path, "a login that was ended stays ended, whoever kept its cookie")

	v.login(t)
	for _, c := range v.http.Jar.Cookies(u) { // one bit of the seal
		raw, err := base64.RawURLEncoding.DecodeString(c.Value)
		require.NoError(t, err)
		raw[20] ^= 1
		v.http.Jar.SetCookies(u, []*http.Cookie{{Name: c.Name, Value: base64.RawURLEncoding.EncodeToString(raw), Path: "/"}})
	}
	require.Equal(t, "/login", v.get(t, "/people").at.Path)

	v.login(t)
	require.NoError(t, os.WriteFile(file, []byte(strings.Repeat("z", 32)), 0o600))
	require.Equal(t, "/login", v.get(t, "/people").at.Path, "another token ends the logins with the one before")
}

func TestPage_wrong_tokens_are_slowed_down(t *testing.T) {
	t.Parallel()
	w := newPage(t, "token: "+pageToken)
	v := w.visitor(t)
	for range 5 {
		require.Equal(t, http.StatusUnauthorized, v.do(t, http.MethodPost, "/login", url.Values{"token": {"guess"}}).status)
	}
	a := v.do(t, http.MethodPost, "/login", url.Values{"token": {pageToken}})
	require.Equal(t, http.StatusTooManyRequests, a.status, "nor is the right one taken then: that would tell which it is")
	require.NotEmpty(t, a.header.Get("Retry-After"))
}

func TestPage_without_a_way_to_log_in_nobody_can(t *testing.T) {
	t.Parallel()
	w := newPage(t, "")
	v := w.visitor(t)
	require.Contains(t, v.get(t, "/login").body, "Nobody can log in here")
	for _, token := range []string{"", pageToken} {
		require.Equal(t, http.StatusForbidden, v.do(t, http.MethodPost, "/login", url.Values{"token": {token}}).status)
	}
	require.Equal(t, http.StatusNotFound, v.get(t, "/login/oidc").status)
	require.Equal(t, http.StatusNotFound, v.get(t, "/login/oidc/callback?state=&code=x").status)
}

func TestPage_takes_forms_of_its_own_pages_alone(t *testing.T) {
	t.Parallel()
	w := newPage(t, "token: "+pageToken, staff(4, 0)...)
	w.sync(t)
	w.write(t, staff(4, 3)...)
	rep := w.sync(t)
	v, other := w.visitor(t).login(t), w.visitor(t).login(t)
	say := func(form string, change func(*http.Request)) int {
		return v.do(t, http.MethodPost, "/held", url.Values{"form": {form}, "run": {rep.RunID}, "do": {"approve-all"}, "reason": {"x"}}, change).status
	}
	set := func(pairs ...string) func(*http.Request) {
		return func(r *http.Request) {
			for i := 0; i < len(pairs); i += 2 {
				r.Header.Set(pairs[i], pairs[i+1])
				if pairs[i+1] == "" {
					r.Header.Del(pairs[i])
				}
			}
		}
	}
	form := v.form(t)
	for name, change := range map[string]func(*http.Request){
		"another origin":                 set("Origin", "https://evil.example"),
		"no origin":                      set("Origin", ""),
		"an origin that is null":         set("Origin", "null"),
		"another site":                   set("Sec-Fetch-Site", "cross-site"),
		"a sibling":                      set("Sec-Fetch-Site", "same-site"),
		"another site with our origin":   set("Sec-Fetch-Site", "cross-site", "Origin", w.server.URL),
		"same site, but another's page":  set("Sec-Fetch-Site", "same-origin", "Origin", "https://evil.example"),
		"an origin with our host within": set("Origin", "https://evil.example/"+strings.TrimPrefix(w.server.URL, "http://")),
	} {
		require.Equal(t, http.StatusForbidden, say(form, change), name)
	}
	require.Equal(t, http.StatusForbidden, say(other.form(t), set()), "the form of another login")
	require.Equal(t, http.StatusForbidden, say("", set()))
	verdicts, err := w.Store.Verdicts(t.Context(), state.VerdictFilter{})
	require.NoError(t, err)
	require.Empty(t, verdicts)
	require.Equal(t, http.StatusForbidden, v.do(t, http.MethodPost, "/logout", url.Values{}).status)
	require.Equal(t, http.StatusOK, say(form, set("Origin", "null", "Sec-Fetch-Site", "same-origin")), "what browsers send that are told to send no referrer")
}

func TestPage_answers_to_its_own_names_alone(t *testing.T) {
	t.Parallel()
	w := newPage(t, "public_url: 'https://mmsync.example.test', token: "+pageToken)
	v := w.visitor(t)
	named := func(host string) answer {
		return v.do(t, http.MethodGet, "/", nil, func(r *http.Request) { r.Host = host })
	}
	for _, host := range []string{"evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.1.2.3", "localhost.evil.example", "mmsync.example.test.evil.example", ""} {
		if host != "" { // the client puts the address in the place of none
			a := named(host)
			require.Equal(t, http.StatusMisdirectedRequest, a.status, host)
			require.NotContains(t, a.body, "Overview")
		}
	}
	for _, host := range []string{"mmsync.example.test", "MMSYNC.example.test:443", "mmsync.example.test.", "localhost:8080", "127.0.0.1", "127.0.0.2:1", "[::1]:9095"} {
		require.Equal(t, http.StatusOK, named(host).status, host)
	}
	a := named("mmsync.example.test")
	require.Equal(t, "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'", a.header.Get("Content-Security-Policy"))
	require.Equal(t, "no-referrer", a.header.Get("Referrer-Policy"))
	require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	for _, path := range []string{"/static/style.css", "/nothing", "/login"} {
		require.Equal(t, "no-store", v.get(t, path).header.Get("Cache-Control"), path)
	}
	v.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c := v.do(t, http.MethodPost, "/login", url.Values{"token": {pageToken}}).header.Get("Set-Cookie")
	require.True(t, strings.HasPrefix(c, "__Host-mmsync_session="), "over https the browser binds it to this host")
	require.Contains(t, c, "; Secure")
}

// idp is an identity provider that logs everybody in at once, as the claims say.
type idp struct {
	*httptest.Server
	key *rsa.PrivateKey

	mu     sync.Mutex
	asked  url.Values // of the last request to log in
	claims map[string]any
	forged bool // sign with another key
	tokens int
}

func newIDP(t *testing.T) *idp {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	i := &idp{key: key}
	m := http.NewServeMux()
	m.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		i.json(w, map[string]any{
			"issuer": i.URL, "authorization_endpoint": i.URL + "/auth", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	m.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		i.json(w, map[string]any{"keys": []any{map[string]any{
			"kty": "RSA", "kid": "k1", "use": "sig", "alg": "RS256", "n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
			"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
		}}})
	})
	m.HandleFunc("GET /auth", func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.asked = r.URL.Query()
		http.Redirect(w, r, i.asked.Get("redirect_uri")+"?code=c0de&state="+url.QueryEscape(i.asked.Get("state")), http.StatusFound)
	})
	m.HandleFunc("POST /token", i.token)
	i.Server = httptest.NewServer(m)
	t.Cleanup(i.Close)
	return i
}

func (i *idp) json(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// token gives what was asked for to whoever knows the code, the secret and the verifier.
func (i *idp) token(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.tokens++
	id, secret, _ := r.BasicAuth()
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if id != "mmsync" || secret != "s3cret" || r.PostFormValue("code") != "c0de" || i.asked.Get("code_challenge_method") != "S256" ||
		base64.RawURLEncoding.EncodeToString(sum[:]) != i.asked.Get("code_challenge") {
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	claims := map[string]any{
		"iss": i.URL, "aud": "mmsync", "sub": "u-1", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(), "nonce": i.asked.Get("nonce"),
	}
	maps.Copy(claims, i.claims)
	body, err := json.Marshal(claims)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"k1"}`)) + "." + base64.RawURLEncoding.EncodeToString(body)
	digest := sha256.Sum256([]byte(text))
	key := i.key
	if i.forged {
		if key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	i.json(w, map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": text + "." + base64.RawURLEncoding.EncodeToString(sig)})
}

func (i *idp) says(claims map[string]any, forged bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.claims, i.forged = claims, forged
}

func oidcAdmin(i *idp, who string) string {
	return fmt.Sprintf("public_url: '{url}', login: {oidc: {issuer: '%s', client_id: mmsync, client_secret: s3cret, %s}}", i.URL, who)
}

func TestPage_login_at_an_identity_provider(t *testing.T) {
	t.Parallel()
	i := newIDP(t)
	w := newPage(t, oidcAdmin(i, "viewers: {claim: groups, values: [it]}, approvers: {claim: groups, values: [admins, more]}"), staff(4, 0)...)
	w.sync(t)
	w.write(t, staff(4, 3)...)
	rep := w.sync(t)
	login := func(claims map[string]any, forged bool) (*visitor, answer) {
		i.says(claims, forged)
		v := w.visitor(t)
		return v, v.get(t, "/login/oidc?next=%2Fheld")
	}
	v, a := login(map[string]any{"groups": []string{"x", "admins"}, "preferred_username": "ada"}, false)
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.Equal(t, "/held", a.at.Path)
	require.Contains(t, a.body, "ada (u-1), may approve")
	a = v.do(t, http.MethodPost, "/held", url.Values{"form": {v.form(t)}, "run": {rep.RunID}, "do": {"reject"}, "reason": {"no"}, "person": {"hr%2Fe00"}})
	require.Equal(t, http.StatusOK, a.status, a.body)
	verdicts, err := w.Store.Verdicts(t.Context(), state.VerdictFilter{})
	require.NoError(t, err)
	require.Len(t, verdicts, 1)
	require.Equal(t, "ada (u-1)@status page", verdicts[0].MadeBy)

	v, a = login(map[string]any{"groups": "it", "preferred_username": "bob"}, false)
	require.Equal(t, "/held", a.at.Path)
	require.Contains(t, a.body, "may look")
	require.NotContains(t, a.body, `value="approve`)
	require.Equal(t, http.StatusForbidden, v.do(t, http.MethodPost, "/held", url.Values{"form": {v.form(t)}, "run": {rep.RunID}, "do": {"approve-all"}, "reason": {"x"}}).status)

	soon := time.Now().Add(-time.Minute).Unix()
	for name, c := range map[string]struct {
		claims map[string]any
		forged bool
	}{
		"nobody lists him":         {claims: map[string]any{"groups": []string{"Admins", "admins2"}}},
		"he has no groups":         {claims: map[string]any{}},
		"groups is no list":        {claims: map[string]any{"groups": map[string]any{"admins": true}}},
		"somebody else signed":     {claims: map[string]any{"groups": "admins"}, forged: true},
		"for another client":       {claims: map[string]any{"groups": "admins", "aud": "other"}},
		"of another issuer":        {claims: map[string]any{"groups": "admins", "iss": "https://evil.example"}},
		"for another login":        {claims: map[string]any{"groups": "admins", "nonce": "another"}},
		"its time is over":         {claims: map[string]any{"groups": "admins", "exp": soon}},
		"without what was made up": {claims: map[string]any{"groups": "admins", "nonce": ""}},
	} {
		v, a := login(c.claims, c.forged)
		require.GreaterOrEqual(t, a.status, 400, name)
		require.Equal(t, "/login", v.get(t, "/people").at.Path, name)
	}
}

func TestPage_an_answer_of_the_provider_belongs_to_one_login(t *testing.T) {
	t.Parallel()
	i := newIDP(t)
	w := newPage(t, oidcAdmin(i, "approvers: {claim: groups, values: [admins]}"))
	i.says(map[string]any{"groups": "admins"}, false)
	begin := func() (*visitor, string) {
		v := w.visitor(t)
		v.http.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if r.URL.Path == "/login/oidc/callback" {
				return http.ErrUseLastResponse
			}
			return nil
		}
		return v, v.get(t, "/login/oidc").header.Get("Location")
	}
	v, own := begin()
	attacker, theirs := begin()
	path := func(at string) string { return strings.TrimPrefix(at, w.server.URL) }
	require.Equal(t, http.StatusUnauthorized, v.get(t, path(theirs)).status, "nobody is logged in as somebody else by a link")
	require.Equal(t, 0, i.tokens, "and the code is not spent")
	require.Equal(t, http.StatusBadRequest, v.get(t, path(own)).status, "a login that failed is begun anew")
	require.Equal(t, http.StatusBadRequest, w.visitor(t).get(t, path(theirs)).status, "without the browser that began it")
	require.Equal(t, http.StatusOK, attacker.get(t, path(theirs)).status)
	require.Equal(t, http.StatusOK, attacker.get(t, "/people").status)
}

func TestPage_any_viewer_may_look_and_nobody_approve(t *testing.T) {
	t.Parallel()
	i := newIDP(t)
	w := newPage(t, oidcAdmin(i, "viewers: {any: true}"))
	i.says(map[string]any{"groups": []string{""}, "preferred_username": "<b>\u202eeve\n" + strings.Repeat("x", 500)}, false)
	v := w.visitor(t)
	a := v.get(t, "/login/oidc")
	require.Equal(t, http.StatusOK, a.status)
	require.Contains(t, a.body, `&lt;b&gt;\u202eeve x`)
	require.Contains(t, a.body, "may look")
	require.NotContains(t, a.body, "may approve")
}

func TestPage_wrong_tokens_are_counted_by_who_is_behind_the_proxy(t *testing.T) {
	t.Parallel()
	try := func(t *testing.T, w *pageWorld, from string) int {
		t.Helper()
		return w.visitor(t).do(t, http.MethodPost, "/login", url.Values{"token": {"wrong"}}, func(r *http.Request) {
			r.Header.Set("X-Forwarded-For", from)
		}).status
	}
	t.Run("of a trusted proxy", func(t *testing.T) {
		t.Parallel()
		w := newPage(t, "token: "+pageToken+", trusted_proxies: [127.0.0.0/8]")
		for i := range 5 { // what stands left of it he wrote himself
			require.Equal(t, http.StatusUnauthorized, try(t, w, fmt.Sprintf("203.0.113.%d, 198.51.100.1", i)))
		}
		require.Equal(t, http.StatusTooManyRequests, try(t, w, "203.0.113.9, 198.51.100.1"))
		require.Equal(t, http.StatusUnauthorized, try(t, w, "198.51.100.2"), "others may try")
		for i := range 50 - 6 {
			require.Equal(t, http.StatusUnauthorized, try(t, w, fmt.Sprintf("2001:db8:0:%x::1", i)))
		}
		require.Equal(t, http.StatusTooManyRequests, try(t, w, "192.0.2.77"), "of all together there is an end as well")
	})
	t.Run("of a stranger", func(t *testing.T) {
		t.Parallel()
		w := newPage(t, "token: "+pageToken)
		for i := range 5 {
			require.Equal(t, http.StatusUnauthorized, try(t, w, fmt.Sprintf("198.51.100.%d", i)))
		}
		require.Equal(t, http.StatusTooManyRequests, try(t, w, "198.51.100.99"), "nobody is believed")
	})
}
