package scim

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseJSON(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, fault string }{
		{"object", `{"a":[1,-0.5e+3,true,false,null,"\u00e9\n"],"b":{}}`, ""},
		{"a surrogate pair is one character", `"\ud83d\ude00"`, ""},
		{"bidirectional controls are text", "\"\u202egnirts\"", ""},
		{"nothing", ``, "unexpected end"},
		{"truncated object", `{"a":`, "unexpected end"},
		{"truncated list", `[1,2`, "a list does not end"},
		{"truncated string", `"abc`, "a string does not end"},
		{"truncated escape", `"abc\`, "a string does not end"},
		{"something after it", `{} {}`, "something after the value"},
		{"comma before the end", `[1,]`, "no value"},
		{"key without quotes", `{a:1}`, "no key"},
		{"key twice", `{"a":1,"a":1}`, "key given twice"},
		{"key twice, once escaped", `{"a":1,"\u0061":1}`, "key given twice"},
		{"keys that differ in case", `{"a":1,"A":1}`, ""},
		{"leading zero", `01`, "not a number"},
		{"number without digits", `-`, "not a number"},
		{"NUL escaped", `"a\u0000b"`, "a NUL character"},
		{"NUL raw", "\"a\x00b\"", "a control character"},
		{"high surrogate alone", `"\ud83d"`, "half a surrogate pair"},
		{"low surrogate alone", `"\ude00"`, "half a surrogate pair"},
		{"surrogates swapped", `"\ude00\ud83d"`, "half a surrogate pair"},
		{"invalid UTF-8", "\"\xff\"", "invalid UTF-8"},
		{"encoded surrogate", "\"\xed\xa0\x80\"", "invalid UTF-8"},
		{"byte order mark", "\ufeff{}", "no value"},
		{"32 deep", strings.Repeat("[", 32) + strings.Repeat("]", 32), ""},
		{"33 deep", strings.Repeat("[", 33) + strings.Repeat("]", 33), "nested too deep"},
		{"a million deep", strings.Repeat("[", 1e6), "nested too deep"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v, err := parseJSON([]byte(c.text), 32)
			if c.fault != "" {
				require.NotNil(t, err)
				require.ErrorContains(t, err, c.fault)
				require.Equal(t, InvalidSyntax, err.scim().Type)
				return
			}
			require.Nil(t, err)
			require.Equal(t, standardJSON(t, []byte(c.text)), v)
		})
	}
}

func standardJSON(t *testing.T, text []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	require.NoError(t, d.Decode(&v))
	return v
}

// FuzzBody holds the reader to encoding/json: what it takes is read the same, what it
// refuses is refused there too or breaks one of its further rules.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{
		`{"schemas":["urn:x"],"active":true,"n":[1.5e-3,-0,null],"s":"\u00e9\ud83d\ude00\\\/"}`,
		`{"a":1,"a":2}`, `"\ud800"`, `"\u0000"`, `[[[[[[[[[]]]]]]]]]`, `01`, `1.`, `-`, `tru`, "\"\x7f\"", "\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := parseJSON(text, 8)
		switch {
		case err == nil:
			require.True(t, json.Valid(text))
			require.Equal(t, standardJSON(t, text), v)
		case !err.extra:
			require.False(t, json.Valid(text))
		}
	})
}
