package scim_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim"
)

// The examples of RFC 7644 section 3.5.2, in their order.
func TestPatch_RFC7644(t *testing.T) {
	t.Parallel()
	gt, ut := scim.GroupType(), scim.UserType()
	none := having(t, g1(t), `{"members":null}`)
	patches(t, gt, none, `[{"op":"add","path":"members","value":[{"display":"Babs Jensen","$ref":"https://example.com/v2/Users/2819c223","value":"2819c223"}]}]`,
		with(t, none, `{"members":[{"display":"Babs Jensen","value":"2819c223","type":"User"}]}`), "")
	patches(t, ut, u1(t), `[{"op":"add","value":{"emails":[{"value":"babs@jensen.org","type":"home"}],"nickname":"Babs"}}]`,
		with(t, u1(t), `{"nickName":"Babs","emails":[{"type":"work","primary":true,"value":"nora.lind@example.org"},{"value":"babs@jensen.org","type":"home"}]}`), "")

	patches(t, gt, g1(t), `[{"op":"remove","path":"members[value eq \"u1\"]"}]`, with(t, g1(t), `{"members":[{"value":"u2"}]}`), "")
	patches(t, gt, g1(t), `[{"op":"remove","path":"members"}]`, with(t, none, `{}`), "")
	mails := having(t, u1(t), `{"emails":[{"type":"work","value":"a@example.com"},{"type":"work","value":"a@example.org"},{"type":"home","value":"b@example.com"}]}`)
	patches(t, ut, mails, `[{"op":"remove","path":"emails[type eq \"work\" and value ew \"example.com\"]"}]`,
		with(t, mails, `{"emails":[{"type":"work","value":"a@example.org"},{"type":"home","value":"b@example.com"}]}`), "")
	patches(t, gt, g1(t), `[{"op":"remove","path":"members[value eq \"u1\"]"},{"op":"add","path":"members","value":[{"display":"James","$ref":"https://example.com/v2/Users/08e1d05d","value":"08e1d05d"}]}]`,
		with(t, g1(t), `{"members":[{"value":"u2"},{"display":"James","value":"08e1d05d","type":"User"}]}`), "")
	patches(t, gt, g1(t), `[{"op":"remove","path":"members"},{"op":"add","path":"members","value":[{"value":"u3"},{"value":"u4"}]}]`,
		with(t, g1(t), `{"members":[{"value":"u3"},{"value":"u4"}]}`), "")

	patches(t, gt, g1(t), `[{"op":"replace","path":"members","value":[{"value":"u3"},{"value":"u4"}]}]`, with(t, g1(t), `{"members":[{"value":"u3"},{"value":"u4"}]}`), "")
	homes := having(t, u1(t), `{"addresses":[{"type":"work","country":"SE","primary":true},{"type":"home","country":"SE"}]}`)
	patches(t, ut, homes, `[{"op":"replace","path":"addresses[type eq \"work\"]","value":{"type":"work","streetAddress":"911 Universal City Plaza","primary":true}}]`,
		with(t, homes, `{"addresses":[{"type":"work","streetAddress":"911 Universal City Plaza","primary":true},{"type":"home","country":"SE"}]}`), "")
	patches(t, ut, homes, `[{"op":"replace","path":"addresses[type eq \"work\"].streetAddress","value":"1010 Broadway Ave"}]`,
		with(t, homes, `{"addresses":[{"type":"work","country":"SE","streetAddress":"1010 Broadway Ave","primary":true},{"type":"home","country":"SE"}]}`), "")
	patches(t, ut, u1(t), `[{"op":"replace","value":{"emails":[{"value":"bjensen@example.com","type":"work","primary":true},{"value":"babs@jensen.org","type":"home"}],"nickname":"Babs"}}]`,
		with(t, u1(t), `{"nickName":"Babs","emails":[{"value":"bjensen@example.com","type":"work","primary":true},{"value":"babs@jensen.org","type":"home"}]}`), "")
}

func TestPatch_elements(t *testing.T) {
	t.Parallel()
	ut := scim.UserType()
	r := having(t, u1(t), `{"emails":[{"type":"work","value":"a","primary":true},{"type":"home","value":"b","display":"B"}]}`)
	for _, c := range []struct{ rule, ops, want string }{
		{"add behind a filter merges", `[{"op":"add","path":"emails[type eq \"home\"]","value":{"display":"C"}}]`, `[{"type":"work","value":"a","primary":true},{"type":"home","value":"b","display":"C"}]`},
		{"replace behind a filter replaces, and keeps what it says", `[{"op":"replace","path":"emails[type eq \"home\"]","value":{"value":"c"}}]`, `[{"type":"work","value":"a","primary":true},{"type":"home","value":"c"}]`},
		{"null takes the elements away", `[{"op":"replace","path":"emails[type eq \"home\"]","value":null}]`, `[{"type":"work","value":"a","primary":true}]`},
		{"an empty object is no element", `[{"op":"replace","path":"emails[type eq \"home\"]","value":{}}]`, `[{"type":"work","value":"a","primary":true}]`},
		{"a sub-attribute is removed", `[{"op":"remove","path":"emails[type eq \"home\"].display"}]`, `[{"type":"work","value":"a","primary":true},{"type":"home","value":"b"}]`},
		{"an element goes with its value", `[{"op":"remove","path":"emails[type eq \"home\"].value"}]`, `[{"type":"work","value":"a","primary":true}]`},
		{"a sub-attribute without filter is that of all", `[{"op":"replace","path":"emails.display","value":"D"}]`, `[{"type":"work","value":"a","primary":true,"display":"D"},{"type":"home","value":"b","display":"D"}]`},
		{"elements that become equal are one", `[{"op":"remove","path":"emails.display"},{"op":"replace","path":"emails.type","value":"x"},{"op":"replace","path":"emails.value","value":"y"}]`, `[{"type":"x","value":"y","primary":true}]`},
		{"taking away and adding again", `[{"op":"remove","path":"emails[type eq \"home\"]"},{"op":"add","path":"emails","value":[{"type":"home","value":"b","display":"B"}]}]`, `[{"type":"work","value":"a","primary":true},{"type":"home","value":"b","display":"B"}]`},
		{"adding nothing", `[{"op":"add","path":"emails","value":[]}]`, `[{"type":"work","value":"a","primary":true},{"type":"home","value":"b","display":"B"}]`},
		{"a $ref is not kept", `[{"op":"replace","path":"members.$ref","value":"x"}]`, ``},
	} {
		if c.want == "" {
			g := g1(t)
			patches(t, scim.GroupType(), g, c.ops, with(t, g, `{}`), "")
			continue
		}
		patches(t, ut, r, c.ops, with(t, r, `{"emails":`+c.want+`}`), "")
	}
	_, err := ut.Patch(r, ops(t, `[{"op":"replace","path":"phoneNumbers[value eq \"a\"].value","value":"b"}]`), scim.AllLenient(), nil)
	refused(t, err, scim.NoTarget)
}

func TestPatch_immutable(t *testing.T) {
	t.Parallel()
	rt := acme(t)
	r := having(t, u1(t), `{"urn:acme:User":{"badge":"77","desk":{"room":"1","building":"A"},"keys":["k"],"seen":"yes","seat":{"value":"1"},"cards":[{"value":"c"}]}}`)
	for _, text := range []string{
		`{"op":"replace","path":"urn:acme:User:badge","value":"78"}`, `{"op":"remove","path":"urn:acme:User:badge"}`,
		`{"op":"replace","path":"urn:acme:User:badge","value":null}`,
		`{"op":"replace","path":"urn:acme:User:desk.room","value":"2"}`, `{"op":"remove","path":"urn:acme:User:desk.room"}`,
		`{"op":"replace","path":"urn:acme:User:desk","value":{"room":"2"}}`,
		`{"op":"add","path":"urn:acme:User:keys","value":["l"]}`, `{"op":"remove","path":"urn:acme:User:keys"}`,
		`{"op":"remove","path":"urn:acme:User:keys[value eq \"k\"]"}`, `{"op":"remove","path":"urn:acme:User"}`,
		`{"op":"add","path":"urn:acme:User","value":{"seen":"no"}}`,
		`{"op":"replace","path":"urn:acme:User:seat","value":null}`, `{"op":"add","path":"urn:acme:User:seat.note","value":"n"}`,
		`{"op":"replace","path":"urn:acme:User:seat","value":{"value":"2"}}`, `{"op":"remove","path":"urn:acme:User:seat.value"}`,
		`{"op":"replace","path":"urn:acme:User:cards[value eq \"c\"].type","value":"x"}`, `{"op":"add","path":"urn:acme:User:cards[value eq \"d\"].type","value":"x"}`,
		`{"op":"remove","path":"urn:acme:User:cards","value":[{"value":"c"}]}`, `{"op":"replace","path":"urn:acme:User:keys[value eq \"k\"]","value":"l"}`,
		`{"op":"replace","path":"urn:acme:User:seen","value":"no"}`, `{"op":"remove","path":"urn:acme:User:seen"}`,
	} {
		for _, l := range []scim.Lenient{nil, scim.AllLenient()} {
			_, err := rt.Patch(r, ops(t, `[`+text+`]`), l, nil)
			refused(t, err, scim.MutabilityErr)
		}
	}
	patches(t, rt, r, `[{"op":"replace","path":"urn:acme:User:badge","value":"77"},{"op":"replace","path":"urn:acme:User:desk","value":{"room":"1","building":"B"}},
		{"op":"replace","path":"urn:acme:User:keys","value":["k"]},{"op":"add","path":"urn:acme:User:seat","value":{"value":"1"}}]`,
		with(t, r, `{"urn:acme:User":{"badge":"77","desk":{"room":"1","building":"B"},"keys":["k"],"seen":"yes","seat":{"value":"1"},"cards":[{"value":"c"}]}}`), "")
	patches(t, rt, u1(t), `[{"op":"add","path":"urn:acme:User:seat","value":{"type":"x"}}]`, with(t, u1(t), `{"urn:acme:User":{"seat":{"type":"x"}}}`), "")
	patches(t, rt, u1(t), `[{"op":"add","path":"urn:acme:User","value":{"badge":"1","keys":["a","b","a"],"desk":{"room":"7"}}}]`,
		with(t, u1(t), `{"urn:acme:User":{"badge":"1","keys":["a","b"],"desk":{"room":"7"}}}`), "")
	_, err := scim.GroupType().Patch(g1(t), ops(t, `[{"op":"replace","path":"members[value eq \"u1\"].value","value":"u9"}]`), scim.AllLenient(), nil)
	refused(t, err, scim.MutabilityErr)
	_, err = scim.GroupType().Patch(g1(t), ops(t, `[{"op":"remove","path":"members.value"}]`), scim.AllLenient(), nil)
	refused(t, err, scim.MutabilityErr)
}

func TestPatch_simple(t *testing.T) {
	t.Parallel()
	rt := acme(t)
	r := having(t, u1(t), `{"urn:acme:User":{"tags":["a","b"],"floor":1}}`)
	tags := func(list string) string { return with(t, r, `{"urn:acme:User":{"tags":`+list+`,"floor":1}}`) }
	patches(t, rt, r, `[{"op":"add","path":"urn:acme:User:tags","value":["b","c"]}]`, tags(`["a","b","c"]`), "")
	patches(t, rt, r, `[{"op":"remove","path":"urn:acme:User:tags[value eq \"A\"]"}]`, tags(`["b"]`), "")
	patches(t, rt, r, `[{"op":"replace","path":"urn:acme:User:tags[value eq \"a\"]","value":"c"}]`, tags(`["c","b"]`), "")
	patches(t, rt, r, `[{"op":"replace","path":"urn:acme:User:tags[value eq \"a\"]","value":"b"}]`, tags(`["b"]`), "")
	patches(t, rt, r, `[{"op":"remove","path":"urn:acme:User:tags","value":["a"]}]`, tags(`["b"]`), with(t, r, `{"urn:acme:User":{"floor":1}}`), scim.QuirkRemoveValues)
	patches(t, rt, r, `[{"op":"replace","path":"urn:acme:User:floor","value":"2"}]`, with(t, r, `{"urn:acme:User":{"tags":["a","b"],"floor":2}}`), scim.InvalidValue, scim.QuirkTextForNumber)
	_, err := rt.Patch(r, ops(t, `[{"op":"replace","path":"urn:acme:User:tags[value eq \"x\"]","value":"b"}]`), scim.AllLenient(), nil)
	refused(t, err, scim.NoTarget)
	_, err = rt.Patch(r, ops(t, `[{"op":"remove","path":"userName[value eq \"x\"]"}]`), scim.AllLenient(), nil)
	refused(t, err, scim.InvalidPath)
}

func TestPatch_single(t *testing.T) {
	t.Parallel()
	ut := scim.UserType()
	patches(t, ut, u1(t), `[{"op":"replace","path":"name","value":{"familyName":null}}]`, with(t, u1(t), `{"name":{"givenName":"Nora"}}`), "")
	patches(t, ut, u1(t), `[{"op":"remove","path":"name.familyName"},{"op":"remove","path":"name.givenName"}]`, with(t, u1(t), `{"name":null}`), "")
	patches(t, ut, u1(t), `[{"op":"remove","path":"name"},{"op":"add","path":"name.givenName","value":"N"}]`, with(t, u1(t), `{"name":{"givenName":"N"}}`), "")
	patches(t, ut, u1(t), `[{"op":"replace","path":"name","value":null},{"op":"add","path":"name","value":{"middleName":"M"}}]`, with(t, u1(t), `{"name":{"middleName":"M"}}`), "")
	patches(t, ut, u1(t), `[{"op":"remove","path":"externalId"}]`, with(t, u1(t), `{"externalId":null}`), "")
	patches(t, ut, u1(t), `[{"op":"replace","path":"`+ent+`","value":null}]`, with(t, u1(t), `{"`+ent+`":null}`), "")
	patches(t, ut, u1(t), `[{"op":"add","path":"`+ent+`","value":{}},{"op":"add","value":{"`+ent+`":null}}]`, with(t, u1(t), `{}`), "")
	patches(t, ut, u1(t), `[{"op":"add","path":"`+ent+`","value":{"schemas":["`+ent+`"],"division":"D"}}]`,
		with(t, u1(t), `{"`+ent+`":{"department":"Docks","employeeNumber":"4711","division":"D"}}`), "")
	patches(t, ut, u1(t), `[{"op":"add","path":"`+ent+`:manager[value eq \"u2\"]","value":{"displayName":"x"}}]`,
		with(t, u1(t), `{"`+ent+`":{"department":"Docks","employeeNumber":"4711","manager":{"value":"u2"}}}`), scim.InvalidPath, scim.QuirkFilterOnSingle, scim.QuirkCreateElement)
	_, err := ut.Patch(having(t, u1(t), `{"`+ent+`":{"manager":{"value":"u3"}}}`), ops(t, `[{"op":"add","path":"`+ent+`:manager[value eq \"u2\"]","value":{"value":"u2"}}]`), scim.AllLenient(), nil)
	refused(t, err, scim.NoTarget)
	for text, kind := range map[string]scim.ErrorType{
		`{"op":"move","path":"title","value":"x"}`: scim.InvalidSyntax, `{"op":"","path":"title"}`: scim.InvalidSyntax,
		`{"op":"add","path":"title"}`: scim.InvalidValue, `{"op":"replace"}`: scim.InvalidValue, `{"op":"replace","value":"x"}`: scim.InvalidValue,
		`{"op":"replace","value":{"title":"a","Title":"b"}}`: scim.InvalidSyntax, `{"op":"replace","path":"` + ent + `","value":"x"}`: scim.InvalidValue,
		`{"op":"replace","path":"` + ent + `","value":{"department":"a","Department":"b"}}`: scim.InvalidSyntax,
		`{"op":"replace","path":"emails[active eq","value":"x"}`:                            scim.InvalidPath,
		`{"op":"replace","path":"emails[type gt 5]","value":{"value":"x"}}`:                 scim.InvalidFilter,
		`{"op":"replace","path":"name","value":"x"}`:                                        scim.InvalidValue,
	} {
		for _, l := range []scim.Lenient{nil, scim.AllLenient()} {
			_, err := ut.Patch(u1(t), ops(t, `[`+text+`]`), l, nil)
			refused(t, err, kind)
		}
	}
	got, err := ut.Patch(scim.Resource{ID: "x"}, ops(t, `[{"op":"add","path":"userName","value":"p"}]`), nil, nil)
	require.NoError(t, err)
	require.Equal(t, scim.Object{"userName": "p"}, got)
}

// A schema whose attributes are all readOnly is not removed, and adding nothing to
// it is nothing.
func TestPatch_readOnlyExtension(t *testing.T) {
	t.Parallel()
	s, err := scim.ReadSchema([]byte(`{"id":"urn:mmsync:Status","attributes":[{"name":"state","mutability":"readOnly"}]}`))
	require.NoError(t, err)
	rt := scim.UserType()
	rt.Extensions = append(rt.Extensions, scim.Extension{Schema: s})
	r := having(t, u1(t), `{"urn:mmsync:Status":{"state":"held"}}`)
	_, err = rt.Patch(r, ops(t, `[{"op":"remove","path":"urn:mmsync:Status"}]`), nil, nil)
	refused(t, err, scim.MutabilityErr)
	patches(t, rt, r, `[{"op":"add","path":"urn:mmsync:Status","value":{}}]`, with(t, r, `{}`), "")
	puts(t, rt, r, `{`+listed+`,"active":true,"urn:mmsync:Status":{"state":"x"}}`, `{"userName":"p","active":true,"urn:mmsync:Status":{"state":"held"}}`, nil)
}

// Naming elements by a part of them stays linear, whatever is named.
func TestPatch_removeValues(t *testing.T) {
	t.Parallel()
	const n = 20_000
	elements, named := make([]any, n), make([]any, n)
	for i := range n {
		elements[i] = scim.Object{"value": "a", "type": fmt.Sprint("s", i), "display": "x"}
		named[i] = scim.Object{"value": "a", "type": fmt.Sprint("t", i)}
	}
	named[0] = scim.Object{"value": "a", "type": "s7", "display": "other", "primary": true}
	r := having(t, u1(t), `{}`)
	r.Attributes["emails"] = elements
	got, err := scim.UserType().Patch(r, []scim.PatchOp{{Op: "remove", Path: "emails", Value: named, HasValue: true}}, scim.AllLenient(), nil)
	require.NoError(t, err)
	require.Len(t, got["emails"], n-1)
	got, err = scim.UserType().Patch(r, []scim.PatchOp{{Op: "remove", Path: "emails", Value: []any{"a", scim.Object{"display": "x"}}, HasValue: true}}, scim.AllLenient(), nil)
	require.NoError(t, err)
	require.NotContains(t, got, "emails")
}
