package config

import (
	"reflect"
	"slices"
	"strings"
)

// is tells whether t is the type T.
func is[T any](t reflect.Type) bool { return t == reflect.TypeFor[T]() }

// field is one key of a section.
type field struct {
	key                    string
	required, file, single bool
	value                  reflect.Value
}

// fieldsOf lists the keys of structs that share a section, in their order.
func fieldsOf(targets ...reflect.Value) []field {
	var out []field
	for _, target := range targets {
		for i := range target.NumField() {
			key, options, _ := strings.Cut(target.Type().Field(i).Tag.Get("yaml"), ",")
			if key == "" || key == "-" {
				continue
			}
			has := strings.Split(options, ",")
			out = append(out, field{
				key:      key,
				required: slices.Contains(has, "required"),
				file:     slices.Contains(has, "file"),
				single:   slices.Contains(has, "single"),
				value:    target.Field(i),
			})
		}
	}
	return out
}

// keysOf lists the keys a section accepts.
func keysOf(fields []field) []string {
	var out []string
	for _, f := range fields {
		out = append(out, f.key)
		if f.file {
			out = append(out, f.key+"_file")
		}
	}
	return out
}

// schemaKeys gives for every key of the schema the sections it belongs in, as
// people write them: guards.protect, sources[].groups.
func schemaKeys() map[string][]string {
	out := map[string][]string{}
	var visit func(t reflect.Type, path string)
	add := func(path, label string, t reflect.Type) {
		fields := fieldsOf(reflect.New(t).Elem())
		for _, key := range keysOf(fields) {
			out[key] = append(out[key], label)
		}
		for _, f := range fields {
			visit(f.value.Type(), joinPath(path, f.key))
		}
	}
	visit = func(t reflect.Type, path string) {
		switch {
		case is[Secret](t) || is[Expr](t):
		case is[Source](t):
			add(path, path, t)
			add(path, path+" of type ldap", reflect.TypeFor[LDAP]())
			add(path, path+" of type file", reflect.TypeFor[File]())
			add(path, path+" of type scim", reflect.TypeFor[SCIMSource]())
		case t.Kind() == reflect.Struct:
			add(path, path, t)
		case t.Kind() == reflect.Pointer:
			visit(t.Elem(), path)
		case t.Kind() == reflect.Slice:
			visit(t.Elem(), path+"[]")
		case t.Kind() == reflect.Map:
			visit(t.Elem(), path+".<name>")
		}
	}
	visit(reflect.TypeFor[Config](), "")
	return out
}

// unknownKeyHint says what an unknown key was probably meant to be.
func unknownKeyHint(key string, fields []field) string {
	known := keysOf(fields)
	if best := nearest(key, known); best != "" {
		return "did you mean " + best + "?"
	}
	if sections := schemaKeys()[key]; len(sections) > 0 && len(sections) <= 3 {
		for i, s := range sections {
			if s == "" {
				sections[i] = "the top level"
			}
		}
		return key + " belongs in " + strings.Join(sections, " or ")
	}
	return "the keys here are " + strings.Join(known, ", ")
}

// nearest gives the known word that word is a slip of, or that is the beginning
// of it or the other way round; "" if none is close.
func nearest(word string, known []string) string {
	plain := func(s string) string {
		return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(s))
	}
	best, least := "", 1+max(1, min(3, len(word)/3))
	for _, k := range known {
		if n := distance(plain(word), plain(k)); n < least {
			best, least = k, n
		}
	}
	for _, k := range known {
		if best == "" && min(len(k), len(word)) >= 3 && (strings.HasPrefix(k, word) || strings.HasPrefix(word, k)) {
			best = k
		}
	}
	return best
}

// distance is how many letters must be put in, left out, replaced or swapped
// with their neighbour to make b of a.
func distance(a, b string) int {
	before, last, row := []int(nil), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, make([]int, len(b)+1)
	}
	return last[len(b)]
}
