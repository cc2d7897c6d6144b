package filter

import "encoding/json"

// Parse reads a filter, RFC 7644 section 3.4.2.2; a fault is an *Error. "and" binds
// before "or", both to the left; operators and keywords are read in any case. Where
// the grammar has one blank, any white space is taken, also around brackets and the
// whole.
func Parse(text string, o Options) (Expr, error) {
	p, err := newParser(text, o)
	if err != nil {
		return nil, err
	}
	e, err := p.filter(false)
	if err != nil {
		return nil, err
	}
	if p.at < len(p.text) {
		return nil, p.fail(p.at, `"and", "or" or the end`)
	}
	return e, nil
}

// filter reads terms joined by "or"; inside tells of a value path's brackets.
func (p *parser) filter(inside bool) (Expr, *Error) {
	left, err := p.conjunction(inside)
	for err == nil && p.keyword("or") {
		var right Expr
		right, err = p.conjunction(inside)
		left = &Or{Left: left, Right: right}
	}
	return left, err
}

func (p *parser) conjunction(inside bool) (Expr, *Error) {
	left, err := p.term(inside)
	for err == nil && p.keyword("and") {
		var right Expr
		right, err = p.term(inside)
		left = &And{Left: left, Right: right}
	}
	return left, err
}

// term reads one term and the white space around it.
func (p *parser) term(inside bool) (Expr, *Error) {
	p.space()
	if p.peek() == '(' {
		return p.group(inside)
	}
	from := p.at
	word := p.word()
	if sameWord(word, "not") {
		p.space()
		if p.peek() == '(' {
			e, err := p.group(inside)
			return &Not{Of: e}, err
		}
		p.at = from + len(word)
	}
	if p.terms++; p.terms > p.o.Terms {
		p.at = from
		return nil, p.over("terms", p.o.Terms)
	}
	attr, ok := splitAttr(word, false)
	if !ok {
		return nil, p.fail(from, "an attribute")
	}
	if p.peek() != '[' {
		return p.comparison(attr)
	}
	if inside {
		return nil, p.fail(p.at, "an operator, as value paths do not nest,")
	}
	return p.valuePath(attr)
}

// group reads a filter in parentheses, the first of which is next.
func (p *parser) group(inside bool) (Expr, *Error) {
	e, err := p.bracketed(inside, ')')
	if err == nil {
		p.space()
	}
	return e, err
}

// bracketed reads a filter between an opening bracket, which is next, and its end.
func (p *parser) bracketed(inside bool, end byte) (Expr, *Error) {
	if p.depth++; p.depth > p.o.Depth {
		return nil, p.over("open brackets", p.o.Depth)
	}
	p.at++
	e, err := p.filter(inside)
	if err != nil {
		return nil, err
	}
	if p.peek() != end {
		return nil, p.fail(p.at, `"and", "or" or "`+string(rune(end))+`"`)
	}
	p.at++
	p.depth--
	return e, nil
}

// valuePath reads what follows the attribute of one, the bracket being next.
func (p *parser) valuePath(attr Attr) (Expr, *Error) {
	inner, err := p.bracketed(true, ']')
	if err != nil {
		return nil, err
	}
	e := &ValuePath{Attr: attr, Filter: inner}
	if p.peek() == '.' && p.o.may(ValuePathSub) {
		p.at++
		from := p.at
		name := p.word()
		if !isName(name) {
			return nil, p.fail(from, "the name of a sub-attribute")
		}
		if p.terms++; p.terms > p.o.Terms {
			return nil, p.over("terms", p.o.Terms)
		}
		e.Then, err = p.comparison(Attr{Name: name})
		return e, err
	}
	p.space()
	return e, nil
}

// comparison reads the operator and value that follow an attribute.
func (p *parser) comparison(attr Attr) (Expr, *Error) {
	if !p.space() {
		return nil, p.fail(p.at, "white space and an operator")
	}
	from := p.at
	word := p.word()
	if sameWord(word, "pr") {
		if p.peek() == '"' {
			return nil, p.fail(p.at, "no value after pr")
		}
		p.space()
		return &Present{Attr: attr}, nil
	}
	op, ok := operator(word)
	if !ok {
		return nil, p.fail(from, "an operator (eq, ne, co, sw, ew, gt, ge, lt, le, pr)")
	}
	if !p.space() {
		return nil, p.fail(p.at, "white space and a value")
	}
	value, err := p.value()
	if err != nil {
		return nil, err
	}
	return &Compare{Attr: attr, Op: op, Value: value}, nil
}

// operator gives the Op that a word is, without making a string of it.
func operator(word string) (Op, bool) {
	if len(word) != 2 {
		return "", false
	}
	switch [2]byte{lower(word[0]), lower(word[1])} {
	case [2]byte{'e', 'q'}:
		return Equal, true
	case [2]byte{'n', 'e'}:
		return NotEqual, true
	case [2]byte{'c', 'o'}:
		return Contains, true
	case [2]byte{'s', 'w'}:
		return StartsWith, true
	case [2]byte{'e', 'w'}:
		return EndsWith, true
	case [2]byte{'g', 't'}:
		return Greater, true
	case [2]byte{'g', 'e'}:
		return GreaterOrEqual, true
	case [2]byte{'l', 't'}:
		return Less, true
	case [2]byte{'l', 'e'}:
		return LessOrEqual, true
	}
	return "", false
}

// value reads a comparison value and the white space after it.
func (p *parser) value() (Value, *Error) {
	if p.peek() != '"' {
		return p.literal()
	}
	s, err := p.quoted()
	if err != nil {
		return nil, err
	}
	switch {
	case p.space(), p.at == len(p.text), p.peek() == ')', p.peek() == ']':
		return s, nil
	}
	return nil, p.fail(p.at, "white space after the string")
}

// literal reads a value without quotes.
func (p *parser) literal() (Value, *Error) {
	from := p.at
	word := p.word()
	var value Value
	switch {
	case word == "true":
		value = true
	case word == "false":
		value = false
	case word == "null":
	case isNumber(word):
		value = json.Number(word)
	case isBare(word) && p.o.may(BareWord):
		if offset, ok := p.lostOffset(word); ok && p.o.may(TimeSpace) {
			word += "+" + offset
			p.at += 1 + len(offset)
		}
		value = word
	default:
		return nil, p.fail(from, "a value: a string in double quotes, a number, true, false or null,")
	}
	if p.peek() == '"' {
		return nil, p.fail(p.at, "white space after the value")
	}
	p.space()
	return value, nil
}
