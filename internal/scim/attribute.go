package scim

// find gives the attribute with a name in any case, RFC 7643 section 2.1; nil if
// there is none. Lists are short, and most names differ in length.
func find(attributes []Attribute, name string) *Attribute {
	for i := range attributes {
		if sameName(attributes[i].Name, name) {
			return &attributes[i]
		}
	}
	return nil
}

// sub gives a sub-attribute by its name in any case, or nil.
func (a *Attribute) sub(name string) *Attribute { return find(a.SubAttributes, name) }

// sameName compares names and URNs without case, in ASCII alone: the Kelvin sign
// is no k.
func sameName(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if a[i] != b[i] && lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// lowerName is what names compare by as keys of a map.
func lowerName(name string) string {
	for i := range len(name) {
		if lower(name[i]) != name[i] {
			b := []byte(name)
			for j := i; j < len(b); j++ {
				b[j] = lower(b[j])
			}
			return string(b)
		}
	}
	return name
}

// keyed tells that elements of a multi-valued attribute are told apart by their
// value alone, such as members: their value is immutable, so it is what they are.
func (a *Attribute) keyed() bool {
	if !a.MultiValued {
		return false
	}
	v := a.sub("value")
	return v != nil && v.Mutability == Immutable
}

// refers gives the $ref of a complex attribute that points at a resource by its
// value; nil if it has none. It is never kept but built when the resource is shown.
func (a *Attribute) refers() *Attribute {
	ref := a.sub("$ref")
	if ref == nil || ref.Type != Reference || a.sub("value") == nil {
		return nil
	}
	return ref
}

// label tells sub-attributes that say something about a value and are nothing
// without it.
func (a *Attribute) label() bool {
	switch a.Name {
	case "type", "primary", "display", "$ref":
		return true
	}
	return a.Mutability == ReadOnly
}

// hollow tells a complex value that has nothing but labels.
func (a *Attribute) hollow(value Object) bool {
	for name := range value {
		if s := a.sub(name); s != nil && !s.label() {
			return false
		}
	}
	return true
}
