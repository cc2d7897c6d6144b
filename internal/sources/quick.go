package sources

import (
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
)

// form says how a plain expression renders its one attribute.
type form int

const (
	formOther form = iota // more than an attribute
	formPlain             // attr.NAME
	formGUID              // attr.NAME.guid()
)

// shorten gives p a short cut past the engine if the expression is made of
// attributes, constants and strict text functions only: the common case, run
// once per field and entry. Everything else keeps the engine. The functions
// are the very ones the engine calls, and a test holds both to one answer.
func (p *program) shorten(x ast.Expr) {
	p.text = quickText(x)
	if p.text == nil {
		p.truth = quickTruth(x)
	}
	switch {
	case quickAttr(x) != "":
		p.form = formPlain
	case x.Kind() == ast.CallKind && x.AsCall().FunctionName() == "guid" && quickAttr(x.AsCall().Target()) != "":
		p.form = formGUID
	}
}

type textFunc = func(*Record) (string, error)

// quickAttr gives the attribute name of attr.NAME or attr["NAME"], else "".
func quickAttr(x ast.Expr) string {
	switch x.Kind() {
	case ast.SelectKind:
		sel := x.AsSelect()
		if isRoot(sel.Operand()) && sel.Operand().AsIdent() != rootAttrs && !sel.IsTestOnly() {
			return sel.FieldName()
		}
	case ast.CallKind:
		call := x.AsCall()
		if call.FunctionName() != "_[_]" || len(call.Args()) != 2 {
			return ""
		}
		root, index := call.Args()[0], call.Args()[1]
		if isRoot(root) && root.AsIdent() != rootAttrs && index.Kind() == ast.LiteralKind {
			if s, ok := index.AsLiteral().(types.String); ok {
				return string(s)
			}
		}
	}
	return ""
}

func quickText(x ast.Expr) textFunc {
	if name := quickAttr(x); name != "" {
		return func(rec *Record) (string, error) {
			if err := rec.unseen(name); err != nil {
				return "", err
			}
			return rec.Value(name), nil
		}
	}
	if s, ok := literal[types.String](x); ok {
		return func(*Record) (string, error) { return string(s), nil }
	}
	if x.Kind() != ast.CallKind {
		return nil
	}
	call := x.AsCall()
	if call.IsMemberFunction() {
		if len(call.Args()) > 0 {
			return nil
		}
		switch call.FunctionName() {
		case "guid":
			return quickUnary(call.Target(), guidText)
		case "mm_guid":
			return quickUnary(call.Target(), mmGUIDText)
		}
		return nil
	}
	switch args := call.Args(); call.FunctionName() {
	case "lower":
		return quickUnary(args[0], lowerText)
	case "upper":
		return quickUnary(args[0], upperText)
	case "trim":
		return quickUnary(args[0], trimText)
	case "slug":
		if n, ok := literal[types.Int](args[1]); ok {
			return quickUnary(args[0], func(s string) (string, error) { return slugText(s, int64(n)) })
		}
	case "orValue":
		return quickBinary(args[0], args[1], orValue)
	case "_+_":
		return quickBinary(args[0], args[1], func(a, b string) string { return a + b })
	}
	return nil
}

func quickTruth(x ast.Expr) func(*Record) (bool, error) {
	if x.Kind() != ast.CallKind || x.AsCall().IsMemberFunction() || len(x.AsCall().Args()) != 2 {
		return nil
	}
	call := x.AsCall()
	a := quickText(call.Args()[0])
	if a == nil {
		return nil
	}
	switch call.FunctionName() {
	case "bit":
		mask, ok := literal[types.Int](call.Args()[1])
		if !ok {
			return nil
		}
		return func(rec *Record) (bool, error) {
			s, err := a(rec)
			if err != nil {
				return false, err
			}
			return bitText(s, int64(mask))
		}
	case "_==_", "_!=_":
		b, want := quickText(call.Args()[1]), call.FunctionName() == "_==_"
		if b == nil {
			return nil
		}
		return func(rec *Record) (bool, error) {
			s, t, err := both(rec, a, b)
			return (s == t) == want && err == nil, err
		}
	}
	return nil
}

func quickUnary(arg ast.Expr, f func(string) (string, error)) textFunc {
	inner := quickText(arg)
	if inner == nil {
		return nil
	}
	return func(rec *Record) (string, error) {
		s, err := inner(rec)
		if err != nil {
			return "", err
		}
		return f(s)
	}
}

func quickBinary(x, y ast.Expr, f func(a, b string) string) textFunc {
	a := quickText(x)
	if a == nil {
		return nil
	}
	b := quickText(y)
	if b == nil {
		return nil
	}
	return func(rec *Record) (string, error) {
		s, t, err := both(rec, a, b)
		if err != nil {
			return "", err
		}
		return f(s, t), nil
	}
}

func both(rec *Record, a, b textFunc) (s, t string, err error) {
	if s, err = a(rec); err != nil {
		return "", "", err
	}
	t, err = b(rec)
	return s, t, err
}

func literal[T any](x ast.Expr) (T, bool) {
	if x.Kind() != ast.LiteralKind {
		var zero T
		return zero, false
	}
	v, ok := x.AsLiteral().(T)
	return v, ok
}
