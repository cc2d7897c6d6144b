package sources

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ExprError is one fault of one expression, found before any entry was read.
type ExprError struct {
	Key  string // the setting it stands in, such as username_attribute
	File string // the configuration's name; may be empty
	// Line and Col place the fault in the configuration, 1-based; 0 is unknown.
	// With Line 0, Col counts within the expression.
	Line, Col int
	Msg       string
	Hint      string // next step; may be empty
}

// Error gives file, place, key, fault and hint in one line.
func (e *ExprError) Error() string {
	var b strings.Builder
	switch {
	case e.Line == 0:
	case e.File != "":
		b.WriteString(e.File + ":")
	case e.Col == 0:
		b.WriteString("line ")
	}
	if e.Line > 0 {
		b.WriteString(strconv.Itoa(e.Line))
		if e.Col > 0 {
			fmt.Fprintf(&b, ":%d", e.Col)
		}
		b.WriteString(": ")
	}
	b.WriteString(e.Key)
	if e.Line == 0 && e.Col > 0 {
		fmt.Fprintf(&b, ", column %d", e.Col)
	}
	b.WriteString(": ")
	b.WriteString(e.Msg)
	if e.Hint != "" {
		b.WriteString("; ")
		b.WriteString(e.Hint)
	}
	return b.String()
}

// didYouMean gives a hint naming the candidate nearest to name, or "".
func didYouMean(name string, among []string) string {
	best, bestDist := "", 3
	if len(name) <= 3 {
		bestDist = 2
	}
	for _, c := range among {
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d < bestDist {
			best, bestDist = c, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + best + "?"
}

// distance counts the edits between two short names; a swap of neighbours
// counts once, being the commonest slip.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > 64 || len(y) > 64 {
		return max(len(x), len(y))
	}
	prev2, prev, cur := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(x); i++ {
		cur[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(y)]
}

// Printable gives s as it is if it may stand in a sentence or on a terminal,
// and quoted otherwise: control characters, escapes, direction marks and
// broken UTF-8 never reach a reader raw.
func Printable(s string) string {
	if !utf8.ValidString(s) {
		return strconv.QuoteToASCII(s)
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return strconv.QuoteToASCII(s)
		}
	}
	return s
}

// cleanRef makes a place storable: no store takes NUL or broken UTF-8.
func cleanRef(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return Printable(s)
}

// withoutValues strips what an engine error quotes from an entry, since
// problems are shown and logged without attribute values, and bounds it.
func withoutValues(msg string) string {
	var b strings.Builder
	quoted := false
	for _, r := range msg {
		switch {
		case r == '"':
			if !quoted {
				b.WriteString("\"…\"")
			}
			quoted = !quoted
		case quoted:
		case !unicode.IsPrint(r):
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
		if b.Len() > 200 {
			b.WriteString("…")
			break
		}
	}
	return b.String()
}
