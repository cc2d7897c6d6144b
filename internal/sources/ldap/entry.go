package ldap

import (
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// together is the largest message, in bytes, whose values share one text, so that
// whoever keeps one of them keeps all. Those of a larger one, such as a long list of
// members, have a text each.
const together = 4 << 10

// entry decodes a message with a SearchResultEntry (RFC 4511 4.5.2), of which it keeps
// nothing. It takes what the library takes of it, or nothing; values are without the
// library's second copy as bytes.
func (c *catcher) entry(message []byte) (*ldap.Entry, bool) {
	dn, list, size, ok := outline(message)
	if !ok {
		return nil, false
	}
	var text strings.Builder
	if len(message) <= together {
		text.Grow(len(dn) + size.bytes)
	}
	own := func(b []byte) string {
		if len(message) > together {
			return string(b)
		}
		at := text.Len()
		text.Write(b)
		return text.String()[at:]
	}
	e := &ldap.Entry{DN: own(dn), Attributes: make([]*ldap.EntryAttribute, 0, size.attributes)}
	of, all := make([]ldap.EntryAttribute, 0, size.attributes), make([]string, 0, size.values)
	for len(list) > 0 {
		var one, name, value []byte
		_, one, list, _ = cut(list)
		_, name, one, _ = cut(one)
		_, one, _, _ = cut(one)
		first := len(all)
		for len(one) > 0 {
			_, value, one, _ = cut(one)
			all = append(all, own(value))
		}
		of = append(of, ldap.EntryAttribute{Name: c.name(name), Values: all[first:len(all):len(all)]})
		e.Attributes = append(e.Attributes, &of[len(of)-1])
	}
	return e, true
}

// sizes are of what an entry holds: attributes, their values, and the bytes of those.
type sizes struct{ attributes, values, bytes int }

// outline finds the parts of an entry, and whether everything in it is as it has to be.
func outline(message []byte) (dn, list []byte, size sizes, ok bool) {
	body, ok := only(message, tagSequence)
	if !ok {
		return nil, nil, size, false
	}
	if _, body, ok = next(body, tagInteger); !ok { // the head told it
		return nil, nil, size, false
	}
	if body, ok = only(body, tagEntry); !ok { // there are no controls
		return nil, nil, size, false
	}
	if dn, body, ok = next(body, tagOctets); !ok {
		return nil, nil, size, false
	}
	if list, ok = only(body, tagSequence); !ok {
		return nil, nil, size, false
	}
	for rest := list; len(rest) > 0; size.attributes++ {
		var one, value []byte
		if one, rest, ok = next(rest, tagSequence); !ok {
			return nil, nil, size, false
		}
		if _, one, ok = next(one, tagOctets); !ok {
			return nil, nil, size, false
		}
		if one, ok = only(one, tagSet); !ok {
			return nil, nil, size, false
		}
		for ; len(one) > 0; size.values++ {
			if value, one, ok = next(one, tagOctets); !ok {
				return nil, nil, size, false
			}
			size.bytes += len(value)
		}
	}
	return dn, list, size, true
}

// name gives the one copy of an attribute's name. There are few: those that were asked
// for, with some options.
func (c *catcher) name(b []byte) string {
	if known, ok := c.names[string(b)]; ok {
		return known
	}
	s := string(b)
	if len(c.names) < maxNames {
		c.names[s] = s
	}
	return s
}

// maxNames bounds what a server can make a connection remember.
const maxNames = 1000

// next is cut for an element of one kind.
func next(b []byte, tag byte) (content, rest []byte, ok bool) {
	is, content, rest, ok := cut(b)
	return content, rest, ok && is == tag
}

// only is next for something with nothing behind it.
func only(b []byte, tag byte) (content []byte, ok bool) {
	content, rest, ok := next(b, tag)
	return content, ok && len(rest) == 0
}

// cut splits off the first element of a text in BER; no tag of an entry has more than
// one byte.
func cut(b []byte) (tag byte, content, rest []byte, ok bool) {
	if len(b) < 2 {
		return 0, nil, nil, false
	}
	at, size, ok := lengthOf(b)
	if !ok || len(b)-at < size {
		return 0, nil, nil, false
	}
	return b[0], b[at : at+size], b[at+size:], true
}
