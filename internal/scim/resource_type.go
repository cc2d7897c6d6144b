package scim

import "strings"

// ResourceType is one kind of resource, RFC 7643 section 6.
type ResourceType struct {
	Name        string // "User"
	Endpoint    string // "/Users"
	Description string
	Schema      *Schema
	Extensions  []Extension
}

// Extension is a schema extension of a ResourceType.
type Extension struct {
	Schema   *Schema
	Required bool
	// Unlisted ones are not announced, RFC 7643 section 6: clients that read every
	// extension that is would read, and write, what is not for them.
	Unlisted bool
}

// UserType gives the resource type of users with the enterprise extension, RFC
// 7643 sections 4.1 and 4.3. It is the caller's to append to.
func UserType() *ResourceType {
	return &ResourceType{
		Name: "User", Endpoint: "/Users", Description: "User Account",
		Schema:     embedded("user"),
		Extensions: []Extension{{Schema: embedded("enterprise_user")}},
	}
}

// GroupType gives the resource type of groups, RFC 7643 section 4.2.
func GroupType() *ResourceType {
	return &ResourceType{Name: "Group", Endpoint: "/Groups", Description: "Group", Schema: embedded("group")}
}

// Document gives the type as the discovery endpoint answers it, RFC 7643 section 6,
// without meta.
func (t *ResourceType) Document() Object {
	d := Object{
		"schemas": []any{resourceTypeURN}, "id": t.Name, "name": t.Name, "endpoint": t.Endpoint,
		"description": t.Description, "schema": t.Schema.ID,
	}
	if len(t.Extensions) > 0 {
		list := make([]any, 0, len(t.Extensions))
		for _, x := range t.Extensions {
			if !x.Unlisted {
				list = append(list, Object{"schema": x.Schema.ID, "required": x.Required})
			}
		}
		d["schemaExtensions"] = list
	}
	return d
}

// extension gives the extension with a URN in any case; nil if there is none.
func (t *ResourceType) extension(urn string) *Schema {
	for _, x := range t.Extensions {
		if sameName(x.Schema.ID, urn) {
			return x.Schema
		}
	}
	return nil
}

// splitURN tells a key or path that begins with the URN of one of the type's
// schemas: the schema, and what follows the colon; rest is "" for the URN alone.
func (t *ResourceType) splitURN(key string) (s *Schema, rest string, ok bool) {
	if !strings.Contains(key, ":") {
		return nil, "", false
	}
	if s, rest, ok = cutURN(t.Schema, key); ok {
		return s, rest, true
	}
	for _, x := range t.Extensions {
		if s, rest, ok = cutURN(x.Schema, key); ok {
			return s, rest, true
		}
	}
	return nil, "", false
}

func cutURN(s *Schema, key string) (*Schema, string, bool) {
	n := len(s.ID)
	if len(key) < n || !sameName(key[:n], s.ID) {
		return nil, "", false
	}
	if len(key) == n {
		return s, "", true
	}
	if key[n] != ':' || len(key) == n+1 {
		return nil, "", false
	}
	return s, key[n+1:], true
}

// place is an attribute and the schema it belongs to.
type place struct {
	schema    *Schema
	attribute *Attribute
	// common attributes are of every resource, not of a schema: id, externalId, meta
	// and schemas, RFC 7643 section 3.1.
	common bool
}

// name is what the attribute is called in messages and in Changed.
func (t *ResourceType) name(p place) string {
	if p.common || p.schema == t.Schema {
		return p.attribute.Name
	}
	return p.schema.ID + ":" + p.attribute.Name
}

// attribute looks an attribute of the core schema up, the common ones included.
func (t *ResourceType) attribute(name string) (place, bool) {
	if a := find(t.Schema.Attributes, name); a != nil {
		return place{schema: t.Schema, attribute: a}, true
	}
	if a := common(name); a != nil {
		return place{schema: t.Schema, attribute: a, common: true}, true
	}
	return place{}, false
}

// bare looks an attribute of an extension up that is written without its URN.
func (t *ResourceType) bare(name string) (place, bool) {
	for _, x := range t.Extensions {
		if a := find(x.Schema.Attributes, name); a != nil {
			return place{schema: x.Schema, attribute: a}, true
		}
	}
	return place{}, false
}

// common gives an attribute of RFC 7643 section 3.1, or nil.
func common(name string) *Attribute {
	switch lowerName(name) {
	case "id":
		return &Attribute{Name: "id", Type: String, CaseExact: true, Mutability: ReadOnly, Returned: ReturnedAlways, Uniqueness: UniqueServer}
	case "externalid":
		return &Attribute{Name: "externalId", Type: String, CaseExact: true, Mutability: ReadWrite, Returned: ReturnedDefault, Uniqueness: UniqueNone}
	case "schemas":
		return &Attribute{Name: "schemas", Type: Reference, MultiValued: true, Mutability: ReadOnly, Returned: ReturnedAlways, Uniqueness: UniqueNone}
	case "meta":
		return &Attribute{
			Name: "meta", Type: Complex, Mutability: ReadOnly, Returned: ReturnedDefault, Uniqueness: UniqueNone,
			SubAttributes: []Attribute{
				{Name: "resourceType", Type: String, CaseExact: true, Mutability: ReadOnly, Returned: ReturnedDefault},
				{Name: "created", Type: DateTime, Mutability: ReadOnly, Returned: ReturnedDefault},
				{Name: "lastModified", Type: DateTime, Mutability: ReadOnly, Returned: ReturnedDefault},
				{Name: "location", Type: Reference, CaseExact: true, Mutability: ReadOnly, Returned: ReturnedDefault},
				{Name: "version", Type: String, CaseExact: true, Mutability: ReadOnly, Returned: ReturnedDefault},
			},
		}
	}
	return nil
}
