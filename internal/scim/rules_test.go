package scim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim"
)

func TestQuirk_X04_http(t *testing.T) { // an id in a POST is passed over
	t.Parallel()
	w := newWorld(t)
	body := w.do(http.MethodPost, "/Users", `{"schemas":["`+core+`"],"id":"mine","userName":"x"}`).is(201)
	require.NotEqual(t, "mine", body["id"])
}

func TestQuirk_X05_http(t *testing.T) { // what another client has does not exist
	t.Parallel()
	w := newWorld(t)
	const other = "Authorization: Bearer T2"
	patch := `{"schemas":["` + patchOp + `"],"Operations":[{"op":"replace","path":"title","value":"x"}]}`
	w.do(http.MethodGet, "/Users/u1", "", other).fails(404, "")
	w.do(http.MethodPut, "/Users/u1", pia, other).fails(404, "")
	w.do(http.MethodPatch, "/Users/u1", patch, other).fails(404, "")
	w.do(http.MethodDelete, "/Users/u1", "", other).fails(404, "")
	w.do(http.MethodGet, "/Users", "", other).lists()
	w.do(http.MethodGet, "/", "", other).lists()
	body := w.do(http.MethodPost, "/Bulk", `{"Operations":[{"method":"DELETE","path":"/Users/u1"}]}`, other).is(200)
	require.Equal(t, "404", text(body, "Operations", 0, "status"))
	w.do(http.MethodGet, "/Users/u1", "").is(200)
}

func TestQuirk_X13_http(t *testing.T) { // projections
	t.Parallel()
	w := newWorld(t)
	body := w.do(http.MethodGet, "/Users/u1?attributes=userName", "").is(200)
	require.Contains(t, body, "schemas")
	require.Equal(t, "u1", body["id"])
	require.NotContains(t, body, "name")
	body = w.do(http.MethodGet, "/Users/u1?excludedAttributes=id,schemas,userName", "").is(200)
	require.Contains(t, body, "schemas")
	require.Equal(t, "u1", body["id"])
	require.NotContains(t, body, "userName")
	w.do(http.MethodGet, "/Users/u1?attributes=nothing", "").is(200)
	w.do(http.MethodGet, "/Users?attributes=userName&excludedAttributes=name", "").fails(400, scim.InvalidValue)
	require.Equal(t, "Docks", text(w.do(http.MethodGet, "/Users/u1?attributes="+ent+":department", "").is(200), ent, "department"))
	require.Equal(t, "4711", text(w.do(http.MethodGet, "/Users/u1?attributes="+ent, "").is(200), ent, "employeeNumber"))
	require.Equal(t, scim.Object{"givenName": "Nora"}, w.do(http.MethodGet, "/Users/u1?attributes=name.givenName", "").is(200)["name"])
	body = w.do(http.MethodGet, "/Users/u1?attributes=userName&attributes=active", "").is(200)
	require.Contains(t, body, "userName")
	require.Contains(t, body, "active")
	require.NotContains(t, w.do(http.MethodPost, "/Users?attributes=userName", pia).is(201), "name")
}

func TestQuirk_X14_http(t *testing.T) { // startIndex and count
	t.Parallel()
	w := newWorld(t)
	total := json.Number("3")
	for _, c := range []struct {
		query, start string
		ids          []string
	}{
		{"count=0", "1", nil},
		{"count=-3", "1", nil},
		{"startIndex=0", "1", []string{"u1", "u2", "u3"}},
		{"startIndex=-1&count=2", "1", []string{"u1", "u2"}},
		{"startIndex=3", "3", []string{"u3"}},
		{"startIndex=4", "4", nil},
		{"startIndex=99999999999999999999", "2147483647", nil},
		{"count=99999999999999999999", "1", []string{"u1", "u2", "u3"}},
		{"count=0&sortBy=userName", "1", nil},
		{"count=1&startIndex=2&sortBy=userName&sortOrder=descending", "2", []string{"u2"}},
	} {
		body := w.do(http.MethodGet, "/Users?"+c.query, "").lists(c.ids...)
		require.Equal(t, total, body["totalResults"], c.query)
		require.Equal(t, json.Number(c.start), body["startIndex"], c.query)
	}
	for _, query := range []string{"count=abc", "count=", "startIndex=x", "count=1.5", "count=1&count=2", "sortBy=userName&sortOrder=up"} {
		w.do(http.MethodGet, "/Users?"+query, "").fails(400, scim.InvalidValue)
	}
}

func TestQuirk_X14_clamped(t *testing.T) { // the page sizes
	t.Parallel()
	w := emptyWorld(t)
	for i := range 1100 {
		w.seedFast(fmt.Sprintf("p%04d", i))
	}
	require.Len(t, w.get("/Users").ids(), 100)
	require.Len(t, w.get("/Users?count=250").ids(), 250)
	require.Len(t, w.get("/Users?count=5000").ids(), 1000)
}

func TestQuirk_X15_http(t *testing.T) { // filters are answered or refused
	t.Parallel()
	w := newWorld(t)
	w.filter("/Users", `emails co "lind"`).lists("u1")
	w.filter("/Users", `userName pr`).lists("u1", "u2", "u3")
	w.filter("/Users", `not (userName sw "nora")`).lists("u2", "u3")
	w.filter("/Users", ent+`:department eq "docks"`).lists("u1")
	w.filter("/Users", ent+`:department eq "Docks" and userName sw "n"`).lists("u1")
	w.filter("/Users", `unknownAttr eq "x"`).lists()
	w.filter("/Users", `meta.resourceType eq "User"`).lists("u1", "u2", "u3")
	for _, f := range []string{
		`active gt true`, `(userName pr`, `userName pr)`, `userName`, `eq "x"`, `userName eq "x`, `userName xx "y"`, ``, ` `,
		strings.Repeat("(", 10000), strings.Repeat("not (", 1000) + "userName pr", `emails[type eq "work"`, "userName eq \"\x00\"",
		`userName pr` + strings.Repeat(` and userName pr`, 10000), `userName eq "` + strings.Repeat("x", 1<<20) + `"`,
	} {
		w.filter("/Users", f).fails(400, scim.InvalidFilter)
	}
	w = newWorld(t, strict)
	w.filter("/Users", `unknownAttr eq "x"`).fails(400, scim.InvalidFilter)
}

func TestQuirk_X16_http(t *testing.T) { // no oracle for passwords
	t.Parallel()
	w := newWorld(t)
	w.filter("/Users", `password eq "x"`).fails(403, scim.SensitiveErr)
	w.filter("/Users", `userName pr or password sw "x"`).fails(403, scim.SensitiveErr)
	w.filter("/", `password eq "x"`).fails(403, scim.SensitiveErr)
}

func TestQuirk_X17_http(t *testing.T) { // bodies that are none
	t.Parallel()
	w := newWorld(t, func(o *scim.Options) { o.Limits.Body = 4096 })
	for _, body := range []string{"", " ", "null", "[]", "5", `"x"`, "{", "{}{}"} {
		w.do(http.MethodPost, "/Users", body, "Content-Type: application/scim+json").fails(400, scim.InvalidSyntax)
		w.do(http.MethodPut, "/Users/u1", body, "Content-Type: application/scim+json").fails(400, scim.InvalidSyntax)
		w.do(http.MethodPatch, "/Users/u1", body, "Content-Type: application/scim+json").fails(400, scim.InvalidSyntax)
	}
	w.do(http.MethodPost, "/Users", `{"userName":"`+strings.Repeat("x", 5000)+`"}`).fails(413, "")
	w.do(http.MethodPost, "/Users", pia, "Content-Type:").is(201)
	require.Equal(t, 1, w.noted[scim.QuirkNoContentType])
	for _, header := range []string{
		"Content-Type: text/xml", "Content-Type: application/scim+json; charset=iso-8859-1", "Content-Type: ;", "Content-Type: text/plain",
		"Content-Encoding: gzip", "Content-Type: application/x-www-form-urlencoded",
	} {
		w.do(http.MethodPost, "/Users", pia, header).fails(415, "")
	}
	w.do(http.MethodPut, "/Users/u1", strings.Replace(pia, "anna.berg@", "nora.lind@", 1), `Content-Type: application/JSON; charset="UTF-8"; x=y`).is(200)
	newWorld(t, strict).do(http.MethodPost, "/Users", pia, "Content-Type:").fails(415, "")
}

func TestQuirk_X18_http(t *testing.T) { // PATCH documents
	t.Parallel()
	for _, c := range []struct{ name, doc string }{
		{"no schemas", `{"Operations":[{"op":"replace","path":"title","value":"Mate"}]}`},
		{"another schema as well", `{"schemas":["` + patchOp + `","urn:x"],"Operations":[{"op":"replace","path":"title","value":"Mate"}]}`},
		{"empty path", `{"schemas":["` + patchOp + `"],"Operations":[{"op":"replace","path":"","value":{"title":"Mate"}}]}`},
		{"null for a path", `{"schemas":["` + patchOp + `"],"Operations":[{"op":"replace","path":null,"value":{"title":"Mate"}}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, "Mate", newWorld(t).do(http.MethodPatch, "/Users/u1", c.doc).is(200)["title"])
			newWorld(t, strict).do(http.MethodPatch, "/Users/u1", c.doc).refused()
		})
	}
	w := newWorld(t, strict) // names of attributes have no case, RFC 7643 section 2.1
	require.Equal(t, "Mate", w.do(http.MethodPatch, "/Users/u1", `{"Schemas":["`+patchOp+`"],"operations":[{"Op":"replace","Path":"title","Value":"Mate"}]}`).is(200)["title"])
	w = newWorld(t)
	for _, doc := range []string{
		`{}`, `{"x":1}`, `{"Operations":null}`, `{"Operations":{}}`, `{"Operations":"x"}`, `{"Operations":[1]}`, `{"Operations":[null]}`,
		`{"Operations":[{}]}`, `{"Operations":[{"op":1}]}`, `{"Operations":[],"operations":[]}`, `{"Operations":[{"op":"add","OP":"add"}]}`,
	} {
		w.do(http.MethodPatch, "/Users/u1", doc).fails(400, scim.InvalidSyntax)
	}
	w.do(http.MethodPatch, "/Users/u1", `{"Operations":[{"op":"add","path":7,"value":1}]}`).fails(400, scim.InvalidPath)
}

func TestQuirk_X19_http(t *testing.T) { // wrong verbs and wrong paths
	t.Parallel()
	w := newWorld(t)
	allow := map[string]string{
		"/": "GET, HEAD", "/.search": "POST", "/Users/.search": "POST", "/Bulk": "POST", "/Users": "GET, HEAD, POST",
		"/Users/u1": "GET, HEAD, PUT, PATCH, DELETE", "/ServiceProviderConfig": "GET, HEAD", "/Schemas": "GET, HEAD",
		"/Schemas/" + core: "GET, HEAD", "/ResourceTypes": "GET, HEAD", "/ResourceTypes/User": "GET, HEAD",
	}
	for path, want := range allow {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"} {
			if strings.Contains(want, method) {
				continue
			}
			a := w.do(method, path, "")
			a.fails(405, "")
			require.Equal(t, want, a.header.Get("Allow"), "%s %s", method, path)
		}
	}
	for _, path := range []string{
		"/nowhere", "/Users/u1/x", "/users", "/Userss", "/Users/u1/.search", "/Schemas/x", "/ResourceTypes/x", "/v2/Users", "/Schemas/a/b",
		"/Users/%00", "/Users/%ff", "/Users/" + strings.Repeat("x", 5000), "/../Users", "/%2e%2e/Users", "/Users/..", "/Bulk/x",
	} {
		w.do(http.MethodGet, path, "").fails(404, "")
	}
	w.do(http.MethodGet, "/Schemas/urn%3Aietf%3Aparams%3Ascim%3Aschemas%3Acore%3A2.0%3AUser", "").is(200)
	w.do(http.MethodGet, "/Schemas?filter=id+pr", "").fails(403, "")
	w.do(http.MethodGet, "/ResourceTypes?filter=id+pr", "").fails(403, "")
	w.do(http.MethodGet, "/ServiceProviderConfig?filter=id+pr", "").fails(403, "")
}

func TestQuirk_X19_ids(t *testing.T) { // ids that need escaping
	t.Parallel()
	w := newWorld(t)
	for id, path := range map[string]string{
		"a/b": "/Users/a%2Fb", "urn:x:y": "/Users/urn:x:y", "urn:x:z": "/Users/urn%3Ax%3Az", "ä ö": "/Users/%C3%A4%20%C3%B6", "..": "/Users/%2e%2e",
	} {
		w.seed("User", id, `{"userName":"`+id+`"}`)
		body := w.do(http.MethodGet, path, "").is(200)
		require.Equal(t, id, body["id"])
		w.do(http.MethodDelete, path, "").is(204)
	}
}

func TestQuirk_X20_http(t *testing.T) { // entity tags
	t.Parallel()
	w := newWorld(t)
	a := w.do(http.MethodGet, "/Users/u1", "")
	tag := a.header.Get("ETag")
	require.Equal(t, text(a.is(200), "meta", "version"), tag)
	require.True(t, strings.HasPrefix(tag, `W/"`))
	patch := `{"schemas":["` + patchOp + `"],"Operations":[{"op":"replace","path":"title","value":"T"}]}`
	nora := strings.Replace(pia, "anna.berg@", "nora.lind@", 1)

	old := `If-Match: W/"old"`
	w.do(http.MethodPut, "/Users/u1", nora, old).fails(412, "")
	w.do(http.MethodPatch, "/Users/u1", patch, old).fails(412, "")
	w.do(http.MethodDelete, "/Users/u1", "", old).fails(412, "")
	w.do(http.MethodDelete, "/Users/u9", "", old).fails(404, "")
	w.do(http.MethodPatch, "/Users/u1", patch, "If-None-Match: *").fails(412, "")
	require.Zero(t, w.mem.count("Replace"))

	for _, header := range []string{"If-None-Match: " + tag, `If-None-Match: "x", ` + tag, "If-None-Match: *"} {
		a := w.do(http.MethodGet, "/Users/u1", "", header)
		require.Nil(t, a.is(304))
		require.Equal(t, tag, a.header.Get("ETag"))
	}
	w.do(http.MethodGet, "/Users/u1", "", `If-None-Match: W/"old"`).is(200)
	require.Empty(t, w.do(http.MethodGet, "/Users", "").header.Get("ETag"))

	a = w.do(http.MethodPatch, "/Users/u1", patch, `If-Match: W/"x", `+tag)
	a.is(200)
	require.NotEqual(t, tag, a.header.Get("ETag"))
	w.do(http.MethodPut, "/Users/u1", nora, "If-Match: *").is(200)
	w.do(http.MethodDelete, "/Users/u1", "", "If-Match: *").is(204)
}

func TestQuirk_X21_http(t *testing.T) { // what changes nothing is not written
	t.Parallel()
	w := newWorld(t)
	tag := w.do(http.MethodGet, "/Users/u1", "").header.Get("ETag")
	a := w.patch("/Users/u1", `{"op":"replace","path":"active","value":true}`)
	a.is(200)
	require.Equal(t, tag, a.header.Get("ETag"))
	doc, err := json.Marshal(w.do(http.MethodGet, "/Users/u1", "").is(200))
	require.NoError(t, err)
	a = w.do(http.MethodPut, "/Users/u1", string(doc))
	a.is(200)
	require.Equal(t, tag, a.header.Get("ETag"))
	require.Zero(t, w.mem.count("Replace"))
}

func TestQuirk_X23_http(t *testing.T) { // characters
	t.Parallel()
	w := newWorld(t)
	for i, name := range []string{"Zoë 🚢", "שלום", "\u202egnirts", strings.Repeat("ä", 300), "<b>&amp;</b>", "a\tb"} {
		doc, err := json.Marshal(scim.Object{"schemas": []any{core}, "userName": fmt.Sprintf("x%d", i), "displayName": name})
		require.NoError(t, err)
		require.Equal(t, name, w.do(http.MethodPost, "/Users", string(doc)).is(201)["displayName"])
	}
	for _, bad := range []string{"\"\xff\"", `"\ud800"`, `"\u0000"`, "\"a\x00\""} {
		w.do(http.MethodPost, "/Users", `{"schemas":["`+core+`"],"userName":`+bad+`}`).fails(400, scim.InvalidSyntax)
	}
}

func TestQuirk_X25_http(t *testing.T) { // Location is not from Host
	t.Parallel()
	w := newWorld(t)
	a := w.do(http.MethodPost, "/Users", pia, "Host: evil.example", "X-Forwarded-Host: evil.example")
	require.Equal(t, text(a.is(201), "meta", "location"), a.header.Get("Location"))
	require.True(t, strings.HasPrefix(a.header.Get("Location"), external+"/Users/"))
}

func TestQuirk_X26_http(t *testing.T) { // /Me
	t.Parallel()
	w := newWorld(t)
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		w.do(method, "/Me", "").fails(501, "")
	}
}
