package scim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim"
)

func TestQuirk_P01_http(t *testing.T) { // the alias of ServiceProviderConfig
	t.Parallel()
	w := newWorld(t)
	want := w.do(http.MethodGet, "/ServiceProviderConfig", "").is(200)
	require.Equal(t, want, w.do(http.MethodGet, "/serviceConfiguration", "").is(200))
	require.Equal(t, 1, w.noted[scim.QuirkConfigAlias])
	newWorld(t, strict).do(http.MethodGet, "/serviceConfiguration", "").fails(404, "")
}

func TestQuirk_P02_http(t *testing.T) { // slashes too many, and never a redirect
	t.Parallel()
	w := newWorld(t)
	w.do(http.MethodGet, "/Users/?filter=DisplayName+eq+%22omar%22", "").lists("u2")
	w.do(http.MethodGet, "//Users", "").lists("u1", "u2", "u3")
	w.do(http.MethodGet, "/Users//u1/", "").is(200)
	w.do(http.MethodPost, "/Users/", pia).is(201)
	w.do(http.MethodGet, "/ServiceProviderConfig/", "").is(200)
}

func TestQuirk_P04_http(t *testing.T) { // a filter in attributes
	t.Parallel()
	body := newWorld(t).do(http.MethodGet, "/Users?attributes=emails%5Btype%20eq%20%22work%22%5D", "").lists("u1", "u2", "u3")
	require.NotContains(t, at(body, "Resources", 0), "userName")
	require.NotNil(t, at(body, "Resources", 0, "emails", 0))
}

func TestQuirk_P05_http(t *testing.T) { // and, or, brackets and no quotes
	t.Parallel()
	w := newWorld(t)
	w.filter("/Users", `name.FamilyName eq Lind and (emails.Value co example.com or emails.Value co example.org)`).lists("u1")
}

func TestQuirk_P06_http(t *testing.T) { // a date without quotes
	t.Parallel()
	w := newWorld(t)
	w.do(http.MethodGet, "/Users?filter=meta.Created%20gt%202021-03-04T05:06:07.1234567-07:00", "").lists("u1", "u2", "u3")
	w.do(http.MethodGet, "/Users?filter=meta.created+lt+2021-03-04T05:06:07+02:00", "").lists()
}

func TestQuirk_P08_http(t *testing.T) { // keys without a meaning
	t.Parallel()
	doc := `{"schemas":["` + patchOp + `"],"id":"g1","Operations":[{"name":"addMember","op":"add","path":"members","value":[{"value":"u3"}]}]}`
	w := newWorld(t)
	w.do(http.MethodPatch, "/Groups/g1", doc).is(204)
	require.Equal(t, []string{"u1", "u2", "u3"}, w.members("g1"))
	newWorld(t, strict).do(http.MethodPatch, "/Groups/g1", doc).fails(400, scim.InvalidSyntax)
}

func TestQuirk_P10_http(t *testing.T) { // no userName
	t.Parallel()
	w := newWorld(t)
	w.do(http.MethodPost, "/Users", `{"schemas":["`+core+`"],"displayName":"x"}`).fails(400, scim.InvalidValue)
	w.do(http.MethodPut, "/Users/u1", `{"schemas":["`+core+`"],"displayName":"x"}`).fails(400, scim.InvalidValue)
}

func TestQuirk_P11_http(t *testing.T) { // not JSON
	t.Parallel()
	w := newWorld(t)
	w.do(http.MethodPost, "/Users", `garbage`).fails(400, scim.InvalidSyntax)
	w.do(http.MethodPatch, "/Users/u1", `{"schemas":`).fails(400, scim.InvalidSyntax)
}

func TestQuirk_P14_http(t *testing.T) { // a page
	t.Parallel()
	newWorld(t).do(http.MethodGet, "/Users?startIndex=1&count=2", "").lists("u1", "u2")
}

func TestQuirk_P15_http(t *testing.T) { // PUT without members empties the group
	t.Parallel()
	w := newWorld(t)
	w.do(http.MethodPut, "/Groups/g1", `{"schemas":["`+group+`"],"displayName":"Harbour Crew"}`).is(200)
	require.Empty(t, w.members("g1"))
}

func TestQuirk_P16_http(t *testing.T) { // a user's PATCH that answers 204
	t.Parallel()
	w := newWorld(t, func(o *scim.Options) { o.QuietPatch = []string{"User", "Group"} })
	require.Nil(t, w.patch("/Users/u1", `{"op":"replace","path":"title","value":"Mate"}`).is(204))
	require.Equal(t, "Mate", w.do(http.MethodGet, "/Users/u1", "").is(200)["title"])
}

func TestQuirk_L01_http(t *testing.T) { // the media type of answers
	t.Parallel()
	w := newWorld(t)
	for accept, want := range map[string]string{
		"":                            "application/scim+json",
		"*/*":                         "application/scim+json",
		"application/*":               "application/scim+json",
		"application/scim+json":       "application/scim+json",
		"application/json":            "application/json",
		"application/json;q=0.5":      "application/json",
		"application/json, */*;q=0.1": "application/scim+json",
		"application/json, application/scim+json;q=0":   "application/json",
		"application/scim+json, application/json;q=0.9": "application/scim+json",
		"text/html":     "application/scim+json",
		"\x01not media": "application/scim+json",
	} {
		a := w.do(http.MethodGet, "/Users/u1", "", "Accept: "+accept)
		require.Equal(t, 200, a.status, accept)
		require.Equal(t, want, a.header.Get("Content-Type"), accept)
	}
	require.Equal(t, "application/json", w.do(http.MethodGet, "/Users/u9", "", "Accept: application/json").header.Get("Content-Type"))
}

func TestQuirk_L02_http(t *testing.T) { // no User-Agent
	t.Parallel()
	newWorld(t).do(http.MethodPost, "/Users", pia, "User-Agent:").is(201)
}

func TestQuirk_L03_http(t *testing.T) { // OneLogin's calls
	t.Parallel()
	w := newWorld(t)
	w.filter("/Users", `userName eq "anna.berg@example.org"`).lists()
	id := text(w.do(http.MethodPost, "/Users", pia).is(201), "id")
	w.do(http.MethodPut, "/Users/"+id, pia).is(200)
	g := text(w.do(http.MethodPost, "/Groups", `{"schemas":["`+group+`"],"displayName":"Night Watch"}`).is(201), "id")
	w.patch("/Groups/"+g, `{"op":"add","path":"members","value":[{"value":"`+id+`"}]}`).is(204)
	w.patch("/Groups/"+g, `{"op":"replace","path":"members","value":[{"value":"u1"}]}`).is(204)
	w.patch("/Groups/"+g, `{"op":"remove","path":"members","value":[{"value":"u1"}]}`).is(204)
	require.Empty(t, w.members(g))
	w.do(http.MethodDelete, "/Users/"+id, "").is(204)
}

func TestQuirk_J01_http(t *testing.T) { // JumpCloud's test makes, changes and deletes
	t.Parallel()
	w := emptyWorld(t)
	id := text(w.do(http.MethodPost, "/Users", pia).is(201), "id")
	w.do(http.MethodPut, "/Users/"+id, strings.Replace(pia, `"active":true`, `"active":false`, 1)).is(200)
	g := text(w.do(http.MethodPost, "/Groups", `{"schemas":["`+group+`"],"displayName":"Test"}`).is(201), "id")
	w.patch("/Groups/"+g, `{"op":"add","path":"members","value":[{"value":"`+id+`"}]}`).is(204)
	w.do(http.MethodDelete, "/Groups/"+g, "").is(204)
	w.do(http.MethodDelete, "/Users/"+id, "").is(204)
	w.do(http.MethodGet, "/Users/"+id, "").fails(404, "")
}

func TestQuirk_G01_http(t *testing.T) { // groups found by listing; PUT needs no If-Match
	t.Parallel()
	w := newWorld(t)
	for i := range 5 {
		w.seed("Group", fmt.Sprintf("h%d", i), fmt.Sprintf(`{"displayName":"H%d"}`, i))
	}
	var seen []string
	for start := 1; start < 7; start += 2 {
		a := w.do(http.MethodGet, fmt.Sprintf("/Groups?startIndex=%d&count=2", start), "")
		a.is(200)
		seen = append(seen, a.ids()...)
	}
	require.Equal(t, []string{"g1", "h0", "h1", "h2", "h3", "h4"}, seen)
	w.do(http.MethodPut, "/Groups/h0", `{"schemas":["`+group+`"],"displayName":"H0b"}`).is(200)
}

func TestQuirk_G02_http(t *testing.T) { // a method in a header is no method
	t.Parallel()
	w := newWorld(t)
	w.do(http.MethodPost, "/Users/u1", "{}", "X-HTTP-Method-Override: PATCH").fails(405, "")
}

func TestQuirk_R01_http(t *testing.T) { // a POST sent again makes no second account
	t.Parallel()
	w := newWorld(t)
	w.do(http.MethodPost, "/Users", pia).is(201)
	w.do(http.MethodPost, "/Users", pia).fails(409, scim.UniquenessErr)
	require.Equal(t, json.Number("1"), w.filter("/Users", `externalId eq "ext-anna"`).is(200)["totalResults"])
}

func TestQuirk_A01_http(t *testing.T) { // ServiceProviderConfig is whole
	t.Parallel()
	a := newWorld(t).do(http.MethodGet, "/ServiceProviderConfig", "")
	body := a.is(200)
	for _, name := range []string{"patch", "changePassword", "sort", "etag"} {
		require.IsType(t, true, at(body, name, "supported"), name)
	}
	require.Equal(t, true, at(body, "filter", "supported"))
	require.Equal(t, json.Number("1000"), at(body, "filter", "maxResults"))
	require.Equal(t, true, at(body, "bulk", "supported"))
	require.Equal(t, json.Number("4194304"), at(body, "bulk", "maxPayloadSize"))
	require.NotEmpty(t, text(body, "authenticationSchemes", 0, "type"))
	require.NotContains(t, body, "documentationUri")
	require.NotContains(t, a.text, `""`)
	require.Equal(t, scim.Object{
		"cursor": true, "index": true, "defaultPaginationMethod": "index", "defaultPageSize": json.Number("100"),
		"maxPageSize": json.Number("1000"), "cursorTimeout": json.Number("3600"),
	}, body["pagination"])
}

func TestQuirk_A02_http(t *testing.T) { // as many operations as bulk has may be in a PATCH
	t.Parallel()
	w := newWorld(t)
	n := whole(t, w.get("/ServiceProviderConfig").is(200), "bulk", "maxOperations")
	ops := make([]string, n)
	for i := range ops {
		ops[i] = fmt.Sprintf(`{"op":"add","path":"members","value":[{"value":"m%d"}]}`, i)
	}
	w.patch("/Groups/g1", ops...).is(204)
	require.Len(t, w.members("g1"), n+2)
}

func TestQuirk_A05_http(t *testing.T) { // after 404 it creates, after 409 it looks up
	t.Parallel()
	w := newWorld(t)
	w.do(http.MethodPut, "/Groups/gone", `{"schemas":["`+group+`"],"displayName":"Harbour Crew"}`).fails(404, "")
	w.do(http.MethodPost, "/Groups", `{"schemas":["`+group+`"],"displayName":"Harbour Crew"}`).fails(409, scim.UniquenessErr)
	w.filter("/Groups", `displayName eq "Harbour Crew"`).lists("g1")
}

func TestQuirk_A06_http(t *testing.T) { // discovery goes on while there is more
	t.Parallel()
	w := newWorld(t)
	seen := 0
	for total := 1; seen < total; {
		a := w.do(http.MethodGet, fmt.Sprintf("/Users?startIndex=%d&count=2", seen+1), "")
		total = whole(t, a.is(200), "totalResults")
		seen += len(a.ids())
	}
	require.Equal(t, 3, seen)
}

func TestQuirk_K01_http(t *testing.T) { // colons in externalId
	t.Parallel()
	w := newWorld(t)
	w.seed("User", "k1", `{"userName":"k","externalId":"f:3c1d:nora"}`)
	w.filter("/Users", `externalId eq "f:3c1d:nora"`).lists("k1")
}

func TestQuirk_K02_http(t *testing.T) { // JSON in a text
	t.Parallel()
	op := `{"op":"replace","value":"{\"displayName\":\"Nora\"}"}`
	require.Equal(t, "Nora", newWorld(t).patch("/Users/u1", op).is(200)["displayName"])
	newWorld(t, strict).patch("/Users/u1", op).fails(400, scim.InvalidValue)
}

func TestQuirk_K03_http(t *testing.T) { // 2,000 members at once
	t.Parallel()
	w := newWorld(t)
	values := make([]string, 2000)
	for i := range values {
		values[i] = fmt.Sprintf(`{"value":"m%d"}`, i)
	}
	w.patch("/Groups/g1", `{"op":"add","path":"members","value":[`+strings.Join(values, ",")+`]}`).is(204)
	require.Len(t, w.members("g1"), 2002)
}

func TestQuirk_S02_http(t *testing.T) { // delete for remove
	t.Parallel()
	w := newWorld(t)
	w.patch("/Users/u2", `{"op":"delete","path":"displayName"}`).is(200)
	require.NotContains(t, w.do(http.MethodGet, "/Users/u2", "").is(200), "displayName")
	for _, op := range []string{"move", "test", "", "copy"} {
		w.patch("/Users/u2", `{"op":"`+op+`","path":"title"}`).fails(400, scim.InvalidSyntax)
	}
	newWorld(t, strict).patch("/Users/u2", `{"op":"delete","path":"displayName"}`).fails(400, scim.InvalidSyntax)
	newWorld(t, strict).patch("/Users/u2", `{"op":"Remove","path":"displayName"}`).fails(400, scim.InvalidSyntax)
}

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
