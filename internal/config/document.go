package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// document is the text of a configuration file and where in it each value
// stands.
type document struct {
	name  string
	lines []string
	marks map[string]mark
	// bad holds the paths that have a fault already: later checks stay silent
	// about them, for they would judge a value that is not the one written.
	bad    map[string]bool
	faults []*Error
}

// mark is where a value begins, and its text before ${NAME} was replaced: what
// an error may quote, for the value of a variable may be a secret.
type mark struct {
	line, col int
	raw       string
	null      bool // the key is there without a value
}

func newDocument(name string, data []byte) *document {
	return &document{
		name:  name,
		lines: strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n"),
		marks: map[string]mark{},
		bad:   map[string]bool{},
	}
}

// line gives the text of a line, counted from 1; "" if there is none.
func (d *document) line(n int) string {
	if n < 1 || n > len(d.lines) {
		return ""
	}
	return d.lines[n-1]
}

// errorAt makes an Error at path, or at the nearest section around it that was
// written.
func (d *document) errorAt(path, msg, hint string) *Error {
	e := &Error{File: d.name, Path: path, Msg: msg, Hint: hint, Line: 1, Col: 1}
	for p := path; ; p = parentPath(p) {
		if m, ok := d.marks[p]; ok {
			e.Line, e.Col = m.line, m.col
			return e
		}
		if p == "" {
			return e
		}
	}
}

// fault records a fault of the value at path, unless that value has one.
func (d *document) fault(path, msg, hint string) {
	if !d.isBad(path) {
		d.record(d.errorAt(path, msg, hint))
	}
}

// faultAt records a fault at a place that is not where path begins.
func (d *document) faultAt(line, col int, path, msg, hint string) {
	d.record(&Error{File: d.name, Line: line, Col: col, Path: path, Msg: msg, Hint: hint})
}

func (d *document) record(e *Error) {
	d.bad[e.Path] = true
	d.faults = append(d.faults, e)
}

// isBad tells whether path or a section around it has a fault.
func (d *document) isBad(path string) bool {
	for p := path; p != ""; p = parentPath(p) {
		if d.bad[p] {
			return true
		}
	}
	return false
}

// quote gives the value at path as it was written, for use in a message. It
// gives "…" for what may be more than that value: text that runs over the end of
// a line swallows the keys below when one space is wrong, secrets among them.
func (d *document) quote(path string) string {
	const most = 60
	m := d.marks[path]
	if !strings.Contains(d.line(m.line), m.raw) || secretKey.MatchString(m.raw) || userinfo.MatchString(m.raw) {
		return `"…"`
	}
	r := []rune(m.raw)
	if len(r) > most {
		r = append(r[:most], '…')
	}
	return strconv.Quote(string(r))
}

// parentPath cuts the last step: a.b[0] → a.b → a → "".
func parentPath(path string) string {
	i := strings.LastIndexAny(path, ".[")
	if i < 0 {
		return ""
	}
	return path[:i]
}

func joinPath(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func indexPath(path string, i int) string {
	return path + "[" + strconv.Itoa(i) + "]"
}

// finish gives the faults as one error, each with its excerpt.
func (d *document) finish() error {
	cut := map[int]int{}
	for _, e := range d.faults {
		if e.keyFault && (cut[e.Line] == 0 || e.keyEnd < cut[e.Line]) {
			cut[e.Line] = e.keyEnd
		}
	}
	for _, e := range d.faults {
		d.excerptUpTo(e, cut[e.Line])
	}
	return join(d.faults)
}

func (d *document) excerpt(e *Error) { d.excerptUpTo(e, 0) }

// excerptUpTo gives e the source line it stands in, unless that line belongs to
// a secret; what stands at column end and later is left out if end is not 0.
func (d *document) excerptUpTo(e *Error, end int) {
	const most = 120
	line := []rune(d.line(e.Line))
	if len(line) == 0 || e.Col < 1 || e.Col > len(line)+1 || d.holdsSecret(e) {
		return
	}
	if end > 0 {
		if e.Col >= end {
			return
		}
		if end <= len(line) {
			line = append(line[:end-1:end-1], []rune(": …")...)
		}
	}
	from := 0
	if e.Col > most {
		from = e.Col - most/2
	}
	line = line[from:]
	if len(line) > most {
		line = append(line[:most:most], '…')
	}
	for i, r := range line {
		if !unicode.IsPrint(r) {
			line[i] = ' '
		}
	}
	e.source, e.caret = string(line), e.Col-1-from
}

// secretKey finds keys whose value is a secret; a key that ends in _file does
// not match. Written to hide too much rather than too little.
var (
	secretKey = regexp.MustCompile(`(?i)(token|passw|passwd|secret|credential|proxy_?url|dsn|_key)[a-z]*["']?\s*(:|$)`)
	urlKey    = regexp.MustCompile(`(?i)\burl["']?\s*(:|$)`)
	userinfo  = regexp.MustCompile(`://[^/\s]*@`)
	blockKey  = regexp.MustCompile(`^\s*(?:-\s+)*["']?([A-Za-z_][\w-]*)["']?\s*:(?:\s|$)`)
	flowKey   = regexp.MustCompile(`[{,]\s*["']?([A-Za-z_][\w-]*)["']?\s*:(?:\s|$)`)
)

// knownKeysOnly tells whether a line that could not be parsed has keys and all
// of them are ours: else it may be a secret under a misspelt name, or one whose
// colon is missing.
func (d *document) knownKeysOnly(n int) bool {
	var keys []string
	for _, m := range append(blockKey.FindAllStringSubmatch(d.line(n), 1), flowKey.FindAllStringSubmatch(d.line(n), -1)...) {
		keys = append(keys, m[1])
	}
	known := schemaKeys()
	return len(keys) > 0 && !slices.ContainsFunc(keys, func(k string) bool { return len(known[k]) == 0 })
}

// holdsSecret tells whether the line of e may hold a secret: by its own keys,
// or because a line above, indented less, opens a value that goes on here.
func (d *document) holdsSecret(e *Error) bool {
	if d.secretLine(e.Line, e.Path) || (e.syntax && !d.knownKeysOnly(e.Line)) {
		return true
	}
	within := indentation(d.line(e.Line))
	for n := e.Line - 1; n > 0 && within > 0; n-- {
		text := d.line(n)
		depth := indentation(text)
		if strings.TrimSpace(text) == "" || depth >= within {
			continue
		}
		if d.secretLine(n, "") && !strings.HasPrefix(strings.TrimSpace(text), "#") {
			return true
		}
		within = depth
	}
	return false
}

func (d *document) secretLine(n int, path string) bool {
	text := d.line(n)
	return secretKey.MatchString(text) || userinfo.MatchString(text) ||
		(path != "mattermost.url" && urlKey.MatchString(text))
}

func indentation(line string) int {
	return len(line) - len(strings.TrimLeft(line, " \t"))
}
