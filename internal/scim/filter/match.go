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
		k, excerpt(string(e.Op)), describe(e.Value), excerpt(e.Attr.String()))}
}

func (k Kind) String() string {
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
	}
	return nil, false
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
	}
	if accepts, ok := order(op); ok {
		return func(s string) bool { return accepts(strings.Compare(s, want)) }, true
	}
	return nil, false
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
	}
	fits, _ := exactly(op, key)
	return func(s string) bool { return fits(Fold(s)) }
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
	var t time.Time
	if _, fraction, found := strings.Cut(s, "."); found && digits(fraction) > 9 {
		return t, false
	}
	// Unlike time.Parse, this takes nothing that RFC 3339 does not have.
	if t.UnmarshalText([]byte(s)) != nil {
		return t, false
	}
	return t, !lost || c.o.may(TimeSpace)
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
