package plan

import (
	"cmp"
	"slices"

	"github.com/mmsync/mmsync/internal/identity"
)

// customOp sets the custom profile attributes that differ from what was set last: the
// account does not show them, and asking for those of everybody would be a request for
// each. people are the accounts of Observation.People. nil if there is nothing to set. What
// the server cannot do is said by warnings, once and not for each person.
func customOp(want *identity.Identity, people, was map[string]string, f *Facts) *Op {
	if f.CustomOff != "" {
		return nil
	}
	op := Op{Kind: SetCustom}
	add := func(values, fields map[string]string) {
		for name, to := range values {
			why, known := fields[name]
			if c := (Change{Field: CustomField(name), From: was[name], To: to}); known && why == "" && c.From != c.To {
				op.Changes = append(op.Changes, c)
			}
		}
	}
	add(want.Custom, f.CustomFields)
	add(people, f.CustomPeople) // of a field one of the two says why it cannot be set
	if len(op.Changes) == 0 {
		return nil
	}
	slices.SortFunc(op.Changes, func(a, b Change) int { return cmp.Compare(a.Field, b.Field) })
	return &op
}

// customWarnings say what the server cannot do of what sources give, and how many people
// keep what they have because nobody knows the account of whom their source names.
func customWarnings(f *Facts, p Policy) []string {
	if len(p.Custom)+len(p.People) > 0 && f.CustomOff != "" {
		return []string{"user attributes are not set, because " + clean(f.CustomOff)}
	}
	out := fieldWarnings(p.Custom, f.CustomFields, "user_attributes")
	out = append(out, fieldWarnings(p.People, f.CustomPeople, "person_attributes")...)
	for _, name := range p.People {
		n, whose := f.PeopleUnknown[name], "1 person"
		if why, known := f.CustomPeople[name]; n == 0 || !known || why != "" {
			continue
		}
		if n > 1 {
			whose = thousands(n) + " people"
		}
		out = append(out, "user attribute "+quote(name)+" of "+whose+" stays as it is, because mmsync knows no account that is on of whom the source names; it is set by the next run after there is one")
	}
	return out
}

func fieldWarnings(names []string, fields map[string]string, setting string) (out []string) {
	for _, name := range names {
		switch why, known := fields[name]; {
		case !known:
			out = append(out, "user attribute "+quote(name)+" is not set, because the server has none of this name; create it in Mattermost, or correct "+setting)
		case why != "":
			out = append(out, "user attribute "+quote(name)+" is not set, because "+clean(why))
		}
	}
	return out
}
