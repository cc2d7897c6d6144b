package scim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// PatchOp is one operation of a PATCH document.
type PatchOp struct {
	Op    string // "add", "remove" or "replace"
	Path  string // "" = none
	Value any
	// HasValue tells a null or missing value apart.
	HasValue bool
}

// Patch applies operations in order to a copy of the resource's attributes, all or
// nothing, RFC 7644 section 3.5.2. What it gives shares values with r that were not
// changed.
//
//   - add and replace merge the sub-attributes that are given into a complex value;
//     what is null, empty, or loses its value, is taken away.
//   - An element that is there already is not added again. Members are told apart by
//     their value, other elements by everything but primary.
//   - An element that becomes primary takes that from the others.
//   - A remove that finds nothing has nothing to do; a replace or add behind a filter
//     that selects nothing is noTarget, or makes the element (QuirkCreateElement).
//   - replace of elements that a filter selects keeps what the filter says is equal,
//     unless the new value says otherwise, so that it can be repeated.
func (t *ResourceType) Patch(r Resource, ops []PatchOp, l Lenient, noted Noted) (Object, error) {
	p := patch{reading: t.reading(l, noted), id: r.ID, core: maps.Clone(r.Attributes)}
	if p.core == nil {
		p.core = Object{}
	}
	for i, op := range ops {
		if err := p.apply(op); err != nil {
			if len(ops) > 1 {
				err.Detail = fmt.Sprintf("operation %d: %s", i+1, err.Detail)
			}
			return nil, err
		}
	}
	if err := p.close(); err != nil {
		return nil, err
	}
	return p.core, nil
}

// patch is a resource while operations are applied to it. What they touch is copied
// first, once.
type patch struct {
	*reading
	id         string
	core       Object
	extensions map[*Schema]Object
	complexes  map[*Attribute]Object
	lists      map[*Attribute]*openList
}

// openList is a list and where it will be put back.
type openList struct {
	list
	place
}

func (p *patch) apply(op PatchOp) *Error {
	switch op.Op {
	case "remove":
		if op.Path == "" {
			return bad(NoTarget, "a remove has to have a path")
		}
	case "add", "replace":
		if !op.HasValue {
			return bad(InvalidValue, "%s has to have a value", op.Op)
		}
		if op.Path == "" {
			return p.pathless(op)
		}
	default:
		return bad(InvalidSyntax, "expected add, remove or replace, not %s", clip(op.Op))
	}
	at, ok, err := p.path(op.Path)
	if err != nil || !ok {
		return err
	}
	return p.at(at, op)
}

// pathless applies each key of the value as if it were a path.
func (p *patch) pathless(op PatchOp) *Error {
	o, ok := op.Value.(Object)
	if !ok {
		return bad(InvalidValue, "without a path the value has to be an object, not %s", kind(op.Value))
	}
	names, err := keys(o)
	if err != nil {
		return err
	}
	for _, name := range names {
		at, ok, err := p.patchKey(name)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := p.at(at, PatchOp{Op: op.Op, Value: o[name], HasValue: true}); err != nil {
			return err
		}
	}
	return nil
}

func (p *patch) patchKey(name string) (aim, bool, *Error) {
	if found, ok := p.key(name); ok {
		return aim{target: found}, true, nil
	}
	if strings.Contains(name, "[") && p.may(QuirkPathAsKey) {
		return p.path(name)
	}
	return aim{}, false, p.unknown(InvalidPath, name)
}

// at applies an operation to what its path names.
func (p *patch) at(at aim, op PatchOp) *Error {
	if at.whole != nil {
		return p.schema(at.whole, op)
	}
	name := p.t.name(at.place)
	switch {
	case at.common && at.attribute.Name == "schemas":
		if !p.may(QuirkSchemasAttribute) {
			return bad(MutabilityErr, "schemas: follows from the attributes and cannot be changed")
		}
		return nil
	case at.attribute.Mutability == ReadOnly:
		return p.readOnly(at, op)
	case at.sub != nil && at.sub.Mutability == ReadOnly:
		return bad(MutabilityErr, "%s.%s: cannot be changed", name, at.sub.Name)
	}
	apply := p.putSingle
	switch {
	case at.attribute.MultiValued && op.Op == "remove":
		apply = p.removeElements
	case at.attribute.MultiValued:
		apply = p.putElements
	case op.Op == "remove":
		apply = p.removeSingle
	}
	if err := apply(at, op); err != nil {
		return err.in(name)
	}
	return nil
}

// readOnly refuses a change that is none: its own id, and nothing where there is
// nothing.
func (p *patch) readOnly(at aim, op PatchOp) *Error {
	if op.Op != "remove" && at.where == nil && at.sub == nil {
		list, _ := op.Value.([]any)
		_, has := p.holder(at.schema)[at.attribute.Name]
		if at.common && at.attribute.Name == "id" && op.Value == any(p.id) {
			return nil
		}
		if !at.common && !has && (op.Value == nil || list != nil && len(list) == 0) {
			return nil
		}
	}
	return bad(MutabilityErr, "%s: cannot be changed", p.t.name(at.place))
}

// schema applies an operation to the attributes of a whole schema.
func (p *patch) schema(s *Schema, op PatchOp) *Error {
	if s == p.t.Schema && op.Op == "remove" {
		return bad(InvalidPath, "%s: only an extension can be removed as a whole", s.ID)
	}
	if s != p.t.Schema && (op.Op == "remove" || op.Op == "replace" && p.unassigned(op.Value)) {
		return p.clear(s)
	}
	if p.unassigned(op.Value) {
		return nil
	}
	o, ok := op.Value.(Object)
	if !ok {
		return bad(InvalidValue, "expected an object, not %s", kind(op.Value)).in(s.ID)
	}
	names, err := keys(o)
	if err != nil {
		return err.in(s.ID)
	}
	for _, name := range names {
		if s.restates(name, o[name]) {
			continue
		}
		found, ok := p.t.within(s, name)
		if !ok {
			if err := p.unknown(InvalidPath, name); err != nil {
				return err.in(s.ID)
			}
			continue
		}
		if err := p.at(aim{target: target{place: found}}, PatchOp{Op: op.Op, Value: o[name], HasValue: true}); err != nil {
			return err
		}
	}
	return nil
}

// clear takes all attributes of an extension away that a client may change.
func (p *patch) clear(s *Schema) *Error {
	changeable := false
	for i := range s.Attributes {
		a := &s.Attributes[i]
		if a.Mutability == ReadOnly {
			continue
		}
		changeable = true
		if _, ok := p.holder(s)[a.Name]; !ok && p.lists[a] == nil {
			continue
		}
		if err := p.at(aim{target: target{place: place{schema: s, attribute: a}}}, PatchOp{Op: "remove"}); err != nil {
			return err
		}
	}
	if !changeable {
		return bad(MutabilityErr, "%s: cannot be changed", s.ID)
	}
	return nil
}

// holder is the object that has the attributes of a schema, to be changed.
func (p *patch) holder(s *Schema) Object {
	if s == p.t.Schema {
		return p.core
	}
	o, ok := p.extensions[s]
	if !ok {
		was, _ := p.core[s.ID].(Object)
		if o = maps.Clone(was); o == nil {
			o = Object{}
		}
		if p.extensions == nil {
			p.extensions = map[*Schema]Object{}
		}
		p.extensions[s] = o
	}
	return o
}

// list opens a multi-valued attribute.
func (p *patch) list(at place) *openList {
	l := p.lists[at.attribute]
	if l == nil {
		elements, _ := p.holder(at.schema)[at.attribute.Name].([]any)
		l = &openList{place: at, list: list{attribute: at.attribute, elements: append([]any(nil), elements...)}}
		if p.lists == nil {
			p.lists = map[*Attribute]*openList{}
		}
		p.lists[at.attribute] = l
	}
	return l
}

// close puts everything back and checks the whole.
func (p *patch) close() *Error {
	for _, l := range slices.SortedFunc(maps.Values(p.lists), func(a, b *openList) int {
		return strings.Compare(p.t.name(a.place), p.t.name(b.place))
	}) {
		elements, err := l.list.close()
		if err != nil {
			return err.in(p.t.name(l.place))
		}
		holder := p.holder(l.schema)
		if len(elements) == 0 {
			delete(holder, l.place.attribute.Name)
		} else {
			holder[l.place.attribute.Name] = elements
		}
	}
	for s, o := range p.extensions {
		if len(o) == 0 {
			delete(p.core, s.ID)
		} else {
			p.core[s.ID] = o
		}
	}
	return p.t.required(p.core)
}
