package sources

import (
	"strings"

	"cel.dev/cel-go/cel"
)

// engineErrors words what the engine found wrong with an expression.
func engineErrors(p *program, issues *cel.Issues) []error {
	var out []error
	for _, e := range issues.Errors() {
		msg := withoutLineBreaks(e.Message)
		line, col := 1, 1
		if e.Location != nil && e.Location.Line() > 0 {
			line, col = e.Location.Line(), e.Location.Column()+1
		}
		msg, name, hint := plainWords(msg)
		if before := p.lineUpTo(line, col); name != "" && strings.HasSuffix(before, name) {
			col -= len(name) // the engine points at the bracket behind a function's name
		}
		out = append(out, p.errorAt(line, col, msg, hint))
	}
	if len(out) == 0 {
		out = append(out, p.errorAt(1, 1, withoutLineBreaks(issues.Err().Error()), ""))
	}
	return out
}

func withoutLineBreaks(s string) string { return Printable(strings.Join(strings.Fields(s), " ")) }

// lineUpTo gives the text of a line of the expression before a column.
func (p *program) lineUpTo(line, col int) string {
	lines := strings.Split(p.at.Source, "\n")
	if line > len(lines) {
		return ""
	}
	runes := []rune(lines[line-1])
	return string(runes[:max(0, min(col-1, len(runes)))])
}

// plainWords strips the engine's own terms from a message, and gives the
// undeclared name, if that is the fault, and a next step.
func plainWords(msg string) (plain, name, hint string) {
	msg = strings.TrimPrefix(strings.TrimSuffix(msg, " (in container '')"), "Syntax error: ")
	msg, _, _ = strings.Cut(msg, " (did you mean")
	msg = strings.TrimSuffix(msg, " (in container '')")
	if rest, ok := strings.CutPrefix(msg, "undeclared reference to '"); ok {
		name, _, _ = strings.Cut(rest, "'")
		if hint = didYouMean(name, append(roots(), functionNames()...)); hint == "" {
			hint = "an attribute is written attr." + Printable(name) + ", a text in quotes"
		}
		return msg, name, hint
	}
	if before, _, ok := strings.Cut(msg, " expecting "); ok {
		if strings.Contains(before, "'<EOF>'") {
			return "the expression ends too early", "", "a value is missing at its end"
		}
		return before, "", "look for a missing quote, comma or bracket before it"
	}
	return msg, "", ""
}

func functionNames() []string {
	return []string{
		"lower", "upper", "trim", "slug", "orValue", "bit", "guid", "mm_guid", "fileTimePast", "timePast",
		"replace", "split", "join", "matches", "startsWith", "endsWith", "contains", "size", "substring", "string", "int",
	}
}

func typeWord(t *cel.Type) string {
	switch {
	case t == nil:
		return "nothing"
	case t.IsExactType(cel.StringType):
		return "text"
	case t.IsExactType(cel.BoolType):
		return "true or false"
	case t.IsExactType(cel.IntType):
		return "a number"
	case t.Kind() == cel.ListKind:
		return "a list"
	}
	return cel.FormatCELType(t)
}
