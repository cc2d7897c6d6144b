package scim

import (
	"errors"
	"net/http"

	"github.com/mmsync/mmsync/internal/scim/filter"
)

// Compile turns a filter into a predicate over resources of this type, id, meta and
// schemas included, RFC 7644 section 3.4.2.2. Comparing a complex attribute compares
// its value. Unknown attributes are an *Error with invalidFilter, or where l says so
// attributes that no resource has; comparisons that a type does not have are an
// *Error, and sensitive attributes are refused with 403, section 7.5.2. meta.location
// depends on where the resource is asked for, so no filter finds it.
func (t *ResourceType) Compile(e filter.Expr, l Lenient, noted Noted) (func(Resource) bool, error) {
	if e == nil {
		return func(Resource) bool { return true }, nil
	}
	r := t.reading(l, noted)
	fits, err := filter.CompileWith(e, resourceFields{r}, r.mayFilter)
	if err != nil {
		return nil, filterFault(err)
	}
	return func(r Resource) bool { return fits(&r) }, nil
}

// filterFault makes an *Error of what the filter package says.
func filterFault(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return bad(InvalidFilter, "filter: %s", err)
}

// resourceFields resolves attributes over *Resource.
type resourceFields struct{ *reading }

func (f resourceFields) Field(a filter.Attr) (filter.Field, error) {
	found, ok := f.t.locate(a)
	if !ok || found.whole != nil || found.loose && !f.may(QuirkExtensionWithoutURN) {
		return f.unknownField(a)
	}
	if found.attribute.Sensitive || found.sub != nil && found.sub.Sensitive {
		return filter.Field{}, &Error{Status: http.StatusForbidden, Type: SensitiveErr, Detail: f.t.name(found.place) + " cannot be filtered by"}
	}
	values := f.t.values(found.place)
	if found.sub == nil {
		return f.field(found.attribute, values), nil
	}
	if found.common && found.sub.Name == "location" {
		values = nil
	}
	return f.field(found.sub, subValues(found.sub.Name, values)), nil
}

func (r *reading) unknownField(a filter.Attr) (filter.Field, error) {
	if r.may(QuirkUnknownInFilter) {
		return filter.Field{}, nil
	}
	return filter.Field{}, bad(InvalidFilter, "filter: %s is unknown", clip(a.String()))
}

// field tells how an attribute compares.
func (r *reading) field(a *Attribute, values func(any) []any) filter.Field {
	f := filter.Field{Values: values, Exact: a.CaseExact}
	switch a.Type {
	case Boolean:
		f.Kind = filter.Bool
	case Integer, Decimal:
		f.Kind = filter.Number
	case DateTime:
		f.Kind = filter.Time
	case Binary:
		f.Kind = filter.Bytes
	case String, Reference:
		f.Kind = filter.Text
	case Complex:
		f.Element = elementFields{reading: r, attribute: a}
	}
	return f
}

// elementFields resolves sub-attributes over elements of a complex attribute, and
// "value" over those of one that is not complex.
type elementFields struct {
	*reading
	attribute *Attribute
}

func (f elementFields) Field(a filter.Attr) (filter.Field, error) {
	s := f.attribute.inBrackets(a)
	switch {
	case s == nil:
		return f.unknownField(a)
	case s.Sensitive:
		return filter.Field{}, &Error{Status: http.StatusForbidden, Type: SensitiveErr, Detail: s.Name + " cannot be filtered by"}
	case s == f.attribute:
		return f.field(s, func(item any) []any { return []any{item} }), nil
	}
	name := s.Name
	return f.field(s, func(item any) []any { return valuesOf(item, name) }), nil
}

// inBrackets finds what a name in brackets means; nil if nothing.
func (a *Attribute) inBrackets(name filter.Attr) *Attribute {
	switch {
	case name.URN != "" || name.Sub != "":
		return nil
	case a.Type == Complex:
		return a.sub(name.Name)
	case sameName(name.Name, "value"):
		return a
	}
	return nil
}

// values gives the values that an attribute has in a *Resource: of a multi-valued
// one its elements.
func (t *ResourceType) values(p place) func(any) []any {
	name := p.attribute.Name
	read := func(r *Resource) any { return r.Attributes[name] }
	switch {
	case p.common && name == "id":
		read = func(r *Resource) any { return r.ID }
	case p.common && name == "meta":
		read = func(r *Resource) any { return t.times(r) }
	case p.common && name == "schemas":
		read = func(r *Resource) any { return t.listed(r) }
	case p.schema != t.Schema:
		read = func(r *Resource) any {
			o, _ := r.Attributes[p.schema.ID].(Object)
			return o[name]
		}
	}
	return func(item any) []any {
		r, ok := item.(*Resource)
		if !ok {
			return nil
		}
		return spread(read(r))
	}
}

// times is meta as it is compared: its times are no texts.
func (t *ResourceType) times(r *Resource) Object {
	meta := Object{"resourceType": t.Name, "version": entityTag(r.Version)}
	if !r.Created.IsZero() {
		meta["created"] = r.Created
	}
	if !r.Modified.IsZero() {
		meta["lastModified"] = r.Modified
	}
	return meta
}

// listed gives the schemas that a resource has attributes of.
func (t *ResourceType) listed(r *Resource) []any {
	list := []any{t.Schema.ID}
	for _, x := range t.Extensions {
		if o, ok := r.Attributes[x.Schema.ID].(Object); ok && len(o) > 0 {
			list = append(list, x.Schema.ID)
		}
	}
	return list
}

func spread(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

func valuesOf(element any, name string) []any {
	o, _ := element.(Object)
	return spread(o[name])
}

func subValues(name string, elements func(any) []any) func(any) []any {
	if elements == nil {
		return nil
	}
	return func(item any) []any {
		list := elements(item)
		if len(list) == 1 {
			return valuesOf(list[0], name)
		}
		var all []any
		for _, e := range list {
			all = append(all, valuesOf(e, name)...)
		}
		return all
	}
}
