package plan

import "slices"

// Locked tells a Hold that nobody has to end: a value the server owns.
func (d Decision) Locked() bool { return d.Action == Hold && d.Reason.Explain().Ender == "" }

// Reported tells a Decision that says no more than that fields were edited in
// Mattermost and stay so, or that memberships stay as they are: for the person there
// is nothing to do.
func (d Decision) Reported() bool {
	return d.Action == Hold && len(d.Notes) > 0 && len(d.Ops) == 0 &&
		!slices.ContainsFunc(d.Notes, func(n Note) bool { return !n.reported() })
}

// reported tells a note after which nothing is left to do for the person.
func (n Note) reported() bool {
	switch n.Reason {
	case DriftReported, LeftByThemselves, GuestLeftAlone, SpaceMissing, SpaceArchived, SpaceByGroups, SpaceForAll:
		return true
	default:
		return false
	}
}

// Open tells a Hold that somebody has to end, in the source or as operator.
func (d Decision) Open() bool {
	e := d.Reason.Explain().Ender
	return d.Action == Hold && (e == EndSource || e == EndOperator)
}
