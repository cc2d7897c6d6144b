package scim_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim"
)

func TestQuirk_E06(t *testing.T) {
	t.Parallel()
	require.NotContains(t, scim.GroupType().Show(g1(t), base, projection(t, "", "members")), "members")
	require.Contains(t, scim.GroupType().Show(g1(t), base, projection(t, "", "displayName")), "members")
}

func TestQuirk_P04(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`emails[type eq "work"]`, `emails[type eq "a,]\"b"],`} {
		var used tally
		p, err := scim.ParseProjection(text, "", scim.AllLenient(), used.note)
		require.NoError(t, err)
		require.Equal(t, tally{scim.QuirkProjectionFilter}, used)
		shown := scim.UserType().Show(u1(t), base, p)
		require.Equal(t, object(t, `{"schemas":["`+core+`"],"id":"u1","emails":[{"type":"work","primary":true,"value":"nora.lind@example.org"}]}`), shown)
		_, err = scim.ParseProjection(text, "", nil, nil)
		refused(t, err, scim.InvalidValue)
	}
}

func TestQuirk_X13(t *testing.T) {
	t.Parallel()
	head := `"schemas":["` + core + `"],"id":"u1"`
	both := `"schemas":["` + core + `","` + ent + `"],"id":"u1"`
	for names, want := range map[string]string{
		"userName":               `{` + head + `,"userName":"nora.lind@example.org"}`,
		" USERNAME , active,":    `{` + head + `,"userName":"nora.lind@example.org","active":true}`,
		"nothing":                `{` + head + `}`,
		"urn:x:y:z,name.nothing": `{` + head + `}`,
		core + ":userName":       `{` + head + `,"userName":"nora.lind@example.org"}`,
		"name.givenName":         `{` + head + `,"name":{"givenName":"Nora"}}`,
		"name.givenName,name":    `{` + head + `,"name":{"givenName":"Nora","familyName":"Lind"}}`,
		"emails.value":           `{` + head + `,"emails":[{"value":"nora.lind@example.org"}]}`,
		"emails.display":         `{` + head + `}`,
		ent + ":department":      `{` + both + `,"` + ent + `":{"department":"Docks"}}`,
		"department":             `{` + both + `,"` + ent + `":{"department":"Docks"}}`,
		ent:                      `{` + both + `,"` + ent + `":{"department":"Docks","employeeNumber":"4711"}}`,
		"externalId,id":          `{` + head + `,"externalId":"ext-nora"}`,
		"meta.version,schemas":   `{` + head + `,"meta":{"version":"W/\"1\""}}`,
		core + ":meta.location":  `{` + head + `,"meta":{"location":"` + base + `/Users/u1"}}`,
	} {
		require.Equal(t, object(t, want), scim.UserType().Show(u1(t), base, projection(t, names, "")), names)
	}
	all := scim.UserType().Show(u1(t), base, projection(t, "", ""))
	for names, gone := range map[string]string{
		"id,schemas": "", "userName": "userName", core + ":USERNAME": "userName", "meta": "meta", "externalId": "externalId",
		ent: ent, "emails": "emails", "nothing": "", "name": "name",
	} {
		want := object(t, encode(t, all))
		delete(want, gone)
		if gone == ent {
			want["schemas"] = []any{core}
		}
		require.Equal(t, want, scim.UserType().Show(u1(t), base, projection(t, "", names)), names)
	}
	shown := scim.UserType().Show(u1(t), base, projection(t, "", "name.givenName,emails.type,emails.primary,department,meta.version"))
	require.Equal(t, object(t, `{"familyName":"Lind"}`), shown["name"])
	require.Equal(t, decodeAny(t, `[{"value":"nora.lind@example.org"}]`), shown["emails"])
	require.Equal(t, object(t, `{"employeeNumber":"4711"}`), shown[ent])
	require.NotContains(t, shown["meta"], "version")

	_, err := scim.ParseProjection("userName", "name", scim.AllLenient(), nil)
	refused(t, err, scim.InvalidValue)
	for _, name := range []string{"a b", "a.b.c.", "*", "=x"} {
		_, err := scim.ParseProjection(name, "", scim.AllLenient(), nil)
		require.Contains(t, refusal(t, err, scim.InvalidValue).Detail, "attributes: ")
	}
}

// RFC 7643 section 2.2 "returned".
func TestShow_returned(t *testing.T) {
	t.Parallel()
	rt := acme(t)
	r := having(t, u1(t), `{"password":"s","gone":"x","urn:acme:User":{"key":"QQ==","always":"a","secret":"s","log":[{"at":"2026-01-01T00:00:00Z","hidden":"h"},{"hidden":"h"}]}}`)
	shown := rt.Show(r, base, scim.Projection{})
	require.Equal(t, object(t, `{"always":"a","log":[{"at":"2026-01-01T00:00:00Z"}]}`), shown["urn:acme:User"])
	require.NotContains(t, shown, "password")
	require.NotContains(t, shown, "gone", "what no schema has is not shown")
	shown = rt.Show(r, base, projection(t, "urn:acme:User:key,urn:acme:User:secret,password", ""))
	require.Equal(t, object(t, `{"schemas":["`+core+`","urn:acme:User"],"id":"u1","urn:acme:User":{"always":"a","key":"QQ=="}}`), shown)
	shown = rt.Show(r, base, projection(t, "", "urn:acme:User"))
	require.Equal(t, object(t, `{"always":"a"}`), shown["urn:acme:User"])
}

func TestShow_meta(t *testing.T) {
	t.Parallel()
	r := scim.Resource{ID: "a/b c", Created: time.Date(2026, 3, 1, 9, 0, 0, 123456000, time.FixedZone("x", 3600))}
	require.Equal(t, scim.Object{"resourceType": "User", "location": base + "/Users/a%2Fb%20c", "created": "2026-03-01T08:00:00.123456Z"}, scim.UserType().Meta(r, base))
}

func TestShow_groups(t *testing.T) {
	t.Parallel()
	r := having(t, u1(t), `{"groups":[{"value":"g1","type":"direct"}]}`)
	require.Equal(t, decodeAny(t, `[{"value":"g1","type":"direct","$ref":"`+base+`/Groups/g1"}]`), scim.UserType().Show(r, base, scim.Projection{})["groups"])
	require.Equal(t, decodeAny(t, `[{"$ref":"`+base+`/Groups/g1"}]`), scim.UserType().Show(r, base, projection(t, "groups.$ref", ""))["groups"])
}
