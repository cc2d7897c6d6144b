package scim

// Accept checks the body of a POST (before nil) or PUT against the schemas and
// gives what is to be kept: known attributes in the spelling of the schema,
// readOnly ones taken from before, null and empty ones left out, RFC 7644 sections
// 3.3 and 3.5.1. A password is given like any attribute: whoever keeps the resource
// drops it.
//
// A PUT that does not say whether the user is active leaves that as it is: RFC 7644
// section 3.5.1 lets the server choose, and by silence nobody must be let in or out.
func (t *ResourceType) Accept(body Object, before *Resource, l Lenient, noted Noted) (Object, error) {
	a := acceptance{reading: t.reading(l, noted), before: before, out: Object{}, extensions: map[*Schema]Object{}}
	if err := a.read(body); err != nil {
		return nil, err
	}
	if err := a.announced(body); err != nil {
		return nil, err
	}
	if before != nil {
		if err := a.keep(); err != nil {
			return nil, err
		}
	}
	for s, o := range a.extensions {
		if len(o) > 0 {
			a.out[s.ID] = o
		}
	}
	if err := t.required(a.out); err != nil {
		return nil, err
	}
	return a.out, nil
}

// acceptance is one body being accepted.
type acceptance struct {
	*reading
	before     *Resource
	out        Object
	extensions map[*Schema]Object
	later      []later
}

// later is a value under a spelling that gives way to the schema's own.
type later struct {
	target
	raw any
}

func (a *acceptance) read(body Object) *Error {
	names, err := keys(body)
	if err != nil {
		return err
	}
	for _, name := range names {
		found, ok := a.key(name)
		if !ok {
			if err := a.unknown(InvalidSyntax, name); err != nil {
				return err
			}
			continue
		}
		if err := a.take(name, found, body[name]); err != nil {
			return err
		}
	}
	for _, l := range a.later {
		if err := a.assignLater(l); err != nil {
			return err
		}
	}
	return nil
}

// take reads what a key of the body stands for.
func (a *acceptance) take(name string, found target, raw any) *Error {
	switch {
	case found.whole != nil:
		return a.nested(found.whole, raw)
	case found.common && found.attribute.Name == "id":
		return a.sameID(raw)
	case found.attribute.Mutability == ReadOnly:
		return nil // ignored, RFC 7644 section 3.3
	case found.loose || found.sub != nil || !sameName(name, found.attribute.Name):
		a.later = append(a.later, later{target: found, raw: raw})
		return nil
	}
	return a.assign(found.place, raw)
}

// nested reads the object of an extension, or of the core schema under its URN.
func (a *acceptance) nested(s *Schema, raw any) *Error {
	if a.unassigned(raw) {
		return nil
	}
	o, ok := raw.(Object)
	if !ok {
		return bad(InvalidValue, "expected an object, not %s", kind(raw)).in(s.ID)
	}
	names, err := keys(o)
	if err != nil {
		return err.in(s.ID)
	}
	for _, name := range names {
		if s.restates(name, o[name]) {
			continue
		}
		p, ok := a.t.within(s, name)
		if !ok {
			if err := a.unknown(InvalidSyntax, name); err != nil {
				return err.in(s.ID)
			}
			continue
		}
		if p.attribute.Mutability == ReadOnly {
			continue
		}
		if err := a.assign(p, o[name]); err != nil {
			return err
		}
	}
	return nil
}

func (a *acceptance) assign(p place, raw any) *Error {
	v, err := a.value(p.attribute, raw)
	if err != nil {
		return err.in(a.t.name(p))
	}
	if v != nil {
		a.holder(p.schema)[p.attribute.Name] = v
	}
	return nil
}

// holder is where the attributes of a schema are put.
func (a *acceptance) holder(s *Schema) Object {
	if s == a.t.Schema {
		return a.out
	}
	o := a.extensions[s]
	if o == nil {
		o = Object{}
		a.extensions[s] = o
	}
	return o
}

// assignLater puts a value where the schema's own spelling has left room.
func (a *acceptance) assignLater(l later) *Error {
	holder := a.holder(l.schema)
	present, taken := holder[l.attribute.Name]
	if l.sub == nil {
		if taken {
			return nil
		}
		return a.assign(l.place, l.raw)
	}
	raw := any(Object{l.sub.Name: l.raw})
	if l.attribute.MultiValued {
		if taken {
			return nil
		}
		return a.assign(l.place, []any{raw})
	}
	v, err := a.single(l.attribute, raw)
	if err != nil {
		return err.in(a.t.name(l.place))
	}
	given, _ := v.(Object)
	into, _ := present.(Object)
	if into == nil && len(given) > 0 {
		holder[l.attribute.Name] = given
		return nil
	}
	for name, v := range given {
		if _, ok := into[name]; !ok {
			into[name] = v
		}
	}
	return nil
}

// sameID refuses to give a resource another id; at its creation there is none yet.
func (a *acceptance) sameID(raw any) *Error {
	if a.before == nil || raw == nil || raw == a.before.ID {
		return nil
	}
	return bad(MutabilityErr, "id: cannot be changed")
}

// announced checks the body's schemas against what it has, RFC 7643 section 3.
func (a *acceptance) announced(body Object) *Error {
	listed, err := a.schemas(body)
	if err != nil {
		return err
	}
	if !listed[a.t.Schema] && !a.may(QuirkNoSchemas) {
		return bad(InvalidSyntax, "schemas: expected %s", a.t.Schema.ID)
	}
	for _, x := range a.t.Extensions {
		if len(a.extensions[x.Schema]) > 0 && !listed[x.Schema] && !a.may(QuirkUnlistedExtension) {
			return bad(InvalidSyntax, "schemas: expected %s, as the body has attributes of it", x.Schema.ID)
		}
	}
	return nil
}

func (a *acceptance) schemas(body Object) (map[*Schema]bool, *Error) {
	listed := map[*Schema]bool{}
	raw, ok := body["schemas"]
	for name, v := range body {
		if !ok && sameName(name, "schemas") {
			raw = v
		}
	}
	urns, err := a.elements(common("schemas"), raw)
	if err != nil {
		return nil, err.in("schemas")
	}
	for _, u := range urns {
		urn, _ := u.(string)
		s, rest, ok := a.t.splitURN(urn)
		switch {
		case ok && rest == "":
			listed[s] = true
		case !a.may(QuirkUnknownSchema):
			return nil, bad(InvalidSyntax, "schemas: %s is no schema of a %s", clip(urn), a.t.Name)
		}
	}
	return listed, nil
}

// keep brings over from before what a PUT does not change.
func (a *acceptance) keep() *Error {
	if err := a.keepOf(a.t.Schema, a.before.Attributes); err != nil {
		return err
	}
	for _, x := range a.t.Extensions {
		before, _ := a.before.Attributes[x.Schema.ID].(Object)
		if err := a.keepOf(x.Schema, before); err != nil {
			return err
		}
	}
	return nil
}

func (a *acceptance) keepOf(s *Schema, before Object) *Error {
	for i := range s.Attributes {
		attribute := &s.Attributes[i]
		old, ok := before[attribute.Name]
		if !ok {
			continue
		}
		holder := a.holder(s)
		v, given := holder[attribute.Name]
		switch {
		case attribute.Mutability == ReadOnly,
			!given && attribute.Mutability == Immutable,
			!given && s == a.t.Schema && attribute.Name == "active":
			holder[attribute.Name] = old
		case attribute.Mutability == Immutable && !equal(attribute, old, v):
			return bad(MutabilityErr, "%s: cannot be changed once it has a value", a.t.name(place{schema: s, attribute: attribute}))
		case given && attribute.Type == Complex && !attribute.MultiValued:
			if err := attribute.keepSubs(v, old); err != nil {
				return err.in(a.t.name(place{schema: s, attribute: attribute}))
			}
		}
	}
	return nil
}

// keepSubs brings over sub-attributes that a client does not write: readOnly ones
// while the value they belong to is the same.
func (a *Attribute) keepSubs(value, before any) *Error {
	v, _ := value.(Object)
	old, _ := before.(Object)
	same := same(v["value"], old["value"])
	for i := range a.SubAttributes {
		s := &a.SubAttributes[i]
		was, had := old[s.Name]
		is, has := v[s.Name]
		switch {
		case !had:
		case s.Mutability == ReadOnly && same, s.Mutability == Immutable && !has:
			v[s.Name] = was
		case s.Mutability == Immutable && !equal(s, was, is):
			return bad(MutabilityErr, "%s: cannot be changed once it has a value", s.Name)
		}
	}
	return nil
}

// required checks that attributes which have to have a value have one.
func (t *ResourceType) required(attributes Object) *Error {
	if err := t.requiredOf(t.Schema, attributes); err != nil {
		return err
	}
	for _, x := range t.Extensions {
		o, ok := attributes[x.Schema.ID].(Object)
		if !ok {
			if x.Required {
				return bad(InvalidValue, "%s: expected the extension, as it is required", x.Schema.ID)
			}
			continue
		}
		if err := t.requiredOf(x.Schema, o); err != nil {
			return err
		}
	}
	return nil
}

func (t *ResourceType) requiredOf(s *Schema, attributes Object) *Error {
	for i := range s.Attributes {
		a := &s.Attributes[i]
		if !a.Required || a.Mutability == ReadOnly {
			continue
		}
		if v, ok := attributes[a.Name]; !ok || v == "" {
			return bad(InvalidValue, "%s: expected a value, as it is required", t.name(place{schema: s, attribute: a}))
		}
	}
	return nil
}
