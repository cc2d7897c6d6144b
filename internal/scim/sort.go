package scim

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/scim/filter"
)

// SortKey gives the order of sortBy: a comparison of two resources, resources
// without the attribute last if ascending, first if not, RFC 7644 section 3.4.2.3.
// Of a multi-valued attribute the primary element counts, or the first; of a complex
// one its value. An unknown attribute is an *Error with invalidValue, a sensitive one
// is refused with 403.
func (t *ResourceType) SortKey(sortBy string, descending bool) (func(a, b Resource) int, error) {
	name, err := filter.ParseAttr(sortBy)
	if err != nil {
		return nil, bad(InvalidValue, "sortBy: %s is no name of an attribute", clip(sortBy))
	}
	found, ok := t.locate(name)
	if !ok || found.whole != nil {
		return nil, bad(InvalidValue, "sortBy: %s is unknown", clip(sortBy))
	}
	by := found.attribute
	if by.Type == Complex {
		if found.sub == nil {
			found.sub = by.sub("value")
		}
		if by = found.sub; by == nil {
			return nil, bad(InvalidValue, "sortBy: expected a sub-attribute of %s", found.attribute.Name)
		}
	}
	if found.attribute.Sensitive || by.Sensitive {
		return nil, &Error{Status: http.StatusForbidden, Type: SensitiveErr, Detail: t.name(found.place) + " cannot be sorted by"}
	}
	values := t.values(found.place)
	sign := 1
	if descending {
		sign = -1
	}
	return func(a, b Resource) int {
		return sign * by.compare(sortValue(values(&a), found.sub), sortValue(values(&b), found.sub))
	}, nil
}

// sortValue picks the value that a resource is sorted by, or nil.
func sortValue(elements []any, sub *Attribute) any {
	if len(elements) == 0 {
		return nil
	}
	picked := elements[0]
	for _, e := range elements {
		if isPrimary(e) {
			picked = e
			break
		}
	}
	if sub == nil {
		return picked
	}
	of := valuesOf(picked, sub.Name)
	if len(of) == 0 {
		return nil
	}
	return of[0]
}

// compare orders two values of an attribute; none is after all.
func (a *Attribute) compare(x, y any) int {
	if x == nil || y == nil {
		return cmp.Compare(rank(x == nil), rank(y == nil))
	}
	switch a.Type {
	case Boolean:
		return cmp.Compare(rank(x == true), rank(y == true))
	case Integer, Decimal:
		return cmp.Compare(float(x), float(y))
	case DateTime:
		return instant(x).Compare(instant(y))
	case String, Reference, Binary, Complex:
	}
	s, _ := x.(string)
	o, _ := y.(string)
	if !a.CaseExact {
		s, o = filter.Fold(s), filter.Fold(o)
	}
	return strings.Compare(s, o)
}

func rank(b bool) int {
	if b {
		return 1
	}
	return 0
}

func float(v any) float64 {
	n, _ := v.(json.Number)
	f, err := n.Float64()
	if err != nil {
		return 0
	}
	return f
}

func instant(v any) time.Time {
	switch v := v.(type) {
	case time.Time:
		return v
	case string:
		if t, err := time.Parse(time.RFC3339, v); err == nil {
			return t
		}
	}
	return time.Time{}
}
