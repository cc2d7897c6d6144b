package scim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/scim/filter"
)

// reading is one request being read: what it is read as, and which deviations it
// makes use of.
type reading struct {
	t       *ResourceType
	lenient Lenient
	noted   Noted
	told    map[Quirk]bool
}

func (t *ResourceType) reading(l Lenient, noted Noted) *reading {
	return &reading{t: t, lenient: l, noted: noted}
}

// may tells whether a deviation that has been met is put up with, and notes it,
// once a request.
func (r *reading) may(q Quirk) bool {
	if !r.lenient[q] {
		return false
	}
	if r.noted != nil && !r.told[q] {
		if r.told == nil {
			r.told = map[Quirk]bool{}
		}
		r.told[q] = true
		r.noted(q)
	}
	return true
}

// mayFilter is may for the filter package.
func (r *reading) mayFilter(name string) bool { return r.may(Quirk(name)) }

// bad makes an *Error with status 400.
func bad(kind ErrorType, format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Type: kind, Detail: fmt.Sprintf(format, args...)}
}

// in says in which attribute a fault is; the detail may begin with the name of a
// sub-attribute.
func (e *Error) in(name string) *Error {
	separator := ": "
	if at, _, ok := strings.Cut(e.Detail, ": "); ok && !strings.ContainsAny(at, " \"") {
		separator = "."
	}
	e.Detail = name + separator + e.Detail
	return e
}

// target is what a key, a path or a parameter names.
type target struct {
	place
	sub *Attribute
	// whole is a schema named by its URN alone; there is no attribute then.
	whole *Schema
	// loose tells an extension's attribute that was written without its URN.
	loose bool
}

// locate finds what a name of a filter, a path or a parameter means. A name without
// a URN is looked up in the core schema and then in the extensions.
func (t *ResourceType) locate(a filter.Attr) (target, bool) {
	var found target
	switch {
	case a.URN != "":
		if a.Sub == "" {
			if s, rest, ok := t.splitURN(filter.Attr{URN: a.URN, Name: a.Name}.String()); ok && rest == "" {
				return target{whole: s}, true
			}
		}
		s, rest, ok := t.splitURN(a.URN)
		if !ok || rest != "" {
			return target{}, false
		}
		if found.place, ok = t.within(s, a.Name); !ok {
			return target{}, false
		}
	default:
		var ok bool
		if found.place, ok = t.attribute(a.Name); !ok {
			if found.place, ok = t.bare(a.Name); !ok {
				return target{}, false
			}
			found.loose = true
		}
	}
	if a.Sub != "" {
		if found.sub = found.attribute.sub(a.Sub); found.sub == nil {
			return target{}, false
		}
	}
	return found, true
}

// within looks an attribute of one schema up.
func (t *ResourceType) within(s *Schema, name string) (place, bool) {
	if s == t.Schema {
		return t.attribute(name)
	}
	if a := find(s.Attributes, name); a != nil {
		return place{schema: s, attribute: a}, true
	}
	return place{}, false
}

// key finds what a key of a body or of a PATCH value means; ok is false for an
// unknown one and for a spelling that is not put up with.
func (r *reading) key(key string) (target, bool) {
	if p, ok := r.t.attribute(key); ok {
		return target{place: p}, true
	}
	if s := r.t.extension(key); s != nil {
		return target{whole: s}, true
	}
	if s, rest, ok := r.t.splitURN(key); ok {
		name, sub, _ := strings.Cut(rest, ".")
		found, ok := r.t.locate(filter.Attr{URN: s.ID, Name: name, Sub: sub})
		return found, ok && r.may(QuirkURNKey)
	}
	name, sub, dotted := strings.Cut(key, ".")
	found, ok := r.t.locate(filter.Attr{Name: name, Sub: sub})
	if !ok || dotted && (sub == "" || !r.may(QuirkDottedKey)) {
		return target{}, false
	}
	return found, !found.loose || r.may(QuirkExtensionWithoutURN)
}

// restates tells the attribute schemas in the object of an extension that names
// nothing but the extension: it says what its key has said.
func (s *Schema) restates(name string, raw any) bool {
	list, _ := raw.([]any)
	if !sameName(name, "schemas") || len(list) != 1 {
		return false
	}
	urn, _ := list[0].(string)
	return sameName(urn, s.ID)
}

// keys gives the keys of an object in order, and refuses names that are there twice.
func keys(o Object) ([]string, *Error) {
	names := make([]string, 0, len(o))
	for name := range o {
		names = append(names, name)
	}
	slices.Sort(names)
	seen := make(map[string]bool, len(o))
	for _, name := range names {
		l := lowerName(name)
		if seen[l] {
			return nil, bad(InvalidSyntax, "%s is given twice: names are the same in any case", clip(name))
		}
		seen[l] = true
	}
	return names, nil
}

// clip shortens what a client wrote, for messages.
func clip(s string) string {
	const most = 80
	s = strings.ToValidUTF8(s, "?")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return fmt.Sprintf("%q", s)
}
