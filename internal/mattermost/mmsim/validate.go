package mmsim

import (
	"encoding/json"
	"net/http"
	"net/mail"
	"strings"
	"unicode/utf8"
)

const (
	errUsernameTaken = "app.user.save.username_exists.app_error"
	errEmailTaken    = "app.user.save.email_exists.app_error"
	errSave          = "app.user.save.app_error"
	errPasswordShort = "model.user.is_valid.pwd_min_length.app_error"
	errPasswordLong  = "model.user.is_valid.pwd_max_length.app_error"
)

// invalid returns the error id of the first field that is not allowed, in the
// server's order: it reports one at a time.
func (s *Server) invalid(u *User) string {
	field := func(name string) string { return "model.user.is_valid." + name + ".app_error" }
	// An account with a remote id is taken to be checked elsewhere; even
	// "nope" is an e-mail then.
	if u.RemoteID == "" || s.profile == Profile538 {
		if !validUsername(u.Username) {
			return field("username")
		}
		if !s.validEmail(u.Email) {
			return field("email")
		}
	}
	switch {
	case utf8.RuneCountInString(u.Nickname) > 64:
		return field("nickname")
	case utf8.RuneCountInString(u.Position) > 128:
		return field("position")
	case utf8.RuneCountInString(u.FirstName) > 64:
		return field("first_name")
	case utf8.RuneCountInString(u.LastName) > 64:
		return field("last_name")
	case len(u.AuthData) > 128:
		return field("auth_data")
	case u.AuthData != "" && u.AuthService == "":
		return field("auth_data_type")
	case u.AuthData != "" && u.Password != "":
		return field("auth_data_pwd")
	case !validLocale(u.Locale):
		return field("locale")
	case tooBigTimezone(u.Timezone):
		return field("timezone_limit")
	}
	return ""
}

// taken returns the error id of the first unique value that another account
// holds. A clash of auth data hides one of e-mail, one of username hides both.
func (s *Server) taken(u *User) string {
	if holder := s.db.byName[u.Username]; holder != "" && holder != u.ID {
		return errUsernameTaken
	}
	if holder := s.db.byAuth[u.AuthData]; u.AuthData != "" && holder != "" && holder != u.ID {
		return errSave
	}
	if holder := s.db.byEmail[u.Email]; u.Email != "" && holder != "" && holder != u.ID {
		return errEmailTaken
	}
	return ""
}

// validUsername: the message of the server speaks of 3 to 22 characters that
// begin with a letter, its check does not.
func validUsername(name string) bool {
	switch name {
	case "all", "channel", "system", "matterbot":
		return false
	}
	if name == "" || len(name) > 64 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func (s *Server) validEmail(email string) bool {
	if email == "" || len(email) > 128 || email != strings.ToLower(email) {
		return false
	}
	addr, err := mail.ParseAddress(email)
	if err != nil || addr.Name != "" {
		return false
	}
	// 5.38 took a quoted local part.
	return addr.Address == email || s.profile == Profile538 && !strings.Contains(email, "<")
}

func normalEmail(email string) string { return strings.ToLower(strings.TrimSpace(email)) }

// clean removes the bidi controls, the only thing the server removes from a
// name; a value that holds one never converges.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return -1
		}
		return r
	}, text)
}

// uiLocales are the languages the server is translated into: on creation any
// other silently becomes the default.
const uiLocales = " bg de en en-AU es fa fr hu it ja ko nl pl pt-BR ro ru sv tr uk vi zh-CN zh-TW "

// languages are the two-letter codes of ISO 639; a change takes any of them,
// with a region or without.
const languages = " aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy " +
	"da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig " +
	"ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml " +
	"mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg " +
	"si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh " +
	"yi yo za zh zu "

func uiLocale(locale string) bool {
	return locale != "" && !strings.Contains(locale, " ") && strings.Contains(uiLocales, " "+locale+" ")
}

func validLocale(locale string) bool {
	if locale == "" {
		return true
	}
	if len(locale) > 5 {
		return false
	}
	base, region, regional := strings.Cut(locale, "-")
	if len(base) != 2 || !strings.Contains(languages, " "+strings.ToLower(base)+" ") {
		return false
	}
	return !regional || len(region) == 2
}

func tooBigTimezone(tz map[string]string) bool {
	raw, err := json.Marshal(tz)
	return err != nil || len(raw) > 256
}

// nul tells whether a text holds what PostgreSQL does not store.
func nul(u *User) bool {
	for _, text := range []string{u.Username, u.Email, u.Nickname, u.FirstName, u.LastName, u.Position, u.AuthData, u.AuthService} {
		if strings.ContainsRune(text, 0) {
			return true
		}
	}
	return false
}

// weak returns the refusal of a password, "" for a good one.
func (s *Server) weak(password string) string {
	id := s.weakness(password)
	if id != "" && s.profile == Profile538 {
		return "model.user.is_valid.pwd_lowercase_uppercase_number_symbol.app_error" // names all classes asked for
	}
	return id
}

func (s *Server) weakness(password string) string {
	if len(password) < s.conf.number("PasswordSettings", "MinimumLength") {
		return errPasswordShort
	}
	if len(password) > 72 || s.profile == Profile538 && len(password) == 72 {
		return errPasswordLong
	}
	need := func(key string, in func(byte) bool) bool {
		return s.conf.flag("PasswordSettings", key) && !strings.ContainsFunc(password, func(r rune) bool {
			return r < utf8.RuneSelf && in(byte(r))
		})
	}
	lower := func(c byte) bool { return c >= 'a' && c <= 'z' }
	upper := func(c byte) bool { return c >= 'A' && c <= 'Z' }
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	symbol := func(c byte) bool { return c > ' ' && c < 0x7f && !lower(c) && !upper(c) && !digit(c) }
	if need("Lowercase", lower) || need("Uppercase", upper) || need("Number", digit) || need("Symbol", symbol) {
		return "model.user.is_valid.pwd.app_error"
	}
	return ""
}

// domainAllowed follows RestrictCreationToDomains: exact domains, no subdomains.
func domainAllowed(email, domains string) bool {
	words := strings.FieldsFunc(domains, func(r rune) bool { return r == ' ' || r == ',' || r == '@' })
	if len(words) == 0 {
		return true
	}
	for _, domain := range words {
		if strings.HasSuffix(email, "@"+strings.ToLower(domain)) {
			return true
		}
	}
	return false
}

func refused(id string) reply {
	if id == errSave {
		return fail(http.StatusInternalServerError, id)
	}
	return fail(http.StatusBadRequest, id)
}
