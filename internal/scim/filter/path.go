package filter

import "strings"

// ParsePath reads the path of a PATCH operation, RFC 7644 section 3.5.2; a fault is
// an *Error. How a URN that names a whole extension is read, Path tells.
func ParsePath(text string, o Options) (Path, error) {
	p, err := newParser(text, o)
	if err != nil {
		return Path{}, err
	}
	p.space()
	from := p.at
	attr, ok := splitAttr(p.word(), true)
	if !ok {
		return Path{}, p.fail(from, "an attribute")
	}
	path := Path{Attr: attr}
	if p.peek() == '[' {
		if attr.Name == "" || attr.Sub != "" {
			return Path{}, p.fail(p.at, "the end, as a filter follows the name of an attribute only,")
		}
		if path, err = p.filtered(attr); err != nil {
			return Path{}, err
		}
	}
	p.space()
	if p.at < len(p.text) {
		return Path{}, p.fail(p.at, "the end")
	}
	return path, nil
}

// filtered reads the brackets of a path and what follows them.
func (p *parser) filtered(attr Attr) (Path, *Error) {
	inner, err := p.bracketed(true, ']')
	if err != nil {
		return Path{}, err
	}
	if p.peek() == '.' {
		p.at++
		from := p.at
		if attr.Sub = p.word(); !isName(attr.Sub) {
			return Path{}, p.fail(from, "the name of a sub-attribute")
		}
	}
	return Path{Attr: attr, Filter: inner}, nil
}

// ParseAttr reads a plain attribute name with an optional URN and sub-attribute, as
// in attributes and sortBy of RFC 7644 sections 3.4.2.3 and 3.9. A URN alone is read
// as in a Path. A fault is an *Error.
func ParseAttr(text string) (Attr, error) {
	p, err := newParser(text, Options{})
	if err != nil {
		return Attr{}, err
	}
	p.space()
	from := p.at
	attr, ok := splitAttr(p.word(), true)
	if !ok {
		return Attr{}, p.fail(from, "an attribute")
	}
	p.space()
	if p.at < len(p.text) {
		return Attr{}, p.fail(p.at, "the end")
	}
	return attr, nil
}

// splitAttr parts [URN ":"] NAME ["." SUB] at the last colon. Where what follows it
// is no name, whole lets all of it be a URN.
func splitAttr(text string, whole bool) (Attr, bool) {
	urn, rest := "", text
	colon := strings.LastIndexByte(text, ':')
	if colon >= 0 {
		urn, rest = text[:colon], text[colon+1:]
	}
	name, sub, dotted := strings.Cut(rest, ".")
	switch {
	case isName(name) && (!dotted || isName(sub)):
		return Attr{URN: urn, Name: name, Sub: sub}, colon < 0 || isURN(urn)
	case whole && colon >= 0 && rest != "":
		return Attr{URN: text}, isURN(text)
	}
	return Attr{}, false
}

// isName tells an ATTRNAME, RFC 7643 section 2.1, and $ref.
func isName(s string) bool {
	if s == "" || !isLetter(s[0]) && s[0] != '$' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if c := s[i]; !isLetter(c) && (c < '0' || c > '9') && c != '-' && c != '_' && c != '$' {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return 'a' <= lower(c) && lower(c) <= 'z' }

// isURN tells the characters of a URI, RFC 3986, but brackets of any kind.
func isURN(s string) bool {
	if s == "" || !isLetter(s[0]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isLetter(c) && (c < '0' || c > '9') && strings.IndexByte("-._~:/?#@!$&'*+,;=%", c) < 0 {
			return false
		}
	}
	return true
}
