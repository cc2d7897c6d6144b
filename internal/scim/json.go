package scim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonError is a fault of a JSON text. Extra tells that RFC 8259 would let it pass:
// a key given twice, a code point that is no character, nesting too deep.
type jsonError struct {
	text   string
	offset int
	extra  bool
}

func (e *jsonError) Error() string { return fmt.Sprintf("%s at byte %d", e.text, e.offset) }

// scim gives the fault as it is answered, RFC 7644 table 9.
func (e *jsonError) scim() *Error {
	return &Error{Status: http.StatusBadRequest, Type: InvalidSyntax, Detail: "not JSON as it is read here: " + e.Error()}
}

// parseJSON reads one JSON value: Object, []any, string, bool, json.Number or nil.
// It is stricter than encoding/json, which would pick one of two values of a key and
// put U+FFFD where a character is broken.
func parseJSON(text []byte, depth int) (any, *jsonError) {
	if !utf8.Valid(text) {
		return nil, &jsonError{"invalid UTF-8", invalidOffset(text), true}
	}
	r := &jsonReader{b: text, depth: depth}
	v, err := r.value()
	if err != nil {
		return nil, err
	}
	if r.space(); r.i < len(r.b) {
		return nil, r.fault("something after the value")
	}
	return v, nil
}

func invalidOffset(text []byte) int {
	for i := 0; i < len(text); {
		c, n := utf8.DecodeRune(text[i:])
		if c == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return len(text)
}

type jsonReader struct {
	b     []byte
	i     int
	depth int // how much deeper it may get
}

func (r *jsonReader) fault(text string) *jsonError { return &jsonError{text: text, offset: r.i} }

func (r *jsonReader) refuse(text string) *jsonError {
	return &jsonError{text: text, offset: r.i, extra: true}
}

func (r *jsonReader) space() {
	for r.i < len(r.b) && (r.b[r.i] == ' ' || r.b[r.i] == '\t' || r.b[r.i] == '\n' || r.b[r.i] == '\r') {
		r.i++
	}
}

// next passes over white space and gives the byte there; 0 at the end.
func (r *jsonReader) next() byte {
	if r.space(); r.i < len(r.b) {
		return r.b[r.i]
	}
	return 0
}

func (r *jsonReader) value() (any, *jsonError) {
	switch c := r.next(); {
	case c == '{':
		return r.nested(r.object)
	case c == '[':
		return r.nested(r.list)
	case c == '"':
		return r.text()
	case c == 't':
		return true, r.word("true")
	case c == 'f':
		return false, r.word("false")
	case c == 'n':
		return nil, r.word("null")
	case c == '-' || c >= '0' && c <= '9':
		return r.number()
	case r.i == len(r.b):
		return nil, r.fault("unexpected end")
	}
	return nil, r.fault("no value")
}

func (r *jsonReader) nested(read func() (any, *jsonError)) (any, *jsonError) {
	if r.depth == 0 {
		return nil, r.refuse("nested too deep")
	}
	r.depth--
	r.i++
	v, err := read()
	r.depth++
	return v, err
}

func (r *jsonReader) object() (any, *jsonError) {
	o := Object{}
	if r.next() == '}' {
		r.i++
		return o, nil
	}
	for {
		if r.next() != '"' {
			return nil, r.fault("no key")
		}
		at := r.i
		key, err := r.text()
		if err != nil {
			return nil, err
		}
		if _, ok := o[key]; ok {
			return nil, &jsonError{"key given twice", at, true}
		}
		if r.next() != ':' {
			return nil, r.fault("no colon after a key")
		}
		r.i++
		v, err := r.value()
		if err != nil {
			return nil, err
		}
		o[key] = v
		switch r.next() {
		case ',':
			r.i++
		case '}':
			r.i++
			return o, nil
		default:
			return nil, r.fault("an object does not end")
		}
	}
}

func (r *jsonReader) list() (any, *jsonError) {
	l := []any{}
	if r.next() == ']' {
		r.i++
		return l, nil
	}
	for {
		v, err := r.value()
		if err != nil {
			return nil, err
		}
		l = append(l, v)
		switch r.next() {
		case ',':
			r.i++
		case ']':
			r.i++
			return l, nil
		default:
			return nil, r.fault("a list does not end")
		}
	}
}

func (r *jsonReader) word(w string) *jsonError {
	if !bytes.HasPrefix(r.b[r.i:], []byte(w)) {
		return r.fault("no value")
	}
	r.i += len(w)
	return nil
}

func (r *jsonReader) number() (any, *jsonError) {
	start := r.i
	if r.b[r.i] == '-' {
		r.i++
	}
	whole := r.i
	if !r.digits() || r.b[whole] == '0' && r.i > whole+1 {
		return nil, r.fault("not a number")
	}
	if r.i < len(r.b) && r.b[r.i] == '.' {
		r.i++
		if !r.digits() {
			return nil, r.fault("not a number")
		}
	}
	if r.i < len(r.b) && (r.b[r.i] == 'e' || r.b[r.i] == 'E') {
		r.i++
		if r.i < len(r.b) && (r.b[r.i] == '+' || r.b[r.i] == '-') {
			r.i++
		}
		if !r.digits() {
			return nil, r.fault("not a number")
		}
	}
	return json.Number(r.b[start:r.i]), nil
}

func (r *jsonReader) digits() bool {
	start := r.i
	for r.i < len(r.b) && r.b[r.i] >= '0' && r.b[r.i] <= '9' {
		r.i++
	}
	return r.i > start
}

// text reads a string, from quote to quote.
func (r *jsonReader) text() (string, *jsonError) {
	r.i++
	start := r.i
	var b strings.Builder
	for r.i < len(r.b) {
		switch c := r.b[r.i]; {
		case c == '"':
			b.Write(r.b[start:r.i])
			r.i++
			return b.String(), nil
		case c < 0x20:
			return "", r.fault("a control character in a string")
		case c == '\\':
			b.Write(r.b[start:r.i])
			if err := r.escape(&b); err != nil {
				return "", err
			}
			start = r.i
		default:
			r.i++
		}
	}
	return "", r.fault("a string does not end")
}

func (r *jsonReader) escape(b *strings.Builder) *jsonError {
	if r.i+1 >= len(r.b) {
		return r.fault("a string does not end")
	}
	c := r.b[r.i+1]
	if c == 'u' {
		return r.unicode(b)
	}
	plain := strings.IndexByte(`"\/bfnrt`, c)
	if plain < 0 {
		return r.fault("no such escape")
	}
	b.WriteByte("\"\\/\b\f\n\r\t"[plain])
	r.i += 2
	return nil
}

func (r *jsonReader) unicode(b *strings.Builder) *jsonError {
	first, ok := r.hex(r.i)
	if !ok {
		return r.fault("no such escape")
	}
	if first == 0 {
		return r.refuse("a NUL character")
	}
	if !utf16.IsSurrogate(first) {
		b.WriteRune(first)
		r.i += 6
		return nil
	}
	second, ok := r.hex(r.i + 6)
	both := utf16.DecodeRune(first, second)
	if !ok || both == utf8.RuneError {
		return r.refuse("half a surrogate pair")
	}
	b.WriteRune(both)
	r.i += 12
	return nil
}

// hex reads \uXXXX at an offset.
func (r *jsonReader) hex(at int) (rune, bool) {
	if at+6 > len(r.b) || r.b[at] != '\\' || r.b[at+1] != 'u' {
		return 0, false
	}
	var v rune
	for _, c := range r.b[at+2 : at+6] {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			v = v<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return v, true
}
