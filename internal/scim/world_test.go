package scim_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim"
)

// The names that research and tests use.
const (
	patchOp   = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	searchReq = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
	bulkReq   = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
	listResp  = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	errorResp = "urn:ietf:params:scim:api:messages:2.0:Error"

	external = base
)

// world is a Handler over memory with U1, U2, U3 and G1 in it.
type world struct {
	t   *testing.T
	h   *scim.Handler
	mem *memory
	log *bytes.Buffer

	mu    sync.Mutex
	noted map[scim.Quirk]int
}

// lenient puts up with everything.
func lenient() scim.Lenient {
	l := scim.AllLenient()
	for _, q := range scim.RequestQuirks() {
		l[q.Name] = true
	}
	return l
}

// types are those of the RFC; a Handler only reads them.
var types = sync.OnceValue(func() []*scim.ResourceType {
	return []*scim.ResourceType{scim.UserType(), scim.GroupType()}
})

func newWorld(t *testing.T, change ...func(*scim.Options)) *world {
	t.Helper()
	w := emptyWorld(t, change...)
	w.seed("User", "u1", `{"userName":"nora.lind@example.org","externalId":"ext-nora","active":true,
		"name":{"givenName":"Nora","familyName":"Lind"},"emails":[{"type":"work","primary":true,"value":"nora.lind@example.org"}],
		"`+ent+`":{"department":"Docks","employeeNumber":"4711"}}`)
	w.seed("User", "u2", `{"userName":"omar.reyes@example.org","active":true,"displayName":"Omar","emails":[{"value":"omar@example.net"}]}`)
	w.seed("User", "u3", `{"userName":"pia.moreau@example.org","active":true,"displayName":"Pia"}`)
	w.seed("Group", "g1", `{"displayName":"Harbour Crew","externalId":"ext-g1","members":[{"value":"u1"},{"value":"u2"}]}`)
	return w
}

func emptyWorld(t *testing.T, change ...func(*scim.Options)) *world {
	t.Helper()
	w := &world{t: t, mem: newMemory(), log: &bytes.Buffer{}, noted: map[scim.Quirk]int{}}
	o := scim.Options{
		Types:   types(),
		BaseURL: external, Prefix: "/scim/v2", Lenient: lenient(), CursorKey: [32]byte{1},
		Logger: slog.New(slog.NewJSONHandler(w.log, nil)),
		Limits: scim.Limits{Rate: -1},
		Open: func(r *http.Request) (scim.Session, error) {
			switch r.Header.Get("Authorization") {
			case "Bearer T1":
				return scim.Session{Backend: w.mem, Name: "acme"}, nil
			case "Bearer T2":
				return scim.Session{Backend: newMemory(), Name: "other"}, nil
			}
			return scim.Session{}, &scim.Error{Status: http.StatusUnauthorized, Detail: "no such token"}
		},
		Noted: func(_ string, q scim.Quirk) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.noted[q]++
		},
	}
	for _, c := range change {
		c(&o)
	}
	h, err := scim.New(o)
	require.NoError(t, err)
	w.h = h
	return w
}

// strict lets no deviation pass.
func strict(o *scim.Options) { o.Lenient = nil }

func (w *world) seed(resourceType, id, attributes string) {
	w.t.Helper()
	r := &scim.ResourceType{Name: resourceType}
	_, err := w.mem.create(r, id, decode(w.t, []byte(attributes)))
	require.NoError(w.t, err)
}

func decode(t *testing.T, text []byte) scim.Object {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var o scim.Object
	require.NoError(t, d.Decode(&o), "%s", text)
	return o
}

// reply is an answer.
type reply struct {
	t      *testing.T
	status int
	header http.Header
	text   string
	body   scim.Object // nil if there is none
}

// do sends a request; headers are "Name: value" and stand in the place of the usual.
func (w *world) do(method, path, body string, headers ...string) *reply {
	w.t.Helper()
	return send(w.t, w.h, method, path, body, headers...)
}

func send(t *testing.T, h http.Handler, method, path, body string, headers ...string) *reply {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "/", strings.NewReader(body))
	var err error
	r.URL, err = url.ParseRequestURI("/scim/v2" + path)
	require.NoError(t, err)
	r.RequestURI = ""
	r.Header.Set("Authorization", "Bearer T1")
	r.Header.Set("Accept", "application/scim+json")
	if body != "" {
		r.Header.Set("Content-Type", "application/scim+json; charset=utf-8")
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ":")
		r.Header.Del(name)
		if value = strings.TrimSpace(value); value != "" {
			r.Header.Set(name, value)
		}
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	a := &reply{t: t, status: rec.Code, header: rec.Header(), text: rec.Body.String()}
	require.Equal(t, "no-store, private", a.header.Get("Cache-Control"))
	if rec.Body.Len() > 0 {
		a.body = decode(t, rec.Body.Bytes())
	}
	return a
}

// filter lists what fits a filter, percent-encoded as a form is.
func (w *world) filter(endpoint, text string) *reply {
	w.t.Helper()
	return w.do(http.MethodGet, endpoint+"?filter="+url.QueryEscape(text), "")
}

func (w *world) patch(path string, operations ...string) *reply {
	w.t.Helper()
	return w.do(http.MethodPatch, path, `{"schemas":["`+patchOp+`"],"Operations":[`+strings.Join(operations, ",")+`]}`)
}

// is wants a status, and gives the body.
func (a *reply) is(status int) scim.Object {
	a.t.Helper()
	require.Equal(a.t, status, a.status, "%s", a.text)
	if a.body != nil {
		require.Equal(a.t, "application/scim+json", a.header.Get("Content-Type"))
	}
	return a.body
}

// fails wants an error answer, RFC 7644 section 3.12.
func (a *reply) fails(status int, kind scim.ErrorType) {
	a.t.Helper()
	body := a.is(status)
	require.Equal(a.t, []any{errorResp}, body["schemas"])
	require.Equal(a.t, strconv.Itoa(status), body["status"], "status is a string")
	require.NotEmpty(a.t, body["detail"])
	if kind == "" {
		require.NotContains(a.t, body, "scimType", "%s", a.text)
	} else {
		require.Equal(a.t, string(kind), body["scimType"], "%s", a.text)
	}
}

// lists wants a ListResponse with these ids.
func (a *reply) lists(ids ...string) scim.Object {
	a.t.Helper()
	body := a.is(http.StatusOK)
	require.Equal(a.t, []any{listResp}, body["schemas"])
	require.Equal(a.t, append([]string{}, ids...), a.ids())
	require.Equal(a.t, json.Number(strconv.Itoa(len(ids))), body["itemsPerPage"])
	return body
}

func (a *reply) ids() []string {
	a.t.Helper()
	list, ok := a.body["Resources"].([]any)
	require.True(a.t, ok, "Resources is a list: %s", a.text)
	ids := []string{}
	for _, e := range list {
		ids = append(ids, text(e, "id"))
	}
	return ids
}

// at walks down objects and lists by keys and indexes; nil where there is nothing.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			o, _ := v.(scim.Object)
			v = o[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

func text(v any, path ...any) string {
	s, _ := at(v, path...).(string)
	return s
}

// members are the values of a group's members, as GET shows them.
func (w *world) members(id string) []string {
	w.t.Helper()
	list, _ := w.do(http.MethodGet, "/Groups/"+id, "").is(http.StatusOK)["members"].([]any)
	values := []string{}
	for _, m := range list {
		values = append(values, text(m, "value"))
	}
	return values
}

// refused wants a 400 of any kind.
func (a *reply) refused() {
	a.t.Helper()
	kind, _ := a.body["scimType"].(string)
	a.fails(http.StatusBadRequest, scim.ErrorType(kind))
}

func (w *world) get(path string) *reply {
	w.t.Helper()
	return w.do(http.MethodGet, path, "")
}

// seedFast makes a user without asking whether the name is taken.
func (w *world) seedFast(id string) {
	w.mem.last++
	created := time.Date(2026, 1, 2, 3, 4, w.mem.last, 0, time.UTC)
	if w.mem.of["User"] == nil {
		w.mem.of["User"] = map[string]scim.Resource{}
	}
	w.mem.of["User"][id] = scim.Resource{ID: id, Version: "v", Created: created, Modified: created, Attributes: scim.Object{"userName": id}}
}

// with is the same world for another test.
func (w *world) with(t *testing.T) *world {
	t.Helper()
	return &world{t: t, h: w.h, mem: w.mem, log: w.log, noted: map[scim.Quirk]int{}}
}

// whole is a whole number at a path.
func whole(t *testing.T, v any, path ...any) int {
	t.Helper()
	n, ok := at(v, path...).(json.Number)
	require.True(t, ok)
	i, err := strconv.Atoi(n.String())
	require.NoError(t, err)
	return i
}
