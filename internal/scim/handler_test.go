package scim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim"
)

func TestHandler_root(t *testing.T) { // RFC 7644 section 3.4.2.1: all types at once
	t.Parallel()
	w := newWorld(t)
	require.Equal(t, json.Number("4"), w.do(http.MethodGet, "/", "").lists("u1", "u2", "u3", "g1")["totalResults"])
	require.Equal(t, json.Number("4"), w.do(http.MethodGet, "/?startIndex=3&count=1", "").lists("u3")["totalResults"])
	w.do(http.MethodGet, "?startIndex=4", "").lists("g1")
	w.filter("/", `userName sw "nora"`).lists("u1")
	w.filter("/", `meta.resourceType eq "Group"`).lists("g1")
	w.filter("/", `displayName pr`).lists("u2", "u3", "g1")
	w.do(http.MethodGet, "/?sortBy=displayName", "").lists("g1", "u2", "u3", "u1")
	body := w.do(http.MethodPost, "/.search", `{"schemas":["`+searchReq+`"],"filter":"displayName pr","attributes":["displayName"],"count":2,"startIndex":2}`).lists("u3", "g1")
	require.Equal(t, json.Number("3"), body["totalResults"])
	require.NotContains(t, at(body, "Resources", 0), "active")
	strictly := newWorld(t, strict)
	strictly.filter("/", `userName sw "nora"`).lists("u1")
	strictly.filter("/", `userName eq "x" or members eq "u2"`).lists("g1")
	strictly.filter("/", `not (userName pr)`).lists("g1")
	strictly.filter("/", `active gt true`).fails(400, scim.InvalidFilter)
	strictly.filter("/Groups", `userName eq "x"`).fails(400, scim.InvalidFilter)
}

func TestHandler_search(t *testing.T) { // RFC 7644 section 3.4.3
	t.Parallel()
	w := newWorld(t)
	w.do(http.MethodPost, "/Users/.search", `{"schemas":["`+searchReq+`"],"filter":"userName sw \"nora\"","excludedAttributes":["name"]}`).lists("u1")
	w.do(http.MethodPost, "/Users/.search", `{"Schemas":["`+searchReq+`"],"sortBy":"userName","SortOrder":"descending","attributes":[],"filter":null}`).lists("u3", "u2", "u1")
	w.do(http.MethodPost, "/Users/.search", `{}`).lists("u1", "u2", "u3")
	for _, doc := range []string{`{"count":"2"}`, `{"count":1.5}`, `{"attributes":[1]}`, `{"sortBy":[]}`, `{"startIndex":{}}`} {
		w.do(http.MethodPost, "/Users/.search", doc).fails(400, scim.InvalidValue)
	}
	w.do(http.MethodPost, "/Users/.search", `{"filter":5}`).fails(400, scim.InvalidValue)
	w.do(http.MethodPost, "/Users/.search", `{"count":1,"Count":2}`).fails(400, scim.InvalidSyntax)
}

func TestHandler_rights(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *scim.Options) {
		open := o.Open
		o.Open = func(r *http.Request) (scim.Session, error) {
			s, err := open(r)
			s.Read = func(name string) bool { return name == "User" }
			s.Write = func(name string) bool { return name == "Group" }
			return s, err
		}
	})
	w.patch("/Groups/g1", `{"op":"add","path":"members","value":[{"value":"u3"}]}`).is(204)
	require.Equal(t, scim.Object{"id": "g1", "schemas": []any{group}},
		w.do(http.MethodPut, "/Groups/g1", `{"schemas":["`+group+`"],"displayName":"Harbour Crew"}`).is(200), "who may write but not read")
	w.do(http.MethodGet, "/Users", "").lists("u1", "u2", "u3")
	w.do(http.MethodGet, "/", "").lists("u1", "u2", "u3")
	w.do(http.MethodGet, "/Groups", "").fails(403, "")
	w.do(http.MethodGet, "/Groups/g1", "").fails(403, "")
	w.do(http.MethodPost, "/Users", pia).fails(403, "")
	w.do(http.MethodPut, "/Users/u1", pia).fails(403, "")
	w.patch("/Users/u1", `{"op":"remove","path":"title"}`).fails(403, "")
	w.do(http.MethodDelete, "/Users/u1", "").fails(403, "")
	body := w.do(http.MethodPost, "/Bulk", `{"Operations":[{"method":"DELETE","path":"/Users/u1"}]}`).is(200)
	require.Equal(t, "403", text(body, "Operations", 0, "status"))
}

func TestHandler_failures(t *testing.T) { // what a Backend may answer
	t.Parallel()
	for _, c := range []struct {
		name   string
		err    error
		status int
		kind   scim.ErrorType
	}{
		{"busy", fmt.Errorf("database: %w", scim.ErrBusy), 503, ""},
		{"busy, for how long", scim.RetryAfter(scim.ErrBusy, 1500*1e6), 503, ""},
		{"its own", &scim.Error{Status: 403, Detail: "not now"}, 403, ""},
		{"unknown", fmt.Errorf("pq: secret table"), 500, ""},
		{"too late", context.DeadlineExceeded, 503, ""},
		{"taken", fmt.Errorf("userName: %w", scim.ErrUniqueness), 409, scim.UniquenessErr},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.mem.before = func(context.Context, string) error { return c.err }
			a := w.do(http.MethodGet, "/Users/u1", "")
			a.fails(c.status, c.kind)
			require.NotContains(t, a.text, "secret")
			switch c.name {
			case "busy", "too late":
				require.Equal(t, "5", a.header.Get("Retry-After"))
			case "busy, for how long":
				require.Equal(t, "2", a.header.Get("Retry-After"))
			case "unknown":
				require.Contains(t, w.log.String(), "secret")
			}
		})
	}
}

func TestHandler_head(t *testing.T) {
	t.Parallel()
	require.Equal(t, 200, newWorld(t).do(http.MethodHead, "/Users/u1", "").status)
}

func TestHandler_outcome(t *testing.T) {
	t.Parallel()
	var got []scim.Outcome
	w := newWorld(t, func(o *scim.Options) {
		o.Done = func(_ context.Context, o scim.Outcome) { o.Duration = 0; got = append(got, o) }
	})
	w.patch("/Users/u1", `{"op":"Replace","path":"active","value":"False"}`, `{"op":"add","path":"title","value":"secret title"}`).is(200)
	w.do("BREW", "/nowhere", "").fails(404, "")
	require.Equal(t, []scim.Outcome{
		{
			Session: "acme", Method: "PATCH", Route: "/Users/{id}", ID: "u1", Status: 200,
			Quirks: []scim.Quirk{scim.QuirkTextForBoolean, scim.QuirkOpCase}, Changed: []string{"active", "title"},
		},
		{Session: "acme", Method: "other", Status: 404},
	}, got)
	require.Equal(t, map[scim.Quirk]int{scim.QuirkTextForBoolean: 1, scim.QuirkOpCase: 1}, w.noted)
	require.NotContains(t, w.log.String(), "secret title")
	require.NotContains(t, w.log.String(), "nowhere")
}

func TestNew(t *testing.T) {
	t.Parallel()
	good := func() scim.Options {
		return scim.Options{
			Types: []*scim.ResourceType{scim.UserType()}, BaseURL: "https://x.example/scim/",
			Open: func(*http.Request) (scim.Session, error) { return scim.Session{}, nil },
		}
	}
	_, err := scim.New(good())
	require.NoError(t, err)
	for name, change := range map[string]func(*scim.Options){
		"no types":       func(o *scim.Options) { o.Types = nil },
		"type twice":     func(o *scim.Options) { o.Types = append(o.Types, scim.UserType()) },
		"reserved":       func(o *scim.Options) { o.Types[0].Endpoint = "/Me" },
		"no slash":       func(o *scim.Options) { o.Types[0].Endpoint = "Users" },
		"two segments":   func(o *scim.Options) { o.Types[0].Endpoint = "/a/b" },
		"no schema":      func(o *scim.Options) { o.Types[0].Schema = nil },
		"nobody opens":   func(o *scim.Options) { o.Open = nil },
		"no base":        func(o *scim.Options) { o.BaseURL = "" },
		"relative base":  func(o *scim.Options) { o.BaseURL = "/scim" },
		"base with user": func(o *scim.Options) { o.BaseURL = "https://u:p@x.example" },
		"base of files":  func(o *scim.Options) { o.BaseURL = "file:///x" },
		"base malformed": func(o *scim.Options) { o.BaseURL = "https://[x" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := good()
			change(&o)
			_, err := scim.New(o)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "u:p")
		})
	}
}

func TestHandler_mounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	get := func(h http.Handler, path string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer T1")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		return rec.Code
	}
	require.Equal(t, 200, get(w.h, "/scim/v2/Users/u1"))
	for _, path := range []string{"/Users/u1", "/scim/v2x/Users", "/scim/v2Users", "/scim/v1/Users", "/"} {
		require.Equal(t, 404, get(w.h, path), path)
	}
	bare := newWorld(t, func(o *scim.Options) { o.Prefix = "" })
	bare.seed("User", "a/b", `{"userName":"ab"}`)
	require.Equal(t, 200, get(bare.h, "/Users/u1"))
	stripped := http.StripPrefix("/x", bare.h)
	require.Equal(t, 200, get(stripped, "/x/Users/u1"))
	require.Equal(t, 200, get(stripped, "/x/Users/a%2Fb"))
	require.Equal(t, 200, get(stripped, "/x"))
}
