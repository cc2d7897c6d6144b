package scim

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
)

// Diff gives what changed, in order of the attributes' names; nil if nothing did.
// The order of elements is no difference.
func (t *ResourceType) Diff(before, after Object) []Changed {
	var list []Changed
	list = diffOf(list, "", t.Schema.Attributes, before, after)
	list = diffOf(list, "", []Attribute{*common("externalId")}, before, after)
	for _, x := range t.Extensions {
		was, _ := before[x.Schema.ID].(Object)
		is, _ := after[x.Schema.ID].(Object)
		list = diffOf(list, x.Schema.ID+":", x.Schema.Attributes, was, is)
	}
	slices.SortFunc(list, func(a, b Changed) int { return strings.Compare(a.Attr, b.Attr) })
	return list
}

func diffOf(list []Changed, prefix string, attributes []Attribute, before, after Object) []Changed {
	for i := range attributes {
		a := &attributes[i]
		was, is := before[a.Name], after[a.Name]
		c := Changed{Attr: prefix + a.Name}
		if a.MultiValued {
			c.Added, c.Removed = elementsDiff(a, was, is)
		}
		if c.Added != nil || c.Removed != nil || !equal(a, was, is) {
			list = append(list, c)
		}
	}
	return list
}

// elementsDiff gives the elements whose value was not there before, and those whose
// value is there no more.
func elementsDiff(a *Attribute, before, after any) (added, removed []any) {
	was, _ := before.([]any)
	is, _ := after.([]any)
	first, last := alike(was, is)
	shared := slices.Concat(was[:first], was[len(was)-last:])
	was, is = was[first:len(was)-last], is[first:len(is)-last]
	return a.missing(is, was, shared), a.missing(was, is, shared)
}

// alike tells how many elements of two lists are the same at their beginning, and
// of the rest at their end. Most changes of long lists leave little between.
func alike(x, y []any) (first, last int) {
	most := min(len(x), len(y))
	for first < most && same(x[first], y[first]) {
		first++
	}
	for last < most-first && same(x[len(x)-1-last], y[len(y)-1-last]) {
		last++
	}
	return first, last
}

// missing gives the elements of a list whose value two others have not.
func (a *Attribute) missing(elements, other, shared []any) []any {
	if len(elements) == 0 {
		return nil
	}
	absent := make(map[string]bool, len(elements))
	for _, e := range elements {
		absent[a.valueKey(e)] = true
	}
	for _, list := range [][]any{other, shared} {
		for _, e := range list {
			delete(absent, a.valueKey(e))
		}
	}
	var rest []any
	for _, e := range elements {
		if absent[a.valueKey(e)] {
			rest = append(rest, e)
		}
	}
	return rest
}

// valueKey is the value of an element; where it has none, all that tells it apart.
func (a *Attribute) valueKey(element any) string {
	if o, ok := element.(Object); ok {
		if v, ok := o["value"].(string); ok {
			return v
		}
	}
	return "\x00" + a.identity(element)
}

// equal compares two values of an attribute; nil is none.
func equal(a *Attribute, x, y any) bool {
	if x == nil || y == nil {
		return x == nil && y == nil
	}
	if a.MultiValued {
		was, _ := x.([]any)
		is, _ := y.([]any)
		return sameElements(was, is)
	}
	return same(x, y)
}

// same compares two values of any kind.
func same(x, y any) bool {
	switch v := x.(type) {
	case string:
		return x == y
	case bool:
		return x == y
	case Object:
		w, ok := y.(Object)
		if ok && reflect.ValueOf(v).Pointer() == reflect.ValueOf(w).Pointer() {
			return true // shared by a copy
		}
	}
	return bytes.Equal(appendValue(nil, x), appendValue(nil, y))
}

// sameElements compares lists whose order does not matter.
func sameElements(x, y []any) bool {
	if len(x) != len(y) {
		return false
	}
	if len(x) == 0 || &x[0] == &y[0] {
		return true
	}
	first, last := alike(x, y)
	x, y = x[first:len(x)-last], y[first:len(y)-last]
	count := make(map[string]int, len(x))
	for _, e := range x {
		count[string(appendValue(nil, e))]++
	}
	for _, e := range y {
		k := string(appendValue(nil, e))
		if count[k] == 0 {
			return false
		}
		count[k]--
	}
	return true
}
