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
