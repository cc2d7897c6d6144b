package plan

import (
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
)

// Space is a team or a channel that rules name, as the server has it.
type Space struct {
	// ID is empty if there is none of the name.
	ID string
	// TeamID is the team's of a channel.
	TeamID string
	// Trouble says why nobody may be added or taken out; "" if they may.
	Trouble Reason
	// Make says how one is made whose Trouble is SpaceUnmade.
	Make *Making
	// ForAll marks a channel that nobody who is in its team can leave.
	ForAll bool
	// Domains are those a team takes e-mails of; none means any. In lower case.
	Domains []string
	// Email is a team's own; the server makes whoever joins with it its
	// administrator.
	Email string
	// Room is how many more active members a team takes; negative means that it is not
	// known or that there is no limit.
	Room int
}

// trouble completes a sentence that begins with the space's name.
func (s Space) trouble() string {
	switch s.Trouble {
	case SpaceArchived:
		return "is archived"
	case SpaceByGroups:
		return "is managed by groups of Mattermost's own"
	case SpaceUnmade:
		return "is not on the server yet, and is made first"
	default:
		return "is not on the server, or is archived"
	}
}

// MembershipAuthority names the teams and channels that one source's rules decide
// about. Others are never looked at.
type MembershipAuthority struct {
	Source string
	// Spaces are ordered by name, a channel behind its team.
	Spaces []SpaceRule
}

// SpaceRule says how a source decides about one team or channel.
type SpaceRule struct {
	Name string
	// Strict takes out the source's people to whom no rule gives it.
	Strict bool
	// Admins tells that rules say who administers it: with Strict, that is taken from
	// the source's other people.
	Admins bool
}

func (p Policy) spacesOf(source string) []SpaceRule {
	for _, a := range p.Memberships {
		if a.Source == source {
			return a.Spaces
		}
	}
	return nil
}

// What somebody is in a space.
const (
	member = "member"
	admin  = "admin"
)

const (
	teamField    = "team:"
	channelField = "channel:"
)

// SpaceField is the field of a change that is about a membership.
func SpaceField(space string) Field {
	if _, channel := identity.TeamOf(space); channel {
		return Field(channelField + space)
	}
	return Field(teamField + space)
}

// Space gives the team or channel that a field is about.
func (f Field) Space() (name string, ok bool) {
	if name, ok = strings.CutPrefix(string(f), teamField); !ok {
		name, ok = strings.CutPrefix(string(f), channelField)
	}
	return name, ok
}

// Space gives the membership that an op about a team or channel goes from and to: ""
// is none, else "member" or "admin". ok is false for every other op.
func (o Op) Space() (name, from, to string, ok bool) {
	if len(o.Changes) != 1 {
		return "", "", "", false
	}
	c := o.Changes[0]
	name, ok = c.Field.Space()
	return name, c.From, c.To, ok
}

// Takes tells an op that takes somebody out of a team or channel, or makes an
// administrator of it a member.
func (o Op) Takes() bool {
	_, from, to, ok := o.Space()
	return ok && (to == "" || from == admin)
}

// joins tells an op that gives somebody something in a team or channel.
func (o Op) joins() bool {
	_, _, _, ok := o.Space()
	return ok && !o.Takes()
}

// After gives memberships as they are once an op has had its effect. Whoever leaves a
// team leaves its channels with it.
func (o Op) After(m identity.Memberships) identity.Memberships {
	name, _, to, ok := o.Space()
	switch {
	case !ok:
		return m
	case to == "":
		return slices.DeleteFunc(m.Without(name), func(x identity.Membership) bool {
			team, _ := identity.TeamOf(x.Space)
			return team == name
		})
	}
	return m.With(identity.Membership{Space: name, ID: o.SpaceID, Admin: to == admin})
}

// Shows tells whether memberships are as an op about one leaves them.
func (o Op) Shows(m identity.Memberships) bool {
	name, _, to, ok := o.Space()
	is, in := m.Of(name)
	return ok && standing(is, in) == to
}

// Applies tells whether memberships are still as an op about one found them.
func (o Op) Applies(m identity.Memberships) bool {
	name, from, _, ok := o.Space()
	is, in := m.Of(name)
	return ok && standing(is, in) == from
}

// Where gives the space of an op about one, by its name, as far as it takes to ask who
// is in it.
func (o Op) Where() map[string]Space {
	name, _, _, ok := o.Space()
	if !ok {
		return nil
	}
	s := Space{ID: o.SpaceID}
	if _, channel := identity.TeamOf(name); channel {
		s.TeamID = "its team"
	}
	return map[string]Space{name: s}
}

func standing(m identity.Membership, in bool) string {
	switch {
	case !in:
		return ""
	case m.Admin:
		return admin
	}
	return member
}

func spaceOp(space, id, from, to string) Op {
	team, channel := JoinTeam, JoinChannel
	switch {
	case to == "":
		team, channel = LeaveTeam, LeaveChannel
	case from != "":
		team, channel = SetTeamRoles, SetChannelRoles
	}
	kind := team
	if _, is := identity.TeamOf(space); is {
		kind = channel
	}
	return Op{Kind: kind, SpaceID: id, Changes: []Change{{Field: SpaceField(space), From: from, To: to}}}
}
