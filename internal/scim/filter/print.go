package filter

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// String gives URN:NAME.SUB as far as they are there.
func (a Attr) String() string {
	if a.URN == "" && a.Sub == "" {
		return a.Name
	}
	var b strings.Builder
	a.write(&b)
	return b.String()
}

func (a Attr) write(b *strings.Builder) {
	b.WriteString(a.URN)
	if a.URN != "" && a.Name != "" {
		b.WriteByte(':')
	}
	b.WriteString(a.Name)
	if a.Sub != "" {
		b.WriteByte('.')
		b.WriteString(a.Sub)
	}
}

// String gives the path in canonical spelling; parsing that again gives an equal Path.
func (p Path) String() string {
	if p.Filter == nil {
		return p.Attr.String()
	}
	var b strings.Builder
	Attr{URN: p.Attr.URN, Name: p.Attr.Name}.write(&b)
	b.WriteByte('[')
	writeExpr(&b, p.Filter)
	b.WriteByte(']')
	if p.Attr.Sub != "" {
		b.WriteByte('.')
		b.WriteString(p.Attr.Sub)
	}
	return b.String()
}

func (e *And) String() string       { return text(e) }
func (e *Or) String() string        { return text(e) }
func (e *Not) String() string       { return text(e) }
func (e *Compare) String() string   { return text(e) }
func (e *Present) String() string   { return text(e) }
func (e *ValuePath) String() string { return text(e) }

func text(e Expr) string {
	var b strings.Builder
	writeExpr(&b, e)
	return b.String()
}

func writeExpr(b *strings.Builder, e Expr) {
	switch e := e.(type) {
	case *And:
		for i, part := range conjuncts(e) {
			if i > 0 {
				b.WriteString(" and ")
			}
			writePart(b, part, true)
		}
	case *Or:
		for i, part := range disjuncts(e) {
			if i > 0 {
				b.WriteString(" or ")
			}
			writePart(b, part, false)
		}
	case *Not:
		b.WriteString("not (")
		writeExpr(b, e.Of)
		b.WriteByte(')')
	case *Present:
		e.Attr.write(b)
		b.WriteString(" pr")
	case *Compare:
		writeCompare(b, e)
	case *ValuePath:
		writeValuePath(b, e)
	}
}

// writePart puts parentheses where reading again would bind otherwise: around what
// stands right of the same operator, and around "or" below "and".
func writePart(b *strings.Builder, e Expr, inAnd bool) {
	switch e.(type) {
	case *Or:
	case *And:
		if !inAnd {
			writeExpr(b, e)
			return
		}
	default:
		writeExpr(b, e)
		return
	}
	b.WriteByte('(')
	writeExpr(b, e)
	b.WriteByte(')')
}

func writeCompare(b *strings.Builder, e *Compare) {
	e.Attr.write(b)
	b.WriteByte(' ')
	b.WriteString(string(e.Op))
	b.WriteByte(' ')
	switch v := e.Value.(type) {
	case nil:
		b.WriteString("null")
	case string:
		writeString(b, v)
	case json.Number:
		b.WriteString(v.String())
	default:
		fmt.Fprint(b, v)
	}
}

// writeValuePath writes a Then that is no plain comparison, which cannot stand
// behind the brackets, as part of the filter.
func writeValuePath(b *strings.Builder, e *ValuePath) {
	inner, then := e.Filter, ""
	switch {
	case e.Then == nil:
	case isComparison(e.Then):
		then = "." + text(e.Then)
	default:
		inner = &And{Left: e.Filter, Right: e.Then}
	}
	e.Attr.write(b)
	b.WriteByte('[')
	writeExpr(b, inner)
	b.WriteByte(']')
	b.WriteString(then)
}

// isComparison tells what can stand behind the brackets of a value path.
func isComparison(e Expr) bool {
	switch e := e.(type) {
	case *Compare:
		return isPlain(e.Attr)
	case *Present:
		return isPlain(e.Attr)
	}
	return false
}

// writeString writes a string of JSON; only what has to be is escaped.
func writeString(b *strings.Builder, s string) {
	b.WriteByte('"')
	from := 0
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if r >= ' ' && r != '"' && r != '\\' && (r != utf8.RuneError || size > 1) {
			i += size
			continue
		}
		b.WriteString(s[from:i])
		switch r {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteByte(s[i])
		case utf8.RuneError:
			b.WriteRune(r)
		default:
			fmt.Fprintf(b, `\u%04x`, r)
		}
		i += size
		from = i
	}
	b.WriteString(s[from:])
	b.WriteByte('"')
}

// conjuncts gives what a chain of And joins, in order.
func conjuncts(e Expr) []Expr {
	var parts []Expr
	for {
		and, ok := e.(*And)
		if !ok {
			break
		}
		parts = append(parts, and.Right)
		e = and.Left
	}
	return backwards(append(parts, e))
}

// disjuncts gives what a chain of Or joins, in order.
func disjuncts(e Expr) []Expr {
	var parts []Expr
	for {
		or, ok := e.(*Or)
		if !ok {
			break
		}
		parts = append(parts, or.Right)
		e = or.Left
	}
	return backwards(append(parts, e))
}

func backwards(parts []Expr) []Expr {
	slices.Reverse(parts)
	return parts
}
