package filter_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mmsync/mmsync/internal/scim/filter"
)

// everything reads all further spellings.
func everything(string) bool { return true }

func attr(name string) filter.Attr {
	name, sub, _ := strings.Cut(name, ".")
	return filter.Attr{Name: name, Sub: sub}
}

func eq(name string, value filter.Value) *filter.Compare { return compare(name, filter.Equal, value) }

func compare(name string, op filter.Op, value filter.Value) *filter.Compare {
	return &filter.Compare{Attr: attr(name), Op: op, Value: value}
}

func pr(name string) *filter.Present { return &filter.Present{Attr: attr(name)} }

func and(left, right filter.Expr) filter.Expr { return &filter.And{Left: left, Right: right} }
func or(left, right filter.Expr) filter.Expr  { return &filter.Or{Left: left, Right: right} }
func not(of filter.Expr) filter.Expr          { return &filter.Not{Of: of} }

const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

func TestParse(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		text string
		want filter.Expr
	}{
		"RFC 7644 figure 2: eq":               {`userName eq "bjensen"`, eq("userName", "bjensen")},
		"RFC 7644 figure 2: co":               {`name.familyName co "O'Malley"`, compare("name.familyName", filter.Contains, "O'Malley")},
		"RFC 7644 figure 2: sw":               {`userName sw "J"`, compare("userName", filter.StartsWith, "J")},
		"RFC 7644 figure 2: URN":              {`urn:ietf:params:scim:schemas:core:2.0:User:userName sw "J"`, &filter.Compare{Attr: filter.Attr{URN: "urn:ietf:params:scim:schemas:core:2.0:User", Name: "userName"}, Op: filter.StartsWith, Value: "J"}},
		"RFC 7644 figure 2: pr":               {`title pr`, pr("title")},
		"RFC 7644 figure 2: gt":               {`meta.lastModified gt "2011-05-13T04:42:34Z"`, compare("meta.lastModified", filter.Greater, "2011-05-13T04:42:34Z")},
		"RFC 7644 figure 2: ge":               {`meta.lastModified ge "2011-05-13T04:42:34Z"`, compare("meta.lastModified", filter.GreaterOrEqual, "2011-05-13T04:42:34Z")},
		"RFC 7644 figure 2: lt":               {`meta.lastModified lt "2011-05-13T04:42:34Z"`, compare("meta.lastModified", filter.Less, "2011-05-13T04:42:34Z")},
		"RFC 7644 figure 2: le":               {`meta.lastModified le "2011-05-13T04:42:34Z"`, compare("meta.lastModified", filter.LessOrEqual, "2011-05-13T04:42:34Z")},
		"RFC 7644 figure 2: and":              {`title pr and userType eq "Employee"`, and(pr("title"), eq("userType", "Employee"))},
		"RFC 7644 figure 2: or":               {`title pr or userType eq "Intern"`, or(pr("title"), eq("userType", "Intern"))},
		"RFC 7644 figure 2: schemas":          {`schemas eq "` + enterprise + `"`, eq("schemas", enterprise)},
		"RFC 7644 figure 2: group":            {`userType eq "Employee" and (emails co "example.com" or emails.value co "example.org")`, and(eq("userType", "Employee"), or(compare("emails", filter.Contains, "example.com"), compare("emails.value", filter.Contains, "example.org")))},
		"RFC 7644 figure 2: not":              {`userType ne "Employee" and not (emails co "example.com" or emails.value co "example.org")`, and(compare("userType", filter.NotEqual, "Employee"), not(or(compare("emails", filter.Contains, "example.com"), compare("emails.value", filter.Contains, "example.org"))))},
		"RFC 7644 figure 2: (group)":          {`userType eq "Employee" and (emails.type eq "work")`, and(eq("userType", "Employee"), eq("emails.type", "work"))},
		"RFC 7644 figure 2: value path":       {`userType eq "Employee" and emails[type eq "work" and value co "@example.com"]`, and(eq("userType", "Employee"), &filter.ValuePath{Attr: attr("emails"), Filter: and(eq("type", "work"), compare("value", filter.Contains, "@example.com"))})},
		"RFC 7644 figure 2: two value paths":  {`emails[type eq "work" and value co "@example.com"] or ims[type eq "xmpp" and value co "@foo.com"]`, or(&filter.ValuePath{Attr: attr("emails"), Filter: and(eq("type", "work"), compare("value", filter.Contains, "@example.com"))}, &filter.ValuePath{Attr: attr("ims"), Filter: and(eq("type", "xmpp"), compare("value", filter.Contains, "@foo.com"))})},
		"and binds before or":                 {`a pr or b pr and c pr`, or(pr("a"), and(pr("b"), pr("c")))},
		"and binds before or, left":           {`a pr and b pr or c pr`, or(and(pr("a"), pr("b")), pr("c"))},
		"both to the left":                    {`a pr and b pr and c pr`, and(and(pr("a"), pr("b")), pr("c"))},
		"not binds first":                     {`not (a pr) and b pr`, and(not(pr("a")), pr("b"))},
		"not without a blank":                 {`not(a pr)`, not(pr("a"))},
		"not twice":                           {`NOT (not (a pr))`, not(not(pr("a")))},
		"not in a value path":                 {`emails[not (type eq "work")]`, &filter.ValuePath{Attr: attr("emails"), Filter: not(eq("type", "work"))}},
		"operators and keywords in any case":  {`a EQ "x" AND b Pr Or NOT (c cO "y")`, or(and(eq("a", "x"), pr("b")), not(compare("c", filter.Contains, "y")))},
		"keywords are names too":              {`not eq "x" and and pr or or pr or eq eq "pr"`, or(or(and(eq("not", "x"), pr("and")), pr("or")), eq("eq", "pr"))},
		"names of signs and digits":           {`a-b_c$1 pr and $ref pr and members.$ref pr`, and(and(pr("a-b_c$1"), pr("$ref")), pr("members.$ref"))},
		"true":                                {`active eq true`, eq("active", true)},
		"false":                               {`active eq false`, eq("active", false)},
		"null":                                {`title eq null`, eq("title", nil)},
		"numbers":                             {`a eq 0 or a eq -1.50 or a eq 12e+3 or a eq 1E-2`, or(or(or(eq("a", json.Number("0")), eq("a", json.Number("-1.50"))), eq("a", json.Number("12e+3"))), eq("a", json.Number("1E-2")))},
		"escapes of JSON":                     {`a eq "\"\\\/\b\f\n\r\t\u00e9\u00C5"`, eq("a", "\"\\/\b\f\n\r\té\u00c5")},
		"a surrogate pair":                    {`a eq "x\ud83D\uDE00y"`, eq("a", "x😀y")},
		"UTF-8":                               {`a eq "Gävle 😀"`, eq("a", "Gävle 😀")},
		"an empty string":                     {`a eq ""`, eq("a", "")},
		"brackets in a string":                {`a eq ")](["`, eq("a", ")]([")},
		"white space":                         {" \t( a  eq\n\"x\" )\r\n", eq("a", "x")},
		"around brackets":                     {`(a pr)and(b pr)or c[ d pr ] and e pr`, or(and(pr("a"), pr("b")), and(&filter.ValuePath{Attr: attr("c"), Filter: pr("d")}, pr("e")))},
		"Q-E05 eq joined with and":            {`externalId eq "ext-nora" and userName eq "nora.lind@example.org"`, and(eq("externalId", "ext-nora"), eq("userName", "nora.lind@example.org"))},
		"Q-E07 reference check":               {`id eq "u1" and manager eq "u2"`, and(eq("id", "u1"), eq("manager", "u2"))},
		"Q-E13 signs":                         {`userName eq "o'brien+ops@example.org"`, eq("userName", "o'brien+ops@example.org")},
		"Q-E13 escaped quotes":                {`displayName eq "A \"B\" \\ C"`, eq("displayName", `A "B" \ C`)},
		"Q-K01 colons in a value":             {`externalId eq "f:3c1d:nora"`, eq("externalId", "f:3c1d:nora")},
		"a URN with sub-attribute":            {enterprise + `:manager.value eq "u2"`, &filter.Compare{Attr: filter.Attr{URN: enterprise, Name: "manager", Sub: "value"}, Op: filter.Equal, Value: "u2"}},
		"a URN with value path":               {enterprise + `:manager[value eq "u2"]`, &filter.ValuePath{Attr: filter.Attr{URN: enterprise, Name: "manager"}, Filter: eq("value", "u2")}},
		"a schema that is no urn":             {`https://example.org/schemas/x:badge pr`, &filter.Present{Attr: filter.Attr{URN: "https://example.org/schemas/x", Name: "badge"}}},
		"a value path of a sub-attribute":     {`x.y[z pr]`, &filter.ValuePath{Attr: attr("x.y"), Filter: pr("z")}},
		"groups in value paths":               {`emails[(type eq "work" or type eq "home") and primary eq true]`, &filter.ValuePath{Attr: attr("emails"), Filter: and(or(eq("type", "work"), eq("type", "home")), eq("primary", true))}},
		"a group keeps what it groups":        {`a pr and (b pr and c pr)`, and(pr("a"), and(pr("b"), pr("c")))},
		"parentheses of one term are nothing": {`((a pr))`, pr("a")},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := filter.Parse(c.text, filter.Options{})
			require.NoError(t, err)
			require.Equal(t, c.want, got)
			again, err := filter.Parse(got.String(), filter.Options{})
			require.NoError(t, err, got)
			require.Equal(t, c.want, again, got)
		})
	}
}

func TestParse_FurtherSpellings(t *testing.T) {
	t.Parallel()
	work := &filter.ValuePath{Attr: attr("emails"), Filter: eq("type", "work"), Then: eq("value", "x")}
	cases := map[string]struct {
		text   string
		quirks []string
		want   filter.Expr
	}{
		"Q-E04 sub-attribute after a value path": {`emails[type eq "work"].value eq "x"`, []string{filter.ValuePathSub}, work},
		"Q-E04 in other case":                    {`Emails[Type EQ "work"].Value Eq "x"`, []string{filter.ValuePathSub}, &filter.ValuePath{Attr: attr("Emails"), Filter: eq("Type", "work"), Then: eq("Value", "x")}},
		"Q-E04 with others":                      {`(emails[type eq "work"].value eq "x")and active eq true`, []string{filter.ValuePathSub}, and(work, eq("active", true))},
		"Q-E04 pr":                               {`emails[type eq "work"].value pr`, []string{filter.ValuePathSub}, &filter.ValuePath{Attr: attr("emails"), Filter: eq("type", "work"), Then: pr("value")}},
		"Q-E12 a word":                           {`externalId eq nlind01`, []string{filter.BareWord}, eq("externalId", "nlind01")},
		"Q-E12 a letter":                         {`userName sw N`, []string{filter.BareWord}, compare("userName", filter.StartsWith, "N")},
		"Q-E12 an address":                       {`userName eq o'brien+ops@example.org`, []string{filter.BareWord}, eq("userName", "o'brien+ops@example.org")},
		"Q-E12 capital literals are words":       {`active eq True`, []string{filter.BareWord}, eq("active", "True")},
		"Q-E12 not quite a number":               {`externalId eq 007`, []string{filter.BareWord}, eq("externalId", "007")},
		"Q-E12 other scripts":                    {`name eq Zoë`, []string{filter.BareWord}, eq("name", "Zoë")},
		"Q-E12 both":                             {`emails[type eq work].value eq x`, []string{filter.BareWord, filter.ValuePathSub, filter.BareWord}, work},
		"Q-P05 and/or":                           {`name.FamilyName eq Lind and (emails.Value co example.com or emails.Value co example.org)`, []string{filter.BareWord, filter.BareWord, filter.BareWord}, and(eq("name.FamilyName", "Lind"), or(compare("emails.Value", filter.Contains, "example.com"), compare("emails.Value", filter.Contains, "example.org")))},
		"Q-P06 a time":                           {`meta.Created gt 2021-03-04T05:06:07.1234567-07:00`, []string{filter.BareWord}, compare("meta.Created", filter.Greater, "2021-03-04T05:06:07.1234567-07:00")},
		"Q-P06 a time that lost its plus":        {`(meta.Created gt 2021-03-04T05:06:07.1234567 02:00)`, []string{filter.BareWord, filter.TimeSpace}, compare("meta.Created", filter.Greater, "2021-03-04T05:06:07.1234567+02:00")},
		"Q-K01 colons":                           {`externalId eq f:3c1d:nora`, []string{filter.BareWord}, eq("externalId", "f:3c1d:nora")},
		"literals stay":                          {`a eq true and b eq null and c eq 5`, nil, and(and(eq("a", true), eq("b", nil)), eq("c", json.Number("5")))},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked []string
			got, err := filter.Parse(c.text, filter.Options{Lenient: func(q string) bool { asked = append(asked, q); return true }})
			require.NoError(t, err)
			require.Equal(t, c.want, got)
			require.Equal(t, c.quirks, asked)
			again, err := filter.Parse(got.String(), filter.Options{Lenient: func(q string) bool { return q == filter.ValuePathSub }})
			require.NoError(t, err)
			require.Equal(t, c.want, again)

			for _, quirk := range c.quirks {
				_, err := filter.Parse(c.text, filter.Options{Lenient: func(q string) bool { return q != quirk }})
				require.ErrorAs(t, err, new(*filter.Error), "without %s", quirk)
			}
		})
	}
}

func TestParse_Refuses(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		text   string
		offset int
		want   string
	}{
		"nothing":                    {"", 0, `expected an attribute but found the end at offset 0`},
		"blanks":                     {"  ", 2, `expected an attribute but found the end at offset 2`},
		"no operator":                {"userName", 8, `expected white space and an operator but found the end at offset 8`},
		"another operator":           {`userName is "x"`, 9, `expected an operator (eq, ne, co, sw, ew, gt, ge, lt, le, pr) but found "is" at offset 9`},
		"no value":                   {"userName eq", 11, `expected white space and a value but found the end at offset 11`},
		"no value, blank":            {"userName eq ", 12, `expected a value: a string in double quotes, a number, true, false or null, but found the end at offset 12`},
		"no blank before a string":   {`userName eq"x"`, 11, `expected white space and a value but found "\"" at offset 11`},
		"no blank after a string":    {`a eq "x"and b pr`, 8, `expected white space after the string but found "and" at offset 8`},
		"no blank after a literal":   {`a eq true"x"`, 9, `expected white space after the value but found "\"" at offset 9`},
		"single quotes":              {`a eq 'x'`, 5, `expected a value: a string in double quotes, a number, true, false or null, but found "'x'" at offset 5`},
		"a value for pr":             {`a pr "x"`, 5, `expected "and", "or" or the end but found "\"" at offset 5`},
		"a value at pr":              {`a pr"x"`, 4, `expected no value after pr but found "\"" at offset 4`},
		"no second term":             {`a pr and`, 8, `expected an attribute but found the end at offset 8`},
		"no first term":              {`and pr and or`, 13, `expected white space and an operator but found the end at offset 13`},
		"two terms":                  {`a pr b pr`, 5, `expected "and", "or" or the end but found "b" at offset 5`},
		"a keyword that goes on":     {`a pr andy pr`, 5, `expected "and", "or" or the end but found "andy" at offset 5`},
		"an open group":              {`(a pr`, 5, `expected "and", "or" or ")" but found the end at offset 5`},
		"a group closed twice":       {`(a pr))`, 6, `expected "and", "or" or the end but found ")" at offset 6`},
		"an empty group":             {`()`, 1, `expected an attribute but found ")" at offset 1`},
		"brackets crossed":           {`(a[b pr)]`, 7, `expected "and", "or" or "]" but found ")" at offset 7`},
		"an empty value path":        {`a[]`, 2, `expected an attribute but found "]" at offset 2`},
		"a value path in another":    {`a[b[c pr]]`, 3, `expected an operator, as value paths do not nest, but found "[" at offset 3`},
		"brackets without attribute": {`[a pr]`, 0, `expected an attribute but found "[" at offset 0`},
		"a blank before brackets":    {`a [b pr]`, 2, `expected an operator (eq, ne, co, sw, ew, gt, ge, lt, le, pr) but found "[" at offset 2`},
		"not without a group":        {`not a pr`, 4, `expected an operator (eq, ne, co, sw, ew, gt, ge, lt, le, pr) but found "a" at offset 4`},
		"a number as attribute":      {`1 eq 1`, 0, `expected an attribute but found "1" at offset 0`},
		"three names":                {`a.b.c pr`, 0, `expected an attribute but found "a.b.c" at offset 0`},
		"no name behind a dot":       {`a. pr`, 0, `expected an attribute but found "a." at offset 0`},
		"no name behind a URN":       {`urn:x: pr`, 0, `expected an attribute but found "urn:x:" at offset 0`},
		"a URN alone":                {`urn:x:2.0 pr`, 0, `expected an attribute but found "urn:x:2.0" at offset 0`},
		"no URN":                     {`1:a pr`, 0, `expected an attribute but found "1:a" at offset 0`},
		"other scripts":              {`größe pr`, 0, `expected an attribute but found "größe" at offset 0`},
		"an open string":             {`a eq "x`, 5, `expected the string at offset 5 to end with a quote but found the end`},
		"an open escape":             {`a eq "x\`, 7, `expected an escape sequence of JSON but found "\\" at offset 7`},
		"another escape":             {`a eq "\x"`, 6, `expected an escape sequence of JSON but found "\\x\"" at offset 6`},
		"no digits of an escape":     {`a eq "\u00g0"`, 6, `expected an escape sequence of JSON but found "\\u00g0" at offset 6`},
		"half a surrogate pair":      {`a eq "\ud83d"`, 6, `expected an escape sequence of JSON but found "\\ud83d" at offset 6`},
		"a pair of first halves":     {`a eq "\ud83d\ud83d"`, 6, `expected an escape sequence of JSON but found "\\ud83d" at offset 6`},
		"a second half first":        {`a eq "\ude00\ud83d"`, 6, `expected an escape sequence of JSON but found "\\ude00" at offset 6`},
		"U+0000":                     {`a eq "\u0000"`, 6, `expected an escape sequence of JSON but found "\\u0000" at offset 6`},
		"a control character":        {"a eq \"\n\"", 6, `expected control character '\n' to be escaped at offset 6`},
		"bytes that are not UTF-8":   {"a eq \"\xff\"", 5, `expected UTF-8 in the string at offset 5`},
		"a long word is cut":         {strings.Repeat("é", 4000) + " pr", 0, `expected an attribute but found "` + strings.Repeat("é", 32) + `"… at offset 0`},
		"Q-E04 is not in the RFC":    {`emails[type eq "work"].value eq "x"`, 22, `expected "and", "or" or the end but found ".value" at offset 22`},
		"Q-E12 is not in the RFC":    {`userName eq x`, 12, `expected a value: a string in double quotes, a number, true, false or null, but found "x" at offset 12`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := filter.Parse(c.text, filter.Options{})
			var fault *filter.Error
			require.ErrorAs(t, err, &fault)
			require.Equal(t, filter.Error{Offset: c.offset, Text: c.want}, *fault)
		})
	}
	for name, text := range map[string]string{
		"no name after a value path":   `a[b pr]. eq "x"`,
		"a URN after a value path":     `a[b pr].urn:x:c eq "x"`,
		"two names after a value path": `a[b pr].c.d eq "x"`,
		"a bare control character":     "a eq x\x01",
		"bare bytes":                   "a eq \xff",
		"a bare apostrophe":            "a eq 'x'",
		"an offset without time":       "a eq x 02:00",
		"a time without offset":        "a eq 2021-03-04T05:06:07 2:000",
		"a time and more":              "a eq 2021-03-04T05:06:07 02:00x",
		"a time and another hour":      "a eq 2021-03-04T05:06:07 29:00",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := filter.Parse(text, filter.Options{Lenient: everything})
			require.ErrorAs(t, err, new(*filter.Error))
		})
	}
}

func TestParse_Limits(t *testing.T) {
	t.Parallel()
	nested := func(n int) string { return strings.Repeat("(", n) + "a pr" + strings.Repeat(")", n) }
	terms := func(n int) string { return strings.Repeat("a pr and ", n-1) + "a pr" }
	cases := map[string]struct {
		text string
		o    filter.Options
		ok   bool
	}{
		"bytes, just":                  {nested(32) + strings.Repeat(" ", 8192-68), filter.Options{}, true},
		"bytes, one more":              {nested(32) + strings.Repeat(" ", 8192-67), filter.Options{}, false},
		"bytes, set":                   {"a pr", filter.Options{Bytes: 3}, false},
		"depth, one more":              {nested(33), filter.Options{}, false},
		"depth, set":                   {nested(33), filter.Options{Depth: 33}, true},
		"depth of not":                 {"not (not (a pr))", filter.Options{Depth: 1}, false},
		"depth of value paths":         {"(a[b pr])", filter.Options{Depth: 1}, false},
		"depth one after another":      {"(a pr) or (b[c pr])", filter.Options{Depth: 2}, true},
		"terms, just":                  {terms(200), filter.Options{}, true},
		"terms, one more":              {terms(201), filter.Options{}, false},
		"terms of value paths":         {"a[b pr]", filter.Options{Terms: 1}, false},
		"terms behind value paths":     {"a[b pr].c pr", filter.Options{Terms: 2, Lenient: everything}, false},
		"10,000 open brackets":         {strings.Repeat("(", 10_000), filter.Options{}, false},
		"10,000, with room":            {strings.Repeat("(", 10_000), filter.Options{Bytes: 1 << 20}, false},
		"1,000,000 bytes of brackets":  {strings.Repeat("not(", 250_000), filter.Options{}, false},
		"1,000,000 with room":          {strings.Repeat("not(", 250_000), filter.Options{Bytes: 1 << 20}, false},
		"1,000,000 bytes of terms":     {terms(100_000), filter.Options{Bytes: 1 << 20}, false},
		"1,000,000 bytes of one value": {`a eq "` + strings.Repeat("x", 1_000_000), filter.Options{}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			_, err := filter.Parse(c.text, c.o)
			if c.ok {
				require.NoError(t, err)
				return
			}
			var fault *filter.Error
			require.ErrorAs(t, err, &fault)
			require.True(t, fault.Limit, fault)
			require.Less(t, len(fault.Text), 100)
			require.Less(t, time.Since(began), 20*time.Second)
		})
	}
}
