package scim_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim"
)

// accepts takes a body leniently and compares what is kept, and the quirks used.
func accepts(t *testing.T, rt *scim.ResourceType, body, want string, quirks ...scim.Quirk) {
	t.Helper()
	var used tally
	got, err := rt.Accept(object(t, body), nil, scim.AllLenient(), used.note)
	require.NoError(t, err)
	require.Equal(t, object(t, want), got)
	require.ElementsMatch(t, quirks, used)
	strict, err := rt.Accept(object(t, body), nil, nil, nil)
	if len(quirks) == 0 {
		require.NoError(t, err)
		require.Equal(t, got, strict)
		return
	}
	if err == nil { // what is another value, but no fault
		require.NotEqual(t, got, strict)
	}
}

func TestQuirk_E14(t *testing.T) {
	t.Parallel()
	accepts(t, scim.UserType(), `{"schemas":["`+core+`","`+ent+`"],"externalId":"ext-pia","userName":"pia.moreau@example.org","active":true,
		"displayName":"Pia Moreau","emails":[{"primary":true,"type":"work","value":"pia.moreau@example.org"}],"meta":{"resourceType":"User"},
		"name":{"formatted":"Pia Moreau","familyName":"Moreau","givenName":"Pia"},"roles":[]}`,
		`{"externalId":"ext-pia","userName":"pia.moreau@example.org","active":true,"displayName":"Pia Moreau",
		"emails":[{"primary":true,"type":"work","value":"pia.moreau@example.org"}],
		"name":{"formatted":"Pia Moreau","familyName":"Moreau","givenName":"Pia"}}`)
}

func TestShow_user(t *testing.T) {
	t.Parallel()
	got := scim.UserType().Show(u1(t), base, scim.Projection{})
	require.Equal(t, object(t, `{"schemas":["`+core+`","`+ent+`"],"id":"u1","userName":"nora.lind@example.org","externalId":"ext-nora","active":true,
			"name":{"givenName":"Nora","familyName":"Lind"},
			"emails":[{"type":"work","primary":true,"value":"nora.lind@example.org"}],
			"`+ent+`":{"department":"Docks","employeeNumber":"4711"},
			"meta":{"resourceType":"User","created":"2026-03-01T09:00:00Z","lastModified":"2026-03-02T09:00:00Z",
			"location":"`+base+`/Users/u1","version":"W/\"1\""}}`), got)
}

// puts takes a body as a PUT over a resource.
func puts(t *testing.T, rt *scim.ResourceType, before scim.Resource, body, want string, l scim.Lenient) {
	t.Helper()
	was := encode(t, before.Attributes)
	got, err := rt.Accept(object(t, body), &before, l, nil)
	require.NoError(t, err)
	require.Equal(t, object(t, want), got)
	require.Equal(t, was, encode(t, before.Attributes))
}

// rejects takes a body leniently and strictly, and both are refused.
func rejects(t *testing.T, rt *scim.ResourceType, body string, kind scim.ErrorType, names string) {
	t.Helper()
	for _, l := range []scim.Lenient{nil, scim.AllLenient()} {
		_, err := rt.Accept(object(t, body), nil, l, nil)
		require.Contains(t, refusal(t, err, kind).Detail, names)
	}
}

const listed = `"schemas":["` + core + `","` + ent + `"],"userName":"p"`

func TestQuirk_E15(t *testing.T) {
	t.Parallel()
	accepts(t, scim.UserType(), `{`+listed+`,"addresses":null,"phoneNumbers":null,"title":null,"department":null,"manager":null,"`+ent+`":null,"name":{"givenName":null}}`,
		`{"userName":"p"}`, scim.QuirkExtensionWithoutURN)
	accepts(t, scim.UserType(), `{`+listed+`,"department":"Docks","`+ent+`":{"division":"D","department":"Yard"}}`,
		`{"userName":"p","`+ent+`":{"division":"D","department":"Yard"}}`, scim.QuirkExtensionWithoutURN)
	accepts(t, scim.UserType(), `{`+listed+`,"manager.value":"u2"}`, `{"userName":"p","`+ent+`":{"manager":{"value":"u2"}}}`,
		scim.QuirkDottedKey, scim.QuirkExtensionWithoutURN)
}

func TestQuirk_E16(t *testing.T) {
	t.Parallel()
	accepts(t, scim.UserType(), `{`+listed+`,"active":"True","emails":[{"primary":"tRUE","value":"x"}],"roles":[{"primary":"False","type":"x","value":"y","display":"z"}]}`,
		`{"userName":"p","active":true,"emails":[{"primary":true,"value":"x"}],"roles":[{"primary":false,"type":"x","value":"y","display":"z"}]}`, scim.QuirkTextForBoolean)
	rejects(t, scim.UserType(), `{`+listed+`,"active":"yes"}`, scim.InvalidValue, "active: expected true or false, not a text")
	rejects(t, scim.UserType(), `{`+listed+`,"active":1}`, scim.InvalidValue, "active: expected true or false, not a number")
	rejects(t, scim.UserType(), `{`+listed+`,"emails":[{"primary":"maybe"}]}`, scim.InvalidValue, "emails.primary: expected true or false")
}

func TestQuirk_E17(t *testing.T) {
	t.Parallel()
	accepts(t, scim.GroupType(), `{"schemas":["`+group+`","http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],"displayName":"x"}`,
		`{"displayName":"x"}`, scim.QuirkUnknownSchema)
	accepts(t, scim.GroupType(), `{"displayName":"x"}`, `{"displayName":"x"}`, scim.QuirkNoSchemas)
}

func TestQuirk_E18(t *testing.T) {
	t.Parallel()
	only := `"schemas":["` + core + `"],"userName":"p"`
	accepts(t, scim.UserType(), `{`+only+`,"urn:ietf:params:scim:schemas:extension:acme:2.0:User":{"badge":"77"}}`, `{"userName":"p"}`, scim.QuirkUnknownAttribute)
	accepts(t, scim.UserType(), `{`+only+`,"urn:ietf:params:scim:schemas:extension:enterprise:2.0User":{"department":"x"}}`, `{"userName":"p"}`, scim.QuirkUnknownAttribute)
	accepts(t, scim.UserType(), `{`+only+`,"`+ent+`":{"department":"x"}}`, `{"userName":"p","`+ent+`":{"department":"x"}}`, scim.QuirkUnlistedExtension)
	accepts(t, scim.UserType(), `{`+listed+`,"`+ent+`":{"badge":"7","schemas":["`+ent+`"]},"name":{"nick":"N"}}`, `{"userName":"p"}`, scim.QuirkUnknownAttribute)
	_, err := scim.UserType().Accept(object(t, `{`+only+`,"badge":"77"}`), nil, nil, nil)
	require.Contains(t, refusal(t, err, scim.InvalidSyntax).Detail, "badge")
}

func TestQuirk_E19(t *testing.T) {
	t.Parallel()
	accepts(t, scim.UserType(), `{`+listed+`,"`+ent+`":{"manager":"u2"}}`, `{"userName":"p","`+ent+`":{"manager":{"value":"u2"}}}`, scim.QuirkBareComplex)
	shown := scim.UserType().Show(having(t, u1(t), `{"`+ent+`":{"manager":{"value":"u2"}}}`), base, scim.Projection{})
	require.Equal(t, object(t, `{"manager":{"value":"u2","$ref":"`+base+`/Users/u2"}}`), shown[ent])
}

func TestQuirk_E20(t *testing.T) {
	t.Parallel()
	accepts(t, scim.UserType(), `{`+listed+`,"`+ent+`":{"manager":{"value":"XKQZ","displayName":"ignored"}}}`, `{"userName":"p","`+ent+`":{"manager":{"value":"XKQZ"}}}`)
}

func TestQuirk_E21(t *testing.T) {
	t.Parallel()
	junk := `"profileUrl":"QWERTY","timezone":"Africa/Nowhere","locale":"ZZTOP","preferredLanguage":"jgo-CM",
		"addresses":[{"country":"Sierra Leone","type":"untyped"}],"phoneNumbers":[{"value":"27-481-2844","type":"fax"}],"ims":[{"type":"7","value":"x"}]`
	accepts(t, scim.UserType(), `{`+listed+`,`+junk+`}`, `{"userName":"p",`+junk+`}`)
}

func TestQuirk_E23(t *testing.T) {
	t.Parallel()
	accepts(t, scim.GroupType(), `{"schemas":["`+group+`"],"externalId":"ext-g2","displayName":"Night Watch","meta":{"resourceType":"Group"}}`,
		`{"externalId":"ext-g2","displayName":"Night Watch"}`)
}

func TestQuirk_E40(t *testing.T) {
	t.Parallel()
	accepts(t, scim.UserType(), `{`+listed+`,"roles":[{"primary":true,"type":"WindowsAzureActiveDirectoryRole","value":"{\"id\":\"1\",\"value\":\"Pilot\",\"displayName\":\"The pilot\"}"}]}`,
		`{"userName":"p","roles":[{"primary":true,"type":"WindowsAzureActiveDirectoryRole","value":"Pilot","display":"The pilot"}]}`, scim.QuirkRoleJSON)
	accepts(t, scim.UserType(), `{`+listed+`,"roles":[{"displayName":"The pilot","value":"Pilot"}]}`,
		`{"userName":"p","roles":[{"value":"Pilot","display":"The pilot"}]}`, scim.QuirkDisplayName)
}

func TestQuirk_P03(t *testing.T) {
	t.Parallel()
	accepts(t, scim.UserType(), `{"Schemas":["`+core+`"],"UserName":"Nora","Active":true,"Name":{"FamilyName":"Lind"},"Emails":[{"Primary":true,"Type":"work","Value":"n@example.org"}]}`,
		`{"userName":"Nora","active":true,"name":{"familyName":"Lind"},"emails":[{"primary":true,"type":"work","value":"n@example.org"}]}`)
	rejects(t, scim.UserType(), `{`+listed+`,"username":"q"}`, scim.InvalidSyntax, "twice")
	rejects(t, scim.UserType(), `{`+listed+`,"name":{"familyName":"a","FamilyName":"b"}}`, scim.InvalidSyntax, "name: ")
	rejects(t, scim.UserType(), `{`+listed+`,"`+ent+`":{"department":"a","Department":"b"}}`, scim.InvalidSyntax, ent)
	rejects(t, scim.UserType(), `{`+listed+`,"emails":[{"value":"a","VALUE":"b"}]}`, scim.InvalidSyntax, "emails: ")
}

func TestQuirk_P09(t *testing.T) {
	t.Parallel()
	accepts(t, scim.UserType(), `{`+listed+`,"dispalyName":"x"}`, `{"userName":"p"}`, scim.QuirkUnknownAttribute)
}

func TestQuirk_P10(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", `,"userName":null`, `,"userName":""`} {
		rejects(t, scim.UserType(), `{"schemas":["`+core+`"],"title":"x"`+name+`}`, scim.InvalidValue, "userName")
	}
	r := u1(t)
	_, err := scim.UserType().Accept(object(t, `{"schemas":["`+core+`"],"title":"x"}`), &r, scim.AllLenient(), nil)
	refused(t, err, scim.InvalidValue)
}

func TestQuirk_P13(t *testing.T) {
	t.Parallel()
	accepts(t, scim.GroupType(), `{"schemas":["`+group+`"],"displayName":"x","members":[{"value":"u1","display":"d"}]}`, `{"displayName":"x","members":[{"value":"u1","display":"d"}]}`)
	accepts(t, scim.GroupType(), `{"schemas":["`+group+`"],"displayName":"x","members":[{"value":"u1","display":"d","displayName":"e"},{"value":"u2","displayName":"e"}]}`,
		`{"displayName":"x","members":[{"value":"u1","display":"d"},{"value":"u2","display":"e"}]}`, scim.QuirkDisplayName)
}

func TestQuirk_P15(t *testing.T) {
	t.Parallel()
	puts(t, scim.GroupType(), g1(t), `{"schemas":["`+group+`"],"displayName":"x"}`, `{"displayName":"x"}`, nil)
}

func TestQuirk_O04(t *testing.T) {
	t.Parallel()
	accepts(t, scim.UserType(), `{`+listed+`,"name":{"givenName":"Pia","middleName":""},"groups":[],"password":"Tmp-pass-1"}`,
		`{"userName":"p","name":{"givenName":"Pia"},"password":"Tmp-pass-1"}`, scim.QuirkEmptyText)
	_, err := scim.UserType().Accept(object(t, `{`+listed+`,"password":{"x":"Tmp-pass-1"}}`), nil, nil, nil)
	require.NotContains(t, refusal(t, err, scim.InvalidValue).Detail, "Tmp")
}

func TestQuirk_O06(t *testing.T) {
	t.Parallel()
	r := u1(t)
	shown := encode(t, scim.UserType().Show(r, base, scim.Projection{}))
	puts(t, scim.UserType(), r, shown, with(t, r, `{}`), nil)
	_, err := scim.UserType().Accept(object(t, `{"id":"u9",`+listed+`}`), &r, scim.AllLenient(), nil)
	refused(t, err, scim.MutabilityErr)
	grouped := having(t, r, `{"groups":[{"value":"g1","display":"Harbour Crew"}]}`)
	puts(t, scim.UserType(), grouped, `{`+listed+`,"active":false,"groups":[]}`, `{"userName":"p","active":false,"groups":[{"value":"g1","display":"Harbour Crew"}]}`, nil)
}

func TestQuirk_O07(t *testing.T) {
	t.Parallel()
	for _, active := range []string{"true", "false"} {
		r := having(t, u1(t), `{"active":`+active+`}`)
		puts(t, scim.UserType(), r, `{`+listed+`}`, `{"userName":"p","active":`+active+`}`, nil)
		puts(t, scim.UserType(), r, `{`+listed+`,"active":null}`, `{"userName":"p","active":`+active+`}`, nil)
	}
	puts(t, scim.UserType(), having(t, u1(t), `{"active":null}`), `{`+listed+`}`, `{"userName":"p"}`, nil)
}

func TestQuirk_O10(t *testing.T) {
	t.Parallel()
	accepts(t, scim.GroupType(), `{"schemas":["`+group+`"],"displayName":"Harbour Crew","members":[]}`, `{"displayName":"Harbour Crew"}`)
}

func TestQuirk_O15(t *testing.T) {
	t.Parallel()
	puts(t, scim.GroupType(), g1(t), `{"schemas":["`+group+`"],"id":"g1","displayName":"Harbour Crew","members":[{"value":"u1","display":null}]}`,
		`{"displayName":"Harbour Crew","members":[{"value":"u1"}]}`, nil)
}

func TestQuirk_O20(t *testing.T) {
	t.Parallel()
	accepts(t, scim.GroupType(), `{"schemas":["`+group+`","urn:okta:custom:group:1.0"],"displayName":"x","urn:okta:custom:group:1.0":{"description":"d"}}`,
		`{"displayName":"x"}`, scim.QuirkUnknownSchema, scim.QuirkUnknownAttribute)
}

func TestQuirk_K01(t *testing.T) {
	t.Parallel()
	accepts(t, scim.UserType(), `{`+listed+`,"externalId":"f:3c1d:nora"}`, `{"userName":"p","externalId":"f:3c1d:nora"}`)
}

func TestQuirk_X04(t *testing.T) {
	t.Parallel()
	accepts(t, scim.UserType(), `{`+listed+`,"id":"mine","meta":{"version":"x"},"groups":[{"value":"g1"}]}`, `{"userName":"p"}`)
}

func TestQuirk_X09_body(t *testing.T) {
	t.Parallel()
	accepts(t, scim.UserType(), `{`+listed+`,"`+ent+`":{"employeeNumber":4711}}`, `{"userName":"p","`+ent+`":{"employeeNumber":"4711"}}`, scim.QuirkNumberForText)
	rt := acme(t)
	head := `{"schemas":["` + core + `","urn:acme:User"],"userName":"p","urn:acme:User":`
	accepts(t, rt, head+`{"floor":"7","share":"1.5"}}`, `{"userName":"p","urn:acme:User":{"floor":7,"share":1.5}}`, scim.QuirkTextForNumber)
	for value, names := range map[string]string{
		`{"floor":7.5}`: "urn:acme:User:floor: expected an integer", `{"floor":"x"}`: "floor: expected an integer, not a text",
		`{"share":true}`: "share: expected a number, not a boolean", `{"share":"1e"}`: "share: expected a number",
		`{"since":5}`: "since: expected a text", `{"key":[1,2]}`: "key: expected one value",
	} {
		rejects(t, rt, head+value+`}`, scim.InvalidValue, names)
	}
}

func TestQuirk_X10_body(t *testing.T) {
	t.Parallel()
	accepts(t, scim.UserType(), `{`+listed+`,"emails":{"value":"n@example.org"}}`, `{"userName":"p","emails":[{"value":"n@example.org"}]}`, scim.QuirkSingleForList)
	accepts(t, scim.UserType(), `{`+listed+`,"emails":"n@example.org"}`, `{"userName":"p","emails":[{"value":"n@example.org"}]}`, scim.QuirkSingleForList, scim.QuirkBareElement)
	accepts(t, scim.UserType(), `{`+listed+`,"displayName":[{"value":"N"}]}`, `{"userName":"p","displayName":"N"}`, scim.QuirkListForSingle, scim.QuirkObjectForSimple)
	accepts(t, scim.UserType(), `{`+listed+`,"displayName":{"Value":"N"},"name":[]}`, `{"userName":"p","displayName":"N"}`, scim.QuirkListForSingle, scim.QuirkObjectForSimple)
	accepts(t, scim.UserType(), `{`+listed+`,"emails":""}`, `{"userName":"p"}`, scim.QuirkEmptyText)
	rejects(t, scim.UserType(), `{`+listed+`,"displayName":["a","b"]}`, scim.InvalidValue, "displayName: expected one value, not a list")
	rejects(t, scim.UserType(), `{`+listed+`,"addresses":["Docks 1"]}`, scim.InvalidValue, "addresses: expected an object, not a text")
	rejects(t, scim.UserType(), `{`+listed+`,"name":"Nora"}`, scim.InvalidValue, "name: expected an object")
	rejects(t, scim.UserType(), `{`+listed+`,"`+ent+`":"x"}`, scim.InvalidValue, ent+": expected an object")
}

func TestQuirk_E45_body(t *testing.T) {
	t.Parallel()
	accepts(t, scim.UserType(), `{`+listed+`,"name.givenName":"N","name":{"familyName":"L"},"`+ent+`:department":"D"}`,
		`{"userName":"p","name":{"givenName":"N","familyName":"L"},"`+ent+`":{"department":"D"}}`, scim.QuirkDottedKey, scim.QuirkURNKey)
	accepts(t, scim.UserType(), `{`+listed+`,"name.givenName":"N","name":{"givenName":"M"},"emails.value":"e","`+core+`":{"title":"t"}}`,
		`{"userName":"p","name":{"givenName":"M"},"emails":[{"value":"e"}],"title":"t"}`, scim.QuirkDottedKey, scim.QuirkURNKey)
}

func TestQuirk_X12(t *testing.T) {
	t.Parallel()
	accepts(t, scim.GroupType(), `{"schemas":["`+group+`"],"displayName":"x","members":[{"value":"g2","type":"Group"},{"value":"g3","$ref":"https://x/scim/v2/Groups/g3"},{"value":"u1"}]}`,
		`{"displayName":"x","members":[{"value":"g2","type":"Group"},{"value":"g3","type":"Group"},{"value":"u1"}]}`)
	shown := scim.GroupType().Show(having(t, g1(t), `{"members":[{"value":"g/2","type":"Group"},{"value":"u1","type":"User"},{"value":"u2"}]}`), base, scim.Projection{})
	require.Equal(t, decodeAny(t, `[{"value":"g/2","type":"Group","$ref":"`+base+`/Groups/g%2F2"},{"value":"u1","type":"User","$ref":"`+base+`/Users/u1"},{"value":"u2"}]`), shown["members"])
}

func TestQuirk_X24(t *testing.T) {
	t.Parallel()
	accepts(t, scim.UserType(), `{`+listed+`,"x509Certificates":[{"value":"QUJD\nREVG=="}]}`, `{"userName":"p","x509Certificates":[{"value":"QUJD\nREVG=="}]}`)
}

func TestQuirk_X01_body(t *testing.T) {
	t.Parallel()
	rejects(t, scim.UserType(), `{`+listed+`,"emails":[{"value":"a","primary":true},{"value":"b","primary":true}]}`, scim.InvalidValue, "emails.primary")
	accepts(t, scim.GroupType(), `{"schemas":["`+group+`"],"displayName":"x","members":[{"value":"u1"},{"value":"u1","display":"again"},null]}`,
		`{"displayName":"x","members":[{"value":"u1"}]}`)
}

func TestAccept_put(t *testing.T) {
	t.Parallel()
	rt := acme(t)
	r := having(t, u1(t), `{"urn:acme:User":{"badge":"77","seen":"yes","desk":{"room":"1","building":"A"}},"`+ent+`":{"manager":{"value":"u2","displayName":"Omar"}}}`)
	head := `{"schemas":["` + core + `","` + ent + `","urn:acme:User"],"userName":"p","active":true`
	// immutable and readOnly values stay, also where the body does not have them
	puts(t, rt, r, head+`}`, `{"userName":"p","active":true,"urn:acme:User":{"badge":"77","seen":"yes"}}`, nil)
	puts(t, rt, r, head+`,"urn:acme:User":{"badge":"77","seen":"no","desk":{"building":"A"}}}`,
		`{"userName":"p","active":true,"urn:acme:User":{"badge":"77","seen":"yes","desk":{"room":"1","building":"A"}}}`, nil)
	for _, body := range []string{`{"badge":"78"}`, `{"desk":{"room":"2"}}`} {
		_, err := rt.Accept(object(t, head+`,"urn:acme:User":`+body+`}`), &r, scim.AllLenient(), nil)
		require.Contains(t, refusal(t, err, scim.MutabilityErr).Detail, "urn:acme:User:")
	}
	// what the server said about a value goes with it
	puts(t, rt, r, head+`,"`+ent+`":{"manager":{"value":"u2"}}}`, `{"userName":"p","active":true,"urn:acme:User":{"badge":"77","seen":"yes"},"`+ent+`":{"manager":{"value":"u2","displayName":"Omar"}}}`, nil)
	puts(t, rt, r, head+`,"`+ent+`":{"manager":{"value":"u3"}}}`, `{"userName":"p","active":true,"urn:acme:User":{"badge":"77","seen":"yes"},"`+ent+`":{"manager":{"value":"u3"}}}`, nil)
}

func TestAccept_required(t *testing.T) {
	t.Parallel()
	rt := acme(t)
	rt.Extensions[1].Required = true
	rejects(t, rt, `{`+listed+`}`, scim.InvalidValue, "urn:acme:User: expected the extension")
	rt.Extensions[1].Schema.Attributes[0].Required = true
	rejects(t, rt, `{"schemas":["`+core+`","urn:acme:User"],"userName":"p","urn:acme:User":{"floor":1}}`, scim.InvalidValue, "urn:acme:User:")
	rt.Extensions[1].Schema.Attributes[5].SubAttributes[0].Required = true
	rejects(t, rt, `{"schemas":["`+core+`","urn:acme:User"],"userName":"p","urn:acme:User":{"badge":"1","desk":{"building":"A"}}}`, scim.InvalidValue, "urn:acme:User:desk.room: expected a value")
}

func TestAccept_text(t *testing.T) {
	t.Parallel()
	rejects(t, scim.UserType(), `{`+listed+`,"title":"a\u0000b"}`, scim.InvalidValue, "title: expected a text without")
	rejects(t, scim.UserType(), `{`+listed+`,"title":true}`, scim.InvalidValue, "title: expected a text, not a boolean")
	long, strange := `"displayName":"`+string(make([]rune, 0))+`שלום 🚢 é"`, `"title":"\ufffd"`
	accepts(t, scim.UserType(), `{`+listed+`,`+long+`,`+strange+`}`, `{"userName":"p",`+long+`,`+strange+`}`)
}

// acme is a user type with an extension that has what the RFC's own have not.
func acme(t testing.TB) *scim.ResourceType {
	t.Helper()
	s, err := scim.ReadSchema([]byte(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Schema"],"id":"urn:acme:User","name":"Acme","description":"","attributes":[
		{"name":"badge","mutability":"immutable"},
		{"name":"floor","type":"integer"},{"name":"share","type":"decimal"},{"name":"since","type":"dateTime"},
		{"name":"seen","mutability":"readOnly"},
		{"name":"desk","type":"complex","subAttributes":[{"name":"room","mutability":"immutable"},{"name":"building"}]},
		{"name":"tags","multiValued":true},
		{"name":"key","type":"binary","returned":"request"},
		{"name":"always","returned":"always"},
		{"name":"secret","returned":"never"},
		{"name":"keys","multiValued":true,"mutability":"immutable"},
		{"name":"seat","type":"complex","mutability":"immutable","subAttributes":[{"name":"value"},{"name":"type"},{"name":"note"}]},
		{"name":"cards","type":"complex","multiValued":true,"mutability":"immutable","subAttributes":[{"name":"value"},{"name":"type"}]},
		{"name":"log","type":"complex","multiValued":true,"subAttributes":[{"name":"at","type":"dateTime"},{"name":"level","type":"integer"},{"name":"hidden","returned":"never"}]}
	]}`))
	require.NoError(t, err)
	rt := scim.UserType()
	rt.Extensions = append(rt.Extensions, scim.Extension{Schema: s})
	return rt
}
