package ldaptest

import (
	"fmt"
	"strconv"
	"strings"
)

// wishes are the attributes a search asks for (RFC 4511 4.5.1.8).
type wishes struct {
	star, plus bool
	named      map[string]*span // folded name to the part that is wanted; nil is all
}

// span is a part of the values of an attribute (MS-ADTS 3.1.1.3.1.3.3).
type span struct{ from, to int } // to is -1 for *

func wishesOf(k Kind, asked []string) wishes {
	w := wishes{star: len(asked) == 0, named: map[string]*span{}}
	for _, a := range asked {
		switch a {
		case "*":
			w.star = true
		case "+":
			w.plus = true
		case "1.1":
		default:
			name, option, _ := strings.Cut(a, ";")
			key := strings.ToLower(k.firstName(name))
			part := spanOf(option)
			if had, ok := w.named[key]; ok && part == nil {
				part = had
			}
			w.named[key] = part
		}
	}
	return w
}

func spanOf(option string) *span {
	rest, ok := strings.CutPrefix(strings.ToLower(option), "range=")
	if !ok {
		return nil
	}
	low, high, _ := strings.Cut(rest, "-")
	from, err := strconv.Atoi(low)
	if err != nil {
		return nil
	}
	to := -1
	if high != "*" && high != "" {
		if to, err = strconv.Atoi(high); err != nil {
			return nil
		}
	}
	return &span{from, to}
}

// wanted gives the attributes of an entry that a search asks for. A code other than
// success ends the whole search.
func (s *Server) wanted(n *node, w wishes, scope int64, self *replica, f *firing) ([]values, int64) {
	var out []values
	d := s.d
	for _, name := range d.names(n) {
		key := strings.ToLower(name)
		part, named := w.named[key]
		switch {
		case named:
		case s.Kind == ActiveDirectory && constructed(name):
			continue
		case d.operational(name):
			if !w.plus || s.Kind == ActiveDirectory { // which knows no + (seen with Samba)
				continue
			}
		case !w.star:
			continue
		}
		if key == "tokengroups" && scope != scopeBase {
			return nil, codeOperations
		}
		list := d.values(n, name, self)
		if f != nil && f.fault.part != nil {
			list = f.fault.part(f, n, name, part, list)
		}
		if len(list) == 0 {
			continue
		}
		if known := d.known[key]; known != "" {
			name = known // in the schema's spelling, whatever was asked
		}
		if s.Kind != ActiveDirectory || s.o.ValueRange < 0 || part == nil && len(list) <= s.o.ValueRange {
			out = append(out, values{name, list})
			continue
		}
		if part == nil { // the server begins by itself: nothing under the plain name
			out = append(out, values{name: name})
			part = &span{0, -1}
		}
		if part.from >= len(list) {
			return nil, codeOperations
		}
		out = append(out, cut(name, list, *part, s.o.ValueRange))
	}
	return out, codeOK
}

// cut gives a part of the values, at most limit of them, under the name that says
// which part it is.
func cut(name string, list []string, part span, limit int) values {
	to := part.from + limit - 1
	if part.to >= 0 {
		to = min(to, part.to)
	}
	end := strconv.Itoa(to)
	if to >= len(list)-1 {
		to, end = len(list)-1, "*"
	}
	return values{fmt.Sprintf("%s;range=%d-%s", name, part.from, end), list[part.from : to+1]}
}
