package scim_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim"
)

func decodeFuzz(text []byte) (v any, ok bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return v, d.Decode(&v) == nil
}

// clean checks that only what an Object may hold is in one: no null, nothing empty.
func clean(t require.TestingT, v any) {
	switch v := v.(type) {
	case scim.Object:
		require.NotEmpty(t, v)
		for _, e := range v {
			clean(t, e)
		}
	case []any:
		require.NotEmpty(t, v)
		for _, e := range v {
			clean(t, e)
		}
	case string, bool, json.Number:
	default:
		require.Fail(t, "kept", "a %T", v)
	}
}

// kept checks what an accepted request gives: it is clean, can be shown, and is
// accepted as it is.
func kept(tb testing.TB, t require.TestingT, rt *scim.ResourceType, r scim.Resource, attributes scim.Object, l scim.Lenient) {
	for _, v := range attributes {
		clean(t, v)
	}
	body := object(tb, encode(tb, attributes))
	body["schemas"] = []any{rt.Schema.ID}
	for _, x := range rt.Extensions {
		body["schemas"] = append(body["schemas"].([]any), x.Schema.ID) //nolint:errcheck // it is what the line above put there
	}
	after := r
	after.Attributes = attributes
	again, err := rt.Accept(body, &after, l, nil)
	require.NoError(t, err)
	require.Nil(t, rt.Diff(attributes, again))
	require.NotContains(t, rt.Show(after, base, scim.Projection{}), "password")
}

func wellFormed(t require.TestingT, err error) {
	var e *scim.Error
	require.ErrorAs(t, err, &e)
	require.GreaterOrEqual(t, e.Status, 400)
	require.NotEmpty(t, e.Type)
	require.NotEmpty(t, e.Detail)
}

func FuzzAccept(f *testing.F) {
	for _, seed := range []string{
		`{"schemas":["` + core + `"],"userName":"x","name":{"givenName":"N"},"emails":[{"value":"a","primary":true}]}`,
		`{"userName":"x","Active":"True","manager":"u2","` + ent + `:department":7,"name.givenName":"N","roles":[{"value":"{\"value\":\"x\"}"}]}`,
		`{"displayName":["x"],"members":["u1",{"value":"u2","$ref":"https://x/Users/u2"}],"password":"p"}`,
		`{"userName":5,"emails":{"value":"x"},"urn:acme:User":{"tags":"x","floor":"7","log":[{"level":"1"}],"desk":"x"}}`,
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, text []byte, lenient bool) {
		v, ok := decodeFuzz(text)
		body, object := v.(scim.Object)
		if !ok || !object {
			return
		}
		var l scim.Lenient
		if lenient {
			l = scim.AllLenient()
		}
		for _, c := range []struct {
			rt     *scim.ResourceType
			before scim.Resource
		}{{acme(t), u1(t)}, {scim.GroupType(), g1(t)}} {
			for _, before := range []*scim.Resource{nil, &c.before} {
				got, err := c.rt.Accept(body, before, l, nil)
				if err != nil {
					wellFormed(t, err)
					continue
				}
				kept(t, t, c.rt, c.before, got, l)
			}
		}
	})
}

func FuzzPatch(f *testing.F) {
	for _, seed := range []string{
		`[{"op":"add","path":"emails[type eq \"home\"].value","value":"x"},{"op":"remove","path":"title"}]`,
		`[{"op":"replace","value":{"name.givenName":"N","` + ent + `:manager":"u2","active":"False","emails":[{"value":"a","primary":true}]}}]`,
		`[{"op":"remove","path":"members","value":[{"value":"u1"}]}]`,
		`[{"op":"replace","path":"members[value eq \"u1\"]","value":{"value":"u3"}}]`,
		`[{"op":"replace","path":"emails[type eq \"work\" and primary eq true]","value":{"value":"x"}}]`,
		`[{"op":"add","path":"` + ent + `","value":{"manager":[{"value":"u2"}]}}]`,
		`[{"op":"replace","path":"urn:acme:User:tags[value eq \"a\"]","value":"b"}]`,
		`[{"op":"add","path":"roles[primary eq \"True\"].value","value":"{\"value\":\"x\"}"}]`,
		`[{"op":"remove","path":"emails.value"},{"op":"add","path":"urn:acme:User:log[level ge 3].at","value":"x"}]`,
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, text []byte, lenient bool) {
		v, _ := decodeFuzz(text)
		list, _ := v.([]any)
		var patch []scim.PatchOp
		for _, v := range list {
			o, _ := v.(scim.Object)
			op := scim.PatchOp{}
			op.Op, _ = o["op"].(string)
			op.Path, _ = o["path"].(string)
			op.Value, op.HasValue = o["value"]
			patch = append(patch, op)
		}
		var l scim.Lenient
		if lenient {
			l = scim.AllLenient()
		}
		user := having(t, u1(t), `{"title":"x","roles":[{"value":"a"},{"value":"b","primary":true}],"urn:acme:User":{"tags":["a","b"],"log":[{"level":1},{"level":5}]}}`)
		for _, c := range []struct {
			rt *scim.ResourceType
			r  scim.Resource
		}{{acme(t), user}, {scim.GroupType(), g1(t)}} {
			before := encode(t, c.r.Attributes)
			got, err := c.rt.Patch(c.r, patch, l, nil)
			require.Equal(t, before, encode(t, c.r.Attributes), "the resource itself has changed")
			if err != nil {
				wellFormed(t, err)
				continue
			}
			kept(t, t, c.rt, c.r, got, l)
			if len(patch) == 1 && patch[0].Op != "add" {
				repeated(t, t, c.rt, c.r, got, patch, l)
			}
		}
	})
}

// repeated checks that a remove or replace does nothing more when it is sent again,
// or finds nothing any more. Where a filter asks for primary, which moves, it may.
func repeated(tb testing.TB, t require.TestingT, rt *scim.ResourceType, r scim.Resource, got scim.Object, patch []scim.PatchOp, l scim.Lenient) {
	text := strings.ToLower(patch[0].Path + encode(tb, patch[0].Value))
	if strings.Contains(text, "[") && strings.Contains(text, "primary") {
		return
	}
	r.Attributes = got
	again, err := rt.Patch(r, patch, l, nil)
	var e *scim.Error
	if errors.As(err, &e) && e.Type == scim.NoTarget {
		return
	}
	require.NoError(t, err)
	require.Nil(t, rt.Diff(got, again))
}
