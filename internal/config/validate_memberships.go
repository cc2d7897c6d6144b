package config

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

var (
	teamPattern    = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,63}$`)
	channelPattern = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)
)

// forAll is the channel that everybody in a team is in, and nobody can be taken out of.
const forAll = "town-square"

func (v *validator) memberships(m *Memberships) {
	names, known := v.sourceNames()
	modes := map[string]int{} // by space, the rule that named it first
	named := map[string]int{} // the same, and the teams of channels
	defer func() { v.newTargets(m, named) }()
	for i := range m.Rules {
		r, at := &m.Rules[i], indexPath("memberships.rules", i)
		if r.Mode == "" {
			r.Mode = ModeAdditive
		}
		v.oneOf(at+".mode", r.Mode, ModeAdditive, ModeStrict)
		v.spaces(at, r)
		v.members(at, r.Source, r.Groups, names, known)
		if len(r.Groups) == 0 && r.When.Text == "" && !v.doc.isBad(at+".groups") && !v.doc.isBad(at+".when") {
			v.fault(at, "is for nobody: neither groups nor when is set", "name groups, or write an expression as when")
		}
		named[r.Team] = i
		for _, space := range r.Spaces() {
			named[space] = i
			first, again := modes[space]
			if !again {
				modes[space] = i
			} else if was := m.Rules[first].Mode; was != r.Mode {
				path := indexPath("memberships.rules", first)
				v.fault(at+".mode", fmt.Sprintf("says %s about %s, and %s on line %d says %s", r.Mode, space, path, v.doc.marks[path].line, was),
					"write the same mode in all rules about it: whoever one of them takes out, another would leave in")
				break
			}
		}
	}
}

// newTargets checks how teams and channels are made. named are those that rules are about.
func (v *validator) newTargets(m *Memberships, named map[string]int) {
	v.oneOf("memberships.missing_targets", m.MissingTargets, MissingReport, MissingCreate)
	first := map[string]int{} // by name, the one that named it first
	for i, n := range m.NewTargets {
		at := indexPath("memberships.new_targets", i)
		if _, known := named[n.Target]; !known && n.Target != "" {
			v.fault(at+".target", "no rule is about "+v.quote(at+".target"), "write a team as engineering and a channel as engineering/on-call, as rules name them")
		}
		if was, again := first[n.Target]; again {
			v.fault(at+".target", fmt.Sprintf("is said twice: %s says it as well", indexPath("memberships.new_targets", was)), "leave one of the two out")
		} else {
			first[n.Target] = i
		}
		if utf8.RuneCountInString(n.DisplayName) > 64 {
			v.fault(at+".display_name", "is longer than 64 characters, which is the most the server allows", "")
		}
		if n.Public && !strings.Contains(n.Target, "/") {
			v.fault(at+".public", "this is a team, and teams are made by invitation only", "open the team in Mattermost once it is there")
		}
	}
}

// spaces checks what a rule is about.
func (v *validator) spaces(at string, r *MembershipRule) {
	const hint = "write what stands in its address, in lower case, not the display name"
	if r.Team != "" && !teamPattern.MatchString(r.Team) {
		v.fault(at+".team", v.quote(at+".team")+" is not a team's name", hint)
	}
	for i, c := range r.Channels {
		switch path := indexPath(at+".channels", i); {
		case !channelPattern.MatchString(c):
			v.fault(path, v.quote(path)+" is not a channel's name", hint)
		case c == forAll && r.Mode == ModeStrict:
			v.fault(path, "everybody in the team is in "+forAll+", and the server takes nobody out of it", "leave it out, or write mode: additive")
		}
	}
	v.unique(at+".channels", r.Channels, same)
	switch {
	case r.TeamAdmin && len(r.Channels) > 0:
		v.fault(at+".team_admin", "this rule is about channels", "write a second rule, about the team alone")
	case r.ChannelAdmin && len(r.Channels) == 0:
		v.fault(at+".channel_admin", "this rule is about the team", "name the channels, or write team_admin")
	}
}
