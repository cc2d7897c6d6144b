package filter

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// matcher gives what tells whether one value fits a comparison; that of ne is that
// of eq.
func (c compiler) matcher(e *Compare, f Field) (func(v any) bool, error) {
	switch f.Kind {
	case Text:
		return c.text(e, f.Exact)
	case Bytes:
		if _, ok := order(e.Op); ok {
			return nil, mismatch(e, f.Kind)
		}
		return c.text(e, true)
	case Bool:
		return c.bool(e)
	case Number:
		return c.number(e)
	case Time:
		return c.time(e)
	}
	return nil, mismatch(e, f.Kind)
}

// mismatch says that a Kind has no such comparison.
func mismatch(e *Compare, k Kind) *Error {
	return &Error{Offset: -1, Text: fmt.Sprintf("expected a comparison that %s has but found %s with %s at %s",
		k.described(), excerpt(string(e.Op)), describe(e.Value), excerpt(e.Attr.String()))}
}

func (k Kind) described() string {
	switch k {
	case Text:
		return "a text"
	case Bool:
		return "a boolean"
	case Number:
		return "a number"
	case Time:
		return "a time"
	case Bytes:
		return "a binary"
	}
	return "an unknown kind"
}

func describe(v Value) string {
	switch v := v.(type) {
	case string:
		return excerpt(v)
	case bool:
		return "a boolean"
	case json.Number:
		return "a number"
	}
	return "an unknown value"
}

// order gives the signs of a comparison that an ordering accepts.
func order(op Op) (accepts func(sign int) bool, ok bool) {
	switch op {
	case Greater:
		return func(sign int) bool { return sign > 0 }, true
	case GreaterOrEqual:
		return func(sign int) bool { return sign >= 0 }, true
	case Less:
		return func(sign int) bool { return sign < 0 }, true
	case LessOrEqual:
		return func(sign int) bool { return sign <= 0 }, true
	default:
		return nil, false
	}
}

func (c compiler) text(e *Compare, exact bool) (func(v any) bool, error) {
	want, ok := e.Value.(string)
	if !ok {
		return nil, mismatch(e, Text)
	}
	fits, ok := exactly(e.Op, want)
	if ok && !exact {
		fits = folded(e.Op, Fold(want))
	}
	if !ok {
		return nil, mismatch(e, Text)
	}
	return func(v any) bool {
		s, ok := v.(string)
		return ok && fits(s)
	}, nil
}

func exactly(op Op, want string) (func(s string) bool, bool) {
	switch op {
	case Equal, NotEqual:
		return func(s string) bool { return s == want }, true
	case Contains:
		return func(s string) bool { return strings.Contains(s, want) }, true
	case StartsWith:
		return func(s string) bool { return strings.HasPrefix(s, want) }, true
	case EndsWith:
		return func(s string) bool { return strings.HasSuffix(s, want) }, true
	default:
		accepts, ok := order(op)
		return func(s string) bool { return accepts(strings.Compare(s, want)) }, ok
	}
}

// folded is exactly of texts' keys; for ASCII it does without making one where it
// can. The op is one that exactly has.
func folded(op Op, key string) func(s string) bool {
	switch op {
	case Equal, NotEqual:
		return func(s string) bool { return foldsAs(s, key) }
	case StartsWith:
		return func(s string) bool {
			if !isASCII(s) {
				return strings.HasPrefix(foldAny(s), key)
			}
			return len(s) >= len(key) && sameWord(s[:len(key)], key)
		}
	case EndsWith:
		return func(s string) bool {
			if !isASCII(s) {
				return strings.HasSuffix(foldAny(s), key)
			}
			return len(s) >= len(key) && sameWord(s[len(s)-len(key):], key)
		}
	default:
		fits, _ := exactly(op, key)
		return func(s string) bool { return fits(Fold(s)) }
	}
}

func (c compiler) bool(e *Compare) (func(v any) bool, error) {
	if e.Op != Equal && e.Op != NotEqual {
		return nil, mismatch(e, Bool)
	}
	want, ok := e.Value.(bool)
	if !ok {
		s, _ := e.Value.(string)
		if want, ok = boolOf(s); !ok || !c.o.may(BoolText) {
			return nil, mismatch(e, Bool)
		}
	}
	return func(v any) bool {
		b, ok := boolOf(v)
		return ok && b == want
	}, nil
}

func boolOf(v any) (value, ok bool) {
	switch v := v.(type) {
	case bool:
		return v, true
	case string:
		value = sameWord(v, "true")
		return value, value || sameWord(v, "false")
	}
	return false, false
}

func (c compiler) number(e *Compare) (func(v any) bool, error) {
	literal, _ := e.Value.(json.Number)
	want, ok := parseDecimal(literal.String())
	accepts, known := ordered(e.Op)
	if !ok || !known {
		return nil, mismatch(e, Number)
	}
	return func(v any) bool {
		d, ok := decimalOf(v)
		return ok && accepts(d.compare(want))
	}, nil
}

func (c compiler) time(e *Compare) (func(v any) bool, error) {
	s, _ := e.Value.(string)
	want, ok := c.instant(s)
	accepts, known := ordered(e.Op)
	if !ok || !known {
		return nil, mismatch(e, Time)
	}
	return func(v any) bool {
		t, ok := timeOf(v)
		return ok && accepts(t.Compare(want))
	}, nil
}

// ordered is order with eq and ne.
func ordered(op Op) (accepts func(sign int) bool, ok bool) {
	if op == Equal || op == NotEqual {
		return func(sign int) bool { return sign == 0 }, true
	}
	return order(op)
}

// instant reads a time of RFC 3339 with up to nine digits of fraction.
func (c compiler) instant(s string) (time.Time, bool) {
	blank := len(s) - len(" 02:00")
	lost := blank > 0 && s[blank] == ' '
	if lost {
		s = s[:blank] + "+" + s[blank+1:]
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || !isTime(s) || lost && !c.o.may(TimeSpace) {
		return time.Time{}, false
	}
	return t, true
}

// isTime tells the digits and signs of RFC 3339 section 5.6; time.Parse takes hours
// of one digit, commas and any offset as well.
func isTime(s string) bool {
	const local, zone = "0000-00-00T00:00:00", "00:00"
	if len(s) <= len(local) || !hasShape(s[:len(local)], local) {
		return false
	}
	s = s[len(local):]
	if s[0] == '.' {
		n := digits(s[1:])
		if n == 0 || n > 9 {
			return false
		}
		s = s[1+n:]
	}
	if s == "Z" {
		return true
	}
	return s != "" && (s[0] == '+' || s[0] == '-') && hasShape(s[1:], zone) && s[1:3] < "24" && s[4:] < "60"
}

// hasShape tells whether digits stand where the shape has them, and its signs where
// those are.
func hasShape(s, shape string) bool {
	if len(s) != len(shape) {
		return false
	}
	for i := range len(s) {
		if shape[i] != '0' && s[i] != shape[i] || shape[i] == '0' && digits(s[i:i+1]) == 0 {
			return false
		}
	}
	return true
}

func timeOf(v any) (time.Time, bool) {
	switch v := v.(type) {
	case time.Time:
		return v, true
	case string:
		t, err := time.Parse(time.RFC3339, v)
		return t, err == nil
	}
	return time.Time{}, false
}
