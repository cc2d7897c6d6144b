package sources

import (
	"slices"
	"strings"
	"unicode"

	"github.com/go-ldap/ldap/v3"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// DNKey gives a text by which two spellings of one distinguished name are
// equal: case, spaces around separators and inside values, escapes and the
// order inside a multi-valued RDN do not count (RFC 4514, caseIgnoreMatch), nor
// which of the names of RFC 4519 an attribute type goes by (cn, commonName,
// 2.5.4.3). A text that is no DN is a name, and folded as one.
//
// What a server's own matching rules make equal beyond that, such as ß and ss in
// some, stays different: LooseDNKey finds what to ask the server about.
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
			parts[j] = attributeType(a.Type) + "=" + escapeKey(foldValue(a.Value))
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
	start := 0                  // of the current RDN
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
			if types++; prev == ',' || types > 1 || maybeAlias(s[start:i]) {
				return false
			}
		case ',':
			types, start = 0, i+1
		default:
			if c < 0x20 || c >= 0x7f {
				return false
			}
		}
		prev = c
	}
	return prev != ','
}

// maybeAlias tells an attribute type that may be another name of a shorter one.
func maybeAlias(name string) bool {
	return len(name) > len("street") || name[0] <= '9' || len(name) == len("userid") && strings.EqualFold(name, "userid")
}

// attributeType gives the one name under which an attribute type is compared: of those
// that occur in names of entries (RFC 4514 3, RFC 4519), the short one.
func attributeType(name string) string {
	name = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(name)), "oid.")
	switch name {
	case "commonname", "2.5.4.3":
		return "cn"
	case "surname", "2.5.4.4":
		return "sn"
	case "2.5.4.5":
		return "serialnumber"
	case "countryname", "2.5.4.6":
		return "c"
	case "localityname", "2.5.4.7":
		return "l"
	case "stateorprovincename", "2.5.4.8":
		return "st"
	case "streetaddress", "2.5.4.9":
		return "street"
	case "organizationname", "2.5.4.10":
		return "o"
	case "organizationalunitname", "2.5.4.11":
		return "ou"
	case "2.5.4.12":
		return "title"
	case "gn", "2.5.4.42":
		return "givenname"
	case "userid", "0.9.2342.19200300.100.1.1":
		return "uid"
	case "rfc822mailbox", "0.9.2342.19200300.100.1.3":
		return "mail"
	case "domaincomponent", "0.9.2342.19200300.100.1.25":
		return "dc"
	case "email", "emailaddress", "pkcs9email", "1.2.840.113549.1.9.1":
		return "emailaddress"
	}
	return name
}

// LooseDNKey gives a text that is equal for all distinguished names that any
// server could hold for one: types are left out, and of values only letters and
// digits without case and accents stay. Names that share it may still be of two
// entries; only the server can tell.
func LooseDNKey(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	put := func(value string) {
		b.WriteByte(',')
		if !ascii(value) {
			value = cases.Fold().String(norm.NFKD.String(value))
		}
		for _, r := range value {
			switch {
			case r >= 'A' && r <= 'Z':
				b.WriteByte(byte(r) + 'a' - 'A')
			case unicode.IsLetter(r) || unicode.IsDigit(r):
				b.WriteRune(r)
			}
		}
	}
	if plainDN(s) {
		for rdn := range strings.SplitSeq(s, ",") {
			_, value, _ := strings.Cut(rdn, "=")
			put(value)
		}
		return b.String()
	}
	dn, err := ldap.ParseDN(s)
	if err != nil {
		put(s)
		return b.String()
	}
	for _, rdn := range dn.RDNs {
		values := make([]string, len(rdn.Attributes))
		for i, a := range rdn.Attributes {
			values[i] = a.Value
		}
		slices.Sort(values)
		for _, v := range values {
			put(v)
		}
	}
	return b.String()
}

// CertainDN tells a distinguished name of which DNKey decides alone: all
// characters are of ASCII, no value is given in hexadecimal and no type by a number
// whose name is not known.
func CertainDN(s string) bool {
	if !ascii(s) {
		return false
	}
	if plainDN(s) {
		return true
	}
	dn, err := ldap.ParseDN(s)
	if err != nil || strings.Contains(s, "#") {
		return false
	}
	for _, rdn := range dn.RDNs {
		for _, a := range rdn.Attributes {
			if name := attributeType(a.Type); name == "" || name[0] <= '9' || !ascii(a.Value) {
				return false
			}
		}
	}
	return true
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
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
