package config

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"time"

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
		case is[Secret](f.value.Type()):
			d.secret(path, f, value, nodes[f.key+"_file"])
			continue
		case value != nil:
			d.value(value, child, f.value, f.single)
		}
		if f.required && (value == nil || isEmpty(f.value)) {
			d.doc.fault(child, "is required", requiredHint(f))
		}
	}
}

// requiredHint says what a section that is missing must hold.
func requiredHint(f field) string {
	switch t := f.value.Type(); {
	case is[[]Source](t):
		return "list at least one, of type ldap, file or scim"
	case t.Kind() != reflect.Struct || is[Expr](t):
		return ""
	}
	var keys []string
	for _, child := range fieldsOf(f.value) {
		switch {
		case child.required && child.file:
			keys = append(keys, child.key+" or "+child.key+"_file")
		case child.required:
			keys = append(keys, child.key)
		}
	}
	if len(keys) == 0 {
		return ""
	}
	return "it must hold " + strings.Join(keys, ", and ")
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
			d.doc.faultAt(k.Line, k.Column, path, "a key must be a plain word: aliases and merges are not supported", "write every key of the section out")
		case first[k.Value] != 0:
			d.doc.faultAt(k.Line, k.Column, child, fmt.Sprintf("is there twice, first on line %d", first[k.Value]), "keep one of the two")
		case !known[k.Value]:
			d.unknown(k, path, fields)
		default:
			d.doc.marks[child] = mark{line: k.Line, col: k.Column, null: isNull(v)}
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
	msg, hint := misplaced(path, name)
	if msg == "" {
		msg, hint = "unknown key", unknownKeyHint(name, fields)
	}
	if glued {
		hint = "put a space after the colon"
	}
	end := k.Column + len([]rune(name))
	if k.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		end += 2
	}
	d.doc.record(&Error{
		File: d.doc.name, Line: k.Line, Col: k.Column, Path: joinPath(path, name),
		Msg: msg, Hint: hint, keyFault: true, keyEnd: end,
	})
}

// value fills one value of any kind.
func (d *decoder) value(n *yaml.Node, path string, v reflect.Value, single bool) {
	switch {
	case is[Expr](v.Type()):
		d.expr(n, path, v)
	case is[time.Duration](v.Type()):
		d.duration(n, path, v)
	case is[Size](v.Type()):
		d.size(n, path, v)
	case is[Source](v.Type()):
		d.source(n, path, v)
	case v.Kind() == reflect.Slice:
		d.list(n, path, v, single)
	case v.Kind() == reflect.Map:
		d.sections(n, path, v)
	case v.Kind() == reflect.Struct:
		d.section(n, path, v)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		switch {
		case is[*Groups](v.Type()):
			v.Set(reflect.ValueOf(defaultGroups()))
		case is[*Picture](v.Type()):
			v.Set(reflect.ValueOf(defaultPicture()))
		case is[*JWT](v.Type()):
			v.Set(reflect.ValueOf(defaultJWT()))
		case is[*OIDC](v.Type()):
			v.Set(reflect.ValueOf(defaultOIDC()))
		case is[*TLS](v.Type()):
			v.Set(reflect.ValueOf(defaultTLS()))
		}
		d.value(n, path, v.Elem(), single)
	default:
		d.scalar(n, path, v)
	}
}

// source fills a Source and the struct of its type, whose keys stand side by
// side in the file.
func (d *decoder) source(n *yaml.Node, path string, v reflect.Value) {
	ldap, file, scim := reflect.ValueOf(defaultLDAP()), reflect.ValueOf(&File{}), reflect.ValueOf(defaultSCIMSource())
	switch d.typeOf(n) {
	case TypeLDAP:
		v.FieldByName("LDAP").Set(ldap)
		d.section(n, path, v, ldap.Elem())
	case TypeFile:
		v.FieldByName("File").Set(file)
		d.section(n, path, v, file.Elem())
	case TypeSCIM:
		v.FieldByName("SCIM").Set(scim)
		d.section(n, path, v, scim.Elem())
	default:
		d.untyped(n, path, fieldsOf(v, ldap.Elem(), file.Elem(), scim.Elem()))
	}
}

// typeOf looks ahead at the type of a source.
func (d *decoder) typeOf(n *yaml.Node) string {
	if n.Kind != yaml.MappingNode {
		return ""
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "type" {
			text, _ := expand(n.Content[i+1].Value, d.loader.lookup)
			return text
		}
	}
	return ""
}

// untyped reads a source whose type is missing or wrong. Which other keys belong
// in it nobody can tell then: only name and type are judged, and keys no type
// knows.
func (d *decoder) untyped(n *yaml.Node, path string, fields []field) {
	if !d.plain(n, path) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.wrongKind(n, path, "a section of keys", "")
		return
	}
	nodes := d.keys(n, path, fields)
	for _, f := range fields {
		child := joinPath(path, f.key)
		if f.key != "name" && f.key != "type" {
			continue
		}
		if value := nodes[f.key]; value != nil {
			d.value(value, child, f.value, false)
		}
		if isEmpty(f.value) {
			d.doc.fault(child, "is required", typeHint(f.key))
		}
	}
}

func typeHint(key string) string {
	if key == "type" {
		return "write type: ldap, type: file or type: scim"
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

// sections fills a map, keyed by names that the schema does not know.
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
			d.doc.fault(childFile, secretFault(name, err), unreadableHint(err))
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

// isEmpty tells a value that was written but says nothing. Sections are never
// empty in this sense: their own keys are required, or have defaults.
func isEmpty(v reflect.Value) bool {
	if e, ok := reflect.TypeAssert[Expr](v); ok {
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
