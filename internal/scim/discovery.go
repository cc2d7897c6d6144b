package scim

import (
	"net/http"
	"slices"
	"strings"
)

// documents are what discovery answers with, RFC 7644 section 4. They are made once
// and only read.
type documents struct {
	config         Object
	schemas, types []Object
}

// discover serves the three endpoints.
func (h *Handler) discover(c *call) (answer, error) {
	if _, ok := c.params["filter"]; ok {
		return answer{}, &Error{Status: http.StatusForbidden, Detail: "there are no filters here"}
	}
	switch c.route.kind {
	case kindConfig:
		return answer{status: http.StatusOK, body: h.docs.config}, nil
	case kindSchemas:
		return all(h.docs.schemas), nil
	case kindTypes:
		return all(h.docs.types), nil
	case kindSchema:
		return one(h.docs.schemas, c.route.id)
	case kindTypeInfo:
		return one(h.docs.types, c.route.id)
	default:
		return answer{}, ErrNotFound
	}
}

func all(docs []Object) answer {
	list := make([]any, len(docs))
	for i, d := range docs {
		list[i] = d
	}
	body := listResponse(list, len(list))
	body["startIndex"] = 1
	return answer{status: http.StatusOK, body: body}
}

func one(docs []Object, id string) (answer, error) {
	i := slices.IndexFunc(docs, func(d Object) bool {
		own, _ := d["id"].(string)
		return strings.EqualFold(own, id)
	})
	if i < 0 {
		return answer{}, ErrNotFound
	}
	return answer{status: http.StatusOK, body: docs[i]}, nil
}

func (h *Handler) describe() documents {
	d := documents{config: h.describeConfig()}
	var schemas []*Schema
	add := func(s *Schema) {
		if !slices.ContainsFunc(schemas, func(o *Schema) bool { return o.ID == s.ID }) {
			schemas = append(schemas, s)
		}
	}
	for _, t := range h.o.Types {
		add(t.Schema)
		for _, e := range t.Extensions {
			add(e.Schema)
		}
		d.types = append(d.types, h.describeType(t))
	}
	for _, s := range metaSchemas() {
		add(s)
	}
	for _, s := range schemas {
		d.schemas = append(d.schemas, h.describeSchema(s))
	}
	return d
}

// describeConfig is what the service provider can, RFC 7643 section 5 and RFC 9865
// section 4.
func (h *Handler) describeConfig() Object {
	const id = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
	supported := func(yes bool) Object { return Object{"supported": yes} }
	o := Object{
		"schemas": []any{id},
		"patch":   supported(true),
		"bulk": Object{
			"supported": true, "maxOperations": h.limits.BulkOps, "maxPayloadSize": h.limits.Body,
		},
		"filter":         Object{"supported": true, "maxResults": h.limits.PageMax},
		"changePassword": supported(h.o.ChangePassword),
		"sort":           supported(true),
		"etag":           supported(true),
		"pagination": Object{
			"cursor": true, "index": true, "defaultPaginationMethod": "index", "defaultPageSize": h.limits.Page,
			"maxPageSize": h.limits.PageMax, "cursorTimeout": int(h.limits.Cursor.Seconds()),
		},
		"authenticationSchemes": h.describeAuthentication(),
		"meta":                  Object{"resourceType": "ServiceProviderConfig", "location": h.base + "/ServiceProviderConfig"},
	}
	setText(o, "documentationUri", h.o.DocumentationURI)
	return o
}

func (h *Handler) describeAuthentication() []any {
	schemes := h.o.Authentication
	if schemes == nil {
		schemes = []AuthenticationScheme{{
			Type: "oauthbearertoken", Name: "OAuth Bearer Token", Description: "A bearer token in the Authorization header",
			SpecURI: "https://www.rfc-editor.org/info/rfc6750", Primary: true,
		}}
	}
	list := make([]any, len(schemes))
	for i, s := range schemes {
		o := Object{"type": s.Type, "name": s.Name, "description": s.Description, "primary": s.Primary}
		setText(o, "specUri", s.SpecURI)
		setText(o, "documentationUri", s.DocumentationURI)
		list[i] = o
	}
	return list
}

// describeType is a ResourceType, RFC 7643 section 6.
func (h *Handler) describeType(t *ResourceType) Object {
	extensions := []any{}
	for _, e := range t.Extensions {
		extensions = append(extensions, Object{"schema": e.Schema.ID, "required": e.Required})
	}
	o := Object{
		"schemas": []any{"urn:ietf:params:scim:schemas:core:2.0:ResourceType"},
		"id":      t.Name, "name": t.Name, "endpoint": t.Endpoint, "schema": t.Schema.ID,
		"schemaExtensions": extensions,
		"meta":             Object{"resourceType": "ResourceType", "location": h.base + "/ResourceTypes/" + t.Name},
	}
	setText(o, "description", t.Description)
	return o
}

// describeSchema is a Schema, RFC 7643 section 7.
func (h *Handler) describeSchema(s *Schema) Object {
	o := Object{
		"schemas": []any{"urn:ietf:params:scim:schemas:core:2.0:Schema"},
		"id":      s.ID, "name": s.Name, "attributes": describeAttributes(s.Attributes),
		"meta": Object{"resourceType": "Schema", "location": h.base + "/Schemas/" + s.ID},
	}
	setText(o, "description", s.Description)
	return o
}

func describeAttributes(attributes []Attribute) []any {
	list := make([]any, len(attributes))
	for i, a := range attributes {
		o := Object{
			"name": a.Name, "type": string(a.Type), "multiValued": a.MultiValued, "description": a.Description,
			"required": a.Required, "caseExact": a.CaseExact, "mutability": string(a.Mutability),
			"returned": string(a.Returned), "uniqueness": string(a.Uniqueness),
		}
		if len(a.CanonicalValues) > 0 {
			o["canonicalValues"] = a.CanonicalValues
		}
		if len(a.ReferenceTypes) > 0 {
			o["referenceTypes"] = a.ReferenceTypes
		}
		if len(a.SubAttributes) > 0 {
			o["subAttributes"] = describeAttributes(a.SubAttributes)
		}
		list[i] = o
	}
	return list
}

func setText(o Object, name, value string) {
	if value != "" {
		o[name] = value
	}
}
