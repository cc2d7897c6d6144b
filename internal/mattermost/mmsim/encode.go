package mmsim

import (
	"crypto/sha512"
	"encoding/json"
	"slices"
	"strconv"
)

// view says how much of an account the asker may see.
type view struct {
	old        bool // 5.38: auth_data is "" to everybody, keys that came later are not there
	hideAuth   bool // auth_service and auth_data are "" to a plain user
	hideNotify bool
	own        bool // password time and verified flag: one's own account, and answers to writes
	failed     bool
	stored     bool // 5.38's answer to a verification: the row as stored, with the hash of the password
}

func (s *Server) viewFor(asker *User, u *User) view {
	admin := asker != nil && asker.IsAdmin()
	self := asker != nil && asker.ID == u.ID
	return view{
		old:        s.profile == Profile538,
		hideAuth:   !admin && !self,
		hideNotify: !admin && !self,
		failed:     admin || self,
	}
}

// appendUser writes one account in the key order of the server. It is written
// by hand because a read of 100,000 accounts goes through here.
func appendUser(b []byte, u *User, v view) []byte {
	b = append(b, `{"id":"`...)
	b = append(b, u.ID...)
	b = append(b, '"')
	b = appendInt(b, "create_at", u.CreateAt)
	b = appendInt(b, "update_at", u.UpdateAt)
	b = appendInt(b, "delete_at", u.DeleteAt)
	b = appendField(b, "username", u.Username)
	if v.stored && u.Password != "" {
		b = appendField(b, "password", bcryptLike(u.Password))
	}
	switch {
	case v.stored && u.AuthData == "":
	case v.hideAuth || v.old:
		b = append(b, `,"auth_data":""`...)
	case u.AuthData != "":
		b = appendField(b, "auth_data", u.AuthData)
	}
	if v.hideAuth {
		b = append(b, `,"auth_service":""`...)
	} else {
		b = appendField(b, "auth_service", u.AuthService)
	}
	b = appendField(b, "email", u.Email)
	if v.own && u.EmailVerified {
		b = append(b, `,"email_verified":true`...)
	}
	b = appendField(b, "nickname", u.Nickname)
	b = appendField(b, "first_name", u.FirstName)
	b = appendField(b, "last_name", u.LastName)
	b = appendField(b, "position", u.Position)
	b = appendField(b, "roles", u.Roles)
	if u.allowMarketing {
		b = append(b, `,"allow_marketing":true`...)
	}
	if len(u.Props) > 0 {
		b = append(b, `,"props":`...)
		b = appendMap(b, u.Props)
	}
	b = appendSettings(b, u, v)
	if !u.remoteNull {
		b = appendField(b, "remote_id", u.RemoteID)
	}
	if u.IsBot {
		b = append(b, `,"is_bot":true`...)
		if u.BotDescription != "" {
			b = appendField(b, "bot_description", u.BotDescription)
		}
	}
	b = append(b, `,"disable_welcome_email":`...)
	b = strconv.AppendBool(b, u.DisableWelcomeEmail)
	return append(b, '}')
}

// appendSettings writes what a person chose and what belongs to the password.
func appendSettings(b []byte, u *User, v view) []byte {
	if !v.hideNotify && (v.own || !v.old) {
		b = append(b, `,"notify_props":`...)
		switch {
		case u.NotifyProps != nil:
			b = appendMap(b, u.NotifyProps)
		case v.old:
			b = append(b, oldNotifyProps...)
		default:
			b = append(b, defaultNotifyProps...)
		}
	}
	if v.own && u.LastPasswordUpdate != 0 {
		b = appendInt(b, "last_password_update", u.LastPasswordUpdate)
	}
	if u.LastPictureUpdate != 0 {
		b = appendInt(b, "last_picture_update", u.LastPictureUpdate)
	}
	if v.failed && (v.own || !v.old) && u.FailedAttempts != 0 {
		b = appendInt(b, "failed_attempts", int64(u.FailedAttempts))
	}
	b = appendField(b, "locale", u.Locale)
	b = append(b, `,"timezone":`...)
	switch {
	case u.timezoneNull:
		b = append(b, "null"...)
	case u.Timezone == nil:
		b = append(b, defaultTimezone...)
	default:
		b = appendMap(b, u.Timezone)
	}
	if u.MFAActive {
		b = append(b, `,"mfa_active":true`...)
	}
	return b
}

// bcryptLike has the form of the hash a real server stores. It is the same for
// the same password and opens nothing.
func bcryptLike(password string) string {
	const alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	sum := sha512.Sum512([]byte(password))
	hash := make([]byte, 53)
	for i := range hash {
		hash[i] = alphabet[sum[i]&63]
	}
	return "$2a$10$" + string(hash)
}

func appendInt(b []byte, key string, n int64) []byte {
	b = append(b, ',', '"')
	b = append(b, key...)
	b = append(b, '"', ':')
	return strconv.AppendInt(b, n, 10)
}

func appendField(b []byte, key, value string) []byte {
	b = append(b, ',', '"')
	b = append(b, key...)
	b = append(b, '"', ':')
	return appendString(b, value)
}

func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, err := json.Marshal(s)
			if err != nil {
				return append(b, `""`...)
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func appendMap(b []byte, m map[string]string) []byte {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, k)
		b = append(b, ':')
		b = appendString(b, m[k])
	}
	return append(b, '}')
}

const (
	defaultNotifyProps = `{"channel":"true","comments":"never","desktop":"mention","desktop_sound":"true",` +
		`"desktop_threads":"all","email":"true","email_threads":"all","first_name":"false",` +
		`"mention_keys":"","push":"mention","push_status":"online","push_threads":"all"}`
	oldNotifyProps = `{"channel":"true","comments":"never","desktop":"mention","desktop_sound":"true","email":"true",` +
		`"first_name":"false","mention_keys":"","push":"mention","push_status":"away"}`
	defaultTimezone = `{"automaticTimezone":"","manualTimezone":"","useAutomaticTimezone":"true"}`
)
