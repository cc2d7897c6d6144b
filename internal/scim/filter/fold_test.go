package filter_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"github.com/mmsync/mmsync/internal/scim/filter"
)

func TestFold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		a, b string
		same bool
	}{
		"ASCII":                           {"Nora.Lind@Example.ORG", "nora.lind@example.org", true},
		"signs beside letters":            {"@[`{", "`{@[", false},
		"é composed or not":               {"CAFE\u0301", "café", true},
		"Ångström is a letter":            {"\u212bngström", "ångstrÖm", true},
		"Kelvin is a letter":              {"\u212a", "K", true},
		"long s":                          {"ſ", "S", true},
		"sigma at the end":                {"ΟΔΟΣ", "οδος", true},
		"sigma within":                    {"ΟΔΟΣ", "οδοσ", true},
		"micro":                           {"µ", "Μ", true},
		"iota below and beside differ":    {"ᾳ", "αι", false},
		"iota below":                      {"ᾼ", "α\u0345", true},
		"capital sharp s":                 {"STRAẞE", "straße", true},
		"sharp s is one letter":           {"straße", "STRASSE", false},
		"dotted capital i is its own":     {"İ", "i", false},
		"dotless i is its own":            {"ı", "I", false},
		"caron that only small j takes":   {"J\u030c", "\u01f0", true},
		"accents differ":                  {"e", "é", false},
		"marks in another order":          {"A\u0323\u0302", "a\u0302\u0323", true},
		"Cherokee":                        {"Ꭰ", "ꭰ", true},
		"width is a difference":           {"Ａ", "A", false},
		"ligatures are a difference":      {"ﬁ", "fi", false},
		"bytes that are not UTF-8":        {"\xff", "\xfe", true},
		"an emoji":                        {"😀X", "😀x", true},
		"Georgian":                        {"Ა", "ა", true},
		"titlecase":                       {"ǅ", "Ǆ", true},
		"theta of symbols":                {"ϑ", "ϴ", true},
		"iota with dialytika, both codes": {"\u0390", "\u1fd3", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.same, filter.Fold(c.a) == filter.Fold(c.b), "%+q %+q", filter.Fold(c.a), filter.Fold(c.b))
		})
	}
	require.Equal(t, "café straße οδοσ", filter.Fold("CAFÉ Straße ΟΔΟΣ"), "small letters")
}

func TestFold_EveryRune(t *testing.T) {
	t.Parallel()
	marks := []string{"", "\u0301", "\u0307", "\u030c", "\u0323", "\u0345", "\u0308\u0301"}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		next := unicode.SimpleFold(r)
		if next == r && r > 0x500 && !unicode.Is(unicode.M, r) {
			continue // has no other case and takes no marks of ours
		}
		key := filter.Fold(string(r))
		require.True(t, norm.NFC.IsNormalString(key), "%+q", key)
		if norm.NFC.IsNormalString(string(r)) && norm.NFC.IsNormalString(string(next)) {
			require.Equal(t, key, filter.Fold(string(next)), "%+q", r)
		}
		for _, mark := range marks {
			key := filter.Fold(string(r) + mark)
			require.Equal(t, key, filter.Fold(key), "%+q", r)
		}
	}
}

// Filters agree with the keys that an index has, with and without the short cuts.
func TestFold_IsWhatFiltersCompare(t *testing.T) {
	t.Parallel()
	letters := rapid.StringOfN(rapid.SampledFrom([]rune("aAbBkK\u212asSſéÉ\u0301eEjJ\u030c\u01f0 .@Åå\u212b")), 0, 6, -1)
	rapid.Check(t, func(t *rapid.T) {
		have, want := letters.Draw(t, "have"), letters.Draw(t, "want")
		key, wanted := filter.Fold(have), filter.Fold(want)
		require.Equal(t, key, filter.Fold(key))
		for op, fits := range map[filter.Op]bool{
			filter.Equal: key == wanted, filter.NotEqual: key != wanted, filter.Contains: strings.Contains(key, wanted),
			filter.StartsWith: strings.HasPrefix(key, wanted), filter.EndsWith: strings.HasSuffix(key, wanted),
			filter.Greater: key > wanted, filter.GreaterOrEqual: key >= wanted, filter.Less: key < wanted, filter.LessOrEqual: key <= wanted,
		} {
			holds, err := filter.Compile(compare("userName", op, want), people)
			require.NoError(t, err)
			require.Equal(t, fits, holds(map[string]any{"userName": have}), op)
		}
	})
}
