package mattermost

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
)

// wireUser is a user as the server writes it; absent fields mean empty. What
// mmsync has no use for (props, notify_props, timezone …) is not read.
type wireUser struct {
	ID          string `json:"id"`
	CreateAt    int64  `json:"create_at"`
	UpdateAt    int64  `json:"update_at"`
	DeleteAt    int64  `json:"delete_at"`
	Username    string `json:"username"`
	AuthData    string `json:"auth_data"`
	AuthService string `json:"auth_service"`
	Email       string `json:"email"`
	Nickname    string `json:"nickname"`
	FirstName   string `json:"first_name"`
	LastName    string `json:"last_name"`
	Position    string `json:"position"`
	Roles       string `json:"roles"`
	Locale      string `json:"locale"`
	RemoteID    string `json:"remote_id"`
	IsBot       bool   `json:"is_bot"`
}

// magicLink is the login service of guests who log in by an e-mailed link; the
// server gives and takes it (11.3 and later).
const magicLink = "magic_link"

func (u *wireUser) account() (identity.Account, error) {
	if !validID(u.ID) || u.Username == "" {
		return identity.Account{}, errors.New("a user without id or username")
	}
	return identity.Account{
		ID: u.ID,
		Profile: identity.Profile{
			Username: u.Username, Email: u.Email, FirstName: u.FirstName, LastName: u.LastName,
			Nickname: u.Nickname, Position: u.Position, Locale: u.Locale,
		},
		Roles:     identity.ParseRoles(u.Roles),
		Auth:      identity.Auth{Service: u.AuthService, Data: u.AuthData},
		CreateAt:  u.CreateAt,
		UpdateAt:  u.UpdateAt,
		DeleteAt:  u.DeleteAt,
		Bot:       u.IsBot,
		Remote:    u.RemoteID != "",
		MagicLink: u.AuthService == magicLink,
	}, nil
}

// intoAccount decodes one user. More JSON after it is let pass: some servers
// append an error to a success, which comparing and reading back finds.
func intoAccount(a *identity.Account) func(*json.Decoder) error {
	return func(d *json.Decoder) error {
		var u wireUser
		if err := d.Decode(&u); err != nil {
			return err
		}
		var err error
		*a, err = u.account()
		return err
	}
}

// intoAccounts decodes an array of users one by one.
func intoAccounts(list *[]identity.Account) func(*json.Decoder) error {
	return func(d *json.Decoder) error {
		*list = (*list)[:0] // of an earlier, broken answer
		if t, err := d.Token(); err != nil || t != json.Delim('[') {
			return orUnexpected(err, "not a list")
		}
		var u wireUser
		for d.More() {
			u = wireUser{}
			if err := d.Decode(&u); err != nil {
				return fmt.Errorf("user %d: %w", len(*list)+1, unexpectedEOF(err))
			}
			a, err := u.account()
			if err != nil {
				return fmt.Errorf("user %d: %w", len(*list)+1, err)
			}
			*list = append(*list, a)
		}
		if _, err := d.Token(); err != nil {
			return unexpectedEOF(err)
		}
		// Two filters at once make the server append an error object to the list.
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return orUnexpected(err, "something follows the list")
		}
		return nil
	}
}

func into(v any) func(*json.Decoder) error {
	return func(d *json.Decoder) error { return d.Decode(v) }
}

func orUnexpected(err error, text string) error {
	if err != nil {
		return unexpectedEOF(err)
	}
	return errors.New(text)
}

func unexpectedEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Version is a Mattermost release.
type Version struct {
	Major, Minor, Patch int
	Licensed            bool
}

// String gives "11.6.0".
func (v Version) String() string {
	return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch)
}

// IsZero tells that no answer has told the version yet.
func (v Version) IsZero() bool { return v == Version{} }

// AtLeast compares releases.
func (v Version) AtLeast(major, minor int) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// parseVersionID reads X-Version-Id: version, build number, hash of the client
// configuration, licensed or not. The build number can hold dots or nothing.
func parseVersionID(s string) Version {
	parts := strings.Split(s, ".")
	if len(parts) < 4 {
		return Version{}
	}
	v := Version{Licensed: parts[len(parts)-1] == "true"}
	for i, into := range []*int{&v.Major, &v.Minor, &v.Patch} {
		n, err := strconv.Atoi(parts[i])
		if err != nil || n < 0 {
			return Version{}
		}
		*into = n
	}
	return v
}
