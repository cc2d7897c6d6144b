package scim

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Deviations in requests as such.
const (
	// QuirkConfigAlias is /ServiceConfiguration, in any case, for
	// /ServiceProviderConfig. Microsoft's Postman collection.
	QuirkConfigAlias Quirk = "request.configAlias"
	// QuirkNoContentType is a body without a Content-Type. Home-grown clients.
	QuirkNoContentType Quirk = "request.noContentType"
	// QuirkPatchDocument is a PATCH whose schemas are missing, or others as well.
	// Home-grown clients.
	QuirkPatchDocument Quirk = "request.patchDocument"
	// QuirkPatchKeys are keys in a PATCH that have no meaning; they are passed over.
	// Microsoft's Postman collection.
	QuirkPatchKeys Quirk = "request.patchKeys"
	// QuirkEmptyPath is a path that is "" or null, for none. Home-grown clients.
	QuirkEmptyPath Quirk = "request.emptyPath"
	// QuirkOpCase is an operation that is not in lower case: "Replace". Entra.
	QuirkOpCase Quirk = "request.opCase"
	// QuirkOpDelete is the operation "delete" for remove. SailPoint.
	QuirkOpDelete Quirk = "request.opDelete"
	// QuirkNoOperations is a PATCH without operations; it changes nothing. Entra.
	QuirkNoOperations Quirk = "request.noOperations"
	// QuirkValueText is the value of an operation without path as JSON in a text.
	// Keycloak (scim-for-keycloak).
	QuirkValueText Quirk = "request.valueText"
)

// RequestQuirks are the deviations in requests as such that can be put up with.
func RequestQuirks() []QuirkDoc {
	return []QuirkDoc{
		{QuirkConfigAlias, `/ServiceConfiguration for /ServiceProviderConfig`, postman},
		{QuirkNoContentType, `a body without a Content-Type`, homeGrown},
		{QuirkPatchDocument, `a PATCH that does not list its schema, or others as well`, homeGrown},
		{QuirkPatchKeys, `keys in a PATCH that have no meaning; they are passed over`, postman},
		{QuirkEmptyPath, `a path in a PATCH that is empty or null, for none`, homeGrown},
		{QuirkOpCase, `an operation that is not in lower case: "Replace"`, entra},
		{QuirkOpDelete, `the operation "delete", taken as remove`, "SailPoint"},
		{QuirkNoOperations, `a PATCH without operations; nothing is changed`, entra},
		{QuirkLeaver, `a PUT or PATCH that ends in "active": false and would be refused for something else; that alone is done`, anybody},
		{QuirkValueText, `the value of an operation without path as JSON in a text`, "scim-for-keycloak"},
	}
}

// params are the parameters of a query; those nobody knows are among them and are
// passed over. Of attributes and excludedAttributes several are joined.
type params map[string]string

func parseParams(query string) (params, error) {
	p := params{}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(key)
		if err != nil {
			return nil, invalid(InvalidSyntax, "the query is not escaped as it has to be")
		}
		switch key {
		case "filter", "sortBy", "sortOrder", "startIndex", "count", "cursor", "attributes", "excludedAttributes":
		default:
			continue
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return nil, invalid(InvalidSyntax, "the query is not escaped as it has to be")
		}
		before, twice := p[key]
		switch {
		case !twice:
			p[key] = value
		case strings.HasSuffix(strings.ToLower(key), "attributes"):
			p[key] = before + "," + value
		default:
			return nil, invalid(InvalidValue, key+" is given twice")
		}
	}
	return p, nil
}

func invalid(t ErrorType, detail string) error {
	return &Error{Status: http.StatusBadRequest, Type: t, Detail: detail}
}

// readBody reads the JSON object that a request brings.
func (h *Handler) readBody(w http.ResponseWriter, r *http.Request, c *call) (Object, error) {
	if err := c.checkContent(); err != nil {
		return nil, err
	}
	tooLarge := &Error{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("a body may have %d bytes", h.limits.Body)}
	if r.ContentLength > h.limits.Body {
		w.Header().Set("Connection", "close")
		return nil, tooLarge
	}
	control := http.NewResponseController(w)
	// Who cannot set a deadline has no connection that could be slow.
	_ = control.SetReadDeadline(time.Now().Add(h.limits.Read))
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.limits.Body))
	switch {
	case err == nil:
		_ = control.SetReadDeadline(time.Time{})
	case errors.As(err, new(*http.MaxBytesError)):
		return nil, tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		return nil, &Error{Status: http.StatusRequestTimeout, Detail: "the body took too long to arrive"}
	default:
		return nil, invalid(InvalidSyntax, "the body does not end as it was announced")
	}
	v, fault := parseJSON(text, h.limits.Depth)
	if fault != nil {
		return nil, fault.scim()
	}
	o, ok := v.(Object)
	if !ok {
		return nil, invalid(InvalidSyntax, "the body has to be a JSON object")
	}
	return o, nil
}

// checkContent judges what a body says it is, RFC 7644 section 3.1.
func (c *call) checkContent() error {
	unsupported := func(detail string) error {
		return &Error{Status: http.StatusUnsupportedMediaType, Detail: detail}
	}
	if e := c.header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return unsupported("a body may not be encoded")
	}
	text := c.header.Get("Content-Type")
	if text == "" {
		if c.lets(QuirkNoContentType) {
			return nil
		}
		return unsupported("the Content-Type has to be " + mediaSCIM)
	}
	media, p, err := mime.ParseMediaType(text)
	if err != nil || media != mediaSCIM && media != mediaJSON {
		return unsupported("the Content-Type has to be " + mediaSCIM)
	}
	if charset, ok := p["charset"]; ok && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "utf8") {
		return unsupported("the charset has to be utf-8")
	}
	return nil
}

// field gives what an object has under a name. Names compare without case, RFC 7643
// section 2.1; one name twice is a fault.
func field(o Object, name string) (any, bool, error) {
	var found any
	n := 0
	for key, v := range o {
		if strings.EqualFold(key, name) {
			found = v
			n++
		}
	}
	if n > 1 {
		return nil, false, invalid(InvalidSyntax, name+" is given twice")
	}
	return found, n == 1, nil
}
