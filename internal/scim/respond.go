package scim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/scim/filter"
)

// The media types of RFC 7644 section 3.1, and the schemas of its messages.
const (
	mediaSCIM = "application/scim+json"
	mediaJSON = "application/json"

	messageError  = "urn:ietf:params:scim:api:messages:2.0:Error"
	messageList   = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	messagePatch  = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	messageBulked = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
)

// answer is what a request is answered with.
type answer struct {
	status         int
	body           Object // nil: none
	location, etag string
	allow          string
	retry          time.Duration
}

// RetryAfter gives an error that is answered as err is, with the time after which
// it makes sense to come again.
func RetryAfter(err error, after time.Duration) error { return &retryError{err, after} }

type retryError struct {
	err   error
	after time.Duration
}

func (e *retryError) Error() string { return e.err.Error() }
func (e *retryError) Unwrap() error { return e.err }

// refuse gives the answer to an error, RFC 7644 section 3.12. What no client may
// see is logged.
func (h *Handler) refuse(ctx context.Context, c *call, err error) answer {
	e := scimError(err)
	if e == nil {
		h.log.ErrorContext(ctx, "request failed", "route", c.route.template(), "session", c.session.Name, "error", err)
		e = &Error{Status: http.StatusInternalServerError, Detail: "internal error"}
	}
	a := fault(e)
	if m, ok := errors.AsType[*methodError](err); ok {
		a.allow = m.allow
	}
	switch r, ok := errors.AsType[*retryError](err); {
	case ok:
		a.retry = r.after
	case e.Status == http.StatusServiceUnavailable, e.Status == http.StatusTooManyRequests:
		a.retry = h.limits.RetryAfter
	}
	return a
}

// scimError gives what a client is told of an error; nil if that is nothing.
func scimError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		if e.Status == 0 {
			return &Error{Status: http.StatusBadRequest, Type: e.Type, Detail: e.Detail}
		}
		return e
	}
	if e, ok := errors.AsType[*filter.Error](err); ok {
		return &Error{Status: http.StatusBadRequest, Type: InvalidFilter, Detail: e.Text}
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return &Error{Status: http.StatusNotFound, Detail: ErrNotFound.Error()}
	case errors.Is(err, ErrUniqueness):
		return &Error{Status: http.StatusConflict, Type: UniquenessErr, Detail: err.Error()}
	case errors.Is(err, ErrVersion):
		return &Error{Status: http.StatusPreconditionFailed, Detail: "the resource has another version: read it again"}
	case errors.Is(err, ErrBusy):
		return &Error{Status: http.StatusServiceUnavailable, Detail: ErrBusy.Error()}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &Error{Status: http.StatusServiceUnavailable, Detail: "the request took too long"}
	}
	return nil
}

// fault is the answer of an error, RFC 7644 section 3.12.
func fault(e *Error) answer {
	detail := e.Detail
	if detail == "" {
		detail = http.StatusText(e.Status)
	}
	body := Object{"schemas": []any{messageError}, "status": strconv.Itoa(e.Status), "detail": detail}
	if e.Type != "" {
		body["scimType"] = string(e.Type)
	}
	return answer{status: e.Status, body: body}
}

// write sends an answer.
func (h *Handler) write(w http.ResponseWriter, r *http.Request, a answer) {
	header := w.Header()
	header.Set("Cache-Control", "no-store, private")
	header.Set("X-Content-Type-Options", "nosniff")
	set := func(name, value string) {
		if value != "" {
			header.Set(name, value)
		}
	}
	set("Location", a.location)
	set("ETag", a.etag)
	set("Allow", a.allow)
	if a.status == http.StatusUnauthorized {
		set("WWW-Authenticate", `Bearer realm="scim"`)
	}
	if a.retry > 0 {
		set("Retry-After", strconv.Itoa(int(math.Ceil(a.retry.Seconds()))))
	}
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	text, err := encode(a.body)
	if err != nil {
		h.log.ErrorContext(r.Context(), "answer not encoded", "error", err)
		a.status = http.StatusInternalServerError
		text = []byte(`{"schemas":["` + messageError + `"],"status":"500","detail":"internal error"}`)
	}
	header.Set("Content-Type", negotiate(r.Header.Values("Accept")))
	header.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(a.status)
	_, _ = w.Write(text) // nobody is left to be told
}

func encode(body Object) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// negotiate gives the media type of an answer, RFC 7644 section 3.1: plain JSON for
// those who take nothing else that is JSON; nobody is refused.
func negotiate(accept []string) string {
	plain := false
	for _, line := range accept {
		for part := range strings.SplitSeq(line, ",") {
			media, p, err := mime.ParseMediaType(part)
			if q, bad := strconv.ParseFloat(p["q"], 64); err != nil || bad == nil && q == 0 {
				continue
			}
			switch media {
			case mediaSCIM, "application/*", "*/*":
				return mediaSCIM
			case mediaJSON:
				plain = true
			}
		}
	}
	if plain {
		return mediaJSON
	}
	return mediaSCIM
}
