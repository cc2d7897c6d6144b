package config

import (
	"math"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// text gives a scalar with its variables replaced, and notes where it stands.
// Quoted tells whether it was in quotes and so cannot mean a number or a switch.
func (d *decoder) text(n *yaml.Node, path, want string) (text string, quoted, ok bool) {
	if !d.plain(n, path) {
		return "", false, false
	}
	if n.Kind != yaml.ScalarNode {
		hint := ""
		if want == "text" && n.Style&yaml.FlowStyle != 0 {
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

// scalar fills a text, number or switch.
func (d *decoder) scalar(n *yaml.Node, path string, v reflect.Value) {
	want := map[reflect.Kind]string{
		reflect.String: "text", reflect.Bool: "true or false", reflect.Int: "a whole number", reflect.Float64: "a number",
	}[v.Kind()]
	text, quoted, ok := d.text(n, path, want)
	if !ok {
		return
	}
	hint := ""
	switch v.Kind() {
	case reflect.String:
		if strings.IndexFunc(text, isControl) >= 0 {
			d.doc.fault(path, "holds a line break or another control character", "write it on one line")
			return
		}
		v.SetString(text)
		return
	case reflect.Bool:
		if ok = text == "true" || text == "false"; ok && !quoted {
			v.SetBool(text == "true")
			return
		}
	case reflect.Int:
		var i int
		if i, ok = wholeNumber(text); ok && !quoted {
			v.SetInt(int64(i))
			return
		}
	case reflect.Float64:
		var f float64
		if f, ok = number(text); ok && !quoted {
			v.SetFloat(f)
			return
		}
		if _, ok := number(strings.TrimSuffix(text, "%")); ok && !quoted {
			hint = "write it without %"
		}
	}
	if ok && quoted {
		hint = "write it without quotes"
	}
	d.doc.fault(path, "want "+want+", found "+d.doc.quote(path), hint)
}

func wholeNumber(text string) (int, bool) {
	i, err := strconv.Atoi(text)
	return i, err == nil
}

func number(text string) (float64, bool) {
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}

// expr keeps a text with its place, for whoever compiles it.
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
	value, err := ParseDuration(text)
	if err != nil {
		d.doc.fault(path, "want a duration, found "+d.doc.quote(path), err.Error())
		return
	}
	v.SetInt(int64(value))
}

func (d *decoder) size(n *yaml.Node, path string, v reflect.Value) {
	text, _, ok := d.text(n, path, "a size")
	if !ok {
		return
	}
	value, err := parseSize(text)
	if err != nil {
		d.doc.fault(path, "want a size, found "+d.doc.quote(path), err.Error())
		return
	}
	v.SetInt(int64(value))
}
