package scim

import (
	"net/url"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/scim/filter"
)

// Projection is which attributes an answer has, RFC 7644 section 3.9. The zero
// value is those that are returned by default.
type Projection struct{ attributes, excluded []filter.Attr }

// ParseProjection reads the parameters attributes and excludedAttributes, of which
// one may be given, RFC 7644 section 3.9. Names may have the URN of their schema and
// a sub-attribute; the URN of an extension alone stands for all of it. Names that a
// resource does not have are none of its attributes.
func ParseProjection(attributes, excluded string, l Lenient, noted Noted) (Projection, error) {
	r := (*ResourceType)(nil).reading(l, noted)
	var p Projection
	var err *Error
	if p.attributes, err = r.names(attributes); err != nil {
		return Projection{}, err.in("attributes")
	}
	if p.excluded, err = r.names(excluded); err != nil {
		return Projection{}, err.in("excludedAttributes")
	}
	if len(p.attributes) > 0 && len(p.excluded) > 0 {
		return Projection{}, bad(InvalidValue, "expected attributes or excludedAttributes, not both")
	}
	return p, nil
}

// names reads names that are separated by commas.
func (r *reading) names(list string) ([]filter.Attr, *Error) {
	plain, cut := withoutFilters(list)
	if cut && !r.may(QuirkProjectionFilter) {
		return nil, bad(InvalidValue, "expected names of attributes, without filters")
	}
	var names []filter.Attr
	for name := range strings.SplitSeq(plain, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		a, err := filter.ParseAttr(name)
		if err != nil {
			return nil, bad(InvalidValue, "%s is no name of an attribute", clip(name))
		}
		names = append(names, a)
	}
	return names, nil
}

// withoutFilters takes what is in brackets out of a list of names.
func withoutFilters(list string) (plain string, cut bool) {
	if !strings.Contains(list, "[") {
		return list, false
	}
	var b strings.Builder
	inside, quoted := false, false
	for i := 0; i < len(list); i++ {
		c := list[i]
		switch {
		case quoted && c == '\\':
			i++
		case inside && c == '"':
			quoted = !quoted
		case !quoted && c == '[':
			inside, cut = true, true
		case inside && !quoted && c == ']':
			inside = false
		case !inside:
			b.WriteByte(c)
		}
	}
	return b.String(), cut
}

// Show gives the resource as it is answered: schemas, id, meta with location below
// base, and of the attributes those that the projection and "returned" let through,
// RFC 7643 section 2.2. Of the schemas those are listed that the answer has
// attributes of. The $ref of members, managers and groups is below base. What it
// gives shares values with r: whoever gets it must not change them.
func (t *ResourceType) Show(r Resource, base string, p Projection) Object {
	v := view{t: t, base: base, only: t.selectors(p.attributes), not: t.selectors(p.excluded), chosen: len(p.attributes) > 0}
	out := make(Object, len(r.Attributes)+3)
	schemas := []any{t.Schema.ID}
	v.attributes(out, t.Schema, r.Attributes)
	for _, x := range t.Extensions {
		attributes, _ := r.Attributes[x.Schema.ID].(Object)
		shown := make(Object, len(attributes))
		v.attributes(shown, x.Schema, attributes)
		if len(shown) > 0 {
			out[x.Schema.ID] = shown
			schemas = append(schemas, x.Schema.ID)
		}
	}
	if id, ok := r.Attributes["externalId"]; ok {
		v.attribute(out, t.Schema, common("externalId"), id)
	}
	v.attribute(out, t.Schema, common("meta"), t.Meta(r, base))
	out["schemas"], out["id"] = schemas, r.ID
	return out
}

// Meta is a resource's meta attribute, RFC 7643 section 3.1.
func (t *ResourceType) Meta(r Resource, base string) Object {
	meta := Object{"resourceType": t.Name, "location": base + t.Endpoint + "/" + url.PathEscape(r.ID)}
	if r.Version != "" {
		meta["version"] = entityTag(r.Version)
	}
	if !r.Created.IsZero() {
		meta["created"] = stamp(r.Created)
	}
	if !r.Modified.IsZero() {
		meta["lastModified"] = stamp(r.Modified)
	}
	return meta
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// selectors are the names of a projection that a type has.
func (t *ResourceType) selectors(names []filter.Attr) []target {
	var found []target
	for _, n := range names {
		if f, ok := t.locate(n); ok {
			found = append(found, f)
		}
	}
	return found
}

// view is one projection of resources.
type view struct {
	t         *ResourceType
	base      string
	only, not []target
	// chosen tells that attributes were named, if unknown ones.
	chosen bool
}

// attributes puts into out what is shown of the attributes of one schema.
func (v *view) attributes(out Object, s *Schema, attributes Object) {
	if len(attributes) == 0 {
		return
	}
	for i := range s.Attributes {
		a := &s.Attributes[i]
		if value, ok := attributes[a.Name]; ok {
			v.attribute(out, s, a, value)
		}
	}
}

func (v *view) attribute(out Object, s *Schema, a *Attribute, value any) {
	all, subs := named(v.only, s, a)
	if !shown(a, v.chosen, all || len(subs) > 0) {
		return
	}
	gone, without := named(v.not, s, a)
	if gone && a.Returned != ReturnedAlways {
		return
	}
	cut := cut{without: without}
	if !all {
		cut.only = subs
	}
	if value = v.value(a, value, cut); value != nil {
		out[a.Name] = value
	}
}

// shown applies "returned".
func shown(a *Attribute, chosen, named bool) bool {
	switch a.Returned {
	case ReturnedNever:
		return false
	case ReturnedAlways:
		return true
	case ReturnedRequest:
		return named
	case ReturnedDefault:
	}
	return named || !chosen
}

// named tells whether selectors name the whole of an attribute, or which of its
// sub-attributes.
func named(selectors []target, s *Schema, a *Attribute) (all bool, subs []*Attribute) {
	for _, x := range selectors {
		switch {
		case x.whole == s:
			all = true
		case x.whole != nil || x.schema != s || x.attribute.Name != a.Name:
		case x.sub == nil:
			all = true
		default:
			subs = append(subs, x.sub)
		}
	}
	return all, subs
}

// cut is what is left of a complex value: only some sub-attributes, or all, without
// some.
type cut struct{ only, without []*Attribute }

func (c cut) keeps(s *Attribute) bool {
	if s.Returned == ReturnedNever {
		return false
	}
	if s.Returned == ReturnedAlways {
		return true
	}
	if len(c.only) > 0 {
		return has(c.only, s)
	}
	return s.Returned != ReturnedRequest && !has(c.without, s)
}

// has goes by name: the common attributes are made anew whenever they are asked for.
func has(list []*Attribute, s *Attribute) bool {
	for _, x := range list {
		if x.Name == s.Name {
			return true
		}
	}
	return false
}

func (v *view) value(a *Attribute, value any, c cut) any {
	if a.Type != Complex {
		return value
	}
	ref := a.refers()
	if ref != nil && !c.keeps(ref) {
		ref = nil
	}
	elements, ok := value.([]any)
	if !ok {
		o, ok := value.(Object)
		if !ok {
			return value
		}
		if shown := v.complex(a, ref, o, c); len(shown) > 0 {
			return shown
		}
		return nil
	}
	list := make([]any, 0, len(elements))
	for _, e := range elements {
		o, ok := e.(Object)
		if !ok {
			continue
		}
		if shown := v.complex(a, ref, o, c); len(shown) > 0 {
			list = append(list, shown)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list
}

// complex gives what is shown of one complex value, with ref built where it is not
// nil.
func (v *view) complex(a, ref *Attribute, o Object, c cut) Object {
	out := make(Object, len(o)+1)
	for i := range a.SubAttributes {
		s := &a.SubAttributes[i]
		if value, ok := o[s.Name]; ok && c.keeps(s) {
			out[s.Name] = value
		}
	}
	if ref != nil {
		if address := v.reference(ref, o); address != "" {
			out["$ref"] = address
		}
	}
	return out
}

// reference builds the $ref of a complex value. Where several types are possible
// the value's own type decides, and without one there is none: a group must not
// pass for a user.
func (v *view) reference(ref *Attribute, o Object) string {
	id, _ := o["value"].(string)
	if id == "" {
		return ""
	}
	name := ""
	if len(ref.ReferenceTypes) == 1 {
		name = ref.ReferenceTypes[0]
	} else {
		kind, _ := o["type"].(string)
		for _, t := range ref.ReferenceTypes {
			if sameName(t, kind) {
				name = t
			}
		}
	}
	switch name {
	case "", "external", "uri":
		return ""
	case v.t.Name:
		return v.base + v.t.Endpoint + "/" + url.PathEscape(id)
	}
	return v.base + "/" + name + "s/" + url.PathEscape(id)
}
