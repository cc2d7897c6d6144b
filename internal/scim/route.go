package scim

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// routeKind is what stands behind a path, RFC 7644 section 3.2.
type routeKind int

const (
	kindNone routeKind = iota
	kindRoot
	kindRootSearch
	kindMe
	kindBulk
	kindConfig
	kindSchemas
	kindSchema
	kindTypes
	kindTypeInfo
	kindType
	kindTypeSearch
	kindResource
)

// route is where a path leads.
type route struct {
	kind routeKind
	t    *ResourceType // of kindType, kindTypeSearch and kindResource
	id   string        // of kindResource, kindSchema and kindTypeInfo
	// alias tells that the path is not the RFC's.
	alias bool
}

const searchSegment = ".search"

// find finds where a path leads. Nothing is ever redirected: a redirected POST
// loses its body. So slashes too many are passed over.
func (h *Handler) find(escaped string) route {
	rest, ok := strings.CutPrefix(escaped, h.prefix)
	if !ok || rest != "" && rest[0] != '/' {
		return route{}
	}
	return h.findBelow(rest)
}

func (h *Handler) findBelow(path string) route {
	var segments []string
	for s := range strings.SplitSeq(path, "/") {
		if s == "" {
			continue
		}
		s, err := url.PathUnescape(s)
		if err != nil {
			return route{}
		}
		segments = append(segments, s)
	}
	switch len(segments) {
	case 0:
		return route{kind: kindRoot}
	case 1:
		return h.findFirst(segments[0])
	case 2:
		return h.findSecond(segments[0], segments[1])
	}
	if segments[0] == "Me" {
		return route{kind: kindMe}
	}
	return route{}
}

func (h *Handler) findFirst(name string) route {
	switch name {
	case searchSegment:
		return route{kind: kindRootSearch}
	case "Me":
		return route{kind: kindMe}
	case "Bulk":
		return route{kind: kindBulk}
	case "ServiceProviderConfig":
		return route{kind: kindConfig}
	case "Schemas":
		return route{kind: kindSchemas}
	case "ResourceTypes":
		return route{kind: kindTypes}
	}
	if strings.EqualFold(name, "ServiceConfiguration") {
		return route{kind: kindConfig, alias: true}
	}
	if t := h.typeAt(name); t != nil {
		return route{kind: kindType, t: t}
	}
	return route{}
}

func (h *Handler) findSecond(name, id string) route {
	switch name {
	case "Me":
		return route{kind: kindMe}
	case "Schemas":
		return route{kind: kindSchema, id: id}
	case "ResourceTypes":
		return route{kind: kindTypeInfo, id: id}
	}
	t := h.typeAt(name)
	switch {
	case t == nil:
		return route{}
	case id == searchSegment:
		return route{kind: kindTypeSearch, t: t}
	case !possibleID(id):
		return route{}
	}
	return route{kind: kindResource, t: t, id: id}
}

func (h *Handler) typeAt(name string) *ResourceType {
	i := slices.IndexFunc(h.o.Types, func(t *ResourceType) bool { return t.Endpoint[1:] == name })
	if i < 0 {
		return nil
	}
	return h.o.Types[i]
}

// possibleID tells whether a text may be an id at all: what no store would take is
// not asked for.
func possibleID(id string) bool {
	return len(id) <= 512 && utf8.ValidString(id) && !strings.ContainsFunc(id, unicode.IsControl)
}

// template names a route without what is particular to a request.
func (r route) template() string {
	switch r.kind {
	case kindRoot:
		return "/"
	case kindRootSearch:
		return "/.search"
	case kindMe:
		return "/Me"
	case kindBulk:
		return "/Bulk"
	case kindConfig:
		return "/ServiceProviderConfig"
	case kindSchemas:
		return "/Schemas"
	case kindSchema:
		return "/Schemas/{id}"
	case kindTypes:
		return "/ResourceTypes"
	case kindTypeInfo:
		return "/ResourceTypes/{name}"
	case kindType:
		return r.t.Endpoint
	case kindTypeSearch:
		return r.t.Endpoint + "/.search"
	case kindResource:
		return r.t.Endpoint + "/{id}"
	default:
		return ""
	}
}

// methods are those that a route has, RFC 7644 section 3.2.
func (r route) methods() []string {
	switch r.kind {
	case kindRootSearch, kindTypeSearch, kindBulk:
		return []string{http.MethodPost}
	case kindType:
		return []string{http.MethodGet, http.MethodHead, http.MethodPost}
	case kindResource:
		return []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPatch, http.MethodDelete}
	default:
		return []string{http.MethodGet, http.MethodHead}
	}
}

// methodError is a method that a route does not have; the answer says which it has.
type methodError struct{ allow string }

func (e *methodError) Error() string { return "this method is not supported here" }

func (e *methodError) Unwrap() error {
	return &Error{Status: http.StatusMethodNotAllowed, Detail: e.Error()}
}

// allowed judges the route and the method, before anything else is read.
func (c *call) allowed() error {
	r := c.route
	switch {
	case r.kind == kindNone, r.alias && !c.lets(QuirkConfigAlias):
		return &Error{Status: http.StatusNotFound, Detail: "there is nothing at this path"}
	case r.kind == kindMe:
		return &Error{Status: http.StatusNotImplemented, Detail: "no resource is known for who asks: /Me is not supported"}
	case !slices.Contains(r.methods(), c.method):
		return &methodError{allow: strings.Join(r.methods(), ", ")}
	}
	return nil
}
