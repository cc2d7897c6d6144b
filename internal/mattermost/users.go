package mattermost

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
)

const (
	idsPerRequest   = 9_000   // 27 bytes each stay below the server's body limit
	namesPerRequest = 5_000   //
	bytesOfNames    = 280_000 // whichever is reached first
	usersPerPage    = 200     // more is silently cut to this
)

// Me gives the token's own account.
func (c *Client) Me(ctx context.Context) (identity.Account, error) {
	return c.oneUser(ctx, "/users/me", "", false)
}

// UserByID gives one account, deactivated ones included. The server answers
// from its memory, which its own writes refresh (11.x); 5.38 does not refresh it
// after a change of the login service.
func (c *Client) UserByID(ctx context.Context, id string) (identity.Account, error) {
	return c.userByID(ctx, id, false)
}

func (c *Client) userByID(ctx context.Context, id string, urgent bool) (identity.Account, error) {
	if err := checkID("read account", id); err != nil {
		return identity.Account{}, err
	}
	return c.oneUser(ctx, "/users/"+id, "", urgent)
}

// UserByUsername gives one account, deactivated ones included, read from the
// database. The name is lowered first: the server refuses upper case.
func (c *Client) UserByUsername(ctx context.Context, name string) (identity.Account, error) {
	name = strings.ToLower(name)
	if !validUsername(name) {
		return identity.Account{}, &RequestError{"read account by username", "no account can have this name"}
	}
	return c.oneUser(ctx, "/users/username/"+url.PathEscape(name), "/users/username/{username}", false)
}

// UserByEmail gives one account, deactivated ones included, read from the
// database. Case does not matter.
func (c *Client) UserByEmail(ctx context.Context, email string) (identity.Account, error) {
	if !validEmail(strings.ToLower(email)) {
		return identity.Account{}, &RequestError{"read account by e-mail", "no account can have this address"}
	}
	return c.oneUser(ctx, "/users/email/"+url.PathEscape(email), "/users/email/{email}", false)
}

func (c *Client) oneUser(ctx context.Context, path, shown string, urgent bool) (identity.Account, error) {
	var a identity.Account
	_, err := c.do(ctx, call{method: http.MethodGet, path: path, shown: shown, urgent: urgent, decode: intoAccount(&a)})
	if err != nil {
		return identity.Account{}, err
	}
	c.sawAuth(a)
	return a, nil
}

// sawAuth remembers that this server shows auth data: before 11.0 it is ""
// in every answer to a read, even to an administrator.
func (c *Client) sawAuth(list ...identity.Account) {
	if c.authData.Load() {
		return
	}
	for i := range list {
		if list[i].Auth.Data != "" {
			c.authData.Store(true)
			return
		}
	}
}

// Users gives one page of all accounts, 200 a page, from page 0: active and
// deactivated people and bots, ordered by username. The order is not stable
// between pages: the same account can come twice, and one that is renamed
// meanwhile not at all. role, if not "", keeps accounts with that system role.
func (c *Client) Users(ctx context.Context, page int, role string) ([]identity.Account, time.Time, error) {
	q := url.Values{"page": {strconv.Itoa(page)}, "per_page": {strconv.Itoa(usersPerPage)}}
	if role != "" {
		q.Set("role", role)
	}
	list := make([]identity.Account, 0, usersPerPage)
	a, err := c.do(ctx, call{
		method: http.MethodGet, path: "/users", query: q, limit: maxList, decode: intoAccounts(&list),
	})
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("read page %d of the accounts: %w", page, err)
	}
	c.sawAuth(list...)
	return list, a.date, nil
}

// EachUser walks all pages and passes on each account once. It ends at the
// first empty page, since a short one may only mean that the server gives less
// than it is asked for. The returned time is the Date of the first answer.
func (c *Client) EachUser(ctx context.Context, role string, each func(identity.Account) error) (time.Time, error) {
	var first time.Time
	seen := map[string]struct{}{}
	stale := 0
	for page := 0; ; page++ {
		list, date, err := c.Users(ctx, page, role)
		if err != nil {
			return first, err
		}
		if page == 0 {
			first = date
		}
		if len(list) == 0 {
			return first, nil
		}
		fresh := false
		for _, a := range list {
			if _, again := seen[a.ID]; again {
				continue
			}
			fresh = true
			seen[a.ID] = struct{}{}
			if err := each(a); err != nil {
				return first, err
			}
		}
		if stale++; fresh {
			stale = 0
		}
		if stale == 3 { // a page or two of repetitions is what many new accounts make
			return first, errors.New("read the accounts: the pages repeat themselves and do not end; " +
				"does a proxy answer instead of the server?")
		}
	}
}

// UsersByIDs gives those of at most 9,000 accounts that exist, in no order;
// with since > 0 only those whose update_at is greater (server milliseconds).
func (c *Client) UsersByIDs(ctx context.Context, ids []string, since int64) ([]identity.Account, time.Time, error) {
	if len(ids) == 0 {
		return nil, time.Time{}, nil // the server answers 400 to an empty list
	}
	if len(ids) > idsPerRequest {
		return nil, time.Time{}, &RequestError{"read accounts by id", "more than 9,000 at a time"}
	}
	var q url.Values
	if since > 0 {
		q = url.Values{"since": {strconv.FormatInt(since, 10)}}
	}
	return c.lookUp(ctx, "/users/ids", q, ids)
}

// UsersByUsernames gives those of the names (at most 5,000, and 280 kB) that
// exist, read from the database: deactivated ones and bots included. Names
// match in lower case only.
func (c *Client) UsersByUsernames(ctx context.Context, names []string) ([]identity.Account, error) {
	if len(names) == 0 {
		return nil, nil
	}
	if len(names) > namesPerRequest {
		return nil, &RequestError{"read accounts by username", "more than 5,000 at a time"}
	}
	list, _, err := c.lookUp(ctx, "/users/usernames", nil, names)
	return list, err
}

func (c *Client) lookUp(ctx context.Context, path string, q url.Values, keys []string) ([]identity.Account, time.Time, error) {
	var list []identity.Account
	a, err := c.do(ctx, call{
		method: http.MethodPost, path: path, query: q, body: keys, limit: maxList, decode: intoAccounts(&list),
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	c.sawAuth(list...)
	return list, a.date, nil
}

// NewUser is what an account is created from. Username and e-mail are required,
// and either both fields of Auth or a Password.
type NewUser struct {
	identity.Profile
	Auth     identity.Auth
	Password string
	// EmailVerified marks the address as confirmed.
	EmailVerified bool
}

// Create makes an account and gives it back as the server stored it. No welcome
// mail is sent. The server ignores roles here; every new account is
// system_user. A failure can be a success that was not heard of, see
// [ErrOutcomeUnknown] and [APIError.Taken]. ctx governs this and every other
// write until it leaves, see [Client].
func (c *Client) Create(ctx context.Context, n NewUser) (identity.Account, error) {
	if err := n.check(); err != nil {
		return identity.Account{}, err
	}
	body := map[string]any{"disable_welcome_email": true}
	for _, f := range identity.AllAttributes() {
		if v := n.Value(f); v != "" {
			body[string(f)] = v
		}
	}
	if n.Auth.IsZero() {
		body["password"] = n.Password
	} else {
		body["auth_service"], body["auth_data"] = n.Auth.Service, n.Auth.Data
	}
	if n.EmailVerified {
		body["email_verified"] = true
	}
	var a identity.Account
	_, err := c.do(ctx, call{method: http.MethodPost, path: "/users", body: body, write: true, decode: intoAccount(&a)})
	if err != nil {
		return identity.Account{}, err
	}
	return a, nil
}

func (n *NewUser) check() error {
	const op = "create account"
	switch {
	case n.Username == "":
		return &RequestError{op, "no username; the server would invent one"}
	case n.Email == "":
		return &RequestError{op, "no e-mail"}
	case n.Auth.IsZero() && n.Password == "":
		return &RequestError{op, "neither login service nor password"}
	case !n.Auth.IsZero() && n.Password != "":
		return &RequestError{op, "both login service and password"}
	case n.Auth.IsZero():
		return nil
	}
	return checkAuth(op, n.Auth)
}

func checkAuth(op string, a identity.Auth) error {
	switch {
	case a.Service == "" || a.Data == "":
		return &RequestError{op, "login service and auth data belong together; with one of them nobody could log in"}
	case a.Service == "email" || a.Service == magicLink:
		return &RequestError{op, fmt.Sprintf("login service %q makes an account that nobody can log in to; "+
			"password logins have no login service", a.Service)}
	case len(a.Data) > maxAuthData:
		return &RequestError{op, "auth data is longer than 128 bytes"}
	}
	return nil
}

// Patch sets the named profile fields and gives back the account. Fields may be
// refused (see [IsAttributeLocked]) or silently kept: compare. Nothing but
// profile fields can be sent, and an empty set is refused, because the server
// writes and broadcasts even an empty patch. ctx governs it until it leaves.
func (c *Client) Patch(ctx context.Context, id string, p identity.Profile, set identity.Attributes) (identity.Account, error) {
	if err := checkID("patch account", id); err != nil {
		return identity.Account{}, err
	}
	body := map[string]string{}
	for _, f := range set.List() {
		if v := p.Value(f); v != "" || (f != identity.Username && f != identity.Email) {
			body[string(f)] = v
			continue
		}
		return identity.Account{}, &RequestError{"patch account", string(f) + " cannot be empty"}
	}
	if len(body) == 0 {
		return identity.Account{}, &RequestError{"patch account", "nothing to change"}
	}
	var a identity.Account
	_, err := c.do(ctx, call{
		method: http.MethodPut, path: "/users/" + id + "/patch", body: body,
		write: true, account: id, decode: intoAccount(&a),
	})
	if err != nil {
		return identity.Account{}, err
	}
	return a, nil
}

// SetActive switches an account off or on. Off ends its sessions, and disables
// the bots it owns. Repeating it moves delete_at forward. The answer says
// nothing about the account: read it back. ctx governs it until it leaves.
func (c *Client) SetActive(ctx context.Context, id string, active bool) error {
	return c.put(ctx, "set active", id, "active", map[string]bool{"active": active}, !active)
}

// SetRoles replaces the account's system roles. Since the server takes an empty
// set for "no roles at all", a set without system_user or system_guest is
// refused here. The answer says nothing about the account: read it back. ctx
// governs it until it leaves.
func (c *Client) SetRoles(ctx context.Context, id string, roles identity.Roles) error {
	roles = identity.NewRoles(roles...)
	if !roles.Has(identity.RoleUser) && !roles.Has(identity.RoleGuest) {
		return &RequestError{"set roles", "the set holds neither system_user nor system_guest"}
	}
	for _, r := range roles {
		if strings.ContainsFunc(r, func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' }) {
			return &RequestError{"set roles", "a role name holds something else than a-z, 0-9 and _"}
		}
	}
	return c.put(ctx, "set roles", id, "roles", map[string]string{"roles": roles.String()}, false)
}

// SetAuth moves an account to a login service and erases its password. Sessions
// stay; revoke them apart. The server answers success for an unknown id, too:
// read it back. There is no way back to a password login. ctx governs it until
// it leaves.
func (c *Client) SetAuth(ctx context.Context, id string, auth identity.Auth) error {
	if err := checkAuth("set login service", auth); err != nil {
		return err
	}
	return c.put(ctx, "set login service", id, "auth",
		map[string]string{"auth_service": auth.Service, "auth_data": auth.Data}, false)
}

func (c *Client) put(ctx context.Context, op, id, what string, body any, urgent bool) error {
	if err := checkID(op, id); err != nil {
		return err
	}
	_, err := c.do(ctx, call{
		method: http.MethodPut, path: "/users/" + id + "/" + what, body: body,
		write: true, urgent: urgent, account: id,
	})
	return err
}

// RevokeSessions ends all sessions of an account. Personal access tokens stay.
// The server answers success for an unknown id, too. ctx governs it until it
// leaves.
func (c *Client) RevokeSessions(ctx context.Context, id string) error {
	return c.post(ctx, "revoke sessions", id, "sessions/revoke/all", true)
}

// VerifyEmail marks the account's e-mail as confirmed. ctx governs it until it
// leaves.
func (c *Client) VerifyEmail(ctx context.Context, id string) error {
	return c.post(ctx, "verify e-mail", id, "email/verify/member", false)
}

func (c *Client) post(ctx context.Context, op, id, what string, urgent bool) error {
	if err := checkID(op, id); err != nil {
		return err
	}
	_, err := c.do(ctx, call{
		method: http.MethodPost, path: "/users/" + id + "/" + what, write: true, urgent: urgent, account: id,
	})
	return err
}

// SendPasswordReset mails a link to set a password to the holder of an address.
// The server answers success for unknown addresses, too. ctx governs it until
// it leaves.
func (c *Client) SendPasswordReset(ctx context.Context, email string) error {
	_, err := c.do(ctx, call{
		method: http.MethodPost, path: "/users/password/reset/send",
		body: map[string]string{"email": email}, write: true,
	})
	return err
}

func checkID(op, id string) error {
	if !validID(id) {
		return &RequestError{op, fmt.Sprintf("%q is not a Mattermost id", cut(id, 40))}
	}
	return nil
}
