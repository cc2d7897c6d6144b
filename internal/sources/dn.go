package sources

import (
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
	"golang.org/x/text/unicode/norm"
)

// DNKey gives a text by which two spellings of one distinguished name are
// equal: case, spaces around separators and inside values, escapes and the
// order inside a multi-valued RDN do not count (RFC 4514, caseIgnoreMatch). A
// text that is no DN is a name, and folded as one. Aliases of attribute types
// (cn, 2.5.4.3) stay different.
func DNKey(s string) string {
	if plainDN(s) {
		return strings.ToLower(s)
	}
	dn, err := ldap.ParseDN(s)
	if err != nil || len(dn.RDNs) == 0 {
		return foldValue(s)
	}
	var b strings.Builder
	for i, rdn := range dn.RDNs {
		parts := make([]string, len(rdn.Attributes))
		for j, a := range rdn.Attributes {
			parts[j] = strings.ToLower(strings.TrimSpace(a.Type)) + "=" + escapeKey(foldValue(a.Value))
		}
		slices.Sort(parts)
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strings.Join(parts, "+"))
	}
	return b.String()
}

// plainDN tells a text whose lower-case form already is its key: nearly every
// DN a server sends.
func plainDN(s string) bool {
	prev, types := byte(','), 0 // types counts the '=' of the current RDN
	for i := range len(s) {
		c := s[i]
		switch c {
		case '\\', '"', '+', ';', '<', '>', '#':
			return false
		case ' ':
			if prev == ' ' || prev == ',' || prev == '=' || i == len(s)-1 || s[i+1] == ',' || s[i+1] == '=' {
				return false
			}
		case '=':
			if types++; prev == ',' || types > 1 {
				return false
			}
		case ',':
			types = 0
		default:
			if c < 0x20 || c >= 0x7f {
				return false
			}
		}
		prev = c
	}
	return prev != ','
}

func foldValue(s string) string {
	return strings.Join(strings.Fields(norm.NFC.String(strings.ToLower(s))), " ")
}

func escapeKey(s string) string {
	if !strings.ContainsAny(s, `\,+="`) {
		return s
	}
	return keyEscaper.Replace(s)
}

// A Replacer is safe for use by many goroutines and costly to build.
var keyEscaper = strings.NewReplacer(`\`, `\\`, `,`, `\,`, `+`, `\+`, `=`, `\=`, `"`, `\"`) //nolint:gochecknoglobals // read-only
