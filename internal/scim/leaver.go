package scim

import (
	"errors"
	"net/http"
	"slices"
	"strings"
)

// QuirkLeaver is a PUT or PATCH that is refused for one thing and switches off somebody
// who is on. That is done, and nothing else of it: who is dismissed is not let in for
// longer because a value beside it is wrong.
const QuirkLeaver Quirk = "request.leaver"

// departure is what a PUT or PATCH asks for, taken apart.
type departure struct {
	parts []PatchOp
	// unclear tells that something could not be read that may say who is meant, or
	// whether he is on: then nobody is switched off by the rest.
	unclear bool
}

// ofBody takes a PUT apart, ofPatch a PATCH document.
func (t *ResourceType) ofBody(body Object) departure {
	var d departure
	d.add(t, PatchOp{Op: "replace", Value: body, HasValue: true})
	return d
}

func (c *call) ofPatch(t *ResourceType, doc Object) departure {
	v, _, err := field(doc, "Operations")
	list, _ := v.([]any)
	d := departure{unclear: err != nil}
	for _, v := range list {
		op, err := c.patchOp(v)
		if err != nil {
			o, _ := v.(Object)
			path, value := o["path"], o["value"]
			text, _ := path.(string)
			d.unclear = d.unclear || decides(text) || mentions(value) > 0 || strangeKeys(o)
			continue
		}
		d.add(t, op)
	}
	return d
}

// strangeKeys tells an operation whose path or value may stand under another spelling.
func strangeKeys(o Object) bool {
	for key := range o {
		if key != "op" && key != "path" && key != "value" {
			return true
		}
	}
	return false
}

// add takes an operation without path apart, so that one key that is wrong does not hide
// another.
func (d *departure) add(t *ResourceType, op PatchOp) {
	whole := op.Path == "" || strings.EqualFold(strings.TrimSpace(op.Path), t.Schema.ID)
	o, ok := op.Value.(Object)
	if op.Op == "remove" || !whole || !ok {
		d.parts = append(d.parts, op)
		return
	}
	d.unclear = d.unclear || mentions(o) > 1
	names := make([]string, 0, len(o))
	for name := range o {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		part := PatchOp{Op: op.Op, Value: Object{name: o[name]}, HasValue: true}
		if strings.EqualFold(name, t.Schema.ID) {
			part.Path, part.Value = name, o[name]
			d.add(t, part)
			continue
		}
		d.parts = append(d.parts, part)
	}
}

// decides tells the attributes that say who is meant, and whether he is on, however a
// path or key to one is written.
func decides(path string) bool {
	path, _, _ = strings.Cut(path, "[")
	path = path[strings.LastIndexByte(path, ':')+1:]
	path, _, _ = strings.Cut(path, ".")
	path = strings.TrimSpace(path)
	return strings.EqualFold(path, "active") || strings.EqualFold(path, "id")
}

// mentions counts where an object, or one in it under a URN, decides about one of them;
// the most often mentioned counts.
func mentions(v any) int {
	count := map[string]int{}
	var look func(v any)
	look = func(v any) {
		o, _ := v.(Object)
		for key, v := range o {
			if decides(key) {
				count[strings.ToLower(key[strings.LastIndexByte(key, ':')+1:])]++
			}
			if strings.Contains(key, ":") {
				look(v)
			}
		}
	}
	look(v)
	most := 0
	for _, n := range count {
		most = max(most, n)
	}
	return most
}

// leave gives a resource with nothing changed but that it is not active any more, if that
// is how it ends when what cannot be done of the departure is left out.
func (c *call) leave(t *ResourceType, before Resource, d departure) (Object, bool) {
	if d.unclear || !c.lenient[QuirkLeaver] || before.Attributes["active"] == false {
		return nil, false
	}
	unnoted := func(Quirk) {}
	now := before
	for _, part := range d.parts {
		after, err := t.Patch(now, []PatchOp{part}, c.lenient, unnoted)
		switch {
		case err == nil:
			now.Attributes = after
		case decides(part.Path) || mentions(part.Value) > 0:
			return nil, false
		}
	}
	if now.Attributes["active"] != false {
		return nil, false
	}
	off := PatchOp{Op: "replace", Path: "active", Value: false, HasValue: true}
	after, err := t.Patch(before, []PatchOp{off}, c.lenient, unnoted)
	return after, err == nil && c.lets(QuirkLeaver)
}

// refused tells an error that a client made by what is in its request.
func refused(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return errors.Is(err, ErrUniqueness)
	}
	return e.Status == http.StatusBadRequest || e.Status == http.StatusConflict || e.Status == http.StatusRequestEntityTooLarge
}
