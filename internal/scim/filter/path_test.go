package filter_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim/filter"
)

func TestParsePath(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		text string
		want filter.Path
	}{
		"RFC 7644 figure 8: attribute":        {`members`, filter.Path{Attr: attr("members")}},
		"RFC 7644 figure 8: sub-attribute":    {`name.familyName`, filter.Path{Attr: attr("name.familyName")}},
		"RFC 7644 figure 8: filter":           {`addresses[type eq "work"]`, filter.Path{Attr: attr("addresses"), Filter: eq("type", "work")}},
		"RFC 7644 figure 8: filter by value":  {`members[value eq "2819c223-7f76-453a-919d-413861904646"]`, filter.Path{Attr: attr("members"), Filter: eq("value", "2819c223-7f76-453a-919d-413861904646")}},
		"RFC 7644 figure 8: filter and name":  {`members[value eq "2819c223-7f76-453a-919d-413861904646"].displayName`, filter.Path{Attr: attr("members.displayName"), Filter: eq("value", "2819c223-7f76-453a-919d-413861904646")}},
		"Q-E32 in other case":                 {`PHONENUMBERS[TYPE EQ "work"].value`, filter.Path{Attr: attr("PHONENUMBERS.value"), Filter: eq("TYPE", "work")}},
		"Q-E33 enterprise attribute":          {enterprise + `:department`, filter.Path{Attr: filter.Attr{URN: enterprise, Name: "department"}}},
		"Q-E34 core attribute with its URN":   {`urn:ietf:params:scim:schemas:core:2.0:User:name.familyName`, filter.Path{Attr: filter.Attr{URN: "urn:ietf:params:scim:schemas:core:2.0:User", Name: "name", Sub: "familyName"}}},
		"Q-E35 d manager.value":               {enterprise + `:manager.value`, filter.Path{Attr: filter.Attr{URN: enterprise, Name: "manager", Sub: "value"}}},
		"Q-E36 d filter on one value":         {enterprise + `:manager[value eq "u2"]`, filter.Path{Attr: filter.Attr{URN: enterprise, Name: "manager"}, Filter: eq("value", "u2")}},
		"Q-E39 primary in quotes":             {`roles[primary eq "True"].value`, filter.Path{Attr: attr("roles.value"), Filter: eq("primary", "True")}},
		"Q-E46 a whole extension":             {enterprise, filter.Path{Attr: filter.Attr{URN: strings.TrimSuffix(enterprise, ":User"), Name: "User"}}},
		"a whole extension that is no name":   {`urn:example:ext:2.0`, filter.Path{Attr: filter.Attr{URN: "urn:example:ext:2.0"}}},
		"a whole extension with a dot":        {`urn:example:ext:User.v2`, filter.Path{Attr: filter.Attr{URN: "urn:example:ext", Name: "User", Sub: "v2"}}},
		"a whole extension with dots":         {`urn:example:ext:a.b.c`, filter.Path{Attr: filter.Attr{URN: "urn:example:ext:a.b.c"}}},
		"a whole extension that is no urn":    {`https://example.org/x`, filter.Path{Attr: filter.Attr{URN: "https://example.org/x"}}},
		"a filter with and, or, not":          {`emails[type eq "work" and not (primary eq true or value pr)].display`, filter.Path{Attr: attr("emails.display"), Filter: and(eq("type", "work"), not(or(eq("primary", true), pr("value"))))}},
		"white space around":                  {" emails[ type pr ].value\n", filter.Path{Attr: attr("emails.value"), Filter: pr("type")}},
		"a reference":                         {`members.$ref`, filter.Path{Attr: attr("members.$ref")}},
		"brackets and quotes within a string": {`a[b eq "]\".c"].d`, filter.Path{Attr: attr("a.d"), Filter: eq("b", `]".c`)}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := filter.ParsePath(c.text, filter.Options{})
			require.NoError(t, err)
			require.Equal(t, c.want, got)
			again, err := filter.ParsePath(got.String(), filter.Options{})
			require.NoError(t, err)
			require.Equal(t, c.want, again)
			if got.Filter == nil {
				require.Equal(t, strings.TrimSpace(c.text), got.Attr.String(), "a caller finds schemas by it")
			}
		})
	}
}

func TestParsePath_FurtherSpellings(t *testing.T) {
	t.Parallel()
	const text = `emails[type eq work].value`
	_, err := filter.ParsePath(text, filter.Options{})
	require.ErrorAs(t, err, new(*filter.Error))
	got, err := filter.ParsePath(text, filter.Options{Lenient: everything})
	require.NoError(t, err)
	require.Equal(t, `emails[type eq "work"].value`, got.String())
}

func TestParsePath_Refuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"nothing":                  {``, `expected an attribute but found the end at offset 0`},
		"a number":                 {`0`, `expected an attribute but found "0" at offset 0`},
		"three names":              {`a.b.c`, `expected an attribute but found "a.b.c" at offset 0`},
		"no name":                  {`a.`, `expected an attribute but found "a." at offset 0`},
		"a slash":                  {`/a/b`, `expected an attribute but found "/a/b" at offset 0`},
		"a URN that ends early":    {enterprise + `:`, `expected an attribute but found "urn:ietf:params:scim:schemas:ext"… at offset 0`},
		"signs no URN has":         {`urn:x:{}`, `expected an attribute but found "urn:x:{}" at offset 0`},
		"an index":                 {`emails[0]`, `expected an attribute but found "0" at offset 7`},
		"an empty filter":          {`emails[]`, `expected an attribute but found "]" at offset 7`},
		"an open filter":           {`emails[type pr`, `expected "and", "or" or "]" but found the end at offset 14`},
		"a filter after a sub":     {`a.b[c pr]`, `expected the end, as a filter follows the name of an attribute only, but found "[" at offset 3`},
		"a filter after a schema":  {`urn:x:2.0[c pr]`, `expected the end, as a filter follows the name of an attribute only, but found "[" at offset 9`},
		"two filters":              {`a[b pr][c pr]`, `expected the end but found "[" at offset 7`},
		"two names after a filter": {`a[b pr].c.d`, `expected the name of a sub-attribute but found "c.d" at offset 8`},
		"no dot after a filter":    {`a[b pr]c`, `expected the end but found "c" at offset 7`},
		"a filter":                 {`a eq "x"`, `expected the end but found "eq" at offset 2`},
		"a value path in another":  {`a[b[c pr]]`, `expected an operator, as value paths do not nest, but found "[" at offset 3`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := filter.ParsePath(c.text, filter.Options{Lenient: everything})
			require.EqualError(t, err, c.want)
			require.ErrorAs(t, err, new(*filter.Error))
		})
	}
	var fault *filter.Error
	_, err := filter.ParsePath("a["+strings.Repeat("(", 40), filter.Options{})
	require.ErrorAs(t, err, &fault)
	require.True(t, fault.Limit)
	_, err = filter.ParsePath(strings.Repeat("a", 9000), filter.Options{})
	require.ErrorAs(t, err, &fault)
	require.True(t, fault.Limit)
}

func TestParseAttr(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]filter.Attr{
		"userName":                     attr("userName"),
		" name.familyName ":            attr("name.familyName"),
		"$ref":                         attr("$ref"),
		enterprise + ":manager.value":  {URN: enterprise, Name: "manager", Sub: "value"},
		"urn:example:ext:2.0":          {URN: "urn:example:ext:2.0"},
		"urn:example:UPPER:2.0:A:b":    {URN: "urn:example:UPPER:2.0:A", Name: "b"},
		"urn:example:a%20b(:c":         {},
		"emails[type eq \"work\"]":     {},
		"a b":                          {},
		"":                             {},
		"a,b":                          {},
		strings.Repeat("a", 9000):      {},
		"urn:example:" + "x" + ":y.z.": {URN: "urn:example:x:y.z."},
	} {
		t.Run(text[:min(len(text), 60)], func(t *testing.T) {
			t.Parallel()
			got, err := filter.ParseAttr(text)
			require.Equal(t, want, got)
			if want == (filter.Attr{}) {
				require.ErrorAs(t, err, new(*filter.Error))
				return
			}
			require.NoError(t, err)
			require.Equal(t, strings.TrimSpace(text), got.String())
		})
	}
}
