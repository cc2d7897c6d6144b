package mattermost

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
)

// askDead is how often the server is asked with a token that it does not accept: it may
// have been switched off and on again.
const askDead = 30 * time.Second

// credential is the token in force. A file that holds it may be replaced at any time:
// the new token is tried before it takes the place of one that works, and one of another
// account is refused. One that the server does not accept any more holds all calls back.
type credential struct {
	source func() (string, error)
	told   func(TokenState)

	mu      sync.Mutex
	current string
	owner   identity.Account // whose it is, as far as it was asked
	refused string           // the token of the source that was tried and not taken
	why     string           // not taken, or dead
	trying  bool
	dead    *APIError // how the server denied the current one
	since   time.Time
	next    time.Time // when it is asked again
}

// TokenState is what is known of the token.
type TokenState struct {
	// Dead: the server denied it twice while it was well. No call is made until it is
	// replaced, but for one in 30 s.
	Dead  bool
	Since time.Time // zero unless dead
	// Why says in one sentence what is wrong and what to do; "" if nothing is. A token
	// that works can have a reason as well: the file holds another one that was not taken.
	Why string
}

const (
	tokenDenied = "Mattermost does not accept mmsync's token any more, so that nothing is written; make a new one for the same account " +
		"and put it where mattermost.token or mattermost.token_file says"
	tokenNotTaken = "the new token in mattermost.token_file is not taken: "
)

// Token tells how the token is.
func (c *Client) Token() TokenState {
	c.token.mu.Lock()
	defer c.token.mu.Unlock()
	return c.token.state()
}

// Token tells how the token is.
func (t *Target) Token() TokenState { return t.c.Token() }

// state is called with the lock held.
func (k *credential) state() TokenState {
	return TokenState{Dead: k.dead != nil, Since: k.since, Why: k.why}
}

// read asks the source for the token and checks that it can be a header.
func (k *credential) read() (string, error) {
	t, err := k.source()
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	t = strings.TrimSpace(t)
	if t == "" {
		return "", errors.New("read token: it is empty")
	}
	for _, b := range []byte(t) {
		if b <= ' ' || b >= 0x7f {
			return "", errors.New("read token: it holds a character that no token has; is the file a token and nothing else?")
		}
	}
	return t, nil
}

// value is the token in force. A source that cannot be read, as while a file is being
// replaced, does not take a token away.
func (k *credential) value() (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current != "" {
		return k.current, nil
	}
	t, err := k.read()
	if err == nil {
		k.current = t
	}
	return t, err
}

// changed gives a token that the source has in the place of the one in force, and that
// was not tried yet. Whoever gets it has to tell what became of it.
func (k *credential) changed() (token string, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current == "" || k.trying {
		return "", false
	}
	t, err := k.read()
	switch {
	case err != nil || t == k.refused:
		return "", false
	case t == k.current:
		if k.refused != "" { // put back
			k.refused = ""
			if k.dead == nil {
				k.why = ""
			}
		}
		return "", false
	}
	k.trying = true
	return t, true
}

// denied gives how the server denied the token, unless it is time to ask again.
func (k *credential) denied(q *call) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead == nil {
		return nil
	}
	if now := time.Now(); !now.Before(k.next) {
		k.next = now.Add(askDead)
		return nil
	}
	e := *k.dead
	e.Method, e.Path, e.unknown, e.note = q.method, q.name(), false, k.why
	return &e
}

// died notes that the server denied a token, proven.
func (k *credential) died(token string, err error) {
	e, _ := asAPI(err)
	k.mu.Lock()
	defer k.mu.Unlock()
	if token != k.current { // replaced meanwhile
		return
	}
	news := k.dead == nil
	k.dead, k.next = e, time.Now().Add(askDead)
	if news {
		k.since, k.why = time.Now(), tokenDenied
		k.told(k.state())
	}
}

// lives notes that the server accepted a token.
func (k *credential) lives(token string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead != nil && token == k.current {
		k.dead, k.since, k.why = nil, time.Time{}, ""
		k.told(k.state())
	}
}

// owned notes whose the token in force is.
func (k *credential) owned(a identity.Account) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.owner.ID == "" {
		k.owner = a
	}
}

// renew takes a token that the source has now, once it has shown that it works and is the
// same account's. It fails never: until then the one before is in force.
func (c *Client) renew(ctx context.Context) {
	k := &c.token
	fresh, ok := k.changed()
	if !ok {
		return
	}
	var me identity.Account
	q := call{method: http.MethodGet, path: "/users/me", token: fresh, decode: intoAccount(&me, nil)}
	_, err := c.once(ctx, &q, nil)
	if denied(err) {
		_, err = c.confirmDenial(ctx, &q, nil, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.trying = false
	why := ""
	switch {
	case err == nil && (k.owner.ID == "" || k.owner.ID == me.ID):
		k.current, k.owner, k.refused, k.dead, k.since, k.why = fresh, me, "", nil, time.Time{}, ""
		k.told(k.state())
		return
	case err == nil:
		why = fmt.Sprintf("it is %q's, and mmsync works as %q; put one of %q there, or restart mmsync if the account was changed on purpose",
			me.Username, k.owner.Username, k.owner.Username)
	case IsUnauthorized(err):
		why = "Mattermost does not accept it; put a working one there"
	default: // nobody knows yet
		return
	}
	k.refused, k.why = fresh, tokenNotTaken+why
	if k.dead != nil {
		k.why = tokenDenied + "; " + k.why
	}
	k.told(k.state())
}
