package sources

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The functions expressions may call, as plain Go. Both evaluators use them,
// so an expression means the same whichever one runs it. Error texts name no
// attribute value.

var errNotText = errors.New("the value is binary, not text; for objectGUID write attr.objectGUID.guid()")

func lowerText(s string) (string, error) { return onText(s, strings.ToLower) }
func upperText(s string) (string, error) { return onText(s, strings.ToUpper) }
func trimText(s string) (string, error)  { return onText(s, strings.TrimSpace) }

func onText(s string, f func(string) string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errNotText
	}
	return f(s), nil
}

func orValue(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// maxSlug bounds what slug can be asked for, in bytes.
const maxSlug = 255

// slugText makes a name of a-z, 0-9, dot, dash and underscore, at most n bytes
// long, that neither starts nor ends with a mark. Accents are dropped, the few
// letters that do not decompose are spelled out, and any run of other
// characters becomes one dash.
func slugText(s string, n int64) (string, error) {
	if !utf8.ValidString(s) {
		return "", errNotText
	}
	if n < 1 || n > maxSlug {
		return "", fmt.Errorf("slug needs a length from 1 to %d", maxSlug)
	}
	out := make([]byte, 0, min(len(s), int(n)))
	dash := false
	put := func(c byte) {
		if dash {
			out, dash = append(out, '-'), false
		}
		out = append(out, c)
	}
	for _, r := range norm.NFKD.String(s) {
		r = unicode.ToLower(r)
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			put(byte(r))
		case r == '.' || r == '_' || r == '-':
			if len(out) > 0 && !dash {
				put(byte(r))
			}
		case unicode.Is(unicode.Mn, r) || r == '\'' || r == '’':
		default:
			if spelled := spellOut(r); spelled != "" {
				for i := range len(spelled) {
					put(spelled[i])
				}
			} else {
				dash = len(out) > 0
			}
		}
		if len(out) > int(n) {
			break
		}
	}
	if len(out) > int(n) {
		out = out[:n]
	}
	return strings.TrimRight(string(out), "-._"), nil
}

func spellOut(r rune) string {
	switch r {
	case 'ß', 'ẞ':
		return "ss"
	case 'æ':
		return "ae"
	case 'œ':
		return "oe"
	case 'ø':
		return "o"
	case 'ł':
		return "l"
	case 'đ', 'ð':
		return "d"
	case 'þ':
		return "th"
	case 'ı':
		return "i"
	}
	return ""
}

// bitText tells whether any bit of mask is set in a decimal number, such as
// userAccountControl; an absent value has no bits.
func bitText(s string, mask int64) (bool, error) {
	if s == "" {
		return false, nil
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return false, errors.New("bit needs a decimal number")
	}
	return v&mask != 0, nil
}

// wireGUID gives the 16 bytes of an objectGUID from their wire form or from a
// UUID text, whose first three groups the wire holds in little-endian order
// (MS-DTYP 2.3.4.2).
func wireGUID(s string) ([]byte, error) {
	if len(s) == 16 {
		return []byte(s), nil
	}
	if len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' {
		if b, err := hex.DecodeString(strings.ReplaceAll(s, "-", "")); err == nil && len(b) == 16 {
			return swapGUID(b), nil
		}
	}
	return nil, fmt.Errorf("guid needs 16 bytes or a UUID text, not %d bytes", len(s))
}

func swapGUID(b []byte) []byte {
	return []byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]}
}

// guidText renders an objectGUID as canonical UUID text; absent stays absent.
func guidText(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	w, err := wireGUID(s)
	if err != nil {
		return "", err
	}
	h := hex.EncodeToString(swapGUID(w))
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:], nil
}

// mmGUIDText renders an objectGUID as Mattermost's own LDAP job stores it in
// auth_data: the wire bytes, each as a backslash and two lower-case hex digits.
func mmGUIDText(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	w, err := wireGUID(s)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, c := range w {
		b.WriteByte('\\')
		b.WriteString(hex.EncodeToString([]byte{c}))
	}
	return b.String(), nil
}

// GUIDBytes gives the wire form of a UUID text, which is what a filter on
// objectGUID needs; ok is false for any other text.
func GUIDBytes(uuid string) (wire []byte, ok bool) {
	if len(uuid) != 36 {
		return nil, false
	}
	w, err := wireGUID(uuid)
	return w, err == nil
}
