package scim

import (
	"net/http"
	"slices"
	"strings"
)

// call is one request while it is served, or one operation of a bulk request.
type call struct {
	h       *Handler
	session Session
	route   route
	method  string
	header  http.Header
	params  params
	lenient Lenient
	quirks  []Quirk  // made use of, each once
	touched string   // the id of the resource that was read or written
	changed []string // names of attributes
}

// noted remembers a quirk that the request made use of.
func (c *call) noted(q Quirk) {
	if !slices.Contains(c.quirks, q) {
		c.quirks = append(c.quirks, q)
	}
}

// lets tells whether a quirk may be made use of, and remembers that it was.
func (c *call) lets(q Quirk) bool {
	if !c.lenient[q] {
		return false
	}
	c.noted(q)
	return true
}

func (c *call) mayRead(t *ResourceType) bool {
	return c.session.Read == nil || c.session.Read(t.Name)
}

// readable gives an error if resources of a type may not be read.
func (c *call) readable(t *ResourceType) error {
	if c.mayRead(t) {
		return nil
	}
	return &Error{Status: http.StatusForbidden, Detail: "this client may not read " + t.Name + " resources"}
}

// writable gives an error if resources of a type may not be written.
func (c *call) writable(t *ResourceType) error {
	if c.session.Write == nil || c.session.Write(t.Name) {
		return nil
	}
	return &Error{Status: http.StatusForbidden, Detail: "this client may not write " + t.Name + " resources"}
}

// projection reads the parameters attributes and excludedAttributes.
func (c *call) projection() (Projection, error) {
	return ParseProjection(c.params["attributes"], c.params["excludedAttributes"], c.lenient, c.noted)
}

// condition is what If-Match and If-None-Match ask, RFC 7644 section 3.14. Entity
// tags are weak and compared so.
type condition struct{ match, noneMatch []string }

func (c *call) condition() condition {
	return condition{match: entityTags(c.header.Values("If-Match")), noneMatch: entityTags(c.header.Values("If-None-Match"))}
}

// check gives 412 if the version is not one that the condition lets through.
func (d condition) check(version string) error {
	if d.match != nil && !hasTag(d.match, version) || hasTag(d.noneMatch, version) {
		return &Error{Status: http.StatusPreconditionFailed, Detail: "the resource has another version: read it again"}
	}
	return nil
}

func hasTag(tags []string, version string) bool {
	return slices.Contains(tags, "*") || slices.Contains(tags, version)
}

// entityTags gives the versions in a header's lists, bare of W/ and quotes; nil if
// there is none.
func entityTags(lines []string) []string {
	var tags []string
	for _, line := range lines {
		for tag := range strings.SplitSeq(line, ",") {
			tag = strings.TrimSpace(tag)
			tag = strings.TrimPrefix(strings.TrimPrefix(tag, "W/"), "w/")
			tags = append(tags, strings.Trim(tag, `"`))
		}
	}
	return tags
}

func entityTag(version string) string { return `W/"` + version + `"` }
