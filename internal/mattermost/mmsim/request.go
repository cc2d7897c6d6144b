package mmsim

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// request is what a handler sees. The lock is held while it runs.
type request struct {
	*http.Request
	query    url.Values
	body     []byte
	tooLarge bool
	params   map[string]string
	session  *session // nil: nobody is signed in
	asker    *User
	stale    *User // LostConcurrentWrites: the row that it writes over a newer one
	node     int   // which of a cluster was asked
	lag      int64 // CacheLag: by-id reads answer as of this many milliseconds ago
	// memberLag: MemberLag, in milliseconds
	memberLag int64
	rowsMove  bool
	lenient   bool // 5.38 skips values of the wrong type
	now       int64
}

func (q *request) admin() bool { return q.asker != nil && q.asker.IsAdmin() }

func (q *request) self(id string) bool { return q.asker != nil && q.asker.ID == id }

// flag is how the server reads a boolean of the query: anything that is not
// true is false, banana included.
func (q *request) flag(key string) bool {
	on, err := strconv.ParseBool(q.query.Get(key))
	return err == nil && on
}

// reply is a decided answer.
type reply struct {
	status int
	body   []byte
	kind   string // content type; empty is JSON
	etag   string
	token  string // Token header of a login
	id     string // error id, "" for success
	bare   bool   // no X-Version-Id and no request id: route errors
	cut    bool
	extra  http.Header
}

func ok(status int, body any) reply {
	raw, err := json.Marshal(body)
	if err != nil {
		return fail(http.StatusInternalServerError, "api.marshal_error")
	}
	return reply{status: status, body: raw}
}

func statusOK() reply { return reply{status: http.StatusOK, body: []byte(`{"status":"OK"}`)} }

func fail(status int, id string) reply { return reply{status: status, id: id} }

func badBody() reply { return fail(http.StatusBadRequest, errBody) }

func badURL() reply { return fail(http.StatusBadRequest, errURL) }

func forbidden() reply { return fail(http.StatusForbidden, errPermissions) }

func expired() reply { return fail(http.StatusUnauthorized, errSession) }

func missingUser() reply { return fail(http.StatusNotFound, errMissingUser) }

// noRoute: 5.38 forgot the content type of this one.
func (s *Server) noRoute() reply {
	rep := reply{status: http.StatusNotFound, id: errNoRoute, bare: true}
	if s.profile == Profile538 {
		rep.kind = "text/plain; charset=utf-8"
	}
	return rep
}

const (
	errBody        = "api.context.invalid_body_param.app_error"
	errURL         = "api.context.invalid_url_param.app_error"
	errPermissions = "api.context.permissions.app_error"
	errSession     = "api.context.session_expired.app_error"
	errNoRoute     = "api.context.404.app_error"
	errMissingUser = "app.user.missing_account.const"
	errTooLarge    = "api.context.request_body_too_large.app_error"
	errParse       = "api.payload.parse.error"
)

// appError is the error body. Clients match on id and status; the message is
// translated by the real server and is only a stand-in here.
type appError struct {
	ID         string `json:"id"`
	Message    string `json:"message"`
	Detailed   string `json:"detailed_error"`
	RequestID  string `json:"request_id,omitempty"`
	StatusCode int    `json:"status_code"`
}

func errorBody(status int, id, requestID string) []byte {
	raw, err := json.Marshal(appError{ID: id, Message: "mmsim: " + id, RequestID: requestID, StatusCode: status})
	if err != nil {
		return nil
	}
	return raw
}

// maxBody is where 11.6 stops reading by default; 5.38 was never seen to stop. Another
// limit is set by MM_SERVICESETTINGS_MAXIMUMPAYLOADSIZEBYTES: 100,000 is what servers
// keep that ever ran a release with that default (config.go, SetDefaults, fills in what
// is missing only; mattermost/mattermost#26651 raised it).
const maxBody = 300_000

func (s *Server) bodyLimit() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return int64(s.conf.number("ServiceSettings", "MaximumPayloadSizeBytes"))
}

func (s *Server) readBody(r *http.Request) (body []byte, tooLarge bool, err error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, false, nil
	}
	limit := s.bodyLimit()
	if s.profile == Profile538 {
		limit = 64 << 20
	}
	if isImage(r) {
		limit = maxFile
	}
	body, err = io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return nil, false, err
	}
	if int64(len(body)) > limit {
		return body[:limit], true, nil
	}
	return body, false, nil
}

// decode reads the first JSON value of the body and, as the server does,
// ignores what follows it, unknown keys and the content type.
func (q *request) decode(into any) error {
	err := json.NewDecoder(bytes.NewReader(q.body)).Decode(into)
	if wrongType := (*json.UnmarshalTypeError)(nil); q.lenient && errors.As(err, &wrongType) {
		return nil // the rest has been read
	}
	return err
}

// refuse answers for a body that decode did not take: only a body that was
// still wanted when the limit was met is too large.
func (q *request) refuse(err error, id string) reply {
	if q.tooLarge && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)) {
		return fail(http.StatusRequestEntityTooLarge, errTooLarge)
	}
	return fail(http.StatusBadRequest, id)
}
