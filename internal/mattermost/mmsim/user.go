package mmsim

import (
	"maps"
	"strings"
	"sync/atomic"
)

// User is one account as the server keeps it. Values given out by the server
// are copies; changing one changes nothing but the copy.
type User struct {
	ID       string
	CreateAt int64
	UpdateAt int64
	DeleteAt int64 // 0 while active

	Username      string
	Email         string
	EmailVerified bool
	Password      string // empty: no password login; kept in clear, this is a simulator
	AuthService   string
	AuthData      string // empty is stored as absent: the API never stores an empty value
	Nickname      string
	FirstName     string
	LastName      string
	Position      string
	Locale        string
	Roles         string            // verbatim, order, doubles and blanks included
	Props         map[string]string // nil and empty are both left out of answers
	NotifyProps   map[string]string // nil means the server's defaults
	Timezone      map[string]string // nil means the server's defaults

	LastPasswordUpdate  int64
	LastPictureUpdate   int64
	FailedAttempts      int
	RemoteID            string // not empty: the account came in over a shared channel
	DisableWelcomeEmail bool
	MFAActive           bool

	IsBot          bool
	OwnerID        string // who owns the bot
	BotDescription string
	BotCreateAt    int64
	BotUpdateAt    int64
	BotDeleteAt    int64 // the bot record's own; (de)activating the user leaves it alone

	remoteNull   bool              // the column is NULL and the key is left out: bots, and users after a full PUT
	custom       map[string]string // values of custom profile attributes by their ids; never changed in place
	picture      string            // digest of the picture that somebody set
	timezoneNull bool              // a full PUT without a timezone answers null

	allowMarketing bool         // shown by 5.38 in the answer to a creation, never stored
	nullTimezone   *atomic.Bool // 11.6: the first read by id after such a PUT shows null as well
}

// HasPassword tells whether a password login is possible at all.
func (u User) HasPassword() bool { return u.Password != "" }

// Active tells whether the account is not deactivated.
func (u User) Active() bool { return u.DeleteAt == 0 }

// HasRole tells whether role is one of the account's system roles.
func (u User) HasRole(role string) bool { return hasRole(u.Roles, role) }

// IsAdmin tells whether the account is a system admin.
func (u User) IsAdmin() bool { return u.HasRole(roleAdmin) }

// IsGuest tells whether the account is a guest.
func (u User) IsGuest() bool { return u.HasRole(roleGuest) }

// IsRemote tells whether the account belongs to another server.
func (u User) IsRemote() bool { return u.RemoteID != "" }

const (
	roleAdmin = "system_admin"
	roleUser  = "system_user"
	roleGuest = "system_guest"
)

func hasRole(roles, role string) bool {
	for rest := roles; rest != ""; {
		word, tail, _ := strings.Cut(rest, " ")
		if word == role {
			return true
		}
		rest = tail
	}
	return false
}

// copyUser returns a copy that shares no map with u.
func copyUser(u *User) User {
	c := *u
	c.Props = maps.Clone(u.Props)
	c.NotifyProps = maps.Clone(u.NotifyProps)
	c.Timezone = maps.Clone(u.Timezone)
	return c
}

// sso tells whether the account signs in through another service. The word
// "email" counts as one: the API takes it and then treats it like any other.
func (u *User) sso() bool { return u.AuthService != "" }

// oauth tells whether the sign-in service dictates the account's names.
func (u *User) oauth() bool {
	switch u.AuthService {
	case "gitlab", "google", "office365", "openid":
		return true
	}
	return false
}

func (u *User) ldap() bool { return u.AuthService == "ldap" }

func (u *User) saml() bool { return u.AuthService == "saml" }
