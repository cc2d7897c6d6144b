package sources

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The usual slips get one plain sentence each, with a next step, instead of the
// engine's own terms.
func TestCompile_slipsInPlainWords(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		`attr.a = "x"`:                    "column 8: = is no operator; write == to compare",
		`attr.a =~ "x"`:                   `column 8: =~ is no operator; write attr.NAME.matches("pattern")`,
		`attr.a <> "x"`:                   "column 9: <> is no operator; write !=",
		`attr.a == "x" and attr.b == "y"`: "column 15: and is no operator; write &&",
		`attr.a == "x" or attr.b == "y"`:  "column 15: or is no operator; write ||",
		`not attr.a == "x"`:               "column 5: not is no operator; write !(…)",
		`attr.a & attr.b`:                 "column 8: & is no operator; write && for and, bit(attr.NAME, 2) for a bit of a number",
		`attr.a == "x`:                    `column 11: the quote that opens here is not closed; close it; a quote in a text is written \" or \'`,
		`attr.a == “x”`:                   `column 11: typographic quotes begin no text; write " or '`,
		`"a\qb"`:                          `column 1: a \ in a text begins a character of its own; write \\ for a backslash`,
		`attr.a ==`:                       "column 10: the expression ends too early; a value is missing at its end",
		`lower(attr.a`:                    "column 13: a ) is missing here; count the brackets",
		`attr.`:                           "column 6: a name or value is missing here; an attribute is written attr.NAME, a text in quotes",
		`attr.a attr.b`:                   "column 8: attr cannot stand here; look for a missing quote, operator, comma or bracket before it",
		`attr.a contains "x"`:             `column 8: contains is a function; write attr.NAME.contains("text")`,
		`if attr.a`:                       "column 1: if has no meaning here; a choice is written CONDITION ? VALUE : OTHER",
		`attr.a == "x" : "y"`:             "column 15: : has no meaning here; a choice is written CONDITION ? VALUE : OTHER",
		`attr.a ? "b" : "c"`:              "column 8: text stands before ? where true or false is needed; " + compareHint,
		`attr.a && true`:                  "column 5: text stands where true or false is needed; " + compareHint,
		`!attr.a`:                         "column 1: ! does not take text; " + compareHint,
		`attr.a == 1`:                     "column 8: == does not take text and a number; attributes are text: put quotes around the number, or int(...) around the attribute",
		`attr.a + 1`:                      "column 8: + does not join text and a number; put quotes around the number, or string(...)",
		`attr.a in "x"`:                   `column 8: in needs a list behind it; write attr.NAME in ["one", "other"]`,
		`attr.a[0]`:                       "column 7: a text has no [ ]; attrs.NAME[0] is the first of all values of an attribute",
		`attr.a.b`:                        "column 7: a value has no parts; the name of an attribute that holds a dot is written attr.`a.b`",
		`attr.ms-DS-Foo`:                  "column 9: DS has no meaning here; the name of an attribute that holds a dash is written attr.`ms-DS-ConsistencyGuid`",
		`attr.a.lower()`:                  "column 13: lower stands before its value, not behind it; write lower(attr.NAME)",
		`lower(attr.a, 1)`:                "column 6: lower does not take text and a number",
		`lower()`:                         "column 6: lower does not take an empty ( )",
		`attrs.a.contains("x")`:           "column 17: contains of a list does not take text",
		`attr.a.matches("(")`:             `column 16: the pattern of matches is no regular expression; a bracket that is meant as itself is written \\(`,
		`loewr(attr.a)`:                   "column 1: there is no function loewr; did you mean lower?",
		`mail`:                            "column 1: mail has no meaning here; an attribute is written attr.mail, a text in quotes",
	} {
		r := basicRules()
		r.Nickname = text(expr)
		_, err := Compile("corp", r, CompileOptions{})
		require.EqualError(t, err, "nickname_attribute, "+want, expr)
	}
}
