package scim

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// list is a multi-valued attribute while it is changed. Elements are found by what
// tells them apart, so that adding or taking away thousands is linear, whether by
// one operation or by one each.
type list struct {
	attribute *Attribute
	elements  []any // nil where one was taken away, if holes
	holes     bool
	// changed tells that elements may have become equal.
	changed bool
	// index finds elements by their identity; nil until it is worth it.
	index  map[string]int
	sought int
}

// identity is what tells elements apart: the value where it is all that does, such
// as of members; else everything but primary and $ref.
func (a *Attribute) identity(element any) string {
	o, ok := element.(Object)
	if !ok {
		return string(appendValue(nil, element))
	}
	if v := a.sub("value"); v != nil && v.Mutability == Immutable {
		value, _ := o["value"].(string)
		return value
	}
	var b []byte
	for i := range a.SubAttributes {
		s := &a.SubAttributes[i]
		v, ok := o[s.Name]
		if !ok || s.Name == "primary" || s.Name == "$ref" {
			continue
		}
		b = append(append(b, s.Name...), '=')
		b = append(appendValue(b, v), ',')
	}
	return string(b)
}

// appendValue writes a value so that equal ones are equal and others are not.
func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return strconv.AppendQuote(b, v)
	case bool:
		return strconv.AppendBool(b, v)
	case json.Number:
		return append(b, v...)
	case []any:
		b = append(b, '[')
		for _, e := range v {
			b = append(appendValue(b, e), ',')
		}
		return append(b, ']')
	case Object:
		b = append(b, '{')
		for _, name := range slices.Sorted(maps.Keys(v)) {
			b = append(strconv.AppendQuote(b, name), ':')
			b = append(appendValue(b, v[name]), ',')
		}
		return append(b, '}')
	}
	return append(b, "null"...)
}

// find gives the index of the element with an identity. The first few are looked
// for one by one: an index of thousands is not worth it for one member.
func (l *list) find(identity string) (int, bool) {
	const few = 4
	if l.index == nil && l.sought < few {
		l.sought++
		for i, e := range l.elements {
			if e != nil && l.attribute.identity(e) == identity {
				return i, true
			}
		}
		return 0, false
	}
	if l.index == nil {
		l.index = make(map[string]int, len(l.elements))
		for i, e := range l.elements {
			if e == nil {
				continue
			}
			id := l.attribute.identity(e)
			if _, ok := l.index[id]; !ok {
				l.index[id] = i
			}
		}
	}
	i, ok := l.index[identity]
	return i, ok
}

// addAll adds elements that are not there yet, RFC 7644 section 3.5.2.1, and gives
// the index of the one that is primary, -1 if none is. Two that are primary are
// refused, RFC 7643 section 2.4.
func (l *list) addAll(elements []any) (primary int, err *Error) {
	primary = -1
	for _, e := range elements {
		at := l.add(e)
		if !isPrimary(e) {
			continue
		}
		if primary >= 0 && primary != at {
			return -1, bad(InvalidValue, "primary: expected true in one element at most")
		}
		primary = at
	}
	return primary, nil
}

// add adds an element and gives its index. One that is there already stays as it
// is, but becomes primary if the new one is.
func (l *list) add(element any) int {
	id := l.attribute.identity(element)
	at, ok := l.find(id)
	if ok {
		if isPrimary(element) && !isPrimary(l.elements[at]) {
			l.own(at)["primary"] = true
		}
		return at
	}
	l.elements = append(l.elements, element)
	at = len(l.elements) - 1
	if l.index != nil {
		l.index[id] = at
	}
	return at
}

// own gives an element to be changed: a copy, which stands in its place. Its
// identity must stay what it is, or reindex be called.
func (l *list) own(at int) Object {
	o, ok := l.elements[at].(Object)
	if !ok {
		return Object{}
	}
	o = maps.Clone(o)
	l.elements[at] = o
	return o
}

func (l *list) reindex() { l.index, l.changed = nil, true }

// remove takes an element away.
func (l *list) remove(at int) {
	if l.index != nil {
		id := l.attribute.identity(l.elements[at])
		if l.index[id] == at {
			delete(l.index, id)
		}
	}
	l.elements[at] = nil
	l.holes = true
}

// onlyPrimary makes one element the only one that is primary, RFC 7644 section
// 3.5.2.
func (l *list) onlyPrimary(at int) {
	for i, e := range l.elements {
		if i != at && isPrimary(e) {
			l.own(i)["primary"] = false
		}
	}
}

// close gives the elements, and checks them if they were changed.
func (l *list) close() ([]any, *Error) {
	if l.holes {
		l.elements = slices.DeleteFunc(l.elements, func(e any) bool { return e == nil })
		l.holes = false
	}
	if l.changed {
		distinct := list{attribute: l.attribute}
		for _, e := range l.elements {
			distinct.add(e)
		}
		l.elements = distinct.elements
	}
	primaries := 0
	for _, e := range l.elements {
		if isPrimary(e) {
			primaries++
		}
		o, ok := e.(Object)
		if !ok {
			continue
		}
		if err := l.attribute.complete(o); err != nil {
			return nil, err
		}
	}
	if primaries > 1 {
		return nil, bad(InvalidValue, "primary: expected true in one element at most")
	}
	return l.elements, nil
}

func isPrimary(element any) bool {
	o, ok := element.(Object)
	return ok && o["primary"] == true
}
