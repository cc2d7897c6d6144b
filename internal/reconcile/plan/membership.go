package plan

import (
	"slices"
	"strings"

	"github.com/mmsync/mmsync/internal/identity"
)

// memberships compares where the person is wanted with where the account is, in the
// spaces that the source decides about. out are the ops that take something, channels
// before their teams; in those that give something, teams first. Nobody is followed
// who is a guest, and nobody is added again to what he left by himself. ops are what is
// done to the account before.
func memberships(o *Observation, p Policy, ops []Op) (out, in []Op, notes []Note) {
	if o.Desired == nil || !o.Desired.Active || o.Desired.Fault != "" || unplaced(o.Desired) {
		return nil, nil, nil
	}
	guest := o.Desired.Roles.Has(identity.RoleGuest) || o.Linked != nil && o.Linked.Roles.Has(identity.RoleGuest)
	emails := emailsOf(o, ops)
	barred := map[string]Note{} // teams in which the person will not be, and why
	for _, rule := range p.spacesOf(o.Key.Source) {
		space, known := o.Facts.Spaces[rule.Name]
		if !known {
			continue
		}
		want, wanted := o.Desired.Memberships.Of(rule.Name)
		is, inside := o.Memberships.Of(rule.Name)
		from, to := standing(is, inside), standing(want, wanted)
		switch {
		case !wanted && !rule.Strict, wanted && from == admin && !(rule.Strict && rule.Admins):
			continue // what is not taken
		case from == to:
			continue
		}
		n := Note{Field: SpaceField(rule.Name), From: from, To: to}
		team, channel := identity.TeamOf(rule.Name)
		n.Reason, n.Detail = spaceObstacle(o, p, rule.Name, space, guest, emails, from, to)
		// A channel of which the person's team keeps him out need not be made for him.
		if why, is := barred[team]; channel && is && from == "" && (n.Reason == "" || n.Reason == SpaceUnmade && why.Reason != SpaceUnmade) {
			n.Reason, n.Detail = why.Reason, "its team is left out: "+why.Detail
		}
		switch {
		case n.Reason != "":
			n.Detail = clean(n.Detail)
			notes = append(notes, n)
			if !channel && from == "" {
				barred[team] = n
			}
		case to == "" || from == admin:
			out = append(out, spaceOp(rule.Name, space.ID, from, to))
		case from == "":
			in = append(in, spaceOp(rule.Name, space.ID, "", member))
			if to == admin {
				in = append(in, spaceOp(rule.Name, space.ID, member, admin))
			}
		default:
			in = append(in, spaceOp(rule.Name, space.ID, from, to))
		}
	}
	slices.Reverse(out)
	return out, in, notes
}

// unplaced tells that it is not known where the person is to be.
func unplaced(want *identity.Identity) bool { return want.Unplaced || want.RolesUnknown != "" }

// spaceObstacle says why somebody's place in a space stays as it is; "" if nothing
// speaks against the change.
func spaceObstacle(o *Observation, p Policy, name string, s Space, guest bool, emails []string, from, to string) (Reason, string) {
	shown := quote(name)
	switch {
	case s.Trouble != "" && (s.Trouble != SpaceUnmade || !guest):
		return s.Trouble, shown + " " + s.trouble()
	case guest:
		return GuestLeftAlone, "a guest's place in " + shown + " is left as it is"
	case to == "" && s.ForAll:
		return SpaceForAll, "the server takes nobody out of " + shown
	case from != "":
		return "", ""
	}
	if o.Link != nil && !p.ReaddRemoved && !(p.RestoreOnReturn && o.off()) {
		if was, gave := o.Link.Applied.Memberships.Of(name); gave && was.ID == s.ID {
			return LeftByThemselves, "left " + shown + ", or was taken out of it in Mattermost, and is not added again"
		}
	}
	now := emails[len(emails)-1]
	switch {
	case s.Email != "" && slices.ContainsFunc(emails, func(e string) bool { return strings.EqualFold(s.Email, e) }):
		return TeamEmail, "has the e-mail of team " + shown + " itself, and joining would make an administrator of it"
	case len(s.Domains) > 0 && !inDomains(now, s.Domains):
		return TeamDomain, "team " + shown + " takes only e-mails in " + strings.Join(s.Domains, ", ")
	case s.TeamID == "" && len(o.Facts.Domains) > 0 && !inDomains(now, o.Facts.Domains): // whatever the login
		return ServerDomain, "team " + shown + " takes, as every team, only e-mails in the domains of the server's TeamSettings.RestrictCreationToDomains (" + strings.Join(o.Facts.Domains, ", ") + ")"
	}
	return "", ""
}

// emailsOf gives the e-mail that an account has before ops about it and the one after
// them.
func emailsOf(o *Observation, ops []Op) []string {
	email := o.Desired.Profile.Email
	if o.Linked != nil {
		email = o.Linked.Email
	}
	out := []string{email}
	for i := range ops {
		if to, ok := ops[i].To(Field(identity.Email)); ok {
			out = append(out, to)
		}
	}
	return out
}

// inDomains judges as the server does: the domain has to be one of them, a domain below
// one of them is not enough.
func inDomains(email string, domains []string) bool {
	_, domain, _ := strings.Cut(strings.ToLower(email), "@")
	return slices.Contains(domains, domain)
}

// Confirmed gives what is to be kept of the memberships that mmsync gave: those that
// are wanted and there, whoever made them, those that are wanted and were left since,
// and those that are still to be taken. What is neither wanted nor there is forgotten,
// so that it is given again once it is wanted again.
func Confirmed(o *Observation, p Policy) identity.Memberships {
	was := o.Link.Applied.Memberships
	if unplaced(o.Desired) {
		return was
	}
	var list []identity.Membership
	for _, rule := range p.spacesOf(o.Key.Source) {
		space, known := o.Facts.Spaces[rule.Name]
		old, gave := was.Of(rule.Name)
		want, wanted := o.Desired.Memberships.Of(rule.Name)
		is, in := o.Memberships.Of(rule.Name)
		switch {
		case known && !wanted && !(gave && in):
		case !wanted, !known, !in && gave && old.ID == space.ID:
			if gave {
				list = append(list, old)
			}
		case in:
			list = append(list, identity.Membership{Space: rule.Name, ID: space.ID, Admin: is.Admin && want.Admin})
		}
	}
	if len(list) == 0 {
		return nil
	}
	return identity.NewMemberships(list...)
}

// holdBeyondRooms keeps people out of teams that the server would say are full. The
// decisions must be in the order of execution; who leaves makes room.
func holdBeyondRooms(list []Decision, f *Facts) {
	left := map[string]int{}
	for name, s := range f.Spaces {
		if s.Room >= 0 && s.TeamID == "" {
			left[name] = s.Room
		}
	}
	for i := range list {
		d := &list[i]
		for at := 0; at < len(d.Ops); at++ {
			name, _, to, ok := d.Ops[at].Space()
			room, limited := left[name]
			switch kind := d.Ops[at].Kind; {
			case !ok || !limited:
			case kind == LeaveTeam:
				left[name]++
			case kind == JoinTeam && room > 0:
				left[name]--
			case kind == JoinTeam:
				d.keepOut(name, Note{Field: SpaceField(name), Reason: TeamFull, To: to, Detail: "team " + quote(name) + " is full"})
				at = -1 // the ops are others now
			}
		}
	}
}

// keepOut takes out of a decision what would add the person to a team and its
// channels.
func (d *Decision) keepOut(team string, n Note) {
	d.Ops = slices.DeleteFunc(slices.Clone(d.Ops), func(o Op) bool {
		name, _, to, ok := o.Space()
		of, _ := identity.TeamOf(name)
		return ok && to != "" && of == team
	})
	d.Notes = append(slices.Clone(d.Notes), n)
	if len(d.Ops) == 0 {
		*d = d.byNotes()
	}
}
