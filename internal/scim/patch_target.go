package scim

import (
	"github.com/mmsync/mmsync/internal/scim/filter"
)

// aim is what an operation is about: an attribute, some of its elements, or a
// sub-attribute of those.
type aim struct {
	target
	where filter.Expr // nil: all
}

// path reads a path, RFC 7644 section 3.5.2; ok is false for one that is passed over.
func (p *patch) path(text string) (aim, bool, *Error) {
	read, err := filter.ParsePath(text, filter.Options{Lenient: p.mayFilter})
	if err != nil {
		return aim{}, false, bad(InvalidPath, "path: %s", err)
	}
	found, ok := p.t.locate(read.Attr)
	if ok && found.loose {
		ok = p.may(QuirkExtensionWithoutURN)
	}
	at := aim{target: found, where: read.Filter}
	if ok && at.where != nil && found.attribute != nil {
		ok = found.attribute.knows(at.where)
	}
	switch {
	case !ok && p.may(QuirkUnknownPath):
		return aim{}, false, nil
	case !ok:
		return aim{}, false, bad(InvalidPath, "path: %s is unknown", clip(text))
	case at.where == nil:
		return at, true, nil
	case found.whole != nil:
		return aim{}, false, bad(InvalidPath, "path: a schema has no elements to select from")
	case found.attribute.MultiValued:
		return at, true, nil
	case found.attribute.Type != Complex:
		return aim{}, false, bad(InvalidPath, "path: %s has no elements to select from", found.attribute.Name)
	case !p.may(QuirkFilterOnSingle):
		return aim{}, false, bad(InvalidPath, "path: %s has one value, of which none can be selected", found.attribute.Name)
	}
	return at, true, nil
}

// knows tells whether an attribute has all that a filter in its brackets names.
func (a *Attribute) knows(e filter.Expr) bool {
	switch e := e.(type) {
	case *filter.And:
		return a.knows(e.Left) && a.knows(e.Right)
	case *filter.Or:
		return a.knows(e.Left) && a.knows(e.Right)
	case *filter.Not:
		return a.knows(e.Of)
	case *filter.Compare:
		return a.inBrackets(e.Attr) != nil
	case *filter.Present:
		return a.inBrackets(e.Attr) != nil
	}
	return false
}

// fits compiles the filter of a path.
func (p *patch) fits(at aim) (func(any) bool, *Error) {
	fits, err := filter.CompileWith(at.where, elementFields{reading: p.reading, attribute: at.attribute}, p.mayFilter)
	if err != nil {
		return nil, filterFault(err)
	}
	return fits, nil
}

// selected gives the indexes of the elements that an operation is about.
func (p *patch) selected(l *openList, at aim) ([]int, *Error) {
	if c, ok := at.where.(*filter.Compare); ok && c.Op == filter.Equal && at.attribute.keyed() && sameName(c.Attr.Name, "value") && at.attribute.sub("value").CaseExact {
		if id, ok := c.Value.(string); ok {
			if i, ok := l.find(id); ok {
				return []int{i}, nil
			}
			return nil, nil
		}
	}
	fits := func(any) bool { return true }
	if at.where != nil {
		var err *Error
		if fits, err = p.fits(at); err != nil {
			return nil, err
		}
	}
	var found []int
	for i, e := range l.elements {
		if e != nil && fits(e) {
			found = append(found, i)
		}
	}
	return found, nil
}

// implied makes the element that a filter of nothing but "eq", joined by "and",
// describes; ok is false for any other.
func (a *Attribute) implied(e filter.Expr) (Object, bool) {
	o := Object{}
	if a.Type != Complex || e != nil && !a.imply(o, e) {
		return nil, false
	}
	return o, true
}

func (a *Attribute) imply(o Object, e filter.Expr) bool {
	switch e := e.(type) {
	case *filter.And:
		return a.imply(o, e.Left) && a.imply(o, e.Right)
	case *filter.Compare:
		s := a.inBrackets(e.Attr)
		if e.Op != filter.Equal || e.Value == nil || e.Value == "" || s.Mutability == ReadOnly || s.Name == "$ref" || s.MultiValued {
			return false
		}
		v := any(e.Value)
		if text, ok := v.(string); ok && s.Type == Boolean {
			v = sameName(text, "true")
		}
		if was, ok := o[s.Name]; ok && !same(was, v) {
			return false
		}
		o[s.Name] = v
		return true
	}
	return false
}
