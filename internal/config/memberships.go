package config

// Memberships says which teams and channels people are in, by rules. Teams and channels
// that no rule names are never looked at.
type Memberships struct {
	Rules []MembershipRule `yaml:"rules"`
	// ReaddRemovedMembers adds people again to what they left by themselves, or were
	// taken out of in Mattermost.
	ReaddRemovedMembers bool `yaml:"readd_removed_members"`
	// MissingTargets is what becomes of a team or channel that rules name and the server
	// lacks: report or create.
	MissingTargets string `yaml:"missing_targets"`
	// NewTargets say how some of those are made that are.
	NewTargets []NewTarget `yaml:"new_targets"`
}

// The values of Memberships.MissingTargets.
const (
	MissingReport = "report"
	MissingCreate = "create"
)

// NewTarget says how a team, or a channel as team/channel, is made that rules name.
type NewTarget struct {
	Target string `yaml:"target,required"`
	// DisplayName is what people see; the name if it is empty. At most 64 characters, as
	// the server has it.
	DisplayName string `yaml:"display_name"`
	// Public makes a channel that everybody in its team finds. Teams are by invitation
	// only.
	Public bool `yaml:"public"`
}

// The values of MembershipRule.Mode.
const (
	ModeAdditive = "additive"
	ModeStrict   = "strict"
)

// MembershipRule gives a team, or channels of it, to everybody of a source who is in one
// of the groups and for whom When is true; one of the two may be left out, not both.
// Whoever gets a channel gets its team as well.
type MembershipRule struct {
	Source string `yaml:"source,required"`
	// Groups are DNs or stable ids, never display names.
	Groups []string `yaml:"groups"`
	When   Expr     `yaml:"when"`
	// Team is the team's name as it stands in addresses.
	Team string `yaml:"team,required"`
	// Channels are the names of channels of the team as they stand in addresses. With
	// them the rule is about the channels, without them about the team.
	Channels []string `yaml:"channels"`
	// TeamAdmin makes administrators of the team; only without Channels.
	TeamAdmin bool `yaml:"team_admin"`
	// ChannelAdmin makes administrators of the channels.
	ChannelAdmin bool `yaml:"channel_admin"`
	// Mode is additive or strict: strict also takes the source's people out to whom no
	// rule gives it. All rules about one team or channel have the same.
	Mode string `yaml:"mode"`
}

// Spaces are what the rule is about: the channels as team/channel, or the team.
func (r *MembershipRule) Spaces() []string {
	if len(r.Channels) == 0 {
		return []string{r.Team}
	}
	out := make([]string, len(r.Channels))
	for i, c := range r.Channels {
		out[i] = r.Team + "/" + c
	}
	return out
}

// Admin tells whether the rule makes administrators of what it is about.
func (r *MembershipRule) Admin() bool { return r.TeamAdmin || r.ChannelAdmin }
