package scim_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim"
)

// each walks the attributes of a schema document, sub-attributes included.
func each(t *testing.T, list any, visit func(o scim.Object)) {
	t.Helper()
	attributes, ok := list.([]any)
	require.True(t, ok)
	for _, a := range attributes {
		o, ok := a.(scim.Object)
		require.True(t, ok)
		visit(o)
		if subs, ok := o["subAttributes"]; ok {
			each(t, subs, visit)
		}
	}
}

// RFC 7643 section 7 and 8.7: everything is written out, in the documents that we
// have and in those that are answered.
func TestSchema_Document(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("schemas/*.json")
	require.NoError(t, err)
	require.Len(t, files, 6)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		s, err := scim.ReadSchema(text)
		require.NoError(t, err, file)
		want := object(t, string(text))
		require.JSONEq(t, string(text), encode(t, s.Document()), file)
		each(t, want["attributes"], func(o scim.Object) {
			for _, name := range []string{"name", "type", "multiValued", "description", "required", "caseExact", "mutability", "returned", "uniqueness"} {
				require.Contains(t, o, name, "%s: %s", file, o["name"])
			}
			require.NotEmpty(t, o["description"])
			require.Equal(t, o["type"] == "complex", o["subAttributes"] != nil, "%s: %s", file, o["name"])
			require.Equal(t, o["type"] == "reference", o["referenceTypes"] != nil, "%s: %s", file, o["name"])
		})
	}
}

func TestMetaSchemas(t *testing.T) {
	t.Parallel()
	var ids []string
	for _, s := range scim.MetaSchemas() {
		ids = append(ids, strings.TrimPrefix(s.ID, "urn:ietf:params:scim:schemas:core:2.0:"))
	}
	require.Equal(t, []string{"Schema", "ResourceType", "ServiceProviderConfig"}, ids)
}

func TestReadSchema(t *testing.T) {
	t.Parallel()
	s, err := scim.ReadSchema([]byte(`{"id":"urn:x:y","attributes":[{"name":"a"},{"name":"p","returned":"never"}],"meta":{"location":"x"}}`))
	require.NoError(t, err)
	require.Equal(t, scim.Attribute{
		Name: "a", Type: scim.String, Mutability: scim.ReadWrite, Returned: scim.ReturnedDefault, Uniqueness: scim.UniqueNone,
	}, s.Attributes[0], "the defaults of RFC 7643 section 2.2")
	require.True(t, s.Attributes[1].Sensitive)
	for text, want := range map[string]string{
		`{`:                           "unexpected EOF",
		`{"id":"x"}`:                  "no URI",
		`{"id":"urn:x"} x`:            "after the document",
		`{"id":"urn:x","attribs":[]}`: "unknown field",
		`{"id":"urn:x","attributes":[{"name":"a"},{"name":"A"}]}`:                                      "two attributes A",
		`{"id":"urn:x","attributes":[{"name":"1"}]}`:                                                   "a name has",
		`{"id":"urn:x","attributes":[{"name":"a","type":"text"}]}`:                                     `no type "text"`,
		`{"id":"urn:x","attributes":[{"name":"a","mutability":"x"}]}`:                                  "no mutability",
		`{"id":"urn:x","attributes":[{"name":"a","returned":"x"}]}`:                                    "no returned",
		`{"id":"urn:x","attributes":[{"name":"a","uniqueness":"x"}]}`:                                  "no uniqueness",
		`{"id":"urn:x","attributes":[{"name":"a","type":"complex"}]}`:                                  "complex attributes have",
		`{"id":"urn:x","attributes":[{"name":"a","subAttributes":[{"name":"b"}]}]}`:                    "complex attributes have",
		`{"id":"urn:x","attributes":[{"name":"a","type":"complex","subAttributes":[{"name":"b c"}]}]}`: "attribute a: attribute b c",
	} {
		_, err := scim.ReadSchema([]byte(text))
		require.ErrorContains(t, err, want, text)
	}
}

// Types are fresh: what one caller appends another does not see.
func TestResourceType_fresh(t *testing.T) {
	t.Parallel()
	a, b := scim.UserType(), scim.UserType()
	a.Schema.Attributes[0].Required = false
	a.Extensions = append(a.Extensions, scim.Extension{})
	require.True(t, b.Schema.Attributes[0].Required)
	require.Len(t, b.Extensions, 1)
	require.Equal(t, object(t, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],"id":"User","name":"User","endpoint":"/Users",
		"description":"User Account","schema":"`+core+`","schemaExtensions":[{"schema":"`+ent+`","required":false}]}`), b.Document())
	require.NotContains(t, scim.GroupType().Document(), "schemaExtensions")
}

func TestQuirks(t *testing.T) {
	t.Parallel()
	list := scim.Quirks()
	all := scim.AllLenient()
	require.Len(t, all, len(list))
	for i, q := range list {
		require.NotEmpty(t, q.Text, q.Name)
		require.NotEmpty(t, q.Who, q.Name)
		require.True(t, all[q.Name])
		require.Regexp(t, `^(body|name|patch|query|filter|request)\.[a-z][A-Za-z0-9]+$`, string(q.Name))
		require.True(t, i == 0 || list[i-1].Name < q.Name)
	}
}
