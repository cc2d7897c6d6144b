package filter

import (
	"fmt"
	"slices"
)

// Field is what a filter has to know of an attribute to compare it.
type Field struct {
	// Values gives the values that an Attr has in an item: none, one, or several. If
	// it is nil, the attribute is in no item, and any comparison is allowed.
	//
	// A value is read by the Kind: Text from a string; Bool from a bool or "true",
	// "false" in any case; Number from a json.Number, int, int64, float64 or the text
	// of one; Time from a time.Time or RFC 3339; Bytes from their base64 in a string.
	// One that cannot be read fits no comparison; nil is no value.
	Values func(item any) []any
	Kind   Kind
	Exact  bool // compares with case
	// Element resolves attributes inside the brackets of a value path; nil if the
	// attribute has no sub-attributes. The items there are this attribute's Values. A
	// comparison with the attribute itself is one with its "value": emails co "x".
	Element Schema
}

// Kind is how values compare.
type Kind int

// The kinds of values, RFC 7643 section 2.3.
const (
	Text Kind = iota
	Bool
	Number
	Time
	Bytes
)

// Schema resolves an attribute; a fault is returned as it is by Compile.
type Schema interface {
	Field(a Attr) (Field, error)
}

// Compile turns a tree into a predicate over items as the Schema's Fields read them.
//
// Of several values any one may fit. "ne" is the opposite of "eq": no value is equal,
// which holds as well for an attribute that is absent; no other comparison with a
// value does. "eq null" is the opposite of "pr", and "ne null" is "pr". Texts compare
// as Fold says, or byte by byte if Exact; numbers by value, times as instants.
//
// Refused with an *Error are values that are not of the attribute's Kind, gt, ge, lt
// and le of Bool and Bytes (RFC 7644 section 3.4.2.2), and co, sw and ew of other
// than Text and Bytes.
func Compile(e Expr, s Schema) (func(item any) bool, error) { return CompileWith(e, s, nil) }

// CompileWith is Compile with the further spellings that only an attribute's Kind
// tells, BoolText and TimeSpace, where lenient says so.
func CompileWith(e Expr, s Schema, lenient func(quirk string) bool) (func(item any) bool, error) {
	c := compiler{o: Options{Lenient: lenient}}
	return c.expr(e, s)
}

type predicate = func(item any) bool

type compiler struct{ o Options }

func (c compiler) expr(e Expr, s Schema) (predicate, error) {
	switch e := e.(type) {
	case *And:
		return c.all(conjuncts(e), s)
	case *Or:
		return c.any(disjuncts(e), s)
	case *Not:
		of, err := c.expr(e.Of, s)
		if err != nil {
			return nil, err
		}
		return not(of), nil
	case *Present:
		f, err := s.Field(e.Attr)
		if err != nil {
			return nil, err
		}
		return present(f), nil
	case *Compare:
		return c.compare(e, s)
	case *ValuePath:
		return c.valuePath(e, s)
	}
	return nil, &Error{Offset: -1, Text: fmt.Sprintf("expected a filter but found a %T", e)}
}

func (c compiler) each(parts []Expr, s Schema) ([]predicate, error) {
	of := make([]predicate, len(parts))
	for i, part := range parts {
		var err error
		if of[i], err = c.expr(part, s); err != nil {
			return nil, err
		}
	}
	return of, nil
}

func (c compiler) all(parts []Expr, s Schema) (predicate, error) {
	of, err := c.each(parts, s)
	if err != nil {
		return nil, err
	}
	return func(item any) bool {
		for _, holds := range of {
			if !holds(item) {
				return false
			}
		}
		return true
	}, nil
}

func (c compiler) any(parts []Expr, s Schema) (predicate, error) {
	of, err := c.each(parts, s)
	if err != nil {
		return nil, err
	}
	return func(item any) bool {
		for _, holds := range of {
			if holds(item) {
				return true
			}
		}
		return false
	}, nil
}

func not(of predicate) predicate { return func(item any) bool { return !of(item) } }

func never(any) bool { return false }

func (c compiler) compare(e *Compare, s Schema) (predicate, error) {
	f, err := s.Field(e.Attr)
	if err != nil {
		return nil, err
	}
	if e.Value == nil {
		return ofNull(e, f)
	}
	values := f.Values
	if f.Element != nil && values != nil {
		inner, err := f.Element.Field(Attr{Name: "value"})
		if err != nil {
			return nil, err
		}
		if inner.Element != nil {
			return nil, c.fault(e.Attr, "an attribute that can be compared, or a sub-attribute of it")
		}
		inner.Values = within(values, inner.Values)
		f, values = inner, inner.Values
	}
	negative := e.Op == NotEqual
	fits := never
	if values != nil {
		if fits, err = c.matcher(e, f); err != nil {
			return nil, err
		}
	}
	return func(item any) bool {
		if values != nil {
			for _, v := range values(item) {
				if v != nil && fits(v) {
					return !negative
				}
			}
		}
		return negative
	}, nil
}

// within gives the values of the elements that an attribute has.
func within(elements, values func(any) []any) func(any) []any {
	if values == nil {
		return nil
	}
	return func(item any) []any {
		var all []any
		for i, element := range elements(item) {
			of := values(element)
			if i == 0 {
				all = slices.Clip(of)
			} else {
				all = append(all, of...)
			}
		}
		return all
	}
}

func ofNull(e *Compare, f Field) (predicate, error) {
	switch e.Op {
	case Equal:
		return not(present(f)), nil
	case NotEqual:
		return present(f), nil
	default:
		return nil, &Error{Offset: -1, Text: fmt.Sprintf("expected eq or ne before null but found %s at %s",
			excerpt(string(e.Op)), excerpt(e.Attr.String()))}
	}
}

func (c compiler) valuePath(e *ValuePath, s Schema) (predicate, error) {
	f, err := s.Field(e.Attr)
	if err != nil {
		return nil, err
	}
	if f.Values == nil {
		return never, nil
	}
	if f.Element == nil {
		return nil, c.fault(e.Attr, "an attribute that has sub-attributes before brackets")
	}
	fits, err := c.expr(e.Filter, f.Element)
	if err != nil {
		return nil, err
	}
	if e.Then != nil {
		then, err := c.expr(e.Then, f.Element)
		if err != nil {
			return nil, err
		}
		first := fits
		fits = func(element any) bool { return first(element) && then(element) }
	}
	return func(item any) bool {
		for _, element := range f.Values(item) {
			if element != nil && fits(element) {
				return true
			}
		}
		return false
	}, nil
}

func (c compiler) fault(a Attr, expected string) *Error {
	return &Error{Offset: -1, Text: "expected " + expected + " but found " + excerpt(a.String())}
}

// present tells whether there is a value that is neither empty nor made of such.
func present(f Field) predicate {
	if f.Values == nil {
		return never
	}
	return func(item any) bool {
		for _, v := range f.Values(item) {
			if !isEmpty(v) {
				return true
			}
		}
		return false
	}
}

func isEmpty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		for _, element := range v {
			if !isEmpty(element) {
				return false
			}
		}
		return true
	case map[string]any:
		for _, sub := range v {
			if !isEmpty(sub) {
				return false
			}
		}
		return true
	}
	return false
}
