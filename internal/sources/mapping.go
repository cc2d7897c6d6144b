package sources

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/mmsync/mmsync/internal/identity"
)

// Expr is the text of one expression and where it stands in the
// configuration, 1-based; Line or Col 0 is unknown.
type Expr struct {
	Source string
	// File is the configuration's name for faults that are found when nobody
	// knows the file any more, such as an attribute that the source does not have.
	File      string
	Line, Col int
	// Key is the setting's full name for messages; empty takes the plain one,
	// such as username_attribute.
	Key string
}

func (x Expr) empty() bool { return strings.TrimSpace(x.Source) == "" }

// Rules say how one source's entries become identities. An empty expression
// means that the source does not own the field; ID, Username and Email are
// required.
type Rules struct {
	ID, LoginID, Username, Email, FirstName, LastName, Nickname, Position, Locale, Timezone Expr
	// MatchKey gives a value that stays the person's when he comes back under
	// another ID, such as an employee number.
	MatchKey Expr
	// Custom gives values to custom profile attributes of Mattermost, by their names.
	Custom []CustomRule
	// People gives people to custom profile attributes of Mattermost, by their names: each
	// by the anchor or the place that the same source has for him.
	People []CustomRule
	// Manager gives whom a person reports to, by the anchor or the place that the same
	// source has for him.
	Manager Expr
	// Picture says where pictures are.
	Picture PictureRule
	// DisabledWhen is true for a person who has left. It is evaluated first and
	// apart, so that no other fault of the entry withholds a leaver.
	DisabledWhen Expr
	// AddsOnly says that the source gets no accounts of its own, so that Username and
	// Email are not required.
	AddsOnly bool
	// Auth are tried in order; whom none is for, the source says nothing about
	// the login of.
	Auth  []AuthRule
	Roles []RoleRule
	// Memberships are rules about teams and channels.
	Memberships []MembershipRule
	// Guests are rules of which any one makes a guest; their Role is not looked at.
	Guests []RoleRule
	// SelfEditable are attributes people may change on themselves. None may
	// feed ID, MatchKey, a login rule, a rule about roles, teams or channels, or what
	// people are matched by.
	SelfEditable []Expr
	// Assumed says that SelfEditable was not written, but is what is usual.
	Assumed bool
	// MatchedBy are the fields by which people are matched to accounts that exist.
	MatchedBy []identity.Attribute
}

// AuthRule says by which service people log in, and what it knows them by.
type AuthRule struct {
	Service string // ldap, saml, openid and so on
	When    Expr   // boolean; empty means everybody
	Data    Expr
}

// CustomRule gives the value of one custom profile attribute.
type CustomRule struct {
	Name  string
	Value Expr
}

// RoleRule grants a system role. With both Groups and When given, both must hold.
type RoleRule struct {
	Role   string
	Groups []string // stable ids or DNs, never display names; one suffices
	When   Expr     // boolean
}

// MembershipRule gives people a team, or channels of it and with them the team. With
// both Groups and When given, both must hold.
type MembershipRule struct {
	Team     string
	Channels []string // by name; none means that the rule is about the team
	Admin    bool     // of the team or, with Channels, of those
	Groups   []string // stable ids or DNs, never display names; one suffices
	When     Expr     // boolean
}

// CompileOptions are what an expression may depend on beyond its entry.
type CompileOptions struct {
	// Now is the clock of timePast and fileTimePast; nil is time.Now.
	Now func() time.Time
	// Pilot are the groups (stable ids or DNs) whose people are marked as such.
	Pilot []string
}

// Mapper maps Records of one source. It is safe for use by many goroutines.
type Mapper struct {
	source       string
	engine       *engine
	id, loginID  *program
	matchKey     *program
	fields       []field
	disabledWhen *program
	auth         []login
	custom       []custom
	people       []custom
	manager      *program
	pictures     *picture // nil: the source gives none
	pilot        []string
	addsOnly     bool // its people get no accounts
	roles        []role
	spaces       []membership
	groupNames   []string // as written in rules about roles, teams and channels
	owned        identity.Attributes
	programs     []*program // all of them, in the order of Rules
}

type field struct {
	attribute identity.Attribute
	prog      *program
}

type custom struct {
	name string
	prog *program
}

type login struct {
	service    string
	when, data *program
}

type role struct {
	name string
	whom
}

// membership is what one rule gives.
type membership struct {
	name  string // in messages: "team eng", "channels of team eng"
	gives identity.Memberships
	whom
}

// whom a rule is for.
type whom struct {
	names  []string        // its groups as written
	groups map[string]bool // by DNKey
	when   *program
}

// Compile checks the rules of a source and makes its Mapper. All faults are
// given at once, as errors.Join of *ExprError.
func Compile(source string, r Rules, o CompileOptions) (*Mapper, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	eng, err := newEngine(source, o.Now)
	if err != nil {
		return nil, err
	}
	c := &compiler{Mapper: &Mapper{source: source, engine: eng, pilot: o.Pilot, addsOnly: r.AddsOnly}}
	c.id = c.need("id_attribute", r.ID)
	c.loginID = c.add("login_id_attribute", r.LoginID, cel.StringType)
	for _, f := range []struct {
		attribute identity.Attribute
		key       string
		expr      Expr
		required  bool
	}{
		{identity.Username, "username_attribute", r.Username, true},
		{identity.Email, "email_attribute", r.Email, true},
		{identity.FirstName, "first_name_attribute", r.FirstName, false},
		{identity.LastName, "last_name_attribute", r.LastName, false},
		{identity.Nickname, "nickname_attribute", r.Nickname, false},
		{identity.Position, "position_attribute", r.Position, false},
		{identity.Locale, "locale", r.Locale, false},
		{identity.Timezone, "timezone", r.Timezone, false},
	} {
		p := c.add(f.key, f.expr, cel.StringType)
		if p == nil && f.required && !r.AddsOnly {
			p = c.need(f.key, f.expr)
		}
		if p != nil {
			c.fields = append(c.fields, field{f.attribute, p})
			c.owned = c.owned.With(f.attribute)
		}
	}
	for _, x := range r.Custom {
		if p := c.need("user_attributes."+x.Name, x.Value); p != nil {
			c.custom = append(c.custom, custom{x.Name, p})
		}
	}
	for _, x := range r.People {
		if p := c.need("person_attributes."+x.Name, x.Value); p != nil {
			c.people = append(c.people, custom{x.Name, p})
		}
	}
	c.manager = c.add("manager", r.Manager, cel.StringType)
	c.picture(r.Picture)
	c.matchKey = c.add("match_key", r.MatchKey, cel.StringType)
	if c.disabledWhen = c.add("disabled_when", r.DisabledWhen, cel.BoolType); c.disabledWhen != nil {
		c.errs = append(c.errs, c.disabledWhen.refuseLockout()...)
	}
	c.grants(r)
	c.selfEditable(r)
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	return c.Mapper, nil
}

// compiler gathers the faults while a Mapper is put together.
type compiler struct {
	*Mapper
	errs []error
}

// grants compiles the rules that give logins, roles and places.
func (c *compiler) grants(r Rules) {
	for i, rule := range r.Auth {
		c.login(fmt.Sprintf("auth[%d]", i), rule)
	}
	for i, rule := range r.Roles {
		c.role(fmt.Sprintf("roles[%d]", i), rule)
	}
	for i, rule := range r.Memberships {
		c.membership(fmt.Sprintf("memberships.rules[%d]", i), rule)
	}
	for i, rule := range r.Guests {
		rule.Role = identity.RoleGuest
		c.role(fmt.Sprintf("guests[%d]", i), rule)
	}
}

func (c *compiler) fault(key string, at Expr, msg, hint string) {
	if at.Key != "" {
		key = at.Key
	}
	c.errs = append(c.errs, &ExprError{Key: key, File: at.File, Line: at.Line, Col: at.Col, Msg: msg, Hint: hint})
}

func (c *compiler) add(key string, x Expr, want *cel.Type) *program {
	if x.empty() {
		return nil
	}
	p, errs := c.engine.compile(key, x, want)
	c.errs = append(c.errs, errs...)
	c.programs = append(c.programs, p)
	return p
}

func (c *compiler) need(key string, x Expr) *program {
	if x.empty() {
		c.fault(key, x, "is missing", "name the attribute that holds it, as in attr.uid")
		return nil
	}
	return c.add(key, x, cel.StringType)
}

func (c *compiler) login(key string, rule AuthRule) {
	if rule.Service == "" {
		c.fault(key+".service", rule.Data, "is missing", "name the login service, such as saml")
	}
	if rule.Data.empty() {
		c.fault(key+".data", rule.Data, "is missing", "name the attribute by which "+rule.Service+" knows the person")
	}
	c.auth = append(c.auth, login{
		service: rule.Service,
		when:    c.add(key+".when", rule.When, cel.BoolType),
		data:    c.add(key+".data", rule.Data, cel.StringType),
	})
}

func (c *compiler) role(key string, rule RoleRule) {
	if rule.Role == "" {
		c.fault(key+".role", rule.When, "is missing", "name a system role, such as system_admin")
	}
	c.roles = append(c.roles, role{rule.Role, c.whom(key, rule.Role, rule.Groups, rule.When)})
}

func (c *compiler) membership(key string, rule MembershipRule) {
	if rule.Team == "" {
		c.fault(key+".team", rule.When, "is missing", "name a team by what stands in its address")
	}
	out := membership{name: "team " + rule.Team, gives: identity.Memberships{{Space: rule.Team, Admin: rule.Admin}}}
	if len(rule.Channels) > 0 {
		out.name, out.gives[0].Admin = "channels of "+out.name, false
		for _, name := range rule.Channels {
			out.gives = append(out.gives, identity.Membership{Space: rule.Team + "/" + name, Admin: rule.Admin})
		}
	}
	out.whom = c.whom(key, out.name, rule.Groups, rule.When)
	c.spaces = append(c.spaces, out)
}

// whom compiles whom a rule is for; gives is what it gives, in messages.
func (c *compiler) whom(key, gives string, groups []string, when Expr) whom {
	out := whom{groups: map[string]bool{}}
	if len(groups) == 0 && when.empty() {
		c.fault(key, when, "has neither groups nor when", "say who gets "+gives)
	}
	for _, g := range groups {
		if strings.TrimSpace(g) == "" {
			c.fault(key+".groups", when, "has an empty name", "give the DN or stable id of a group")
			continue
		}
		out.groups[DNKey(g)], out.names = true, append(out.names, g)
		c.groupNames = append(c.groupNames, g)
	}
	out.when = c.add(key+".when", when, cel.BoolType)
	return out
}

// selfEditable refuses rules by which people could choose who they are or what
// they may do.
func (c *compiler) selfEditable(r Rules) {
	for _, x := range r.SelfEditable {
		name := strings.TrimSpace(x.Source)
		for _, root := range []string{rootAttr, rootAttrs, rootRow} {
			name = strings.TrimPrefix(name, root+".")
		}
		why, hint := "which people may change on themselves (self_editable)", "use an attribute that only administrators can write"
		if r.Assumed {
			why = "which many directories let people change on themselves"
			hint += "; if yours lets nobody, write self_editable with what people may change there, [] if nothing"
		}
		memberOf := strings.EqualFold(name, "memberOf")
		check := func(p *program, what string) {
			if p == nil {
				return
			}
			if slices.ContainsFunc(p.names, func(n string) bool { return strings.EqualFold(n, name) }) || memberOf && p.groups {
				c.errs = append(c.errs, p.errorAt(1, 1, what+" comes from "+Printable(name)+", "+why, hint))
			}
		}
		check(c.id, "the anchor")
		check(c.matchKey, "the match key")
		for _, l := range c.auth {
			check(l.when, "the choice of the login")
			check(l.data, "the login identity")
		}
		for _, f := range c.fields {
			if slices.Contains(r.MatchedBy, f.attribute) {
				check(f.prog, "the "+string(f.attribute)+", by which people are matched to accounts,")
			}
		}
		given := func(what string, w whom) {
			check(w.when, what)
			if len(w.groups) > 0 && memberOf {
				c.fault("self_editable", x, what+" comes from groups, and people may change memberOf on themselves",
					"use groups that only administrators can write")
			}
		}
		for _, role := range c.roles {
			given("the role "+role.name, role.whom)
		}
		for _, m := range c.spaces {
			given("a place in "+m.name, m.whom)
		}
	}
}
