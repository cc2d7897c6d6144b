package scim

import (
	"net/http"
	"slices"
	"strings"
)

// discovery is what its endpoints answer with, RFC 7644 section 4. It is made once and only
// read.
type discovery struct {
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

func (h *Handler) describe() discovery {
	d := discovery{config: h.describeConfig()}
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
		d.types = append(d.types, h.located(t.Document(), "ResourceType", "/ResourceTypes/"+t.Name))
	}
	for _, s := range MetaSchemas() {
		add(s)
	}
	for _, s := range schemas {
		d.schemas = append(d.schemas, h.located(s.Document(), "Schema", "/Schemas/"+s.ID))
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
	}
	setText(o, "documentationUri", h.o.DocumentationURI)
	return h.located(o, "ServiceProviderConfig", "/ServiceProviderConfig")
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

// located adds what is the Handler's to know to a document.
func (h *Handler) located(doc Object, resourceType, path string) Object {
	doc["meta"] = Object{"resourceType": resourceType, "location": h.base + path}
	return doc
}

func setText(o Object, name, value string) {
	if value != "" {
		o[name] = value
	}
}
