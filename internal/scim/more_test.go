package scim_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim"
)

func TestQuirk_E24(t *testing.T) { // operations in any case
	t.Parallel()
	w := newWorld(t)
	w.patch("/Users/u1", `{"op":"Replace","path":"displayName","value":"Nora L."}`).is(200)
	w.patch("/Users/u1", `{"op":"Add","path":"title","value":"Pilot"}`).is(200)
	w.patch("/Users/u1", `{"op":"ADD","path":"nickName","value":"No"}`).is(200)
	w.patch("/Users/u1", `{"op":"Remove","path":"title"}`).is(200)
	body := w.do(http.MethodGet, "/Users/u1", "").is(200)
	require.Equal(t, []any{"Nora L.", "No"}, []any{body["displayName"], body["nickName"]})
	require.NotContains(t, body, "title")
	require.Equal(t, 4, w.noted[scim.QuirkOpCase])
	newWorld(t, strict).patch("/Users/u1", `{"op":"Replace","path":"displayName","value":"x"}`).fails(400, scim.InvalidSyntax)
}

func TestQuirk_E53(t *testing.T) { // the flag in the address makes no difference: all forms are taken with and without
	t.Parallel()
	for _, flag := range []string{"", "?AzureAdScimPatch2017", "?aadOptscim062020"} {
		w := newWorld(t)
		classic := `{"Operations":[{"op":"Replace","path":"active","value":"False"},{"op":"Add","path":"` + ent + `:manager","value":"u2"}]}`
		w.do(http.MethodPatch, "/Users/u1"+flag, classic).is(200)
		modern := `{"Operations":[{"op":"replace","value":{"name.familyName":"Berg","` + ent + `:department":"Yard"}}]}`
		w.do(http.MethodPatch, "/Users/u1"+flag, modern).is(200)
		body := w.do(http.MethodGet, "/Users/u1", "").is(200)
		require.Equal(t, false, body["active"], flag)
		require.Equal(t, "Berg", text(body["name"], "familyName"), flag)
		require.Equal(t, "Yard", text(body[ent], "department"), flag)
	}
}

func TestQuirk_J02(t *testing.T) { // JumpCloud adds and removes members by a list, and puts users
	t.Parallel()
	w := newWorld(t)
	w.patch("/Groups/g1", `{"op":"add","path":"members","value":[{"value":"u3"}]}`).is(204)
	w.patch("/Groups/g1", `{"op":"remove","path":"members","value":[{"value":"u1"}]}`).is(204)
	members, _ := w.do(http.MethodGet, "/Groups/g1", "").is(200)["members"].([]any)
	require.Len(t, members, 2)
	require.Equal(t, []string{"u2", "u3"}, []string{text(members[0], "value"), text(members[1], "value")})
	body := w.do(http.MethodPut, "/Users/u3", `{"schemas":["`+core+`"],"userName":"pia.moreau@example.org","active":false}`).is(200)
	require.Equal(t, false, body["active"])
}

func TestQuirk_O21(t *testing.T) { // the first of a list has what Okta's test reads
	t.Parallel()
	w := newWorld(t)
	list, _ := w.do(http.MethodGet, "/Users?count=1&startIndex=1", "").is(200)["Resources"].([]any)
	require.Len(t, list, 1)
	one, _ := list[0].(scim.Object)
	for _, name := range []string{"id", "name", "userName", "active", "emails"} {
		require.Contains(t, one, name)
	}
	require.NotEmpty(t, text(one["name"], "givenName"))
	require.NotEmpty(t, text(one["name"], "familyName"))
}

func TestQuirk_W01(t *testing.T) { // Google looks somebody up, creates, and switches off by PUT or PATCH
	t.Parallel()
	w := newWorld(t)
	w.filter("/Users", `userName eq "new@example.org"`).lists()
	id := text(w.do(http.MethodPost, "/Users", `{"schemas":["`+core+`"],"userName":"new@example.org","active":true}`).is(201), "id")
	w.filter("/Users", `userName eq "new@example.org"`).lists(id)
	w.do(http.MethodPut, "/Users/"+id, `{"schemas":["`+core+`"],"userName":"new@example.org","active":false}`).is(200)
	w.patch("/Users/"+id, `{"op":"replace","path":"active","value":true}`).is(200)
	require.Equal(t, true, w.do(http.MethodGet, "/Users/"+id, "").is(200)["active"])
}
