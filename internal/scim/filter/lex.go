package filter

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// parser reads a text from left to right; there are no tokens kept.
type parser struct {
	text  string
	at    int
	depth int
	terms int
	o     Options
}

// excerptLength bounds, in characters, what an error repeats of a text.
const excerptLength = 32

// newParser gives a parser, or the fault of a text that is too long to look at.
func newParser(text string, o Options) (parser, *Error) {
	p := parser{text: text, o: o.filled()}
	if len(text) <= p.o.Bytes {
		return p, nil
	}
	return p, &Error{
		Offset: p.o.Bytes, Limit: true,
		Text: fmt.Sprintf("the text has %d bytes, more than the limit of %d", len(text), p.o.Bytes),
	}
}

// fail says that something was expected at an offset, and what is there.
func (p *parser) fail(at int, expected string) *Error {
	return &Error{Offset: at, Text: fmt.Sprintf("expected %s but found %s at offset %d", expected, p.found(at), at)}
}

func (p *parser) found(at int) string {
	if at >= len(p.text) {
		return "the end"
	}
	rest := p.text[at:]
	end := 0
	for end < len(rest) && !delimits(rest[end]) {
		end++
	}
	if end == 0 {
		_, end = utf8.DecodeRuneInString(rest)
	}
	return excerpt(rest[:end])
}

func excerpt(s string) string {
	count := 0
	for i := range s {
		if count == excerptLength {
			return strconv.Quote(s[:i]) + "…"
		}
		count++
	}
	return strconv.Quote(s)
}

func (p *parser) over(what string, limit int) *Error {
	return &Error{Offset: p.at, Limit: true, Text: fmt.Sprintf("there are more than %d %s at offset %d", limit, what, p.at)}
}

// peek gives the byte that is next, 0 at the end: no text that is read has one.
func (p *parser) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// delimits tells what ends a word.
func delimits(c byte) bool {
	switch c {
	case ' ', '\t', '\n', '\r', '(', ')', '[', ']', '"':
		return true
	}
	return false
}

// space passes white space and tells whether there was some.
func (p *parser) space() bool {
	from := p.at
	for p.at < len(p.text) && isSpace(p.text[p.at]) {
		p.at++
	}
	return p.at > from
}

// wordEnd gives where the word that begins here ends.
func (p *parser) wordEnd() int {
	end := p.at
	for end < len(p.text) && !delimits(p.text[end]) {
		end++
	}
	return end
}

func (p *parser) word() string {
	from := p.at
	p.at = p.wordEnd()
	return p.text[from:p.at]
}

// keyword passes a word if it is this one, in any case; want is in lower case.
func (p *parser) keyword(want string) bool {
	if end := p.at + len(want); end <= len(p.text) && sameWord(p.text[p.at:end], want) && p.wordEnd() == end {
		p.at = end
		return true
	}
	return false
}

// sameWord compares words of ASCII without case; want is in lower case.
func sameWord(s, want string) bool {
	if len(s) != len(want) {
		return false
	}
	for i := range len(s) {
		if lower(s[i]) != want[i] {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// quoted reads a string of JSON, RFC 8259 section 7, the quote being next.
func (p *parser) quoted() (string, *Error) {
	open := p.at
	p.at++
	from := p.at
	var b strings.Builder
	escaped := false
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '"':
			part := p.text[from:p.at]
			p.at++
			if escaped {
				b.WriteString(part)
				part = b.String()
			}
			if !utf8.ValidString(part) {
				return "", &Error{Offset: open, Text: fmt.Sprintf("expected UTF-8 in the string at offset %d", open)}
			}
			return part, nil
		case c < ' ':
			return "", &Error{Offset: p.at, Text: fmt.Sprintf("expected control character %q to be escaped at offset %d", c, p.at)}
		case c == '\\':
			b.WriteString(p.text[from:p.at])
			escaped = true
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			b.WriteRune(r)
			from = p.at
		default:
			p.at++
		}
	}
	return "", &Error{Offset: open, Text: fmt.Sprintf("expected the string at offset %d to end with a quote but found the end", open)}
}

// escape reads what a backslash, which is next, begins.
func (p *parser) escape() (rune, *Error) {
	from := p.at
	p.at += 2
	if p.at <= len(p.text) {
		switch c := p.text[p.at-1]; c {
		case '"', '\\', '/':
			return rune(c), nil
		case 'b':
			return '\b', nil
		case 'f':
			return '\f', nil
		case 'n':
			return '\n', nil
		case 'r':
			return '\r', nil
		case 't':
			return '\t', nil
		case 'u':
			if r, ok := p.unicode(); ok {
				return r, nil
			}
		}
	}
	return 0, &Error{Offset: from, Text: "expected an escape sequence of JSON but found " +
		excerpt(p.text[from:min(from+6, len(p.text))]) + " at offset " + strconv.Itoa(from)}
}

// unicode reads the digits of \uXXXX, and the second half of a surrogate pair. Half
// a pair is no character, and U+0000 is one that stores cannot keep.
func (p *parser) unicode() (rune, bool) {
	r, ok := p.hex4()
	if !ok || r == 0 {
		return 0, false
	}
	if !utf16.IsSurrogate(r) {
		return r, true
	}
	if !strings.HasPrefix(p.text[p.at:], `\u`) {
		return 0, false
	}
	p.at += 2
	second, ok := p.hex4()
	r = utf16.DecodeRune(r, second)
	return r, ok && r != utf8.RuneError
}

func (p *parser) hex4() (rune, bool) {
	if p.at+4 > len(p.text) {
		return 0, false
	}
	var r rune
	for _, c := range []byte(p.text[p.at : p.at+4]) {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 + rune(c-'0')
		case 'a' <= lower(c) && lower(c) <= 'f':
			r = r<<4 + rune(lower(c)-'a'+10)
		default:
			return 0, false
		}
	}
	p.at += 4
	return r, true
}

// isNumber tells a number of JSON, RFC 8259 section 6.
func isNumber(s string) bool {
	s = strings.TrimPrefix(s, "-")
	whole := digits(s)
	if whole == 0 || whole > 1 && s[0] == '0' {
		return false
	}
	s = s[whole:]
	if strings.HasPrefix(s, ".") {
		fraction := digits(s[1:])
		if fraction == 0 {
			return false
		}
		s = s[1+fraction:]
	}
	if s == "" {
		return true
	}
	if lower(s[0]) != 'e' {
		return false
	}
	s = s[1:]
	if s != "" && (s[0] == '+' || s[0] == '-') {
		s = s[1:]
	}
	return s != "" && digits(s) == len(s)
}

// digits counts the digits that a text begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}

// isBare tells what may stand without quotes: letters and signs, but no leading
// apostrophe, which is meant as a quote.
func isBare(s string) bool {
	if s == "" || s[0] == '\'' || !utf8.ValidString(s) {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// lostOffset gives the offset that follows a local time and a blank, if one does:
// "2021-03-04T05:06:07 02:00" was sent with a plus sign.
func (p *parser) lostOffset(word string) (offset string, ok bool) {
	const length = len("02:00")
	rest := p.text[p.at:]
	if len(rest) <= length || rest[0] != ' ' || len(rest) > length+1 && !delimits(rest[length+1]) {
		return "", false
	}
	if _, err := time.Parse("2006-01-02T15:04:05", word); err != nil {
		return "", false
	}
	offset = rest[1 : length+1]
	if _, err := time.Parse("15:04", offset); err != nil {
		return "", false
	}
	return offset, true
}
