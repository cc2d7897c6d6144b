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
	described := descriptions{}
	for _, e := range named {
		if i, ok := l.find(a.identity(e)); ok {
			l.remove(i)
		} else if o, ok := e.(Object); ok && !a.keyed() {
			for _, i := range described.take(&l.list, o) {
				l.remove(i)
			}
		}
	}
	return nil
}

// descriptions find elements by some of their sub-attributes: which ones, and their
// values. Clients name few sets of them, so that finding thousands is linear.
type descriptions map[string]map[string][]int

// take gives the elements of which all that is said is so, once. What is shown with
// an element, and whether it is primary, does not matter.
func (d descriptions) take(l *list, said Object) []int {
	names, key := l.attribute.describe(said, said)
	if names == "" {
		return nil
	}
	index := d[names]
	if index == nil {
		index = map[string][]int{}
		for i, e := range l.elements {
			if o, ok := e.(Object); ok {
				_, of := l.attribute.describe(said, o)
				index[of] = append(index[of], i)
			}
		}
		d[names] = index
	}
	var found []int
	for _, i := range index[key] {
		if l.elements[i] != nil {
			found = append(found, i)
		}
	}
	delete(index, key)
	return found
}

// describe gives which sub-attributes something is said of, and their values in an
// element.
func (a *Attribute) describe(said, element Object) (names, key string) {
	var of, values []byte
	for i := range a.SubAttributes {
		s := &a.SubAttributes[i]
		if _, ok := said[s.Name]; !ok || s.Name == "display" || s.Name == "primary" {
			continue
		}
		of = append(append(of, s.Name...), ' ')
		values = append(appendValue(values, element[s.Name]), ' ')
	}
	return string(of), string(values)
}
