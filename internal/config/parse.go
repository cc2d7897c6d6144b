package config

import (
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// maxRepairs bounds how often a file is parsed again.
const maxRepairs = 100

// parse gives the root of the document, a mapping, or nil if the text is not
// YAML of that shape. A value whose only fault is that it wants quotes is read
// as if it had them, so that the faults behind it are found as well.
func (d *document) parse(data []byte) *yaml.Node {
	if !d.checkText(data) {
		return nil
	}
	text := append([]string(nil), d.lines...)
	quoted := map[int]bool{}
	for {
		root, err := d.compose(strings.Join(text, "\n"))
		if err == nil {
			return root
		}
		n, wantsQuotes := d.syntaxFault(err)
		repaired, ok := quoteValue(d.line(n))
		if !wantsQuotes || !ok || quoted[n] || len(quoted) == maxRepairs {
			return nil
		}
		quoted[n], text[n-1] = true, repaired
	}
}

// compose reads the text as a single document. A root of nil without an error
// means that a fault is recorded.
func (d *document) compose(text string) (*yaml.Node, *yaml.LoadError) {
	loader, err := yaml.NewLoader(strings.NewReader(text))
	var root, second yaml.Node
	if err == nil {
		err = loader.Load(&root)
	}
	if err == nil {
		switch err = loader.Load(&second); {
		case err == nil:
			d.syntaxAt(second.Line, 1, "a second document begins here", "keep everything in one document and remove the ---")
			return nil, nil
		case errors.Is(err, io.EOF):
			err = nil
		}
	}
	var loadErr *yaml.LoadError
	switch {
	case errors.As(err, &loadErr):
		return nil, loadErr
	case err != nil && !errors.Is(err, io.EOF):
		d.syntaxAt(1, 1, "not YAML", "")
		return nil, nil
	case len(root.Content) == 0 || isNull(root.Content[0]):
		d.syntaxAt(0, 0, "the file is empty", "start from config.example.yaml")
		return nil, nil
	case root.Content[0].Kind != yaml.MappingNode:
		n := root.Content[0]
		d.syntaxAt(n.Line, n.Column, "the file holds "+kindOf(n)+", not sections", "each line has the form key: value, with a space after the colon")
		return nil, nil
	}
	return root.Content[0], nil
}

// checkText refuses bytes that cannot be in a text file, by line and column.
func (d *document) checkText(data []byte) bool {
	line, col := 1, 1
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && size <= 1:
			d.syntaxAt(line, col, "not UTF-8", "save the file with the encoding UTF-8")
			return false
		case isControl(r) && r != '\n' && r != '\t' && (r != '\r' || len(data) < 2 || data[1] != '\n'),
			r == '\u0085', r == '\u2028', r == '\u2029': // line breaks to YAML, but to no editor
			d.syntaxAt(line, col, "a control character ("+strconv.QuoteRuneToASCII(r)+")", "remove it; is this a text file?")
			return false
		case r == '\n':
			line, col = line+1, 0
		}
		data, col = data[size:], col+1
	}
	return true
}

func (d *document) syntaxAt(line, col int, msg, hint string) {
	for _, e := range d.faults {
		if e.Line == line && e.Msg == msg {
			return
		}
	}
	d.record(&Error{File: d.name, Line: line, Col: col, Msg: msg, Hint: hint, syntax: true})
}

var tabIndent = regexp.MustCompile(`^ *\t\s*[^\s#]`)

// syntaxFault says what is wrong in our own words, and whether quotes around
// the value of that line would mend it. The parser's words are used only where
// they cannot quote the file: a password may begin with * or !.
func (d *document) syntaxFault(e *yaml.LoadError) (line int, wantsQuotes bool) {
	line, col := max(e.Mark.Line, 1), max(e.Mark.Column, 1)
	text := d.line(line)
	says := func(words string) bool { return strings.Contains(e.Message, words) }
	quotes := func(msg string) (int, bool) {
		d.syntaxAt(line, col, msg, quoteHint(text))
		return line, true
	}
	switch {
	case tabIndent.MatchString(text):
		d.tabFaults()
	case says("mapping values are not allowed") && firstColon(text) == col:
		d.syntaxAt(line, indentation(text)+1, "mapping values are not allowed here: the line is indented further than the one it follows", "align it with the other keys of its section")
	case says("mapping values are not allowed"):
		return quotes("mapping values are not allowed here: the value holds a colon followed by a space")
	case says("did not find expected key") && startsQuoted(text):
		return quotes("the value goes on after its closing quote")
	case says("cannot start any token"):
		return quotes("a value cannot start with this character")
	case says("unknown anchor"):
		return quotes("a value that starts with * is an alias in YAML, and aliases are not supported")
	case says("tag") || strings.Contains(e.ContextMsg, "tag"):
		return quotes("a value that starts with ! is a tag in YAML, and tags are not supported")
	case says("did not find expected ',' or"):
		d.flowFault(e)
	case says("could not find expected ':'"):
		d.syntaxAt(e.ContextMark.Line, e.ContextMark.Column, "this line has no key", "write key: value, with a space after the colon")
	case strings.Contains(e.ContextMsg, "quoted scalar"):
		d.syntaxAt(e.ContextMark.Line, e.ContextMark.Column, "the quote that opens here is not closed", "close it on the same line")
	case says("did not find expected key") || says("expected '-' indicator"):
		d.syntaxAt(line, col, "this does not belong to the section it stands in", "check the indentation of this line and the one above it")
	case says("sequence entries are not allowed"):
		d.syntaxAt(line, col, "a list item cannot stand on the line of its key", "put it on a line of its own, indented")
	default:
		d.syntaxAt(line, col, "not YAML: "+e.Message, "")
	}
	return line, false
}

// tabFaults reports every line that is indented by a tab, for they come in
// groups and the parser stops at the first.
func (d *document) tabFaults() {
	for n, l := range d.lines {
		if tabIndent.MatchString(l) {
			d.syntaxAt(n+1, strings.IndexByte(l, '\t')+1, "a tab in the indentation", "indent with spaces; YAML allows no tabs there")
		}
	}
}

// flowFault explains a fault inside {…} or […].
func (d *document) flowFault(e *yaml.LoadError) {
	line, col := e.Mark.Line, e.Mark.Column
	text := d.line(line)
	switch {
	case strings.Contains(text, "${"):
		d.syntaxAt(line, col, "a ${NAME} between { } or [ ] needs quotes", `write "${NAME}"`)
	case strings.Contains(text, " ? ") || strings.Contains(text, " in ["):
		d.syntaxAt(line, col, "an expression between { } or [ ] needs quotes", "quote the expression: '…'")
	default:
		d.syntaxAt(line, col, "expected a comma or the closing bracket of what opens on line "+strconv.Itoa(e.ContextMark.Line), "close the bracket, or quote the value")
	}
}

// firstColon is the column of the first colon of a line: if the parser stops
// there, the line itself is out of place, not its value.
func firstColon(line string) int {
	before, _, _ := strings.Cut(line, ":")
	return utf8.RuneCountInString(before) + 1
}

var blockValue = regexp.MustCompile(`^(\s*(?:-\s+)*[A-Za-z_][\w-]*:\s+)(\S.*?)\s*$`)

// quoteValue puts single quotes around the value of a key: value line. It is
// not for values that span lines or are lists or sections.
func quoteValue(line string) (string, bool) {
	m := blockValue.FindStringSubmatch(line)
	if m == nil || strings.ContainsAny(m[2][:1], "[{|>#&") {
		return "", false
	}
	return m[1] + "'" + strings.ReplaceAll(m[2], "'", "''") + "'", true
}

func startsQuoted(line string) bool {
	m := blockValue.FindStringSubmatch(line)
	return m != nil && (m[2][0] == '"' || m[2][0] == '\'')
}

// quoteHint tells how to quote, without repeating the value.
func quoteHint(line string) string {
	m := blockValue.FindStringSubmatch(line)
	if m == nil {
		return "quote the value"
	}
	key := strings.TrimLeft(strings.TrimSpace(m[1]), "- ")
	if strings.Contains(m[2], " ? ") || strings.Contains(m[2], " + ") || strings.Contains(m[2], " in [") {
		return "quote the expression: " + key + " '…'"
	}
	return "quote the value: " + key + " '…'"
}
