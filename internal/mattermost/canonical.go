package mattermost

import (
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// The server's own limits (User.IsValid, 5.38 to 11.x).
const (
	maxUsername = 64  // bytes; the "3 to 22" of its messages is the sign-up page's rule
	maxEmail    = 128 // bytes
	maxName     = 64  // characters: first name, last name, nickname
	maxPosition = 128 // characters
	maxAuthData = 128 // bytes
)

// Canonical brings an identity into the form in which the server would store
// it, so that a rule of the server is not taken for a difference for ever:
// username and e-mail lower case, invisible characters removed, names cut at
// the server's limit, a locale the server has, a time zone that there is. A value that the server would
// refuse, and that cannot be mended without inventing something, becomes the
// identity's Fault; a locale or time zone that there is not is simply not owned. It is the
// same for all versions, asks nothing, and applying it twice changes nothing.
func (t *Target) Canonical(i identity.Identity) identity.Identity { return Canonical(i) }

// Canonical is what [Target.Canonical] does; it needs no server.
func Canonical(i identity.Identity) identity.Identity {
	i.Roles = identity.NewRoles(i.Roles...)
	if len(i.Roles) == 0 {
		i.Roles = nil
	}
	if i.Fault != "" {
		return i
	}
	for _, f := range i.Owned.List() {
		v, owned, fault := canonicalValue(f, i.Profile.Value(f))
		i.Profile = i.Profile.With(f, v)
		if !owned {
			i.Owned = i.Owned.Without(identity.AttributesOf(f))
		}
		if fault != "" && i.Fault == "" {
			i.Fault = fault
		}
	}
	i.Custom = canonicalCustom(i.Custom)
	if i.Fault == "" {
		i.Fault = authFault(i.Auth)
	}
	return i
}

func canonicalValue(f identity.Attribute, v string) (value string, owned bool, fault string) {
	switch f {
	case identity.Username:
		v = strings.ToLower(stripInvisible(v))
		return v, true, usernameFault(v)
	case identity.Email:
		v = strings.ToLower(strings.TrimSpace(stripInvisible(v)))
		return v, true, emailFault(v)
	case identity.FirstName, identity.LastName, identity.Nickname:
		return cutRunes(stripInvisible(v), maxName), true, ""
	case identity.Position:
		return cutRunes(stripInvisible(v), maxPosition), true, ""
	case identity.Locale:
		l, ok := canonicalLocale(v)
		return l, ok, ""
	case identity.Timezone:
		z, ok := canonicalZone(v)
		return z, ok, ""
	}
	return v, true, ""
}

func usernameFault(v string) string {
	const next = "; change the username in the source or its mapping"
	switch {
	case v == "":
		return "username: the source gives none, and Mattermost would invent one" + next
	case len(v) > maxUsername:
		return fmt.Sprintf("username %s: it has %d characters and Mattermost takes %d%s", quoteShort(v), len(v), maxUsername, next)
	case strings.HasPrefix(v, plan.ParkedPrefix):
		return fmt.Sprintf("username %s: names beginning with %s are kept for renames in progress%s", quoteShort(v), plan.ParkedPrefix, next)
	case slices.Contains([]string{"all", "channel", "matterbot", "system"}, v):
		return fmt.Sprintf("username %s: Mattermost reserves this name%s", quoteShort(v), next)
	case !validUsername(v):
		return fmt.Sprintf("username %s: Mattermost takes only a-z, 0-9, '.', '-' and '_'%s", quoteShort(v), next)
	}
	return ""
}

func emailFault(v string) string {
	const next = "; correct it in the source or its mapping"
	switch {
	case v == "":
		return "email: the source gives none, and every Mattermost account needs one" + next
	case len(v) > maxEmail:
		return fmt.Sprintf("email %s: it is longer than the %d bytes Mattermost takes%s", quoteShort(v), maxEmail, next)
	case !validEmail(v):
		return fmt.Sprintf("email %s: Mattermost does not take it for an address%s", quoteShort(v), next)
	}
	return ""
}

func authFault(a identity.Auth) string {
	const next = "; correct the rule in auth.policy"
	switch {
	case a.IsZero():
		return ""
	case a.Service == "":
		return "auth_data: there is a value but no login service to go with it" + next
	case !slices.Contains(loginServices(), a.Service):
		return fmt.Sprintf("auth_service %s: Mattermost has no such login, and nobody could use the account; "+
			"use ldap, saml, gitlab, google, office365 or openid", quoteShort(a.Service))
	case a.Data == "":
		return "auth_data: the source gives none, and nobody could log in to the account" + next
	case len(a.Data) > maxAuthData:
		return fmt.Sprintf("auth_data: it is longer than the %d bytes Mattermost takes%s", maxAuthData, next)
	case strings.ContainsRune(a.Data, 0) || !utf8.ValidString(a.Data):
		return "auth_data: it holds bytes that are not text" + next
	}
	return ""
}

// loginServices are the words that the server has a login for. It stores any
// other as well, and nobody can log in then.
func loginServices() []string {
	return []string{"ldap", "saml", "gitlab", "google", "office365", "openid"}
}

// quoteShort quotes a value for a sentence a person reads.
func quoteShort(s string) string {
	if r := []rune(s); len(r) > 40 {
		s = string(r[:40]) + "…"
	}
	return fmt.Sprintf("%q", s)
}

func validUsername(v string) bool {
	if v == "" || len(v) > maxUsername {
		return false
	}
	for _, c := range []byte(v) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// validEmail follows the server: a bare address as net/mail reads it, with one
// @. That excludes display forms, quoted local parts and spaces.
func validEmail(v string) bool {
	if v == "" || len(v) > maxEmail || strings.Count(v, "@") != 1 || strings.ContainsRune(v, '"') {
		return false
	}
	a, err := mail.ParseAddress(v)
	return err == nil && a.Name == "" && a.Address == v
}

// stripInvisible removes what the server removes from names (the characters
// that https://www.w3.org/TR/unicode-xml/#Charlist calls unsuitable), and also
// NUL, which it answers with 500, the bidi isolates, which would let a name
// rearrange the text around it, and bytes that are not UTF-8, which would be
// stored as something else.
func stripInvisible(s string) string {
	if s == "" {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == 0, r == utf8.RuneError,
			r == 0x0340, r == 0x0341, r == 0x17A3, r == 0x17D3,
			r == 0x2028, r == 0x2029,
			r >= 0x202A && r <= 0x202E,
			r >= 0x2066 && r <= 0x206F,
			r == 0xFEFF, r >= 0xFFF9 && r <= 0xFFFC,
			r >= 0x1D173 && r <= 0x1D17A,
			r >= 0xE0000 && r <= 0xE007F:
			return -1
		}
		return r
	}, s)
}

func cutRunes(s string, n int) string {
	count := 0
	for i := range s {
		if count == n {
			return s[:i]
		}
		count++
	}
	return s
}

// canonicalLocale finds the server's locale for a language tag: "de_AT" and
// "de-AT" are its "de". On creation the server turns any other into its default
// without a word, on a patch it refuses it.
func canonicalLocale(v string) (string, bool) {
	v = strings.ReplaceAll(strings.TrimSpace(v), "_", "-")
	tag, _, _ := strings.Cut(v, ".") // POSIX: de_DE.UTF-8
	for {
		if i := slices.IndexFunc(serverLocales(), func(l string) bool { return strings.EqualFold(l, tag) }); i >= 0 {
			return serverLocales()[i], true
		}
		i := strings.LastIndexByte(tag, '-')
		if i < 0 {
			return v, false
		}
		tag = tag[:i]
	}
}

// canonicalZone checks the name of a time zone. The server stores any text (seen on
// 5.38 and 11.6), and its apps then show the times of another zone without a word.
func canonicalZone(v string) (string, bool) {
	v = strings.TrimSpace(v)
	if v == "" || v == "Local" {
		return v, false
	}
	z, err := time.LoadLocation(v)
	return v, err == nil && z != nil
}

// serverLocales are the languages the server ships as ready for use.
func serverLocales() []string {
	return []string{
		"bg", "de", "en", "en-AU", "es", "fa", "fr", "hu", "it", "ja", "ko", "nl", "pl",
		"pt-BR", "ro", "ru", "sv", "tr", "uk", "vi", "zh-CN", "zh-TW",
	}
}
