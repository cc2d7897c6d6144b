package sources

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"
)

// Limits of one expression. They are far above what a mapping needs and keep a
// slip from making a run of 100,000 entries slow.
const (
	maxExpression = 4096    // code points
	maxNodes      = 2000    // after macro expansion
	maxNesting    = 2       // comprehensions inside each other
	maxRegex      = 500     // compiled instructions
	maxCost       = 200_000 // the engine's units, roughly one per step or 10 bytes
	maxResult     = 4096    // bytes
)

// The names an expression may start from.
const (
	rootAttr   = "attr"   // first value of an attribute, "" if absent
	rootRow    = "row"    // the same under the name that fits a file
	rootAttrs  = "attrs"  // all values
	rootGroups = "groups" // what Record.Groups holds
	rootSource = "source" // the source's name
)

// program is one compiled expression.
type program struct {
	key    string
	at     Expr
	names  []string // attributes mentioned, as written
	groups bool     // mentions groups
	tree   *ast.AST
	prog   cel.Program
	text   func(*Record) (string, error) // set if the expression has a short cut
	truth  func(*Record) (bool, error)   // the same for a boolean
	form   form
}

// engine compiles the expressions of one source.
type engine struct {
	env    *cel.Env
	source string
}

func newEngine(source string, now func() time.Time) (*engine, error) {
	opts := []cel.EnvOption{
		cel.Variable(rootAttr, cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable(rootRow, cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable(rootAttrs, cel.MapType(cel.StringType, cel.ListType(cel.StringType))),
		cel.Variable(rootGroups, cel.ListType(cel.StringType)),
		cel.Variable(rootSource, cel.StringType),
		cel.EnableIdentifierEscapeSyntax(),
		cel.ParserExpressionSizeLimit(maxExpression),
		cel.ExpressionNodeLimit(maxNodes),
		cel.RegexProgramSizeLimit(maxRegex),
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateComprehensionNestingLimit(maxNesting)),
		ext.Strings(ext.StringsVersion(5)),
	}
	env, err := cel.NewEnv(append(opts, functionOptions(now)...)...)
	if err != nil {
		return nil, fmt.Errorf("set up expressions: %w", err)
	}
	return &engine{env, source}, nil
}

func functionOptions(now func() time.Time) []cel.EnvOption {
	text, whole, truth := cel.StringType, cel.IntType, cel.BoolType
	unary := func(f func(string) (string, error)) cel.OverloadOpt {
		return cel.UnaryBinding(func(v ref.Val) ref.Val {
			s, ok := v.(types.String)
			if !ok {
				return types.MaybeNoSuchOverloadErr(v)
			}
			return textOrErr(f(string(s)))
		})
	}
	onClock := func(f func(string, time.Time) (bool, error)) cel.OverloadOpt {
		return cel.UnaryBinding(func(v ref.Val) ref.Val {
			s, ok := v.(types.String)
			if !ok {
				return types.MaybeNoSuchOverloadErr(v)
			}
			return truthOrErr(f(string(s), now()))
		})
	}
	plain := func(f func(string) (bool, error)) cel.OverloadOpt {
		return onClock(func(s string, _ time.Time) (bool, error) { return f(s) })
	}
	return []cel.EnvOption{
		cel.Function("lower", cel.Overload("lower_string", []*cel.Type{text}, text, unary(lowerText))),
		cel.Function("upper", cel.Overload("upper_string", []*cel.Type{text}, text, unary(upperText))),
		cel.Function("trim", cel.Overload("trim_global_string", []*cel.Type{text}, text, unary(trimText))),
		cel.Function("guid", cel.MemberOverload("string_guid", []*cel.Type{text}, text, unary(guidText))),
		cel.Function("mm_guid", cel.MemberOverload("string_mm_guid", []*cel.Type{text}, text, unary(mmGUIDText))),
		cel.Function("slug", cel.Overload("slug_string_int", []*cel.Type{text, whole}, text,
			cel.BinaryBinding(func(a, b ref.Val) ref.Val {
				s, ok1 := a.(types.String)
				n, ok2 := b.(types.Int)
				if !ok1 || !ok2 {
					return types.MaybeNoSuchOverloadErr(a)
				}
				return textOrErr(slugText(string(s), int64(n)))
			}))),
		cel.Function("orValue", cel.Overload("orValue_string_string", []*cel.Type{text, text}, text,
			cel.BinaryBinding(func(a, b ref.Val) ref.Val {
				x, ok1 := a.(types.String)
				y, ok2 := b.(types.String)
				if !ok1 || !ok2 {
					return types.MaybeNoSuchOverloadErr(a)
				}
				return types.String(orValue(string(x), string(y)))
			}))),
		cel.Function("bit",
			cel.Overload("bit_string_int", []*cel.Type{text, whole}, truth, cel.BinaryBinding(bitValue)),
			cel.Overload("bit_int_int", []*cel.Type{whole, whole}, truth, cel.BinaryBinding(bitValue))),
		cel.Function("fileTimePast", cel.Overload("fileTimePast_string", []*cel.Type{text}, truth, onClock(fileTimePast))),
		cel.Function("timePast", cel.Overload("timePast_string", []*cel.Type{text}, truth, onClock(timePast))),
		cel.Function("timeAhead", cel.Overload("timeAhead_string", []*cel.Type{text}, truth, onClock(timeAhead))),
		cel.Function("daysPast", cel.Overload("daysPast_string", []*cel.Type{text}, truth, onClock(daysPast))),
		cel.Function("lockedForGood", cel.Overload("lockedForGood_string", []*cel.Type{text}, truth, plain(lockedForGood))),
		cel.Function("isTrue", cel.Overload("isTrue_string", []*cel.Type{text}, truth, plain(isTrue))),
	}
}

func bitValue(a, b ref.Val) ref.Val {
	mask, ok := b.(types.Int)
	if !ok {
		return types.MaybeNoSuchOverloadErr(b)
	}
	switch v := a.(type) {
	case types.String:
		return truthOrErr(bitText(string(v), int64(mask)))
	case types.Int:
		return types.Bool(v&mask != 0)
	}
	return types.MaybeNoSuchOverloadErr(a)
}

func textOrErr(s string, err error) ref.Val {
	if err != nil {
		return types.WrapErr(err)
	}
	return types.String(s)
}

func truthOrErr(b bool, err error) ref.Val {
	if err != nil {
		return types.WrapErr(err)
	}
	return types.Bool(b)
}

// compile makes one program; want is cel.StringType, cel.BoolType, or nil for
// any. All faults found in the expression are given.
func (e *engine) compile(key string, x Expr, want *cel.Type) (*program, []error) {
	if x.Key != "" {
		key = x.Key
	}
	p := &program{key: key, at: x}
	tree, issues := e.env.Compile(x.Source)
	if issues.Err() != nil {
		return p, engineErrors(p, issues)
	}
	p.tree = tree.NativeRep()
	if errs := p.inspect(p.tree); len(errs) > 0 {
		return p, errs
	}
	if got := tree.OutputType(); want != nil && !got.IsExactType(want) {
		hint := "put string(...) around it, or name one attribute"
		if want.IsExactType(cel.BoolType) {
			hint = `compare it with something, as in attr.employeeType == "disabled"`
		}
		return p, []error{p.errorAt(1, 1, fmt.Sprintf("gives %s where %s is needed", typeWord(got), typeWord(want)), hint)}
	}
	prog, err := e.env.Program(tree, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost))
	if err != nil {
		return p, []error{p.errorAt(1, 1, withoutLineBreaks(err.Error()), "")}
	}
	p.prog = prog
	p.shorten(tree.NativeRep().Expr())
	return p, nil
}

// inspect walks the tree for the names it mentions, and refuses what could
// only be known while running: an attribute name or a regex that is computed.
func (p *program) inspect(tree *ast.AST) []error {
	var errs []error
	info := tree.SourceInfo()
	refuse := func(id int64, msg, hint string) {
		loc := info.GetStartLocation(id)
		errs = append(errs, p.errorAt(loc.Line(), loc.Column()+1, msg, hint))
	}
	taken := map[int64]bool{} // root identifiers that stand before a fixed name
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(x ast.Expr) {
		switch x.Kind() {
		case ast.SelectKind:
			if sel := x.AsSelect(); isRoot(sel.Operand()) {
				taken[sel.Operand().ID()] = true
				p.mention(sel.FieldName())
			}
		case ast.CallKind:
			p.inspectCall(x, taken, refuse)
		case ast.ComprehensionKind:
			c := x.AsComprehension()
			for _, v := range []string{c.IterVar(), c.IterVar2()} {
				if slices.Contains(roots(), v) {
					refuse(x.ID(), v+" has a meaning of its own here", "give the loop variable another name")
				}
			}
		case ast.IdentKind:
			switch {
			case x.AsIdent() == rootGroups:
				p.groups = true
			case isRoot(x) && !taken[x.ID()]:
				refuse(x.ID(), x.AsIdent()+" needs the name of an attribute", "write "+x.AsIdent()+".mail")
			}
		}
	}))
	slices.SortFunc(p.names, compareFold)
	p.names = slices.CompactFunc(p.names, strings.EqualFold)
	return errs
}

func (p *program) inspectCall(x ast.Expr, taken map[int64]bool, refuse func(id int64, msg, hint string)) {
	call := x.AsCall()
	switch call.FunctionName() {
	case "_[_]":
		if len(call.Args()) != 2 || !isRoot(call.Args()[0]) {
			return
		}
		name, index := call.Args()[0], call.Args()[1]
		taken[name.ID()] = true
		if index.Kind() == ast.LiteralKind {
			if s, ok := index.AsLiteral().(types.String); ok {
				p.mention(string(s))
				return
			}
		}
		refuse(x.ID(), "the name of an attribute cannot be computed",
			"the directory is asked for the names that stand in the configuration; write "+name.AsIdent()+".NAME")
	case "matches":
		args := call.Args()
		if len(args) == 0 || args[len(args)-1].Kind() != ast.LiteralKind {
			refuse(x.ID(), "the pattern of matches cannot be computed", "write the pattern as a text in quotes")
		}
	}
}

func (p *program) mention(name string) { p.names = append(p.names, name) }

func roots() []string { return []string{rootAttr, rootRow, rootAttrs, rootGroups, rootSource} }

func isRoot(x ast.Expr) bool {
	if x.Kind() != ast.IdentKind {
		return false
	}
	n := x.AsIdent()
	return n == rootAttr || n == rootRow || n == rootAttrs
}

func compareFold(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) }

// errorAt places a fault found at line and column of the expression, 1-based,
// in the configuration.
func (p *program) errorAt(line, col int, msg, hint string) *ExprError {
	e := &ExprError{Key: p.key, File: p.at.File, Line: p.at.Line, Col: col, Msg: msg, Hint: hint}
	switch {
	case p.at.Line == 0:
	case line > 1: // how far the block is indented is not known
		e.Line, e.Col = p.at.Line+line-1, 0
	case p.at.Col == 0:
		e.Col = 0
	default:
		e.Col = p.at.Col + col - 1
	}
	return e
}

// evalAny runs the engine, without short cut.
func (p *program) evalAny(source string, rec *Record) (ref.Val, error) {
	if p.groups && rec.GroupsFault != "" {
		return nil, &groupsError{rec.GroupsFault}
	}
	out, _, err := p.prog.Eval(&activation{rec, source})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (p *program) evalText(source string, rec *Record) (string, error) {
	var s string
	if p.text != nil {
		var err error
		if s, err = p.text(rec); err != nil {
			return "", err
		}
	} else {
		v, err := p.evalAny(source, rec)
		if err != nil {
			return "", err
		}
		t, ok := v.(types.String)
		if !ok {
			return "", fmt.Errorf("gave %s where text is needed", v.Type().TypeName())
		}
		s = string(t)
	}
	return s, checkText(s)
}

func (p *program) evalTruth(source string, rec *Record) (bool, error) {
	if p.truth != nil {
		return p.truth(rec)
	}
	v, err := p.evalAny(source, rec)
	if err != nil {
		return false, err
	}
	b, ok := v.(types.Bool)
	if !ok {
		return false, fmt.Errorf("gave %s where true or false is needed", v.Type().TypeName())
	}
	return bool(b), nil
}

// checkText refuses results that no store and no server takes.
func checkText(s string) error {
	switch {
	case len(s) > maxResult:
		return fmt.Errorf("the result is longer than %d bytes", maxResult)
	case !utf8.ValidString(s):
		return errNotText
	case strings.IndexByte(s, 0) >= 0:
		return fmt.Errorf("the result holds a NUL character")
	}
	return nil
}

// unknownError is an attribute that is hidden; its text is ours and is shown whole.
type unknownError struct{ why string }

func (e *unknownError) Error() string { return e.why }

// groupsError is told apart so that a Fault can say that the read, not the
// entry, is to blame.
type groupsError struct{ fault string }

func (e *groupsError) Error() string { return e.fault }
