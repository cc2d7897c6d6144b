package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/mmsync/mmsync/internal/config"
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
		Locale: own(m.Locale, "locale"), DisabledWhen: expr(s.DisabledWhen, base+"disabled_when"),
		MatchKey: expr(s.MatchKey, base+"match_key"),
	}
	rules.Assumed = len(s.SelfEditable) > 0 && s.SelfEditable[0].Line == 0
	for n, x := range s.SelfEditable {
		rules.SelfEditable = append(rules.SelfEditable, expr(x, fmt.Sprintf("%sself_editable[%d]", base, n)))
	}
	for _, m := range c.Matching {
		switch m.By {
		case config.ByEmail:
			rules.MatchedBy = append(rules.MatchedBy, identity.Email)
		case config.ByUsername:
			rules.MatchedBy = append(rules.MatchedBy, identity.Username)
		}
	}
	for n, r := range c.Auth.Policy {
		if at := fmt.Sprintf("auth.policy[%d]", n); r.Source == s.Name {
			rules.Auth = append(rules.Auth, sources.AuthRule{Service: r.Service, When: expr(r.When, at+".when"), Data: expr(r.Data, at+".data")})
		}
	}
	for n, r := range c.Roles {
		if r.Source == s.Name {
			rules.Roles = append(rules.Roles, sources.RoleRule{Role: r.Role, Groups: r.Groups, When: expr(r.When, fmt.Sprintf("roles[%d].when", n))})
		}
	}
	made, err := sources.Compile(s.Name, rules, sources.CompileOptions{Pilot: pilot})
	if err != nil {
		return nil, placed(c, err)
	}
	return made, nil
}

// written tells whether an expression stands in a source's own section rather
// than in the defaults.
func written(own config.Attributes, x config.Expr) bool {
	for _, o := range []config.Expr{own.ID, own.LoginID, own.Username, own.Email, own.FirstName, own.LastName, own.Nickname, own.Position, own.Locale} {
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
		Canary: d.Canary, Delta: d.Delta, Mapper: m, Logger: log,
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
	for _, s := range c.Sources {
		auth := plan.RoleAuthority{Source: s.Name}
		for _, r := range c.Roles {
			if r.Source != s.Name {
				continue
			}
			auth.Managed = auth.Managed.Union(identity.Roles{r.Role})
			if r.Grant == config.GrantAllow {
				auth.Granted = auth.Granted.Union(identity.Roles{r.Role})
			}
		}
		if len(auth.Managed) > 0 {
			p.Roles = append(p.Roles, auth)
		}
	}
	return p
}

func limits(c *config.Config) guard.Limits {
	g := c.Guards
	return guard.Limits{
		Deactivations: limit(g.MaxDeactivations), RoleRemovals: limit(g.MaxRoleRemovals), Recreations: limit(g.MaxRecreations),
		AdminGrants: limit(g.MaxAdminGrants), Renames: limit(g.MaxRenames), EmailChanges: limit(g.MaxEmailChanges),
		AuthChanges: limit(g.MaxAuthChanges), Creates: limit(g.MaxCreates), Updates: limit(g.MaxUpdates),
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
		RatePerSecond: float64(m.RateLimit.PerSecond), MaxInFlight: m.MaxInFlight, ReadOnly: o.ReadOnly,
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
