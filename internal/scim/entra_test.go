package scim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim"
)

func TestQuirk_E01_http(t *testing.T) { // the connection test finds nobody, and that is no error
	t.Parallel()
	w := newWorld(t)
	a := w.do(http.MethodGet, "/Users?filter=userName+eq+%227d0f3c3e-0b0e-4d7a-9a52-1f2f5b9a8c11%22", "")
	body := a.lists()
	require.Equal(t, json.Number("0"), body["totalResults"])
	require.Equal(t, json.Number("1"), body["startIndex"])
	w.filter("/Users", `externalId eq "7d0f3c3e"`).lists()
	w.filter("/Users", `emails[type eq "work"].value eq "7d0f3c3e"`).lists()
}

func TestQuirk_E02_http(t *testing.T) { // userName compares without case
	t.Parallel()
	w := newWorld(t)
	body := w.filter("/Users", `userName eq "NORA.LIND@EXAMPLE.ORG"`).lists("u1")
	require.Equal(t, "nora.lind@example.org", text(body, "Resources", 0, "userName"))
}

func TestQuirk_E03_http(t *testing.T) { // externalId compares with case
	t.Parallel()
	w := newWorld(t)
	w.filter("/Users", `externalId eq "ext-nora"`).lists("u1")
	w.filter("/Users", `externalId eq "EXT-NORA"`).lists()
}

func TestQuirk_E04_http(t *testing.T) { // a comparison behind the brackets
	t.Parallel()
	w := newWorld(t)
	w.filter("/Users", `emails[type eq "work"].value eq "nora.lind@example.org"`).lists("u1")
	w.filter("/Users", `Emails[Type eq "work"].Value eq "nora.lind@example.org"`).lists("u1")
	w.filter("/Users", `emails[type eq "home"].value eq "nora.lind@example.org"`).lists()
	w = newWorld(t, strict)
	w.filter("/Users", `emails[type eq "work"].value eq "nora.lind@example.org"`).fails(400, scim.InvalidFilter)
}

func TestQuirk_E05_http(t *testing.T) { // and
	t.Parallel()
	w := newWorld(t)
	w.filter("/Users", `externalId eq "ext-nora" and userName eq "nora.lind@example.org"`).lists("u1")
	w.filter("/Users", `externalId eq "ext-nora" and userName eq "omar.reyes@example.org"`).lists()
}

func TestQuirk_E06_http(t *testing.T) { // groups without members
	t.Parallel()
	w := newWorld(t)
	body := w.do(http.MethodGet, "/Groups?excludedAttributes=members&filter=displayName+eq+%22harbour+CREW%22", "").lists("g1")
	require.NotContains(t, at(body, "Resources", 0), "members")
	require.NotContains(t, w.do(http.MethodGet, "/Groups/g1?excludedAttributes=members", "").is(200), "members")
}

func TestQuirk_E07_http(t *testing.T) { // references are compared by their value
	t.Parallel()
	w := newWorld(t)
	w.patch("/Users/u1", `{"op":"add","path":"`+ent+`:manager","value":{"value":"u2"}}`).is(200)
	body := w.do(http.MethodGet, "/Users?filter=id+eq+%22u1%22+and+manager+eq+%22u2%22&attributes=id", "").lists("u1")
	require.NotContains(t, at(body, "Resources", 0), "userName")
	w.filter("/Users", `id eq "u1" and manager eq "u3"`).lists()
	w.filter("/Groups", `id eq "g1" and members eq "u1"`).lists("g1")
	w.filter("/Groups", `id eq "g1" and members eq "u3"`).lists()
}

func TestQuirk_E08_http(t *testing.T) { // a group's PATCH answers 204
	t.Parallel()
	w := newWorld(t)
	a := w.patch("/Groups/g1", `{"op":"add","path":"members","value":[{"value":"u3"}]}`)
	require.Nil(t, a.is(204))
	require.Empty(t, a.header.Get("Content-Type"))
	require.NotEmpty(t, a.header.Get("ETag"))
	require.Equal(t, []string{"u1", "u2", "u3"}, w.members("g1"))
	a = w.do(http.MethodPatch, "/Groups/g1?attributes=displayName",
		`{"schemas":["`+patchOp+`"],"Operations":[{"op":"remove","path":"members[value eq \"u3\"]"}]}`)
	body := a.is(200)
	require.Equal(t, "Harbour Crew", body["displayName"])
	require.NotContains(t, body, "members")
	a = w.do(http.MethodPatch, "/Groups/g1?excludedAttributes=members", `{"schemas":["`+patchOp+`"],"Operations":[{"op":"add","path":"externalId","value":"x"}]}`)
	require.NotContains(t, a.is(200), "members")
}

func TestHandler_patch_short_groups_may_be_shown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *scim.Options) { o.QuietAbove = 2 })
	body := w.patch("/Groups/g1", `{"op":"replace","path":"displayName","value":"Night Crew"}`).is(200)
	require.Equal(t, "Night Crew", body["displayName"])
	require.Len(t, body["members"], 2)
	w.patch("/Groups/g1", `{"op":"add","path":"members","value":[{"value":"u3"}]}`).is(204)
}

func TestQuirk_E09_http(t *testing.T) { // a user's PATCH answers 200 and the user
	t.Parallel()
	w := newWorld(t)
	body := w.patch("/Users/u1", `{"op":"replace","path":"displayName","value":"Nora L."}`).is(200)
	require.Equal(t, "Nora L.", body["displayName"])
	require.Equal(t, "nora.lind@example.org", body["userName"])
}

func TestQuirk_E10_http(t *testing.T) { // parameters nobody knows
	t.Parallel()
	w := newWorld(t)
	w.do(http.MethodGet, "/Users?aadOptscim062020=&filter=userName+eq+%22nora.lind@example.org%22", "").lists("u1")
	w.do(http.MethodGet, "/Users?aadOptscim062020&x;y=%zz&filter=userName+eq+%22nora.lind@example.org%22", "").lists("u1")
	w.do(http.MethodGet, "/Users/u1?aadOptscim062020", "").is(200)
}

func TestQuirk_E11_http(t *testing.T) { // who is disabled stays visible
	t.Parallel()
	w := newWorld(t)
	w.patch("/Users/u1", `{"op":"Replace","path":"active","value":"False"}`).is(200)
	require.Equal(t, false, w.do(http.MethodGet, "/Users/u1", "").is(200)["active"])
	w.filter("/Users", `userName eq "nora.lind@example.org"`).lists("u1")
	w.do(http.MethodDelete, "/Users/u1", "").is(204)
	w.do(http.MethodGet, "/Users/u1", "").fails(404, "")
	w.filter("/Users", `userName eq "nora.lind@example.org"`).lists()
}

func TestQuirk_E12_http(t *testing.T) { // values without quotes
	t.Parallel()
	w := newWorld(t)
	w.filter("/Users", `externalId eq ext-nora`).lists("u1")
	w.filter("/Users", `userName sw N`).lists("u1")
	w.filter("/Users", `active eq true`).lists("u1", "u2", "u3")
	require.Positive(t, w.noted["filter.bareWord"])
	w = newWorld(t, strict)
	w.filter("/Users", `externalId eq ext-nora`).fails(400, scim.InvalidFilter)
}

func TestQuirk_E13_http(t *testing.T) { // special characters in values
	t.Parallel()
	w := newWorld(t)
	w.seed("User", "u4", `{"userName":"o'brien+ops@example.org","displayName":"A \"B\" \\ C"}`)
	w.do(http.MethodGet, "/Users?filter=userName+eq+%22o%27brien%2Bops%40example.org%22", "").lists("u4")
	w.filter("/Users", `displayName eq "A \"B\" \\ C"`).lists("u4")
}

// pia is a create as Entra sends it.
const pia = `{"schemas":["` + core + `","` + ent + `"],"externalId":"ext-anna","userName":"anna.berg@example.org","active":true,
	"displayName":"Anna Berg","emails":[{"primary":true,"type":"work","value":"anna.berg@example.org"}],"meta":{"resourceType":"User"},
	"name":{"formatted":"Anna Berg","familyName":"Berg","givenName":"Anna"},"roles":[]}`

func TestQuirk_E14_http(t *testing.T) { // create
	t.Parallel()
	w := newWorld(t)
	a := w.do(http.MethodPost, "/Users", pia)
	body := a.is(201)
	id := text(body, "id")
	require.NotEmpty(t, id)
	require.Equal(t, external+"/Users/"+id, a.header.Get("Location"))
	require.Equal(t, a.header.Get("Location"), text(body, "meta", "location"))
	require.Equal(t, a.header.Get("ETag"), text(body, "meta", "version"))
	require.Equal(t, "User", text(body, "meta", "resourceType"))
	require.NotEmpty(t, text(body, "meta", "created"))
	require.NotEmpty(t, text(body, "meta", "lastModified"))
	require.Equal(t, "Anna", text(body, "name", "givenName"))
	require.NotContains(t, body, "roles")
	require.Equal(t, body, w.do(http.MethodGet, "/Users/"+id, "").is(200))
}

func TestQuirk_E22_http(t *testing.T) { // taken names
	t.Parallel()
	w := newWorld(t)
	w.do(http.MethodPost, "/Users", `{"schemas":["`+core+`"],"userName":"NORA.LIND@example.org"}`).fails(409, scim.UniquenessErr)
	w.do(http.MethodPost, "/Groups", `{"schemas":["`+group+`"],"displayName":"harbour crew"}`).fails(409, scim.UniquenessErr)
	w.patch("/Users/u1", `{"op":"replace","path":"active","value":false}`).is(200)
	w.do(http.MethodPost, "/Users", `{"schemas":["`+core+`"],"userName":"NORA.LIND@example.org"}`).fails(409, scim.UniquenessErr)
}

func TestQuirk_E23_http(t *testing.T) { // a group without members
	t.Parallel()
	w := newWorld(t)
	a := w.do(http.MethodPost, "/Groups", `{"schemas":["`+group+`"],"externalId":"ext-g2","displayName":"Night Watch","meta":{"resourceType":"Group"}}`)
	id := text(a.is(201), "id")
	w.patch("/Groups/"+id, `{"op":"Add","path":"members","value":[{"value":"u3"}]}`).is(204)
	require.Equal(t, []string{"u3"}, w.members(id))
}

func TestQuirk_E27_http(t *testing.T) { // who is added twice is there once, and nothing has changed
	t.Parallel()
	w := newWorld(t)
	add := `{"op":"Add","path":"members","value":[{"$ref":null,"value":"u3"}]}`
	first := w.patch("/Groups/g1", add)
	first.is(204)
	before := w.do(http.MethodGet, "/Groups/g1", "").is(200)
	again := w.patch("/Groups/g1", add)
	again.is(204)
	require.Equal(t, first.header.Get("ETag"), again.header.Get("ETag"))
	require.Equal(t, before, w.do(http.MethodGet, "/Groups/g1", "").is(200))
	require.Equal(t, 1, w.mem.count("Replace"))
}

func TestQuirk_E43_http(t *testing.T) { // a taken userName is refused, and all of the PATCH with it
	t.Parallel()
	w := newWorld(t)
	require.Equal(t, "u1", w.patch("/Users/u1", `{"op":"Replace","path":"userName","value":"nora.berg@example.org"}`).is(200)["id"])
	w.patch("/Users/u1", `{"op":"replace","path":"title","value":"X"}`, `{"op":"Replace","path":"userName","value":"OMAR.reyes@example.org"}`).
		fails(409, scim.UniquenessErr)
	body := w.do(http.MethodGet, "/Users/u1", "").is(200)
	require.NotContains(t, body, "title")
	require.Equal(t, "nora.berg@example.org", body["userName"])
}

func TestQuirk_E48_http(t *testing.T) { // many operations, and too many
	t.Parallel()
	w := newWorld(t, func(o *scim.Options) { o.Limits.Patch = 200 })
	ops := func(n int) []string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf(`{"op":"replace","path":"title","value":"T%d"}`, i)
		}
		return list
	}
	require.Equal(t, "T35", w.patch("/Users/u1", ops(36)...).is(200)["title"])
	require.Equal(t, "T199", w.patch("/Users/u1", ops(200)...).is(200)["title"])
	a := w.patch("/Users/u1", ops(201)...)
	a.fails(413, "")
	require.Contains(t, a.body["detail"], "200")
}

func TestQuirk_E49_http(t *testing.T) { // all or nothing
	t.Parallel()
	w := newWorld(t)
	w.patch("/Groups/g1", `{"op":"add","path":"members","value":[{"value":"u3"}]}`, `{"op":"remove","path":"members[value eq \"u3\"]"}`).is(204)
	require.Equal(t, []string{"u1", "u2"}, w.members("g1"))
	w.patch("/Users/u1", `{"op":"replace","path":"title","value":"X"}`, `{"op":"replace","path":"id","value":"zz"}`).fails(400, scim.MutabilityErr)
	require.NotContains(t, w.do(http.MethodGet, "/Users/u1", "").is(200), "title")
}

func TestQuirk_E52_http(t *testing.T) { // no operations
	t.Parallel()
	w := newWorld(t)
	w.patch("/Users/u1").is(200)
	require.Zero(t, w.mem.count("Replace"))
	newWorld(t, strict).patch("/Users/u1").fails(400, scim.InvalidSyntax)
}

func TestQuirk_E54_http(t *testing.T) { // delete twice
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/Users/u1", "/Groups/g1"} {
		a := w.do(http.MethodDelete, path, "")
		require.Nil(t, a.is(204))
		w.do(http.MethodDelete, path, "").fails(404, "")
	}
	w.do(http.MethodDelete, "/Users/never-was", "").fails(404, "")
}

func TestQuirk_E55_http(t *testing.T) { // delete, and create again
	t.Parallel()
	w := newWorld(t)
	first := text(w.do(http.MethodPost, "/Users", pia).is(201), "id")
	w.do(http.MethodDelete, "/Users/"+first, "").is(204)
	second := text(w.do(http.MethodPost, "/Users", pia).is(201), "id")
	require.NotEqual(t, first, second)
}

func TestQuirk_E56_http(t *testing.T) { // memberships outlive an absence
	t.Parallel()
	w := newWorld(t)
	w.patch("/Users/u1", `{"op":"Replace","path":"active","value":"False"}`).is(200)
	w.patch("/Users/u1", `{"op":"Replace","path":"active","value":"True"}`).is(200)
	require.Equal(t, []string{"u1", "u2"}, w.members("g1"))
}

func TestQuirk_E57_http(t *testing.T) { // the rate is limited, but far above 25 a second
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *scim.Options) { o.Limits = scim.Limits{Rate: 50, Burst: 50} })
		for range 50 {
			w.do(http.MethodGet, "/Users/u1", "").is(200)
		}
		a := w.do(http.MethodGet, "/Users/u1", "")
		a.fails(429, "")
		require.Equal(t, "1", a.header.Get("Retry-After"))
		w.do(http.MethodGet, "/Users", "", "Authorization: Bearer T2").lists()
	})
}

func TestQuirk_E58_http(t *testing.T) { // who asks without a token, or with a wrong one
	t.Parallel()
	w := newWorld(t)
	for _, header := range []string{"Authorization: Bearer T9", "Authorization:"} {
		for _, path := range []string{"/Users", "/ServiceProviderConfig", "/nowhere", "/Bulk", "/Me"} {
			a := w.do(http.MethodGet, path, "", header)
			a.fails(401, "")
			require.Equal(t, `Bearer realm="scim"`, a.header.Get("WWW-Authenticate"))
		}
	}
}

func TestQuirk_E59_http(t *testing.T) { // one media type, for errors too
	t.Parallel()
	w := newWorld(t)
	for _, a := range []*reply{
		w.get("/Users"), w.get("/Users/u1"), w.get("/Users/u9"), w.get("/Schemas"), w.get("/nowhere"), w.do(http.MethodPost, "/Users", pia),
		w.do(http.MethodPut, "/Users", "{}"), w.do(http.MethodPost, "/Users", "{"), w.get("/Me"), w.filter("/Users", "("),
	} {
		require.Equal(t, "application/scim+json", a.header.Get("Content-Type"))
	}
}

func TestQuirk_E60_http(t *testing.T) { // /Schemas
	t.Parallel()
	w := newWorld(t)
	a := w.do(http.MethodGet, "/Schemas", "")
	body := a.is(200)
	require.NotContains(t, a.text, "null")
	ids := a.ids()
	require.Subset(t, ids, []string{
		core, group, ent, "urn:ietf:params:scim:schemas:core:2.0:Schema",
		"urn:ietf:params:scim:schemas:core:2.0:ResourceType", "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig",
	})
	require.Equal(t, json.Number(fmt.Sprint(len(ids))), body["totalResults"])
	for i, id := range ids {
		one := w.do(http.MethodGet, "/Schemas/"+id, "").is(200)
		require.Equal(t, at(body, "Resources", i), any(one))
		require.Equal(t, external+"/Schemas/"+id, text(one, "meta", "location"))
	}
}

func TestQuirk_E61_http(t *testing.T) { // pages
	t.Parallel()
	w := emptyWorld(t)
	for i := range 12 {
		w.seed("User", fmt.Sprintf("p%02d", i), fmt.Sprintf(`{"userName":"p%02d"}`, i))
	}
	body := w.do(http.MethodGet, "/Users?startIndex=6&count=5", "").lists("p05", "p06", "p07", "p08", "p09")
	require.Equal(t, json.Number("6"), body["startIndex"])
	require.Equal(t, json.Number("12"), body["totalResults"])
	w.do(http.MethodGet, "/Users?startIndex=11&count=5", "").lists("p10", "p11")
}

// TestEntraFlows walks through what Entra's provisioning does to a user and a group.
func TestEntraFlows(t *testing.T) {
	t.Parallel()
	for _, flag := range []bool{false, true} {
		t.Run(fmt.Sprintf("aadOptscim062020=%t", flag), func(t *testing.T) {
			t.Parallel()
			w := emptyWorld(t)
			q := func(endpoint, f string) *reply {
				extra := ""
				if flag {
					extra = "aadOptscim062020=&"
				}
				return w.do(http.MethodGet, endpoint+"?"+extra+"filter="+url.QueryEscape(f), "")
			}
			q("/Users", `userName eq "anna.berg@example.org"`).lists()
			id := text(w.do(http.MethodPost, "/Users", pia).is(201), "id")
			q("/Users", `userName eq "Anna.Berg@example.org"`).lists(id)
			if flag {
				w.patch("/Users/"+id, `{"op":"replace","value":{"displayName":"Anna B","name.familyName":"Bergström","`+ent+`:employeeNumber":"4712","active":false}}`,
					`{"op":"replace","path":"emails[type eq \"work\"].value","value":"ab@example.org"}`).is(200)
			} else {
				w.patch("/Users/"+id, `{"op":"Replace","path":"displayName","value":"Anna B"}`, `{"op":"Replace","path":"name.familyName","value":"Bergström"}`,
					`{"op":"Add","path":"`+ent+`:employeeNumber","value":"4712"}`, `{"op":"Replace","path":"active","value":"False"}`,
					`{"op":"Replace","path":"emails[type eq \"work\"].value","value":"ab@example.org"}`).is(200)
			}
			body := w.do(http.MethodGet, "/Users/"+id, "").is(200)
			require.Equal(t, "Anna B", body["displayName"])
			require.Equal(t, "Bergström", text(body, "name", "familyName"))
			require.Equal(t, "Anna", text(body, "name", "givenName"))
			require.Equal(t, "4712", text(body, ent, "employeeNumber"))
			require.Equal(t, "ab@example.org", text(body, "emails", 0, "value"))
			require.Equal(t, false, body["active"])

			q("/Groups", `displayName eq "Night Watch"`).lists()
			g := text(w.do(http.MethodPost, "/Groups", `{"schemas":["`+group+`","http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],"externalId":"x","displayName":"Night Watch","meta":{"resourceType":"Group"}}`).is(201), "id")
			w.do(http.MethodGet, "/Groups/"+g+"?excludedAttributes=members", "").is(200)
			w.patch("/Groups/"+g, `{"op":"Add","path":"members","value":[{"$ref":null,"value":"`+id+`"}]}`).is(204)
			require.Equal(t, []string{id}, w.members(g))
			q("/Groups", `id eq "`+g+`" and members eq "`+id+`"`).lists(g)
			if flag {
				w.patch("/Groups/"+g, `{"op":"remove","path":"members[value eq \"`+id+`\"]"}`).is(204)
			} else {
				w.patch("/Groups/"+g, `{"op":"Remove","path":"members","value":[{"$ref":null,"value":"`+id+`"}]}`).is(204)
			}
			require.Empty(t, w.members(g))
			w.do(http.MethodDelete, "/Groups/"+g, "").is(204)
			w.do(http.MethodDelete, "/Users/"+id, "").is(204)
			q("/Users", `userName eq "anna.berg@example.org"`).lists()
			require.NotContains(t, w.log.String(), "anna", "no personal data is logged")
			require.NotContains(t, strings.ToLower(w.log.String()), "filter=")
		})
	}
}
