package mattermost

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
)

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
			body[string(f)] = wireValue(f, v)
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
	_, err := c.do(ctx, call{method: http.MethodPost, path: "/users", body: body, write: true, decode: intoAccount(&a, nil)})
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
	case !slices.Contains(loginServices(), a.Service):
		return &RequestError{op, fmt.Sprintf("login service %q makes an account that nobody can log in to; "+
			"password logins have no login service", cut(a.Service, 40))}
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
	body := map[string]any{}
	for _, f := range set.List() {
		if v := p.Value(f); v != "" || (f != identity.Username && f != identity.Email) {
			body[string(f)] = wireValue(f, v)
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
		write: true, account: id, decode: intoAccount(&a, nil),
	})
	if err != nil {
		return identity.Account{}, err
	}
	return a, nil
}

// wireValue gives a profile field in the server's form.
func wireValue(f identity.Attribute, v string) any {
	if f == identity.Timezone {
		return zoneOf(v)
	}
	return v
}

// SetActive switches an account off or on. Off ends its sessions, and disables
// the bots it owns. Repeating it moves delete_at forward. The answer says
// nothing about the account: read it back. ctx governs it until it leaves.
func (c *Client) SetActive(ctx context.Context, id string, active bool) error {
	err := c.put(ctx, "set active", id, "active", map[string]bool{"active": active}, !active)
	if IsLDAPManaged(err) {
		c.ldapLocked.Store(true)
	}
	return err
}

// DeactivateByDelete switches an account off like SetActive, by DELETE
// /users/{id} without any parameter: the one call that does so for accounts which
// the server keeps to its own LDAP sync. The server would let it switch off its
// caller, even the last administrator; here that is refused. ctx governs it until
// it leaves.
func (c *Client) DeactivateByDelete(ctx context.Context, id string) error {
	if err := c.somebodyElse(ctx, "deactivate by DELETE", id); err != nil {
		return err
	}
	_, err := c.do(ctx, call{method: http.MethodDelete, path: "/users/" + id, write: true, urgent: true, account: id})
	return err
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
// read it back. The way back to a password is [Client.SetPassword]. ctx governs it
// until it leaves.
func (c *Client) SetAuth(ctx context.Context, id string, auth identity.Auth) error {
	if err := checkAuth("set login service", auth); err != nil {
		return err
	}
	return c.put(ctx, "set login service", id, "auth",
		map[string]string{"auth_service": auth.Service, "auth_data": auth.Data}, false)
}

// SetPassword sets the password of an account and with that erases its login
// service and data, which the server does without a word. Its sessions stay; the
// server may mail the person that the password was changed. It is refused for the
// token's own account, which would need the password of before. ctx governs it until
// it leaves.
func (c *Client) SetPassword(ctx context.Context, id, password string) error {
	return c.put(ctx, "set password", id, "password", map[string]string{"new_password": password}, false)
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

// Promote makes a full member of a guest, who joins the default channels of his teams
// by it. It needs no licence. ctx governs it until it leaves.
func (c *Client) Promote(ctx context.Context, id string) error {
	return c.post(ctx, "promote", id, "promote", false)
}

// Demote makes a guest of a full member, whose every other role goes with it, the
// last administrator's too. It needs a licence with guests and the server's guest
// feature, see [IsGuestsUnlicensed] and [IsGuestsOff]. Sessions stay; revoke them apart.
// ctx governs it until it leaves.
func (c *Client) Demote(ctx context.Context, id string) error {
	return c.post(ctx, "demote", id, "demote", false)
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
