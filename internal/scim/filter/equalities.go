package filter

// Equality is an attribute that has to have a value.
type Equality struct {
	Attr  Attr
	Value Value
}

// Equalities gives comparisons that every match of e fulfils, in the order in which
// they were written: a store with an index of one of them need look no further. All
// are of strings with eq, below And alone. emails[value eq "x"] and
// emails[type eq "work"].value eq "x" give emails.value; names are spelt as they
// were. How values compare, with case or as Fold folds them, the schema knows.
func Equalities(e Expr) []Equality {
	var found []Equality
	for _, part := range conjuncts(e) {
		switch part := part.(type) {
		case *And:
			found = append(found, Equalities(part)...)
		case *Compare:
			if isEquality(part) {
				found = append(found, Equality{Attr: part.Attr, Value: part.Value})
			}
		case *ValuePath:
			found = append(found, ofElement(part)...)
		}
	}
	return found
}

// ofElement gives the equalities of "value" inside a value path, and what follows it.
func ofElement(e *ValuePath) []Equality {
	if e.Attr.Sub != "" {
		return nil
	}
	var found []Equality
	for _, inner := range Equalities(e.Filter) {
		if isPlain(inner.Attr) && sameWord(inner.Attr.Name, "value") {
			found = append(found, Equality{Attr: ofAttr(e.Attr, inner.Attr), Value: inner.Value})
		}
	}
	if then, ok := e.Then.(*Compare); ok && isEquality(then) && isPlain(then.Attr) {
		found = append(found, Equality{Attr: ofAttr(e.Attr, then.Attr), Value: then.Value})
	}
	return found
}

func ofAttr(a, sub Attr) Attr { return Attr{URN: a.URN, Name: a.Name, Sub: sub.Name} }

// isPlain tells a name and nothing else.
func isPlain(a Attr) bool { return a.URN == "" && a.Sub == "" }

func isEquality(e *Compare) bool {
	_, text := e.Value.(string)
	return text && e.Op == Equal
}
