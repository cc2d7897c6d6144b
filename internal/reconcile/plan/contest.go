package plan

import (
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
)

// drop is a field that contest took out of a decision. It is kept, because a
// decision that is made again must lose it again.
type drop struct {
	field  Field
	detail string
}

// contest holds everybody who claims a username, e-mail or login that somebody
// else claims as well, unless the account that has it keeps it. Somebody who has
// left makes way for those who have not.
func (b *builder) contest() {
	for _, field := range []Field{Field(identity.Username), Field(identity.Email), FieldAuthData} {
		claims := make(map[string]int, len(b.obs)) // value -> first claimant
		rivals := map[string][]int{}
		for i := range b.obs {
			v, ok := b.claim(i, field)
			if !ok {
				continue
			}
			first, taken := claims[v]
			if !taken {
				claims[v] = i
				continue
			}
			if rivals[v] == nil {
				rivals[v] = []int{first}
			}
			rivals[v] = append(rivals[v], i)
		}
		for _, list := range rivals {
			b.settle(field, list)
		}
	}
}

// claim gives the value of a field that a usable person wants, in the form in
// which the server compares it.
func (b *builder) claim(i int, f Field) (string, bool) {
	o, d := &b.obs[i], &b.decisions[i]
	want := o.Desired
	switch {
	case want == nil || want.Fault != "":
		return "", false
	case o.fresh(b.policy):
		if !want.Active || d.Action == NoOp || d.Reason == Contributes {
			return "", false
		}
	case o.Link.Part == identity.Contributor || o.Linked == nil:
		return "", false
	case o.makesWay():
		// Only a leaver who is renamed after he was switched off claims anything.
		if !o.off() || d.Action == NoOp || f == FieldAuthData || has(o, f) {
			return "", false
		}
	case o.off() && !ours(*o):
		return "", false // it stays off, whatever its source wants
	}
	if f == FieldAuthData {
		return want.Auth.Data, want.Auth.Data != "" // unique on the server across all services
	}
	a := identity.Attribute(f)
	v := o.wants(a)
	return strings.ToLower(v), want.Owned.Has(a) && v != ""
}

// makesWay tells that the person's account is off and stays so, for the source or an
// operator says that he is: those who are in need the values more.
func (o *Observation) makesWay() bool {
	return !o.Desired.Active || o.off() && o.pinned()
}

// change gives what a decision's ops do to a field.
func change(d *Decision, f Field) (Change, bool) {
	for _, op := range d.Ops {
		if op.Parks {
			continue
		}
		for _, c := range op.Changes {
			if c.Field == f {
				return c, true
			}
		}
	}
	return Change{}, false
}

func (b *builder) settle(f Field, list []int) {
	slices.SortFunc(list, func(x, y int) int { return b.obs[x].Key.Compare(b.obs[y].Key) })
	stay := slices.DeleteFunc(slices.Clone(list), func(i int) bool { return b.obs[i].makesWay() })
	for _, i := range list {
		o := &b.obs[i]
		if has(o, f) || (len(stay) == 1 && stay[0] == i) {
			continue // nobody takes it from him; the others are told that it is taken
		}
		other := list[0]
		if len(stay) > 0 {
			other = stay[0]
		}
		if other == i {
			other = list[1]
			if len(stay) > 1 {
				other = stay[1]
			}
		}
		detail := fieldName(f) + " is also claimed by " + keyName(b.obs[other].Key)
		if ref := b.obs[other].Desired.Ref; ref != "" {
			detail += " " + quote(ref)
		}
		d := &b.decisions[i]
		if o.fresh(b.policy) {
			back := Create
			if d.Action == Adopt || d.Held == Adopt {
				back = Adopt
			}
			d.Notes = nil
			*d = d.hold(Contested, back, detail)
			continue
		}
		if b.drops == nil {
			b.drops = map[int][]drop{}
		}
		b.drops[i] = append(b.drops[i], drop{f, detail})
		if f == FieldAuthData {
			b.redo(i, released{}) // which fields are locked hangs on the login
			continue
		}
		b.dropChange(i, f, Contested, detail)
	}
}

// has tells that the account of o already has the value it wants.
func has(o *Observation, f Field) bool {
	if o.Linked == nil {
		return false
	}
	if f == FieldAuthData {
		return o.Linked.Auth == o.Desired.Auth
	}
	a := identity.Attribute(f)
	return strings.EqualFold(o.Linked.Value(a), o.wants(a))
}

func fieldName(f Field) string {
	switch f {
	case Field(identity.Email):
		return "e-mail"
	case FieldAuthData:
		return "login data"
	}
	return string(f)
}

// dropChange takes one profile field out of a decision's ops and notes why.
func (b *builder) dropChange(i int, f Field, why Reason, detail string) {
	d := &b.decisions[i]
	note := Note{Field: f, Reason: why, Detail: detail}
	d.Notes = slices.Clone(d.Notes)
	if n := slices.IndexFunc(d.Notes, func(n Note) bool { return n.Field == f }); n >= 0 {
		// Noted as taken already; this is the better explanation. A value that
		// cannot be changed anyway keeps its own.
		if r := d.Notes[n].Reason; r == UsernameTaken || r == EmailTaken || r == WaitsForOther {
			note.From, note.To = d.Notes[n].From, d.Notes[n].To
			d.Notes[n] = note
		}
	} else {
		c, ok := change(d, f)
		if !ok {
			return
		}
		note.From, note.To = c.From, c.To
		d.Notes = append(d.Notes, note)
		d.Ops = without(d.Ops, f)
	}
	if len(d.Ops) == 0 && (d.Action == Update || d.Action == Hold && d.Held == Update) {
		*d = d.byNotes()
	}
}

// without gives the ops less what they do to f, and less a detour for nothing else.
func without(ops []Op, f Field) []Op {
	out := make([]Op, 0, len(ops))
	for _, op := range ops {
		keep := slices.DeleteFunc(slices.Clone(op.Changes), func(c Change) bool { return c.Field == f })
		if len(keep) == len(op.Changes) {
			if n := len(out) - 1; op.Detour == Back && n >= 0 && out[n].Detour == Out {
				out = out[:n]
				continue
			}
			out = append(out, op)
			continue
		}
		if len(keep) > 0 {
			op.Changes = keep
			out = append(out, op)
		}
	}
	return out
}
