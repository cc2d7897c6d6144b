package plan

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/mmsync/mmsync/internal/identity"
)

// quote makes a value safe to print: control characters, escapes, line ends and
// bidirectional overrides are shown, not carried out.
func quote(s string) string { return strconv.Quote(s) }

// clean makes a sentence safe to print without quoting it as a whole: what a
// terminal would carry out is shown, everything else stays as it is.
func clean(s string) string {
	bad := func(r rune) bool { return r == utf8.RuneError || !strconv.IsPrint(r) }
	at := strings.IndexFunc(s, bad)
	if at < 0 {
		return s
	}
	var b strings.Builder
	b.WriteString(s[:at])
	for s = s[at:]; s != ""; {
		r, n := utf8.DecodeRuneInString(s)
		if r != '"' && bad(r) {
			q := strconv.Quote(s[:n])
			b.WriteString(q[1 : len(q)-1])
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// EscapeJSON writes what a terminal would carry out in JSON text as escapes of JSON:
// the encoder leaves everything beyond ASCII as it is.
func EscapeJSON(text string) string {
	bad := func(r rune) bool { return r >= 0x7f && !strconv.IsPrint(r) }
	if strings.IndexFunc(text, bad) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if !bad(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, "\\u%04x", unit)
		}
	}
	return b.String()
}

// visible makes a name safe to print, quoting it only where it would not be
// plainly readable as one word.
func visible(s string) string {
	if q := quote(s); s == "" || strings.ContainsRune(s, ' ') || q != `"`+s+`"` {
		return q
	}
	return s
}

// Shell quotes a word for a shell where it needs it, and for the terminal: anchors and
// names come from people, and what mmsync tells somebody to run is copied.
func Shell(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@%=", r)
	}
	switch {
	case s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0:
		return s
	case clean(s) != s:
		return "$'" + strings.ReplaceAll(clean(strings.ReplaceAll(s, `\`, `\\`)), "'", `\'`) + "'"
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Command writes a command that changes who owns what, to be copied into a shell:
// its words are quoted, its verb is not.
func Command(verb string, words ...string) string {
	parts := []string{"mmsync", verb}
	for _, w := range words {
		parts = append(parts, Shell(w))
	}
	return strings.Join(append(parts, "--reason …"), " ")
}

// hide replaces every quoted value of a sentence.
func hide(s string) string {
	var b strings.Builder
	for {
		at := strings.IndexByte(s, '"')
		if at < 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:at])
		s = s[at:]
		q, err := strconv.QuotedPrefix(s)
		if err != nil {
			q = s // an unpaired quote: nothing behind it can be told apart from a value
		}
		b.WriteString("(hidden)")
		s = s[len(q):]
	}
}

// keyName is a Key in a sentence.
func keyName(k identity.Key) string { return clean(k.String()) }
