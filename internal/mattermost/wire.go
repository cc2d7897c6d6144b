package mattermost

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/mmsync/mmsync/internal/identity"
)

// wireUser is a user as the server writes it; absent fields mean empty. What
// mmsync has no use for (props, notify_props …) is not read.
type wireUser struct {
	ID          string  `json:"id"`
	CreateAt    int64   `json:"create_at"`
	UpdateAt    int64   `json:"update_at"`
	DeleteAt    int64   `json:"delete_at"`
	Username    string  `json:"username"`
	AuthData    *string `json:"auth_data"` // absent and empty are not the same, see sawAuth
	AuthService string  `json:"auth_service"`
	Email       string  `json:"email"`
	Nickname    string  `json:"nickname"`
	FirstName   string  `json:"first_name"`
	LastName    string  `json:"last_name"`
	Position    string  `json:"position"`
	Roles       string  `json:"roles"`
	Locale      string  `json:"locale"`
	RemoteID    string  `json:"remote_id"`
	IsBot       bool    `json:"is_bot"`
	Timezone    zone    `json:"timezone"`
	// PictureAt is negative or absent while the picture is a generated one.
	PictureAt int64 `json:"last_picture_update"`
}

// zone is how the server keeps a person's time zone: a map of texts, which a patch
// replaces whole.
type zone struct {
	UseAutomatic string `json:"useAutomaticTimezone"`
	Manual       string `json:"manualTimezone"`
	// Automatic is what the person's device said last; it says so again.
	Automatic string `json:"automaticTimezone"`
}

// name gives the zone that was chosen; "" while the device decides.
func (z zone) name() string {
	if z.UseAutomatic != "false" {
		return ""
	}
	return z.Manual
}

func zoneOf(name string) zone {
	if name == "" {
		return zone{UseAutomatic: "true"}
	}
	return zone{UseAutomatic: "false", Manual: name}
}

// magicLink is the login service of guests who log in by an e-mailed link; the
// server gives and takes it (11.3 and later).
const magicLink = "magic_link"

// hidesAuth tells an answer in which auth data was blanked.
func (u *wireUser) hidesAuth() bool { return u.AuthData != nil && *u.AuthData == "" }

func (u *wireUser) account() (identity.Account, error) {
	if !validID(u.ID) || u.Username == "" {
		return identity.Account{}, errors.New("a user without id or username")
	}
	data := ""
	if u.AuthData != nil {
		data = *u.AuthData
	}
	return identity.Account{
		ID: u.ID,
		Profile: identity.Profile{
			Username: u.Username, Email: u.Email, FirstName: u.FirstName, LastName: u.LastName,
			Nickname: u.Nickname, Position: u.Position, Locale: u.Locale,
			Timezone: u.Timezone.name(),
		},
		Roles:     identity.ParseRoles(u.Roles),
		Auth:      identity.Auth{Service: u.AuthService, Data: data},
		CreateAt:  u.CreateAt,
		UpdateAt:  u.UpdateAt,
		DeleteAt:  u.DeleteAt,
		Bot:       u.IsBot,
		Remote:    u.RemoteID != "",
		MagicLink: u.AuthService == magicLink,
		PictureAt: max(u.PictureAt, 0),
	}, nil
}

// intoAccount decodes one user. More JSON after it is let pass: some servers
// append an error to a success, which comparing and reading back finds. saw, if
// not nil, is told whether the answer hides auth data.
func intoAccount(a *identity.Account, saw func(hidden bool)) func(*json.Decoder) error {
	return func(d *json.Decoder) error {
		var u wireUser
		if err := d.Decode(&u); err != nil {
			return err
		}
		var err error
		if *a, err = u.account(); err == nil && saw != nil {
			saw(u.hidesAuth())
		}
		return err
	}
}

// intoAccounts decodes an array of users one by one.
func intoAccounts(list *[]identity.Account, saw func(hidden bool)) func(*json.Decoder) error {
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
			saw(u.hidesAuth())
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
