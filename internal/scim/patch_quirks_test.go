package scim_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim"
	"github.com/mmsync/mmsync/internal/scim/filter"
)

func TestQuirk_E25(t *testing.T) {
	t.Parallel()
	patches(t, scim.UserType(), u1(t), `[{"op":"replace","path":"active","value":"False"}]`,
		with(t, u1(t), `{"active":false}`), scim.InvalidValue, scim.QuirkTextForBoolean)
}

func TestQuirk_E26(t *testing.T) {
	t.Parallel()
	patches(t, scim.GroupType(), g1(t), `[{"op":"remove","path":"members","value":[{"$ref":null,"value":"u1"},{"value":"ghost"}]}]`,
		with(t, g1(t), `{"members":[{"value":"u2"}]}`), with(t, g1(t), `{"members":null}`), scim.QuirkRemoveValues)
	emails := having(t, u1(t), `{"emails":[{"type":"work","primary":true,"value":"a@example.org"},{"type":"home","value":"a@example.org"},{"value":"b@example.org","display":"b"}]}`)
	patches(t, scim.UserType(), emails, `[{"op":"remove","path":"emails","value":[{"type":"home","value":"a@example.org"},{"value":"b@example.org"}]}]`,
		with(t, emails, `{"emails":[{"type":"work","primary":true,"value":"a@example.org"}]}`), with(t, emails, `{"emails":null}`), scim.QuirkRemoveValues)
	patches(t, scim.GroupType(), g1(t), `[{"op":"remove","path":"members","value":["u2"]}]`,
		with(t, g1(t), `{"members":[{"value":"u1"}]}`), with(t, g1(t), `{"members":null}`), scim.QuirkRemoveValues)
}

func TestQuirk_E27(t *testing.T) {
	t.Parallel()
	add := `[{"op":"add","path":"members","value":[{"$ref":null,"value":"u3"}]}]`
	patches(t, scim.GroupType(), g1(t), add, with(t, g1(t), `{"members":[{"value":"u1"},{"value":"u2"},{"value":"u3"}]}`), "")
	again := having(t, g1(t), `{"members":[{"value":"u1","type":"User","display":"one"},{"value":"u3"}]}`)
	got, err := scim.GroupType().Patch(again, ops(t, `[{"op":"add","path":"members","value":[{"value":"u3","display":"x"},{"value":"u1"}]}]`), nil, nil)
	require.NoError(t, err)
	require.Nil(t, scim.GroupType().Diff(again.Attributes, got))
}

func TestQuirk_E28(t *testing.T) {
	t.Parallel()
	patches(t, scim.GroupType(), g1(t), `[{"op":"add","path":"members","value":[{"value":"u1"},{"value":"u2"},{"value":"u3"},{"value":"u3"}]}]`,
		with(t, g1(t), `{"members":[{"value":"u1"},{"value":"u2"},{"value":"u3"}]}`), "")
}

func TestQuirk_E29(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"replace", "add"} {
		patches(t, scim.UserType(), u1(t), `[{"op":"`+op+`","path":"phoneNumbers[type eq \"mobile\"].value","value":"+46 70 1"}]`,
			with(t, u1(t), `{"phoneNumbers":[{"type":"mobile","value":"+46 70 1"}]}`), scim.NoTarget, scim.QuirkCreateElement)
		patches(t, scim.UserType(), u1(t), `[{"op":"`+op+`","path":"emails[type eq \"home\"]","value":{"value":"h@example.org"}}]`,
			with(t, u1(t), `{"emails":[{"type":"work","primary":true,"value":"nora.lind@example.org"},{"type":"home","value":"h@example.org"}]}`),
			scim.NoTarget, scim.QuirkCreateElement)
	}
	patches(t, scim.UserType(), u1(t), `[{"op":"replace","path":"phoneNumbers.value","value":"+46 70 1"}]`,
		with(t, u1(t), `{"phoneNumbers":[{"value":"+46 70 1"}]}`), scim.NoTarget, scim.QuirkCreateElement)
	// what is empty makes nothing
	patches(t, scim.UserType(), u1(t), `[{"op":"replace","path":"phoneNumbers[type eq \"mobile\"].value","value":null}]`, with(t, u1(t), `{}`), "")
}

func TestQuirk_E30(t *testing.T) {
	t.Parallel()
	patches(t, scim.UserType(), u1(t), `[{"op":"add","path":"addresses[type eq \"work\"].locality","value":"Gävle"},
		{"op":"add","path":"addresses[type eq \"work\"].country","value":"SE"}]`,
		with(t, u1(t), `{"addresses":[{"type":"work","locality":"Gävle","country":"SE"}]}`), scim.NoTarget, scim.QuirkCreateElement)
}

func TestQuirk_E31(t *testing.T) {
	t.Parallel()
	patches(t, scim.UserType(), u1(t), `[{"op":"replace","path":"emails[type eq \"home\"].value","value":"h@example.org"}]`,
		with(t, u1(t), `{"emails":[{"type":"work","primary":true,"value":"nora.lind@example.org"},{"type":"home","value":"h@example.org"}]}`),
		scim.NoTarget, scim.QuirkCreateElement)
}

func TestQuirk_E32(t *testing.T) {
	t.Parallel()
	r := having(t, u1(t), `{"phoneNumbers":[{"type":"work","value":"1"}],"addresses":[{"type":"other","formatted":"x"}]}`)
	patches(t, scim.UserType(), r, `[{"op":"replace","path":"emails[type eq \"work\"].Value","value":"n@example.org"},
		{"op":"replace","path":"Name.FamilyName","value":"Berg"},
		{"op":"replace","path":"PHONENUMBERS[TYPE EQ \"work\"].value","value":"2"},
		{"op":"replace","path":"addresses[type eq \"other\"].Formatted","value":"y"}]`,
		with(t, r, `{"emails":[{"type":"work","primary":true,"value":"n@example.org"}],"name":{"givenName":"Nora","familyName":"Berg"},
		"phoneNumbers":[{"type":"work","value":"2"}],"addresses":[{"type":"other","formatted":"y"}]}`), "")
}

func TestQuirk_E33(t *testing.T) {
	t.Parallel()
	patches(t, scim.UserType(), u1(t), `[{"op":"add","path":"`+ent+`:department","value":"Yard"}]`,
		with(t, u1(t), `{"`+ent+`":{"department":"Yard","employeeNumber":"4711"}}`), "")
	bare := having(t, u1(t), `{"`+ent+`":null}`)
	want := with(t, bare, `{"`+ent+`":{"department":"Yard"}}`)
	patches(t, scim.UserType(), bare, `[{"op":"add","path":"`+strings.ToUpper(ent)+`:Department","value":"Yard"}]`, want, "")
	shown := scim.UserType().Show(having(t, bare, want), base, scim.Projection{})
	require.Equal(t, []any{core, ent}, shown["schemas"])
}

func TestQuirk_E34(t *testing.T) {
	t.Parallel()
	patches(t, scim.UserType(), u1(t), `[{"op":"replace","path":"`+core+`:userName","value":"n"},{"op":"replace","path":"`+core+`:name.familyName","value":"Berg"}]`,
		with(t, u1(t), `{"userName":"n","name":{"givenName":"Nora","familyName":"Berg"}}`), "")
}

func TestQuirk_E35(t *testing.T) {
	t.Parallel()
	want := with(t, u1(t), `{"`+ent+`":{"department":"Docks","employeeNumber":"4711","manager":{"value":"u2"}}}`)
	ut := scim.UserType()
	patches(t, ut, u1(t), `[{"op":"add","path":"`+ent+`:manager","value":"u2"}]`, want, scim.InvalidValue, scim.QuirkBareComplex)
	patches(t, ut, u1(t), `[{"op":"add","path":"`+ent+`:manager","value":{"value":"u2"}}]`, want, "")
	patches(t, ut, u1(t), `[{"op":"add","path":"manager","value":[{"$ref":"https://x/Users/u2","value":"u2"}]}]`, want, scim.InvalidPath,
		scim.QuirkExtensionWithoutURN, scim.QuirkListForSingle)
	patches(t, ut, u1(t), `[{"op":"replace","path":"`+ent+`:manager.value","value":"u2"}]`, want, "")
	patches(t, ut, u1(t), `[{"op":"replace","value":{"`+ent+`:manager":"u2"}}]`, want, scim.InvalidPath, scim.QuirkURNKey, scim.QuirkBareComplex)
}

func TestQuirk_E36(t *testing.T) {
	t.Parallel()
	r := having(t, u1(t), `{"`+ent+`":{"manager":{"value":"u2","displayName":"Omar"}}}`)
	want := with(t, u1(t), `{"`+ent+`":null}`)
	ut := scim.UserType()
	patches(t, ut, r, `[{"op":"replace","path":"`+ent+`:manager","value":{"value":""}}]`, want,
		with(t, r, `{"`+ent+`":{"manager":{"value":""}}}`), scim.QuirkEmptyText)
	patches(t, ut, r, `[{"op":"replace","path":"`+ent+`:manager","value":""}]`, want, scim.InvalidValue, scim.QuirkEmptyText)
	patches(t, ut, r, `[{"op":"remove","path":"`+ent+`:manager"}]`, want, "")
	patches(t, ut, r, `[{"op":"remove","path":"`+ent+`:manager[value eq \"u2\"]"}]`, want, scim.InvalidPath, scim.QuirkFilterOnSingle)
	patches(t, ut, r, `[{"op":"remove","path":"`+ent+`:manager[value eq \"u3\"]"}]`, with(t, r, `{}`), scim.InvalidPath, scim.QuirkFilterOnSingle)
	patches(t, ut, r, `[{"op":"replace","path":"`+ent+`:manager","value":null}]`, want, "")
	patches(t, ut, r, `[{"op":"remove","path":"`+ent+`:manager.value"}]`, want, "")
}

func TestQuirk_E37(t *testing.T) {
	t.Parallel()
	r := having(t, u1(t), `{"title":"Pilot"}`)
	patches(t, scim.UserType(), r, `[{"op":"replace","path":"title","value":""}]`, with(t, u1(t), `{}`), with(t, r, `{"title":""}`), scim.QuirkEmptyText)
	patches(t, scim.UserType(), r, `[{"op":"replace","path":"title","value":null}]`, with(t, u1(t), `{}`), "")
	for _, l := range []scim.Lenient{nil, scim.AllLenient()} {
		for _, v := range []string{`""`, `null`} {
			_, err := scim.UserType().Patch(r, ops(t, `[{"op":"replace","path":"userName","value":`+v+`}]`), l, nil)
			require.Contains(t, refusal(t, err, scim.InvalidValue).Detail, "userName")
			_, err = scim.GroupType().Patch(g1(t), ops(t, `[{"op":"replace","path":"displayName","value":`+v+`}]`), l, nil)
			refused(t, err, scim.InvalidValue)
		}
		_, err := scim.UserType().Patch(r, ops(t, `[{"op":"remove","path":"userName"}]`), l, nil)
		refused(t, err, scim.InvalidValue)
	}
}

func TestQuirk_E38(t *testing.T) {
	t.Parallel()
	role := `{\"id\":\"r-1\",\"value\":\"Pilot\",\"displayName\":\"Pilot\"}`
	kept := with(t, u1(t), `{"roles":[{"value":"`+role+`"}]}`)
	patches(t, scim.UserType(), u1(t), `[{"op":"add","path":"roles","value":[{"value":"`+role+`"}]}]`,
		with(t, u1(t), `{"roles":[{"value":"Pilot","display":"Pilot"}]}`), kept, scim.QuirkRoleJSON)
	for _, text := range []string{`{\"id\":\"r-1\"}`, `{no JSON`, `{\"value\":7}`} {
		patches(t, scim.UserType(), u1(t), `[{"op":"add","path":"roles","value":[{"value":"`+text+`"}]}]`, with(t, u1(t), `{"roles":[{"value":"`+text+`"}]}`), "")
	}
}

func TestQuirk_E39(t *testing.T) {
	t.Parallel()
	patches(t, scim.UserType(), u1(t), `[{"op":"add","path":"roles[primary eq \"True\"].value","value":"Pilot"},
		{"op":"add","path":"roles[primary eq \"True\"].display","value":"The pilot"},
		{"op":"add","path":"roles[primary eq \"True\"].type","value":"x"}]`,
		with(t, u1(t), `{"roles":[{"primary":true,"value":"Pilot","display":"The pilot","type":"x"}]}`), scim.InvalidFilter,
		scim.Quirk(filter.BoolText), scim.QuirkCreateElement)
}

func TestQuirk_E41(t *testing.T) {
	t.Parallel()
	r := having(t, u1(t), `{"roles":[{"value":"old","primary":true}]}`)
	patches(t, scim.UserType(), r, `[{"op":"replace","path":"roles","value":[{"value":"a"},{"value":"b"}]}]`,
		with(t, r, `{"roles":[{"value":"a"},{"value":"b"}]}`), "")
}

func TestQuirk_E42(t *testing.T) {
	t.Parallel()
	patches(t, scim.UserType(), u1(t), `[{"op":"add","path":"displayName","value":[{"$ref":null,"value":"Nora"}]}]`,
		with(t, u1(t), `{"displayName":"Nora"}`), scim.InvalidValue, scim.QuirkListForSingle, scim.QuirkObjectForSimple)
	patches(t, scim.GroupType(), g1(t), `[{"op":"replace","path":"displayName","value":[{"$ref":null,"value":"Crew"}]}]`,
		with(t, g1(t), `{"displayName":"Crew"}`), scim.InvalidValue, scim.QuirkListForSingle, scim.QuirkObjectForSimple)
}

func TestQuirk_E43(t *testing.T) {
	t.Parallel()
	patches(t, scim.UserType(), u1(t), `[{"op":"replace","path":"userName","value":"nora.berg@example.org"}]`,
		with(t, u1(t), `{"userName":"nora.berg@example.org"}`), "")
}

func TestQuirk_E44(t *testing.T) {
	t.Parallel()
	patches(t, scim.UserType(), u1(t), `[{"op":"add","path":"phoneNumbers","value":[{"type":"work","value":"+1 (425) 555-0100 x7"}]}]`,
		with(t, u1(t), `{"phoneNumbers":[{"type":"work","value":"+1 (425) 555-0100 x7"}]}`), "")
}

func TestQuirk_E45(t *testing.T) {
	t.Parallel()
	r := having(t, u1(t), `{"name":{"givenName":"N","familyName":"L","middleName":"M"}}`)
	patches(t, scim.UserType(), r, `[{"op":"replace","value":{"displayName":"Nora B","name.givenName":"Nora","name.familyName":"Berg",
		"`+ent+`:employeeNumber":"4712","active":false}},{"op":"replace","path":"emails[type eq \"work\"].value","value":"nb@example.org"}]`,
		with(t, r, `{"displayName":"Nora B","name":{"givenName":"Nora","familyName":"Berg","middleName":"M"},"active":false,
		"`+ent+`":{"department":"Docks","employeeNumber":"4712"},"emails":[{"type":"work","primary":true,"value":"nb@example.org"}]}`),
		scim.InvalidPath, scim.QuirkDottedKey, scim.QuirkURNKey)
	patches(t, scim.UserType(), u1(t), `[{"op":"replace","value":{"emails[type eq \"work\"].value":"nb@example.org"}}]`,
		with(t, u1(t), `{"emails":[{"type":"work","primary":true,"value":"nb@example.org"}]}`), scim.InvalidPath, scim.QuirkPathAsKey)
}

func TestQuirk_E46(t *testing.T) {
	t.Parallel()
	patches(t, scim.UserType(), u1(t), `[{"op":"replace","value":{"`+ent+`":{"department":"Yard"}}}]`,
		with(t, u1(t), `{"`+ent+`":{"department":"Yard","employeeNumber":"4711"}}`), "")
	patches(t, scim.UserType(), u1(t), `[{"op":"add","path":"`+ent+`","value":{"costCenter":"9"}}]`,
		with(t, u1(t), `{"`+ent+`":{"department":"Docks","employeeNumber":"4711","costCenter":"9"}}`), "")
	patches(t, scim.UserType(), u1(t), `[{"op":"remove","path":"`+ent+`"}]`, with(t, u1(t), `{"`+ent+`":null}`), "")
	patches(t, scim.UserType(), u1(t), `[{"op":"replace","path":"`+core+`","value":{"title":"x"}}]`, with(t, u1(t), `{"title":"x"}`), "")
	_, err := scim.UserType().Patch(u1(t), ops(t, `[{"op":"remove","path":"`+core+`"}]`), scim.AllLenient(), nil)
	refused(t, err, scim.InvalidPath)
}

func TestQuirk_E47(t *testing.T) {
	t.Parallel()
	remove := `[{"op":"remove","path":"members[value eq \"u1\"]"}]`
	patches(t, scim.GroupType(), g1(t), remove, with(t, g1(t), `{"members":[{"value":"u2"}]}`), "")
	gone := having(t, g1(t), `{"members":[{"value":"u2"}]}`)
	patches(t, scim.GroupType(), gone, remove, with(t, gone, `{}`), "")
}

func TestQuirk_E49(t *testing.T) {
	t.Parallel()
	patches(t, scim.GroupType(), g1(t), `[{"op":"add","path":"members","value":[{"value":"u3"}]},{"op":"remove","path":"members[value eq \"u3\"]"}]`, with(t, g1(t), `{}`), "")
	r := u1(t)
	_, err := scim.UserType().Patch(r, ops(t, `[{"op":"replace","path":"title","value":"X"},{"op":"replace","path":"id","value":"zz"}]`), scim.AllLenient(), nil)
	require.Contains(t, refusal(t, err, scim.MutabilityErr).Detail, "operation 2")
	require.Equal(t, u1(t), r)
}

func TestQuirk_E50(t *testing.T) {
	t.Parallel()
	patches(t, scim.GroupType(), g1(t), `[{"op":"replace","value":{"externalId":"ext-new"}}]`, with(t, g1(t), `{"externalId":"ext-new"}`), "")
}

func TestQuirk_E51(t *testing.T) {
	t.Parallel()
	patches(t, scim.GroupType(), g1(t), `[{"op":"replace","path":"members","value":[{"value":"u3"}]}]`, with(t, g1(t), `{"members":[{"value":"u3"}]}`), "")
}

func TestQuirk_P07(t *testing.T) {
	t.Parallel()
	want := with(t, g1(t), `{"members":[{"value":"u1"},{"value":"u2"},{"value":"u3"}]}`)
	patches(t, scim.GroupType(), g1(t), `[{"op":"add","path":"members","value":["u3"]}]`, want, scim.InvalidValue, scim.QuirkBareElement)
	patches(t, scim.GroupType(), g1(t), `[{"op":"add","path":"members","value":"u3"}]`, want, scim.InvalidValue, scim.QuirkSingleForList, scim.QuirkBareElement)
}

func TestQuirk_P12(t *testing.T) {
	t.Parallel()
	patches(t, scim.GroupType(), g1(t), `[{"op":"remove","path":"members"}]`, with(t, g1(t), `{"members":null}`), "")
	patches(t, scim.GroupType(), g1(t), `[{"op":"remove","path":"members","value":null}]`, with(t, g1(t), `{"members":null}`), "")
}

func TestQuirk_O08(t *testing.T) {
	t.Parallel()
	patches(t, scim.UserType(), u1(t), `[{"op":"replace","value":{"active":false}}]`, with(t, u1(t), `{"active":false}`), "")
}

func TestQuirk_O09(t *testing.T) {
	t.Parallel()
	r := u1(t)
	patches(t, scim.UserType(), r, `[{"op":"replace","value":{"password":"N3w-pass!"}}]`, with(t, r, `{"password":"N3w-pass!"}`), "")
	shown := scim.UserType().Show(having(t, r, `{"password":"N3w-pass!"}`), base, projection(t, "password,userName", ""))
	require.NotContains(t, encode(t, shown), "N3w")
	_, err := scim.UserType().Patch(r, ops(t, `[{"op":"replace","value":{"password":["N3w-pass!","b"]}}]`), scim.AllLenient(), nil)
	require.NotContains(t, refusal(t, err, scim.InvalidValue).Detail, "N3w")
}

func TestQuirk_O11(t *testing.T) {
	t.Parallel()
	patches(t, scim.GroupType(), g1(t), `[{"op":"replace","value":{"id":"g1","displayName":"Harbour Night"}}]`, with(t, g1(t), `{"displayName":"Harbour Night"}`), "")
	_, err := scim.GroupType().Patch(g1(t), ops(t, `[{"op":"replace","value":{"id":"g2","displayName":"Harbour Night"}}]`), scim.AllLenient(), nil)
	refused(t, err, scim.MutabilityErr)
}

func TestQuirk_O12(t *testing.T) {
	t.Parallel()
	patches(t, scim.GroupType(), g1(t), `[{"op":"remove","path":"members[value eq \"u1\"]"},{"op":"add","path":"members","value":[{"value":"u3","display":"pia.moreau@example.org"}]}]`,
		with(t, g1(t), `{"members":[{"value":"u2"},{"value":"u3","display":"pia.moreau@example.org"}]}`), "")
	patches(t, scim.GroupType(), g1(t), `[{"op":"replace","path":"members","value":[{"value":"u1","display":"x"}]}]`,
		with(t, g1(t), `{"members":[{"value":"u1","display":"x"}]}`), "")
}

func TestQuirk_O13(t *testing.T) {
	t.Parallel()
	patches(t, scim.GroupType(), g1(t), `[{"op":"replace","path":"members","value":[]}]`, with(t, g1(t), `{"members":null}`), "")
	patches(t, scim.GroupType(), g1(t), `[{"op":"replace","value":{"id":"g1","displayName":"Harbour Crew","members":[]}}]`, with(t, g1(t), `{"members":null}`), "")
}

func TestQuirk_A03(t *testing.T) {
	t.Parallel()
	patches(t, scim.GroupType(), g1(t), `[{"op":"replace","value":{"schemas":["`+group+`"],"id":"g1","displayName":"Harbour Crew","externalId":"ak-1"}}]`,
		with(t, g1(t), `{"externalId":"ak-1"}`), scim.MutabilityErr, scim.QuirkSchemasAttribute)
}

func TestQuirk_A04(t *testing.T) {
	t.Parallel()
	r := having(t, g1(t), `{"members":[{"value":"u1"},{"value":"u2"},{"value":"u3"}]}`)
	patches(t, scim.GroupType(), r, `[{"op":"remove","path":"members","value":[{"value":"u1"}]},{"op":"remove","path":"members","value":[{"value":"u2"}]}]`,
		with(t, r, `{"members":[{"value":"u3"}]}`), with(t, r, `{"members":null}`), scim.QuirkRemoveValues)
}

func TestQuirk_S01(t *testing.T) {
	t.Parallel()
	patches(t, scim.UserType(), u1(t), `[{"op":"replace","path":"name","value":{"familyName":"Berg"}}]`, with(t, u1(t), `{"name":{"givenName":"Nora","familyName":"Berg"}}`), "")
}

func TestQuirk_S03(t *testing.T) {
	t.Parallel()
	patches(t, scim.UserType(), u1(t), `[{"op":"add","path":"nickname","value":"N"},{"op":"add","path":"name.middlename","value":"M"}]`,
		with(t, u1(t), `{"nickName":"N","name":{"givenName":"Nora","familyName":"Lind","middleName":"M"}}`), "")
}

func TestQuirk_X01(t *testing.T) {
	t.Parallel()
	patches(t, scim.UserType(), u1(t), `[{"op":"add","path":"emails","value":[{"type":"home","primary":true,"value":"n@home.example"}]}]`,
		with(t, u1(t), `{"emails":[{"type":"work","primary":false,"value":"nora.lind@example.org"},{"type":"home","primary":true,"value":"n@home.example"}]}`), "")
	two := having(t, u1(t), `{"emails":[{"type":"work","primary":true,"value":"a"},{"type":"home","value":"b"}]}`)
	patches(t, scim.UserType(), two, `[{"op":"replace","path":"emails[type eq \"home\"].primary","value":true}]`,
		with(t, two, `{"emails":[{"type":"work","primary":false,"value":"a"},{"type":"home","primary":true,"value":"b"}]}`), "")
	patches(t, scim.UserType(), two, `[{"op":"add","path":"emails","value":[{"type":"home","value":"b","primary":true}]}]`,
		with(t, two, `{"emails":[{"type":"work","primary":false,"value":"a"},{"type":"home","primary":true,"value":"b"}]}`), "")
	for _, text := range []string{
		`[{"op":"add","path":"emails","value":[{"value":"c","primary":true},{"value":"d","primary":true}]}]`,
		`[{"op":"replace","path":"emails","value":[{"value":"c","primary":true},{"value":"d","primary":true}]}]`,
		`[{"op":"replace","path":"emails.primary","value":true}]`,
	} {
		_, err := scim.UserType().Patch(two, ops(t, text), scim.AllLenient(), nil)
		require.Contains(t, refusal(t, err, scim.InvalidValue).Detail, "primary")
	}
}

func TestQuirk_X02(t *testing.T) {
	t.Parallel()
	r := having(t, u1(t), `{"emails":[{"type":"work","primary":true,"display":"N","value":"a"}]}`)
	patches(t, scim.UserType(), r, `[{"op":"replace","path":"emails[type eq \"work\"].value","value":"x@example.org"}]`,
		with(t, r, `{"emails":[{"type":"work","primary":true,"display":"N","value":"x@example.org"}]}`), "")
}

func TestQuirk_X03(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`[{"op":"replace","path":"id","value":"u9"}]`, `[{"op":"remove","path":"id"}]`, `[{"op":"add","path":"meta.created","value":"x"}]`,
		`[{"op":"replace","value":{"meta":{"resourceType":"User"}}}]`, `[{"op":"add","path":"groups","value":[{"value":"g1"}]}]`,
		`[{"op":"replace","path":"` + ent + `:manager.displayName","value":"x"}]`,
	} {
		for _, l := range []scim.Lenient{nil, scim.AllLenient()} {
			_, err := scim.UserType().Patch(u1(t), ops(t, text), l, nil)
			refused(t, err, scim.MutabilityErr)
		}
	}
	patches(t, scim.UserType(), u1(t), `[{"op":"replace","path":"id","value":"u1"},{"op":"replace","value":{"groups":[]}}]`, with(t, u1(t), `{}`), "")
}

func TestQuirk_X06(t *testing.T) {
	t.Parallel()
	for _, l := range []scim.Lenient{nil, scim.AllLenient()} {
		for _, member := range []string{`{}`, `{"display":"x"}`, `{"$ref":"https://x/Users/u1"}`, `{"value":null}`} {
			_, err := scim.GroupType().Patch(g1(t), ops(t, `[{"op":"add","path":"members","value":[`+member+`]}]`), l, nil)
			require.Contains(t, refusal(t, err, scim.InvalidValue).Detail, "members.value", member)
			_, err = scim.GroupType().Accept(object(t, `{"schemas":["`+group+`"],"displayName":"x","members":[`+member+`]}`), nil, l, nil)
			require.Contains(t, refusal(t, err, scim.InvalidValue).Detail, "members.value", member)
		}
	}
}

func TestQuirk_X07(t *testing.T) {
	t.Parallel()
	for _, l := range []scim.Lenient{nil, scim.AllLenient()} {
		_, err := scim.UserType().Patch(u1(t), ops(t, `[{"op":"remove"}]`), l, nil)
		refused(t, err, scim.NoTarget)
		for _, where := range []string{`type co \"mob\"`, `not (type eq \"work\")`, `type eq \"a\" or type eq \"b\"`, `type pr`, `type eq \"a\" and type eq \"b\"`} {
			for _, op := range []string{"add", "replace"} {
				_, err := scim.UserType().Patch(u1(t), ops(t, `[{"op":"`+op+`","path":"phoneNumbers[`+where+`].value","value":"1"}]`), l, nil)
				refused(t, err, scim.NoTarget)
			}
			got, err := scim.UserType().Patch(u1(t), ops(t, `[{"op":"remove","path":"phoneNumbers[`+where+`]"}]`), l, nil)
			require.NoError(t, err)
			require.Equal(t, u1(t).Attributes, got)
		}
	}
}

func TestQuirk_X08(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"dispalyName", "name.nick", "urn:x:y", "urn:acme:User:badge", `emails[kind eq \"x\"].value`, ent + ":badge", ent + ":manager.kind"} {
		for _, op := range []string{"add", "replace", "remove"} {
			patches(t, scim.UserType(), u1(t), `[{"op":"replace","path":"title","value":"X"},{"op":"`+op+`","path":"`+path+`","value":"x"}]`,
				with(t, u1(t), `{"title":"X"}`), scim.InvalidPath, scim.QuirkUnknownPath)
		}
	}
	patches(t, scim.UserType(), u1(t), `[{"op":"replace","value":{"title":"X","badge":"7","name":{"nick":"N"},"`+ent+`":{"badge":"7"}}}]`,
		with(t, u1(t), `{"title":"X"}`), scim.InvalidPath, scim.QuirkUnknownAttribute)
	for _, path := range []string{"emails[", "emails[type eq]", "a b", "."} {
		_, err := scim.UserType().Patch(u1(t), ops(t, `[{"op":"replace","path":"`+path+`","value":"x"}]`), scim.AllLenient(), nil)
		refused(t, err, scim.InvalidPath)
	}
}

func TestQuirk_X09(t *testing.T) {
	t.Parallel()
	patches(t, scim.UserType(), u1(t), `[{"op":"replace","path":"`+ent+`:employeeNumber","value":4712}]`,
		with(t, u1(t), `{"`+ent+`":{"department":"Docks","employeeNumber":"4712"}}`), scim.InvalidValue, scim.QuirkNumberForText)
}

func TestQuirk_X10(t *testing.T) {
	t.Parallel()
	want := with(t, having(t, u1(t), `{"emails":null}`), `{"emails":[{"value":"n@example.org"}]}`)
	patches(t, scim.UserType(), u1(t), `[{"op":"replace","path":"emails","value":{"value":"n@example.org"}}]`, want, scim.InvalidValue, scim.QuirkSingleForList)
	patches(t, scim.UserType(), having(t, u1(t), `{"emails":null}`), `[{"op":"add","path":"emails","value":"n@example.org"}]`, want,
		scim.InvalidValue, scim.QuirkSingleForList, scim.QuirkBareElement)
}

func TestQuirk_X21(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`[{"op":"replace","path":"active","value":true}]`,
		`[{"op":"replace","path":"emails","value":[{"value":"nora.lind@example.org","primary":true,"type":"work"}]}]`,
		`[{"op":"add","path":"emails","value":[{"value":"nora.lind@example.org","type":"work"}]}]`,
		`[{"op":"replace","path":"name","value":{"familyName":"Lind"}}]`,
		`[{"op":"replace","value":{"` + ent + `":{"department":"Docks"}}}]`,
		`[{"op":"remove","path":"title"}]`, `[{"op":"remove","path":"` + ent + `:manager"}]`,
	} {
		got, err := scim.UserType().Patch(u1(t), ops(t, text), nil, nil)
		require.NoError(t, err)
		require.Nil(t, scim.UserType().Diff(u1(t).Attributes, got), text)
	}
	got, err := scim.GroupType().Patch(g1(t), ops(t, `[{"op":"replace","path":"members","value":[{"value":"u2"},{"value":"u1"}]}]`), nil, nil)
	require.NoError(t, err)
	require.Nil(t, scim.GroupType().Diff(g1(t).Attributes, got))
}

func projection(t *testing.T, attributes, excluded string) scim.Projection {
	t.Helper()
	p, err := scim.ParseProjection(attributes, excluded, nil, nil)
	require.NoError(t, err)
	return p
}
