package page

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/explain"
	"github.com/mmsync/mmsync/internal/peer"
)

// tokenName is what the history calls whoever has the token; it does not tell people
// apart.
const tokenName = "admin token"

// fromPage is behind each name in the history, where the command line has the machine.
const fromPage = "@status page"

// plainName leaves nothing in a name that a log or a terminal would carry out, and
// bounds it.
func plainName(s string) string {
	s = strings.ReplaceAll(explain.Safe(s), "\n", " ")
	if r := []rune(s); len(r) > mostName {
		s = string(r[:mostName]) + "…"
	}
	return s
}

// loginView is what the login page shows.
type loginView struct {
	Next            string
	ByToken, ByOIDC bool
	Fault           string
}

func (p *Page) loginForm(w http.ResponseWriter, r *http.Request) {
	next := localPath(r.URL.Query().Get("next"))
	if p.session(r) != nil {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	p.showLogin(w, r, http.StatusOK, next, "")
}

func (p *Page) showLogin(w http.ResponseWriter, r *http.Request, status int, next, fault string) {
	p.show(w, r, status, "login", "Log in", loginView{Next: next, ByToken: p.o.Token != nil, ByOIDC: p.oidc != nil, Fault: fault})
}

// localPath lets nobody be sent anywhere but to a page of ours.
func localPath(next string) string {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") || strings.HasPrefix(next, "/login") {
		return "/"
	}
	return next
}

func (p *Page) loginByToken(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		p.fail(w, r, http.StatusBadRequest, "The form could not be read. Try again.")
		return
	}
	next := localPath(r.PostForm.Get("next"))
	from := peer.Network(p.o.Proxies.Client(r))
	if !p.failed.allowed(from, time.Now()) {
		w.Header().Set("Retry-After", "30")
		p.showLogin(w, r, http.StatusTooManyRequests, next, "Too many tries failed. Wait half a minute, then try again.")
		return
	}
	token, err := p.token()
	if errors.Is(err, errNoToken) {
		p.showLogin(w, r, http.StatusForbidden, next, "Nobody logs in with a token here: admin.token_file is not set.")
		return
	}
	if err != nil {
		p.log.ErrorContext(r.Context(), "nobody can log in with the admin token", "error", err)
		p.showLogin(w, r, http.StatusServiceUnavailable, next, "The token to compare with could not be read; the log says why.")
		return
	}
	// Digests are of one length, so that the time says nothing about the token's.
	want, given := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(strings.TrimSpace(r.PostForm.Get("token"))))
	if subtle.ConstantTimeCompare(want[:], given[:]) != 1 {
		p.failed.fail(from, time.Now())
		p.log.WarnContext(r.Context(), "a wrong token was given at the status page")
		p.showLogin(w, r, http.StatusUnauthorized, next, "That is not the token. It is the content of the file that admin.token_file names.")
		return
	}
	if err := p.begin(w, r, session{Name: tokenName, Approve: true, Token: p.seal.mark(purposeToken, token)}); err != nil {
		p.broken(w, r, "log in", err)
		return
	}
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (p *Page) loginStart(w http.ResponseWriter, r *http.Request) {
	if p.oidc == nil {
		p.unknown(w, r)
		return
	}
	to, f, err := p.oidc.start(r.Context(), localPath(r.URL.Query().Get("next")))
	if err != nil {
		p.log.ErrorContext(r.Context(), "nobody can log in at the identity provider", "error", err)
		p.showLogin(w, r, http.StatusServiceUnavailable, "/", "The identity provider does not answer as it should; the log says why.")
		return
	}
	text, err := p.seal.close(purposeFlow, f)
	if err != nil {
		p.broken(w, r, "begin to log in", err)
		return
	}
	p.setCookie(w, r, "flow", text, f.Until)
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (p *Page) loginEnd(w http.ResponseWriter, r *http.Request) {
	if p.oidc == nil {
		p.unknown(w, r)
		return
	}
	var f flow
	c, err := r.Cookie(p.cookieName(r, "flow"))
	if err == nil {
		err = p.seal.open(purposeFlow, c.Value, &f)
	}
	if err != nil {
		p.showLogin(w, r, http.StatusBadRequest, "/", "This login was not begun here, or took too long. Begin it again.")
		return
	}
	p.setCookie(w, r, "flow", "", time.Time{})
	q := r.URL.Query()
	s, err := p.oidc.end(r.Context(), f, q.Get("state"), q.Get("code"))
	switch {
	case errors.Is(err, errNotListed):
		p.log.WarnContext(r.Context(), "somebody whom admin.login.oidc does not list tried to log in")
		p.showLogin(w, r, http.StatusForbidden, f.Next, "You are known to the identity provider, but not listed here: admin.login.oidc names who may look and who may approve.")
		return
	case err != nil:
		p.log.WarnContext(r.Context(), "a login at the identity provider failed", "error", err)
		p.showLogin(w, r, http.StatusUnauthorized, f.Next, "The login did not work; the log says why. Begin it again.")
		return
	}
	if err := p.begin(w, r, s); err != nil {
		p.broken(w, r, "log in", err)
		return
	}
	http.Redirect(w, r, f.Next, http.StatusSeeOther)
}

func (p *Page) logout(w http.ResponseWriter, r *http.Request) {
	if s := p.session(r); s != nil {
		if !p.formOf(w, r, s) {
			return
		}
		p.ended.add(s)
	}
	p.setCookie(w, r, "session", "", time.Time{})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// formOf reads a form and tells whether it was made for this login; if not, it has
// answered.
func (p *Page) formOf(w http.ResponseWriter, r *http.Request, s *session) bool {
	if err := r.ParseForm(); err != nil {
		p.fail(w, r, http.StatusBadRequest, "The form could not be read. Go back and try again.")
		return false
	}
	if subtle.ConstantTimeCompare([]byte(r.PostForm.Get("form")), []byte(p.formToken(s))) != 1 {
		p.fail(w, r, http.StatusForbidden, "The form was made for another login. Go back, load the page again, and try again.")
		return false
	}
	return true
}
