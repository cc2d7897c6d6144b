package identity

import (
	"cmp"
	"strings"
	"time"
)

// Key names one identity for ever: the source it is desired in and that
// source's immutable id (entryUUID, objectGUID, SCIM id). It survives renames,
// changes of e-mail and moves in the directory tree.
type Key struct {
	Source string `json:"source"`
	Anchor string `json:"anchor"`
}

// String gives "source/anchor", the form logs and commands use.
func (k Key) String() string { return k.Source + "/" + k.Anchor }

// IsZero tells a Key that names nobody.
func (k Key) IsZero() bool { return k == Key{} }

// Compare orders Keys by source, then anchor.
func (k Key) Compare(o Key) int {
	if c := strings.Compare(k.Source, o.Source); c != 0 {
		return c
	}
	return strings.Compare(k.Anchor, o.Anchor)
}

// ParseKey reads the form that Key.String writes; source names hold no slash.
func ParseKey(s string) (Key, bool) {
	source, anchor, ok := strings.Cut(s, "/")
	return Key{Source: source, Anchor: anchor}, ok && source != "" && anchor != ""
}

// Attribute is one profile field of a Mattermost account, by the name the
// server's JSON uses.
type Attribute string

// The profile fields mmsync can own.
const (
	Username  Attribute = "username"
	Email     Attribute = "email"
	FirstName Attribute = "first_name"
	LastName  Attribute = "last_name"
	Nickname  Attribute = "nickname"
	Position  Attribute = "position"
	Locale    Attribute = "locale"
	// Timezone is the zone a person is shown times in, by its name in the IANA time
	// zone database; "" leaves it to his device. The server keeps an object of it.
	Timezone Attribute = "timezone"
)

// AllAttributes lists every Attribute in the order plans show them.
func AllAttributes() []Attribute {
	return []Attribute{Username, Email, FirstName, LastName, Nickname, Position, Locale, Timezone}
}

// Attributes is a set of Attribute.
type Attributes uint16

// AttributesOf makes the set of the given fields; unknown ones are left out.
func AttributesOf(list ...Attribute) Attributes {
	var s Attributes
	for _, a := range list {
		s |= a.bit()
	}
	return s
}

func (a Attribute) bit() Attributes {
	switch a {
	case Username:
		return 1
	case Email:
		return 2
	case FirstName:
		return 4
	case LastName:
		return 8
	case Nickname:
		return 16
	case Position:
		return 32
	case Locale:
		return 64
	case Timezone:
		return 128
	}
	return 0
}

// Has tells whether a is in the set.
func (s Attributes) Has(a Attribute) bool { return s&a.bit() != 0 }

// With gives the set with a added.
func (s Attributes) With(a Attribute) Attributes { return s | a.bit() }

// Without gives the set less all of o.
func (s Attributes) Without(o Attributes) Attributes { return s &^ o }

// List gives the members in the order of AllAttributes.
func (s Attributes) List() []Attribute {
	var out []Attribute
	for _, a := range AllAttributes() {
		if s.Has(a) {
			out = append(out, a)
		}
	}
	return out
}

// Profile is the part of a person that Mattermost's PATCH can change.
type Profile struct {
	Username  string `json:"username"`
	Email     string `json:"email"`
	FirstName string `json:"first_name,omitempty"`
	LastName  string `json:"last_name,omitempty"`
	Nickname  string `json:"nickname,omitempty"`
	Position  string `json:"position,omitempty"`
	Locale    string `json:"locale,omitempty"`
	Timezone  string `json:"timezone,omitempty"`
}

// Value gives one field; an unknown Attribute reads as "".
func (p Profile) Value(a Attribute) string {
	if f := p.field(a); f != nil {
		return *f
	}
	return ""
}

// With gives a copy with one field set; an unknown Attribute changes nothing.
func (p Profile) With(a Attribute, v string) Profile {
	if f := p.field(a); f != nil {
		*f = v
	}
	return p
}

func (p *Profile) field(a Attribute) *string {
	switch a {
	case Username:
		return &p.Username
	case Email:
		return &p.Email
	case FirstName:
		return &p.FirstName
	case LastName:
		return &p.LastName
	case Nickname:
		return &p.Nickname
	case Position:
		return &p.Position
	case Locale:
		return &p.Locale
	case Timezone:
		return &p.Timezone
	}
	return nil
}

// Auth is a login service and the value by which that service knows the
// person. The zero Auth of an Account means password login; of an Identity it
// means that the source does not speak about logins.
type Auth struct {
	Service string `json:"service,omitempty"`
	Data    string `json:"data,omitempty"`
}

// IsZero tells an Auth that names no service and no data.
func (a Auth) IsZero() bool { return a == Auth{} }

// Picture says which picture a source has for a person, and never holds it: what is
// uploaded is read from the source again.
type Picture struct {
	// Hash digests the picture, or its address if it is one that is to be fetched; ""
	// if there is no picture that can be used.
	Hash string
	// Fault says in one sentence why what is there cannot be used. It keeps nothing
	// else of the person back.
	Fault string
}

// Identity is the desired state of one person, as one source wants it.
type Identity struct {
	Key Key
	// Ref is where the source keeps the person now, for people to read and for
	// joining undecodable entries to links: a DN, a file line, a SCIM path.
	Ref string
	// Active false means the source says the person has left. It is decided
	// before anything else about the entry and holds even if Fault is set.
	Active bool
	// Profile is what the source wants; only the fields in Owned count.
	Profile Profile
	Owned   Attributes
	// Roles are the roles the source's rules give the person. Only roles in the
	// policy's managed set are ever added or removed.
	Roles Roles
	Auth  Auth
	// Picture is what the source has for a picture; the zero value if it has none, or
	// does not speak about pictures.
	Picture Picture
	// Custom are the values wanted of Mattermost's custom profile attributes, by their
	// names there; nil if the source does not speak about any.
	Custom map[string]string
	// People are other people of the same source who are to be the values of custom
	// profile attributes, by the attributes' names: each by what the source has him
	// under, his anchor or his place. "" says that there is nobody; nil if the source
	// does not speak about any.
	People map[string]string
	// Manager is whom the person reports to: another one of the same source, by his anchor
	// or his place. "" says that there is nobody, or that the source does not speak about it.
	Manager string
	// Memberships are the teams and channels that the source's rules give the person.
	// Only in spaces that the policy names is anybody added or removed.
	Memberships Memberships
	// Unplaced tells that nobody asked the source where the person is to be: Memberships
	// mean nothing, and nothing is given or taken.
	Unplaced bool
	// RolesUnknown says in one sentence why the source cannot tell now which roles, teams and
	// channels its rules give the person, and whether they make a guest of him, as when a
	// group could not be read; "" if it can. Roles and Memberships mean nothing then, and
	// nothing of that is given or taken.
	RolesUnknown string
	// MatchKey is a value that stays the person's when the source gives him another
	// anchor, such as an employee number; "" if the source has none. It is compared
	// only with what the same source said of others.
	MatchKey string
	// Fault says in one sentence why the entry could not be mapped; Profile, Roles,
	// Memberships, Auth and Manager mean nothing then, and only Active may be acted on.
	Fault string
	// Pilot tells that the person is in one of the groups a run was narrowed to. It is
	// not part of what is wanted.
	Pilot bool
	// Deleted is when the source was told to delete the person, who has left then; zero
	// if it was not. It is not part of what is wanted.
	Deleted time.Time
	// Hash digests everything above but Ref, Pilot and Deleted, so that an unchanged entry can be
	// recognised without comparing it. Empty means unknown.
	Hash string
}

// CompareIdentity orders identities by Key.
func CompareIdentity(a, b Identity) int { return a.Key.Compare(b.Key) }

// CompareAttribute orders fields as AllAttributes does.
func CompareAttribute(a, b Attribute) int { return cmp.Compare(a.bit(), b.bit()) }
