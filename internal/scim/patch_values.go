package scim

// removeValues takes away the elements that a remove names in its value. One that is
// not there is passed over.
func (p *patch) removeValues(l *openList, raw any) *Error {
	a := l.list.attribute
	list, ok := raw.([]any)
	if !ok {
		list = []any{raw}
	}
	named := make([]any, 0, len(list))
	for _, raw := range list {
		if _, object := raw.(Object); a.Type == Complex && !object && raw != nil {
			raw = Object{"value": raw}
		}
		e, err := p.single(a, raw)
		if err != nil {
			return err
		}
		if e != nil {
			named = append(named, e)
		}
	}
	if a.Mutability == Immutable && len(named) > 0 {
		return fixed()
	}
	byValue := map[string][]int{}
	if !a.keyed() {
		for i, e := range l.elements {
			if e != nil {
				byValue[a.valueKey(e)] = append(byValue[a.valueKey(e)], i)
			}
		}
	}
	for _, e := range named {
		if i, ok := l.find(a.identity(e)); ok {
			l.remove(i)
			continue
		}
		for _, i := range byValue[a.valueKey(e)] {
			if l.elements[i] != nil && a.describes(e, l.elements[i]) {
				l.remove(i)
			}
		}
	}
	return nil
}

// describes tells whether all that is said of an element is so; what is shown with
// it, and whether it is primary, does not matter.
func (a *Attribute) describes(said, element any) bool {
	o, ok := said.(Object)
	e, also := element.(Object)
	if !ok || !also {
		return same(said, element)
	}
	for i := range a.SubAttributes {
		s := &a.SubAttributes[i]
		v, ok := o[s.Name]
		if !ok || s.Name == "display" || s.Name == "primary" {
			continue
		}
		if !equal(s, v, e[s.Name]) {
			return false
		}
	}
	return true
}
