package scim_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim"
)

// fullUser is a create with everything that the validator fills in.
const fullUser = `{"schemas":["` + core + `","` + ent + `"],"userName":"kelsie@wiegand.example","active":true,"displayName":"QWERTY",
	"title":"MTGP","externalId":"c7b1","emails":[{"type":"work","value":"k@work.example","primary":true}],"preferredLanguage":"jgo-CM",
	"name":{"givenName":"Lew","familyName":"Sydni","formatted":"Amari","middleName":"","honorificPrefix":"Dr","honorificSuffix":"II"},
	"addresses":[{"type":"work","formatted":"F","streetAddress":"S","locality":"L","region":"R","postalCode":"P","primary":true,"country":"Sierra Leone"}],
	"phoneNumbers":[{"type":"work","value":"27-481-2844","primary":true},{"type":"mobile","value":"27-481-2845"},{"type":"fax","value":"27-481-2846"}],
	"nickName":"N","userType":"T","profileUrl":"QWERTY","locale":"ZZTOP","timezone":"Africa/Nowhere","roles":[],
	"` + ent + `":{"employeeNumber":"E","department":"D","costCenter":"C","organization":"O","division":"V"}}`

// TestValidator is what Microsoft's SCIM validator asks, test by test.
func TestValidator(t *testing.T) {
	t.Parallel()
	lookup := func(w *world, name string) []string { return w.filter("/Users", `userName eq "`+name+`"`).ids() }
	create := func(w *world) string { return text(w.do(http.MethodPost, "/Users", fullUser).is(201), "id") }
	manager := func(w *world) any { return at(w.get("/Users/u1").is(200), ent, "manager", "value") }
	op := func(op, path, value string) string {
		return fmt.Sprintf(`{"op":%q,"path":%q,"value":%s}`, op, path, value)
	}
	for name, test := range map[string]func(t *testing.T, w *world){
		"create user": func(t *testing.T, w *world) {
			id := create(w)
			require.Equal(t, []string{id}, lookup(w, "kelsie@wiegand.example"))
			body := w.get("/Users/" + id).is(200)
			require.Equal(t, "27-481-2846", text(body, "phoneNumbers", 2, "value"))
			require.Equal(t, "Africa/Nowhere", body["timezone"])
		},
		"duplicate user": func(_ *testing.T, w *world) {
			create(w)
			w.do(http.MethodPost, "/Users", fullUser).fails(409, scim.UniquenessErr)
		},
		"filter existing user": func(t *testing.T, w *world) { require.Equal(t, []string{"u1"}, lookup(w, "nora.lind@example.org")) },
		"filter missing user":  func(t *testing.T, w *world) { require.Empty(t, lookup(w, "nobody")) },
		"filter other case":    func(t *testing.T, w *world) { require.Equal(t, []string{"u1"}, lookup(w, "NORA.lind@example.ORG")) },
		"patch user, replace attributes": func(t *testing.T, w *world) {
			body := w.patch("/Users/u1", op("replace", `emails[type eq "work"].value`, `"x@y.example"`),
				`{"op":"replace","value":{"name.formatted":"Amari","active":true,"`+ent+`:department":"D2"}}`).is(200)
			require.Equal(t, "x@y.example", text(body, "emails", 0, "value"))
			require.Equal(t, "D2", text(body, ent, "department"))
		},
		"patch user, replace attributes verbose": func(t *testing.T, w *world) {
			id := create(w)
			var ops []string
			for _, path := range []string{
				"displayName", "title", "preferredLanguage", "name.givenName", "name.familyName", "name.formatted", "name.middleName",
				"name.honorificPrefix", "name.honorificSuffix", `addresses[type eq "work"].formatted`, `addresses[type eq "work"].streetAddress`,
				`addresses[type eq "work"].locality`, `addresses[type eq "work"].region`, `addresses[type eq "work"].postalCode`,
				`addresses[type eq "work"].country`, `addresses[type eq "home"].locality`, `addresses[type eq "home"].country`,
				`phoneNumbers[type eq "work"].value`, `phoneNumbers[type eq "mobile"].value`, `phoneNumbers[type eq "fax"].value`,
				`phoneNumbers[type eq "pager"].value`, `phoneNumbers[type eq "home"].value`, `emails[type eq "work"].value`, `emails[type eq "other"].value`,
				"nickName", "userType", "profileUrl", "locale", "timezone", "externalId", ent + ":employeeNumber", ent + ":department",
				ent + ":costCenter", ent + ":organization", ent + ":division",
			} {
				ops = append(ops, op("replace", path, fmt.Sprintf(`"v%d"`, len(ops))))
			}
			body := w.patch("/Users/"+id, append(ops, op("replace", "active", `"False"`))...).is(200)
			require.Equal(t, "v0", body["displayName"])
			require.Equal(t, "v6", text(body, "name", "middleName"))
			require.Len(t, body["addresses"], 2)
			require.Len(t, body["phoneNumbers"], 5)
			require.Equal(t, "v34", text(body, ent, "division"))
			require.Equal(t, false, body["active"])
		},
		"patch user, add": func(t *testing.T, w *world) {
			body := w.patch("/Users/u1", op("add", `emails[type eq "home"].value`, `"h@y.example"`), op("add", "nickName", `"N"`)).is(200)
			require.Len(t, body["emails"], 2)
			require.Equal(t, "N", body["nickName"])
		},
		"patch user, remove": func(t *testing.T, w *world) {
			body := w.patch("/Users/u1", `{"op":"remove","path":"emails[type eq \"work\"]"}`, `{"op":"remove","path":"name.givenName"}`,
				`{"op":"remove","path":"`+ent+`:department"}`).is(200)
			require.NotContains(t, body, "emails")
			require.NotContains(t, body["name"], "givenName")
			require.NotContains(t, body[ent], "department")
		},
		"update userName": func(t *testing.T, w *world) {
			require.Equal(t, "n2@example.org", w.patch("/Users/u1", op("replace", "userName", `"n2@example.org"`)).is(200)["userName"])
		},
		"disable user": func(t *testing.T, w *world) {
			require.Equal(t, false, w.patch("/Users/u1", op("replace", "active", "false")).is(200)["active"])
		},
		"add manager": func(t *testing.T, w *world) {
			w.patch("/Users/u1", op("Add", ent+":manager", `[{"$ref":"https://x/Users/u2","value":"u2"}]`)).is(200)
			require.Equal(t, "u2", manager(w))
		},
		"replace manager": func(t *testing.T, w *world) {
			w.patch("/Users/u1", op("Add", ent+":manager", `"u2"`)).is(200)
			w.patch("/Users/u1", op("Replace", ent+":manager", `{"value":"XKQZ"}`)).is(200)
			require.Equal(t, "XKQZ", manager(w))
		},
		"remove manager": func(t *testing.T, w *world) {
			w.patch("/Users/u1", op("Add", ent+":manager", `"u2"`)).is(200)
			w.patch("/Users/u1", op("Replace", ent+":manager", `{"value":""}`)).is(200)
			require.Nil(t, manager(w))
		},
		"delete user": func(_ *testing.T, w *world) {
			w.do(http.MethodDelete, "/Users/u1", "").is(204)
			w.get("/Users/u1").fails(404, "")
		},
		"preview: several operations on different attributes": func(t *testing.T, w *world) {
			body := w.patch("/Users/u1", `{"op":"remove","path":"emails[type eq \"work\"].value"}`, op("add", "title", `"T"`), op("replace", "name.familyName", `"F"`)).is(200)
			require.Equal(t, "T", body["title"])
			require.Equal(t, "F", text(body, "name", "familyName"))
		},
		"preview: several operations on one attribute": func(t *testing.T, w *world) {
			body := w.patch("/Users/u1", op("add", "title", `"A"`), `{"op":"remove","path":"title"}`, op("replace", "title", `"B"`)).is(200)
			require.Equal(t, "B", body["title"])
		},
		"preview: delete a missing user":  func(_ *testing.T, w *world) { w.do(http.MethodDelete, "/Users/x", "").fails(404, "") },
		"preview: delete a user twice":    func(_ *testing.T, w *world) { deleteTwice(w, "/Users/u1") },
		"preview: delete a missing group": func(_ *testing.T, w *world) { w.do(http.MethodDelete, "/Groups/x", "").fails(404, "") },
		"preview: delete a group twice":   func(_ *testing.T, w *world) { deleteTwice(w, "/Groups/g1") },
		"preview: add and remove a member": func(t *testing.T, w *world) {
			w.patch("/Groups/g1", op("add", "members", `[{"value":"u3"}]`), `{"op":"remove","path":"members[value eq \"u1\"]"}`).is(204)
			require.Equal(t, []string{"u2", "u3"}, w.members("g1"))
		},
		"create group": func(t *testing.T, w *world) {
			w.do(http.MethodPost, "/Groups", `{"schemas":["`+group+`"],"externalId":"e","displayName":"New"}`).is(201)
			require.Len(t, w.filter("/Groups", `displayName eq "New"`).ids(), 1)
		},
		"duplicate group": func(_ *testing.T, w *world) {
			w.do(http.MethodPost, "/Groups", `{"schemas":["`+group+`"],"displayName":"Harbour Crew"}`).fails(409, scim.UniquenessErr)
		},
		"group by id without members": func(t *testing.T, w *world) {
			require.NotContains(t, w.get("/Groups/g1?excludedAttributes=members").is(200), "members")
		},
		"filter existing group":    func(_ *testing.T, w *world) { w.filter("/Groups", `displayName eq "Harbour Crew"`).lists("g1") },
		"filter group, other case": func(_ *testing.T, w *world) { w.filter("/Groups", `displayName eq "harbour CREW"`).lists("g1") },
		"filter missing group":     func(_ *testing.T, w *world) { w.filter("/Groups", `displayName eq "none"`).lists() },
		"filter group without members": func(t *testing.T, w *world) {
			require.NotContains(t, w.get("/Groups?excludedAttributes=members&filter=displayName+eq+%22Harbour+Crew%22").text, "members")
		},
		"patch group, replace attributes": func(t *testing.T, w *world) {
			w.patch("/Groups/g1", `{"op":"replace","value":{"externalId":"e2"}}`).is(204)
			require.Equal(t, "e2", w.get("/Groups/g1").is(200)["externalId"])
			require.Equal(t, []string{"u1", "u2"}, w.members("g1"))
		},
		"update displayName": func(t *testing.T, w *world) {
			w.patch("/Groups/g1", `{"op":"replace","value":{"displayName":"D2"}}`).is(204)
			require.Equal(t, "D2", w.get("/Groups/g1").is(200)["displayName"])
		},
		"add member": func(t *testing.T, w *world) {
			w.patch("/Groups/g1", op("replace", "members", `[{"value":"u3"}]`)).is(204)
			require.Equal(t, []string{"u3"}, w.members("g1"))
		},
		"remove member": func(t *testing.T, w *world) {
			w.patch("/Groups/g1", `{"op":"remove","path":"members[value eq \"u1\"]"}`).is(204)
			require.Equal(t, []string{"u2"}, w.members("g1"))
		},
		"delete group": func(_ *testing.T, w *world) {
			w.do(http.MethodDelete, "/Groups/g1", "").is(204)
			w.get("/Groups/g1").fails(404, "")
		},
	} {
		t.Run(strings.ReplaceAll(name, ",", ""), func(t *testing.T) {
			t.Parallel()
			test(t, newWorld(t))
		})
	}
}

func deleteTwice(w *world, path string) {
	w.do(http.MethodDelete, path, "").is(204)
	w.do(http.MethodDelete, path, "").fails(404, "")
}
