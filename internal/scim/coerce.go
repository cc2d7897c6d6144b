package scim

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// value reads the value of an attribute: checked, in the form it is kept in, with
// names in the spelling of the schema. nil is unassigned, RFC 7643 section 2.5.
func (r *reading) value(a *Attribute, raw any) (any, *Error) {
	if a.MultiValued {
		elements, err := r.elements(a, raw)
		if err != nil {
			return nil, err
		}
		return r.distinct(a, elements)
	}
	raw, err := r.one(raw)
	if err != nil {
		return nil, err
	}
	return r.single(a, raw)
}

// elements reads a list, or one element where a list is due.
func (r *reading) elements(a *Attribute, raw any) ([]any, *Error) {
	list, ok := raw.([]any)
	if !ok {
		if r.unassigned(raw) {
			return nil, nil
		}
		if !r.may(QuirkSingleForList) {
			return nil, bad(InvalidValue, "expected a list, not %s", kind(raw))
		}
		list = []any{raw}
	}
	elements := make([]any, 0, len(list))
	for _, raw := range list {
		e, err := r.single(a, raw)
		if err != nil {
			return nil, err
		}
		if e != nil {
			elements = append(elements, e)
		}
	}
	return elements, nil
}

// distinct gives elements without duplicates, of which one at most is primary, as a
// value; nil if there are none.
func (r *reading) distinct(a *Attribute, elements []any) (any, *Error) {
	if len(elements) == 0 {
		return nil, nil
	}
	l := list{attribute: a}
	if _, err := l.addAll(elements); err != nil {
		return nil, err
	}
	return l.elements, nil
}

// one takes a value out of a list in which it is alone.
func (r *reading) one(raw any) (any, *Error) {
	list, ok := raw.([]any)
	if !ok {
		return raw, nil
	}
	if len(list) > 1 || !r.may(QuirkListForSingle) {
		return nil, bad(InvalidValue, "expected one value, not a list")
	}
	if len(list) == 0 {
		return nil, nil
	}
	return list[0], nil
}

// single reads one value: that of a single-valued attribute or an element of a
// multi-valued one. nil is unassigned.
func (r *reading) single(a *Attribute, raw any) (any, *Error) {
	if a.Type != Complex {
		return r.scalar(a, raw)
	}
	o, err := r.subs(a, raw)
	if err != nil {
		return nil, err
	}
	for name, v := range o {
		if v == nil {
			delete(o, name)
		}
	}
	if _, object := raw.(Object); len(o) == 0 && !(object && a.keyed()) {
		return nil, nil
	}
	if err := a.complete(o); err != nil {
		return nil, err
	}
	return o, nil
}

// complete checks that a complex value has its required sub-attributes, and an
// element that is told apart by its value has one.
func (a *Attribute) complete(o Object) *Error {
	if _, ok := o["value"]; !ok && a.keyed() {
		return bad(InvalidValue, "value: expected a value in every element")
	}
	for i := range a.SubAttributes {
		s := &a.SubAttributes[i]
		if _, ok := o[s.Name]; !ok && s.Required && s.Mutability != ReadOnly {
			return bad(InvalidValue, "%s: expected a value, as it is required", s.Name)
		}
	}
	return nil
}

// subs reads the sub-attributes that a complex value gives, nil for those it
// unassigns. readOnly ones and $ref are left out.
func (r *reading) subs(a *Attribute, raw any) (Object, *Error) {
	if r.unassigned(raw) {
		return nil, nil
	}
	o, ok := raw.(Object)
	if !ok {
		var err *Error
		if o, err = r.wrap(a, raw); err != nil {
			return nil, err
		}
	}
	out, found := make(Object, len(o)), 0
	for i := range a.SubAttributes {
		s := &a.SubAttributes[i]
		if raw, ok := o[s.Name]; ok {
			found++
			if err := r.sub(a, out, s, raw); err != nil {
				return nil, err
			}
		}
	}
	if found < len(o) {
		if err := r.oddlySpelt(a, out, o); err != nil {
			return nil, err
		}
	}
	r.unpack(a, out)
	return out, nil
}

// wrap makes {"value": raw} of a bare value.
func (r *reading) wrap(a *Attribute, raw any) (Object, *Error) {
	quirk := QuirkBareComplex
	if a.MultiValued {
		quirk = QuirkBareElement
	}
	switch raw.(type) {
	case string, json.Number:
		if a.sub("value") != nil && r.may(quirk) {
			return Object{"value": raw}, nil
		}
	}
	return nil, bad(InvalidValue, "expected an object, not %s", kind(raw))
}

// oddlySpelt reads the keys of a complex value that are not names of the schema as
// they stand.
func (r *reading) oddlySpelt(a *Attribute, out, o Object) *Error {
	names, err := keys(o)
	if err != nil {
		return err
	}
	for _, name := range names {
		s := a.sub(name)
		switch {
		case s == nil:
			if err := r.stranger(a, out, name, o[name]); err != nil {
				return err
			}
		case s.Name != name:
			if err := r.sub(a, out, s, o[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

// stranger reads a sub-attribute that the schema does not have.
func (r *reading) stranger(a *Attribute, out Object, name string, raw any) *Error {
	if display := a.sub("display"); display != nil && sameName(name, "displayName") && r.may(QuirkDisplayName) {
		if out["display"] != nil {
			return nil
		}
		return r.sub(a, out, display, raw)
	}
	return r.unknown(InvalidSyntax, name)
}

// unknown passes an unknown name over or refuses it.
func (r *reading) unknown(kind ErrorType, name string) *Error {
	if r.may(QuirkUnknownAttribute) {
		return nil
	}
	return bad(kind, "%s is unknown", clip(name))
}

// sub reads one sub-attribute into out. A $ref is built when the resource is shown;
// what kind of resource it points at is kept where the element does not say it.
func (r *reading) sub(a *Attribute, out Object, s *Attribute, raw any) *Error {
	v, err := r.value(s, raw)
	if err != nil {
		return err.in(s.Name)
	}
	if s == a.refers() {
		if t := a.referred(v); t != "" && out["type"] == nil {
			out["type"] = t
		}
		return nil
	}
	if s.Mutability == ReadOnly {
		return nil
	}
	if s.Name == "type" && v == nil && out["type"] != nil {
		return nil // inferred from $ref
	}
	out[s.Name] = v
	return nil
}

// referred gives the resource type that a $ref such as …/Groups/g1 points at, for
// elements that have a type of their own to say it; "" if it does not tell.
func (a *Attribute) referred(ref any) string {
	text, _ := ref.(string)
	kind := a.sub("type")
	if text == "" || kind == nil || kind.Mutability == ReadOnly {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	segments := strings.Split(strings.Trim(u.Path, "/"), "/")
	if len(segments) < 2 {
		return ""
	}
	for _, t := range a.refers().ReferenceTypes {
		if segments[len(segments)-2] == t+"s" && slices.Contains(kind.CanonicalValues, t) {
			return t
		}
	}
	return ""
}

// unpack reads a role whose value is a JSON object in a text.
func (r *reading) unpack(a *Attribute, o Object) {
	if a.Name != "roles" {
		return
	}
	for {
		text, _ := o["value"].(string)
		role, ok := packed(text)
		if !ok || !r.may(QuirkRoleJSON) {
			return
		}
		o["value"] = role.Value
		for _, d := range []string{role.Display, role.DisplayName} {
			if d != "" && o["display"] == nil {
				o["display"] = d
			}
		}
	}
}

type packedRole struct{ Value, Display, DisplayName string }

func packed(text string) (packedRole, bool) {
	var role packedRole
	if !strings.HasPrefix(strings.TrimSpace(text), "{") || json.Unmarshal([]byte(text), &role) != nil {
		return role, false
	}
	return role, role.Value != "" && !strings.Contains(role.Value+role.Display+role.DisplayName, "\x00")
}

// unassigned tells null, and an empty text where it means that.
func (r *reading) unassigned(raw any) bool {
	return raw == nil || raw == "" && r.may(QuirkEmptyText)
}

// scalar reads a value that is not complex. Texts of any kind are kept as they are:
// canonical values are hints, and what does not parse is found by no filter.
func (r *reading) scalar(a *Attribute, raw any) (any, *Error) {
	if o, ok := raw.(Object); ok {
		if v, ok := valueKey(o); ok && r.may(QuirkObjectForSimple) {
			raw = v
		}
	}
	if r.unassigned(raw) {
		return nil, nil
	}
	switch a.Type {
	case Boolean:
		return r.boolean(raw)
	case Integer, Decimal:
		return r.number(a, raw)
	case String, DateTime, Binary, Reference, Complex:
	}
	return r.text(a, raw)
}

func valueKey(o Object) (any, bool) {
	if v, ok := o["value"]; ok {
		return v, true
	}
	for name, v := range o {
		if sameName(name, "value") {
			return v, true
		}
	}
	return nil, false
}

func (r *reading) boolean(raw any) (any, *Error) {
	switch v := raw.(type) {
	case bool:
		return v, nil
	case string:
		if b := sameName(v, "true"); (b || sameName(v, "false")) && r.may(QuirkTextForBoolean) {
			return b, nil
		}
	}
	return nil, bad(InvalidValue, "expected true or false, not %s", kind(raw))
}

func (r *reading) number(a *Attribute, raw any) (any, *Error) {
	n, ok := raw.(json.Number)
	if s, text := raw.(string); text && json.Valid([]byte(s)) && strings.Trim(s, "0123456789+-.eE") == "" && r.may(QuirkTextForNumber) {
		n, ok = json.Number(s), true
	}
	switch {
	case !ok && a.Type == Integer:
		return nil, bad(InvalidValue, "expected an integer, not %s", kind(raw))
	case !ok:
		return nil, bad(InvalidValue, "expected a number, not %s", kind(raw))
	case a.Type == Integer && strings.ContainsAny(n.String(), ".eE"):
		return nil, bad(InvalidValue, "expected an integer, not a number with a fraction or exponent")
	}
	return n, nil
}

func (r *reading) text(a *Attribute, raw any) (any, *Error) {
	s, ok := raw.(string)
	if n, number := raw.(json.Number); number && a.Type == String && r.may(QuirkNumberForText) {
		s, ok = n.String(), true
	}
	if !ok {
		return nil, bad(InvalidValue, "expected a text, not %s", kind(raw))
	}
	if strings.Contains(s, "\x00") {
		return nil, bad(InvalidValue, "expected a text without the character U+0000")
	}
	return s, nil
}

// kind says what a value is, and never the value.
func kind(raw any) string {
	switch raw := raw.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case json.Number:
		return "a number"
	case []any:
		return "a list"
	case Object:
		return "an object"
	case string:
		if raw == "" {
			return "an empty text"
		}
		return "a text"
	}
	return "a value that JSON does not have"
}
