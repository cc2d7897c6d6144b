package scim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim"
)

func TestQuirk_O01_http(t *testing.T) { // connection test
	t.Parallel()
	w := newWorld(t)
	body := w.do(http.MethodGet, "/Users?startIndex=1&count=2", "", "User-Agent: Okta SCIM Client 1.0.0").lists("u1", "u2")
	require.Equal(t, json.Number("3"), body["totalResults"])
	require.Equal(t, json.Number("1"), body["startIndex"])
}

func TestQuirk_O02_http(t *testing.T) { // lookup
	t.Parallel()
	w := newWorld(t)
	w.do(http.MethodGet, "/Users?filter=userName%20eq%20%22nora.lind%40example.org%22&startIndex=1&count=100", "").lists("u1")
	w.do(http.MethodGet, "/Users?filter=userName%20eq%20%22NORA.LIND%40EXAMPLE.ORG%22&startIndex=1&count=100", "").lists("u1")
	w.do(http.MethodGet, "/Users?filter=userName%20eq%20%22nobody%22&startIndex=1&count=100", "").lists()
}

func TestQuirk_O03_http(t *testing.T) { // import by pages of 100
	t.Parallel()
	w := emptyWorld(t)
	for i := range 250 {
		w.seed("User", fmt.Sprintf("p%03d", i), fmt.Sprintf(`{"userName":"p%03d"}`, i))
	}
	seen := map[string]bool{}
	for start := 1; start <= 250; start += 100 {
		a := w.do(http.MethodGet, fmt.Sprintf("/Users?startIndex=%d&count=100", start), "")
		require.Equal(t, json.Number("250"), a.is(200)["totalResults"])
		for _, id := range a.ids() {
			require.False(t, seen[id])
			seen[id] = true
		}
	}
	require.Len(t, seen, 250)
}

func TestQuirk_O05_http(t *testing.T) { // the same POST again
	t.Parallel()
	w := newWorld(t)
	w.do(http.MethodPost, "/Users", pia).is(201)
	w.do(http.MethodPost, "/Users", pia).fails(409, scim.UniquenessErr)
}

func TestQuirk_O06_http(t *testing.T) { // what GET gave is PUT back, changed
	t.Parallel()
	w := newWorld(t)
	body := w.do(http.MethodGet, "/Users/u1", "").is(200)
	body["active"], body["groups"] = false, []any{}
	doc, err := json.Marshal(body)
	require.NoError(t, err)
	a := w.do(http.MethodPut, "/Users/u1", string(doc))
	after := a.is(200)
	require.Equal(t, false, after["active"])
	require.Equal(t, body["name"], after["name"])
	require.Equal(t, external+"/Users/u1", a.header.Get("Location"))
	body["id"] = "another"
	doc, err = json.Marshal(body)
	require.NoError(t, err)
	w.do(http.MethodPut, "/Users/u1", string(doc)).fails(400, scim.MutabilityErr)
}

func TestQuirk_O08_http(t *testing.T) { // deactivation
	t.Parallel()
	w := newWorld(t)
	require.Equal(t, false, w.patch("/Users/u1", `{"op":"replace","value":{"active":false}}`).is(200)["active"])
}

func TestQuirk_O14_http(t *testing.T) { // a name is free again after removal
	t.Parallel()
	w := newWorld(t)
	w.do(http.MethodDelete, "/Users/u1", "").is(204)
	w.do(http.MethodPost, "/Users", `{"schemas":["`+core+`"],"userName":"nora.lind@example.org"}`).is(201)
}

func TestQuirk_O16_http(t *testing.T) { // all errors are SCIM
	t.Parallel()
	w := newWorld(t, func(o *scim.Options) { o.Limits.Body = 1000 })
	w.do(http.MethodGet, "/Users", "", "Authorization: Bearer T9").fails(401, "")
	w.do(http.MethodGet, "/nowhere", "").fails(404, "")
	w.do(http.MethodPut, "/Users", "{}").fails(405, "")
	w.do(http.MethodPost, "/Users", `{"userName":"`+string(make([]byte, 2000))+`"}`).fails(413, "")
	w.mem.before = func(context.Context, string) error { panic("in the store") }
	a := w.do(http.MethodGet, "/Users/u1", "")
	a.fails(500, "")
	require.NotContains(t, a.text, "store")
	require.Contains(t, w.log.String(), "in the store")
	require.Contains(t, w.log.String(), "memory_test.go", "the stack is logged")
}

func TestQuirk_O17_http(t *testing.T) { // a wrong token
	t.Parallel()
	newWorld(t).do(http.MethodGet, "/Users", "", "Authorization: Bearer wrong").fails(401, "")
}

func TestQuirk_O18_http(t *testing.T) { // an unknown id
	t.Parallel()
	newWorld(t).do(http.MethodGet, "/Users/00919288221112222", "").fails(404, "")
}

func TestQuirk_O19_http(t *testing.T) { // plain JSON in, SCIM out
	t.Parallel()
	newWorld(t).do(http.MethodPost, "/Users", pia, "Content-Type: application/json").is(201)
}

// TestOktaSpec is Okta's SPEC test, step by step.
func TestOktaSpec(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.do(http.MethodGet, "/Users?count=1&startIndex=1", "")
	body := first.is(200)
	require.Equal(t, []any{listResp}, body["schemas"])
	user := at(body, "Resources", 0)
	id := text(user, "id")
	for _, path := range [][]any{{"name", "givenName"}, {"name", "familyName"}, {"userName"}, {"emails", 0, "value"}} {
		require.NotEmpty(t, text(user, path...))
	}
	require.NotNil(t, at(user, "active"))
	require.Equal(t, user, any(w.do(http.MethodGet, "/Users/"+id, "").is(200)))
	w.filter("/Users", `userName eq "abcdefgh@atko.example"`).lists()
	w.do(http.MethodGet, "/Users/010101001010101011001010101011", "").fails(404, "")
	a := w.do(http.MethodPost, "/Users", `{"schemas":["`+core+`"],"userName":"runscope300@atko.example","name":{"givenName":"Runscope","familyName":"Okta"},
		"emails":[{"primary":true,"value":"runscope300@atko.example","type":"work"}],"displayName":"Runscope Okta","active":true}`, "Content-Type: application/json")
	created := a.is(201)
	require.Equal(t, true, created["active"])
	require.Equal(t, "Runscope", text(created, "name", "givenName"))
	require.Contains(t, created["schemas"], core)
	require.Equal(t, created, w.do(http.MethodGet, "/Users/"+text(created, "id"), "").is(200))
	w.do(http.MethodPost, "/Users", `{"schemas":["`+core+`"],"userName":"runscope300@atko.example"}`).fails(409, scim.UniquenessErr)
	w.do(http.MethodGet, "/Users?filter=userName%20eq%20%22"+url.QueryEscape("RUNSCOPE300@ATKO.EXAMPLE")+"%22&startIndex=1&count=100", "").lists(text(created, "id"))
	w.do(http.MethodGet, "/Groups", "").lists("g1")
	w.do(http.MethodGet, "/Users", "", "Authorization: Bearer wrong").fails(401, "")
	w.do(http.MethodGet, "/Users/00919288221112222", "").fails(404, "")
}

// TestOktaCRUD is the life of a user under Okta, as its CRUD test has it.
func TestOktaCRUD(t *testing.T) {
	t.Parallel()
	w := emptyWorld(t)
	create := `{"schemas":["` + core + `"],"userName":"pia.moreau@example.org","name":{"givenName":"Pia","familyName":"Moreau","middleName":""},
		"emails":[{"primary":true,"value":"pia.moreau@example.org","type":"work"}],"displayName":"Pia Moreau","locale":"en-US",
		"externalId":"00uEXAMPLE1","groups":[],"password":"Tmp-pass-1","active":true}`
	lookup := "/Users?filter=userName%20eq%20%22pia.moreau%40example.org%22&startIndex=1&count=100"
	w.do(http.MethodGet, lookup, "").lists()
	a := w.do(http.MethodPost, "/Users", create)
	user := a.is(201)
	require.NotContains(t, a.text, "password")
	require.NotContains(t, w.log.String(), "Tmp-pass-1")
	id := text(user, "id")
	w.do(http.MethodGet, lookup, "").lists(id)

	put := func(key string, value any) scim.Object {
		o := w.do(http.MethodGet, "/Users/"+id, "").is(200)
		o[key] = value
		doc, err := json.Marshal(o)
		require.NoError(t, err)
		return w.do(http.MethodPut, "/Users/"+id, string(doc)).is(200)
	}
	require.Equal(t, "Petra", text(put("name", scim.Object{"givenName": "Petra", "familyName": "Moreau"}), "name", "givenName"))
	require.Equal(t, "Petra", text(w.do(http.MethodGet, "/Users/"+id, "").is(200), "name", "givenName"))
	require.Equal(t, false, w.patch("/Users/"+id, `{"op":"replace","value":{"active":false}}`).is(200)["active"])
	require.Equal(t, false, w.do(http.MethodGet, "/Users/"+id, "").is(200)["active"])
	require.Equal(t, true, put("active", true)["active"])
	require.Equal(t, true, w.do(http.MethodGet, "/Users/"+id, "").is(200)["active"])
	require.Equal(t, false, put("active", false)["active"])

	g := text(w.do(http.MethodPost, "/Groups", `{"schemas":["`+group+`"],"displayName":"Harbour Crew","members":[]}`).is(201), "id")
	w.patch("/Groups/"+g, `{"op":"add","path":"members","value":[{"value":"`+id+`","display":"pia.moreau@example.org"}]}`).is(204)
	w.patch("/Groups/"+g, `{"op":"replace","value":{"id":"`+g+`","displayName":"Harbour Night"}}`).is(204)
	require.Equal(t, []string{id}, w.members(g))
	w.patch("/Groups/"+g, `{"op":"remove","path":"members[value eq \"`+id+`\"]"}`).is(204)
	require.Empty(t, w.members(g))
	w.do(http.MethodDelete, "/Groups/"+g, "").is(204)
}
