package sources

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
)

// engineErrors words what the engine found wrong with an expression. Of faults
// of its form only the first counts: the engine stumbles over the rest because
// of it. The same goes for what follows from a name that is not known.
func engineErrors(p *program, issues *cel.Issues) []error {
	list := issues.Errors()
	if i := slices.IndexFunc(list, func(e *common.Error) bool { return strings.HasPrefix(e.Message, syntaxError) }); i >= 0 {
		list = list[:1]
	}
	var out []error
	for _, e := range list {
		f := p.found(e)
		if f.follows && (len(out) > 0 || len(list) > 1) {
			continue
		}
		out = append(out, p.errorAt(f.line, f.col, f.msg, f.hint))
	}
	if len(out) == 0 {
		out = append(out, p.errorAt(1, 1, withoutLineBreaks(issues.Err().Error()), ""))
	}
	return out
}

const syntaxError = "Syntax error: "

// fault is one finding of the engine in our words.
type fault struct {
	line, col int
	msg, hint string
	follows   bool // from another finding
}

// found puts a finding of the engine into plain words. What it does not know
// keeps the engine's.
func (p *program) found(e *common.Error) fault {
	f := fault{line: 1, col: 1, msg: withoutLineBreaks(strings.TrimPrefix(e.Message, syntaxError))}
	if e.Location != nil && e.Location.Line() > 0 {
		f.line, f.col = e.Location.Line(), e.Location.Column()+1
	}
	f.msg, _, _ = strings.Cut(f.msg, " (did you mean") // among its own names only
	f.msg = strings.TrimSuffix(f.msg, " (in container '')")
	before, after := p.around(f.line, f.col)
	if m := enginePattern.FindStringSubmatch(f.msg); m != nil {
		switch what, of := m[1], m[2]; what {
		case "undeclared reference to ":
			undeclared(&f, of, before, after)
		case "token recognition error at: ":
			f.msg, f.hint = strayText(strings.TrimSpace(of), after)
		case "mismatched input ", "extraneous input ":
			strayWord(&f, of, before)
		case "missing ":
			f.msg, f.hint = "a "+of+" is missing here", "count the brackets"
		case "no viable alternative at input ":
			f.msg, f.hint = "a name or value is missing here", "an attribute is written attr.NAME, a text in quotes"
		case "found no matching overload for ":
			noOverload(&f, of, m[3])
		case "expected type ":
			f.msg, f.hint = typeName(m[3])+" stands where "+typeName(of)+" is needed", ""
			if of == "bool" {
				f.hint = compareHint
			}
		}
	}
	switch {
	case strings.HasPrefix(f.msg, "reserved identifier: "):
		f.msg, f.hint = strings.TrimPrefix(f.msg, "reserved identifier: ")+" has no meaning here", choiceHint
	case strings.HasSuffix(f.msg, "does not support field selection"):
		f.msg, f.hint = "a value has no parts", "the name of an attribute that holds a dot is written attr.`a.b`"
	case f.msg == "invalid matches argument":
		f.msg, f.hint = "the pattern of matches is no regular expression", `a bracket that is meant as itself is written \\(`
	}
	return f
}

var enginePattern = regexp.MustCompile(`^(undeclared reference to |token recognition error at: |mismatched input |extraneous input |missing |` +
	`no viable alternative at input |found no matching overload for |expected type )'(.*?)'(?:$| expecting .*$|(?: at| applied to| but found) '(.*)'$)`)

const (
	compareHint = `compare it with something, as in attr.employeeType == "disabled"`
	choiceHint  = "a choice is written CONDITION ? VALUE : OTHER"
	lookHint    = "look for a missing quote, operator, comma or bracket before it"
)

// undeclared is about a name that nothing has.
func undeclared(f *fault, name, before, after string) {
	name = Printable(name)
	switch {
	case strings.HasSuffix(before, "-"):
		f.msg, f.follows = name+" has no meaning here", strings.Count(before, "-") > 1
		f.hint = "the name of an attribute that holds a dash is written attr.`ms-DS-ConsistencyGuid`"
	case strings.HasPrefix(after, "("):
		f.msg, f.hint = "there is no function "+name, didYouMean(name, functionNames())
		if strings.HasSuffix(before, name) {
			f.col -= len(name) // the engine points at the bracket behind it
		}
		if f.hint == "" {
			f.hint = "there are " + strings.Join(functionNames(), ", ")
		}
	default:
		f.msg, f.hint = name+" has no meaning here", didYouMean(name, roots())
		if f.hint == "" {
			f.hint = "an attribute is written attr." + name + ", a text in quotes"
		}
	}
}

// strayText is about characters that begin nothing the engine knows.
func strayText(text, after string) (msg, hint string) {
	switch {
	case strings.HasPrefix(after, "=~"):
		return "=~ is no operator", `write attr.NAME.matches("pattern")`
	case text == "=":
		return "= is no operator", "write == to compare"
	case text == "&":
		return "& is no operator", "write && for and, bit(attr.NAME, 2) for a bit of a number"
	case text == "|":
		return "| is no operator", "write || for or"
	case strings.ContainsAny(text, "“”„‟‘’‚«»"):
		return "typographic quotes begin no text", `write " or '`
	case strings.ContainsAny(text, `"'`) && strings.Contains(text, `\`):
		return `a \ in a text begins a character of its own`, `write \\ for a backslash`
	case strings.HasPrefix(text, `"`), strings.HasPrefix(text, "'"):
		return "the quote that opens here is not closed", `close it; a quote in a text is written \" or \'`
	}
	return Printable(text) + " has no meaning here", "an attribute is written attr.NAME, a text in quotes"
}

// strayWord is about a word that stands where none may.
func strayWord(f *fault, word, before string) {
	before = strings.TrimRight(before, " ")
	switch {
	case word == "<EOF>":
		f.msg, f.hint = "the expression ends too early", "a value is missing at its end"
		return
	case word == "and", word == "or", word == "AND", word == "OR":
		f.msg, f.hint = word+" is no operator", "write "+map[string]string{"and": "&&", "or": "||"}[strings.ToLower(word)]
	case before == "not" || strings.HasSuffix(before, " not"):
		f.msg, f.hint = "not is no operator", "write !(…)"
	case word == ">" && strings.HasSuffix(before, "<"):
		f.msg, f.hint = "<> is no operator", "write !="
	case slices.Contains([]string{"contains", "startsWith", "endsWith", "matches"}, word):
		f.msg, f.hint = word+" is a function", "write attr.NAME."+word+`("text")`
	case slices.Contains([]string{"then", "else", ":"}, word):
		f.msg, f.hint = word+" has no meaning here", choiceHint
	default:
		f.msg, f.hint = Printable(word)+" cannot stand here", lookHint
	}
}

// noOverload is about a function or operator that does not take what it is
// given: its name, and the engine's list of types.
func noOverload(f *fault, name, types string) {
	f.follows = strings.Contains(types, "!error!")
	target, args, member := strings.Cut(strings.TrimSuffix(types, ")"), ".(")
	if !member {
		target, args = "", strings.TrimPrefix(target, "(")
	}
	var given []string
	for t := range strings.SplitSeq(args, ", ") {
		if t != "" {
			given = append(given, typeName(t))
		}
	}
	mixed := slices.Contains(given, "text") && slices.Contains(given, "a number")
	switch op := operator(name); {
	case member && slices.Contains([]string{"lower", "upper", "trim", "slug", "orValue", "bit"}, name):
		f.msg, f.hint = name+" stands before its value, not behind it", "write "+name+"(attr.NAME)"
	case member:
		f.msg, f.hint = fmt.Sprintf("%s of %s does not take %s", name, typeName(target), listed(given)), ""
	case name == "_?_:_" && len(given) > 0 && given[0] != "true or false":
		f.msg, f.hint = given[0]+" stands before ? where true or false is needed", compareHint
	case name == "@in":
		f.msg, f.hint = "in needs a list behind it", `write attr.NAME in ["one", "other"]`
	case name == "_[_]":
		f.msg, f.hint = "a text has no [ ]", "attrs.NAME[0] is the first of all values of an attribute"
	case op != "" && mixed && op == "+":
		f.msg, f.hint = "+ does not join text and a number", `put quotes around the number, or string(...)`
	case op != "" && mixed:
		f.msg, f.hint = op+" does not take text and a number", "attributes are text: put quotes around the number, or int(...) around the attribute"
	case op != "":
		f.msg, f.hint = op+" does not take "+listed(given), ""
		if op == "!" {
			f.hint = compareHint
		}
	default:
		f.msg = name + " does not take " + listed(given)
	}
}

// operator gives the sign of an engine's operator such as _==_; "" for a
// function.
func operator(name string) string {
	if !strings.Contains(name, "_") || strings.ContainsAny(name, "abcdefghijklmnopqrstuvwxyz") {
		return ""
	}
	return strings.Trim(name, "_")
}

func listed(given []string) string {
	if len(given) == 0 {
		return "an empty ( )"
	}
	return strings.Join(given, " and ")
}

// typeName puts a type's name in the engine's errors into words.
func typeName(t string) string {
	switch {
	case t == "string":
		return "text"
	case t == "bool":
		return "true or false"
	case t == "int", t == "uint", t == "double":
		return "a number"
	case strings.HasPrefix(t, "list("):
		return "a list"
	}
	return Printable(t)
}

func withoutLineBreaks(s string) string { return Printable(strings.Join(strings.Fields(s), " ")) }

// around gives the text of a line of the expression before a column and from
// there on.
func (p *program) around(line, col int) (before, after string) {
	lines := strings.Split(p.at.Source, "\n")
	if line > len(lines) {
		return "", ""
	}
	runes := []rune(lines[line-1])
	at := max(0, min(col-1, len(runes)))
	return string(runes[:at]), string(runes[at:])
}

func functionNames() []string {
	return []string{
		"lower", "upper", "trim", "slug", "orValue", "bit", "guid", "mm_guid", "fileTimePast", "timePast",
		"timeAhead", "daysPast", "lockedForGood", "isTrue",
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
