package daemon

import (
	"maps"
	"slices"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

// policy is what the configuration says that decisions depend on.
func policy(c *config.Config) plan.Policy {
	l := c.Lifecycle
	p := plan.Policy{
		Create: l.Create.Enabled, Update: l.Update.Enabled, Reactivate: l.Reactivate.Enabled,
		Deactivate: plan.Triggers{
			Disabled:   slices.Contains(l.Deactivate.On, config.OnDisabled),
			Missing:    slices.Contains(l.Deactivate.On, config.OnMissing),
			OutOfScope: slices.Contains(l.Deactivate.On, config.OnOutOfScope),
		},
		Grace:          plan.Grace(l.Deactivate.Grace),
		ReservedNames:  c.Guards.Protect.Usernames,
		NeverBelow:     c.Guards.Protect.NeverBelow,
		ChangeAuth:     c.Auth.MigrateExisting.Enabled,
		RevokeOnAuth:   c.Auth.MigrateExisting.RevokeSessions,
		RecreateGone:   l.OnGone == config.OnGoneRecreate,
		DeleteEndpoint: l.Deactivate.DeleteEndpoint,
		EmailDomains:   c.Guards.EmailDomains,

		DisableTokens:   l.Deactivate.Tokens == config.ThingsDisable,
		DisableBots:     l.Deactivate.Bots == config.ThingsDisable,
		DisableOnReturn: l.Reactivate.Tokens == config.ThingsDisable,
		RestoreOnReturn: l.Reactivate.Memberships == config.MembershipsRestore,
	}
	for _, a := range c.Mapping.UserOwned {
		p.UserOwned = p.UserOwned.With(identity.Attribute(a))
	}
	for _, a := range c.Mapping.OnDrift.Reported() {
		p.ReportDrift = p.ReportDrift.With(identity.Attribute(a))
	}
	for _, m := range c.Matching {
		if m.By == config.ByAuthData && m.Adopt == config.AdoptTrue {
			p.AdoptByAuth = true
		}
	}
	for _, rule := range c.Authority.Attributes() {
		p.Authority = append(p.Authority, plan.Authority{Attribute: identity.Attribute(rule.Attribute), Sources: rule.Sources})
	}
	p.RoleSources = c.Authority.Roles
	for i := range c.Sources {
		sourcePolicy(c, &c.Sources[i], &p)
	}
	p.ReaddRemoved = c.Memberships.ReaddRemovedMembers
	return p
}

// forGood is what the configuration says about deleting accounts for good.
func forGood(c *config.Config) reconcile.ForGood {
	p := c.Lifecycle.PermanentDelete
	return reconcile.ForGood{Enabled: p.Enabled, After: p.After, Most: p.Max}
}

// sourcePolicy adds what the configuration says about the people of one source.
func sourcePolicy(c *config.Config, s *config.Source, p *plan.Policy) {
	p.Custom = named(p.Custom, s.UserAttributes)
	p.People = named(p.People, s.PersonAttributes)
	if s.Picture != nil {
		p.Pictures = append(p.Pictures, plan.PicturePolicy{Source: s.Name, Always: s.Picture.Overwrite == config.OverwriteAlways})
	}
	if s.Contributes != (config.Contributes{}) {
		p.Contributing = append(p.Contributing, plan.Contributing{Source: s.Name, By: plan.Field(s.Contributes.Match), Only: s.Contributes.Only})
	}
	if len(s.HandsOverTo) > 0 {
		p.HandsOver = append(p.HandsOver, plan.HandsOver{Source: s.Name, To: s.HandsOverTo})
	}
	if auth := roleAuthority(c, s.Name); len(auth.Managed) > 0 || auth.Guests {
		p.Roles = append(p.Roles, auth)
	}
	if spaces := spacesOf(c, s.Name); len(spaces) > 0 {
		p.Memberships = append(p.Memberships, plan.MembershipAuthority{Source: s.Name, Spaces: spaces})
	}
}

// named adds the names of user attributes to others, sorted and each once.
func named(list []string, more map[string]config.Expr) []string {
	return slices.Compact(slices.Sorted(slices.Values(append(list, slices.Collect(maps.Keys(more))...))))
}

// roleAuthority gives the roles that the rules of a source decide about.
func roleAuthority(c *config.Config, source string) plan.RoleAuthority {
	auth := plan.RoleAuthority{Source: source}
	for _, r := range c.Roles {
		if r.Source != source {
			continue
		}
		auth.Managed = auth.Managed.Union(identity.Roles{r.Role})
		if r.Grant == config.GrantAllow {
			auth.Granted = auth.Granted.Union(identity.Roles{r.Role})
		}
		switch r.DemoteWhenLost {
		case config.DemoteFalse:
			auth.Kept = auth.Kept.Union(identity.Roles{r.Role})
		case config.DemoteAsk:
			auth.Asked = auth.Asked.Union(identity.Roles{r.Role})
		case config.DemoteTrue:
		}
	}
	for _, r := range c.Guests {
		if r.Source == source {
			auth.Guests, auth.Guest = true, lost(r.WhenLost)
		}
	}
	return auth
}

// spacesOf gives the teams and channels that the rules of a source are about, and the
// teams of those channels.
func spacesOf(c *config.Config, source string) []plan.SpaceRule {
	of := map[string]plan.SpaceRule{}
	for i := range c.Memberships.Rules {
		r := &c.Memberships.Rules[i]
		if r.Source != source {
			continue
		}
		team := of[r.Team]
		team.Name = r.Team
		of[r.Team] = team
		for _, name := range r.Spaces() {
			x := of[name]
			x.Name, x.Strict, x.Admins = name, x.Strict || r.Mode == config.ModeStrict, x.Admins || r.Admin()
			of[name] = x
		}
	}
	var out []plan.SpaceRule
	for _, name := range slices.Sorted(maps.Keys(of)) {
		out = append(out, of[name])
	}
	return out
}

// newSpaces says what becomes of teams and channels that are not there.
func newSpaces(c *config.Config) reconcile.NewSpaces {
	n := reconcile.NewSpaces{Make: c.Memberships.MissingTargets == config.MissingCreate, Titles: map[string]string{}, Public: map[string]bool{}}
	for _, t := range c.Memberships.NewTargets {
		n.Titles[t.Target], n.Public[t.Target] = t.DisplayName, t.Public
	}
	return n
}

func lost(when string) plan.Lost {
	switch when {
	case config.WhenLostPromote:
		return plan.LostTake
	case config.WhenLostKeep:
		return plan.LostKeep
	}
	return plan.LostAsk
}
