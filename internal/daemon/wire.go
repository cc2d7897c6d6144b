package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/fetch"
	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/mattermost"
	"github.com/mmsync/mmsync/internal/reconcile/guard"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/sources"
	"github.com/mmsync/mmsync/internal/sources/file"
	"github.com/mmsync/mmsync/internal/sources/ldap"
	"github.com/mmsync/mmsync/internal/sources/scim"
)

// Check compiles everything a configuration names without reaching for
// anything outside: expressions, filters, addresses. All faults are joined, as
// *config.Error where they have a place in the file.
func Check(c *config.Config) error {
	_, err := buildSources(c, nil)
	_, _, faults := schedules(c)
	return errors.Join(err, faults)
}

// mapper compiles the rules of one source; the people of pilot groups are marked.
func mapper(c *config.Config, i int, pilot ...string) (*sources.Mapper, error) {
	s := &c.Sources[i]
	m, base := s.Mapping, fmt.Sprintf("sources[%d].", i)
	expr := func(x config.Expr, path string) sources.Expr {
		return sources.Expr{Source: x.Text, File: c.File, Line: x.Line, Col: x.Col, Key: path}
	}
	own := func(x config.Expr, key string) sources.Expr {
		path := "mapping.defaults." + key
		if o, ok := c.Mapping.Sources[s.Name]; ok && written(o, x) {
			path = "mapping.sources." + s.Name + "." + key
		}
		return expr(x, path)
	}
	rules := sources.Rules{
		ID: own(m.ID, "id_attribute"), LoginID: own(m.LoginID, "login_id_attribute"),
		Username: own(m.Username, "username_attribute"), Email: own(m.Email, "email_attribute"),
		FirstName: own(m.FirstName, "first_name_attribute"), LastName: own(m.LastName, "last_name_attribute"),
		Nickname: own(m.Nickname, "nickname_attribute"), Position: own(m.Position, "position_attribute"),
		Locale: own(m.Locale, "locale"), Timezone: own(m.Timezone, "timezone"), DisabledWhen: expr(s.DisabledWhen, base+"disabled_when"),
		MatchKey: expr(s.MatchKey, base+"match_key"), Manager: expr(s.Manager, base+"manager"),
	}
	for _, name := range slices.Sorted(maps.Keys(s.UserAttributes)) {
		rules.Custom = append(rules.Custom, sources.CustomRule{Name: name, Value: expr(s.UserAttributes[name], base+"user_attributes."+name)})
	}
	for _, name := range slices.Sorted(maps.Keys(s.PersonAttributes)) {
		rules.People = append(rules.People, sources.CustomRule{Name: name, Value: expr(s.PersonAttributes[name], base+"person_attributes."+name)})
	}
	rules.Picture = pictures(s, base, expr)
	rules.Assumed = len(s.SelfEditable) > 0 && s.SelfEditable[0].Line == 0
	for n, x := range s.SelfEditable {
		rules.SelfEditable = append(rules.SelfEditable, expr(x, fmt.Sprintf("%sself_editable[%d]", base, n)))
	}
	rules.AddsOnly = s.Contributes.Only
	for _, m := range append(slices.Clone(c.Matching), config.Match{By: s.Contributes.Match}) {
		switch m.By {
		case config.ByEmail:
			rules.MatchedBy = append(rules.MatchedBy, identity.Email)
		case config.ByUsername:
			rules.MatchedBy = append(rules.MatchedBy, identity.Username)
		}
	}
	granted(c, s.Name, expr, &rules)
	made, err := sources.Compile(s.Name, rules, sources.CompileOptions{Pilot: pilot})
	if err != nil {
		return nil, placed(c, err)
	}
	return made, nil
}

// granted adds the rules by which people of a source get logins, roles and places in
// teams and channels.
func granted(c *config.Config, source string, expr func(config.Expr, string) sources.Expr, rules *sources.Rules) {
	for n, r := range c.Auth.Policy {
		if at := fmt.Sprintf("auth.policy[%d]", n); r.Source == source {
			rules.Auth = append(rules.Auth, sources.AuthRule{Service: r.Service, When: expr(r.When, at+".when"), Data: expr(r.Data, at+".data")})
		}
	}
	for n, r := range c.Roles {
		if r.Source == source {
			rules.Roles = append(rules.Roles, sources.RoleRule{Role: r.Role, Groups: r.Groups, When: expr(r.When, fmt.Sprintf("roles[%d].when", n))})
		}
	}
	for n, r := range c.Memberships.Rules {
		if r.Source == source {
			rules.Memberships = append(rules.Memberships, sources.MembershipRule{
				Team: r.Team, Channels: r.Channels, Admin: r.Admin(), Groups: r.Groups, When: expr(r.When, fmt.Sprintf("memberships.rules[%d].when", n)),
			})
		}
	}
	for n, r := range c.Guests {
		if r.Source == source {
			rules.Guests = append(rules.Guests, sources.RoleRule{Groups: r.Groups, When: expr(r.When, fmt.Sprintf("guests[%d].when", n))})
		}
	}
}

// pictures says where the source has pictures, and what may be followed to them.
func pictures(s *config.Source, base string, expr func(config.Expr, string) sources.Expr) sources.PictureRule {
	p := s.Picture
	if p == nil {
		return sources.PictureRule{}
	}
	out := sources.PictureRule{Attribute: expr(p.Attribute, base+"picture.attribute"), MaxSize: int64(p.MaxSize)}
	if s.File != nil {
		out.Files = file.Beside(s.File.Path)
	}
	if len(p.FetchHosts) > 0 {
		out.Fetch = fetch.New(fetch.Options{Hosts: p.FetchHosts, Private: p.FetchPrivate, MaxBytes: out.MaxSize}).Picture
	}
	return out
}

// written tells whether an expression stands in a source's own section rather
// than in the defaults.
func written(own config.Attributes, x config.Expr) bool {
	for _, o := range []config.Expr{own.ID, own.LoginID, own.Username, own.Email, own.FirstName, own.LastName, own.Nickname, own.Position, own.Locale, own.Timezone} {
		if o == x && o.Line > 0 {
			return true
		}
	}
	return false
}

// placed turns faults of expressions into faults of the configuration file.
func placed(c *config.Config, err error) error {
	list := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	var out []error
	for _, e := range list {
		var x *sources.ExprError
		if !errors.As(e, &x) {
			out = append(out, e)
			continue
		}
		at := c.Fault(x.Key, x.Msg, x.Hint)
		if x.Line > 0 {
			at.Line, at.Col = x.Line, x.Col
		}
		out = append(out, at)
	}
	return errors.Join(out...)
}

func buildSources(c *config.Config, log *slog.Logger, pilot ...string) ([]Source, error) {
	var out []Source
	var faults []error
	for i := range c.Sources {
		m, err := mapper(c, i, pilot...)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		src, err := buildSource(c, i, m, log)
		if err != nil {
			if _, ok := errors.AsType[*config.Error](err); !ok {
				err = c.Fault(fmt.Sprintf("sources[%d]", i), err.Error(), "")
			}
			faults = append(faults, err)
			continue
		}
		out = append(out, src)
	}
	return out, errors.Join(faults...)
}

func buildSource(c *config.Config, i int, m *sources.Mapper, log *slog.Logger) (Source, error) {
	s := &c.Sources[i]
	if s.SCIM != nil {
		if err := checkQuirks(c, i); err != nil {
			return nil, err
		}
		src, err := scim.New(scim.Options{Name: s.Name, Mapper: m})
		return src, placed(c, err)
	}
	if f := s.File; f != nil {
		return file.New(file.Options{Name: s.Name, Path: f.Path, Format: f.Format, Separator: f.ValueSeparator, Mapper: m})
	}
	d := s.LDAP
	o := ldap.Options{
		Name: s.Name, URLs: d.ConnectionURL, Security: d.ConnectionSecurity, CAFile: d.CAFile, ServerName: d.ServerName,
		CertificatePins: d.CertificatePins, CertificateFile: d.CertificateFile, PrivateKeyFile: d.PrivateKeyFile,
		AllowCleartext: d.AllowCleartext, BindDN: d.BindUsername, BindPassword: d.BindPassword.Value, BaseDN: d.BaseDN,
		UserFilter: d.UserFilter.Text, PageSize: d.MaxPageSize, Timeout: d.QueryTimeout, WithoutPaging: d.ServerWithoutPaging,
		Canary: d.Canary, Delta: d.Delta, References: d.References, Mapper: m, Logger: log,
		MissingGrace: c.Lifecycle.Deactivate.Grace.Missing, OutOfScopeGrace: c.Lifecycle.Deactivate.Grace.OutOfScope,
	}
	if d.BindMethod == config.BindExternal {
		o.BindMethod, o.BindPassword = ldap.BindExternal, nil
	}
	if g := d.Groups; g != nil {
		o.Groups = ldap.GroupOptions{Mode: ldap.GroupsSearch, BaseDN: g.BaseDN, Filter: g.GroupFilter.Text, MembershipAttribute: g.MembershipAttribute}
		if g.MembershipAttribute == config.MemberOf || g.MembershipAttribute == config.NSRole {
			o.Groups.Mode = ldap.GroupsMemberOf
		}
		if g.Nested != config.NestedOff {
			o.Groups.Nested = g.Nested
		}
	}
	return ldap.New(o)
}

// targetOptions say of the configuration what the server is asked for beforehand.
func targetOptions(c *config.Config) mattermost.TargetOptions {
	needs := plan.LicenceRoles()
	return mattermost.TargetOptions{
		Custom:    slices.ContainsFunc(c.Sources, func(s config.Source) bool { return len(s.UserAttributes)+len(s.PersonAttributes) > 0 }),
		Guests:    len(c.Guests) > 0,
		Delegated: slices.ContainsFunc(c.Roles, func(r config.RoleRule) bool { return needs.Has(r.Role) }),
	}
}

func limits(c *config.Config) guard.Limits {
	g := c.Guards
	return guard.Limits{
		Deactivations: limit(g.MaxDeactivations), Reactivations: limit(g.MaxReactivations), RoleRemovals: limit(g.MaxRoleRemovals), Recreations: limit(g.MaxRecreations),
		AdminGrants: limit(g.MaxAdminGrants), Renames: limit(g.MaxRenames), EmailChanges: limit(g.MaxEmailChanges),
		AuthChanges: limit(g.MaxAuthChanges), Creates: limit(g.MaxCreates), Updates: limit(g.MaxUpdates),
		MembershipAdditions: limit(g.MaxMembershipAdditions), MembershipRemovals: limit(g.MaxMembershipRemovals),
		SpaceCreations:    limit(g.MaxSpaceCreations),
		MinEntriesPercent: g.MinSourceEntries.PercentOfLast, Window: g.Window, Stop: g.OnTrip == config.OnTripStop,
	}
}

func limit(l config.Limit) guard.Limit {
	out := guard.Limit{MinimumPopulation: l.MinimumPopulation}
	if l.Count != nil {
		out.Count = *l.Count
	}
	if l.Percent != nil {
		out.Percent = *l.Percent
	}
	return out
}

func clientOptions(c *config.Config, o Options) mattermost.Options {
	m := c.Mattermost
	out := mattermost.Options{
		BaseURL: m.URL, Token: m.Token.Value, CAFile: m.CAFile, AllowHTTP: m.AllowHTTP, Timeout: m.RequestTimeout,
		RatePerSecond: float64(m.RateLimit.PerSecond), MaxInFlight: m.MaxInFlight, ReadOnly: o.ReadOnly, Passwords: o.Passwords, Deletions: o.Deletions,
		UserAgent: "mmsync/" + o.Version, Logger: o.Logger,
	}
	if !o.ReadOnly { // whoever only looks is told at once
		out.RideOut = m.OutageWait
	}
	if m.ProxyURL.IsSet() {
		out.Proxy = m.ProxyURL.Value
	}
	return out
}

// fullReads is how often sources are read whole, those that can be asked for what changed.
func fullReads(c *config.Config) map[string]time.Duration {
	out := map[string]time.Duration{}
	for _, s := range c.Sources {
		if s.LDAP != nil {
			out[s.Name] = s.LDAP.FullSyncPeriod
		}
	}
	return out
}
