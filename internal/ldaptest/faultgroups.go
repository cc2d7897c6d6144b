package ldaptest

import (
	"slices"
	"strings"
)

// twin gives the anchor of another entry beside this one.
func (f *firing) twin(n *node) []string {
	d := f.s.d
	_, parent := splitDN(n.key)
	for _, other := range d.list {
		if _, p := splitDN(other.key); other != n && !other.deleted && p == parent {
			return d.values(other, f.s.Kind.Anchor(), f.s.who())
		}
	}
	return d.values(n, f.s.Kind.Anchor(), f.s.who())
}

// misshapen makes the last value of an entry one byte longer than the entry is, so
// that it reaches into the next message.
func misshapen(raw []byte) []byte {
	out := slices.Clone(raw)
	at := 0 // of the element that is looked into
	for out[at]&0x20 != 0 {
		from, end := contents(out, at)
		next := from
		for at = from; next < end; {
			at = next
			_, next = contents(out, at)
		}
		if from == end {
			return out
		}
	}
	out[at+1]++
	return out
}

// contents gives where the contents of an element begin and end.
func contents(raw []byte, at int) (from, end int) {
	size := int(raw[at+1])
	from = at + 2
	if size >= 0x80 {
		n := size & 0x7f
		size = 0
		for _, b := range raw[from : from+n] {
			size = size<<8 | int(b)
		}
		from += n
	}
	return from, from + size
}

// brokenGroups are memberships that are not what they were.
func brokenGroups() []Fault {
	members := func(name, says string, silent bool, change func([]string) []string) Fault {
		return Fault{Name: name, Says: says, Needs: NeedsGroups, Silent: silent, bases: true, entry: func(f *firing, _ bool, n *node, list []values) []values {
			if !n.is("group") && !n.is("groupOfNames") {
				return list
			}
			for _, a := range slices.Clone(list) {
				if k := strings.ToLower(a.name); k == "member" || strings.HasPrefix(k, "member;") {
					list = f.alter(list, a.name, change)
				}
			}
			return list
		}}
	}
	part := func(name, says string, silent bool, change func(*firing, *node, string, *span, []string) []string) Fault {
		return Fault{Name: name, Says: says, Needs: NeedsRanges, Silent: silent, bases: true, part: change}
	}
	return []Fault{
		members("group-empty", "groups have no members, as after a change of access rights", true, func([]string) []string { return nil }),
		members("group-half", "groups have lost half of their members", true, func(v []string) []string { return v[:len(v)/2] }),
		part("range-changes", "a value leaves and comes back while values are read in parts, so that those behind it move up", false,
			func(f *firing, n *node, name string, part *span, list []string) []string {
				if part == nil || part.from == 0 || f.struck.Load() > 0 || len(list) < 2 {
					return list
				}
				f.strike()
				moved := append(slices.Clone(list[1:]), list[0])
				f.s.d.modify(n, name, list[1:]...)
				f.s.d.modify(n, name, moved...)
				return moved
			}),
		part("range-lost", "a later part of the values does not come", false, func(f *firing, _ *node, _ string, part *span, list []string) []string {
			if part == nil || part.from == 0 {
				return list
			}
			f.strike()
			return nil
		}),
		part("range-endless", "the last part of the values never comes", false, func(f *firing, _ *node, _ string, part *span, list []string) []string {
			if part == nil || part.from == 0 {
				return list
			}
			f.strike()
			return slices.Concat(list, slices.Repeat(list[:1], part.from+2*f.s.o.ValueRange))
		}),
		part("range-ends-early", "a part of the values says that it is the last, though more would follow", true,
			func(f *firing, _ *node, _ string, part *span, list []string) []string {
				if part == nil || part.from == 0 || len(list) <= part.from+1 {
					return list
				}
				f.strike()
				return list[:part.from+1]
			}),
	}
}

// brokenSync are wrong words to those who synchronise by RFC 4533.
func brokenSync() []Fault {
	wrong := func(name, says string, change func(*firing, *directory, *syncAnswer)) Fault {
		return Fault{Name: name, Says: says, Needs: NeedsSync, Silent: true, sync: change}
	}
	return []Fault{
		wrong("sync-present-short", "the list of those who are there is cut in half", func(f *firing, _ *directory, a *syncAnswer) {
			if len(a.present) > 0 {
				a.present = a.present[:len(a.present)/2]
				f.strike()
			}
		}),
		wrong("sync-names-nobody", "nobody is named, and the end says that those who are not named are gone", func(f *firing, _ *directory, a *syncAnswer) {
			a.present, a.changed, a.refreshDeletes = nil, nil, false
			f.strike()
		}),
		wrong("sync-deletes-living", "people who are there are told as gone", func(f *firing, d *directory, a *syncAnswer) {
			f.strike()
			for _, n := range d.list {
				if !n.deleted && n.is("person") {
					a.gone = append(a.gone, n.id)
				}
			}
			a.changed = nil
		}),
		{
			Name: "sync-refresh-required", Says: "the server wants the reader to begin anew (code 4096)", Needs: NeedsSync,
			page: func(f *firing, p *page) {
				if p.q.sync != nil {
					f.strike()
					p.sent = nil
					p.fail(codeRefreshRequired, "")
				}
			},
		},
	}
}
