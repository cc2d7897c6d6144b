package identity

import (
	"slices"
	"strings"
)

// Membership is a person's place in one space: a team or a channel.
type Membership struct {
	// Space is "team" or "team/channel", by the names that stand in addresses.
	Space string `json:"space"`
	// ID is the space's id on the server, which a space that takes over a name does
	// not share. It is empty where memberships are wanted.
	ID string `json:"id,omitempty"`
	// Admin tells that the person administers the space.
	Admin bool `json:"admin,omitempty"`
}

// Memberships are ordered by space, so that a team stands before its channels, and
// name each space once.
type Memberships []Membership

// NewMemberships orders memberships. Of several in one space the highest counts.
func NewMemberships(list ...Membership) Memberships {
	out := slices.Clone(Memberships(list))
	slices.SortStableFunc(out, func(a, b Membership) int { return strings.Compare(a.Space, b.Space) })
	at := 0
	for i := range out {
		if at > 0 && out[at-1].Space == out[i].Space {
			out[at-1].Admin = out[at-1].Admin || out[i].Admin
			continue
		}
		out[at] = out[i]
		at++
	}
	return out[:at]
}

// Of gives the membership in a space.
func (m Memberships) Of(space string) (Membership, bool) {
	i, found := m.find(space)
	if !found {
		return Membership{}, false
	}
	return m[i], true
}

// With gives a copy that has x in the place of what was there of its space.
func (m Memberships) With(x Membership) Memberships {
	i, found := m.find(x.Space)
	out := slices.Clone(m)
	if found {
		out[i] = x
		return out
	}
	return slices.Insert(out, i, x)
}

// Without gives a copy that lacks a space.
func (m Memberships) Without(space string) Memberships {
	return slices.DeleteFunc(slices.Clone(m), func(x Membership) bool { return x.Space == space })
}

// Equal compares all of the memberships.
func (m Memberships) Equal(o Memberships) bool { return slices.Equal(m, o) }

func (m Memberships) find(space string) (int, bool) {
	return slices.BinarySearchFunc(m, space, func(x Membership, s string) int { return strings.Compare(x.Space, s) })
}

// TeamOf gives the team of a space, and whether the space is a channel of it.
func TeamOf(space string) (team string, channel bool) {
	team, _, channel = strings.Cut(space, "/")
	return team, channel
}
