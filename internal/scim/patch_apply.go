package scim

import (
	"maps"

	"github.com/mmsync/mmsync/internal/scim/filter"
)

// putSingle applies add or replace to a single-valued attribute, or to one of its
// sub-attributes.
func (p *patch) putSingle(at aim, op PatchOp) *Error {
	a := at.attribute
	if a.Type == Complex {
		return p.putComplex(at, op)
	}
	raw, err := p.one(op.Value)
	if err != nil {
		return err
	}
	v, err := p.scalar(a, raw)
	if err != nil {
		return err
	}
	holder := p.holder(at.schema)
	was, had := holder[a.Name]
	switch {
	case a.Mutability == Immutable && had && !equal(a, was, v):
		return fixed()
	case v == nil:
		delete(holder, a.Name)
	default:
		holder[a.Name] = v
	}
	return nil
}

func fixed() *Error {
	return bad(MutabilityErr, "expected no change, as it is immutable and has a value")
}

func (p *patch) putComplex(at aim, op PatchOp) *Error {
	a, raw := at.attribute, op.Value
	holder := p.holder(at.schema)
	_, had := holder[a.Name]
	var implied Object
	if at.where != nil {
		fits, err := p.fits(at)
		if err != nil {
			return err
		}
		switch o, ok := a.implied(at.where); {
		case had && fits(holder[a.Name]):
		case !had && ok && p.may(QuirkCreateElement):
			implied = o
		default:
			return bad(NoTarget, "the filter selects nothing")
		}
	}
	set, err := p.given(at, raw)
	if err != nil {
		return err
	}
	if a.Mutability == Immutable && had && !p.agrees(at, set) {
		return fixed()
	}
	if set == nil {
		p.drop(at.place)
		return nil
	}
	o := p.complex(at.place)
	maps.Copy(o, implied)
	if err := a.merge(o, set); err != nil {
		return err
	}
	return p.settle(at.place, o, set)
}

// agrees tells whether merging changes nothing.
func (p *patch) agrees(at aim, set Object) bool {
	o, _ := p.holder(at.schema)[at.attribute.Name].(Object)
	for name, v := range set {
		if !equal(at.attribute.sub(name), o[name], v) {
			return false
		}
	}
	return set != nil
}

// given reads the sub-attributes that a value gives, nil for those it unassigns. It
// is nil itself if all of the attribute is to be unassigned.
func (p *patch) given(at aim, raw any) (Object, *Error) {
	if at.sub != nil {
		return p.subs(at.attribute, Object{at.sub.Name: raw})
	}
	raw, err := p.one(raw)
	if err != nil {
		return nil, err
	}
	return p.subs(at.attribute, raw)
}

// complex gives a single-valued complex attribute to be changed; it is not put in
// its place before settle.
func (p *patch) complex(at place) Object {
	if o, ok := p.complexes[at.attribute]; ok {
		return o
	}
	was, _ := p.holder(at.schema)[at.attribute.Name].(Object)
	o := maps.Clone(was)
	if o == nil {
		o = Object{}
	}
	if p.complexes == nil {
		p.complexes = map[*Attribute]Object{}
	}
	p.complexes[at.attribute] = o
	return o
}

func (p *patch) drop(at place) {
	delete(p.holder(at.schema), at.attribute.Name)
	delete(p.complexes, at.attribute)
}

// settle puts a complex value in its place, if there is anything left of it.
func (p *patch) settle(at place, o, set Object) *Error {
	if at.attribute.spent(o, set) {
		p.drop(at)
		return nil
	}
	p.holder(at.schema)[at.attribute.Name] = o
	return at.attribute.complete(o)
}

// spent tells that nothing is left of a complex value, or that it has lost its value
// by what was set and has only labels left.
func (a *Attribute) spent(o, set Object) bool {
	v, given := set["value"]
	return len(o) == 0 || given && v == nil && a.hollow(o)
}

// merge puts sub-attributes into a complex value; nil takes one away. What the
// server said about a value goes with it.
func (a *Attribute) merge(o, set Object) *Error {
	was := o["value"]
	for i := range a.SubAttributes {
		s := &a.SubAttributes[i]
		v, ok := set[s.Name]
		if !ok {
			continue
		}
		old, had := o[s.Name]
		switch {
		case s.Mutability == Immutable && had && !equal(s, old, v):
			return fixed().in(s.Name)
		case v == nil:
			delete(o, s.Name)
		default:
			o[s.Name] = v
		}
	}
	if same(was, o["value"]) {
		return nil
	}
	for i := range a.SubAttributes {
		if s := &a.SubAttributes[i]; s.Mutability == ReadOnly {
			delete(o, s.Name)
		}
	}
	return nil
}

// removeSingle applies remove to a single-valued attribute or a sub-attribute of it.
func (p *patch) removeSingle(at aim, _ PatchOp) *Error {
	a := at.attribute
	present, had := p.holder(at.schema)[a.Name]
	if !had {
		return nil
	}
	if at.where != nil {
		fits, err := p.fits(at)
		if err != nil {
			return err
		}
		if !fits(present) {
			return nil
		}
	}
	if a.Mutability == Immutable {
		return fixed()
	}
	if at.sub == nil {
		p.drop(at.place)
		return nil
	}
	o := p.complex(at.place)
	set := Object{at.sub.Name: nil}
	if err := a.merge(o, set); err != nil {
		return err
	}
	return p.settle(at.place, o, set)
}

// putElements applies add or replace to a multi-valued attribute, to elements of it,
// or to a sub-attribute of those.
func (p *patch) putElements(at aim, op PatchOp) *Error {
	l := p.list(at.place)
	if at.where == nil && at.sub == nil {
		return p.putAll(l, op)
	}
	if at.attribute.Mutability == Immutable && len(l.elements) > 0 {
		return fixed()
	}
	found, err := p.selected(l, at)
	if err != nil {
		return err
	}
	if at.attribute.Type != Complex {
		return p.putSimple(l, found, op)
	}
	if len(found) == 0 {
		return p.create(l, at, op)
	}
	set, err := p.given(at, op.Value)
	if err != nil {
		return err
	}
	whole := op.Op == "replace" && at.sub == nil
	for _, i := range found {
		if set == nil || whole && len(set) == 0 {
			l.remove(i)
			continue
		}
		if whole {
			l.elements[i] = at.attribute.without(at.where, set)
		}
		if err := l.mergeAt(i, set); err != nil {
			return err
		}
	}
	if set["primary"] == true && len(found) == 1 {
		l.onlyPrimary(found[0])
	}
	l.reindex()
	return nil
}

// without gives what a filter says of an element and a new value does not say.
func (a *Attribute) without(e filter.Expr, set Object) Object {
	o, ok := a.implied(e)
	if !ok {
		return Object{}
	}
	for name := range set {
		delete(o, name)
	}
	return o
}

// mergeAt changes one element; what is left without its value goes.
func (l *list) mergeAt(i int, set Object) *Error {
	o := l.own(i)
	if err := l.attribute.merge(o, set); err != nil {
		return err
	}
	if l.attribute.spent(o, set) {
		l.elements[i] = nil
		l.holes = true
	}
	return nil
}

func (p *patch) putAll(l *openList, op PatchOp) *Error {
	elements, err := p.elements(l.list.attribute, op.Value)
	if err != nil {
		return err
	}
	if l.list.attribute.Mutability == Immutable && len(l.elements) > 0 && !sameElements(l.elements, elements) {
		return fixed()
	}
	if op.Op == "replace" {
		l.elements, l.index, l.holes = nil, nil, false
	}
	primary, err := l.addAll(elements)
	if err != nil {
		return err
	}
	if primary >= 0 {
		l.onlyPrimary(primary)
	}
	return nil
}

// putSimple applies add or replace to selected elements that are not complex.
func (p *patch) putSimple(l *openList, found []int, op PatchOp) *Error {
	if len(found) == 0 {
		return bad(NoTarget, "the filter selects no element")
	}
	raw, err := p.one(op.Value)
	if err != nil {
		return err
	}
	v, err := p.scalar(l.list.attribute, raw)
	if err != nil {
		return err
	}
	for _, i := range found {
		l.elements[i] = v
		l.holes = l.holes || v == nil
	}
	l.reindex()
	return nil
}

// create makes the element that a filter describes and does not find.
func (p *patch) create(l *openList, at aim, op PatchOp) *Error {
	set, err := p.given(at, op.Value)
	if err != nil {
		return err
	}
	if !assigns(set) {
		return nil // nothing is to be taken away from nothing
	}
	o, ok := at.attribute.implied(at.where)
	if !ok || !p.may(QuirkCreateElement) {
		return bad(NoTarget, "the filter selects no element")
	}
	for i := range at.attribute.SubAttributes {
		s := &at.attribute.SubAttributes[i]
		v, given := set[s.Name]
		if !given {
			continue
		}
		if was, ok := o[s.Name]; ok && !equal(s, was, v) {
			return bad(NoTarget, "the filter selects no element, nor would it the new one")
		}
		if v != nil {
			o[s.Name] = v
		}
	}
	if len(o) == 0 {
		return nil
	}
	if at := l.add(o); isPrimary(o) {
		l.onlyPrimary(at)
	}
	return nil
}

// assigns tells whether a value of sub-attributes gives any.
func assigns(set Object) bool {
	for _, v := range set {
		if v != nil {
			return true
		}
	}
	return false
}

// removeElements applies remove to a multi-valued attribute, to elements of it, or
// to a sub-attribute of those.
func (p *patch) removeElements(at aim, op PatchOp) *Error {
	l := p.list(at.place)
	if at.where == nil && at.sub == nil && op.HasValue && op.Value != nil && op.Value != "" && p.may(QuirkRemoveValues) {
		return p.removeValues(l, op.Value)
	}
	found, err := p.selected(l, at)
	if err != nil || len(found) == 0 {
		return err
	}
	if at.attribute.Mutability == Immutable {
		return fixed()
	}
	for _, i := range found {
		if at.sub == nil {
			l.remove(i)
			continue
		}
		if err := l.mergeAt(i, Object{at.sub.Name: nil}); err != nil {
			return err
		}
	}
	if at.sub != nil {
		l.reindex()
	}
	return nil
}
