package filter

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Fold gives the key by which texts that are not caseExact (RFC 7643 section 7) are
// the same: two are if their keys are. Filters, indexes and uniqueness have to go by
// it alike. It is the simple case folding of Unicode, in normalisation form C: an é
// is one whether composed or not, while ß and ss differ. A key's key is itself.
func Fold(s string) string {
	upper := false
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return foldAny(s)
		}
		upper = upper || 'A' <= s[i] && s[i] <= 'Z'
	}
	if !upper {
		return s
	}
	return strings.ToLower(s)
}

func foldAny(s string) string {
	return norm.NFC.String(strings.Map(foldRune, norm.NFC.String(s)))
}

// foldRune gives one rune for all that fold alike: that to which a capital among
// them is lowered, or the first.
func foldRune(r rune) rune {
	if r < utf8.RuneSelf {
		return rune(lower(byte(r)))
	}
	first := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		first = min(first, next)
	}
	for c := first; ; {
		if l := unicode.ToLower(c); l != c && foldsTo(c, l) {
			return l
		}
		if c = unicode.SimpleFold(c); c == first {
			return first
		}
	}
}

// foldsTo tells whether two runes fold alike.
func foldsTo(r, other rune) bool {
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		if next == other {
			return true
		}
	}
	return false
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// foldsAs tells whether a text's key is this one, for ASCII without making it.
func foldsAs(s, key string) bool {
	if !isASCII(s) {
		return foldAny(s) == key
	}
	return sameWord(s, key)
}
