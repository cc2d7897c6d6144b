package scim_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mmsync/mmsync/internal/scim"
)

// anyValue draws what a client could send: in the right form, in a form that is put
// up with, or as nonsense.
func anyValue(depth int) *rapid.Generator[any] {
	names := []string{
		"value", "Value", "type", "primary", "display", "displayName", "$ref", "userName", "active", "name", "givenName", "familyName", "emails",
		"members", "roles", "title", "externalId", "id", "password", "manager", ent, ent + ":manager", "name.givenName", "name.familyName",
		"emails[type eq \"home\"].value", "urn:acme:User", "tags", "floor", "log", "level", "desk", "room", "building", "badge", "at", "nothing", "schemas",
	}
	return rapid.Custom(func(t *rapid.T) any {
		most := 3
		if depth == 0 {
			most = 1
		}
		switch rapid.IntRange(0, most).Draw(t, "kind") {
		case 2:
			return rapid.SliceOfN(anyValue(depth-1), 0, 3).Draw(t, "list")
		case 3:
			o := scim.Object{}
			for _, name := range rapid.SliceOfN(rapid.SampledFrom(names), 0, 4).Draw(t, "names") {
				o[name] = anyValue(depth-1).Draw(t, name)
			}
			return o
		}
		return rapid.SampledFrom([]any{
			nil, "", "a", "b", "work", "home", "u1", "u2", "g1", "true", "False", "7", `{"value":"a","display":"b"}`, "https://x/Groups/g1",
			true, false, json.Number("1"), json.Number("5"), json.Number("1.5"), "2026-01-01T00:00:00Z",
		}).Draw(t, "scalar")
	})
}

func anyPath() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		path := rapid.SampledFrom([]string{
			"", "userName", "active", "title", "name", "emails", "roles", "members", "addresses", "externalId", "id", "displayName", "password", "groups",
			ent, ent + ":manager", ent + ":department", "manager", "urn:acme:User:tags", "urn:acme:User:log", "urn:acme:User:floor", "urn:acme:User:desk",
			"urn:acme:User:badge", "urn:acme:User", core, core + ":emails", "nothing",
		}).Draw(t, "attribute")
		path += rapid.SampledFrom([]string{
			"", "", "", `[type eq "work"]`, `[type eq "home"]`, `[value eq "a"]`, `[value eq "u1"]`, `[type eq "home" and value eq "b"]`, `[not (type eq "work")]`,
			`[value pr]`, `[level ge 3]`, `[value eq "a" or value eq "b"]`, `[display eq "b"]`,
		}).Draw(t, "filter")
		return path + rapid.SampledFrom([]string{"", "", ".value", ".type", ".primary", ".display", ".$ref", ".givenName", ".level", ".at", ".room"}).Draw(t, "sub")
	})
}

// What a PATCH gives is clean, is accepted as it is, and the same remove or replace
// does nothing more, whatever it was made of. The resource itself never changes.
func TestPatch_properties(t *testing.T) {
	t.Parallel()
	users, groups := acme(t), scim.GroupType()
	user := having(t, u1(t), `{"title":"x","roles":[{"value":"a"},{"value":"b","primary":true}],"addresses":[{"type":"work","country":"SE"}],
		"urn:acme:User":{"tags":["a","b"],"log":[{"level":1},{"level":5}]}}`)
	crew := g1(t)
	rapid.Check(t, func(rt *rapid.T) {
		var patch []scim.PatchOp
		for range rapid.IntRange(1, 3).Draw(rt, "operations") {
			patch = append(patch, scim.PatchOp{
				Op:    rapid.SampledFrom([]string{"add", "replace", "remove"}).Draw(rt, "op"),
				Path:  anyPath().Draw(rt, "path"),
				Value: anyValue(3).Draw(rt, "value"), HasValue: rapid.IntRange(0, 9).Draw(rt, "has value") > 0,
			})
		}
		var l scim.Lenient
		if rapid.Bool().Draw(rt, "lenient") {
			l = scim.AllLenient()
		}
		for _, c := range []struct {
			rt *scim.ResourceType
			r  scim.Resource
		}{{users, user}, {groups, crew}} {
			before := encode(t, c.r.Attributes)
			got, err := c.rt.Patch(c.r, patch, l, nil)
			require.Equal(rt, before, encode(t, c.r.Attributes), "the resource itself has changed")
			if err != nil {
				wellFormed(rt, err)
				continue
			}
			kept(t, rt, c.rt, c.r, got, l)
			if len(patch) == 1 && patch[0].Op != "add" {
				repeated(t, rt, c.rt, c.r, got, patch, l)
			}
		}
	})
}

func TestAccept_properties(t *testing.T) {
	t.Parallel()
	users, groups := acme(t), scim.GroupType()
	user, crew := u1(t), g1(t)
	rapid.Check(t, func(rt *rapid.T) {
		body, ok := anyValue(4).Filter(func(v any) bool { _, ok := v.(scim.Object); return ok }).Draw(rt, "body").(scim.Object)
		require.True(rt, ok)
		body["userName"], body["displayName"] = "p", "q"
		for _, before := range []*scim.Resource{nil, &user, &crew} {
			kind := users
			if before == &crew {
				kind = groups
			}
			delete(body, "id")
			got, err := kind.Accept(body, before, scim.AllLenient(), nil)
			if err != nil {
				wellFormed(rt, err)
				continue
			}
			r := user
			if before != nil {
				r = *before
			}
			kept(t, rt, kind, r, got, scim.AllLenient())
		}
	})
}
