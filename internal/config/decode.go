package config

import (
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// decoder lays a tree of YAML nodes over the structs. It goes on after every
// fault, leaving the default in place of what could not be read.
type decoder struct {
	doc         *document
	loader      Loader
	dir         string
	secretFiles []SecretFile
}

// section fills structs that share one mapping.
func (d *decoder) section(n *yaml.Node, path string, targets ...reflect.Value) {
	if !d.plain(n, path) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.wrongKind(n, path, "a section of keys", "")
		return
	}
	fields := fieldsOf(targets...)
	nodes := d.keys(n, path, fields)
	for _, f := range fields {
		child := joinPath(path, f.key)
		value := nodes[f.key]
		switch {
		case f.value.Type() == secretType:
			d.secret(path, f, value, nodes[f.key+"_file"])
			continue
		case value != nil:
			d.value(value, child, f.value, f.single)
		}
		if f.required && (value == nil || isEmpty(f.value)) {
			d.doc.fault(child, "is required", "")
		}
	}
}

// keys gives the values of a mapping by key, without those that are null, and
// reports the keys that are unknown or there twice.
func (d *decoder) keys(n *yaml.Node, path string, fields []field) map[string]*yaml.Node {
	known := map[string]bool{}
	for _, k := range keysOf(fields) {
		known[k] = true
	}
	nodes, first := map[string]*yaml.Node{}, map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		child := joinPath(path, k.Value)
		switch {
		case k.Kind != yaml.ScalarNode || k.Value == "<<":
			d.doc.faultAt(k.Line, k.Column, path, "a key must be a plain word", "write every key of the section out")
		case first[k.Value] != 0:
			d.doc.faultAt(k.Line, k.Column, child, fmt.Sprintf("is there twice, first on line %d", first[k.Value]), "keep one of the two")
		case !known[k.Value]:
			d.unknown(k, path, fields)
		default:
			d.doc.marks[child] = mark{line: k.Line, col: k.Column}
			switch {
			case !isNull(v):
				nodes[k.Value] = v
			case strings.HasPrefix(path, "mapping.sources."):
				d.doc.fault(child, "is empty", `write "" if this source does not own the field, or remove the line to take the default`)
			}
		}
		if k.Kind == yaml.ScalarNode && first[k.Value] == 0 {
			first[k.Value] = k.Line
		}
	}
	return nodes
}

func (d *decoder) unknown(k *yaml.Node, path string, fields []field) {
	// In {token:abc} the whole text is the key, and its end may be a secret.
	name, _, glued := strings.Cut(k.Value, ":")
	hint := unknownKeyHint(name, fields)
	if glued {
		hint = "put a space after the colon"
	}
	e := d.doc.faultAt(k.Line, k.Column, joinPath(path, name), "unknown key", hint)
	e.keyFault, e.keyEnd = true, k.Column+len([]rune(name))
	if k.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		e.keyEnd += 2
	}
}

// value fills one value of any kind.
func (d *decoder) value(n *yaml.Node, path string, v reflect.Value, single bool) {
	switch {
	case v.Type() == exprType:
		d.expr(n, path, v)
	case v.Type() == durationType:
		d.duration(n, path, v)
	case v.Type() == sourceType:
		d.source(n, path, v.Addr().Interface().(*Source))
	case v.Kind() == reflect.Slice:
		d.list(n, path, v, single)
	case v.Kind() == reflect.Map:
		d.sections(n, path, v)
	case v.Kind() == reflect.Struct:
		d.section(n, path, v)
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		if g, ok := v.Interface().(*Groups); ok {
			*g = *defaultGroups()
		}
		d.value(n, path, v.Elem(), single)
	default:
		d.scalar(n, path, v)
	}
}

func (d *decoder) source(n *yaml.Node, path string, s *Source) {
	ldap, file := defaultLDAP(), &File{}
	kind := ""
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == "type" {
				kind, _ = expandQuietly(n.Content[i+1].Value, d.loader.lookup)
			}
		}
	}
	switch kind {
	case TypeLDAP:
		s.LDAP = ldap
		d.section(n, path, reflect.ValueOf(s).Elem(), reflect.ValueOf(ldap).Elem())
	case TypeFile:
		s.File = file
		d.section(n, path, reflect.ValueOf(s).Elem(), reflect.ValueOf(file).Elem())
	default:
		// Without a type nobody can tell which other keys belong here.
		d.untyped(n, path, s)
	}
}

// untyped reads a source whose type is missing or wrong: only that is reported,
// and whatever the keys of any type would report about keys.
func (d *decoder) untyped(n *yaml.Node, path string, s *Source) {
	if !d.plain(n, path) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.wrongKind(n, path, "a section of keys", "")
		return
	}
	all := fieldsOf(reflect.ValueOf(s).Elem(), reflect.ValueOf(&LDAP{}).Elem(), reflect.ValueOf(&File{}).Elem())
	nodes := d.keys(n, path, all)
	for _, f := range all[:2] {
		if value := nodes[f.key]; value != nil {
			d.value(value, joinPath(path, f.key), f.value, false)
		}
		if f.value.IsZero() {
			d.doc.fault(joinPath(path, f.key), "is required", typeHint(f.key))
		}
	}
}

func typeHint(key string) string {
	if key == "type" {
		return "write type: ldap or type: file"
	}
	return ""
}

func (d *decoder) list(n *yaml.Node, path string, v reflect.Value, single bool) {
	if !d.plain(n, path) {
		return
	}
	items := n.Content
	switch {
	case single && n.Kind == yaml.ScalarNode:
		items = []*yaml.Node{n}
	case n.Kind != yaml.SequenceNode:
		d.wrongKind(n, path, "a list", "write [one, another], or one item a line, each after a dash")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		child := indexPath(path, i)
		d.doc.marks[child] = mark{line: item.Line, col: item.Column}
		if isNull(item) {
			d.doc.fault(child, "is empty", "")
			continue
		}
		d.value(item, child, out.Index(i), false)
	}
	v.Set(out)
}

// sections fills a map of structs, keyed by names that the schema does not know.
func (d *decoder) sections(n *yaml.Node, path string, v reflect.Value) {
	if !d.plain(n, path) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.wrongKind(n, path, "a section of names", "")
		return
	}
	var names []field
	for i := 0; i+1 < len(n.Content); i += 2 {
		names = append(names, field{key: n.Content[i].Value})
	}
	nodes := d.keys(n, path, names)
	out := reflect.MakeMap(v.Type())
	for name, node := range nodes {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(node, joinPath(path, name), item, false)
		out.SetMapIndex(reflect.ValueOf(name), item)
	}
	v.Set(out)
}

func (d *decoder) wrongKind(n *yaml.Node, path, want, hint string) {
	d.doc.faultAt(n.Line, n.Column, path, "want "+want+", found "+kindOf(n), hint)
}

// plain refuses what would make a value stand elsewhere than where it is read.
func (d *decoder) plain(n *yaml.Node, path string) bool {
	var what, hint string
	switch {
	case n.Kind == yaml.AliasNode:
		what, hint = "aliases (*name) are not supported", "write the value out, or quote it if it begins with *"
	case n.Anchor != "":
		what, hint = "anchors (&name) are not supported", "remove the anchor, or quote the value if it begins with &"
	case n.Style&yaml.TaggedStyle != 0:
		what, hint = "tags (!name) are not supported", "remove the tag, or quote the value if it begins with !"
	default:
		return true
	}
	d.doc.faultAt(n.Line, n.Column, path, what, hint)
	return false
}

// text gives a scalar with its variables replaced, and notes where it stands.
// Quoted tells whether it was in quotes and so cannot mean a number or a switch.
func (d *decoder) text(n *yaml.Node, path, want string) (text string, quoted, ok bool) {
	if !d.plain(n, path) {
		return "", false, false
	}
	if n.Kind != yaml.ScalarNode {
		hint := ""
		if n.Style&yaml.FlowStyle != 0 {
			hint = "quote the value if it is meant to begin with { or ["
		}
		d.wrongKind(n, path, want, hint)
		return "", false, false
	}
	line, col := d.contentStart(n)
	d.doc.marks[path] = mark{line: line, col: col, raw: n.Value}
	text, fault := expand(n.Value, d.loader.lookup)
	if fault != nil {
		if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
			col += fault.offset
		}
		d.doc.faultAt(line, col, path, fault.msg, fault.hint)
		return "", false, false
	}
	return text, text == n.Value && n.Style != 0, true
}

// contentStart is where the first character of a scalar's content stands.
func (d *decoder) contentStart(n *yaml.Node) (line, col int) {
	switch {
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		return n.Line, n.Column + 1
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		for l := n.Line + 1; l <= len(d.doc.lines); l++ {
			if text := d.doc.line(l); strings.TrimSpace(text) != "" {
				return l, indentation(text) + 1
			}
		}
	}
	return n.Line, n.Column
}

func (d *decoder) scalar(n *yaml.Node, path string, v reflect.Value) {
	want := map[reflect.Kind]string{
		reflect.String: "text", reflect.Bool: "true or false", reflect.Int: "a whole number", reflect.Float64: "a number",
	}[v.Kind()]
	text, quoted, ok := d.text(n, path, want)
	if !ok {
		return
	}
	wrong := func(hint string) { d.doc.fault(path, "want "+want+", found "+d.doc.quote(path), hint) }
	if quoted && v.Kind() != reflect.String {
		wrong("write it without quotes")
		return
	}
	switch v.Kind() {
	case reflect.String:
		if strings.IndexFunc(text, isControl) >= 0 {
			d.doc.fault(path, "holds a line break or another control character", "write it on one line")
			return
		}
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			wrong("")
			return
		}
		v.SetBool(text == "true")
	case reflect.Int:
		i, err := strconv.Atoi(text)
		if err != nil {
			wrong("")
			return
		}
		v.SetInt(int64(i))
	case reflect.Float64:
		f, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(text, "%")), 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || strings.HasSuffix(text, "%") {
			wrong(map[bool]string{true: "write it without %"}[err == nil && strings.HasSuffix(text, "%")])
			return
		}
		v.SetFloat(f)
	}
}

func (d *decoder) expr(n *yaml.Node, path string, v reflect.Value) {
	text, _, ok := d.text(n, path, "text")
	if !ok {
		return
	}
	m := d.doc.marks[path]
	v.Set(reflect.ValueOf(Expr{Text: strings.TrimSpace(text), Line: m.line, Col: m.col}))
}

func (d *decoder) duration(n *yaml.Node, path string, v reflect.Value) {
	text, _, ok := d.text(n, path, "a duration")
	if !ok {
		return
	}
	value, err := parseDuration(text)
	if err != nil {
		d.doc.fault(path, "want a duration, found "+d.doc.quote(path), err.Error())
		return
	}
	v.SetInt(int64(value))
}

// secret fills a Secret from its key or from the file its <key>_file names.
func (d *decoder) secret(path string, f field, inline, file *yaml.Node) {
	child := joinPath(path, f.key)
	childFile := child + "_file"
	switch {
	case inline != nil && file != nil:
		d.doc.fault(childFile, "is given beside "+f.key, "keep one of the two")
	case file != nil:
		name := ""
		d.scalar(file, childFile, reflect.ValueOf(&name).Elem())
		if name == "" {
			d.doc.fault(childFile, "is empty", "name the file that holds the secret")
			return
		}
		name = resolve(d.dir, name)
		s := fileSecret(name, d.loader.readFile)
		if _, err := s.Value(); err != nil {
			d.doc.fault(childFile, secretFault(name, err), "")
			return
		}
		f.value.Set(reflect.ValueOf(s))
		d.secretFiles = append(d.secretFiles, SecretFile{Path: childFile, File: name})
	case inline != nil:
		text, _, ok := d.text(inline, child, "text")
		m := d.doc.marks[child]
		d.doc.marks[child] = mark{line: m.line, col: m.col}
		if !ok {
			return
		}
		if err := checkSecret(strings.TrimSuffix(text, "\n")); err != nil {
			d.doc.fault(child, err.Error(), "")
			return
		}
		f.value.Set(reflect.ValueOf(NewSecret(strings.TrimSuffix(text, "\n"))))
	case f.required && f.file:
		d.doc.fault(child, "is required", fmt.Sprintf("set %s, or %s_file to the name of a file that holds it", f.key, f.key))
	}
}

// secretFault says why the secret in a file cannot be used.
func secretFault(name string, err error) string {
	if r := reason(err); r != err.Error() {
		return fmt.Sprintf("file %s cannot be read: %s", name, r)
	}
	return strings.Replace(err.Error(), "read secret: ", "file ", 1)
}

// resolve makes a path relative to the configuration's directory.
func resolve(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

func expandQuietly(text string, lookup func(string) (string, bool)) (string, bool) {
	out, fault := expand(text, lookup)
	return out, fault == nil
}

// isEmpty tells a value that was written but says nothing. Sections are never
// empty in this sense: their own keys are required, or have defaults.
func isEmpty(v reflect.Value) bool {
	if e, ok := v.Interface().(Expr); ok {
		return e.Text == ""
	}
	switch v.Kind() {
	case reflect.String, reflect.Slice:
		return v.Len() == 0
	}
	return false
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Style == 0 && n.ShortTag() == "!!null"
}

// kindOf names what a node is, for "found …".
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		return "text"
	}
	return "something else"
}
