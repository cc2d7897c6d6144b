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
	a.print(&b)
	return b.String()
}

func (a Attr) print(b *strings.Builder) {
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
	Attr{URN: p.Attr.URN, Name: p.Attr.Name}.print(&b)
	b.WriteByte('[')
	printExpr(&b, p.Filter)
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
	printExpr(&b, e)
	return b.String()
}

func printExpr(b *strings.Builder, e Expr) {
	switch e := e.(type) {
	case *And:
		for i, part := range conjuncts(e) {
			if i > 0 {
				b.WriteString(" and ")
			}
			printPart(b, part, true)
		}
	case *Or:
		for i, part := range disjuncts(e) {
			if i > 0 {
				b.WriteString(" or ")
			}
			printPart(b, part, false)
		}
	case *Not:
		b.WriteString("not (")
		printExpr(b, e.Of)
		b.WriteByte(')')
	case *Present:
		e.Attr.print(b)
		b.WriteString(" pr")
	case *Compare:
		printCompare(b, e)
	case *ValuePath:
		printValuePath(b, e)
	}
}

// printPart puts parentheses where reading again would bind otherwise: around what
// stands right of the same operator, and around "or" below "and".
func printPart(b *strings.Builder, e Expr, inAnd bool) {
	switch e.(type) {
	case *Or:
	case *And:
		if !inAnd {
			printExpr(b, e)
			return
		}
	default:
		printExpr(b, e)
		return
	}
	b.WriteByte('(')
	printExpr(b, e)
	b.WriteByte(')')
}

func printCompare(b *strings.Builder, e *Compare) {
	e.Attr.print(b)
	b.WriteByte(' ')
	b.WriteString(string(e.Op))
	b.WriteByte(' ')
	switch v := e.Value.(type) {
	case nil:
		b.WriteString("null")
	case string:
		printString(b, v)
	case json.Number:
		b.WriteString(v.String())
	default:
		fmt.Fprint(b, v)
	}
}

// printValuePath writes a Then that is no plain comparison, which cannot stand
// behind the brackets, as part of the filter.
func printValuePath(b *strings.Builder, e *ValuePath) {
	inner, then := e.Filter, ""
	switch {
	case e.Then == nil:
	case isComparison(e.Then):
		then = "." + text(e.Then)
	default:
		inner = &And{Left: e.Filter, Right: e.Then}
	}
	e.Attr.print(b)
	b.WriteByte('[')
	printExpr(b, inner)
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

// printString writes a string of JSON; only what has to be is escaped.
func printString(b *strings.Builder, s string) {
	b.WriteByte('"')
	from := 0
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if r >= ' ' && r != '"' && r != '\\' && (r != utf8.RuneError || size > 1) {
			i += size
			continue
		}
		b.WriteString(s[from:i])
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteByte(s[i])
		case r == utf8.RuneError:
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
