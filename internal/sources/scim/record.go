package scim

import (
	"encoding/json"
	"fmt"
	"strings"

	protocol "github.com/mmsync/mmsync/internal/scim"
	"github.com/mmsync/mmsync/internal/sources"
)

// record makes of a User what expressions see. A simple attribute has its own
// name. Of a complex one each sub-attribute is NAME.SUB; those of name and of
// extensions have their bare names as well. Of a list, NAME has all values,
// NAME.TYPE those of a type, and NAME.primary the one that is meant when one is:
// the primary, else of type work, else the first. email is emails.primary.
func record(t *protocol.ResourceType, id string, attributes protocol.Object, groups []string) sources.Record {
	rec := sources.Record{Ref: t.Endpoint + "/" + id, Groups: groups}
	rec.Add("id", id)
	for i := range t.Schema.Attributes {
		add(&rec, "", &t.Schema.Attributes[i], attributes[t.Schema.Attributes[i].Name])
	}
	for _, x := range t.Extensions {
		own, _ := attributes[x.Schema.ID].(protocol.Object)
		for i := range x.Schema.Attributes {
			a := &x.Schema.Attributes[i]
			add(&rec, x.Schema.ID+":", a, own[a.Name])
			if len(rec.Values(a.Name)) == 0 { // a core attribute of the same name comes first
				add(&rec, "", a, own[a.Name])
			}
		}
	}
	rec.Add("email", rec.Values("emails.primary")...)
	return rec
}

func add(rec *sources.Record, prefix string, a *protocol.Attribute, v any) {
	name := prefix + a.Name
	switch {
	case a.MultiValued:
		list, _ := v.([]any)
		addList(rec, name, list)
	case a.Type == protocol.Complex:
		o, _ := v.(protocol.Object)
		rec.Add(name, text(o["value"])...) // a reference, such as manager
		for _, s := range a.SubAttributes {
			rec.Add(name+"."+s.Name, text(o[s.Name])...)
			if a.Name == "name" {
				rec.Add(s.Name, text(o[s.Name])...)
			}
		}
	default:
		rec.Add(name, text(v)...)
	}
}

func addList(rec *sources.Record, name string, list []any) {
	rec.Add(name)
	rec.Add(name + ".primary")
	var meant []string
	rank := 0
	for _, e := range list {
		o, complexValue := e.(protocol.Object)
		if !complexValue {
			rec.Add(name, text(e)...)
			continue
		}
		value := text(o["value"])
		if len(value) == 0 {
			value = text(o["formatted"]) // addresses
		}
		kind, _ := o["type"].(string)
		primary, _ := o["primary"].(bool)
		rec.Add(name, value...)
		if kind != "" && !strings.EqualFold(kind, "primary") {
			rec.Add(name+"."+strings.ToLower(kind), value...)
		}
		if r := weight(primary, kind); r > rank {
			meant, rank = value, r
		}
	}
	rec.Add(name+".primary", meant...)
}

// weight grades how much an element is the one that is meant.
func weight(primary bool, kind string) int {
	switch {
	case primary:
		return 3
	case strings.EqualFold(kind, "work"):
		return 2
	}
	return 1
}

func text(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case bool:
		return []string{fmt.Sprint(v)}
	case json.Number:
		return []string{v.String()}
	}
	return nil
}

// known tells whether an expression may name an attribute: a wrong name would
// read as an empty value for everybody.
func known(t *protocol.ResourceType) (has func(string) bool, among []string) {
	empty := record(t, "", protocol.Object{}, nil)
	among = empty.Names()
	names := make(map[string]bool, len(among))
	for _, n := range among {
		names[strings.ToLower(n)] = true
	}
	return func(n string) bool {
		n = strings.ToLower(n)
		list, _, typed := strings.Cut(n, ".")
		return names[n] || (typed && names[list+".primary"])
	}, among
}
