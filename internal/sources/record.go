package sources

import (
	"slices"
	"strings"
	"time"
)

// Record is one raw entry of a source: attributes with any number of values,
// each value an arbitrary byte string. The zero Record is empty and usable.
type Record struct {
	// Ref is where the entry stands, for people: a DN, or file:line.
	Ref string
	// Groups are the stable ids or DNs of the groups the person is in.
	Groups []string
	// GroupsFault says in one sentence why Groups cannot be trusted. An
	// expression that reads groups then fails instead of seeing none; if it is of a
	// rule about roles, teams and channels, or the rule names groups, that is
	// Identity.RolesUnknown, and else a Fault.
	GroupsFault string
	// Left says that the source itself says that the person has left, whatever the
	// configuration asks beside that.
	Left bool
	// Deleted is when the source was told to delete the person; zero if it was not.
	Deleted time.Time

	attrs  []attribute
	hidden []hidden
}

type attribute struct {
	name   string
	values []string
}

type hidden struct{ name, why string }

// Hide says of an attribute that the entry must have, but whose value the source does not
// show, why that is so: one sentence with cause and next step. An expression that reads it
// then fails instead of seeing no value.
func (r *Record) Hide(name, why string) { r.hidden = append(r.hidden, hidden{name, why}) }

// unseen is the error of reading an attribute that is hidden, nil of any other.
func (r *Record) unseen(name string) error {
	for i := range r.hidden {
		if strings.EqualFold(r.hidden[i].name, name) {
			return &unknownError{r.hidden[i].why}
		}
	}
	return nil
}

// Add appends values to an attribute; names are compared without case. No
// values at all still makes the attribute known to Names.
func (r *Record) Add(name string, values ...string) {
	if a := r.find(name); a != nil {
		a.values = append(a.values, values...)
		return
	}
	r.attrs = append(r.attrs, attribute{name, values})
}

// Values gives all values of an attribute, in the source's order; nil if it is
// absent. The slice is the Record's own and must not be changed.
func (r *Record) Values(name string) []string {
	if a := r.find(name); a != nil {
		return a.values
	}
	return nil
}

// Value gives the first value of an attribute, "" if there is none.
func (r *Record) Value(name string) string {
	if a := r.find(name); a != nil && len(a.values) > 0 {
		return a.values[0]
	}
	return ""
}

// Names lists the attributes in the source's spelling, sorted.
func (r *Record) Names() []string {
	out := make([]string, len(r.attrs))
	for i, a := range r.attrs {
		out[i] = a.name
	}
	slices.Sort(out)
	return out
}

func (r *Record) find(name string) *attribute {
	for i := range r.attrs {
		if a := &r.attrs[i]; len(a.name) == len(name) && strings.EqualFold(a.name, name) {
			return a
		}
	}
	return nil
}
