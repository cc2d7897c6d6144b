package identity

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// SameGUID tells whether two login data are one objectGUID in two forms: the
// backslashed bytes that Mattermost's LDAP keeps, the base64 or the UUID text that
// SAML identity providers send. Equal texts are one form, and no more than equal.
func SameGUID(a, b string) bool {
	x, y := guidBytes(a), guidBytes(b)
	return a != b && x != "" && x == y
}

// guidBytes gives the 16 bytes of an objectGUID in the order of the wire; "" for
// anything else.
func guidBytes(s string) string {
	switch {
	case len(s) == 48 && strings.Count(s, `\`) == 16:
		b, err := hex.DecodeString(strings.ReplaceAll(s, `\`, ""))
		if err != nil || len(b) != 16 {
			return ""
		}
		return string(b)
	case len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-':
		b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
		if err != nil || len(b) != 16 {
			return ""
		}
		// The text shows the first three groups as numbers, the wire has their low
		// bytes first.
		return string([]byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6]}) + string(b[8:])
	case len(s) == 24:
		if b, err := base64.StdEncoding.DecodeString(s); err == nil && len(b) == 16 {
			return string(b)
		}
	}
	return ""
}
