package scim

import (
	"errors"
	"net/http"
	"strings"
)

// QuirkLeaver is a PUT or PATCH that is refused for one thing and ends in active =
// false. That is done, and nothing else of it: who is dismissed is not let in for
// longer because a value beside it is wrong.
const QuirkLeaver Quirk = "request.leaver"

// departure is what a PUT or PATCH says of active, in order.
type departure struct {
	said []any
	// strange tells that it has another id than it is sent to: then nobody knows who is
	// meant.
	strange bool
}

// ofBody reads what a PUT says, ofPatch a PATCH document. Both take what they
// understand and pass over the rest, which is what the request is refused for.
func (t *ResourceType) ofBody(id string, body Object) departure {
	var d departure
	d.read(t, id, body)
	return d
}

func (c *call) ofPatch(t *ResourceType, id string, doc Object) departure {
	v, _, _ := field(doc, "Operations") // two lists say nothing
	list, _ := v.([]any)
	var d departure
	for _, v := range list {
		o, _ := v.(Object)
		name, nameErr := c.opName(o)
		path, pathErr := c.opPath(o)
		value, given, valueErr := field(o, "value")
		if errors.Join(nameErr, pathErr, valueErr) != nil || (name != "remove" && !given) {
			continue
		}
		if text, ok := value.(string); ok && path == "" {
			value = c.unpack(text)
		}
		switch values, _ := value.(Object); {
		case name == "remove":
			d.read(t, id, Object{path: nil})
		case path == "":
			d.read(t, id, values)
		default:
			d.read(t, id, Object{path: value})
		}
	}
	return d
}

// read adds what an object says. What it says twice is not understood.
func (d *departure) read(t *ResourceType, id string, o Object) {
	var said []any
	for key, v := range o {
		switch {
		case t.isActive(key):
			said = append(said, v)
		case strings.EqualFold(key, "id") && v != id:
			d.strange = true
		}
	}
	if len(said) == 1 {
		d.said = append(d.said, said[0])
	}
}

func (t *ResourceType) isActive(name string) bool {
	return strings.EqualFold(name, "active") || strings.EqualFold(name, t.Schema.ID+":active")
}

// leave gives a resource with nothing but active changed, if that is what is said last
// and it is false.
func (c *call) leave(t *ResourceType, before Resource, d departure) (Object, bool) {
	if len(d.said) == 0 || d.strange || !c.lenient[QuirkLeaver] {
		return nil, false
	}
	op := PatchOp{Op: "replace", Path: "active", Value: d.said[len(d.said)-1], HasValue: true}
	after, err := t.Patch(before, []PatchOp{op}, c.lenient, c.noted)
	if active, ok := after["active"].(bool); err != nil || !ok || active {
		return nil, false
	}
	return after, c.lets(QuirkLeaver)
}

// refused tells an error that a client made by what is in its request.
func refused(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return errors.Is(err, ErrUniqueness)
	}
	return e.Status == http.StatusBadRequest || e.Status == http.StatusConflict || e.Status == http.StatusRequestEntityTooLarge
}
