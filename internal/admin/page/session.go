package page

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// session is a login, as it is sealed into a cookie.
type session struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Approve bool      `json:"approve"`
	Until   time.Time `json:"until"`
	// Token is a mark of the token by which somebody logged in; "" for a provider.
	Token string `json:"token,omitempty"`
}

// seal keeps what a browser holds for us from being read or changed.
type seal struct {
	aead cipher.AEAD
	mac  []byte
}

func newSeal(key, mac []byte) (*seal, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &seal{aead: aead, mac: mac}, nil
}

// close seals v for one purpose: what was made for another does not open.
func (s *seal) close(purpose string, v any) (string, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode %s: %w", purpose, err)
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, plain, []byte(purpose))), nil
}

func (s *seal) open(purpose, text string, v any) error {
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return err
	}
	plain, err := s.aead.Open(nil, nil, sealed, []byte(purpose))
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, v)
}

// mark gives a word that only who has the key can make of a text.
func (s *seal) mark(purpose, text string) string {
	h := hmac.New(sha256.New, s.mac)
	h.Write([]byte(purpose + "\x00" + text))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

const (
	purposeSession = "session"
	purposeForm    = "form"
	purposeToken   = "token"
	purposeFlow    = "flow"
)

// formToken proves that a form was made for a session.
func (p *Page) formToken(s *session) string { return p.seal.mark(purposeForm, s.ID) }

// cookieName is bound to host and https by the browser wherever https is used.
func (p *Page) cookieName(r *http.Request, name string) string {
	if p.overTLS(r) {
		return "__Host-mmsync_" + name
	}
	return "mmsync_" + name
}

func (p *Page) overTLS(r *http.Request) bool { return p.secure || r.TLS != nil }

// setCookie lasts until the given time; a zero one takes it away. Lax rather than
// Strict: a browser that a provider sends back has to bring it along.
func (p *Page) setCookie(w http.ResponseWriter, r *http.Request, name, value string, until time.Time) {
	c := &http.Cookie{
		Name: p.cookieName(r, name), Value: value, Path: "/", HttpOnly: true, Secure: p.overTLS(r), SameSite: http.SameSiteLaxMode,
		Expires: until, MaxAge: int(time.Until(until).Seconds()),
	}
	if value == "" {
		c.Expires, c.MaxAge = time.Time{}, -1
	}
	http.SetCookie(w, c)
}

// begin logs somebody in.
func (p *Page) begin(w http.ResponseWriter, r *http.Request, s session) error {
	s.ID, s.Until = rand.Text(), time.Now().Add(p.o.Lifetime)
	text, err := p.seal.close(purposeSession, s)
	if err != nil {
		return err
	}
	p.setCookie(w, r, "session", text, s.Until)
	p.log.InfoContext(r.Context(), "somebody logged in to the status page", "approves", s.Approve, "by_token", s.Token != "")
	return nil
}

// session gives who is logged in; nil if nobody is.
func (p *Page) session(r *http.Request) *session {
	c, err := r.Cookie(p.cookieName(r, "session"))
	if err != nil {
		return nil
	}
	var s session
	if err := p.seal.open(purposeSession, c.Value, &s); err != nil || !time.Now().Before(s.Until) || p.ended.has(s.ID) {
		return nil
	}
	if s.Token != "" {
		token, err := p.token()
		if err != nil || !hmac.Equal([]byte(s.Token), []byte(p.seal.mark(purposeToken, token))) {
			return nil
		}
	}
	return &s
}

var errNoToken = errors.New("no admin.token is configured")

func (p *Page) token() (string, error) {
	if p.o.Token == nil {
		return "", errNoToken
	}
	token, err := p.o.Token()
	switch {
	case err != nil:
		return "", fmt.Errorf("read admin.token: %w", err)
	case token == "":
		return "", errors.New("admin.token is empty")
	}
	return token, nil
}

// endings are the logins that were ended before their time. They are this process's
// own: another instance lets them run out.
type endings struct {
	mu    sync.Mutex
	until map[string]time.Time
}

func newEndings() *endings { return &endings{until: map[string]time.Time{}} }

func (e *endings) add(s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, until := range e.until {
		if time.Now().After(until) {
			delete(e.until, id)
		}
	}
	e.until[s.ID] = s.Until
}

func (e *endings) has(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ended := e.until[id]
	return ended
}
