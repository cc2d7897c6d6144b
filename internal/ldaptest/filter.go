package ldaptest

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// truth is the logic of filters (RFC 4511 4.5.1.7): what cannot be told is neither
// true nor false, and its negation cannot be told either.
type truth int

const (
	no truth = iota
	unknown
	yes
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// The choices of a filter.
const (
	filterAnd        = 0
	filterOr         = 1
	filterNot        = 2
	filterEqual      = 3
	filterSubstrings = 4
	filterGreater    = 5
	filterLess       = 6
	filterPresent    = 7
	filterApprox     = 8
	filterExtensible = 9
)

// Matching rules that are asked for by name (MS-ADTS 3.1.1.3.4.4).
const (
	ruleBitAnd  = "1.2.840.113556.1.4.803"
	ruleBitOr   = "1.2.840.113556.1.4.804"
	ruleInChain = "1.2.840.113556.1.4.1941"
)

func octetsOf(p *ber.Packet) string { return p.Data.String() }

// evaluate tells whether an entry matches.
func (d *directory) evaluate(f *ber.Packet, n *node, r *replica) truth {
	switch f.Tag {
	case filterAnd:
		out := yes
		for _, c := range f.Children {
			out = min(out, d.evaluate(c, n, r))
		}
		return out
	case filterOr:
		out := no
		for _, c := range f.Children {
			out = max(out, d.evaluate(c, n, r))
		}
		return out
	case filterNot:
		if len(f.Children) != 1 {
			return unknown
		}
		return yes - d.evaluate(f.Children[0], n, r)
	case filterPresent:
		name := d.kind.firstName(octetsOf(f))
		if !d.knows(name) {
			return unknown
		}
		return truthOf(len(d.shown(n, name, r)) > 0)
	case filterExtensible:
		return d.extensible(f, n)
	default:
		return d.compare(f, n, r)
	}
}

// compare evaluates a filter that has an attribute and a value.
func (d *directory) compare(f *ber.Packet, n *node, r *replica) truth {
	if len(f.Children) != 2 {
		return unknown
	}
	name := d.kind.firstName(octetsOf(f.Children[0]))
	if !d.knows(name) {
		return unknown
	}
	if f.Tag == filterSubstrings {
		return truthOf(slices.ContainsFunc(d.shown(n, name, r), func(v string) bool { return substrings(f.Children[1].Children, syntaxOf(name), v) }))
	}
	return d.assert(f.Tag, name, octetsOf(f.Children[1]), n, r)
}

// shown is values without those that a filter does not see: constructed ones
// (MS-ADTS 3.1.1.3.1.3).
func (d *directory) shown(n *node, name string, r *replica) []string {
	if d.kind == ActiveDirectory && constructed(name) {
		return nil
	}
	return d.values(n, name, r)
}

func (d *directory) assert(tag ber.Tag, name, want string, n *node, r *replica) truth {
	s := syntaxOf(name)
	if _, ok := s.compare(want, want); !ok {
		return unknown
	}
	ordered := s == number || s == instant || d.kind == ActiveDirectory
	if (tag == filterGreater || tag == filterLess) && !ordered { // the schema has no ordering rule for it
		return unknown
	}
	key := strings.ToLower(name)
	if key == "objectclass" && tag == filterEqual {
		return truthOf(n.is(want))
	}
	if key == "objectcategory" && !strings.Contains(want, "=") { // a class stands for its name in the schema
		want = "CN=" + want + "," + schemaDN
	}
	for _, v := range d.shown(n, name, r) {
		order, ok := s.compare(v, want)
		if !ok {
			continue
		}
		if order == 0 || tag == filterGreater && order > 0 || tag == filterLess && order < 0 {
			return yes
		}
	}
	return no
}

// spaces in a row count as one (RFC 4518 2.6.1).
var spaces = regexp.MustCompile(` {2,}`)

// substrings compares the pieces of a*b*c in their order.
func substrings(pieces []*ber.Packet, s syntax, value string) bool {
	fold := func(v string) string {
		if s == exact || s == octets {
			return v
		}
		return spaces.ReplaceAllString(strings.ToLower(v), " ")
	}
	rest := fold(value)
	for _, p := range pieces {
		piece := fold(octetsOf(p))
		switch p.Tag {
		case 0: // initial
			if !strings.HasPrefix(rest, piece) {
				return false
			}
			rest = rest[len(piece):]
		case 2: // final
			if !strings.HasSuffix(rest, piece) {
				return false
			}
			rest = ""
		default:
			i := strings.Index(rest, piece)
			if i < 0 {
				return false
			}
			rest = rest[i+len(piece):]
		}
	}
	return true
}

// extensible knows Active Directory's rules, which it alone has, and no other.
func (d *directory) extensible(f *ber.Packet, n *node) truth {
	parts := map[ber.Tag]string{}
	for _, c := range f.Children {
		parts[c.Tag] = octetsOf(c)
	}
	rule, name, value := parts[1], parts[2], parts[3]
	if d.kind != ActiveDirectory || !d.knows(name) {
		return unknown
	}
	switch rule {
	case ruleBitAnd, ruleBitOr:
		mask, err := strconv.ParseInt(value, 10, 64)
		if err != nil || syntaxOf(name) != number {
			return unknown
		}
		if len(n.stored(name)) == 0 {
			return no
		}
		if rule == ruleBitOr {
			return truthOf(n.number(name)&mask != 0)
		}
		return truthOf(n.number(name)&mask == mask)
	case ruleInChain:
		return truthOf(d.inChain(strings.ToLower(name), value, n))
	}
	return unknown
}

// inChain follows member downwards or memberOf upwards; a primary group is on
// neither.
func (d *directory) inChain(name, dn string, n *node) bool {
	switch name {
	case "memberof":
		key := d.keyOf(dn)
		return slices.ContainsFunc(d.closure(n.key), func(g *node) bool { return g.key == key })
	case "member":
		return slices.Contains(d.closure(d.keyOf(dn)), n)
	}
	return false
}

// lookup tells whether a filter asks for entries by their anchors.
func (d *directory) lookup(f *ber.Packet) bool {
	switch f.Tag {
	case filterAnd:
		return slices.ContainsFunc(f.Children, d.lookup)
	case filterOr:
		return len(f.Children) > 0 && !slices.ContainsFunc(f.Children, func(c *ber.Packet) bool { return !d.lookup(c) })
	case filterEqual:
		return len(f.Children) == 2 && strings.EqualFold(octetsOf(f.Children[0]), d.kind.Anchor())
	default:
		return false
	}
}
