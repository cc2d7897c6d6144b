package config

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

func (v *validator) mapping(m *Mapping) {
	v.mappingSources(m)
	owned := []string{"first_name", "last_name", "nickname", "position", "locale", "timezone"}
	for i, name := range m.UserOwned {
		at := indexPath("mapping.user_owned", i)
		if name == "username" || name == "email" {
			v.fault(at, name+" cannot be left to the user: accounts are found by it", "the fields that can be are "+strings.Join(owned, ", "))
			continue
		}
		v.oneOf(at, name, owned...)
	}
	v.unique("mapping.user_owned", m.UserOwned, same)
	v.onDrift(m)
	v.mappingDefaults()

	// Without the section, that it is missing is the one fault.
	if v.doc.isBad("mapping") {
		return
	}
	for i := range v.config.Sources {
		s := &v.config.Sources[i]
		if s.SCIM != nil {
			s.Mapping = overlay(defaultMappingSCIM(), m.Sources[s.Name])
			if m.Sources == nil {
				m.Sources = map[string]Attributes{}
			}
			m.Sources[s.Name] = s.Mapping
		} else {
			s.Mapping = overlay(m.Defaults, m.Sources[s.Name])
		}
		if s.Name != "" && !v.doc.isBad(indexPath("sources", i)+".name") {
			v.complete(s)
		}
	}
}

// mappingDefaults wants the section wherever there is a source it is for.
func (v *validator) mappingDefaults() {
	pushed := len(v.config.Sources) > 0 && !slices.ContainsFunc(v.config.Sources, func(s Source) bool { return s.SCIM == nil })
	switch at := v.doc.marks["mapping"]; {
	case !pushed && (at.line == 0 || at.null):
		v.fault("mapping", "is required", "it must hold defaults with id_attribute, username_attribute and email_attribute")
	case pushed && v.doc.marks["mapping.defaults"].line > 0:
		v.fault("mapping.defaults", "is for sources of type ldap and file, and there is none",
			"a source of type scim has defaults of its own, which check-config --print-effective shows; write what differs in mapping.sources."+v.config.Sources[0].Name)
	}
}

func (v *validator) onDrift(m *Mapping) {
	v.oneOf("mapping.on_drift.default", m.OnDrift.Default, DriftRestore, DriftReport)
	for _, f := range m.OnDrift.fields() {
		at := "mapping.on_drift." + f.name
		if f.value == "" && v.doc.marks[at].line == 0 {
			continue
		}
		if v.oneOf(at, f.value, DriftRestore, DriftReport) && slices.Contains(m.UserOwned, f.name) {
			v.fault(at, "says nothing: "+f.name+" is in user_owned, so it belongs to the user", "remove it here, or from user_owned")
		}
	}
}

// mappingSources refuses overrides for sources that are not there.
func (v *validator) mappingSources(m *Mapping) {
	names, known := v.sourceNames()
	for _, name := range slices.Sorted(maps.Keys(m.Sources)) {
		if known && !slices.Contains(names, name) {
			v.fault("mapping.sources."+name, "no source has this name", v.sourceHint(name, names))
		}
	}
}

// sourceNames gives the names of the sources; known is false if there may be
// others, for a fault hides them.
func (v *validator) sourceNames() (names []string, known bool) {
	known = !v.doc.isBad("sources")
	for i, s := range v.config.Sources {
		names = append(names, s.Name)
		at := indexPath("sources", i)
		known = known && s.Name != "" && !v.doc.isBad(at)
	}
	return names, known
}

func (v *validator) sourceHint(name string, names []string) string {
	if best := nearest(name, names); best != "" {
		return "did you mean " + best + "?"
	}
	return "the sources are " + strings.Join(names, ", ")
}

// overlay lays what was written in own over base.
func overlay(base, own Attributes) Attributes {
	b, o := reflect.ValueOf(&base).Elem(), reflect.ValueOf(own)
	for i := range b.NumField() {
		if e, ok := reflect.TypeAssert[Expr](o.Field(i)); ok && e.Line > 0 {
			b.Field(i).Set(o.Field(i))
		}
	}
	return base
}

// complete checks that a source's mapping can make an account.
func (v *validator) complete(s *Source) {
	section := "mapping.defaults"
	if _, ok := v.config.Mapping.Sources[s.Name]; ok {
		section = "mapping.sources." + s.Name
	}
	for _, f := range []struct {
		key  string
		expr Expr
	}{{"id_attribute", s.Mapping.ID}, {"username_attribute", s.Mapping.Username}, {"email_attribute", s.Mapping.Email}} {
		if s.Contributes.Only && f.key != "id_attribute" {
			continue // it makes no accounts
		}
		// A fault at either of the two places it can come from is enough.
		if f.expr.Text == "" && !v.doc.isBad("mapping.defaults."+f.key) && !v.doc.isBad("mapping.sources."+s.Name+"."+f.key) {
			hint := "set it in mapping.defaults or in mapping.sources." + s.Name
			if s.SCIM != nil {
				hint = "remove the line to take the default"
			}
			v.fault(section+"."+f.key, "source "+s.Name+" has no "+f.key, hint)
		}
	}
}

func (v *validator) matching(list []Match) {
	by := make([]string, len(list))
	for i := range list {
		m, at := &list[i], indexPath("matching", i)
		by[i] = m.By
		if m.By == "" || !v.oneOf(at+".by", m.By, ByAuthData, ByEmail, ByUsername) {
			continue
		}
		if m.Adopt == "" {
			m.Adopt = defaultAdopt(m.By)
		}
		switch at += ".adopt"; {
		case m.Adopt == "false":
			v.fault(at, "a rule that adopts nothing has no use", "remove the rule, or write adopt: ask")
		case m.Adopt == AdoptTrue && m.By != ByAuthData:
			v.fault(at, "must be ask: an equal "+m.By+" does not prove that it is the same person", "write adopt: ask; a hit then waits for mmsync link approve")
		default:
			v.oneOf(at, string(m.Adopt), string(AdoptTrue), string(AdoptAsk))
		}
	}
	for i, b := range by {
		if j := slices.Index(by, b); b != "" && j < i {
			v.fault(indexPath("matching", i)+".by", fmt.Sprintf("%s is there twice, first on line %d", b, v.doc.marks[indexPath("matching", j)+".by"].line), "keep one of the two")
		}
	}
}

func (v *validator) lifecycle(l *Lifecycle) {
	v.oneOf("lifecycle.create.welcome", l.Create.Welcome, "none", "reset_link")
	for i, reason := range l.Deactivate.On {
		v.oneOf(indexPath("lifecycle.deactivate.on", i), reason, OnDisabled, OnMissing, OnOutOfScope)
	}
	v.unique("lifecycle.deactivate.on", l.Deactivate.On, same)
	v.lasts("lifecycle.deactivate.look_again", l.Deactivate.LookAgain, 0, 10*time.Minute)
	if g := &l.Deactivate.Grace; v.doc.marks["lifecycle.deactivate.grace.deleted"].line == 0 {
		g.Deleted = g.Disabled
	}
	v.oneOf("lifecycle.deactivate.tokens", l.Deactivate.Tokens, ThingsKeep, ThingsDisable)
	v.oneOf("lifecycle.deactivate.bots", l.Deactivate.Bots, ThingsKeep, ThingsDisable)
	v.oneOf("lifecycle.reactivate.tokens", l.Reactivate.Tokens, ThingsDisable, ThingsKeep)
	v.oneOf("lifecycle.reactivate.memberships", l.Reactivate.Memberships, MembershipsLeave, MembershipsRestore)
	v.oneOf("lifecycle.on_gone", l.OnGone, OnGoneAsk, OnGoneRecreate)
	v.permanentDelete(&l.PermanentDelete)
}

func (v *validator) guards(g *Guards) {
	if g.Window < time.Hour {
		v.fault("guards.window", "want at least 1h, found "+formatDuration(g.Window), "a shorter window would forget what was just done")
	}
	v.oneOf("guards.on_trip", g.OnTrip, OnTripHold, OnTripStop)
	v.limit("guards.max_deactivations", g.MaxDeactivations)
	v.limit("guards.max_role_removals", g.MaxRoleRemovals)
	v.limit("guards.max_reactivations", g.MaxReactivations)
	v.limit("guards.max_recreations", g.MaxRecreations)
	v.limit("guards.max_admin_grants", g.MaxAdminGrants)
	v.limit("guards.max_renames", g.MaxRenames)
	v.limit("guards.max_email_changes", g.MaxEmailChanges)
	v.limit("guards.max_auth_changes", g.MaxAuthChanges)
	v.limit("guards.max_creates", g.MaxCreates)
	v.limit("guards.max_updates", g.MaxUpdates)
	v.limit("guards.max_membership_additions", g.MaxMembershipAdditions)
	v.limit("guards.max_membership_removals", g.MaxMembershipRemovals)
	v.limit("guards.max_space_creations", g.MaxSpaceCreations)
	defaultLimits(g)
	if p := g.MinSourceEntries.PercentOfLast; p < 1 || p > 100 {
		v.fault("guards.min_source_entries.percent_of_last", fmt.Sprintf("want 1 to 100, found %v", p), "")
	}
	for i, d := range g.EmailDomains {
		if at := indexPath("guards.email_domains", i); !domainPattern.MatchString(d) {
			v.fault(at, v.quote(at)+" is not a domain", "write what stands behind the @, in lower case, such as example.com; *.example.com stands for every domain below it")
		}
	}
	v.unique("guards.email_domains", g.EmailDomains, same)
	for i, pattern := range g.Protect.Usernames {
		v.pattern(indexPath("guards.protect.usernames", i), pattern)
	}
	v.unique("guards.protect.usernames", g.Protect.Usernames, same)
	if g.Protect.NeverBelow < 1 {
		v.fault("guards.protect.never_below", fmt.Sprintf("want at least 1, found %d", g.Protect.NeverBelow), "the last administrator is never locked out")
	}
}

func (v *validator) limit(at string, l Limit) {
	if l.Count != nil && *l.Count < 0 {
		v.fault(at+".count", fmt.Sprintf("want 0 or more, found %d", *l.Count), "")
	}
	if l.Percent != nil && (*l.Percent < 0 || *l.Percent > 100) {
		v.fault(at+".percent", fmt.Sprintf("want 0 to 100, found %v", *l.Percent), "")
	}
	if l.MinimumPopulation < 0 {
		v.fault(at+".minimum_population", fmt.Sprintf("want 0 or more, found %d", l.MinimumPopulation), "")
	}
}

// domainPattern also takes what an internal name may look like, and letters beyond
// ASCII, for the server takes those as well.
var domainPattern = regexp.MustCompile(`^(\*\.)?[\p{Ll}\p{Lo}\p{N}]([\p{Ll}\p{Lo}\p{N}.-]*[\p{Ll}\p{Lo}\p{N}])?$`)

var namePattern = regexp.MustCompile(`^[a-z0-9._*-]+$`)

// pattern checks a username pattern against the letters a username can have.
func (v *validator) pattern(at, pattern string) {
	switch {
	case strings.Trim(pattern, "*") == "" && pattern != "":
		v.fault(at, "would protect every account", "name accounts, such as breakglass or svc-*")
	case !namePattern.MatchString(pattern):
		v.fault(at, v.quote(at)+" matches no username", "usernames have lower-case letters, digits, dot, - and _; * stands for any run of them")
	}
}
