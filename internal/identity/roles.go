package identity

import (
	"slices"
	"strings"
)

// Names of Mattermost system roles that mmsync reasons about.
const (
	RoleUser  = "system_user"
	RoleGuest = "system_guest"
	RoleAdmin = "system_admin"
)

// Roles is a set of system role names, kept sorted and without doubles. The
// server stores roles as a string verbatim, doubles and order included, so two
// strings must be compared as sets.
type Roles []string

// NewRoles makes a set from names; empty names are dropped.
func NewRoles(names ...string) Roles {
	out := make(Roles, 0, len(names))
	for _, n := range names {
		if n != "" {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// ParseRoles reads the server's space-separated form.
func ParseRoles(s string) Roles {
	switch s { // nearly every account holds one of these; sharing them saves a slice each
	case "":
		return nil
	case RoleUser:
		return userRoles[:1:1]
	}
	return NewRoles(strings.Fields(s)...)
}

var userRoles = Roles{RoleUser} //nolint:gochecknoglobals // shared read-only value, capped so that append copies

// String gives the space-separated form the server takes.
func (r Roles) String() string { return strings.Join(r, " ") }

// Has tells whether name is in the set.
func (r Roles) Has(name string) bool { return slices.Contains(r, name) }

// Equal compares as sets.
func (r Roles) Equal(o Roles) bool { return slices.Equal(r, o) }

// Union gives the members of both.
func (r Roles) Union(o Roles) Roles { return NewRoles(append(slices.Clone(r), o...)...) }

// Minus gives the members of r that are not in o.
func (r Roles) Minus(o Roles) Roles {
	var out Roles
	for _, n := range r {
		if !o.Has(n) {
			out = append(out, n)
		}
	}
	return out
}

// Privileged tells whether the set holds anything beyond user and guest: such
// an account is never adopted, renamed, re-mailed or switched on by itself.
func (r Roles) Privileged() bool {
	for _, n := range r {
		if n != RoleUser && n != RoleGuest {
			return true
		}
	}
	return false
}
